//! May this account be debited or credited now? Twenty checks, each looked at, every failure told.
//!
//! Account and owner are both in the book when a command is decided, so the checks are a table of bits; nothing
//! is asked of other services while a balance is decided.

use jangbu_contracts::codes::Code;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::AccountId;

use super::book::{Account, Book, LIMITED_DAY_MAX, Limits, Marks, Owner};
use super::decide::Refusal;

/// Which way money goes for the account that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out.
    Debit,
    /// In.
    Credit,
    /// In, as interest: for living, identified persons.
    Interest,
}

/// Largest ledger balance, minor units: ten times the largest amount of one posting.
pub const BALANCE_MAX: i64 = 10_000_000_000_000_000;

/// Most that all debits, all credits, or what counts against limits may come to in a day or month, minor units: nine
/// thousand of the largest postings. Beyond it the sums could not be kept.
pub const TURNOVER_MAX: i64 = 9_000_000_000_000_000_000;

const _: () = assert!(TURNOVER_MAX < i64::MAX - BALANCE_MAX, "a sum and one more amount are compared without overflow");

const D: u8 = 1;
const C: u8 = 2;
const I: u8 = 4;

/// Restriction, code, and which directions it blocks (domain facts: account and customer restrictions).
const TABLE: [(Marks, Code, u8, &str); 15] = [
    (Marks::DORMANT, Code::AccountDormant, D | C | I, "the account is dormant and may only be closed"),
    (Marks::SUSPENDED, Code::AccountSuspended, D | C | I, "the account is suspended for want of use"),
    (Marks::DEPOSIT_STOP, Code::DepositBlocked, C | I, "deposits to the account are stopped"),
    (Marks::WITHDRAWAL_STOP, Code::WithdrawalBlocked, D, "withdrawals from the account are stopped"),
    (Marks::LOSS_REPORT, Code::LossReported, D, "a loss or theft is reported"),
    (Marks::ATTACHED, Code::Attached, D, "the account is attached by a court"),
    (Marks::PLEDGED, Code::Pledged, D, "the account is pledged"),
    (Marks::FRAUD_FREEZE, Code::FraudFrozen, D, "the account is frozen after a fraud report"),
    (Marks::DECEASED, Code::OwnerDeceased, D | I, "the owner is deceased"),
    (Marks::IDENTITY_THEFT, Code::OwnerIdentityTheft, D | C | I, "the owner's identity was stolen"),
    (Marks::MINOR_RESTRICTED, Code::OwnerMinorRestricted, D, "the owner is a minor without consent"),
    (Marks::CORPORATION, Code::CorporateRestricted, I, "interest on demand is for persons"),
    (Marks::KYC_EXPIRED, Code::KycExpired, D, "the owner must be verified again"),
    (Marks::SANCTIONED, Code::Sanctioned, D | C | I, "the owner is sanctioned"),
    (Marks::LIMITED, Code::LimitedAccount, 0, "the account is limited to a small amount a day"),
];

/// Collects what speaks against a command.
#[derive(Debug, Default)]
pub struct Failures(Refusal);

impl Failures {
    /// The plan, when nothing spoke against it.
    ///
    /// # Errors
    /// All that was found.
    pub fn none_or<T>(self, plan: T) -> Result<T, Refusal> {
        if self.0.is_empty() { Ok(plan) } else { Err(self.0) }
    }

