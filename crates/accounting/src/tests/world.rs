//! The service on a database of its own, fed with events made by hand.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use jangbu_contracts::deposit::PostingRecordedV1;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, EventId, InterestId, PostingId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::auth::Role;
use jangbu_platform::consumer::{Consumer, letters};
use jangbu_platform::db::{Db, Event};
use jangbu_platform::log::Log;
use jangbu_platform::service::Job;
use jangbu_platform::stand::Stand;
use jangbu_platform::telemetry::Metrics;
use serde_json::{Value, json};

use crate::proof::{Proof, proof};

pub struct Books {
    pub stand: Stand,
    pub db: Db,
    pub log: Log,
    pub metrics: Metrics,
    pub consumer: Consumer,
    pub jobs: Vec<Job>,
    seq: AtomicU64,
    _dir: tempfile::TempDir,
}

/// An account by a name of the tests.
pub fn account(name: &str) -> AccountId {
    AccountId::from_parts(1, name.bytes().fold(0, |n, byte| (n << 8) | u128::from(byte)))
}

pub async fn books() -> Books {
    let dir = tempfile::tempdir().unwrap();
    let at = "2024-03-05T12:00:00+09:00".parse().unwrap();
    let (stand, world) = Stand::new(dir.path(), &crate::SERVICE, at).await.unwrap();
    let (db, log, metrics) = (world.db.clone(), world.log.clone(), world.metrics.clone());
    let service = crate::open(world);
    let (consumer, jobs, seq) = (service.consumers[0].clone(), service.jobs, AtomicU64::new(0));
    Books { stand: stand.with(service.router), db, log, metrics, consumer, jobs, seq, _dir: dir }
}

/// What a line of a script says: `2024-03-05 krw credit a 100_000 cash`.
struct Told<'a> {
    date: &'a str,
    instance: &'static str,
    currency: String,
    kind: &'a str,
    words: Vec<&'a str>,
}

fn told(line: &str) -> Told<'_> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let instance = if words[1] == "krw" { "deposit-krw" } else { "deposit-fx" };
    Told { date: words[0], instance, currency: words[1].to_uppercase(), kind: words[2], words: words[3..].to_vec() }
}

fn amount(word: &str) -> i64 {
    word.replace('_', "").parse().unwrap()
}

fn customer(name: &str, side: &str, amount: i64) -> Value {
    json!({"account": account(name), "serial": 1, "side": side, "amount": amount, "balance_after": 0})
}

fn bank(name: &str, side: &str, amount: i64) -> Value {
    json!({"account": name, "serial": null, "side": side, "amount": amount, "balance_after": null})
}

/// Entries of a posting, and what was paid if it is interest.
fn entries(told: &Told<'_>, posting: PostingId, interest: InterestId) -> (i64, Vec<Value>, Option<Value>) {
    let w = &told.words;
    match told.kind {
        "credit" => {
            let n = amount(w[1]);
            (n, vec![customer(w[0], "credit", n), bank(w[2], "debit", n)], None)
        }
        "debit" | "capture" | "reversal" => {
            let n = amount(w[1]);
            (n, vec![customer(w[0], "debit", n), bank(w[2], "credit", n)], None)
        }
        "transfer" => {
            let n = amount(w[2]);
            (n, vec![customer(w[0], "debit", n), customer(w[1], "credit", n)], None)
        }
        "hold" | "release" => (amount(w[1]), Vec::new(), None),
        "interest" => {
            let [gross, income, local, other] = [1, 2, 3, 4].map(|i| amount(w[i]));
            let (tax, net) = (income + local + other, gross - income - local - other);
            let mut entries = vec![customer(w[0], "credit", net), bank("interest_expense", "debit", gross)];
            if tax > 0 {
                entries.push(bank("tax_suspense", "credit", tax));
            }
            let paid = json!({"id": interest, "from": "2024-03-01", "to": "2024-03-04", "gross": gross,
                "income_tax": income, "local_tax": local, "other_tax": other, "net": net, "posting": posting});
            (net, entries, Some(paid))
        }
        other => panic!("{other}"),
    }
}

