//! Two processes of one deposit instance on one MariaDB: the same accounts at once, in whatever order. What they did to each
//! other is looked for in the books.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jangbu_adapters::mysql::{self, Limits};
use jangbu_adapters::stand::Server;
use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_deposit::combiner::Combiner;
use jangbu_deposit::domain::book::Marks;
use jangbu_deposit::domain::command::{Action, Command, Kind as Of, Original};
use jangbu_deposit::flows::accounts::{Kept, Opening, open, set_mark};
use jangbu_deposit::flows::bulk::load_accounts;
use jangbu_deposit::flows::post::Outcome;
use jangbu_deposit::flows::standing;
use jangbu_deposit::ledger::Ledger;
use jangbu_deposit::service::{self, KRW};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::audit::Deed;
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::db::{Answer, Fault, Key, Row, Value};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

/// One of the processes: its own connections, its own memory.
pub(super) struct Process {
    pub(super) ledger: Arc<Ledger>,
    pub(super) combiner: Combiner,
}

/// Two processes, and the server that they share.
pub(super) struct Two {
    pub(super) processes: [Process; 2],
    pub(super) accounts: Vec<AccountId>,
    pub(super) clock: Arc<ManualClock>,
    keys: AtomicU64,
    _dir: tempfile::TempDir,
    _server: Server,
}

impl Two {
    pub(super) async fn with(accounts: u32) -> Two {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::mysql(dir.path()).unwrap();
        let url = server.database(&format!("races_{}_{}", std::process::id(), Dice::from_os().u64()));
        mysql::make(&url).await.unwrap();
        let clock = Arc::new(ManualClock::new("2025-03-04T10:00:00+09:00".parse::<Timestamp>().unwrap()));
        let process = async |seed| {
            let now: Arc<dyn Clock> = clock.clone();
            let db = mysql::open(&url, Limits::default(), now, Dice::seeded(seed)).await.unwrap();
            migrate::apply(&db, KRW.migrations).await.unwrap();
            let ledger = Arc::new(Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(seed)));
            service::offer(&ledger, include_str!("../../seed/deposit-krw.json")).await.unwrap();
            Process { combiner: Combiner::start(Arc::clone(&ledger)), ledger }
        };
        let processes = [process(1).await, process(2).await];
        let day = clock.now().business_date(UtcOffset::SEOUL);
        let owner = CustomerId::from_parts(1, 1);
        let opened = load_accounts(&processes[0].ledger, owner, "toss-demand", day, accounts).await.unwrap();
        let accounts = opened.unwrap();
        Two { processes, accounts, clock, keys: AtomicU64::new(0), _dir: dir, _server: server }
    }

    pub(super) fn day(&self) -> BusinessDate {
        self.clock.now().business_date(UtcOffset::SEOUL)
    }

    fn command(&self, key: &str, action: Action) -> Command {
        let hash = xxhash(key);
        Command { key: format!("{key}\u{1f}service:races"), hash, action, date: self.day(), memo: None }
    }

    /// A command under a key of its own.
    pub(super) fn fresh(&self, action: Action) -> Command {
        self.command(&format!("n{:08}", self.keys.fetch_add(1, Ordering::SeqCst)), action)
    }

    /// The undoing of a posting: only its place is looked at, the rest is found under the instance's place.
    pub(super) fn undoing(&self, seq: u64) -> Action {
        let original = Original {
            seq,
            kind: Of::Reversal,
            debit: None,
            credit: None,
            bank: None,
            amount: 0,
            counted_on: self.day(),
            reversed: false,
        };
        Action::Reversal { original: Some(original) }
    }

    /// Has a process post commands, again as long as it is busy.
    pub(super) async fn post(&self, process: usize, commands: Vec<Command>) -> Vec<Outcome> {
        loop {
            match self.processes[process].combiner.post(commands.clone()).await {
                Ok(outcomes) => return outcomes,
                Err(fault) => assert!(fault.is_busy(), "{fault}"),
            }
        }
    }

    pub(super) async fn credit(&self, amount: i64) {
        let credit = |account: &AccountId| self.fresh(Action::Credit { account: *account, amount, bank: "cash" });
        let outcomes = self.post(0, self.accounts.iter().map(credit).collect()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Posted(..))));
    }

    /// What is stored, with all balances written back.
    pub(super) async fn rows(&self, sql: &str) -> Vec<Row> {
        self.processes[1].ledger.fold().await.unwrap();
        self.processes[1].ledger.db.read("races").await.unwrap().query(sql, &[]).await.unwrap()
    }

    pub(super) async fn sum(&self, sql: &str) -> i64 {
        self.rows(sql).await[0].opt_int(0).unwrap_or(0)
    }

    /// Proves the books, and that places follow each other.
    pub(super) async fn prove(&self) {
        self.processes[0].ledger.fold().await.unwrap(); // else what is not written back yet is left out
        let proof = jangbu_deposit::proof::prove(&self.processes[0].ledger.db, &|_| {}).await.unwrap();
        assert_eq!(proof.breaks.count(), 0, "{:?}", proof.breaks.told);
        let rows = self.rows("SELECT COUNT(*), MIN(seq), MAX(seq) FROM posting").await;
        assert_eq!((rows[0].int(1), rows[0].int(2)), (1, rows[0].int(0)), "places without a gap");
        let rows = self.rows("SELECT SUM(last_seq - first_seq + 1), MAX(last_seq) FROM posting_outbox").await;
        assert_eq!(rows[0].int(0), rows[0].int(1), "each is told, and none twice");
    }
}

