//! The bank as it should be: a second opinion about every account, written apart from the services.
//!
//! Plain and slow: sums are taken from lists each time they are needed, so that there is no total that could drift.
//! [`rules`] says what speaks against a command and what it does; this part carries it out and compares what the bank
//! said of it.

pub mod fx;
pub mod interest;
pub mod rules;
pub mod terms;
pub mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jangbu_contracts::deposit::{Posting, Side};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, HoldId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;

use rules::Doing;
use terms::Versions;

/// A customer.
#[derive(Clone, Debug, Default)]
pub struct Customer {
    /// A natural person.
    pub person: bool,
    /// Marks that are set.
    pub marks: BTreeSet<String>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its posting.
    pub posting: PostingId,
    /// Kind of its posting.
    pub kind: String,
    /// Debit or credit.
    pub side: Side,
    /// Minor units.
    pub amount: i64,
    /// Ledger balance after.
    pub balance_after: i64,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// Text for the statement.
    pub memo: Option<String>,
}

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The instance that keeps it.
    pub instance: String,
    /// Its owner.
    pub customer: CustomerId,
    /// Its product.
    pub product: String,
    /// Its currency.
    pub currency: Currency,
    /// First day.
    pub opened_on: BusinessDate,
    /// Day of closing.
    pub closed_on: Option<BusinessDate>,
    /// Marks of the account itself.
    pub marks: BTreeSet<String>,
    /// Marks that are being set: some requests under way see them, and others don't.
    pub coming: BTreeSet<String>,
    /// Entries; the first has serial 1.
    pub entries: Vec<Entry>,
    /// The last day of which the account knows: nothing is posted to a day before.
    pub running: BusinessDate,
    /// What counts against limits, by the day on which it was taken.
    pub counted: BTreeMap<BusinessDate, i64>,
    /// Interest has been paid up to and including this day.
    pub paid_through: BusinessDate,
    /// Holds that still keep money.
    pub holds: Vec<HoldId>,
}

/// A hold.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Of which account.
    pub account: AccountId,
    /// What is still held, minor units.
    pub amount: i64,
    /// When it lapses.
    pub until: Option<Timestamp>,
    /// The day on which it was counted.
    pub taken_on: BusinessDate,
}

/// What is known of a posting, for undoing it.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its kind.
    pub kind: String,
    /// Account debited.
    pub debit: Option<AccountId>,
    /// Account credited.
    pub credit: Option<AccountId>,
    /// The bank's account.
    pub bank: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// The day on which it was counted against limits.
    pub taken_on: BusinessDate,
    /// The interest that it paid.
    pub paid: Option<Paid>,
    /// Undone.
    pub reversed: bool,
}

/// Interest that was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// First day.
    pub from: BusinessDate,
    /// Last day.
    pub to: BusinessDate,
    /// Figures.
    pub due: interest::Due,
}

/// The whole bank.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Customers.
    pub customers: HashMap<CustomerId, Customer>,
    /// Accounts.
    pub accounts: HashMap<AccountId, Account>,
    /// Holds, also those that ended.
    pub holds: HashMap<HoldId, Hold>,
    /// Holds that will lapse.
    pub lapsing: Vec<HoldId>,
    /// Postings.
    pub postings: HashMap<PostingId, Done>,
    /// Products by instance and code.
    pub products: HashMap<(String, String), Versions>,
    /// Sums of the bank's own accounts: credits less debits.
    pub bank: BTreeMap<(Currency, String), i128>,
    /// Income tax and local tax withheld.
    pub taxes: BTreeMap<Currency, (i128, i128)>,
}

impl Account {
    /// Ledger balance.
    #[must_use]
    pub fn ledger(&self) -> i64 {
        self.entries.last().map_or(0, |e| e.balance_after)
    }

    /// Balance when a day ended, or as it stands when it has not.
    #[must_use]
    pub fn closing(&self, day: BusinessDate) -> i64 {
        let upto = self.entries.partition_point(|e| e.date <= day);
        self.entries[..upto].last().map_or(0, |e| e.balance_after)
    }

