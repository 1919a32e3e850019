//! Commits that keep failing by chance while callers post, open, look and fold: in the end memory and all that anybody was
//! told are what the books say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Answer, Key, Tx};
use jangbu_platform::dice::Dice;
use tokio::sync::Mutex;

use super::lost::Bank;
use crate::domain::command::{Action, Command, Original};
use crate::domain::decide::Posting;
use crate::domain::eligibility::number_of;
use crate::flows::accounts::{self, Kept, Opening};
use crate::flows::post::{Outcome, known};
use crate::ledger::Ledger;
use crate::proof::prove;
use crate::store;

const ACCOUNTS: u32 = 5;
const CALLERS: u64 = 4;
/// Batches of one caller.
const BATCHES: u64 = 40;
/// Batches after which a new day begins.
const BATCHES_PER_DAY: u64 = 14;
/// Time from one kill to the next.
const BETWEEN_KILLS: Duration = Duration::from_millis(50);

/// What a look saw of an account: number, serial, balance.
type Seen = (u64, u64, i64);

struct Storm {
    bank: Bank,
    /// Commands with what became of them.
    told: Mutex<Vec<(Command, Outcome)>>,
    seen: Mutex<BTreeSet<Seen>>,
    opened: Mutex<Vec<String>>,
    keys: AtomicU64,
    over: AtomicBool,
}

impl Storm {
    fn action(&self, dice: &Dice, postings: &[Posting]) -> Action {
        let account = |n: u64| self.bank.accounts[usize::try_from(n % u64::from(ACCOUNTS)).unwrap()];
        let (n, amount) = (dice.u64() >> 8, i64::try_from(dice.u64() % 1_000 + 1).unwrap());
        let known = postings.get(usize::try_from(n).unwrap() % postings.len().max(1));
        let seq = known.map_or(1, |posting| posting.seq);
        match dice.u64() % 12 {
            0..4 => Action::Credit { account: account(n), amount, bank: "cash" },
            4 | 5 => Action::Debit { account: account(n), amount, bank: "cash" },
            6 | 7 => Action::Transfer { from: account(n), to: account(n + 1), amount },
            8 => Action::Hold { account: account(n), amount, until: None },
            9 => Action::Release { hold: seq },
            10 => Action::Capture { hold: seq, amount: None, bank: "cash" },
            // Only the place is looked at; the rest is read from the store.
            _ => {
                let original = known.map(|posting| Original {
                    seq,
                    kind: posting.kind,
                    debit: None,
                    credit: None,
                    bank: None,
                    amount: 0,
                    counted_on: posting.date,
                    reversed: false,
                });
                if n % 2 == 0 {
                    Action::Reversal { original }
                } else {
                    Action::Interest { account: account(n), due: None }
                }
            }
        }
    }

    /// Posts batches, each again and again until it is answered.
    async fn call(self: Arc<Self>, caller: u64) {
        let dice = Dice::seeded(caller);
        let mut postings: Vec<Posting> = Vec::new();
        for batch in 0..BATCHES {
            let mut commands = Vec::new();
            for _ in 0..=dice.u64() % 8 {
                let n = self.keys.fetch_add(1, Ordering::SeqCst);
                let prefix = if n.is_multiple_of(16) { dice.u64() } else { 0 };
                let command = self.bank.command(&format!("{prefix:016x}{n:08}"), self.action(&dice, &postings));
                let date = self.bank.day.add_days(i32::try_from(batch / BATCHES_PER_DAY).unwrap());
                commands.push(Command { hash: n, date, ..command });
            }
            let outcomes = loop {
                match self.bank.combiner.post(commands.clone()).await {
                    Ok(outcomes) => break outcomes,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            postings.extend(outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Posted(posted, _) => Some(posted.posting.clone()),
                _ => None,
            }));
            self.told.lock().await.extend(commands.into_iter().zip(outcomes));
        }
    }