fn xxhash(key: &str) -> u64 {
    key.bytes().fold(7, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

pub(super) fn posted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Posted(..))
}

fn newly(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Posted(_, false))
}

/// Transfers both ways between few accounts, more than they can pay, and each key sent to both processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_in_opposite_order_lose_and_double_nothing() {
    const CALLERS: usize = 16;
    const ROUNDS: usize = 40;
    let two = Arc::new(Two::with(6).await);
    two.credit(1_000).await;
    let caller = |n: usize| {
        let two = Arc::clone(&two);
        tokio::spawn(async move {
            let (mut done, mut again) = (0, 0);
            for round in 0..ROUNDS {
                // Two callers share each key and send it to different processes.
                let pair = n / 2;
                let (a, b) = ((pair + round) % 6, (pair + round + 1 + round % 5) % 6);
                let (a, b) = if pair.is_multiple_of(2) { (a, b) } else { (b, a) };
                if a == b {
                    continue;
                }
                let (from, to) = (two.accounts[a], two.accounts[b]);
                let amount = 1 + i64::try_from(round * 37 % 400).unwrap();
                let command = two.command(&format!("t{pair}-{round}"), Action::Transfer { from, to, amount });
                let outcomes = two.post(n % 2, vec![command]).await;
                done += i64::from(newly(&outcomes[0]));
                again += i64::from(posted(&outcomes[0]) && !newly(&outcomes[0]));
            }
            (done, again)
        })
    };
    let (mut done, mut again) = (0, 0);
    for caller in (0..CALLERS).map(caller).collect::<Vec<_>>() {
        let (new, old) = caller.await.unwrap();
        (done, again) = (done + new, again + old);
    }
    two.prove().await;
    let stored = two.sum("SELECT COUNT(*) FROM posting WHERE kind = 3 AND refused IS NULL").await;
    assert_eq!(stored, done, "each was done once");
    assert_eq!(done, again, "and told to the one who came second");
    assert!(done > 50, "{done}");
    assert_eq!(two.sum("SELECT SUM(ledger) FROM balance").await, 6 * 1_000, "money is neither made nor lost");
    assert_eq!(two.sum("SELECT COUNT(*) FROM balance WHERE ledger < 0").await, 0);
}

/// Debits of all there is, from both processes at once: one of them is paid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_money_is_spent_once() {
    let two = Two::with(40).await;
    two.credit(500).await;
    for account in &two.accounts {
        let debit = || two.fresh(Action::Debit { account: *account, amount: 500, bank: "cash" });
        let (one, other) = tokio::join!(two.post(0, vec![debit()]), two.post(1, vec![debit()]));
        assert_eq!([posted(&one[0]), posted(&other[0])].iter().filter(|p| **p).count(), 1, "{one:?} {other:?}");
    }
    two.prove().await;
    assert_eq!(two.sum("SELECT SUM(ledger) FROM balance").await, 0);
}

