//! Events as they lie in logs: every golden file ever committed still parses, and today's code writes the newest ones
//! to the letter. Files are never changed or taken away; a changed event gets a new version and new files.
//!
//! `GOLDEN=new cargo test -p jangbu-contracts --test golden` writes files that are missing.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_contracts::deposit::{Entry, InterestPayment, Posting, PostingRecordedV1, Side};
use jangbu_contracts::exchange::{
    BoardLineV1, BoardPublishedV1, ExchangeDecidedV1, Failed, Side as ExchangeSide, WithdrawalGivenUpV1,
};
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, HoldId, InterestId, PostingId};
use jangbu_kernel::money::Currency;

/// Every file that was ever committed. This list only grows.
const COMMITTED: [&str; 15] = [
    "board_published.v1.two.json",
    "exchange_decided.v1.accounts.json",
    "exchange_decided.v1.failed.json",
    "exchange_decided.v1.succeeded.json",
    "posting_recorded.v1.capture.json",
    "posting_recorded.v1.credit.json",
    "posting_recorded.v1.debit.json",
    "posting_recorded.v1.hold.json",
    "posting_recorded.v1.interest.json",
    "posting_recorded.v1.leg.json",
    "posting_recorded.v1.reversal.json",
    "posting_recorded.v1.transfer.json",
    "standing_changed.v1.corporation.json",
    "standing_changed.v1.person.json",
    "withdrawal_given_up.v1.debit.json",
];

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Reads an event of that type, and writes it again.
fn reread(event_type: &str, text: &str) -> Result<String, String> {
    let written = match event_type {
        StandingChangedV1::TYPE => {
            serde_json::from_str::<StandingChangedV1>(text).map(|e| serde_json::to_string_pretty(&e))
        }
        PostingRecordedV1::TYPE => {
            serde_json::from_str::<PostingRecordedV1>(text).map(|e| serde_json::to_string_pretty(&e))
        }
        ExchangeDecidedV1::TYPE => {
            serde_json::from_str::<ExchangeDecidedV1>(text).map(|e| serde_json::to_string_pretty(&e))
        }
        BoardPublishedV1::TYPE => {
            serde_json::from_str::<BoardPublishedV1>(text).map(|e| serde_json::to_string_pretty(&e))
        }
        WithdrawalGivenUpV1::TYPE => {
            serde_json::from_str::<WithdrawalGivenUpV1>(text).map(|e| serde_json::to_string_pretty(&e))
        }
        other => return Err(format!("nobody reads {other}")),
    };
    written.map_err(|e| e.to_string())?.map(|text| text + "\n").map_err(|e| e.to_string())
}

#[test]
fn every_golden_file_still_parses() {
    let files = std::fs::read_dir(dir()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.collect();
    let committed: BTreeSet<String> = COMMITTED.iter().map(|f| (*f).to_owned()).collect();
    assert_eq!(files, committed, "the list and the directory differ");
    for file in &files {
        let text = std::fs::read_to_string(dir().join(file)).unwrap();
        let event_type = file.split('.').take(2).collect::<Vec<_>>().join(".");
        reread(&event_type, &text).unwrap_or_else(|e| panic!("{file}: {e}"));
        // A reader of yesterday meets fields of tomorrow.
        let more = text.replacen('{', "{\"added_tomorrow\": {\"x\": [1]},", 1);
        reread(&event_type, &more).unwrap_or_else(|e| panic!("{file} with one field more: {e}"));
    }
}

#[test]
fn todays_code_writes_the_newest() {
    let mut written = BTreeSet::new();
    for (name, text) in newest() {
        let path = dir().join(&name);
        if !path.exists() && std::env::var("GOLDEN").is_ok_and(|v| v == "new") {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(text, golden, "{name}: a changed event needs a new version");
        written.insert(name);
    }
    let newest: BTreeSet<String> = COMMITTED.iter().map(|f| (*f).to_owned()).collect();
    assert_eq!(written, newest);
}

fn newest() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, kind, marks) in
        [("person", Kind::Person, vec!["deceased", "kyc_expired"]), ("corporation", Kind::Corporation, vec![])]
    {
        let event = StandingChangedV1 {
            customer: CustomerId::from_parts(1_700_000_000_000, 7),
            version: 3,
            kind,
            marks: marks.into_iter().map(str::to_owned).collect(),
        };
        all.push((format!("{}.{name}.json", StandingChangedV1::TYPE), text(&event)));
    }
    all.extend(exchanges());
    for event in postings() {
        let name = if event.exchange.is_some() { "leg" } else { &event.posting.kind };
        all.push((format!("{}.{name}.json", PostingRecordedV1::TYPE), text(&event)));
    }
    all
}

fn text(event: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(event).unwrap() + "\n"
}

