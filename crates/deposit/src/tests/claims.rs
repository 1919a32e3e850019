//! Interest that shares a batch with what moves its account.

use std::sync::Arc;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use crate::combiner::Combiner;
use crate::domain::command::{Action, Command};
use crate::flows::bulk::load_accounts;
use crate::flows::post::Outcome;
use crate::ledger::Ledger;
use crate::service::{KRW, offer};

const FLAT: &str = r#"[{"code":"flat","name":"Flat","kind":"demand","currency":"KRW","from":"2026-01-01",
    "tiers":[{"up_to":null,"rate":"0.0365"}]}]"#;

struct Books {
    combiner: Combiner,
    account: AccountId,
    keys: u64,
    _dir: tempfile::TempDir,
}

fn day(n: i32) -> BusinessDate {
    "2026-01-01".parse::<BusinessDate>().unwrap().add_days(n - 1)
}

impl Books {
    /// An account opened on the first day, at 1/10,000 a day.
    async fn new() -> Books {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let db = Db::open_embedded(&dir.path().join("books.db"), clock, Dice::seeded(1)).unwrap();
        migrate::apply(&db, KRW.migrations).await.unwrap();
        let ledger = Arc::new(Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::seeded(2)));
        offer(&ledger, FLAT).await.unwrap();
        let owner = CustomerId::from_parts(1, 1);
        let opened = load_accounts(&ledger, owner, "flat", day(1), 1).await.unwrap().unwrap();
        Books { combiner: Combiner::start(ledger), account: opened[0], keys: 0, _dir: dir }
    }

    /// Posts at once: signed amounts, or a claim for zero. What each paid before tax; -1 for a refusal.
    async fn post(&mut self, commands: &[(i32, i64)]) -> Vec<i64> {
        let account = self.account;
        let commands: Vec<Command> = commands
            .iter()
            .map(|(on, amount)| {
                self.keys += 1;
                let action = match *amount {
                    0 => Action::Interest { account, due: None },
                    amount if amount > 0 => Action::Credit { account, amount, bank: "cash" },
                    amount => Action::Debit { account, amount: -amount, bank: "cash" },
                };
                let key = format!("{:06}", self.keys);
                Command { key, hash: self.keys, action, date: day(*on), memo: None }
            })
            .collect();
        let outcomes = self.combiner.post(commands).await.unwrap();
        let amount = |o: &Outcome| match o {
            Outcome::Posted(posted, _) => posted.posting.interest.as_ref().map_or(0, |paid| paid.gross),
            Outcome::Refused(..) | Outcome::KeyReused => -1,
        };
        outcomes.iter().map(amount).collect()
    }
}

#[tokio::test]
async fn a_day_that_ends_in_the_batch_of_the_claim_counts_with_its_own_balance() {
    let mut books = Books::new().await;
    books.post(&[(1, 1_000_000)]).await;
    books.post(&[(2, 2_000_000)]).await;
    // Day 2 ends with the credit of day 3, which shares a commit with the claim: 100 for day 1, 300 for day 2.
    assert_eq!(books.post(&[(3, 5_000_000), (3, 0)]).await, [0, 400]);
    // And several at once, each ending a day.
    assert_eq!(books.post(&[(4, -1_000_000), (4, 0), (5, 1), (5, 0)]).await, [0, 800, 0, 700]);
}

#[tokio::test]
async fn a_claim_of_yesterday_after_the_first_posting_of_today_sees_the_day_before_it() {
    let mut books = Books::new().await;
    books.post(&[(2, 8_000_000)]).await;
    books.post(&[(3, 1)]).await;
    // It came in on day 2, so it asks for day 1 alone, when there was nothing yet.
    assert_eq!(books.post(&[(2, 0)]).await, [-1]);
    assert_eq!(books.post(&[(3, 0)]).await, [800]);
}
