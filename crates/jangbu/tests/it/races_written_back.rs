//! What is written behind batches, by two processes of one instance on one MariaDB, one of which may die in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jangbu_deposit::domain::command::{Action, Command};
use jangbu_deposit::domain::eligibility::number_of;
use jangbu_deposit::flows::accounts::{Kept, close};
use jangbu_deposit::flows::post::Outcome;
use jangbu_deposit::store;
use jangbu_deposit::store::batches::Packed;
use jangbu_deposit::store::postings::Stored;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Answer, Key, Row};
use jangbu_platform::dice::Dice;

use super::races::{Two, posted};

impl Two {
    /// Up to where balances are written back, with a copy of them.
    async fn written_back(&self) -> u64 {
        self.processes[0].ledger.fold().await.unwrap();
        let mut tx = self.processes[0].ledger.db.begin("races").await.unwrap();
        tx.execute("CREATE TABLE before_it LIKE balance", &[]).await.unwrap();
        tx.execute("INSERT INTO before_it SELECT * FROM balance", &[]).await.unwrap();
        let folded = store::accounts::folded(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        folded
    }

    /// Leaves balances as they were, as if whoever posted since had died before he wrote them back; and before he wrote the
    /// rows of so many `packed` postings, though others wrote those after them.
    async fn write_back_no_further_than(&self, folded: u64, packed: usize) {
        self.processes[0].ledger.fold().await.unwrap();
        let mut tx = self.processes[0].ledger.db.begin("races").await.unwrap();
        let rows = store::postings::range(&mut tx, folded + 1, u64::MAX >> 1, 10_000).await.unwrap();
        if let Some(batch) = Packed::of(&rows.iter().take(packed).map(Stored::row).collect::<Vec<_>>()) {
            let places = [batch.first, batch.last].map(|seq| seq.cast_signed().into());
            tx.execute("DELETE FROM posting WHERE seq >= ? AND seq <= ?", &places).await.unwrap();
            store::batches::keep(&mut tx, &batch).await.unwrap();
        }
        tx.execute("DELETE FROM balance", &[]).await.unwrap();
        tx.execute("INSERT INTO balance SELECT * FROM before_it", &[]).await.unwrap();
        store::accounts::set_folded(&mut tx, folded).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Credits of five won to accounts.
    fn credits(&self, accounts: impl Iterator<Item = AccountId>) -> Vec<Command> {
        accounts.map(|account| self.fresh(Action::Credit { account, amount: 5, bank: "cash" })).collect()
    }
}

/// What a posting left of an account, as its answer says: number, serial, balance.
fn left(outcome: &Outcome) -> (u64, u64, i64) {
    let Outcome::Posted(posted, _) = outcome else { panic!("{outcome:?}") };
    let leg = posted.posting.credit.or(posted.posting.debit).unwrap();
    (leg.account, leg.serial, leg.balance)
}

/// Batches large enough that their balances are written behind them: whoever looks after an answer, through whichever
/// process, sees what it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_sees_what_was_answered() {
    const ROUNDS: usize = 60;
    let two = Arc::new(Two::with(40).await);
    let caller = |n: usize| {
        let two = Arc::clone(&two);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let accounts = (0..36).map(|i| two.accounts[(n * 7 + round + i) % 40]);
                let outcomes = two.post(n % 2, two.credits(accounts)).await;
                for outcome in outcomes.iter().step_by(7) {
                    let (no, serial, balance) = left(outcome);
                    let through = &two.processes[(n + round) % 2].ledger;
                    let seen = through.look(no, |account, _| (account.serial, account.ledger)).await.unwrap().unwrap();
                    assert!(seen.0 >= serial, "account {no}: {seen:?} after {serial} was answered");
                    assert_eq!(seen.1 - balance, 5 * i64::try_from(seen.0 - serial).unwrap(), "account {no}");
                }
            }
        })
    };
    for caller in (0..4).map(caller).collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    two.prove().await;
}

/// A process dies when its batch stands and its balances are not written back, or its rows neither: others do it, also of
/// holds, captures and interest, before they decide or look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_left_is_written() {
    for packed in [0, 20, usize::MAX] {
        is_written_for_the_dead(packed).await;
    }
}