fn exchanges() -> Vec<(String, String)> {
    let posting = |n: u128| PostingId::from_parts(1_700_000_000_000, (1 << 64) | n);
    let succeeded = ExchangeDecidedV1 {
        exchange: ExchangeId::from_parts(1_700_000_000_000, 5),
        customer: CustomerId::from_parts(1_700_000_000_000, 7),
        succeeded: true,
        side: ExchangeSide::Buy,
        currency: Currency::USD,
        rate: "1288.78".parse().unwrap(),
        unit: 1,
        mid: None,
        foreign: 50_000,
        krw: 644_390,
        krw_account: None,
        fx_account: None,
        withdrawal: Some(posting(9)),
        deposit: Some(posting(10)),
        failure: None,
        at: "2023-11-14T22:13:20.000000Z".parse().unwrap(),
    };
    let failure = Failed { code: "ACCOUNT_CLOSED".into(), detail: "the account is closed".into() };
    let failed = ExchangeDecidedV1 {
        succeeded: false,
        side: ExchangeSide::Sell,
        deposit: None,
        failure: Some(failure),
        ..succeeded.clone()
    };
    let given_up = WithdrawalGivenUpV1 {
        exchange: succeeded.exchange,
        instance: "deposit-krw".into(),
        withdrawal: posting(9),
        key: "sga_01HF7YAT0000000000000005AA:cancel".into(),
        reason: "exchange fxe_01HF7YAT0000000000000005AA failed: ACCOUNT_CLOSED".into(),
    };
    let told = ExchangeDecidedV1 {
        mid: Some("1266.62".parse().unwrap()),
        krw_account: Some(AccountId::from_parts(1_700_000_000_000, 1)),
        fx_account: Some(AccountId::from_parts(1_700_000_000_000, 2)),
        ..succeeded.clone()
    };
    vec![
        (format!("{}.two.json", BoardPublishedV1::TYPE), text(&board())),
        (format!("{}.accounts.json", ExchangeDecidedV1::TYPE), text(&told)),
        (format!("{}.succeeded.json", ExchangeDecidedV1::TYPE), text(&succeeded)),
        (format!("{}.failed.json", ExchangeDecidedV1::TYPE), text(&failed)),
        (format!("{}.debit.json", WithdrawalGivenUpV1::TYPE), text(&given_up)),
    ]
}

fn board() -> BoardPublishedV1 {
    let line = |currency, unit, prices: [&str; 3]| {
        let [mid, tts, ttb] = prices.map(|price| price.parse().unwrap());
        BoardLineV1 { currency, unit, mid, tts, ttb }
    };
    let jpy: Currency = "JPY".parse().unwrap();
    BoardPublishedV1 {
        number: 12,
        round: 3,
        business_date: "2023-11-15".parse().unwrap(),
        as_of: "2023-11-14T22:13:20.000000Z".parse().unwrap(),
        rates: vec![
            line(jpy, 100, ["905.17", "921.01", "889.33"]),
            line(Currency::USD, 1, ["1266.62", "1288.78", "1244.46"]),
        ],
    }
}

fn account(n: u128) -> String {
    AccountId::from_parts(1_700_000_000_000, n).to_string()
}

fn own(n: u128, side: Side, amount: i64) -> Entry {
    Entry { account: account(n), serial: Some(4), side, amount, balance_after: Some(1_000_000 + amount) }
}

fn bank(name: &str, side: Side, amount: i64) -> Entry {
    Entry { account: name.to_owned(), serial: None, side, amount, balance_after: None }
}

fn postings() -> Vec<PostingRecordedV1> {
    let id = |n: u128| PostingId::from_parts(1_700_000_000_000, (1 << 64) | n);
    let posting = |kind: &str, amount: i64, entries: Vec<Entry>| Posting {
        id: id(9),
        kind: kind.to_owned(),
        amount,
        currency: Currency::KRW,
        business_date: "2023-11-15".parse().unwrap(),
        posted_at: "2023-11-14T22:13:20.000123Z".parse().unwrap(),
        entries,
        hold: None,
        reverses: None,
        memo: None,
    };
    let event = |posting: Posting| {
        let instance = "deposit-krw".to_owned();
        PostingRecordedV1 { instance, posting, interest: None, exchange: None }
    };
    let credit = vec![own(1, Side::Credit, 5_000), bank("cash", Side::Debit, 5_000)];
    let debit = vec![own(1, Side::Debit, 5_000), bank("nostro", Side::Credit, 5_000)];
    let leg = vec![own(1, Side::Debit, 644_390), bank("exchange", Side::Credit, 644_390)];
    let exchange = Some(ExchangeId::from_parts(1_700_000_000_000, 5));
    let transfer = vec![own(1, Side::Debit, 700), own(2, Side::Credit, 700)];
    let capture = vec![own(1, Side::Debit, 30), bank("cash", Side::Credit, 30)];
    let reversal = vec![own(1, Side::Debit, 5_000), bank("cash", Side::Credit, 5_000)];
    let interest = vec![
        own(1, Side::Credit, 99),
        bank("interest_expense", Side::Debit, 109),
        bank("tax_suspense", Side::Credit, 10),
    ];
    let hold = Some(HoldId::from_parts(0, (1 << 64) | 8));
    let paid = InterestPayment {
        id: InterestId::from_parts(1_700_000_000_000, 3),
        from: "2023-11-14".parse().unwrap(),
        to: "2023-11-14".parse().unwrap(),
        gross: 109,
        income_tax: 10,
        local_tax: 0,
        other_tax: 0,
        net: 99,
        posting: id(9),
    };
    vec![
        event(Posting { memo: Some("급여".to_owned()), ..posting("credit", 5_000, credit) }),
        event(posting("debit", 5_000, debit)),
        event(posting("transfer", 700, transfer)),
        event(Posting { hold, ..posting("hold", 40, Vec::new()) }),
        event(Posting { hold, ..posting("capture", 30, capture) }),
        event(Posting { reverses: Some(id(5)), memo: Some("slip".to_owned()), ..posting("reversal", 5_000, reversal) }),
        PostingRecordedV1 { exchange, ..event(posting("debit", 644_390, leg)) },
        PostingRecordedV1 { interest: Some(paid), ..event(posting("interest", 99, interest)) },
    ]
}