/// Interest claimed at both processes at once, under different keys: paid once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interest_is_claimed_once() {
    let two = Two::with(30).await;
    two.credit(10_000_000).await;
    assert!(two.clock.advance_to("2025-04-07T09:00:00+09:00".parse().unwrap()));
    for account in &two.accounts {
        let claim = || two.fresh(Action::Interest { account: *account, due: None });
        let (one, other) = tokio::join!(two.post(0, vec![claim()]), two.post(1, vec![claim()]));
        assert_eq!([posted(&one[0]), posted(&other[0])].iter().filter(|p| **p).count(), 1, "{one:?} {other:?}");
    }
    two.prove().await;
    assert_eq!(two.sum("SELECT COUNT(*) FROM interest_payment").await, 30);
}

/// A hold captured at one process and released at the other; a posting undone at both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_ends_once_and_a_posting_is_undone_once() {
    let two = Two::with(20).await;
    two.credit(1_000).await;
    let one_of = |one: &[Outcome], other: &[Outcome]| {
        assert_eq!([posted(&one[0]), posted(&other[0])].iter().filter(|p| **p).count(), 1, "{one:?} {other:?}");
    };
    for account in &two.accounts {
        let hold = two.fresh(Action::Hold { account: *account, amount: 300, until: None });
        let Outcome::Posted(hold, _) = &two.post(0, vec![hold]).await[0] else { panic!("it has the money") };
        let hold = hold.posting.seq;
        let capture = two.fresh(Action::Capture { hold, amount: None, bank: "cash" });
        let release = two.fresh(Action::Release { hold });
        let (one, other) = tokio::join!(two.post(0, vec![capture]), two.post(1, vec![release]));
        one_of(&one, &other);

        let debit = two.fresh(Action::Debit { account: *account, amount: 100, bank: "cash" });
        let Outcome::Posted(debit, _) = &two.post(1, vec![debit]).await[0] else { panic!("it has the money") };
        let undo = || two.fresh(two.undoing(debit.posting.seq));
        let (one, other) = tokio::join!(two.post(0, vec![undo()]), two.post(1, vec![undo()]));
        one_of(&one, &other);
    }
    two.prove().await;
    assert_eq!(two.sum("SELECT SUM(held) FROM balance").await, 0);
    assert_eq!(two.sum("SELECT COUNT(*) FROM reversal").await, 20);
}

/// Accounts opened at both processes at once, each request sent to both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_give_each_account_its_own_number() {
    let two = Arc::new(Two::with(1).await);
    let ask = |n: u64, process: usize| {
        let two = Arc::clone(&two);
        tokio::spawn(async move {
            let key = Key { caller: "service:races".into(), key: format!("o{n}") };
            let opening = Opening {
                customer: CustomerId::from_parts(1, 1),
                product: "toss-demand".into(),
                currency: None,
                date: two.day(),
                standing: None,
            };
            let ledger = &two.processes[process].ledger;
            loop {
                let answer = |opened: &Result<jangbu_deposit::flows::accounts::Shown, _>| {
                    let body = opened.as_ref().map(|shown| shown.account.id.to_string()).unwrap_or_default();
                    Answer { status: 201, body }
                };
                match open(ledger, &key, n, &opening, answer).await {
                    Ok(Kept::New(answer) | Kept::Again(answer)) => return answer.body,
                    Ok(Kept::KeyReused) => panic!("it is the same request"),
                    Err(fault) => assert!(fault.is_busy(), "{fault}"),
                }
            }
        })
    };
    let asked: Vec<_> = (0..60).map(|n| (ask(n, 0), ask(n, 1))).collect();
    let mut opened = BTreeSet::new();
    for (one, other) in asked {
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        assert_eq!(one, other, "one request opens one account");
        assert!(opened.insert(one));
    }
    let rows = two.rows("SELECT COUNT(*), MAX(no) FROM account").await;
    assert_eq!((rows[0].int(0), rows[0].int(1)), (61, 61), "numbers without a gap");
}

