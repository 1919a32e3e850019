//! Commands as decisions take them: parsed, resolved, nothing optional that isn't.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::AccountId;

use super::interest::Interest;

/// What a command asks for. Amounts in minor units, positive.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Money in from the bank's own account `bank`.
    Credit {
        /// To.
        account: AccountId,
        /// How much.
        amount: i64,
        /// From.
        bank: &'static str,
    },
    /// Money out to the bank's own account `bank`.
    Debit {
        /// From.
        account: AccountId,
        /// How much.
        amount: i64,
        /// To.
        bank: &'static str,
    },
    /// From one customer's account to another of the same instance.
    Transfer {
        /// From.
        from: AccountId,
        /// To.
        to: AccountId,
        /// How much.
        amount: i64,
    },
    /// Keeps a part of the balance.
    Hold {
        /// Of.
        account: AccountId,
        /// How much.
        amount: i64,
        /// When it lapses, microseconds UTC.
        until: Option<i64>,
    },
    /// Takes what a hold keeps, or a part of it; the rest is released.
    Capture {
        /// The posting that made the hold.
        hold: u64,
        /// How much; all when absent.
        amount: Option<i64>,
        /// To the bank's own account.
        bank: &'static str,
    },
    /// Ends a hold.
    Release {
        /// The posting that made the hold.
        hold: u64,
    },
    /// Undoes a posting by a new one the other way round.
    Reversal {
        /// The posting to undo, as found in the store.
        original: Option<Original>,
    },
    /// Pays interest up to yesterday; worked out under the account's lock.
    Interest {
        /// To.
        account: AccountId,
        /// What is due; none when nothing is.
        due: Option<Interest>,
    },
}

/// A posting that is to be undone, as far as undoing needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its place.
    pub seq: u64,
    /// What kind it is.
    pub kind: Kind,
    /// Account that was debited.
    pub debit: Option<u64>,
    /// Account that was credited.
    pub credit: Option<u64>,
    /// The bank's own account.
    pub bank: Option<&'static str>,
    /// How much.
    pub amount: i64,
    /// Day on which it was counted against the limits.
    pub counted_on: BusinessDate,
    /// Whether it has been undone.
    pub reversed: bool,
}

/// A command on its way to a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Key with its caller, as stored.
    pub key: String,
    /// Hash of the request.
    pub hash: u64,
    /// What is asked.
    pub action: Action,
    /// The day it belongs to, decided once when it came in.
    pub date: BusinessDate,
    /// Text for the statement.
    pub memo: Option<String>,
}

/// Kinds of postings, with the numbers they are stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i64)]
pub enum Kind {
    /// Money in.
    Credit = 1,
    /// Money out.
    Debit = 2,
    /// Between two customers' accounts.
    Transfer = 3,
    /// A hold.
    Hold = 4,
    /// A capture of a hold.
    Capture = 5,
    /// The end of a hold.
    Release = 6,
    /// The undoing of another.
    Reversal = 7,
    /// An interest payment.
    Interest = 8,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Credit,
        Kind::Debit,
        Kind::Transfer,
        Kind::Hold,
        Kind::Capture,
        Kind::Release,
        Kind::Reversal,
        Kind::Interest,
    ];

    /// The kind stored under a number.
    #[must_use]
    pub fn from_number(n: i64) -> Option<Kind> {
        Self::ALL.into_iter().find(|k| *k as i64 == n)
    }

    /// The kind's name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Credit => "credit",
            Kind::Debit => "debit",
            Kind::Transfer => "transfer",
            Kind::Hold => "hold",
            Kind::Capture => "capture",
            Kind::Release => "release",
            Kind::Reversal => "reversal",
            Kind::Interest => "interest",
        }
    }
}

impl Action {
    /// The kind of posting this makes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Action::Credit { .. } => Kind::Credit,
            Action::Debit { .. } => Kind::Debit,
            Action::Transfer { .. } => Kind::Transfer,
            Action::Hold { .. } => Kind::Hold,
            Action::Capture { .. } => Kind::Capture,
            Action::Release { .. } => Kind::Release,
            Action::Reversal { .. } => Kind::Reversal,
            Action::Interest { .. } => Kind::Interest,
        }
    }
}

/// The bank's own accounts that commands may name, never locked: their legs are summed by accounting.
pub const BANK_ACCOUNTS: [&str; 6] = ["cash", "nostro", "fees", "exchange", "interest_expense", "suspense"];

/// The bank's account of that name, if commands may name it.
#[must_use]
pub fn bank_account(name: &str) -> Option<&'static str> {
    BANK_ACCOUNTS[..4].iter().find(|n| **n == name).copied()
}

/// The stored name of a bank account, also of those only the bank itself posts to.
#[must_use]
pub fn stored_bank_account(name: &str) -> Option<&'static str> {
    BANK_ACCOUNTS.iter().find(|n| **n == name).copied()
}
