//! Interest through the call's own function: published figures to the won, in a table; and a slow model of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Works out a body as the call does.
fn call(body: &str) -> Result<Simulation, (String, Option<String>)> {
    let done = || -> Result<Simulation, Refused> {
        let body: Simulate = read_json(body.as_bytes())?;
        let first = body.movements.iter().map(|m| m.date).min();
        work(&given(body.terms.as_ref().unwrap(), first)?, &body)
    };
    done().map_err(|refused| {
        let field = refused.0.failures.first().and_then(|f| f.field.clone());
        (refused.0.code, field)
    })
}

/// `0.02`, or marginal tiers `0.02 to 100_000_000, 0.001`.
fn tiers(text: &str) -> String {
    let tier = |part: &str| match part.trim().split_once(" to ") {
        Some((rate, top)) => format!("{{\"up_to\":{},\"rate\":\"{rate}\"}}", top.replace('_', "")),
        None => format!("{{\"up_to\":null,\"rate\":\"{}\"}}", part.trim()),
    };
    format!("[{}]", text.split(',').map(tier).collect::<Vec<_>>().join(","))
}

/// Terms: `CUR DAY_COUNT tiers [from DATE tiers]*`.
fn terms(text: &str) -> String {
    let mut words = text.splitn(3, ' ');
    let (currency, day_count) = (words.next().unwrap(), words.next().unwrap());
    let mut versions = words.next().unwrap().split(" from ");
    let head = format!("\"currency\":\"{currency}\",\"day_count\":\"{day_count}\"");
    let mut all = vec![format!("{{{head},\"tiers\":{}}}", tiers(versions.next().unwrap()))];
    all.extend(versions.map(|version| {
        let (from, rates) = version.split_once(' ').unwrap();
        format!("{{{head},\"from\":\"{from}\",\"tiers\":{}}}", tiers(rates))
    }));
    format!("[{}]", all.join(","))
}

/// Movements `DATE AMOUNT, DATE AMOUNT`.
fn movements(text: &str) -> String {
    let one = |part: &str| {
        let (date, amount) = part.trim().split_once(' ').unwrap();
        format!("{{\"date\":\"{date}\",\"amount\":{}}}", amount.replace('_', ""))
    };
    format!("[{}]", text.split(',').map(one).collect::<Vec<_>>().join(","))
}

/// `claim DATE DATE`, `close DATE`, `claim daily FROM DAYS`.
fn days(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let list = |days: &[String]| format!("\"claim_on\":[{}]", days.join(","));
    match words.as_slice() {
        ["close", day] => format!("\"close_on\":\"{day}\""),
        ["claim", "daily", from, count] => {
            let from: BusinessDate = from.parse().unwrap();
            list(&(0..count.parse().unwrap()).map(|n| format!("\"{}\"", from.add_days(n))).collect::<Vec<_>>())
        }
        ["claim", rest @ ..] => list(&rest.iter().map(|d| format!("\"{d}\"")).collect::<Vec<_>>()),
        _ => panic!("{text}"),
    }
}

/// Lines of `terms | tax | movements | days -> gross income_tax local_tax other_tax net, payments balance`.
fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (given, wanted) = line.split_once("->").unwrap();
        let parts: Vec<&str> = given.split('|').map(str::trim).collect();
        let body = format!(
            "{{\"terms\":{},\"tax_class\":\"{}\",\"movements\":{},{}}}",
            terms(parts[0]),
            parts[1],
            movements(parts[2]),
            days(parts[3])
        );
        let got = call(&body).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        let t = got.totals;
        let shown = format!(
            "{} {} {} {} {}, {} {}",
            t.gross,
            t.income_tax,
            t.local_tax,
            t.other_tax,
            t.net,
            got.payments.len(),
            got.balance
        );
        assert_eq!(shown, wanted.replace('_', "").trim(), "{line}");
    }
}