/// Batches of both processes over the same accounts, and a third way in that never batches: everything at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_over_the_same_accounts_keep_every_serial() {
    let two = Arc::new(Two::with(10).await);
    two.credit(1_000_000).await;
    let caller = |n: usize| {
        let two = Arc::clone(&two);
        tokio::spawn(async move {
            let mut done = 0;
            for round in 0..12 {
                let transfer = |i: usize| {
                    let (a, b) = ((n + i * 3 + round) % 10, (n * 7 + i + 1) % 10);
                    let (from, to) = (two.accounts[a], two.accounts[if a == b { (b + 1) % 10 } else { b }]);
                    two.fresh(Action::Transfer { from, to, amount: 1 })
                };
                let size = if n.is_multiple_of(3) { 1 } else { 40 };
                let outcomes = two.post(n % 2, (0..size).map(transfer).collect()).await;
                done += outcomes.iter().filter(|outcome| newly(outcome)).count();
            }
            done
        })
    };
    let mut done = 0;
    for caller in (0..9).map(caller).collect::<Vec<_>>() {
        done += caller.await.unwrap();
    }
    two.prove().await;
    assert_eq!(two.sum("SELECT COUNT(*) FROM posting WHERE kind = 3").await, i64::try_from(done).unwrap());
    let serials = two.sum("SELECT SUM(serial) FROM balance").await;
    assert_eq!(serials, i64::try_from(2 * done + 10).unwrap(), "no serial is lost, and none is given twice");
}

/// A command of any kind over few accounts; `known` are postings that it may refer to.
fn any_action(two: &Two, dice: &Dice, known: &[u64]) -> Action {
    let (n, amount) = (dice.u64() >> 8, 1 + i64::try_from(dice.u64() % 500).unwrap());
    let account = |n: u64| two.accounts[usize::try_from(n % two.accounts.len() as u64).unwrap()];
    let seq = known.get(usize::try_from(n).unwrap() % known.len().max(1)).copied().unwrap_or(1);
    match dice.u64() % 12 {
        0..2 => Action::Credit { account: account(n), amount, bank: "cash" },
        2 => Action::Debit { account: account(n), amount, bank: "cash" },
        3..7 => Action::Transfer { from: account(n), to: account(n + 1), amount },
        7 => Action::Hold { account: account(n), amount, until: None },
        8 => Action::Capture { hold: seq, amount: None, bank: "cash" },
        9 => Action::Release { hold: seq },
        10 => Action::Interest { account: account(n), due: None },
        _ => two.undoing(seq),
    }
}

/// Batches of every size and kind through both, while days pass, marks are set and memory is asked: the books hold, and what
/// each of the two sees is what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_both_do_the_books_hold() {
    const ROUNDS: u64 = 60;
    let two = Arc::new(Two::with(30).await);
    two.credit(10_000).await;
    let caller = |n: usize| {
        let two = Arc::clone(&two);
        tokio::spawn(async move {
            let (dice, mut known) = (Dice::seeded(n as u64), Vec::new());
            for round in 0..ROUNDS {
                let size = [1, 3, 12, 40][usize::try_from(dice.u64() % 4).unwrap()];
                let commands = (0..size).map(|_| two.fresh(any_action(&two, &dice, &known))).collect();
                for outcome in two.post(n % 2, commands).await {
                    if let Outcome::Posted(posted, _) = outcome {
                        known.push(posted.posting.seq);
                    }
                }
                if n == 0 && round % 15 == 14 {
                    let day = two.clock.now().micros() + 86_400_000_000;
                    two.clock.advance_to(Timestamp::from_micros(day));
                }
                if n == 1 && round % 5 == 0 {
                    let deed =
                        Deed { who: "operator:1", what: "mark", subject: "it", reason: "a test", result: "done" };
                    let mark = (Marks::WITHDRAWAL_STOP, round % 10 == 0);
                    while let Err(fault) = set_mark(&two.processes[0].ledger, two.accounts[0], mark, &deed).await {
                        assert!(fault.is_busy(), "{fault}");
                    }
                }
            }
        })
    };
    for caller in (0..6).map(caller).collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    two.prove().await;
    assert!(two.sum("SELECT COUNT(*) FROM posting WHERE kind = 8 AND refused IS NULL").await > 0, "interest was paid");
    assert!(two.sum("SELECT COUNT(*) FROM reversal").await > 0, "postings were undone");
}

