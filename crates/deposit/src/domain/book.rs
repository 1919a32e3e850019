//! The state of accounts as far as a posting decides by it. Pure: who loads and stores it is none of its business.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Currency;

use rustc_hash::FxHashMap;

use super::accounts::Accounts;
use super::chain::{Back, Path};

/// Restrictions on an account, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub u32);

/// One restriction: its bit and its name in the API.
pub type Mark = (Marks, &'static str);

impl Marks {
    /// Credits are refused.
    pub const DEPOSIT_STOP: Marks = Marks(1);
    /// Debits are refused.
    pub const WITHDRAWAL_STOP: Marks = Marks(1 << 1);
    /// The owner reported passbook, card or medium lost.
    pub const LOSS_REPORT: Marks = Marks(1 << 2);
    /// Seized by a court.
    pub const ATTACHED: Marks = Marks(1 << 3);
    /// Pledged as collateral.
    pub const PLEDGED: Marks = Marks(1 << 4);
    /// Frozen after a fraud report.
    pub const FRAUD_FREEZE: Marks = Marks(1 << 5);
    /// Limited to a small amount a day.
    pub const LIMITED: Marks = Marks(1 << 6);
    /// Five years without a transaction: may only be closed.
    pub const DORMANT: Marks = Marks(1 << 7);
    /// Long unused; revivable.
    pub const SUSPENDED: Marks = Marks(1 << 8);
    /// Owner died.
    pub const DECEASED: Marks = Marks(1 << 16);
    /// Owner's identity was stolen.
    pub const IDENTITY_THEFT: Marks = Marks(1 << 17);
    /// Owner must be verified again.
    pub const KYC_EXPIRED: Marks = Marks(1 << 18);
    /// Owner is on a sanctions list.
    pub const SANCTIONED: Marks = Marks(1 << 19);
    /// Owner may not debit for want of a legal representative's consent.
    pub const MINOR_RESTRICTED: Marks = Marks(1 << 20);
    /// Owner is a corporation.
    pub const CORPORATION: Marks = Marks(1 << 21);

    /// Marks that operators set on accounts, by their API names.
    pub const OF_ACCOUNTS: [Mark; 9] = [
        (Self::DEPOSIT_STOP, "deposit_stop"),
        (Self::WITHDRAWAL_STOP, "withdrawal_stop"),
        (Self::LOSS_REPORT, "loss_report"),
        (Self::ATTACHED, "attached"),
        (Self::PLEDGED, "pledged"),
        (Self::FRAUD_FREEZE, "fraud_freeze"),
        (Self::LIMITED, "limited"),
        (Self::DORMANT, "dormant"),
        (Self::SUSPENDED, "suspended"),
    ];
    /// Marks that come with a customer's standing, by the customer service's names.
    pub const OF_CUSTOMERS: [Mark; 5] = [
        (Self::DECEASED, "deceased"),
        (Self::IDENTITY_THEFT, "identity_theft"),
        (Self::KYC_EXPIRED, "kyc_expired"),
        (Self::SANCTIONED, "sanctioned"),
        (Self::MINOR_RESTRICTED, "minor_restricted"),
    ];

    /// Whether any of `other` is set.
    #[must_use]
    pub fn any(self, other: Marks) -> bool {
        self.0 & other.0 != 0
    }
    /// With `other` set or cleared.
    #[must_use]
    pub fn with(self, other: Marks, on: bool) -> Marks {
        if on { Marks(self.0 | other.0) } else { Marks(self.0 & !other.0) }
    }
    /// The account mark of that API name.
    #[must_use]
    pub fn of_account(name: &str) -> Option<Marks> {
        Self::OF_ACCOUNTS.iter().find(|(_, n)| *n == name).map(|(m, _)| *m)
    }
}

/// What an account's product allows, as of its current terms. Amounts in minor units; none means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most one debit may take.
    pub transaction_max: Option<i64>,
    /// Most all debits of a day may take.
    pub day_max: Option<i64>,
    /// Most all debits of a calendar month may take.
    pub month_max: Option<i64>,
}

/// Most an account marked `limited` may pay a day: 1,000,000 won since 2024-05-02 (FSC notice).
pub const LIMITED_DAY_MAX: i64 = 1_000_000;

/// The running day of an account; days before it have a row of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub date: BusinessDate,
    /// Balance when it began.
    pub opening: i64,
    /// Sum of debits.
    pub debits: i64,
    /// Sum of credits.
    pub credits: i64,
}

/// Debits counted against the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Days since 1970 of the day counted.
    pub day: i32,
    /// Sum on that day.
    pub day_sum: i64,
    /// Year times 12 plus month of the month counted.
    pub month: i32,
    /// Sum in that month.
    pub month_sum: i64,
}

impl Used {
    /// What counts on `date`.
    #[must_use]
    pub fn on(self, date: BusinessDate) -> Used {
        let (day, month) = (date.days(), date.year() * 12 + i32::try_from(date.month()).unwrap_or(0));
        Used {
            day,
            day_sum: if day == self.day { self.day_sum } else { 0 },
            month,
            month_sum: if month == self.month { self.month_sum } else { 0 },
        }
    }
}