#[test]
fn published_figures() {
    check(
        "
        # the bank advertised these after-tax figures of a day at 2 %
        KRW ACT/365F 0.02 | normal | 2023-08-15 2_000_000   | claim 2023-08-16 -> 109 10 0 0 99, 1 2_000_099
        KRW ACT/365F 0.02 | normal | 2023-08-15 50_000_000  | claim 2023-08-16 -> 2_739 380 30 0 2_329, 1 50_002_329
        KRW ACT/365F 0.02 | normal | 2023-08-15 100_000_000 | claim 2023-08-16 -> 5_479 760 70 0 4_649, 1 100_004_649

        # its example of marginal tiers: of 110 million, 100 earn 2 % and 10 earn 0.1 %
        KRW ACT/365F 0.02 to 100_000_000, 0.001 | normal | 2022-01-05 110_000_000 | claim 2022-01-06 -> 5_506 770 70 0 4_666, 1 110_004_666
        KRW ACT/365F 0.023 to 50_000_000, 0.04 | exempt | 2022-12-13 60_000_000 | close 2022-12-14 -> 4_246 0 0 0 4_246, 1 60_004_246

        # 365 daily receipts left in the account against one yearly payment
        KRW ACT/365F 0.02 | normal | 2023-01-01 100_000_000 | claim daily 2023-01-02 365 -> 2_016_830 280_280 25_550 0 1_711_000, 365 101_711_000
        KRW ACT/365F 0.02 | normal | 2023-01-01 100_000_000 | claim 2024-01-01 -> 2_000_000 280_000 28_000 0 1_692_000, 1 101_692_000
        KRW ACT/365F 0.02 | normal | 2023-01-01 100_000_000 | close 2024-01-01 -> 2_000_000 280_000 28_000 0 1_692_000, 1 101_692_000

        # seven days: truncated once, or seven times
        KRW ACT/365F 0.02 | normal | 2023-08-01 2_000_000 | claim 2023-08-08 -> 767 100 10 0 657, 1 2_000_657
        KRW ACT/365F 0.02 | normal | 2023-08-01 2_000_000 | claim daily 2023-08-02 7 -> 763 70 0 0 693, 7 2_000_693

        # the smallest interest that is taxed is 72 won
        KRW ACT/365F 0.0365 | normal | 2023-08-01 719_999 | claim 2023-08-02 -> 71 0 0 0 71, 1 720_070
        KRW ACT/365F 0.0365 | normal | 2023-08-01 720_000 | claim 2023-08-02 -> 72 10 0 0 62, 1 720_062
        ",
    );
}

#[test]
fn days_and_rates() {
    check(
        "
        # a leap year: the divisor stays 365, or is the year's own
        KRW ACT/365F 0.02 | exempt | 2024-01-01 365_000 | close 2025-01-01 -> 7_320 0 0 0 7_320, 1 372_320
        KRW ACT/ACT  0.02 | exempt | 2024-01-01 365_000 | close 2025-01-01 -> 7_300 0 0 0 7_300, 1 372_300
        KRW ACT_ACT_366 0.02 | exempt | 2023-12-31 133_590 | close 2024-01-02 -> 14 0 0 0 14, 1 133_604
        KRW ACT_365F 0.02 | exempt | 2024-02-28 365_000 | close 2024-03-01 -> 40 0 0 0 40, 1 365_040
        KRW ACT/360 0.02 | exempt | 2023-01-01 360_000 | close 2024-01-01 -> 7_300 0 0 0 7_300, 1 367_300

        # the rate changes in mid-period; the new one holds from its day on
        KRW ACT/365F 0.02 from 2023-08-03 0.018 | exempt | 2023-08-01 365_000 | claim 2023-08-05 -> 76 0 0 0 76, 1 365_076
        KRW ACT/365F 0.02 from 2023-08-03 0.018 | exempt | 2023-08-01 365_000 | claim 2023-08-03 -> 40 0 0 0 40, 1 365_040
        KRW ACT/365F 0.02 from 2023-08-03 0.018 | exempt | 2023-08-01 365_000 | claim 2023-08-03 2023-08-05 -> 76 0 0 0 76, 2 365_076
        KRW ACT/365F 0.001 from 2023-08-02 0.02 to 365_000, 0.04 | exempt | 2023-08-01 730_000 | close 2023-08-03 -> 62 0 0 0 62, 1 730_062

        # the first day counts, the day of payment does not; a day is what it closed with
        KRW ACT/365F 0.02 | exempt | 2023-08-01 365_000, 2023-08-02 365_000 | claim 2023-08-02 -> 20 0 0 0 20, 1 730_020
        KRW ACT/365F 0.02 | exempt | 2023-08-01 365_000, 2023-08-01 -365_000 | claim 2023-08-02 -> 0 0 0 0 0, 0 0
        KRW ACT/365F 0.02 | exempt | 2023-08-01 730_000, 2023-08-02 -365_000 | close 2023-08-03 -> 60 0 0 0 60, 1 365_060
        KRW ACT/365F 0.02 | exempt | 2023-08-02 365_000, 2023-08-01 365_000 | close 2023-08-03 -> 60 0 0 0 60, 1 730_060
        KRW ACT/365F 0.02 | exempt | 2023-08-02 365_000 | claim 2023-08-01 2023-08-02 -> 0 0 0 0 0, 0 365_000
        KRW ACT/365F 0.02 | exempt | 2023-08-01 365_000 | claim 2023-08-02 2023-08-02 -> 20 0 0 0 20, 1 365_020

        # less than one won is not paid and not lost
        KRW ACT/365F 0.02 | normal | 2023-08-01 10_000 | claim 2023-08-02 -> 0 0 0 0 0, 0 10_000
        KRW ACT/365F 0.02 | normal | 2023-08-01 10_000 | claim daily 2023-08-02 2 -> 1 0 0 0 1, 1 10_001
        ",
    );
}

