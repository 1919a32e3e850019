//! The sums follow real postings, across restarts, and see what is wrong in the store.
#![allow(clippy::unwrap_used)]

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::ManualClock;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use super::*;
use crate::combiner::Combiner;
use crate::domain::command::{Action, Command};
use crate::flows::bulk::load_accounts;
use crate::ledger::Ledger;
use crate::service::{KRW, offer};

struct Bank {
    ledger: Arc<Ledger>,
    combiner: Combiner,
    accounts: Vec<AccountId>,
    day: BusinessDate,
}

async fn bank(dir: &std::path::Path, accounts: u32) -> Bank {
    let clock = Arc::new(ManualClock::new("2026-01-02T09:00:00+09:00".parse::<Timestamp>().unwrap()));
    let db = Db::open_embedded(&dir.join("d.db"), clock, Dice::seeded(1)).unwrap();
    migrate::apply(&db, KRW.migrations).await.unwrap();
    let ledger = Arc::new(Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(2)));
    let terms = r#"[{"code":"plain","name":"Plain","kind":"demand","currency":"KRW","from":"2020-01-01",
        "day_count":"ACT/365F","tiers":[{"up_to":null,"rate":"0.02"}],"pay":"claim"}]"#;
    offer(&ledger, terms).await.unwrap();
    let day = BusinessDate::from_ymd(2026, 1, 2).unwrap();
    let owner = CustomerId::from_parts(1, 1);
    let accounts = load_accounts(&ledger, owner, "plain", day, accounts).await.unwrap().unwrap();
    Bank { combiner: Combiner::start(Arc::clone(&ledger)), ledger, accounts, day }
}

impl Bank {
    /// Posts, under keys that begin with `name`.
    async fn post(&self, name: &str, actions: Vec<Action>) {
        let command = |(i, action)| Command {
            key: format!("{name}{i:04}\u{1f}service:t"),
            hash: i as u64,
            action,
            date: self.day,
            memo: None,
        };
        self.combiner.post(actions.into_iter().enumerate().map(command).collect()).await.unwrap();
    }
    /// Every account gets 1,000; then each pays the next, some keep a part back, and some are refused.
    async fn live(&self, name: &str) {
        let account = |i: usize| self.accounts[i % self.accounts.len()];
        let each = 0..self.accounts.len();
        let credit = |i| Action::Credit { account: account(i), amount: 1_000, bank: "cash" };
        self.post(&format!("{name}a"), each.clone().map(credit).collect()).await;
        let pay = |i| match i % 4 {
            0 => Action::Hold { account: account(i), amount: 10, until: None },
            1 => Action::Debit { account: account(i), amount: 1_000_000, bank: "nostro" },
            2 => Action::Debit { account: account(i), amount: 5, bank: "nostro" },
            _ => Action::Transfer { from: account(i), to: account(i + 1), amount: 100 },
        };
        self.post(&format!("{name}b"), each.map(pay).collect()).await;
    }
}

async fn look(prover: &Prover) -> Arc<Totals> {
    prover.look().await.unwrap();
    prover.totals()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_follow_the_postings_and_go_on_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let bank = bank(dir.path(), 40).await;
    let prover = Prover::new(bank.ledger.db.clone());
    assert_eq!(*look(&prover).await, Totals::default());
    bank.live("a").await;
    let first = look(&prover).await;
    let sums = &first.currencies[&Currency::KRW];
    assert_eq!((first.through, first.postings, first.refused), (80, 70, 10));
    assert_eq!((sums.entries, sums.bank["cash"], sums.bank["nostro"]), (39_950, -40_000, 50));
    assert!(sums.balanced(), "{sums:?}");
    assert_eq!(look(&prover).await, first, "nothing is taken in twice");

    bank.live("b").await;
    let begun_again = Prover::new(bank.ledger.db.clone());
    let second = look(&begun_again).await;
    assert!(second.currencies[&Currency::KRW].balanced(), "{second:?}");
    assert_eq!((second.through, second.currencies[&Currency::KRW].entries), (160, 79_900));
    assert_eq!(look(&prover).await, second, "from memory and from the store alike");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_row_shows() {
    let dir = tempfile::tempdir().unwrap();
    let bank = bank(dir.path(), 4).await;
    bank.live("a").await;
    for (column, wrong, right) in
        [("credit_balance", "1001", "1000"), ("amount", "999", "1000"), ("bank", "NULL", "'cash'")]
    {
        for (value, balanced) in [(wrong, false), (right, true)] {
            let mut tx = bank.ledger.db.begin("test").await.unwrap();
            tx.execute(&format!("UPDATE posting SET {column} = {value} WHERE seq = 2"), &[]).await.unwrap();
            tx.execute("DELETE FROM totals", &[]).await.unwrap();
            tx.commit().await.unwrap();
            let totals = look(&Prover::new(bank.ledger.db.clone())).await;
            assert_eq!(totals.currencies[&Currency::KRW].balanced(), balanced, "{column} {value}: {totals:?}");
        }
    }
}