/// An account as postings see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its number within the instance; the id ends with it.
    pub no: u64,
    /// Its owner.
    pub customer: CustomerId,
    /// Index of its product in the book.
    pub product: u32,
    /// Its currency.
    pub currency: Currency,
    /// Restrictions of the account.
    pub marks: Marks,
    /// First day.
    pub opened_on: BusinessDate,
    /// Day of closing.
    pub closed_on: Option<BusinessDate>,
    /// Ledger balance, minor units.
    pub ledger: i64,
    /// Sum of holds, minor units.
    pub held: i64,
    /// Serial of the last entry.
    pub serial: u64,
    /// Where its entries lie.
    pub path: Path,
    /// The running day.
    pub day: Day,
    /// Debits counted against limits.
    pub used: Used,
    /// Interest has been paid up to and including this day.
    pub paid_through: BusinessDate,
    /// The last posting that changed it.
    pub changed: u64,
}

/// What one posting does to one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Change of the ledger balance.
    pub ledger: i64,
    /// Change of the holds.
    pub held: i64,
    /// Change of what counts against the limits.
    pub counted: i64,
    /// The day to which it is given back; none for what counts from now on.
    pub given_back_to: Option<BusinessDate>,
    /// Whether there is an entry, which takes a serial.
    pub entry: bool,
}

/// What [`Account::apply`] did: the entry's serial and pointers, and a day that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Serial of the entry; the last one's when there is none.
    pub serial: u64,
    /// Its pointers.
    pub back: Back,
    /// A day that has ended and needs its row.
    pub ended: Option<Day>,
}

impl Account {
    /// Ledger balance less holds.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.ledger - self.held
    }

    /// Debits that a posting on `date` would add to.
    #[must_use]
    pub fn debits_on(&self, date: BusinessDate) -> i64 {
        if date > self.day.date { 0 } else { self.day.debits }
    }

    /// Credits that a posting on `date` would add to.
    #[must_use]
    pub fn credits_on(&self, date: BusinessDate) -> i64 {
        if date > self.day.date { 0 } else { self.day.credits }
    }

    /// Carries out one posting's effect. The same function decides, and rebuilds state from stored postings.
    pub fn apply(&mut self, seq: u64, date: BusinessDate, effect: Effect) -> Applied {
        let mut applied = Applied { serial: self.serial, ..Applied::default() };
        if date > self.day.date {
            let quiet = self.day.debits == 0 && self.day.credits == 0;
            applied.ended = if quiet { None } else { Some(self.day) };
            self.day = Day { date, opening: self.ledger, debits: 0, credits: 0 };
        }
        self.used = self.used.on(self.day.date);
        // What is given back frees its own day and its own month, and no later ones.
        let taken = effect.given_back_to.map_or(self.used, |day| Used::default().on(day));
        if taken.day == self.used.day {
            self.used.day_sum = (self.used.day_sum + effect.counted).max(0);
        }
        if taken.month == self.used.month {
            self.used.month_sum = (self.used.month_sum + effect.counted).max(0);
        }
        self.ledger += effect.ledger;
        self.held += effect.held;
        if effect.entry {
            self.serial += 1;
            applied.serial = self.serial;
            applied.back = self.path.push(self.serial, seq);
            if effect.ledger < 0 {
                self.day.debits -= effect.ledger;
            } else {
                self.day.credits += effect.ledger;
            }
        }
        self.changed = seq;
        applied
    }
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Restrictions.
    pub marks: Marks,
    /// Version of the standing they come from.
    pub version: i64,
}

/// A hold on a part of a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The posting that made it.
    pub seq: u64,
    /// The account.
    pub account: u64,
    /// What is still held; zero when captured or released.
    pub remaining: i64,
    /// When it lapses, microseconds UTC.
    pub until: Option<i64>,
    /// Day on which it was counted against the limits.
    pub counted_on: BusinessDate,
}

/// Everything decisions are made by.
#[derive(Debug, Default)]
pub struct Book {
    /// Accounts by number.
    pub accounts: Accounts,
    /// Owners by id.
    pub owners: FxHashMap<CustomerId, Owner>,
    /// Limits by product index, each with the day from which it holds, in order.
    pub limits: Vec<Vec<(BusinessDate, Limits)>>,
    /// Holds that commands of the batch made or named, by the posting that made them.
    pub holds: FxHashMap<u64, Hold>,
}

impl Book {
    /// Limits of a product on a day.
    #[must_use]
    pub fn limits_on(&self, product: u32, date: BusinessDate) -> Limits {
        let versions = self.limits.get(product as usize).map_or(&[][..], Vec::as_slice);
        versions[..versions.partition_point(|(from, _)| *from <= date)].last().map(|(_, l)| *l).unwrap_or_default()
    }
}
