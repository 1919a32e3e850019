//! A good book is proved, and each thing that can be wrong in the store is named.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::ManualClock;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use super::*;
use crate::combiner::Combiner;
use crate::domain::command::{Action, Command, Kind, Original};
use crate::flows::bulk::load_accounts;
use crate::flows::post::Outcome;
use crate::ledger::Ledger;
use crate::service::{KRW, offer};
use Class::{Amount, Damaged, Duplicate, MissingLeft, MissingRight};

struct Bank {
    ledger: Arc<Ledger>,
    combiner: Combiner,
    accounts: Vec<AccountId>,
    keys: u64,
}

impl Bank {
    async fn post(&mut self, day: u32, action: Action) -> Option<u64> {
        self.keys += 1;
        let date = BusinessDate::from_ymd(2026, 1, day).unwrap();
        let key = format!("{:06}\u{1f}service:t", self.keys);
        let command = Command { key, hash: self.keys, action, date, memo: None };
        match self.combiner.post(vec![command]).await.unwrap().pop().unwrap() {
            Outcome::Posted(posted, _) => Some(posted.posting.seq),
            _ => None,
        }
    }
}

/// Two accounts over three days, with one of each kind of posting, written back.
async fn bank(dir: &std::path::Path) -> Bank {
    let clock = Arc::new(ManualClock::new("2026-01-02T09:00:00+09:00".parse::<Timestamp>().unwrap()));
    let db = Db::open_embedded(&dir.join("d.db"), clock, Dice::seeded(1)).unwrap();
    migrate::apply(&db, KRW.migrations).await.unwrap();
    let ledger = Arc::new(Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(2)));
    let terms = r#"[{"code":"plain","name":"Plain","kind":"demand","currency":"KRW","from":"2020-01-01",
        "day_count":"ACT/365F","tiers":[{"up_to":null,"rate":"0.02"}],"pay":"claim"}]"#;
    offer(&ledger, terms).await.unwrap();
    let day = BusinessDate::from_ymd(2026, 1, 2).unwrap();
    let accounts = load_accounts(&ledger, CustomerId::from_parts(1, 1), "plain", day, 3).await.unwrap().unwrap();
    let combiner = Combiner::start(Arc::clone(&ledger));
    let mut bank = Bank { ledger, combiner, accounts, keys: 0 };
    let (a, b) = (bank.accounts[0], bank.accounts[1]);
    bank.post(2, Action::Credit { account: a, amount: 50_000_000, bank: "cash" }).await.unwrap();
    bank.post(2, Action::Transfer { from: a, to: b, amount: 1_000 }).await.unwrap();
    let undone = bank.post(2, Action::Debit { account: b, amount: 300, bank: "nostro" }).await.unwrap();
    let hold = bank.post(3, Action::Hold { account: a, amount: 500, until: None }).await.unwrap();
    let other = bank.post(3, Action::Hold { account: a, amount: 70, until: None }).await.unwrap();
    bank.post(3, Action::Hold { account: b, amount: 20, until: None }).await.unwrap();
    bank.post(3, Action::Capture { hold, amount: Some(400), bank: "cash" }).await.unwrap();
    bank.post(3, Action::Release { hold: other }).await.unwrap();
    assert_eq!(bank.post(3, Action::Debit { account: b, amount: 1_000_000, bank: "cash" }).await, None);
    let original = Original {
        seq: undone,
        kind: Kind::Reversal,
        debit: None,
        credit: None,
        bank: None,
        amount: 0,
        counted_on: day,
        reversed: false,
    };
    bank.post(3, Action::Reversal { original: Some(original) }).await.unwrap();
    bank.post(4, Action::Interest { account: a, due: None }).await.unwrap();
    bank.ledger.fold().await.unwrap();
    bank
}

