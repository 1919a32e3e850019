//! Contracts with a fixed time, to the won.
#![allow(clippy::unwrap_used)]

use jangbu_kernel::money::Currency;

use super::*;
use crate::domain::book::Limits;
use crate::domain::terms::{Contract, Pay, Tier};

fn date(text: &str) -> BusinessDate {
    text.parse().unwrap()
}
fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn terms(kind: ProductKind, yearly: &str, contract: Contract) -> Terms {
    Terms {
        from: date("2020-01-01"),
        kind,
        currency: Currency::KRW,
        day_count: Default::default(),
        tiers: vec![Tier { up_to: None, rate: rate(yearly) }],
        rounding: Default::default(),
        pay: Pay::Maturity,
        contract,
        limits: Limits::default(),
        corporations: false,
    }
}

/// The tables of flexible savings as published in 2023-08.
fn published(length: Length) -> Contract {
    let fixed = |months, text| Step { up_to_months: months, rate: StepRate::Fixed(rate(text)) };
    let share = |months, share, pro_rata, least| Step {
        up_to_months: months,
        rate: StepRate::Share { share: rate(share), pro_rata, at_least: rate(least) },
    };
    Contract {
        length: Some(length),
        bonus: vec![("every_auto_transfer".into(), rate("0.02"))],
        early_closing: vec![
            fixed(Some(1), "0.001"),
            fixed(Some(3), "0.003"),
            share(Some(6), "0.5", true, "0.003"),
            share(Some(9), "0.7", true, "0.004"),
            share(Some(11), "0.8", true, "0.004"),
            share(None, "0.9", true, "0.005"),
        ],
        after_maturity: vec![
            share(Some(1), "0.5", false, "0"),
            share(Some(3), "0.2", false, "0"),
            fixed(None, "0.001"),
        ],
    }
}

/// Movements as `DATE AMOUNT, …`; the gross, or why there is none.
fn gross(terms: &Terms, movements: &str, close: Option<&str>, met: &[&str]) -> Result<i64, Unworkable> {
    let one = |text: &str| {
        let (day, amount) = text.trim().split_once(' ').unwrap();
        (date(day), amount.replace('_', "").parse().unwrap())
    };
    let movements: Vec<_> = movements.split(',').map(one).collect();
    let met: Vec<String> = met.iter().map(|m| (*m).to_owned()).collect();
    let played = simulate(terms, TaxClass::Exempt, &movements, close.map(date), &met)?;
    let paid: i64 = played.payments.iter().map(|(_, i)| i.gross).sum();
    assert_eq!(played.balance, movements.iter().map(|(_, amount)| amount).sum::<i64>() + paid);
    Ok(paid)
}

#[test]
fn term_deposits_by_months_and_by_days() {
    let term = |length| terms(ProductKind::Term, "0.035", Contract { length, ..Contract::default() });
    let paid = |length, amount: &str| gross(&term(length), amount, None, &[]);
    assert_eq!(paid(Some(Length::Months(12)), "2024-01-31 10_000_000"), Ok(350_000));
    assert_eq!(paid(Some(Length::Months(7)), "2024-01-31 1_000_001"), Ok(20_416));
    assert_eq!(paid(Some(Length::Days(184)), "2024-01-31 100_000_000"), Ok(1_764_383));
    assert_eq!(paid(Some(Length::Days(92)), "2024-01-31 100_000_000"), Ok(882_191));
    assert_eq!(gross(&term(None), "2024-01-01 100_000_000", Some("2024-04-02"), &[]), Ok(882_191));
}

/// 4 / 1200 does not terminate: decimals that form it first lose the last won of the 24-month example.
#[test]
fn instalments_are_worked_out_exactly() {
    let savings = |months| {
        let length = Some(Length::Months(months));
        terms(ProductKind::Instalment, "0.04", Contract { length, ..Contract::default() })
    };
    let start = date("2024-01-31");
    let monthly = |months: u32, amount: i64| {
        let movements: Vec<_> = (0..months).map(|n| (start.add_months(n), amount)).collect();
        let played = simulate(&savings(months), TaxClass::Normal, &movements, None, &[]).unwrap();
        let (day, interest) = played.payments.first().cloned().unwrap();
        assert_eq!(day, start.add_months(months));
        (interest.gross, interest.net)
    };
    assert_eq!(monthly(24, 500_000), (500_000, 423_000));
    assert_eq!(monthly(12, 100_000), (26_000, 22_000));
    assert_eq!(monthly(1, 300), (1, 1));
    let late = gross(&savings(12), "2024-01-10 100_000, 2024-02-11 100_000", None, &[]);
    assert!(matches!(late, Err(Unworkable::Unsupported(_))));
}

#[test]
fn flexible_savings_by_the_published_tables() {
    let flexible = terms(ProductKind::Flexible, "0.03", published(Length::Months(12)));
    let two = "2024-01-10 300_000, 2024-03-15 500_000";
    let one = "2024-01-10 300_000";
    let met = ["every_auto_transfer"];
    for (movements, close, met, wanted) in [
        (two, None, met.as_slice(), 35_657),
        (two, Some("2025-01-10"), met.as_slice(), 35_657),
        (two, None, &[], 21_394),
        (one, Some("2024-02-10"), met.as_slice(), 25),
        (one, Some("2024-02-11"), met.as_slice(), 78),
        (two, Some("2024-04-10"), &[], 331),
        (two, Some("2024-07-01"), &[], 2_057),
        (two, Some("2024-12-20"), &[], 16_978),
    ] {
        assert_eq!(gross(&flexible, movements, close, met), Ok(wanted), "{movements} {close:?}");
    }
}

#[test]
fn the_time_after_maturity_pays_by_its_table() {
    let term = terms(ProductKind::Term, "0.035", published(Length::Months(12)));
    for (close, wanted) in
        [("2025-01-10", 350_000), ("2025-01-11", 350_479), ("2025-02-10", 364_863), ("2025-05-01", 376_753)]
    {
        assert_eq!(gross(&term, "2024-01-10 10_000_000", Some(close), &[]), Ok(wanted), "{close}");
    }
}

#[test]
fn what_terms_do_not_say_is_not_invented() {
    let term = terms(ProductKind::Term, "0.035", Contract { length: Some(Length::Months(12)), ..Contract::default() });
    let unsupported = |movements: &str, close: Option<&str>| {
        assert!(
            matches!(gross(&term, movements, close, &[]), Err(Unworkable::Unsupported(_))),
            "{movements} {close:?}"
        );
    };
    unsupported("2024-01-10 1000", Some("2024-06-01")); // no table for early closing
    unsupported("2024-01-10 1000", Some("2025-01-11")); // none for the time after maturity
    unsupported("2024-01-10 1000, 2024-01-11 1000", None);
    unsupported("2024-01-10 1000, 2024-01-11 -1000", None);
    unsupported("2024-01-10 1000, 2025-01-10 1000", None);
}
