//! What follows a request through everything it causes: its trace and its deadline. It travels with the task, so
//! that a call made while answering a request inherits both without anybody handing them on.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::ticks;

tokio::task_local! {
    static CONTEXT: Context;
}

/// Trace and span, as in the header `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    sampled: bool,
}

impl Trace {
    /// A trace of its own.
    #[must_use]
    pub fn root(dice: &crate::dice::Dice) -> Self {
        let id = u128::from_be_bytes(dice.bytes()).max(1); // zero means "none"
        Self { id, span: dice.u64().max(1), sampled: true }
    }
    /// The next span of the same trace.
    #[must_use]
    pub fn child(self, dice: &crate::dice::Dice) -> Self {
        Self { span: dice.u64().max(1), ..self }
    }
    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

/// A `traceparent` that can't be read; a new trace starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTrace;

impl FromStr for Trace {
    type Err = NoTrace;
    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split('-');
        let (Some(version), Some(id), Some(span), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoTrace);
        };
        let lengths = (version.len(), id.len(), span.len(), flags.len());
        // Later versions may append parts; version 00 has none, ff is never valid.
        if lengths != (2, 32, 16, 2) || version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(NoTrace);
        }
        if ![version, id, span, flags].into_iter().all(hex) {
            return Err(NoTrace);
        }
        let id = u128::from_str_radix(id, 16).map_err(|_| NoTrace)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NoTrace)?;
        let sampled = u8::from_str_radix(flags, 16).map_err(|_| NoTrace)? & 1 == 1;
        if id == 0 || span == 0 { Err(NoTrace) } else { Ok(Self { id, span, sampled }) }
    }
}

/// Trace and deadline of the request that this task answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: Trace,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

impl Context {
    /// That of the running task, if it answers a request.
    #[must_use]
    pub fn current() -> Option<Context> {
        CONTEXT.try_with(|context| *context).ok()
    }
    /// Runs `work` within this context.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CONTEXT.scope(self, work).await
    }
    /// How long the caller still waits.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(ticks())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn traceparent_is_read_strictly() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<Trace>().unwrap().to_string(), good);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(bad.parse::<Trace>(), Err(NoTrace), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_context_belongs_to_its_task() {
        let trace = Trace::root(&crate::dice::Dice::seeded(1));
        let context = Context { trace, deadline: Instant::now() };
        assert_eq!(Context::current(), None);
        assert_eq!(context.scope(async { Context::current() }).await, Some(context));
    }
}
