//! What can go wrong, each with a dial of its own that is set anew for every seed, and how often it did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use jangbu_platform::dice::Dice;

use super::seed_of;
use super::trace::{Happening, Trace};

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
            #[must_use]
            pub fn rate(self) -> u64 {
                match self { $(Fault::$name => $rate,)* }
            }
        }
    };
}

faults! {
    CrashAtStatement 500 "crash before a statement",
    CrashAtAwait 300 "crash at an await",
    CrashStarting 10_000 "crash while starting",
    CrashAfterCommit 3_000 "crash between flush and answer",
    CrashBeforeFlush 3_000 "crash before a flush",
    CrashAfterFlush 3_000 "crash after a flush that nobody heard of",
    TornFlush 3_000 "crash that tears the last write",
    FlushFails 8_000 "flush that fails",
    FlushSlow 20_000 "slow flush",
    Checkpoint 30_000 "journal moved into the file",
    CrashInCheckpoint 3_000 "crash while the journal is moved",
    StatementFails 500 "statement that fails",
    DiskAway 300 "disk away for a while",
    TableBarred 10_000 "table that can't be written for a while",
    LockWait 2_000 "long wait for the writer's turn",
    TurnBusy 2_000 "writer's turn not had",
    CrashBeforeAppend 10_000 "crash between outbox and log",
    CrashAfterAppend 10_000 "crash between log and mark",
    AppendLost 30_000 "append that is lost",
    AppendInPart 20_000 "append of which a part is lost",
    AppendUnacknowledged 30_000 "append whose acknowledgement is lost",
    AppendRepeated 30_000 "append that is repeated",
    EventDelayed 40_000 "events that arrive late",
    ReadFails 5_000 "read of the log that fails",
    CrashBeforeOffset 10_000 "crash between events taken and their offset",
    CommitLost 20_000 "offset that is not kept",
    Redelivered 10_000 "events given again",
    RedeliveredLate 2_000 "events given again from long ago",
    Rebalanced 100_000 "partition given to another member in mid-flow",
    ConsumerPaused 2_000 "consumer paused",
    CallLost 30_000 "call that never arrives",
    AnswerLost 30_000 "call whose answer is lost",
    CallTwice 30_000 "call that arrives twice",
    CallNever 30_000 "call without a connection",
    CallLate 20_000 "call that arrives late",
    CallSlow 20_000 "call answered late",
    RequestLost 15_000 "request that never arrives",
    ReplyLost 15_000 "request whose answer is lost",
    RequestTwice 15_000 "request that arrives twice, one after the other",
    RequestTwiceAtOnce 15_000 "request that arrives twice at once",
    CacheWiped 20_000 "cache wiped",
    CacheStale 60_000 "cache that gives an older value",
    CacheUnreachable 40_000 "cache out of reach",
    CacheAway 5_000 "cache out of reach for a while",
    LeaseLost 50_000 "lease lost while held",
    NodeCrash 200_000 "crash of a node",
    BankCrash 80_000 "crash of all nodes at once",
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
    trace: Option<Arc<Trace>>,
    kinds: Vec<Dial>,
}

struct Dial {
    rate: u64,
    dice: Dice,
    happened: AtomicU64,
}

impl Faults {
    /// Dials drawn from a seed: a quarter of the kinds is off, so that seeds differ in kind; `without` are off anyway.
    #[must_use]
    pub fn drawn(seed: u64, level: Level, without: &[Fault]) -> Faults {
        let dial = |kind: &Fault| {
            let dice = Dice::seeded(seed_of(seed, kind.name()));
            let strength = dice.below(8); // below two: off
            let most = match level {
                Level::None => 0,
                Level::Some => kind.rate() / 10,
                Level::Hostile => kind.rate(),
            };
            let rate = if strength < 2 || without.contains(kind) { 0 } else { most >> ((strength - 2) / 2) };
            Dial { rate, dice, happened: AtomicU64::new(0) }
        };
        Faults { on: AtomicBool::new(false), trace: None, kinds: Fault::ALL.iter().map(dial).collect() }
    }

    /// The same, and each fault is noted in a trace when it strikes.
    #[must_use]
    pub fn told_to(self, trace: &Arc<Trace>) -> Faults {
        Faults { trace: Some(Arc::clone(trace)), ..self }
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
        if let Some(trace) = &self.trace {
            trace.note(Happening::Fault(kind.name()));
        }
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