/// What each keeps between its batches, and the other changes: a mark, the owner's standing, a balance, a key, terms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_changes_the_other_decides_by() {
    let two = Two::with(12).await;
    two.credit(1_000).await;
    let debit = |account: AccountId, amount| two.fresh(Action::Debit { account, amount, bank: "cash" });
    let both = async |account: AccountId| {
        let (one, other) = (two.post(0, vec![debit(account, 1)]).await, two.post(1, vec![debit(account, 1)]).await);
        [posted(&one[0]), posted(&other[0])]
    };
    for (n, account) in two.accounts.iter().copied().enumerate() {
        let (here, there) = (n % 2, (n + 1) % 2);
        let deed = Deed { who: "operator:1", what: "mark", subject: "it", reason: "a test", result: "done" };
        for on in [false, true, false] {
            set_mark(&two.processes[here].ledger, account, (Marks::WITHDRAWAL_STOP, on), &deed).await.unwrap();
            assert_eq!(both(account).await, [!on; 2], "{n} {on}");
        }
        let stored = two.command(&format!("k{n}"), Action::Debit { account, amount: 3, bank: "cash" });
        assert!(newly(&two.post(there, vec![stored.clone()]).await[0]));
        let again = two.post(here, vec![debit(account, 1), stored.clone(), debit(account, 1)]).await;
        assert_eq!(again.iter().map(newly).collect::<Vec<_>>(), [true, false, true]);
        assert!(posted(&again[1]));
        assert!(posted(&two.post(there, vec![debit(account, 991)]).await[0]), "all that is left");
        assert!(!posted(&two.post(here, vec![debit(account, 1)]).await[0]));
    }
    two.credit(100).await;
    for (version, marks) in [(1, vec!["sanctioned".to_owned()]), (2, vec![])] {
        let barred = !marks.is_empty();
        let customer = CustomerId::from_parts(1, 1);
        let standing = StandingChangedV1 { customer, version, kind: Kind::Person, marks };
        let ledger = &two.processes[1].ledger;
        let mut tx = ledger.db.begin("standing").await.unwrap();
        assert!(standing::keep(ledger, &mut tx, &standing).await.unwrap().is_some());
        tx.commit().await.unwrap();
        assert_eq!(both(two.accounts[0]).await, [!barred; 2]);
    }
    two.prove().await;
}

/// A process whose batch did not come to stand forgets it, though another made as many postings at its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_come_to_stand_is_not_kept() {
    let two = Two::with(2).await;
    two.credit(100).await;
    let debit = |amount| two.fresh(Action::Debit { account: two.accounts[0], amount, bank: "cash" });
    for round in 0..10 {
        assert!(newly(&two.post(0, vec![debit(1)]).await[0]));
        // Its connection is ended while it works or rests: whether this one stands is for its key to tell.
        let lost = debit(1);
        let posting = tokio::spawn({
            let (combiner, lost) = (two.processes[0].combiner.clone(), lost.clone());
            async move { combiner.post(vec![lost]).await }
        });
        let mut killer = two.processes[1].ledger.db.begin("killer").await.unwrap();
        let others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        for row in killer.query(others, &[]).await.unwrap() {
            let _ = killer.execute("KILL ?", &[row.int(0).into()]).await; // it may be gone already
        }
        drop(killer);
        let _ = posting.await.unwrap(); // told or not
        assert!(newly(&two.post(1, vec![debit(1)]).await[0]));
        assert!(posted(&two.post(0, vec![lost]).await[0]), "{round}");
    }
    two.prove().await;
    assert_eq!(two.sum("SELECT SUM(ledger) FROM balance").await, 200 - 30);
}

/// A batch that fails as a whole is told as such, and a fault of the store is not taken for a refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_accounts_somebody_holds_is_busy_and_not_refused() {
    let two = Two::with(2).await;
    two.credit(100).await;
    let mut holder = two.processes[0].ledger.db.begin("holder").await.unwrap();
    let no = 1i64;
    holder.query("SELECT no FROM balance WHERE no = ? FOR UPDATE", &[Value::Int(no)]).await.unwrap();
    let debit = two.fresh(Action::Debit { account: two.accounts[0], amount: 1, bank: "cash" });
    let held = two.processes[1].combiner.post(vec![debit.clone()]).await;
    drop(holder);
    assert!(matches!(held, Err(Fault::Conflict(_))), "{held:?}");
    assert!(newly(&two.post(1, vec![debit]).await[0]), "nothing of it stood");
    two.prove().await;
}
