//! Commits that fail: nothing is decided on what was lost, and nobody sees it.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::audit::Deed;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::db::{Answer, Db, Fault, Key, Tx};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use crate::combiner::Combiner;
use crate::domain::book::{Marks, Owner};
use crate::domain::command::{Action, Command};
use crate::domain::decide::Refusal;
use crate::domain::eligibility::number_of;
use crate::flows::accounts::{self, Opening, Shown};
use crate::flows::bulk::load_accounts;
use crate::flows::post::{Lane, Outcome, post};
use crate::ledger::Ledger;
use crate::service::{KRW, offer};
use crate::store;
use crate::store::accounts::KeptOwner;

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
    dir: tempfile::TempDir,
}

fn open(dir: &Path) -> Db {
    let clock = Arc::new(ManualClock::new("2026-01-02T09:00:00+09:00".parse().unwrap()));
    Db::open_embedded(&dir.join("bank.db"), clock, Dice::seeded(1)).unwrap()
}

impl Bank {
    pub async fn new(accounts: u32) -> Bank {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
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
        Bank { db, ledger, combiner, accounts, day, dir }
    }

    /// Another ledger on the same books, which has nothing in memory yet.
    pub fn restarted(&self) -> Arc<Ledger> {
        Arc::new(Ledger::new(self.db.clone(), KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(3)))
    }

