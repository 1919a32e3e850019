#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn posting(name: &str) -> PostingId {
    PostingId::from_parts(1, name.bytes().fold(0, |n, byte| (n << 8) | u128::from(byte)))
}

fn account(name: &str) -> AccountId {
    AccountId::from_parts(1, name.bytes().fold(0, |n, byte| (n << 8) | u128::from(byte)))
}

/// Reads `w: D KRW 1340000 k`, `r: C KRW 1340000 k undoes w`.
fn leg(text: &str) -> Leg {
    let (name, rest) = text.trim().split_once(':').unwrap();
    let w: Vec<&str> = rest.split_whitespace().collect();
    Leg {
        posting: posting(name),
        side: if w[0] == "D" { Side::Debit } else { Side::Credit },
        currency: w[1].parse().unwrap(),
        amount: w[2].parse().unwrap(),
        account: account(w[3]),
        reverses: w.get(5).map(|name| posting(name)),
    }
}

/// A thousand dollars at 1,340.00, bought or sold; the withdrawal is `w`, the deposit `d`.
fn decision(text: &str) -> Option<Decision> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (succeeded, withdrawn) = (words.contains(&"succeeded"), !words.contains(&"nothing"));
    (!text.is_empty()).then(|| Decision {
        succeeded,
        buys: words[0] == "buys",
        currency: Currency::USD,
        foreign: 100_000,
        won: 1_340_000,
        krw_account: Some(account("k")),
        fx_account: Some(account("f")),
        withdrawal: withdrawn.then(|| posting("w")),
        deposit: succeeded.then(|| posting("d")),
    })
}

const W: &str = "w: D KRW 1340000 k";
const D: &str = "d: C USD 100000 f";
const R: &str = "r: C KRW 1340000 k undoes w";

#[test]
fn an_exchange_is_judged_by_all_that_is_known() {
    for (decided, legs, expected) in [
        ("buys succeeded", format!("{W}, {D}"), ""),
        ("sells succeeded", "w: D USD 100000 f, d: C KRW 1340000 k".into(), ""),
        ("buys failed", format!("{W}, {R}"), ""),
        ("buys failed nothing", String::new(), ""),
        // Something is missing.
        ("", W.into(), "missing_right"),
        ("", D.into(), "missing_left"),
        ("", format!("{W}, {D}"), "undecided"),
        ("", format!("{W}, {R}"), "undecided"),
        ("buys succeeded", String::new(), "missing_left"),
        ("buys succeeded", W.into(), "missing_right"),
        ("buys succeeded", D.into(), "missing_left"),
        ("buys failed", String::new(), "missing_left"),
        ("sells failed", String::new(), "missing_right"),
        ("buys failed", W.into(), "missing_right"),
        ("buys failed", R.into(), "missing_left"),
        ("", R.into(), "missing_left"),
        ("buys failed nothing", D.into(), "missing_left"),
        ("buys failed", format!("{W}, {D}"), "undecided"),
        // A leg of an exchange that succeeded was given back by hand.
        ("buys succeeded", format!("{W}, {R}, {D}"), "missing_left"),
        // Two differ.
        ("buys succeeded", format!("w: D KRW 1340001 k, {D}"), "amount"),
        ("buys succeeded", format!("{W}, d: C USD 99999 f"), "amount"),
        ("buys succeeded", format!("{W}, d: C EUR 100000 f"), "amount"),
        ("buys succeeded", format!("{W}, d: C USD 100000 g"), "amount"),
        ("buys succeeded", format!("{W}, e: C USD 100000 f"), "amount"),
        ("sells succeeded", format!("{W}, {D}"), "amount"),
        ("", "w: D KRW 1340000 k, d: D USD 100000 f".into(), "amount"),
        ("buys succeeded", "d: C USD 99999 f".into(), "amount"),
        // A leg is there twice.
        ("buys succeeded", format!("{W}, {D}, x: D KRW 1340000 k"), "duplicate"),
        ("", format!("{D}, x: C USD 100000 f"), "duplicate"),
    ] {
        let read: Vec<Leg> = legs.split(',').filter(|l| !l.trim().is_empty()).map(leg).collect();
        let found = judge(decision(decided).as_ref(), &read);
        assert_eq!(found.as_ref().map_or("", |(class, _)| class.name()), expected, "{decided}; {legs}: {found:?}");
    }
}

#[test]
fn accounts_that_were_not_told_are_not_compared() {
    let told = Decision { krw_account: None, fx_account: None, ..decision("buys succeeded").unwrap() };
    assert_eq!(judge(Some(&told), &[leg(W), leg("d: C USD 100000 g")]), None);
}

proptest! {
    /// The order in which legs came says nothing.
    #[test]
    fn order_does_not_matter(
        chosen in prop::sample::subsequence(vec![W, D, R, "x: D KRW 1340000 k", "y: C USD 7 f", "z: D USD 100000 f"], 0..=6),
        seed in prop::collection::vec(any::<u32>(), 6),
        decided in prop::sample::select(vec!["", "buys succeeded", "buys failed", "buys failed nothing", "sells succeeded"]),
    ) {
        let decided = decision(decided);
        let legs: Vec<Leg> = chosen.iter().map(|text| leg(text)).collect();
        let mut keyed: Vec<(u32, Leg)> = seed.into_iter().zip(legs.iter().cloned()).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<Leg> = keyed.into_iter().map(|(_, leg)| leg).collect();
        let class = |legs: &[Leg]| judge(decided.as_ref(), legs).map(|(class, _)| class);
        prop_assert_eq!(class(&legs), class(&shuffled));
    }
}
