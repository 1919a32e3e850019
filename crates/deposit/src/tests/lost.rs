//! Commits that fail: nothing is decided on what was lost, and nobody sees it.

use std::sync::Arc;

use jangbu_contracts::codes::Code;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use crate::combiner::Combiner;
use crate::domain::book::{Marks, Owner};
use crate::domain::command::{Action, Command};
use crate::domain::eligibility::number_of;
use crate::flows::bulk::load_accounts;
use crate::flows::post::Outcome;
use crate::ledger::Ledger;
use crate::service::{KRW, offer};
use crate::store;

const PLAIN: &str = r#"[{"code":"plain","name":"Plain","kind":"demand","currency":"KRW","from":"2026-01-01",
    "tiers":[{"up_to":null,"rate":"0.0365"}]}]"#;

/// Each commit of postings fails by chance: percents at the flush, in its statements, and with all that share it.
const WEATHER: [&str; 7] = [
    "CREATE TABLE weather (flush BIGINT, statement BIGINT, everything BIGINT)",
    "INSERT INTO weather VALUES (0, 0, 0)",
    "CREATE TABLE ground (id BIGINT PRIMARY KEY)",
    "CREATE TABLE sand (id BIGINT REFERENCES ground (id) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TRIGGER flush AFTER INSERT ON posting_outbox
        WHEN abs(random()) % 100 < (SELECT flush FROM weather) BEGIN INSERT INTO sand VALUES (1); END",
    "CREATE TRIGGER statement AFTER INSERT ON posting_outbox
        WHEN abs(random()) % 100 < (SELECT statement FROM weather) BEGIN SELECT RAISE(ABORT, 'rain'); END",
    "CREATE TRIGGER everything AFTER INSERT ON posting_outbox
        WHEN abs(random()) % 100 < (SELECT everything FROM weather) BEGIN SELECT RAISE(ROLLBACK, 'storm'); END",
];

pub(crate) struct Bank {
    pub db: Db,
    pub ledger: Arc<Ledger>,
    pub combiner: Combiner,
    pub accounts: Vec<AccountId>,
    pub day: BusinessDate,
    _dir: tempfile::TempDir,
}

impl Bank {
    pub async fn new(accounts: u32) -> Bank {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-01-02T09:00:00+09:00".parse().unwrap()));
        let db = Db::open_embedded(&dir.path().join("bank.db"), clock, Dice::seeded(1)).unwrap();
        migrate::apply(&db, KRW.migrations).await.unwrap();
        let mut tx = db.begin("weather").await.unwrap();
        for sql in WEATHER {
            tx.execute(sql, &[]).await.unwrap();
        }
        tx.commit().await.unwrap();
        let ledger = Arc::new(Ledger::new(db.clone(), KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(2)));
        offer(&ledger, PLAIN).await.unwrap();
        let day = BusinessDate::from_ymd(2026, 1, 2).unwrap();
        let owner = CustomerId::from_parts(1, 1);
        let accounts = load_accounts(&ledger, owner, "plain", day, accounts).await.unwrap().unwrap();
        let combiner = Combiner::start(Arc::clone(&ledger));
        Bank { db, ledger, combiner, accounts, day, _dir: dir }
    }

    /// Another ledger on the same books, which has nothing in memory yet.
    pub fn restarted(&self) -> Arc<Ledger> {
        Arc::new(Ledger::new(self.db.clone(), KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(3)))
    }

    pub async fn weather(&self, flush: i64, statement: i64, everything: i64) {
        let mut tx = self.db.begin("weather").await.unwrap();
        let sql = "UPDATE weather SET flush = ?, statement = ?, everything = ?";
        tx.execute(sql, &[flush.into(), statement.into(), everything.into()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub fn command(&self, key: &str, action: Action) -> Command {
        Command { key: format!("{key}\u{1f}service:t"), hash: 1, action, date: self.day, memo: None }
    }

    pub fn credit(&self, at: usize, amount: i64) -> Action {
        Action::Credit { account: self.accounts[at], amount, bank: "cash" }
    }

    pub async fn post(&self, key: &str, action: Action) -> Result<Outcome, Fault> {
        let mut outcomes = self.combiner.post(vec![self.command(key, action)]).await?;
        Ok(outcomes.pop().unwrap())
    }

    pub async fn balance(&self, at: usize) -> i64 {
        self.ledger.look(number_of(self.accounts[at]), |a, _| a.ledger).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn after_a_commit_that_failed_memory_is_read_again_and_then_trusted() {
    let bank = Bank::new(1).await;
    bank.post("1", bank.credit(0, 100)).await.unwrap();
    bank.weather(100, 0, 0).await;
    bank.post("2", bank.credit(0, 10)).await.unwrap_err();
    assert!(bank.ledger.current().await.is_none(), "what was decided did not come to stand");
    assert_eq!(bank.balance(0).await, 100);
    assert!(bank.ledger.current().await.is_some(), "read again, and nothing failed since");
    bank.weather(0, 0, 0).await;
    bank.post("2", bank.credit(0, 10)).await.unwrap();
    assert_eq!(bank.balance(0).await, 110);
}

#[tokio::test]
async fn a_standing_that_comes_late_does_not_hide_a_newer_one_in_the_store() {
    let bank = Bank::new(1).await;
    let owner = CustomerId::from_parts(1, 1);
    let frozen = Owner { version: 2, marks: Marks::SANCTIONED };
    let mut tx = bank.db.begin("standing").await.unwrap();
    assert!(store::accounts::keep_owner(&mut tx, owner, frozen, "person").await.unwrap());
    tx.commit().await.unwrap();
    let restarted = bank.restarted();
    restarted.alone("first").await.unwrap().commit().await.unwrap();
    restarted.take_standing(owner, Owner { version: 1, marks: Marks::default() }).await;
    let combiner = Combiner::start(Arc::clone(&restarted));
    let outcomes = combiner.post(vec![bank.command("1", bank.credit(0, 1))]).await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Refused(why, false)] if why[0].0 == Code::Sanctioned), "{outcomes:?}");
    // What is in memory follows newer ones, and only those.
    for (version, marks) in [(1, Marks::default()), (3, Marks::KYC_EXPIRED), (2, Marks::default())] {
        restarted.take_standing(owner, Owner { version, marks }).await;
    }
    let known = restarted.look(number_of(bank.accounts[0]), |_, owner| owner).await.unwrap().unwrap();
    assert_eq!(known, Owner { version: 3, marks: Marks::KYC_EXPIRED });
}

#[tokio::test]
async fn accounts_that_could_not_be_loaded_take_no_numbers() {
    let bank = Bank::new(1).await;
    let mut tx = bank.db.begin("full").await.unwrap();
    let sql = "CREATE TRIGGER full BEFORE INSERT ON account WHEN NEW.no = 4 BEGIN SELECT RAISE(ABORT, 'full'); END";
    tx.execute(sql, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let load = |count| load_accounts(&bank.ledger, CustomerId::from_parts(1, 1), "plain", bank.day, count);
    load(5).await.unwrap_err();
    assert_eq!(load(1).await.unwrap().unwrap().into_iter().map(number_of).collect::<Vec<_>>(), [2]);
}