    /// Opening, debits, credits, closing and last serial of a day.
    #[must_use]
    pub fn day(&self, day: BusinessDate) -> (i64, i64, i64, i64, u64) {
        let from = self.entries.partition_point(|e| e.date < day);
        let upto = self.entries.partition_point(|e| e.date <= day);
        let sum = |side: Side| self.entries[from..upto].iter().filter(|e| e.side == side).map(|e| e.amount).sum();
        (self.closing(day.add_days(-1)), sum(Side::Debit), sum(Side::Credit), self.closing(day), upto as u64)
    }

    /// What counts against the limits of a day.
    #[must_use]
    pub fn counted_on(&self, day: BusinessDate) -> i64 {
        self.counted.get(&day).copied().unwrap_or(0)
    }

    /// What counts against the limits of a day's month.
    #[must_use]
    pub fn counted_in_month(&self, day: BusinessDate) -> i64 {
        let month = |d: BusinessDate| (d.year(), d.month());
        self.counted.iter().filter(|(d, _)| month(**d) == month(day)).map(|(_, sum)| sum).sum()
    }
}

impl Model {
    /// Sum of what is held of an account.
    #[must_use]
    pub fn held(&self, account: AccountId) -> i64 {
        let live = self.accounts.get(&account).map_or(&[][..], |a| &a.holds);
        live.iter().filter_map(|id| self.holds.get(id)).map(|h| h.amount).sum()
    }

    /// Ledger balance less holds; zero for an unknown account.
    #[must_use]
    pub fn available(&self, account: AccountId) -> i64 {
        self.accounts.get(&account).map_or(0, Account::ledger) - self.held(account)
    }

    /// Whether marks are being set.
    #[must_use]
    pub fn marks_come(&self) -> bool {
        self.accounts.values().any(|account| !account.coming.is_empty())
    }

    /// Marks that were being set are set.
    pub fn marks_came(&mut self) {
        for account in self.accounts.values_mut() {
            account.marks.append(&mut account.coming);
        }
    }

    /// Lets go of holds whose time has passed.
    pub fn lapse(&mut self, now: Timestamp) {
        for id in std::mem::take(&mut self.lapsing) {
            let Some(hold) = self.holds.get(&id).filter(|h| h.amount > 0) else { continue };
            if hold.until.is_none_or(|until| until > now) {
                self.lapsing.push(id);
                continue;
            }
            let (taken_on, amount) = (hold.taken_on, hold.amount);
            if let Some(account) = self.accounts.get_mut(&hold.account) {
                *account.counted.entry(taken_on).or_default() -= amount;
            }
            self.settle(id);
        }
    }

    /// A hold keeps nothing any more.
    fn settle(&mut self, id: HoldId) {
        let Some(hold) = self.holds.get_mut(&id) else { return };
        hold.amount = 0;
        if let Some(account) = self.accounts.get_mut(&hold.account) {
            account.holds.retain(|live| *live != id);
        }
    }

    /// Carries out what was decided, and says how the bank's own account of it differs.
    ///
    /// # Errors
    /// Every difference, in one text.
    pub fn carry_out(&mut self, doing: &Doing, said: &Said<'_>) -> Result<(), String> {
        let mut differ = Differences::default();
        let running = doing.legs.iter().filter_map(|l| self.accounts.get(&l.account)).map(|a| a.running);
        let date = running.fold(doing.date, BusinessDate::max);
        for leg in &doing.legs {
            let Some(account) = self.accounts.get_mut(&leg.account) else { continue };
            account.running = date;
            if let Some(taken_on) = leg.given_back_to {
                *account.counted.entry(taken_on).or_default() -= leg.counted;
            } else if leg.counted > 0 {
                *account.counted.entry(date).or_default() += leg.counted;
            }
            let Some(side) = leg.side else { continue };
            let balance_after = account.ledger() + if side == Side::Credit { leg.amount } else { -leg.amount };
            account.entries.push(Entry {
                posting: said.id,
                kind: doing.kind.to_owned(),
                side,
                amount: leg.amount,
                balance_after,
                date,
                memo: doing.memo.clone(),
            });
            if let Some(posting) = said.posting {
                differ.leg(posting, leg.account, side, account.entries.len() as u64, leg.amount, balance_after);
            }
        }
        let currency = doing.legs.iter().find_map(|l| self.accounts.get(&l.account)).map(|a| a.currency);
        if let Some(currency) = currency {
            for (name, side, amount) in &doing.bank {
                let sum = self.bank.entry((currency, name.clone())).or_default();
                *sum += if *side == Side::Credit { i128::from(*amount) } else { -i128::from(*amount) };
            }
        }
        if let (Some(currency), Some(due)) = (currency, doing.due) {
            let (income, local) = self.taxes.entry(currency).or_default();
            *income += i128::from(due.income_tax);
            *local += i128::from(due.local_tax);
        }
        self.keep(doing, said, date);
        if let (Some(posting), Some(currency)) = (said.posting, currency) {
            differ.posting(posting, doing, date, currency);
        }
        differ.told()
    }