impl Books {
    /// An event made of a line, under the next number.
    pub fn event(&self, line: &str) -> Event {
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        let told = told(line);
        let at = Timestamp::start_of(told.date.parse::<BusinessDate>().unwrap(), UtcOffset::SEOUL);
        let at = at.plus_micros(i64::try_from(seq).unwrap() * 1_000);
        let rest = (1u128 << 64) | u128::from(seq);
        let id = PostingId::from_parts(u64::try_from(at.micros() / 1_000).unwrap(), rest);
        let (amount, entries, interest) = entries(&told, id, InterestId::from_parts(1, rest));
        let mut payload = json!({"instance": told.instance, "posting": {"id": id, "kind": told.kind, "amount": amount,
            "currency": told.currency, "business_date": told.date, "posted_at": at, "entries": entries}});
        if let Some(interest) = interest {
            payload["interest"] = interest;
        }
        Event {
            id: EventId::from_parts(1, rest),
            topic: format!("{}.postings", told.instance),
            key: account(told.words[0]).to_string(),
            event_type: PostingRecordedV1::TYPE.into(),
            payload: payload.to_string(),
        }
    }

    /// Tells events and lets the service take all it can.
    pub async fn take(&self, events: &[Event]) {
        self.log.append(events).await.unwrap();
        self.consumer.drain(&self.log).await.unwrap();
    }

    /// Tells a script, a posting a line.
    pub async fn tell(&self, script: &str) {
        let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
        self.take(&lines.map(|line| self.event(line)).collect::<Vec<_>>()).await;
    }

    /// Calls as `who` ("operator:kim"); the status and the body.
    pub async fn call(&self, who: &str, method: &str, path: &str) -> (u16, Value) {
        let (role, name) = who.split_once(':').unwrap();
        let token = self.stand.token(role.parse::<Role>().unwrap(), name);
        let got = self.stand.send(self.stand.request(&token, method, &format!("/{path}")), "").await;
        if got.status == 200 {
            let document = self.stand.document().await.unwrap();
            let flaws = document.answer_flaws(method, &format!("/accounting/v1/{path}"), got.status, &got.json());
            assert_eq!(flaws, Vec::<String>::new(), "{path}: {}", got.text);
        }
        (got.status, got.json())
    }

    /// What a good call of the bank's programs answers.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("service:check", "GET", path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Journals of a query as text: kind, then lines like `cash D 100`.
    pub async fn journals(&self, query: &str) -> String {
        let page = self.get(&format!("journals{query}")).await;
        let mut text = String::new();
        for journal in page["items"].as_array().unwrap() {
            let _ = write!(text, "{} {}:", journal["currency"].as_str().unwrap(), journal["kind"].as_str().unwrap());
            for line in journal["lines"].as_array().unwrap() {
                let side = if line["side"] == "debit" { "D" } else { "C" };
                let _ = write!(text, " {} {side} {}", line["account"].as_str().unwrap(), line["amount"]);
            }
            text.push('\n');
        }
        text
    }

    /// The trial balance as text: account, debits, credits, balance, and the day's own debits and credits.
    pub async fn trial_balance(&self, date: &str, currency: &str) -> String {
        let shown = self.get(&format!("trial-balance?date={date}&currency={currency}")).await;
        assert_eq!((&shown["balanced"], &shown["debits"]), (&json!(true), &shown["credits"]), "{shown}");
        let mut text = String::new();
        for row in shown["accounts"].as_array().unwrap() {
            let n = |name: &str| row[name].as_i64().unwrap();
            let (account, balance) = (row["account"].as_str().unwrap(), n("balance"));
            let (debits, credits) = (n("debits"), n("credits"));
            let (day_debits, day_credits) = (n("day_debits"), n("day_credits"));
            let _ = writeln!(text, "{account} {debits} {credits} {balance} | {day_debits} {day_credits}");
        }
        text
    }

    /// Reasons of the letters that are parked.
    pub async fn parked(&self) -> Vec<String> {
        let mut tx = self.db.read("parked").await.unwrap();
        let parked = letters::list(&mut tx, Some(letters::LetterState::Parked), None, 500).await.unwrap();
        parked.into_iter().map(|letter| letter.reason).collect()
    }

    pub async fn sql(&self, sql: &str) {
        let mut tx = self.db.begin("test").await.unwrap();
        assert!(tx.execute(sql, &[]).await.unwrap() > 0, "{sql} changed nothing");
        tx.commit().await.unwrap();
    }

    pub async fn proof(&self) -> Proof {
        let mut proof = proof(&mut self.db.read("proof").await.unwrap(), &|_| ()).await.unwrap();
        proof.told.append(&mut proof.told_of_positions);
        proof
    }
}
