//! Sums over all postings that prove the books, kept apart from the balances that postings are decided by. Pure.
//!
//! Two ways lead to what customers have, and both are walked: the amounts of all entries, and how far each entry moved
//! its account from where the entry before had left it. The bank's own accounts must show the same the other way round.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;

use super::command::Kind;
use super::decide::Posting;

/// Where tax withheld from interest waits.
pub const TAX_SUSPENSE: &str = "tax_suspense";

/// An account as one of its entries left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Serial of the entry.
    pub serial: u64,
    /// Ledger balance after it.
    pub balance: i64,
}

/// The account of one leg before its posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its currency.
    pub currency: Currency,
    /// Its last entry; none when that entry can't be found.
    pub last: Option<Last>,
}

/// Interest paid on the latest day on which some was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// The day, as days since 1970.
    pub date: i32,
    /// Credited to customers.
    pub net: i64,
    /// Withheld.
    pub tax: i64,
    /// Payments.
    pub payments: i64,
}

/// Sums of one currency in minor units, credits less debits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Amounts of customers' entries.
    pub entries: i128,
    /// How far customers' balances moved.
    pub moved: i128,
    /// Amounts on the bank's own accounts.
    pub bank: BTreeMap<&'static str, i128>,
    /// Entries that don't go on from the entry before: another balance, or a gap in the serials.
    pub broken: u64,
    /// Interest.
    pub paid: Paid,
}

/// Sums over all postings up to a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The place.
    pub through: u64,
    /// Postings.
    pub postings: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// By currency.
    pub currencies: BTreeMap<Currency, Sums>,
}

impl Sums {
    /// What is missing for debits to equal credits.
    #[must_use]
    pub fn difference(&self) -> i128 {
        self.entries + self.bank.values().sum::<i128>()
    }

    /// Whether the books of this currency balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.difference() == 0 && self.entries == self.moved && self.broken == 0
    }

    fn entry(&mut self, change: i64, before: Option<Last>, after: Last, moves: bool) {
        self.entries += i128::from(change);
        let Some(before) = before else {
            self.broken += 1;
            return;
        };
        self.moved += i128::from(after.balance) - i128::from(before.balance);
        let expected = Last {
            serial: before.serial + u64::from(moves),
            balance: before.balance.checked_add(change).unwrap_or(i64::MIN),
        };
        self.broken += u64::from(expected != after);
    }

    fn bank(&mut self, account: &'static str, change: i64) {
        *self.bank.entry(account).or_default() += i128::from(change);
    }
}

impl Posting {
    /// Whether it makes entries; holds and their release make none.
    #[must_use]
    pub fn moves(&self) -> bool {
        !matches!(self.kind, Kind::Hold | Kind::Release)
    }
}

impl Totals {
    /// Takes the next posting in; `debit` and `credit` are its customers' accounts as they were before it.
    pub fn take(&mut self, posting: &Posting, debit: Option<Before>, credit: Option<Before>) {
        self.postings += 1;
        let moves = posting.moves();
        let amount = if moves { posting.amount } else { 0 };
        for (leg, before, change) in [(posting.debit, debit, -amount), (posting.credit, credit, amount)] {
            if let (Some(leg), Some(before)) = (leg, before) {
                let after = Last { serial: leg.serial, balance: leg.balance };
                self.sums(before.currency).entry(change, before.last, after, moves);
            }
        }
        let Some(sums) = credit.or(debit).map(|before| self.sums(before.currency)).filter(|_| moves) else { return };
        if let Some(bank) = posting.bank {
            let change = if posting.credit.is_some() { -(amount + posting.tax) } else { amount };
            sums.bank(bank, change);
        }
        if posting.tax != 0 {
            sums.bank(TAX_SUSPENSE, posting.tax);
        }
        if posting.kind == Kind::Interest {
            sums.paid.add(posting.date, amount, posting.tax);
        }
    }

    fn sums(&mut self, currency: Currency) -> &mut Sums {
        self.currencies.entry(currency).or_default()
    }
}