    /// Keeps what later commands refer to.
    fn keep(&mut self, doing: &Doing, said: &Said<'_>, date: BusinessDate) {
        if let Some(hold) = doing.settles {
            self.settle(hold);
        }
        if let (Some((id, amount, until)), Some(hold)) = (doing.holds, said.posting.and_then(|p| p.hold)) {
            self.holds.insert(hold, Hold { account: id, amount, until, taken_on: date });
            self.lapsing.extend(until.map(|_| hold));
            if let Some(account) = self.accounts.get_mut(&id) {
                account.holds.push(hold);
            }
        }
        if let Some(original) = doing.reverses.and_then(|id| self.postings.get_mut(&id)) {
            original.reversed = true;
        }
        let mut paid = None;
        if let (Some((account, to)), Some(due)) = (doing.pays_interest, doing.due)
            && let Some(account) = self.accounts.get_mut(&account)
        {
            paid = Some(Paid { from: account.paid_through.add_days(1), to, due });
            account.paid_through = to;
        }
        let of = |side| doing.legs.iter().find(|l| l.side == Some(side)).map(|l| l.account);
        let done = Done {
            kind: doing.kind.to_owned(),
            debit: of(Side::Debit),
            credit: of(Side::Credit),
            bank: doing.bank.first().map(|(name, ..)| name.clone()),
            amount: doing.amount,
            date,
            taken_on: doing.taken_on.unwrap_or(date),
            paid,
            reversed: false,
        };
        self.postings.insert(said.id, done);
    }
}

/// What the bank said of a posting.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its id.
    pub id: PostingId,
    /// The posting; absent when only the figures of an interest payment are known.
    pub posting: Option<&'a Posting>,
}

/// Collects how two accounts of one thing differ.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, bank: &T, model: &T) {
        if bank != model {
            self.0.push(format!("{what} is {bank:?}, should be {model:?}"));
        }
    }

    fn leg(&mut self, posting: &Posting, account: AccountId, side: Side, serial: u64, amount: i64, after: i64) {
        let name = account.to_string();
        let Some(entry) = posting.entries.iter().find(|e| e.account == name && e.side == side) else {
            self.0.push(format!("there is no {side:?} entry of {name}"));
            return;
        };
        self.same("serial", &entry.serial, &Some(serial));
        self.same("amount of an entry", &entry.amount, &amount);
        self.same("balance after", &entry.balance_after, &Some(after));
    }

    fn posting(&mut self, posting: &Posting, doing: &Doing, date: BusinessDate, currency: Currency) {
        self.same("kind", &posting.kind.as_str(), &doing.kind);
        self.same("amount", &posting.amount, &doing.amount);
        self.same("currency", &posting.currency, &currency);
        self.same("business date", &posting.business_date, &date);
        self.same("memo", &posting.memo, &doing.memo);
        self.same("what it undoes", &posting.reverses, &doing.reverses);
        if let Some(hold) = doing.settles {
            self.same("hold", &posting.hold, &Some(hold));
        }
        let customers = doing.legs.iter().filter(|l| l.side.is_some()).count();
        self.same("number of entries", &posting.entries.len(), &(customers + doing.bank.len()));
        for (name, side, amount) in &doing.bank {
            let found = posting
                .entries
                .iter()
                .any(|e| e.account == *name && e.side == *side && e.amount == *amount && e.serial.is_none());
            self.same(&format!("an entry of {amount} on {name}"), &found, &true);
        }
        let signed = |e: &jangbu_contracts::deposit::Entry| if e.side == Side::Debit { -e.amount } else { e.amount };
        self.same("sum of entries", &posting.entries.iter().map(signed).sum::<i64>(), &0);
    }

    fn told(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("; ")) }
    }
}