    /// What was found so far, as a refusal.
    ///
    /// # Errors
    /// All that was found.
    pub fn refusal(&mut self) -> Result<(), Refusal> {
        if self.0.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.0)) }
    }

    fn add(&mut self, code: Code, why: impl Into<String>) {
        self.0.push((code, why.into()));
    }

    /// Looks at one account; its number, zero when it is unknown.
    pub fn account(&mut self, book: &Book, id: AccountId, way: Direction, amount: i64, date: BusinessDate) -> u64 {
        let Some(account) = find(book, id) else {
            self.add(Code::AccountNotFound, format!("{id} is not an account of this instance"));
            return 0;
        };
        let owner = book.owners.get(&account.customer).copied().unwrap_or_default();
        if way != Direction::Credit || !planted("payee-unchecked") {
            self.restrictions(account, owner, way);
        }
        match way {
            Direction::Debit => {
                let day = date.max(account.day.date);
                self.limits(account, book.limits_on(account.product, day), amount, day);
                self.turnover(account.debits_on(date), amount, "debits of a day");
                self.funds(account, amount);
            }
            Direction::Credit => self.credit(account, amount, date),
            Direction::Interest => {}
        }
        account.no
    }

    fn restrictions(&mut self, account: &Account, owner: Owner, way: Direction) {
        if account.closed_on.is_some() {
            self.add(Code::AccountClosed, "the account is closed");
        }
        let marks = Marks(account.marks.0 | owner.marks.0);
        if marks == Marks::default() {
            return; // nearly always
        }
        let bit = match way {
            Direction::Debit => D,
            Direction::Credit => C,
            Direction::Interest => I,
        };
        for (mark, code, blocks, why) in TABLE {
            if marks.any(mark) && blocks & bit != 0 {
                self.add(code, why);
            }
        }
    }

    /// What comes in, by whatever way, must leave sums that can be kept.
    fn credit(&mut self, account: &Account, amount: i64, date: BusinessDate) {
        if account.ledger.saturating_add(amount) > BALANCE_MAX {
            self.add(Code::BalanceOverflow, format!("the balance would pass {BALANCE_MAX}"));
        }
        self.turnover(account.credits_on(date), amount, "credits of a day");
    }

    /// The account that interest is paid to, once it is known how much.
    pub fn interest(&mut self, book: &Book, no: u64, amount: i64, date: BusinessDate) {
        if let Some(account) = book.accounts.get(no) {
            self.credit(account, amount, date);
        }
    }

    fn turnover(&mut self, sum: i64, amount: i64, of: &str) {
        if sum.saturating_add(amount) > TURNOVER_MAX {
            self.add(Code::LimitExceeded, format!("the {of} may come to at most {TURNOVER_MAX}"));
        }
    }

    fn limits(&mut self, account: &Account, limits: Limits, amount: i64, day: BusinessDate) {
        let used = account.used.on(day);
        let over = |max: Option<i64>, used: i64| max.filter(|max| used.saturating_add(amount) > *max);
        self.turnover(used.day_sum.max(used.month_sum), amount, "sums counted against limits");
        if let Some(max) = over(limits.transaction_max, 0) {
            self.add(Code::LimitExceeded, format!("one transaction may take at most {max}"));
        }
        if let Some(max) = over(limits.day_max, used.day_sum) {
            self.add(Code::LimitExceeded, format!("{} of {max} a day is used", used.day_sum));
        }
        if let Some(max) = over(limits.month_max, used.month_sum) {
            self.add(Code::LimitExceeded, format!("{} of {max} a month is used", used.month_sum));
        }
        if account.marks.any(Marks::LIMITED)
            && let Some(max) = over(Some(LIMITED_DAY_MAX), used.day_sum)
        {
            self.add(Code::LimitedAccount, format!("a limited account may pay {max} a day"));
        }
    }

    fn funds(&mut self, account: &Account, amount: i64) {
        let available = if planted("hold-not-counted") { account.ledger } else { account.available() };
        if available < amount {
            self.add(Code::InsufficientAvailable, format!("available {}", account.available()));
        }
    }

    /// A hold that lapses does so in the future. Judged here and not when the request is read: sent again after its
    /// time, it has the answer that it had.
    pub fn ahead(&mut self, until: Option<i64>, now: i64) {
        if until.is_some_and(|until| until <= now) {
            self.add(Code::InvalidField, "until must lie ahead");
        }
    }

    /// Both accounts of a transfer carry the same currency.
    pub fn same_currency(&mut self, book: &Book, debit: u64, credit: u64) {
        if let (Some(a), Some(b)) = (book.accounts.get(debit), book.accounts.get(credit))
            && a.currency != b.currency
        {
            self.add(Code::CurrencyMismatch, format!("{} and {}", a.currency.code(), b.currency.code()));
        }
    }

    /// The account of a hold that is captured: the money is reserved, restrictions still count.
    pub fn held_account(&mut self, book: &Book, no: u64, amount: i64, date: BusinessDate) {
        if let Some(account) = book.accounts.get(no) {
            let owner = book.owners.get(&account.customer).copied().unwrap_or_default();
            self.restrictions(account, owner, Direction::Debit);
            self.turnover(account.debits_on(date), amount, "debits of a day");
        }
    }

    /// An account whose posting is undone: open, and able to give `amount` back, or to take it.
    pub fn reversed_account(&mut self, book: &Book, no: u64, way: Direction, amount: i64, date: BusinessDate) {
        let Some(account) = book.accounts.get(no) else {
            self.add(Code::AccountNotFound, "the account is gone");
            return;
        };
        if account.closed_on.is_some() {
            self.add(Code::AccountClosed, "the account is closed");
        }
        if way == Direction::Debit {
            self.turnover(account.debits_on(date), amount, "debits of a day");
            self.funds(account, amount);
        } else {
            self.credit(account, amount, date);
        }
    }
}

/// The account of that id, if it is one of this book.
#[must_use]
pub fn find(book: &Book, id: AccountId) -> Option<&Account> {
    book.accounts.get(number_of(id)).filter(|a| a.id == id)
}

/// The number an account id ends with.
#[must_use]
pub fn number_of(id: AccountId) -> u64 {
    u64::try_from(id.rest() & 0xffff_ffff_ffff).unwrap_or(0)
}
