//! An auditor that is told lies must notice, and must not take the order of answers for the order of postings.

#![allow(clippy::unwrap_used)]

use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::{Command, Entry, Side};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_platform::clock::ManualClock;
use serde_json::json;

use super::*;

const BANK: &str = "deposit-krw";

struct World {
    auditor: Auditor,
    account: AccountId,
    at: Timestamp,
}

fn world() -> World {
    let at: Timestamp = "2026-01-01T09:00:00+09:00".parse().unwrap();
    let auditor = Auditor::new(Arc::new(ManualClock::new(at)));
    let terms =
        json!({"code": "p", "currency": "KRW", "from": "2026-01-01", "tiers": [{"up_to": null, "rate": "0.02"}]});
    auditor.product(BANK, &terms).unwrap();
    let (customer, account) = (CustomerId::from_parts(1, 1), AccountId::from_parts(1, 1));
    let shown = json!({"id": account, "number": "1", "customer": customer, "product": "p", "currency": "KRW",
        "status": "active", "marks": [], "ledger_balance": 0, "held": 0, "available_balance": 0, "last_serial": 0,
        "opened_on": "2026-01-01", "closed_on": null, "interest_paid_through": "2025-12-31"});
    auditor.opened(BANK, &serde_json::from_value(shown).unwrap());
    World { auditor, account, at }
}

impl World {
    fn begin(&self, key: &str, command: Command) -> Ticket {
        let key = Key { instance: BANK.into(), caller: "service:s".into(), key: key.into() };
        self.auditor.begin(key, What::Post(command))
    }

    fn credit(&self, amount: i64) -> Command {
        let amount = Amount::new(amount).unwrap();
        Command::Credit { account: self.account, amount, source: "cash".into(), memo: None }
    }

    fn debit(&self, amount: i64) -> Command {
        let amount = Amount::new(amount).unwrap();
        Command::Debit { account: self.account, amount, target: "cash".into(), memo: None }
    }

    /// What the bank would say of the posting at `place`, signed by its effect on the account.
    fn posted(&self, place: u128, serial: u64, amount: i64, after: i64) -> Heard {
        let (side, other) = if amount > 0 { (Side::Credit, Side::Debit) } else { (Side::Debit, Side::Credit) };
        let entry = |account: &str, side, serial, after| Entry {
            account: account.to_owned(),
            serial,
            side,
            amount: amount.abs(),
            balance_after: after,
        };
        Heard::Posting(Posting {
            id: PostingId::from_parts(1, place),
            kind: if amount > 0 { "credit" } else { "debit" }.into(),
            amount: amount.abs(),
            currency: Currency::KRW,
            business_date: "2026-01-01".parse().unwrap(),
            posted_at: self.at,
            entries: vec![
                entry(&self.account.to_string(), side, Some(serial), Some(after)),
                entry("cash", other, None, None),
            ],
            hold: None,
            reverses: None,
            memo: None,
        })
    }

    fn end(&self, ticket: &Ticket, heard: Heard) {
        self.auditor.end(ticket, heard, Some(false));
    }

    /// Money of 100 on the account, by the first posting.
    fn begun_with_100() -> World {
        let world = world();
        let ticket = world.begin("k0", world.credit(100));
        world.end(&ticket, world.posted(1, 1, 100, 100));
        world.auditor.judge().unwrap();
        world
    }

    fn wrong(&self) -> String {
        self.auditor.judge().unwrap_err().join("; ")
    }
}

fn no_funds() -> Heard {
    Heard::Problem(Box::new(Problem::refused(&[(Code::InsufficientAvailable, "available 30".into())])))
}

#[test]
fn answers_may_come_in_any_order() {
    let w = World::begun_with_100();
    let (first, second) = (w.begin("k1", w.debit(70)), w.begin("k2", w.debit(30)));
    w.end(&second, w.posted(3, 3, -30, 0));
    w.end(&first, w.posted(2, 2, -70, 30));
    w.auditor.judge().unwrap();
    assert_eq!(w.auditor.look(|m| m.available(w.account)), 0);
}