async fn is_written_for_the_dead(packed: usize) {
    let two = Two::with(12).await;
    two.credit(1_000_000).await;
    let held = two.post(0, vec![two.fresh(Action::Hold { account: two.accounts[3], amount: 300, until: None })]).await;
    let Outcome::Posted(held, _) = &held[0] else { panic!("{held:?}") };
    two.clock.advance_to("2025-03-06T10:00:00+09:00".parse::<Timestamp>().unwrap());
    let before = two.written_back().await;
    let transfer = |i: usize| Action::Transfer { from: two.accounts[i % 11], to: two.accounts[i % 11 + 1], amount: 10 };
    let mut actions: Vec<Action> = (0..33).map(transfer).collect();
    actions.push(Action::Capture { hold: held.posting.seq, amount: Some(100), bank: "cash" });
    actions.push(Action::Hold { account: two.accounts[5], amount: 7, until: None });
    actions.push(Action::Interest { account: two.accounts[7], due: None });
    let commands: Vec<Command> = actions.into_iter().map(|action| two.fresh(action)).collect();
    let outcomes = two.post(0, commands.clone()).await;
    assert!(outcomes.iter().all(posted), "{outcomes:?}");
    two.processes[0].ledger.fold().await.unwrap();
    let rows = two.rows("SELECT * FROM posting ORDER BY seq").await;
    let mut expected = Vec::new();
    for account in &two.accounts {
        let no = number_of(*account);
        expected.push(two.processes[0].ledger.look(no, |account, _| account.clone()).await.unwrap().unwrap());
    }

    two.write_back_no_further_than(before, packed).await;
    let proof = jangbu_deposit::proof::prove(&two.processes[1].ledger.db, &|_| {}).await.unwrap();
    assert_eq!((proof.breaks.count(), proof.postings), (0, rows.len() as u64), "{:?}", proof.breaks.told);
    let ledger = &two.processes[1].ledger;
    let mut tx = ledger.db.read("races").await.unwrap();
    let sent = store::outbox::ranges(&mut tx, 100).await.unwrap().last().unwrap().1;
    assert_eq!(
        sent,
        if packed > 0 { before } else { before + outcomes.len() as u64 },
        "none is told before its row is there"
    );
    let found = store::batches::by_seq(&mut tx, before + 20).await.unwrap();
    assert_eq!(found.map(|row| row.seq), (packed > 0).then_some(before + 20));
    assert_eq!(store::batches::by_seq(&mut tx, before + 21).await.unwrap().is_some(), packed > 20);
    let found = store::batches::by_key(&mut tx, &commands[0].key).await.unwrap();
    assert_eq!(found.map(|row| row.seq), (packed > 0).then_some(before + 1));
    drop(tx);
    for account in &expected {
        let seen = ledger.look(account.no, |account, _| account.clone()).await.unwrap().unwrap();
        assert_eq!(seen, *account);
    }
    assert_eq!(two.rows("SELECT * FROM posting ORDER BY seq").await, rows);
    two.prove().await;

    // The same commands again, of which the other knows nothing but what is packed.
    two.write_back_no_further_than(before, packed).await;
    let again = two.post(1, commands).await;
    for (outcome, again) in outcomes.iter().zip(&again) {
        let (Outcome::Posted(outcome, false), Outcome::Posted(again, true)) = (outcome, again) else {
            panic!("{outcome:?} {again:?}");
        };
        assert_eq!((outcome.posting.seq, outcome.at), (again.posting.seq, again.at));
    }
    assert_eq!(two.rows("SELECT * FROM posting ORDER BY seq").await, rows);
    two.prove().await;
}

/// One goes on posting after the other died: he does not take for written back what he has no account of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_on_leaves_out_no_balance_of_the_dead() {
    for packed in [0, 20, usize::MAX] {
        leaves_out_none(packed).await;
    }
}

async fn leaves_out_none(packed: usize) {
    let two = Two::with(100).await;
    let credits = |numbers: std::ops::Range<usize>| two.credits(two.accounts[numbers].iter().copied());
    two.post(1, credits(0..40)).await;
    let before = two.written_back().await;
    two.post(0, credits(60..100)).await;
    two.write_back_no_further_than(before, packed).await;
    two.post(1, credits(0..40)).await;
    two.prove().await;
    assert_eq!(two.sum("SELECT SUM(ledger) FROM balance").await, 120 * 5);
}

