//! Laws that hold for all values, and facts that hold for some.
#![allow(clippy::unwrap_used, missing_docs)]

use jangbu_kernel::account_number::AccountNumber;
use jangbu_kernel::calendar::{Calendar, nth_weekday};
use jangbu_kernel::date::{BusinessDate, Weekday};
use jangbu_kernel::daycount::DayCount;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::money::{Amount, Currency};
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;
use jangbu_kernel::round::{Rounding, truncate_to};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use proptest::prelude::*;

proptest! {
    #[test]
    fn dates_round_trip(days in -25_567i32..84_006) {
        let date = BusinessDate::from_days(days);
        prop_assert_eq!(date.to_string().parse::<BusinessDate>().unwrap(), date);
        prop_assert_eq!(BusinessDate::from_ymd(date.year(), date.month(), date.day()).unwrap(), date);
        let tomorrow = date.add_days(1);
        prop_assert!(date.to_string() < tomorrow.to_string());
    }

    #[test]
    fn instants_round_trip(micros in 0i64..4_102_444_800_000_000) {
        let at = Timestamp::from_micros(micros);
        prop_assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        let midnight = at.next_midnight(UtcOffset::SEOUL);
        prop_assert!(at < midnight && midnight.micros() - micros <= 86_400_000_000);
        prop_assert!(midnight.business_date(UtcOffset::SEOUL) == at.business_date(UtcOffset::SEOUL).add_days(1));
    }

    #[test]
    fn ids_round_trip_and_keep_their_order(a: [u8; 16], b: [u8; 16]) {
        let (x, y) = (AccountId::from_bytes(a), AccountId::from_bytes(b));
        prop_assert_eq!(x.to_string().parse::<AccountId>().unwrap(), x);
        prop_assert_eq!(x.to_bytes(), a);
        prop_assert_eq!(x.cmp(&y), x.to_string().cmp(&y.to_string()));
        prop_assert_eq!(AccountId::from_parts(x.millis(), x.rest()), x);
    }

    #[test]
    fn fractions_obey_the_laws(a in -1_000_000i64..1_000_000, b in 1i64..100_000, c in -1_000_000i64..1_000_000, d in 1i64..100_000) {
        let x = Ratio::new(i128::from(a), i128::from(b)).unwrap();
        let y = Ratio::new(i128::from(c), i128::from(d)).unwrap();
        let sum = x.checked_add(y).unwrap();
        prop_assert_eq!(sum.checked_sub(y).unwrap(), x);
        prop_assert_eq!(x.checked_mul(y), y.checked_mul(x));
        prop_assert_eq!(x.cmp(&y), (i128::from(a) * i128::from(d)).cmp(&(i128::from(c) * i128::from(b))));
        prop_assert!(x.floor() <= x.round(Rounding::HalfUp));
        prop_assert!(x.round(Rounding::Down).abs() <= x.round(Rounding::Up).abs());
    }

    #[test]
    fn fractions_never_wrap(a: i128, b: i128, c: i128, d: i128) {
        // What does not fit is told; what fits is right, as far as it can be looked at again.
        let (Some(x), Some(y)) = (Ratio::new(a, b), Ratio::new(c, d)) else { return Ok(()) };
        prop_assert!(x.den() > 0 && y.den() > 0);
        if let Some(sum) = x.checked_add(y) {
            prop_assert!(sum.checked_sub(y).is_none_or(|back| back == x));
        }
        if let Some(product) = x.checked_mul(y).filter(|_| y.num() != 0) {
            prop_assert!(product.checked_div(y).is_none_or(|back| back == x));
        }
        prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
        prop_assert_eq!(x.cmp(&y).is_eq(), x == y);
        let floor = x.floor();
        prop_assert!(Ratio::new(floor, 1).is_some_and(|f| f <= x));
    }

    #[test]
    fn rounding_stays_within_one(a in -1_000_000i64..1_000_000, b in 1i64..1_000) {
        let x = Ratio::new(i128::from(a), i128::from(b)).unwrap();
        let (down, half, up) = (x.round(Rounding::Down), x.round(Rounding::HalfUp), x.round(Rounding::Up));
        prop_assert_eq!(down, i128::from(a / b));
        prop_assert!(up.abs() - down.abs() == i128::from(a % b != 0));
        prop_assert_eq!(half.abs(), i128::from((2 * a.abs() + b) / (2 * b)));
        for unit in [1, 10, 1_000] {
            let cut = truncate_to(a, unit);
            prop_assert!(cut % unit == 0 && (a - cut).abs() < unit && cut.abs() <= a.abs());
        }
    }

    #[test]
    fn parts_of_a_year_add_up(from in 18_000i32..24_000, days in 0i32..1_500, at in 0i32..1_500) {
        let (first, last) = (BusinessDate::from_days(from), BusinessDate::from_days(from + days));
        let middle = BusinessDate::from_days(from + at % (days + 1));
        for count in [DayCount::Act365F, DayCount::Act360, DayCount::ActAct] {
            let whole = count.fraction(first, last).unwrap();
            let left = count.fraction(first, middle).unwrap();
            let right = count.fraction(middle.add_days(1), last).unwrap();
            prop_assert_eq!(left.checked_add(right).unwrap(), whole);
            let daily = (0..=days).try_fold(Ratio::ZERO, |sum, day| {
                let day = BusinessDate::from_days(from + day);
                sum.checked_add(Ratio::new(1, i128::from(count.divisor(day))).unwrap())
            });
            prop_assert_eq!(daily.unwrap(), whole);
        }
    }

    #[test]
    fn months_add_up(days in 10_000i32..30_000, a in 0u32..400, b in 0u32..400) {
        let date = BusinessDate::from_days(days);
        let there = date.add_months(a + b);
        prop_assert_eq!(there.year() * 12 + there.month() as i32, date.year() * 12 + (date.month() + a + b) as i32);
        prop_assert!(there.day() == date.day() || (there.day() < date.day() && there.add_days(1).day() == 1));
        if date.day() <= 28 {
            prop_assert_eq!(date.add_months(a).add_months(b), there);
        }
    }

    #[test]
    fn ages_change_on_birthdays(days in 0i32..20_000, later in 0i32..30_000) {
        let born = BusinessDate::from_days(days);
        let (day, next) = (born.add_days(later), born.add_days(later + 1));
        let grew = born.years_until(next) - born.years_until(day);
        let birthday = (next.month(), next.day()) == (born.month(), born.day());
        let leapling = (born.month(), born.day()) == (2, 29) && (next.month(), next.day()) == (3, 1) && day.day() == 28;
        prop_assert_eq!(grew, i32::from(birthday || leapling));
    }

    #[test]
    fn business_days_are_found(days in 17_000i32..21_000) {
        let date = BusinessDate::from_days(days);
        let next = Calendar::korea().next_business_day(date);
        prop_assert!(next >= date && Calendar::korea().is_business_day(next));
        let mut between = date;
        while between < next {
            prop_assert!(!Calendar::korea().is_business_day(between));
            between = between.add_days(1);
        }
    }

    #[test]
    fn rates_are_as_written(digits in 0i64..1_000_000, scale in 0u32..7) {
        let rate = Rate::new(digits, scale).unwrap();
        prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        prop_assert_eq!(rate.as_ratio(), Ratio::new(i128::from(digits), 10i128.pow(scale)).unwrap());
    }

    #[test]
    fn a_slip_in_an_account_number_is_caught(serial in 0u64..999_999_999, at in 0usize..11, by in 1u8..10) {
        let number = AccountNumber::make(1000, serial).unwrap();
        prop_assert_eq!(&number.as_str().parse::<AccountNumber>().unwrap(), &number);
        let mut digits = number.as_str().as_bytes().to_vec();
        digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
        prop_assert!(String::from_utf8(digits).unwrap().parse::<AccountNumber>().is_err());
    }
}