    /// The books as a kill at this moment leaves them.
    pub fn killed(&self) -> (Arc<Ledger>, tempfile::TempDir) {
        let copy = tempfile::tempdir().unwrap();
        for file in ["bank.db", "bank.db-wal"] {
            std::fs::copy(self.dir.path().join(file), copy.path().join(file)).unwrap();
        }
        let ledger = Ledger::new(open(copy.path()), KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(3));
        (Arc::new(ledger), copy)
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

/// Lets flows end their statements one after the other, and holds the flush that they share back: whether one of them
/// came to its end, and the unit of work that holds the flush.
async fn held_back<T>(db: &Db, flows: &mut [BoxFuture<'_, T>]) -> (bool, Tx) {
    let mut ended = false;
    let mut holder = db.begin("holder").await.unwrap();
    for flow in flows {
        ended |= flow.now_or_never().is_some();
        let mut next = Box::pin(db.begin("holder"));
        assert!((&mut next).now_or_never().is_none());
        drop(holder);
        ended = ended || flow.now_or_never().is_some();
        holder = next.await.unwrap();
    }
    (ended, holder)
}

/// Ends a unit of work, well or with the loss of all that share its flush.
async fn end(mut last: Tx, well: bool) {
    if !well {
        last.execute("INSERT INTO sand VALUES (1)", &[]).await.unwrap();
    }
    assert_eq!(last.commit().await.is_ok(), well);
}

fn answer(_: &Result<Shown, Refusal>) -> Answer {
    Answer { status: 200, body: "done".to_owned() }
}

#[tokio::test]
async fn nothing_is_seen_or_answered_before_its_flush() {
    type Seen = (bool, bool, i64);
    for well in [true, false] {
        let bank = Bank::new(2).await;
        let (ledger, day) = (&bank.ledger, bank.day);
        bank.post("1", bank.credit(0, 100)).await.unwrap();
        let key = |key: &str| Key { caller: "test".to_owned(), key: key.to_owned() };
        let opening = Opening {
            customer: CustomerId::from_parts(1, 1),
            product: "plain".to_owned(),
            currency: None,
            date: day,
            standing: None,
        };
        let opening = &opening;
        let open = async || accounts::open(ledger, &key("open"), 1, opening, answer).await.map(|_| ());
        let mark = async || {
            let deed = Deed { who: "o", what: "mark", subject: "a", reason: "r", result: "set" };
            let marked = accounts::set_mark(ledger, bank.accounts[0], (Marks::LIMITED, true), &deed).await;
            marked.map(|marked| marked.unwrap())
        };
        let close = async || {
            let closed = accounts::close(ledger, &key("close"), 1, (bank.accounts[1], day), answer).await;
            closed.map(|closed| drop(closed.unwrap()))
        };
        let post = async || {
            // A hold that has to be looked for, so that it has the ledger to itself.
            let commands = vec![bank.command("2", bank.credit(0, 10)), bank.command("3", Action::Release { hold: 99 })];
            let answers =
                post(ledger, &mut Lane::default(), ledger.room().await, commands).await.map_err(|(fault, _)| fault)?;
            answers.await.map(drop)
        };
        let restarted = bank.restarted();
        let look = async |ledger: &Ledger, no: u64| {
            let seen = ledger.look(no, |a, _| (a.closed_on.is_some(), a.marks == Marks::LIMITED, a.ledger)).await;
            seen.map(Option::unwrap_or_default)
        };
        type Case<'a> =
            (&'a str, BoxFuture<'a, Result<(), Fault>>, BoxFuture<'a, Result<(), Fault>>, &'a Ledger, u64, Seen, Seen);
        let cases: Vec<Case<'_>> = vec![
            ("mark", mark().boxed(), mark().boxed(), ledger, 1, (false, false, 100), (false, true, 100)),
            ("close", close().boxed(), close().boxed(), ledger, 2, (false, false, 0), (true, false, 0)),
            ("open", open().boxed(), open().boxed(), ledger, 3, (false, false, 0), (false, false, 0)),
            ("post", post().boxed(), post().boxed(), &restarted, 1, (false, well, 100), (false, well, 110)),
        ];
        for (what, flow, again, ledger, no, before, after) in cases {
            let looked = std::sync::Mutex::new(None);
            let seeing = async {
                *looked.lock().unwrap() = Some(look(ledger, no).await?);
                Ok(())
            };
            let mut flows = [flow, again, seeing.boxed()];
            let (ended, last) = held_back(&bank.db, &mut flows).await;
            assert!(!ended, "{what}: said before the flush");
            end(last, well).await;
            for flow in flows {
                assert_eq!(flow.await.is_ok(), well, "{what}");
            }
            let seen = looked.into_inner().unwrap();
            assert_eq!(seen, well.then_some(after), "{what}");
            assert_eq!(look(ledger, no).await.unwrap(), if well { after } else { before }, "{what}");
        }
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
    let kept = store::accounts::keep_owner(&mut tx, owner, frozen, "person").await.unwrap();
    assert_ne!(kept, KeptOwner::Not);
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

#[tokio::test]
async fn while_nothing_can_be_written_not_every_caller_costs_a_try() {
    let bank = Bank::new(1).await;
    bank.weather(0, 100, 0).await;
    // All in one batch, and each in need of the store, so that each try reads memory anew.
    let post = async |n: i32| bank.post(&format!("{n:03}"), Action::Release { hold: 99 }).await;
    let outcomes = futures_util::future::join_all((0..500).map(post)).await;
    assert!(outcomes.iter().all(Result::is_err));
    let generation = async || {
        bank.balance(0).await;
        bank.ledger.current().await.unwrap().generation
    };
    assert!(generation().await < 50, "tries: {}", generation().await);
    bank.weather(0, 0, 0).await;
    assert!(futures_util::future::join_all((0..500).map(post)).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_fold_that_outlives_what_it_began_with_writes_nothing_of_it_back() {
    let bank = Bank::new(1).await;
    bank.post("1", bank.credit(0, 100)).await.unwrap();
    bank.weather(0, 100, 0).await;
    let holder = bank.db.begin("holder").await.unwrap();
    // Decided, and waiting to be written, which will fail.
    let commands = (0..5).map(|i| bank.command(&format!("2{i}"), bank.credit(0, 10))).collect();
    let mut lost = Box::pin(bank.combiner.post(commands));
    while bank.ledger.current().await.unwrap().seq < 6 {
        assert!((&mut lost).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let mut rebuilt = Box::pin(bank.ledger.alone("rebuild"));
    assert!((&mut rebuilt).now_or_never().is_none());
    let mut fold = Box::pin(bank.ledger.fold());
    assert!((&mut fold).now_or_never().is_none());
    drop(holder);
    lost.await.unwrap_err();
    rebuilt.await.unwrap().finish().await.unwrap().await.unwrap();
    let _ = fold.await; // whatever it says, the books must be whole after it
    bank.weather(0, 0, 0).await;
    for key in ["3", "4", "5"] {
        bank.post(key, bank.credit(0, 1)).await.unwrap();
    }
    for folded in [false, true] {
        let seen = bank.restarted().look(1, |account, _| account.ledger).await.unwrap();
        assert_eq!(seen, Some(103), "folded: {folded}");
        bank.ledger.fold().await.unwrap();
    }
}
