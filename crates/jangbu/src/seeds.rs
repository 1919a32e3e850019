//! The products that a new bank offers are good terms.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jangbu_deposit::terms_text::{TermsText, parse};

fn read(seed: &str) -> Vec<TermsText> {
    let terms: Vec<TermsText> = serde_json::from_str(seed).unwrap();
    for version in &terms {
        parse(version).unwrap_or_else(|flaws| panic!("{} from {}: {flaws:?}", version.code, version.from));
    }
    terms
}

#[test]
fn won_and_seventeen_currencies() {
    let won = read(include_str!("../seed/deposit-krw.json"));
    assert!(won.iter().all(|t| t.currency.code() == "KRW"));
    let demand = won.iter().filter(|t| t.code == "toss-demand").map(|t| t.from.to_string());
    assert_eq!(demand.collect::<Vec<_>>(), ["2021-10-05", "2022-01-05", "2022-12-13", "2023-08-15"]);
    let foreign = read(include_str!("../seed/deposit-fx.json"));
    let currencies: BTreeSet<_> = foreign.iter().map(|t| t.currency).collect();
    assert_eq!((foreign.len(), currencies.len()), (17, 17));
    assert!(foreign.iter().all(|t| t.code == format!("fx-{}", t.currency.code().to_lowercase())));
}