    async fn look(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            for account in &self.bank.accounts {
                let seen = self.bank.ledger.look(number_of(*account), |a, _| (a.no, a.serial, a.ledger)).await;
                self.seen.lock().await.extend(seen.ok().flatten());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn fold(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            let _ = self.bank.ledger.fold().await; // the next one does what this one could not
            tokio::task::yield_now().await;
        }
    }

    async fn open(self: Arc<Self>) {
        let customer = CustomerId::from_parts(1, 1);
        let (product, date) = ("plain".to_owned(), self.bank.day);
        let opening = Opening { customer, product, currency: None, date, standing: None };
        for n in 0..u64::MAX {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let key = Key { caller: "storm".to_owned(), key: n.to_string() };
            let answer = |shown: &Result<accounts::Shown, _>| {
                let body = shown.as_ref().map_or_else(|_| String::new(), |shown| shown.account.id.to_string());
                Answer { status: 200, body }
            };
            let kept = loop {
                match accounts::open(&self.bank.ledger, &key, 1, &opening, answer).await {
                    Ok(Kept::New(answer) | Kept::Again(answer)) => break answer,
                    Ok(Kept::KeyReused) => panic!("nobody else has the key"),
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            self.opened.lock().await.push(kept.body);
        }
    }

    /// Kills the bank again and again: each time all that had been told is there, and the accounts are what the postings
    /// say, however much of them was written back.
    async fn kill(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            let told: Vec<String> = self.told.lock().await.iter().map(|(command, _)| command.key.clone()).collect();
            let opened = self.opened.lock().await.len();
            let (ledger, _copy) = self.bank.killed();
            let accounts = self.accounts(&ledger).await;
            assert!(accounts.len() >= self.bank.accounts.len() + opened);
            let mut tx = ledger.db.read("test").await.unwrap();
            for key in told {
                assert!(store::postings::by_key(&mut tx, &key).await.unwrap().is_some(), "{key} was told");
            }
            let balances = balances(&mut tx).await;
            for account in accounts {
                let last = balances.range((account.no, 0)..=(account.no, u64::MAX)).next_back();
                let last = last.map_or((0, 0), |((_, serial), balance)| (*serial, *balance));
                assert_eq!((account.serial, account.ledger), last, "account {}", account.no);
            }
            let proof = prove(&ledger.db, &|_| {}).await.unwrap();
            assert_eq!(proof.breaks.count(), 0, "{:?}", proof.breaks);
            tokio::time::sleep(BETWEEN_KILLS).await;
        }
    }

    /// What was told is stored, and nothing else is.
    async fn hold_against_books(&self) {
        let mut tx = self.bank.db.read("test").await.unwrap();
        let mut told = 0;
        for (command, outcome) in self.told.lock().await.iter() {
            let row = store::postings::by_key(&mut tx, &command.key).await.unwrap().expect("it was told");
            let names = self.bank.ledger.names(&mut tx, None, std::slice::from_ref(&row)).await.unwrap();
            let stored = known(&mut tx, &names, row).await.unwrap();
            match (outcome, &stored) {
                (Outcome::Posted(told, _), Outcome::Posted(stored, _)) => {
                    let posting = |of: &Posting| Posting { interest: None, ..of.clone() };
                    assert_eq!(posting(&told.posting), posting(&stored.posting));
                }
                (Outcome::Refused(told, _), Outcome::Refused(stored, _)) => assert_eq!(told, stored),
                other => panic!("{command:?}: {other:?}"),
            }
            told += 1;
        }
        let last = store::postings::last_seq(&mut tx).await.unwrap();
        assert_eq!(last, told, "a row for each command, and no gap");
        let balances = balances(&mut tx).await;
        for (no, serial, ledger) in self.seen.lock().await.iter() {
            let stored = if *serial == 0 { Some(&0) } else { balances.get(&(*no, *serial)) };
            assert_eq!(Some(ledger), stored, "account {no} as seen at serial {serial}");
        }
        let proof = prove(&self.bank.db, &|_| {}).await.unwrap();
        assert_eq!(proof.breaks.count(), 0, "{:?}", proof.breaks);
        assert!(proof.postings > 0 && proof.refused > 0);
    }

    /// Memory is what a start would read, and the accounts are those that were told.
    async fn hold_against_memory(&self) {
        let restarted = self.bank.restarted();
        let (here, there) = (self.accounts(&self.bank.ledger).await, self.accounts(&restarted).await);
        assert_eq!(here, there);
        let opened = self.opened.lock().await;
        let ids: Vec<String> = here.iter().skip(self.bank.accounts.len()).map(|a| a.id.to_string()).collect();
        assert_eq!(ids, *opened);
        assert!(!opened.is_empty());
    }

    async fn accounts(&self, ledger: &Ledger) -> Vec<crate::domain::book::Account> {
        let mut alone = ledger.alone("test").await.unwrap();
        for no in 1..=alone.state.last_no {
            ledger.load(&mut alone.tx, &mut alone.state, no).await.unwrap();
        }
        let accounts = alone.state.book.accounts.iter().cloned().collect();
        alone.finish().await.unwrap().await.unwrap();
        accounts
    }
}

/// Balances by account and serial, as the postings say.
async fn balances(tx: &mut Tx) -> BTreeMap<(u64, u64), i64> {
    let rows = store::postings::range(tx, 1, i64::MAX.cast_unsigned(), u32::MAX).await.unwrap();
    let legs = rows.iter().filter_map(|row| row.posting.as_ref()).flat_map(|p| [p.debit, p.credit]).flatten();
    legs.map(|leg| ((leg.account, leg.serial), leg.balance)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_memory_and_answers_are_what_the_books_say() {
    let mut lost = 0;
    for (flush, statement, everything) in [(10, 0, 0), (0, 10, 0), (0, 0, 10), (5, 5, 5)] {
        let bank = Bank::new(ACCOUNTS).await;
        bank.weather(flush, statement, everything).await;
        let storm = Arc::new(Storm {
            bank,
            told: Mutex::default(),
            seen: Mutex::default(),
            opened: Mutex::default(),
            keys: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let callers: Vec<_> = (0..CALLERS).map(|n| tokio::spawn(Arc::clone(&storm).call(n))).collect();
        let others = [
            tokio::spawn(Arc::clone(&storm).look()),
            tokio::spawn(Arc::clone(&storm).fold()),
            tokio::spawn(Arc::clone(&storm).open()),
            tokio::spawn(Arc::clone(&storm).kill()),
        ];
        for caller in callers {
            caller.await.unwrap();
        }
        storm.over.store(true, Ordering::SeqCst);
        for other in others {
            other.await.unwrap();
        }
        lost += storm.bank.db.lost();
        storm.bank.weather(0, 0, 0).await;
        storm.hold_against_books().await;
        storm.hold_against_memory().await;
    }
    assert!(lost > 0, "something was lost");
}