#[test]
fn currencies_and_tax_classes() {
    check(
        "
        # cents are truncated to the cent; tax too, in foreign currency
        USD ACT/360 0.045 | normal | 2024-01-01 1_000_000 | close 2024-01-31 -> 3_750 525 52 0 3_173, 1 1_003_173
        USD ACT/360 0.0123 | normal | 2024-01-01 123_456 | close 2024-01-08 -> 29 4 0 0 25, 1 123_481
        EUR ACT/365F 0.02 | exempt | 2024-01-01 18_249 | claim 2024-01-02 -> 0 0 0 0 0, 0 18_249
        EUR ACT/365F 0.02 | exempt | 2024-01-01 18_250 | claim 2024-01-02 -> 1 0 0 0 1, 1 18_251
        JPY ACT/365F 0.001 | normal | 2024-01-01 1_000_000 | close 2025-01-01 -> 1_002 140 14 0 848, 1 1_000_848
        BHD ACT/360 0.03 | normal | 2024-01-01 5_000_000 | close 2024-02-01 -> 12_916 1_808 180 0 10_928, 1 5_010_928

        # ten thousand won of interest, by class
        KRW ACT/365F 0.02 | normal          | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 1_400 140 0 8_460, 1 182_508_460
        KRW ACT/365F 0.02 | exempt          | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 0 0 0 10_000, 1 182_510_000
        KRW ACT/365F 0.02 | coop            | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 0 0 140 9_860, 1 182_509_860
        KRW ACT/365F 0.02 | coop_over_limit | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 500 0 90 9_410, 1 182_509_410
        KRW ACT/365F 0.02 | coop_later      | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 900 0 50 9_050, 1 182_509_050
        KRW ACT/365F 0.02 | non_resident    | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 2_000 200 0 7_800, 1 182_507_800
        KRW ACT/365F 0.02 | corporation     | 2023-08-01 182_500_000 | close 2023-08-02 -> 10_000 1_400 140 0 8_460, 1 182_508_460
        ",
    );
}

/// One version of terms with more fields, one movement, and days.
fn with(terms: &str, rest: &str) -> Result<Simulation, (String, Option<String>)> {
    let terms = format!("{{\"tiers\":[{{\"up_to\":null,\"rate\":\"0.02\"}}]{terms}}}");
    call(&format!("{{\"terms\":{terms},{rest}}}"))
}

