//! Log lines on stderr, for people or as JSON. A full disk or a slow terminal never holds up a payment: lines go
//! through a bounded queue, and those that don't fit are counted and told of later.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, RealClock};

/// Lines that wait for stderr at most.
const LINES_WAITING_MAX: usize = 16_384;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Keeps the lines flowing; dropping it writes those that wait.
#[must_use = "dropping it ends the log"]
pub struct LogGuard {
    lines: Option<SyncSender<Line>>,
    writer: Option<JoinHandle<()>>,
}

enum Line {
    Text(Vec<u8>),
    End,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(lines) = self.lines.take() {
            let _ = lines.send(Line::End); // the writer may be gone already
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Starts the log of this process. `filter` is like `info` or `info,jangbu_platform=debug`.
///
/// # Errors
/// The filter can't be read, or a log was started before; as a sentence for people.
pub fn start(format: LogFormat, filter: &str) -> Result<LogGuard, String> {
    let filter = EnvFilter::try_new(filter).map_err(|e| format!("the log filter {filter:?} can't be read: {e}"))?;
    let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = Queue { lines: lines.clone(), lost: Arc::clone(&lost) };
    let writer = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&waiting, &lost, &mut io::stderr()))
        .map_err(|e| format!("could not start the log: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue).with_timer(Now);
    let started = match format {
        LogFormat::Human => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.event_format(JsonLines).try_init(),
    };
    started.map_err(|e| format!("could not start the log: {e}"))?;
    Ok(LogGuard { lines: Some(lines), writer: Some(writer) })
}

fn write_lines(waiting: &Receiver<Line>, lost: &AtomicU64, out: &mut impl Write) {
    let mut together = Vec::new();
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        let mut ended = false;
        // Whatever waits leaves in one write: a system call per line would cost more than the line.
        while let Some(line) = next.take() {
            match line {
                Line::Text(text) => together.extend_from_slice(&text),
                Line::End => ended = true,
            }
            if together.len() < 64 * 1_024 {
                next = waiting.try_recv().ok();
            }
        }
        let missing = lost.swap(0, Relaxed);
        if missing > 0 {
            let _ = writeln!(together, "{missing} log lines did not fit and are lost");
        }
        let _ = out.write_all(&together); // nobody is left to tell when stderr is gone
        together.clear();
        if ended {
            return;
        }
    }
}

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;
    fn make_writer(&'a self) -> &'a Queue {
        self
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The subscriber hands over whole lines.
        if self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Now;

impl FormatTime for Now {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", RealClock.now())
    }
}

struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields(Map::new());
        fields.0.insert("at".to_owned(), Value::from(RealClock.now().to_string()));
        fields.0.insert("level".to_owned(), Value::from(event.metadata().level().as_str().to_ascii_lowercase()));
        fields.0.insert("target".to_owned(), Value::from(event.metadata().target()));
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::from(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_json_and_the_lost_are_counted() {
        let (lines, waiting) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let queue = Queue { lines, lost: Arc::clone(&lost) };
        let subscriber = tracing_subscriber::fmt().with_writer(queue).event_format(JsonLines).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(amount = 5_i64, key = "k\"1", ok = true, "posted");
            tracing::info!("does not fit");
        });
        assert_eq!(lost.load(Relaxed), 1);
        let mut out = Vec::new();
        write_lines(&waiting, &lost, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let line: Value = serde_json::from_str(first).unwrap();
        assert_eq!((&line["amount"], &line["key"], &line["ok"]), (&5.into(), &"k\"1".into(), &true.into()));
        assert_eq!((&line["message"], &line["level"]), (&"posted".into(), &"info".into()));
        assert_eq!(rest, "1 log lines did not fit and are lost\n");
    }
}
