//! Published examples, to the won, and laws of splitting.
#![allow(clippy::unwrap_used)]

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;
use proptest::prelude::*;

use super::*;
use crate::domain::book::Limits;
use crate::domain::terms::{Terms, Tier};

fn date(text: &str) -> BusinessDate {
    text.parse().unwrap()
}

fn version(from: &str, tiers: &[(Option<i64>, &str)]) -> Terms {
    let tier = |(up_to, rate): &(Option<i64>, &str)| Tier { up_to: *up_to, rate: rate.parse().unwrap() };
    Terms {
        from: date(from),
        kind: Default::default(),
        currency: Currency::KRW,
        day_count: Default::default(),
        tiers: tiers.iter().map(tier).collect(),
        rounding: Default::default(),
        pay: Default::default(),
        contract: Default::default(),
        limits: Limits::default(),
        corporations: false,
    }
}

fn flat(rate: &str) -> History {
    let mut history = History::default();
    history.add(version("2019-01-01", &[(None, rate)]));
    history
}

fn one_day(history: &History, balance: i64) -> Interest {
    let day = date("2023-08-15");
    work_out(history, TaxClass::Normal, &[(day, balance)], day, day).unwrap()
}

/// At 2 % the bank advertised these after-tax figures for a day.
#[test]
fn a_day_at_two_per_cent() {
    let history = flat("0.02");
    for (balance, net) in [(2_000_000, 99), (50_000_000, 2_329), (100_000_000, 4_649)] {
        assert_eq!(one_day(&history, balance).net, net);
    }
    let small = one_day(&history, 2_000_000);
    assert_eq!((small.gross, small.income_tax, small.local_tax), (109, 10, 0));
}

/// The bank's own example: of 110 million won, 100 earn 2 % and 10 earn 0.1 %.
#[test]
fn tiers_are_marginal() {
    let mut history = History::default();
    history.add(version("2022-01-05", &[(Some(100_000_000), "0.02"), (None, "0.001")]));
    let interest = one_day(&history, 110_000_000);
    assert_eq!(interest.gross, (100_000_000 * 20 + 10_000_000) / 1000 / 365);
    assert_eq!(interest.periods.len(), 2);
}

/// 109.589… won a day make 767 in a week: truncated once, not seven times (763).
#[test]
fn truncated_once() {
    let (from, to) = (date("2023-08-01"), date("2023-08-07"));
    let interest = work_out(&flat("0.02"), TaxClass::Normal, &[(from, 2_000_000)], from, to).unwrap();
    assert_eq!(interest.gross, 767);
}

/// 100 million at 2 %: a year of daily receipts, left in the account, against one payment.
#[test]
fn daily_receipts_against_one_payment() {
    let first = date("2023-01-01");
    let movements = [(first, 100_000_000)];
    let claims: Vec<_> = (1..=365).map(|d| first.add_days(d)).collect();
    let net = |claims: &[BusinessDate]| -> i64 {
        let played = simulate(&flat("0.02"), TaxClass::Normal, &movements, claims).unwrap();
        played.payments.iter().map(|(_, i)| i.net).sum()
    };
    assert_eq!(net(&claims[364..]), 1_692_000);
    assert_eq!(net(&claims), 1_711_000);
}

#[test]
fn a_change_of_rate_splits_the_period() {
    let mut history = flat("0.02");
    history.add(version("2023-08-03", &[(None, "0.018")]));
    let (from, to) = (date("2023-08-01"), date("2023-08-04"));
    let interest = work_out(&history, TaxClass::Exempt, &[(from, 365_000)], from, to).unwrap();
    assert_eq!(interest.gross, 20 * 2 + 18 * 2);
    assert_eq!(interest.periods.len(), 2);
    assert_eq!(interest.net, interest.gross);
}

#[test]
fn other_tax_classes() {
    let of = |class: TaxClass| class.withhold(10_000, 10);
    assert_eq!((of(TaxClass::Coop).income, of(TaxClass::Coop).other), (0, 140));
    assert_eq!((of(TaxClass::CoopOverLimit).income, of(TaxClass::CoopOverLimit).other), (500, 90));
    assert_eq!((of(TaxClass::CoopLater).income, of(TaxClass::CoopLater).other), (900, 50));
    assert_eq!(TaxClass::Normal.withhold(71, 10).income, 0);
    assert_eq!(TaxClass::Normal.withhold(72, 10).income, 10);
}

proptest! {
    /// Where a stretch is split makes no difference to the exact sum.
    #[test]
    fn splitting_changes_nothing(balance in 0i64..1_000_000_000_000, days in 2i32..400, at in 1i32..399) {
        let (from, at) = (date("2023-01-01"), at % days);
        let to = from.add_days(days - 1);
        let exact = |from, to| -> Ratio {
            let i = work_out(&flat("0.0235"), TaxClass::Normal, &[(date("2023-01-01"), balance)], from, to).unwrap();
            i.periods.iter().fold(Ratio::ZERO, |sum, p| sum.checked_add(p.interest).unwrap())
        };
        let whole = exact(from, to);
        let parts = exact(from, from.add_days(at - 1)).checked_add(exact(from.add_days(at), to)).unwrap();
        prop_assert_eq!(whole, parts);
    }
}