#[test]
fn products_that_pay_by_themselves() {
    let rest = "\"movements\":[{\"date\":\"2023-01-01\",\"amount\":365000}],\"tax_class\":\"exempt\"";
    let monthly = with(",\"pay\":\"monthly day 1\"", &format!("{rest},\"close_on\":\"2023-03-02\"")).unwrap();
    let paid: Vec<_> = monthly.payments.iter().map(|p| (p.date.to_string(), p.gross)).collect();
    let wanted = [("2023-02-01", 620), ("2023-03-01", 560), ("2023-03-02", 20)];
    assert_eq!(paid, wanted.map(|(d, n)| (d.to_owned(), n)));
    let friday = with(",\"pay\":\"3rd friday of 3,6\"", &format!("{rest},\"close_on\":\"2023-06-17\"")).unwrap();
    let paid: Vec<_> = friday.payments.iter().map(|p| (p.date.to_string(), p.to.to_string())).collect();
    let wanted = [("2023-03-18", "2023-03-17"), ("2023-06-17", "2023-06-16")];
    assert_eq!(paid, wanted.map(|(d, t)| (d.to_owned(), t.to_owned())));
}

#[test]
fn contracts_with_a_fixed_time() {
    let rest = "\"movements\":[{\"date\":\"2024-01-10\",\"amount\":10000000}],\"tax_class\":\"normal\"";
    let term = with(",\"kind\":\"term\",\"term\":{\"months\":12}", rest).unwrap();
    assert_eq!((term.totals.gross, term.totals.net, term.balance), (200_000, 169_200, 10_169_200));
    assert_eq!(term.payments[0].date.to_string(), "2025-01-10");
    let tables = ",\"kind\":\"flexible\",\"term\":{\"days\":100},\"bonus\":[{\"condition\":\"auto\",\"rate\":\"0.01\"}],\
        \"early_closing\":[{\"up_to_months\":1,\"rate\":\"0.001\"},{\"share\":\"0.5\",\"pro_rata\":true}],\
        \"after_maturity\":[{\"up_to_months\":null,\"rate\":\"0.001\"}]";
    for (more, gross) in [
        ("", 54_794),
        (",\"conditions_met\":[\"auto\"]", 82_191),
        (",\"close_on\":\"2024-02-10\"", 849),
        (",\"close_on\":\"2024-02-29\"", 6_849),
        (",\"close_on\":\"2024-04-29\"", 55_068),
    ] {
        assert_eq!(with(tables, &format!("{rest}{more}")).unwrap().totals.gross, gross, "{more}");
    }
}

#[test]
fn what_is_wrong_has_its_code_and_field() {
    let one = "\"movements\":[{\"date\":\"2023-01-01\",\"amount\":1000}]";
    let claim = "\"claim_on\":[\"2023-01-02\"]";
    let good = format!("{one},{claim}");
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, Option<&str>)] = &[
        ("", one, "MISSING_FIELD", Some("claim_on")),
        ("", claim, "MISSING_FIELD", Some("movements")),
        ("", &format!("{good},\"fee\":1"), "UNKNOWN_FIELD", Some("fee")),
        ("", &format!("{good},\"tax_class\":\"rich\""), "INVALID_FIELD", Some("tax_class")),
        ("", &format!("{one},\"claim_on\":[\"2023-02-30\"]"), "INVALID_FIELD", Some("claim_on[0]")),
        ("", &format!("{good},\"close_on\":\"2023-01-01\""), "INVALID_FIELD", Some("claim_on[0]")),
        ("", &format!("{one},\"close_on\":\"2022-12-31\""), "INVALID_FIELD", Some("movements[0].date")),
        ("", &format!("{one},\"close_on\":\"2123-12-31\""), "INVALID_FIELD", Some("movements")),
        ("", &format!("\"movements\":[{{\"date\":\"2023-01-01\",\"amount\":0}}],{claim}"), "INVALID_FIELD", Some("movements[0].amount")),
        ("", &format!("\"movements\":[{{\"date\":\"2023-01-01\",\"amount\":1.5}}],{claim}"), "INVALID_AMOUNT", Some("movements[0].amount")),
        ("", &format!("\"movements\":[{{\"date\":\"2023-01-01\",\"amount\":-1}}],{claim}"), "INSUFFICIENT_AVAILABLE", Some("movements")),
        (",\"from\":\"2023-01-02\"", &good, "PRODUCT_NOT_FOUND", None),
        (",\"day_count\":\"30/360\"", &good, "INVALID_FIELD", Some("terms.day_count")),
        (",\"rate\":\"0.02\"", &good, "UNKNOWN_FIELD", Some("terms.rate")),
        (",\"currency\":\"XXX\"", &good, "INVALID_FIELD", Some("terms.currency")),
        (",\"kind\":\"loan\"", &good, "INVALID_FIELD", Some("terms.kind")),
        (",\"pay\":\"never\"", &good, "TERMS_INVALID", Some("terms.pay")),
        (",\"pay\":\"maturity\"", &good, "TERMS_INVALID", Some("terms.pay")),
        (",\"bonus\":[{\"condition\":\"x\",\"rate\":\"0.01\"}]", &good, "TERMS_INVALID", Some("terms.kind")),
        (",\"kind\":\"term\"", &good, "SIMULATION_UNSUPPORTED", Some("claim_on")),
        (",\"kind\":\"term\"", one, "SIMULATION_UNSUPPORTED", None),
    ];
    for (terms, rest, code, field) in cases {
        let got = with(terms, rest).unwrap_err();
        assert_eq!((got.0.as_str(), got.1.as_deref()), (*code, *field), "{terms} {rest}");
    }
    let tiers = |tiers: &str| call(&format!("{{\"terms\":{{\"tiers\":{tiers}}},{good}}}")).unwrap_err();
    for (wrong, field) in [
        ("[]", "terms.tiers"),
        ("[{\"rate\":\"1.01\"}]", "terms.tiers[0].rate"),
        ("[{\"rate\":\"-0.01\"}]", "terms.tiers[0].rate"),
        ("[{\"up_to\":100,\"rate\":\"0.01\"}]", "terms.tiers[0].up_to"),
        (
            "[{\"up_to\":100,\"rate\":\"0.01\"},{\"up_to\":100,\"rate\":\"0.01\"},{\"rate\":\"0\"}]",
            "terms.tiers[1].up_to",
        ),
    ] {
        assert_eq!(tiers(wrong), ("TERMS_INVALID".into(), Some(field.into())), "{wrong}");
    }
    assert_eq!(tiers("[{\"rate\":0.02}]").0, "INVALID_FIELD");
}

