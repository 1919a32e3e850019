//! What can go wrong, each with a dial of its own that is set anew for every seed, and how often it did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use jangbu_platform::dice::Dice;

use super::seed_of;

macro_rules! faults {
    ($($name:ident $rate:literal $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $(#[doc = $text] $name,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }

            /// How often at most, in a million opportunities.
            fn rate(self) -> u64 {
                match self { $(Fault::$name => $rate,)* }
            }
        }
    };
}

faults! {
    CrashAtStatement 300 "crash before a statement",
    CrashBeforeFlush 1_500 "crash before a flush",
    CrashAfterFlush 1_500 "crash after a flush that nobody heard of",
    TornFlush 1_500 "crash that tears the last write",
    FlushFails 4_000 "flush that fails",
    FlushSlow 20_000 "slow flush",
    StatementFails 300 "statement that fails",
    LockWait 2_000 "long wait for the writer's turn",
    TurnBusy 500 "writer's turn not had",
    AppendLost 15_000 "append that is lost",
    AppendUnacknowledged 15_000 "append whose acknowledgement is lost",
    AppendRepeated 15_000 "append that is repeated",
    EventDelayed 30_000 "events that arrive late",
    ReadFails 4_000 "read of the log that fails",
    CommitLost 10_000 "offset that is not kept",
    Redelivered 4_000 "events given again",
    CallLost 15_000 "call that never arrives",
    AnswerLost 15_000 "call whose answer is lost",
    CallTwice 15_000 "call that arrives twice",
    CallNever 15_000 "call without a connection",
    CallLate 15_000 "call that arrives late",
    CallSlow 15_000 "call answered late",
    RequestLost 8_000 "request that never arrives",
    ReplyLost 8_000 "request whose answer is lost",
    RequestTwice 8_000 "request that arrives twice",
    CacheWiped 8_000 "cache wiped",
    CacheStale 30_000 "cache that gives an older value",
    CacheUnreachable 20_000 "cache out of reach",
    LeaseLost 50_000 "lease lost while held",
    NodeCrash 400_000 "crash of a node",
    BankCrash 200_000 "crash of all nodes at once",
    ClockOff 500_000 "clock of a node set off",
}

/// How hard the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing goes wrong.
    None,
    /// A tenth of what can.
    Some,
    /// All of it.
    Hostile,
}

impl std::str::FromStr for Level {
    type Err = String;
    fn from_str(s: &str) -> Result<Level, String> {
        match s {
            "none" => Ok(Level::None),
            "some" => Ok(Level::Some),
            "hostile" => Ok(Level::Hostile),
            other => Err(format!("{other:?} is none of none, some, hostile")),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::None => "none",
            Level::Some => "some",
            Level::Hostile => "hostile",
        })
    }
}

/// The dials of a seed. Each kind throws dice of its own, so that turning one off leaves the others as they were.
pub struct Faults {
    on: AtomicBool,
    kinds: Vec<Dial>,
}

struct Dial {
    rate: u64,
    dice: Dice,
    happened: AtomicU64,
}

impl Faults {
    /// Dials drawn from a seed: half of the kinds are off, so that seeds differ in kind; `without` are off anyway.
    #[must_use]
    pub fn drawn(seed: u64, level: Level, without: &[Fault]) -> Faults {
        let dial = |kind: &Fault| {
            let dice = Dice::seeded(seed_of(seed, kind.name()));
            let strength = dice.below(8); // below four: off
            let most = match level {
                Level::None => 0,
                Level::Some => kind.rate() / 10,
                Level::Hostile => kind.rate(),
            };
            let rate = if strength < 4 || without.contains(kind) { 0 } else { most >> (strength - 4) };
            Dial { rate, dice, happened: AtomicU64::new(0) }
        };
        Faults { on: AtomicBool::new(false), kinds: Fault::ALL.iter().map(dial).collect() }
    }

    /// Lets faults happen, or no more.
    pub fn set_on(&self, on: bool) {
        self.on.store(on, Relaxed);
    }

    /// Whether faults may happen now.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Whether a fault of that kind happens at this opportunity.
    #[must_use]
    pub fn strikes(&self, kind: Fault) -> bool {
        let dial = &self.kinds[kind as usize];
        if !self.are_on() || dial.rate == 0 || dial.dice.below(1_000_000) >= dial.rate {
            return false;
        }
        dial.happened.fetch_add(1, Relaxed);
        true
    }

    /// A number below `n`, by the dice of that kind.
    #[must_use]
    pub fn below(&self, kind: Fault, n: u64) -> u64 {
        self.kinds[kind as usize].dice.below(n)
    }

    /// How often each kind happened, those that never did left out.
    #[must_use]
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        let count = |kind: &Fault| (kind.name(), self.kinds[*kind as usize].happened.load(Relaxed));
        Fault::ALL.iter().map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// The kinds whose dials are not at zero.
    #[must_use]
    pub fn drawn_kinds(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|kind| self.kinds[*kind as usize].rate > 0).collect()
    }
}