/// More accounts than either has in memory, in batches of both, while the empty ones are closed: what one has to write back
/// of accounts that the other does not know waits for him, and none is closed with money on its way to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_the_other_does_not_know_are_his_to_write_back() {
    const ROUNDS: u64 = 40;
    let two = Arc::new(Two::with(4_000).await);
    let over = Arc::new(AtomicU64::new(0));
    let any = |dice: &Dice, two: &Two| two.accounts[usize::try_from(dice.u64() % 4_000).unwrap()];
    let caller = |n: usize| {
        let (two, over) = (Arc::clone(&two), Arc::clone(&over));
        tokio::spawn(async move {
            let dice = Dice::seeded(n as u64);
            for _ in 0..ROUNDS {
                two.post(n % 2, two.credits((0..50).map(|_| any(&dice, &two)))).await;
            }
            over.fetch_add(1, Ordering::SeqCst);
        })
    };
    let closer = {
        let (two, over) = (Arc::clone(&two), Arc::clone(&over));
        tokio::spawn(async move {
            let (dice, mut closes, mut n) = (Dice::seeded(9), 0, 0);
            while over.load(Ordering::SeqCst) < 6 {
                n += 1;
                let key = Key { caller: "service:races".into(), key: format!("c{n}") };
                let ledger = &two.processes[usize::try_from(n % 2).unwrap()].ledger;
                let answer = |shown: &Result<_, _>| Answer {
                    status: if shown.is_ok() { 200 } else { 409 },
                    body: String::new(),
                };
                match close(ledger, &key, n, (any(&dice, &two), two.day()), answer).await {
                    Ok(Some(Kept::New(answer))) => closes += u64::from(answer.status == 200),
                    Ok(_) => panic!("it is there, and asked for once"),
                    Err(fault) => assert!(fault.is_busy(), "{fault}"),
                }
            }
            closes
        })
    };
    for caller in (0..6).map(caller).collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let closes: u64 = closer.await.unwrap();
    two.prove().await;
    let sql =
        "SELECT COUNT(*), SUM(b.ledger) FROM account a JOIN balance b ON b.no = a.no WHERE a.closed_on IS NOT NULL";
    let rows = two.rows(sql).await;
    assert_eq!(rows[0].int(0).cast_unsigned(), closes);
    assert!(rows[0].int(0) > 0 && rows[0].int(1) == 0, "no money lies on the {} that were closed", rows[0].int(0));
}

/// Whatever is posted, a process that others post beside keeps accounts as if it had posted all itself: limits that are given
/// back on the day they were counted or later, days that interest was paid for, holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_keeps_what_he_would_have_decided() {
    let alone = balances_after([0, 0]).await;
    for takes_turns in [[0, 1], [1, 0]] {
        assert_eq!(balances_after(takes_turns).await, alone, "{takes_turns:?}");
    }
}

/// Balances of three days, after postings of all kinds by one process, on accounts that another has in memory, which then
/// credits them all.
async fn balances_after([one, other]: [usize; 2]) -> [Vec<Row>; 3] {
    let two = Two::with(12).await;
    let all = || two.credits((0..36).map(|i| two.accounts[i % 12]));
    let place = async |action: Action| {
        let outcomes = two.post(one, vec![two.fresh(action)]).await;
        let Outcome::Posted(posted, _) = &outcomes[0] else { panic!("{outcomes:?}") };
        posted.posting.seq
    };
    let settle = async |early: [u64; 4], account: AccountId| {
        let [captured, released, debited, whole] = early;
        place(Action::Debit { account, amount: 2_000, bank: "cash" }).await; // counts today
        let capture = place(Action::Capture { hold: captured, amount: Some(100), bank: "cash" }).await;
        place(Action::Capture { hold: whole, amount: None, bank: "cash" }).await;
        place(Action::Release { hold: released }).await;
        place(two.undoing(debited)).await;
        place(two.undoing(capture)).await;
        two.post(other, all()).await;
        place(Action::Debit { account, amount: 50, bank: "cash" }).await;
        two.post(other, all()).await;
    };
    let begin = async |account: AccountId| {
        let hold = async |amount| place(Action::Hold { account, amount, until: None }).await;
        let holds = [hold(300).await, hold(500).await];
        let debit = place(Action::Debit { account, amount: 70, bank: "cash" }).await;
        [holds[0], holds[1], debit, hold(40).await]
    };
    let balances = || two.rows("SELECT * FROM balance ORDER BY no");
    two.credit(1_000_000).await;
    for process in [one, other] {
        two.post(process, all()).await;
    }
    let (same_day, another_day) = (two.accounts[3], two.accounts[4]);
    let (now, later) = (begin(same_day).await, begin(another_day).await);
    two.post(other, all()).await;
    settle(now, same_day).await;
    let first = balances().await;
    assert!(two.clock.advance_to("2025-03-06T10:00:00+09:00".parse::<Timestamp>().unwrap()));
    settle(later, another_day).await;
    for account in &two.accounts[3..8] {
        place(Action::Interest { account: *account, due: None }).await;
    }
    two.post(other, all()).await;
    let second = balances().await;
    assert!(two.clock.advance_to("2025-04-02T10:00:00+09:00".parse::<Timestamp>().unwrap()));
    place(Action::Interest { account: two.accounts[3], due: None }).await;
    two.post(other, all()).await;
    two.prove().await;
    [first, second, balances().await]
}