/// Day by day, in whole numbers over one common denominator.
fn slowly(tiers: [(i64, i128); 2], movements: &[(i32, i64)], claims: &[i32]) -> Vec<(i32, i128)> {
    let (mut balance, mut unpaid, mut paid) = (0i128, 0i128, Vec::new());
    for day in 0..=60 {
        let gross = unpaid / (365 * 10_000);
        if claims.contains(&day) && gross > 0 {
            paid.push((day, gross));
            (balance, unpaid) = (balance + gross, 0);
        }
        balance += movements.iter().filter(|(d, _)| *d == day).map(|(_, amount)| i128::from(*amount)).sum::<i128>();
        let below = balance.min(i128::from(tiers[0].0));
        unpaid += below * tiers[0].1 + (balance - below) * tiers[1].1;
    }
    paid
}

proptest! {
    #[test]
    fn equals_the_slow_model(
        top in 1i64..50_000_000,
        rates in [0i128..2_000, 0i128..2_000],
        movements in prop::collection::vec((0i32..60, 1i64..100_000_000), 1..20),
        claims in prop::collection::vec(1i32..=60, 1..20),
    ) {
        let first = movements.iter().map(|(d, _)| *d).min().unwrap();
        let date = |day: i32| "2023-12-15".parse::<BusinessDate>().unwrap().add_days(day);
        let rate = |bp: i128| format!("0.{bp:04}");
        let body = serde_json::json!({
            "terms": {"tiers": [{"up_to": top, "rate": rate(rates[0])}, {"up_to": null, "rate": rate(rates[1])}]},
            "tax_class": "exempt",
            "movements": movements.iter().map(|(d, a)| serde_json::json!({"date": date(*d), "amount": a})).collect::<Vec<_>>(),
            "claim_on": claims.iter().map(|d| date(*d)).collect::<Vec<_>>(),
        });
        let got = call(&body.to_string()).unwrap();
        let got: Vec<_> = got.payments.iter().map(|p| (date(0).days_until(p.date), i128::from(p.net))).collect();
        let claims: Vec<i32> = claims.into_iter().filter(|c| *c > first).collect();
        prop_assert_eq!(got, slowly([(top, rates[0]), (0, rates[1])], &movements, &claims));
    }
}