impl Paid {
    fn add(&mut self, date: BusinessDate, net: i64, tax: i64) {
        if date.days() > self.date {
            *self = Paid { date: date.days(), ..Paid::default() };
        }
        if date.days() == self.date {
            (self.net, self.tax, self.payments) = (self.net + net, self.tax + tax, self.payments + 1);
        }
    }

    /// The same, as of a day: nothing when that is another day.
    #[must_use]
    pub fn on(self, date: BusinessDate) -> Paid {
        if date.days() == self.date { self } else { Paid { date: date.days(), ..Paid::default() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decide::Leg;

    fn leg(serial: u64, balance: i64) -> Option<Leg> {
        Some(Leg { account: 1, serial, balance, ..Leg::default() })
    }
    fn before(serial: u64, balance: i64) -> Option<Before> {
        Some(Before { currency: Currency::KRW, last: Some(Last { serial, balance }) })
    }
    fn posting(
        kind: Kind,
        debit: Option<Leg>,
        credit: Option<Leg>,
        bank: Option<&'static str>,
        amount: i64,
    ) -> Posting {
        let date = BusinessDate::from_days(20_000);
        let (seq, tax, held, counted, refers, interest) = (1, 0, 0, 0, None, None);
        Posting { seq, kind, debit, credit, bank, amount, tax, held, counted, refers, date, interest }
    }
    /// An account that got 100 from cash, gave 30 to another, which paid 10 at the till; a hold; interest of 5 less 1.
    fn books() -> Totals {
        let mut totals = Totals::default();
        totals.take(&posting(Kind::Credit, None, leg(1, 100), Some("cash"), 100), None, before(0, 0));
        totals.take(&posting(Kind::Transfer, leg(2, 70), leg(1, 30), None, 30), before(1, 100), before(0, 0));
        totals.take(&posting(Kind::Debit, leg(2, 20), None, Some("cash"), 10), before(1, 30), None);
        totals.take(&posting(Kind::Hold, leg(2, 70), None, None, 50), before(2, 70), None);
        let interest = posting(Kind::Interest, None, leg(3, 74), Some("interest_expense"), 4);
        totals.take(&Posting { tax: 1, ..interest }, None, before(2, 70));
        totals
    }

    #[test]
    fn books_balance_by_both_ways() {
        let totals = books();
        let sums = &totals.currencies[&Currency::KRW];
        assert_eq!((totals.postings, sums.entries, sums.moved), (5, 94, 94));
        assert_eq!(sums.bank, BTreeMap::from([("cash", -90), ("interest_expense", -5), (TAX_SUSPENSE, 1)]));
        assert!(sums.balanced());
        let day = BusinessDate::from_days(20_000);
        assert_eq!(sums.paid, Paid { date: 20_000, net: 4, tax: 1, payments: 1 });
        assert_eq!((sums.paid.on(day), sums.paid.on(day.add_days(1)).net), (sums.paid, 0));
    }

    #[test]
    fn a_wrong_balance_a_gap_and_a_missing_side_are_seen() {
        type Case = (Posting, Option<Before>, Option<Before>, u64, i128);
        let wrong = |leg, before, broken, difference| -> Case {
            (posting(Kind::Credit, None, leg, Some("cash"), 6), None, before, broken, difference)
        };
        let lost = Some(Before { currency: Currency::KRW, last: None });
        let mut one_sided = posting(Kind::Credit, None, leg(4, 80), None, 6);
        one_sided.bank = None;
        for (posting, debit, credit, broken, difference) in [
            wrong(leg(4, 80), before(3, 74), 0, 0),
            wrong(leg(4, 81), before(3, 74), 1, 0),
            wrong(leg(5, 80), before(3, 74), 1, 0),
            wrong(leg(4, 80), lost, 1, 0),
            (one_sided, None, before(3, 74), 0, 6),
        ] {
            let mut totals = books();
            totals.take(&posting, debit, credit);
            let sums = &totals.currencies[&Currency::KRW];
            assert_eq!((sums.broken, sums.difference()), (broken, difference), "{posting:?}");
            assert_eq!(sums.balanced(), broken == 0 && difference == 0);
        }
    }
}