#[test]
fn months_end_where_the_calendar_does() {
    let date = |s: &str| s.parse::<BusinessDate>().unwrap();
    for (from, months, to) in [
        ("2024-01-31", 1, "2024-02-29"),
        ("2023-01-31", 1, "2023-02-28"),
        ("2023-01-31", 0, "2023-01-31"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2023-12-15", 1, "2024-01-15"),
        ("2024-02-29", 12, "2025-02-28"),
        ("9999-12-01", 5, "9999-12-31"),
    ] {
        assert_eq!(date(from).add_months(months), date(to), "{from} and {months} months");
    }
}

#[test]
fn facts() {
    let date = |s: &str| s.parse::<BusinessDate>().unwrap();
    assert_eq!(date("2026-11-24").weekday(), Weekday::Tuesday);
    assert_eq!(nth_weekday(2026, 11, Weekday::Friday, 3), Some(date("2026-11-20")));
    assert!("2026-02-29".parse::<BusinessDate>().is_err());
    assert!(!Calendar::korea().is_business_day(date("2019-02-05")));
    assert_eq!(date("2000-02-29").years_until(date("2018-02-28")), 17);
    assert_eq!(Currency::KRW.exponent(), 0);
    assert_eq!("BHD".parse::<Currency>().unwrap().exponent(), 3);
    assert!("XXX".parse::<Currency>().is_err());
    assert!(Amount::new(0).is_err() && Amount::new(1_000_000_000_000_001).is_err());
    assert_eq!(truncate_to(72, 10), 70);
    assert_eq!(Ratio::new(5, 2).unwrap().round(Rounding::HalfUp), 3);
    assert_eq!(Ratio::new(-5, 2).unwrap().round(Rounding::HalfUp), -3);
    let at = "2026-01-01T00:00:00+09:00".parse::<Timestamp>().unwrap();
    assert_eq!(at.to_string(), "2025-12-31T15:00:00.000000Z");
    assert_eq!(at.business_date(UtcOffset::SEOUL), date("2026-01-01"));
    let leap = DayCount::ActAct.fraction(date("2023-12-31"), date("2024-01-01")).unwrap();
    assert_eq!(leap, Ratio::new(1, 365).unwrap().checked_add(Ratio::new(1, 366).unwrap()).unwrap());
}
