//! Texts: whatever is read is written again as it was, and nothing that is read can bring the process down.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Display;
use std::str::FromStr;

use jangbu_kernel::account_number::AccountNumber;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, PostingId};
use jangbu_kernel::money::{AMOUNT_MAX, Amount, Currency};
use jangbu_kernel::rate::Rate;
use jangbu_kernel::secret::Secret;
use jangbu_kernel::time::Timestamp;
use proptest::prelude::*;

/// Reads any text; what is taken is written as something that reads the same.
fn read<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) -> Option<String> {
    let value = text.parse::<T>().ok()?;
    let shown = value.to_string();
    assert!(shown.parse::<T>().is_ok_and(|again| again == value), "{text:?} is shown as {shown:?}");
    Some(shown)
}

/// Texts near to what is good, and far from it.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[0-9T:Z.+-]{0,40}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,8})?([Zz]|[+-][0-9]{2}:[0-9]{2})?",
        "-?[0-9]{0,20}\\.?[0-9]{0,14}",
        "(acc|cus|pst|hld)_[0-9A-Za-z]{24,28}",
        "[A-Za-z]{2,4}",
        "[0-9-]{10,18}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_read_is_written_as_it_was(text in texts()) {
        if let Some(shown) = read::<BusinessDate>(&text) {
            prop_assert_eq!(&shown, &text, "days have one form");
        }
        if let Some(shown) = read::<AccountId>(&text) {
            prop_assert_eq!(&shown, &text, "ids have one form");
        }
        if let Some(shown) = read::<Currency>(&text) {
            prop_assert_eq!(&shown, &text);
        }
        if let Some(shown) = read::<Timestamp>(&text) {
            prop_assert!(shown.ends_with('Z') && shown.len() == 27, "{}", shown);
        }
        if let Some(shown) = read::<Rate>(&text) {
            prop_assert_eq!(shown.contains('.'), text.contains('.'));
        }
        read::<AccountNumber>(&text);
        prop_assert!(read::<CustomerId>(&text).is_none() || !text.starts_with("acc_"));
    }

    #[test]
    fn amounts_are_positive_and_bounded(minor: i64) {
        let good = (1..=AMOUNT_MAX).contains(&minor);
        prop_assert_eq!(Amount::new(minor).is_ok(), good);
        let read: Result<Amount, _> = serde_json::from_str(&minor.to_string());
        prop_assert_eq!(read.is_ok(), good);
    }

    #[test]
    fn ids_grow_with_time(a in 0u64..1 << 48, b in 0u64..1 << 48, x in 0u128..1 << 80, y in 0u128..1 << 80) {
        let (left, right) = (PostingId::from_parts(a, x), PostingId::from_parts(b, y));
        prop_assert_eq!((left.millis(), left.rest()), (a, x));
        prop_assert_eq!(left.cmp(&right), (a, x).cmp(&(b, y)));
    }
}

#[test]
fn what_is_not_good_is_not_read() {
    let not = |bad: bool, what: &str| assert!(bad, "{what} was read");
    for text in
        ["2026-1-01", "2026-01-1", "26-01-01", "2026-00-10", "2026-13-01", "2026-04-31", "0000-01-01", "+026-01-01"]
    {
        not(text.parse::<BusinessDate>().is_err(), text);
    }
    for text in [
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-01-01T00:00:00+9:00",
        "2026-01-01T00:00:00+09:60",
        "2026-01-01 00:00:00Z",
        "2026-01-01T+1:00:00Z",
    ] {
        not(text.parse::<Timestamp>().is_err(), text);
    }
    for text in
        ["", ".", "1.", ".5", "+1", "1e3", "0x1", "1_0", " 1", "1 ", "--1", "0.0000000000001", "99999999999999999999"]
    {
        not(text.parse::<Rate>().is_err(), text);
    }
    for text in [
        "acc_",
        "acc_0000000000000000000000000",
        "acc_000000000000000000000000000",
        "acc_80000000000000000000000000",
        "acc_0000000000000000000000000I",
        "acc_0000000000000000000000000a",
        "ACC_00000000000000000000000000",
        "cus_00000000000000000000000000",
    ] {
        not(text.parse::<AccountId>().is_err(), text);
    }
    for text in ["won", "krw", "KR", "KRWW", "XAU", "ZZZ", ""] {
        not(text.parse::<Currency>().is_err(), text);
    }
}

#[test]
fn digits_of_currencies() {
    let digits = |code: &str| code.parse::<Currency>().unwrap().exponent();
    for (codes, wanted) in [
        ("KRW JPY VND CLP ISK XAF UGX", 0),
        ("USD EUR GBP CNY HKD SGD AUD CAD CHF NZD THB SEK DKK NOK IDR", 2),
        ("BHD IQD JOD KWD LYD OMR TND", 3),
        ("CLF UYW", 4),
    ] {
        for code in codes.split(' ') {
            assert_eq!(digits(code), wanted, "{code}");
        }
    }
}

#[test]
fn a_secret_is_never_shown() {
    let secret = Secret::new("Hong Gildong".to_owned());
    assert_eq!((format!("{secret}"), format!("{secret:?}")), ("***".to_owned(), "***".to_owned()));
    assert_eq!(secret.expose(), "Hong Gildong");
    let number = AccountNumber::make(1_001, 1).unwrap();
    assert!(!format!("{number:?}").contains(number.as_str()));
}