async fn sql(db: &Db, sql: &str) {
    let mut tx = db.begin("test").await.unwrap();
    assert!(tx.execute(sql, &[]).await.unwrap() > 0, "{sql}");
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_book_is_proved() {
    let dir = tempfile::tempdir().unwrap();
    let mut bank = bank(dir.path()).await;
    let seen = std::sync::atomic::AtomicU64::new(0);
    let proof = prove(&bank.ledger.db, &|n| seen.store(n, std::sync::atomic::Ordering::SeqCst)).await.unwrap();
    assert_eq!(proof.breaks, Breaks::default());
    assert_eq!((proof.postings, proof.refused, proof.accounts, proof.through), (10, 1, 3, 11));
    assert_eq!(seen.into_inner(), 11);
    let interest = 50_000_000i128 * 2 / 100 * 2 / 365; // two days, of which the tenths of a won don't matter here
    let total = proof.customers[&Currency::KRW];
    assert!(total > 50_000_000 - 400 && total <= 50_000_000 - 400 + interest, "{total}");
    // What is not yet written back is no break.
    let a = bank.accounts[0];
    bank.post(5, Action::Credit { account: a, amount: 1, bank: "cash" }).await.unwrap();
    assert_eq!(prove(&bank.ledger.db, &|_| {}).await.unwrap().breaks.count(), 0);
}

// How a row is broken, how it is mended, and what is said of it meanwhile.
const CASES: &[(&str, &str, Level, Class)] = &[
    (
        "UPDATE posting SET amount = amount + 1 WHERE seq = 2",
        "UPDATE posting SET amount = amount - 1 WHERE seq = 2",
        Level::Entries,
        Amount,
    ),
    (
        "UPDATE posting SET debit_serial = 9 WHERE seq = 2",
        "UPDATE posting SET debit_serial = 2 WHERE seq = 2",
        Level::Entries,
        Amount,
    ),
    (
        "UPDATE posting SET credit_balance = 7 WHERE seq = 2",
        "UPDATE posting SET credit_balance = 1000 WHERE seq = 2",
        Level::Entries,
        Amount,
    ),
    (
        "UPDATE posting SET debit_prev = 3 WHERE seq = 2",
        "UPDATE posting SET debit_prev = 1 WHERE seq = 2",
        Level::Entries,
        Amount,
    ),
    (
        "UPDATE posting SET credit_no = 99 WHERE seq = 2",
        "UPDATE posting SET credit_no = 2 WHERE seq = 2",
        Level::Entries,
        MissingRight,
    ),
    (
        "UPDATE posting SET kind = 77 WHERE seq = 2",
        "UPDATE posting SET kind = 3 WHERE seq = 2",
        Level::Entries,
        Damaged,
    ),
    (
        "UPDATE posting SET refused = 'X no' WHERE seq = 2",
        "UPDATE posting SET refused = NULL WHERE seq = 2",
        Level::Entries,
        Damaged,
    ),
    (
        "UPDATE posting SET seq = 1000 WHERE seq = 11",
        "UPDATE posting SET seq = 11 WHERE seq = 1000",
        Level::Entries,
        MissingLeft,
    ),
    (
        "UPDATE posting SET bank = NULL WHERE seq = 1",
        "UPDATE posting SET bank = 'cash' WHERE seq = 1",
        Level::Sums,
        Amount,
    ),
    (
        "UPDATE posting SET tax = tax + 10 WHERE seq = 11",
        "UPDATE posting SET tax = tax - 10 WHERE seq = 11",
        Level::Interest,
        Amount,
    ),
    (
        "UPDATE interest_payment SET gross = gross + 1",
        "UPDATE interest_payment SET gross = gross - 1",
        Level::Interest,
        Amount,
    ),
    (
        "UPDATE interest_payment SET posting = 12",
        "UPDATE interest_payment SET posting = 11",
        Level::Interest,
        MissingRight,
    ),
    (
        "UPDATE interest_payment SET from_date = from_date - 9",
        "UPDATE interest_payment SET from_date = from_date + 9",
        Level::Interest,
        Duplicate,
    ),
    (
        "UPDATE balance SET ledger = ledger + 1 WHERE no = 1",
        "UPDATE balance SET ledger = ledger - 1 WHERE no = 1",
        Level::Balances,
        Amount,
    ),
    (
        "UPDATE balance SET held = held + 1 WHERE no = 2",
        "UPDATE balance SET held = held - 1 WHERE no = 2",
        Level::Balances,
        Amount,
    ),
    (
        "UPDATE balance SET changed = 3 WHERE no = 1",
        "UPDATE balance SET changed = 11 WHERE no = 1",
        Level::Balances,
        Damaged,
    ),
    (
        "UPDATE account SET closed_on = 20000 WHERE no = 1",
        "UPDATE account SET closed_on = NULL WHERE no = 1",
        Level::Balances,
        Amount,
    ),
    (
        "UPDATE hold SET remaining = 5 WHERE seq = 6",
        "UPDATE hold SET remaining = 20 WHERE seq = 6",
        Level::Holds,
        Amount,
    ),
    ("UPDATE hold SET seq = 600 WHERE seq = 6", "UPDATE hold SET seq = 6 WHERE seq = 600", Level::Holds, MissingRight),
    ("UPDATE reversal SET original = 1", "UPDATE reversal SET original = 3", Level::Reversals, MissingLeft),
    (
        "UPDATE posting SET refers = 10 WHERE seq = 10",
        "UPDATE posting SET refers = 3 WHERE seq = 10",
        Level::Reversals,
        Duplicate,
    ),
    (
        "UPDATE daily_balance SET closing = closing + 1 WHERE account = 1",
        "UPDATE daily_balance SET closing = closing - 1 WHERE account = 1",
        Level::Days,
        Amount,
    ),
    (
        "UPDATE daily_balance SET debits = debits + 1 WHERE account = 1",
        "UPDATE daily_balance SET debits = debits - 1 WHERE account = 1",
        Level::Days,
        Amount,
    ),
    (
        "UPDATE daily_balance SET account = 3 WHERE account = 2",
        "UPDATE daily_balance SET account = 2 WHERE account = 3",
        Level::Days,
        MissingLeft,
    ),
    (
        "UPDATE posting_outbox SET last_seq = 5000 WHERE first_seq = 1",
        "UPDATE posting_outbox SET last_seq = 1 WHERE first_seq = 1",
        Level::Outbox,
        Damaged,
    ),
    (
        "DELETE FROM posting_outbox WHERE first_seq = 5",
        "INSERT INTO posting_outbox (first_seq, last_seq) VALUES (5, 5)",
        Level::Outbox,
        MissingRight,
    ),
    (
        "DELETE FROM posting_outbox WHERE first_seq = 11",
        "INSERT INTO posting_outbox (first_seq, last_seq) VALUES (11, 11)",
        Level::Outbox,
        MissingRight,
    ),
    (
        "UPDATE balance SET no = 77 WHERE no = 3",
        "UPDATE balance SET no = 3 WHERE no = 77",
        Level::Balances,
        MissingRight,
    ),
    (
        "UPDATE balance SET paid_through = paid_through + 1 WHERE no = 1",
        "UPDATE balance SET paid_through = paid_through - 1 WHERE no = 1",
        Level::Balances,
        Damaged,
    ),
    (
        "UPDATE balance SET path = x'0b00000000000000' WHERE no = 1",
        "UPDATE balance SET path = x'07000000000000000b00000000000000' WHERE no = 1",
        Level::Balances,
        Damaged,
    ),
    (
        "UPDATE posting SET credit_no = NULL WHERE seq = 1",
        "UPDATE posting SET credit_no = 1 WHERE seq = 1",
        Level::Entries,
        Damaged,
    ),
    (
        "UPDATE account SET currency = 'USD' WHERE no = 2",
        "UPDATE account SET currency = 'KRW' WHERE no = 2",
        Level::Entries,
        Damaged,
    ),
    (
        "UPDATE interest_payment SET from_date = from_date + 1",
        "UPDATE interest_payment SET from_date = from_date - 1",
        Level::Interest,
        MissingLeft,
    ),
    ("UPDATE reversal SET original = 9", "UPDATE reversal SET original = 3", Level::Reversals, Amount),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bank = bank(dir.path()).await;
    let db = &bank.ledger.db;
    for (broken, mended, level, class) in CASES {
        sql(db, broken).await;
        let proof = prove(db, &|_| {}).await.unwrap();
        assert!(proof.breaks.of(*level, *class) > 0, "{broken}: {:?}", proof.breaks.told);
        assert!(proof.breaks.count() > 0);
        sql(db, mended).await;
        let proof = prove(db, &|_| {}).await.unwrap();
        assert_eq!(proof.breaks, Breaks::default(), "{mended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_that_was_left_behind_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bank = bank(dir.path()).await;
    let db = &bank.ledger.db;
    // What account 2 was after its first posting. A start would go on from there, and read only what came after all
    // balances are said to have been written back.
    let earlier = "UPDATE balance SET ledger = 1000, held = 0, serial = 1, path = x'0200000000000000', day = 20455, \
                   opening = 0, debits = 0, credits = 1000, changed = 2 WHERE no = 2";
    sql(db, earlier).await;
    let proof = prove(db, &|_| {}).await.unwrap();
    assert_eq!(proof.breaks.of(Level::Balances, MissingRight), 1, "{:?}", proof.breaks.told);
    assert_eq!(proof.breaks.count(), 1, "{:?}", proof.breaks.told);
    sql(db, "UPDATE folded SET seq = 2").await;
    assert_eq!(prove(db, &|_| {}).await.unwrap().breaks, Breaks::default(), "not yet written back is no break");
}

/// A fold that is left in the middle loses nothing: the next one writes what it left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_may_be_left_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut bank = bank(dir.path()).await;
    let day = BusinessDate::from_ymd(2026, 1, 5).unwrap();
    let more = load_accounts(&bank.ledger, CustomerId::from_parts(1, 1), "plain", day, 3_000).await.unwrap().unwrap();
    for round in 0..20 {
        let credit = |(i, account): (usize, &AccountId)| Command {
            key: format!("round{round:03}-{i:05}\u{1f}service:t"),
            hash: 1,
            action: Action::Credit { account: *account, amount: 1, bank: "cash" },
            date: day,
            memo: None,
        };
        bank.combiner.post(more.iter().enumerate().map(credit).collect()).await.unwrap();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(round / 2), bank.ledger.fold()).await;
        bank.post(5, Action::Credit { account: more[0], amount: 1, bank: "cash" }).await.unwrap();
        bank.ledger.fold().await.unwrap();
        assert_eq!(prove(&bank.ledger.db, &|_| {}).await.unwrap().breaks, Breaks::default(), "round {round}");
    }
}