#[test]
fn wrong_figures_are_found() {
    for (serial, after) in [(3, 30), (2, 31)] {
        let w = World::begun_with_100();
        let ticket = w.begin("k1", w.debit(70));
        w.end(&ticket, w.posted(2, serial, -70, after));
        assert!(w.wrong().contains("should be"));
    }
    let w = World::begun_with_100();
    let ticket = w.begin("k1", w.debit(70));
    w.end(&ticket, w.posted(2, 2, -71, 29));
    assert!(w.wrong().contains("should be"));
}

#[test]
fn what_must_be_refused_is_not_to_be_posted() {
    let w = World::begun_with_100();
    let ticket = w.begin("k1", w.debit(101));
    w.end(&ticket, w.posted(2, 2, -101, -1));
    assert!(w.wrong().contains("INSUFFICIENT_AVAILABLE"));
}

#[test]
fn a_refusal_needs_a_moment_that_explains_it() {
    // While the other debit was under way: the money may have been gone.
    let w = World::begun_with_100();
    let (poor, rich) = (w.begin("k1", w.debit(80)), w.begin("k2", w.debit(70)));
    w.end(&rich, w.posted(2, 2, -70, 30));
    w.end(&poor, no_funds());
    w.auditor.judge().unwrap();
    // Before the other was even sent: the money was there.
    let w = World::begun_with_100();
    let poor = w.begin("k1", w.debit(80));
    w.end(&poor, no_funds());
    let rich = w.begin("k2", w.debit(70));
    w.end(&rich, w.posted(2, 2, -70, 30));
    assert!(w.wrong().contains("k1"));
    // With another code than the one that fits.
    let w = World::begun_with_100();
    let poor = w.begin("k1", w.debit(101));
    w.end(&poor, Heard::Problem(Box::new(Problem::refused(&[(Code::AccountClosed, String::new())]))));
    assert!(w.wrong().contains("INSUFFICIENT_AVAILABLE"));
}

#[test]
fn later_requests_are_posted_later() {
    let w = World::begun_with_100();
    let first = w.begin("k1", w.debit(10));
    w.end(&first, w.posted(3, 3, -10, 80));
    let second = w.begin("k2", w.debit(10));
    w.end(&second, w.posted(2, 2, -10, 90));
    assert!(w.wrong().contains("posted before it"));
}

#[test]
fn a_key_has_one_answer() {
    let w = World::begun_with_100();
    let again = |heard, replay| {
        let ticket = w.begin("k0", w.credit(100));
        w.auditor.end(&ticket, heard, Some(replay));
        w.auditor.findings()
    };
    assert!(again(w.posted(1, 1, 100, 100), true).is_empty());
    assert!(!again(w.posted(1, 1, 100, 100), false).is_empty(), "as if for the first time");
    assert!(!again(w.posted(2, 2, 100, 200), true).is_empty(), "another posting");
    assert!(!again(no_funds(), true).is_empty(), "posted, then refused");
    let altered = |heard| {
        let ticket = w.begin("k0", w.credit(101));
        w.auditor.end(&ticket, heard, Some(false));
        w.auditor.findings()
    };
    assert!(altered(Heard::Problem(Box::new(Problem::new(Code::KeyReused, "")))).is_empty());
    assert!(!altered(w.posted(2, 2, 101, 201)).is_empty());
}

#[test]
fn a_lost_answer_stays_open_until_its_key_is_asked() {
    let w = World::begun_with_100();
    let lost = w.begin("k1", w.debit(70));
    w.end(&lost, Heard::Nothing);
    let open = w.auditor.open();
    assert_eq!(open.len(), 1);
    w.auditor.asked(&open[0].0, Some(w.posted(2, 2, -70, 30)));
    w.auditor.judge().unwrap();
    assert_eq!(w.auditor.look(|m| m.available(w.account)), 30);

    let gone = w.begin("k2", w.debit(30));
    w.end(&gone, Heard::Nothing);
    w.auditor.asked(&w.auditor.open()[0].0, None);
    w.auditor.judge().unwrap();
    // It never arrived, so its key is free; nothing of it may turn up by itself.
    let retried = w.begin("k2", w.debit(30));
    w.end(&retried, w.posted(3, 3, -30, 0));
    w.auditor.judge().unwrap();

    let silent = w.begin("k3", w.credit(5));
    w.end(&silent, Heard::Nothing);
    assert!(w.wrong().contains("nobody asked"));
}
