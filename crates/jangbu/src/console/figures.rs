//! What the page shows, as values.

use jangbu_contracts::deposit::CurrencyTotals;
use jangbu_contracts::exchange::{Exchange, Rates};
use jangbu_contracts::operators::Approval;
use jangbu_kernel::id::DeadLetterId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::telemetry::reading::Below;

/// Everything shown, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The bank's time; none before the first look.
    pub now: Option<Timestamp>,
    /// Whether that time is moved by hand.
    pub by_hand: bool,
    /// The services that are open here.
    pub services: Vec<String>,
    /// Decisions recorded in each of the last seconds, oldest first.
    pub rates: Vec<u64>,
    /// Sums over the deposit instances.
    pub counted: Counted,
    /// Books, by instance and currency.
    pub books: Vec<Book>,
    /// The last events, newest first.
    pub events: Vec<Told>,
    /// How far those who listen are behind.
    pub lags: Vec<Lag>,
    /// Events that wait to leave, by service.
    pub waiting: Vec<(String, u64)>,
    /// Events that could not be taken, by service.
    pub parked: Vec<(String, u64)>,
    /// The oldest of those.
    pub letters: Vec<Letter>,
    /// How long calls took within the last minute, the most frequent first.
    pub calls: Vec<Calls>,
    /// Foreign exchange; none when its service is not open here.
    pub exchange: Option<Exchanging>,
    /// What could not be read.
    pub trouble: Vec<String>,
}

/// Foreign exchange as its people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanging {
    /// The board, if there ever was one.
    pub board: Option<Rates>,
    /// What waits for a second person.
    pub approvals: Vec<Approval>,
    /// Exchanges that are stuck, newest first.
    pub stuck: Vec<Exchange>,
    /// The newest ones.
    pub newest: Vec<Exchange>,
    /// Exchanges that are not decided after a minute.
    pub undecided: i64,
}

/// Numbers of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Customers registered.
    pub customers: Option<u64>,
    /// Accounts opened.
    pub accounts: u64,
    /// Postings.
    pub postings: u64,
    /// Commands refused.
    pub refused: u64,
    /// Decisions recorded, accepted or refused.
    pub recorded: u64,
    /// Decisions that the sums do not hold yet.
    pub behind: u64,
}

/// The books of one instance in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// The instance.
    pub instance: String,
    /// The sums.
    pub sums: CurrencyTotals,
    /// What the general ledger says customers have; none when it is not open here.
    pub control: Option<Control>,
}

/// The general ledger's control account beside the sum of customers' balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its balance, minor units.
    pub balance: i128,
    /// Whether the sum of customers' balances was the same at the same moment.
    pub same: bool,
    /// How many looks in a row it was not, with no posting on its way.
    pub differs: u32,
}

/// An event as it may be seen: no names, no whole ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was told.
    pub at: Timestamp,
    /// Where.
    pub topic: String,
    /// What happened.
    pub what: String,
    /// From where to where.
    pub who: String,
    /// How much, with its currency.
    pub amount: String,
}

/// How far a group is behind on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Events told and not yet taken.
    pub events: i64,
}

/// A parked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The service where it is parked.
    pub service: String,
    /// Its id.
    pub id: DeadLetterId,
    /// The event's type.
    pub event_type: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How long one call took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Method and path.
    pub call: String,
    /// How often it was made.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Option<Below>,
    /// All but a hundredth took no longer.
    pub p99: Option<Below>,
}
