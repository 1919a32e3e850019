//! Exchanges as their legs and decisions tell of them, in any order.

use jangbu_contracts::deposit::PostingRecordedV1;
use jangbu_contracts::exchange::ExchangeDecidedV1;
use jangbu_kernel::id::{CustomerId, EventId, ExchangeId, PostingId};
use jangbu_platform::db::Event;
use serde_json::{Value, json};

use super::world::{Books, account, books};

/// An exchange of one customer, between the accounts `k` and `f`.
#[derive(Clone, Debug)]
pub struct Fx {
    pub n: u64,
    pub date: String,
    pub buys: bool,
    pub currency: String,
    pub foreign: i64,
    pub won: i64,
    pub mid: String,
}

/// Reads `1 2024-03-05 buy USD 100_000 1_340_000 1340.00`.
pub fn fx(text: &str) -> Fx {
    let w: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| w[at].replace('_', "").parse().unwrap();
    Fx {
        n: w[0].parse().unwrap(),
        date: w[1].into(),
        buys: w[2] == "buy",
        currency: w[3].into(),
        foreign: number(4),
        won: number(5),
        mid: w[6].into(),
    }
}

impl Fx {
    pub fn id(&self) -> ExchangeId {
        ExchangeId::from_parts(1, u128::from(self.n) | 7 << 64)
    }

    /// The posting of a part: 1 withdraws, 2 deposits, 3 gives back.
    fn posting(&self, part: u64) -> PostingId {
        PostingId::from_parts(1, 1 << 64 | u128::from(self.n * 10 + part))
    }

    fn event(&self, part: u64, topic: &str, event_type: &str, payload: &Value) -> Event {
        Event {
            id: EventId::from_parts(2, u128::from(self.n * 10 + part)),
            topic: topic.into(),
            key: format!("{topic} {}", self.n),
            event_type: event_type.into(),
            payload: payload.to_string(),
        }
    }

    fn leg(&self, part: u64, kind: &str, won: bool) -> Event {
        let (instance, currency, amount, account_name) = if won {
            ("deposit-krw", "KRW", self.won, "k")
        } else {
            ("deposit-fx", self.currency.as_str(), self.foreign, "f")
        };
        let (side, other) = if kind == "debit" { ("debit", "credit") } else { ("credit", "debit") };
        let mut payload = json!({"instance": instance, "exchange": self.id(), "posting": {"id": self.posting(part),
            "kind": kind, "amount": amount, "currency": currency, "business_date": self.date,
            "posted_at": format!("{}T03:00:00.000000Z", self.date), "entries": [
                {"account": account(account_name), "serial": 1, "side": side, "amount": amount, "balance_after": 0},
                {"account": "exchange", "serial": null, "side": other, "amount": amount, "balance_after": null}]}});
        if kind == "reversal" {
            payload["posting"]["reverses"] = json!(self.posting(1));
        }
        self.event(part, &format!("{instance}.postings"), PostingRecordedV1::TYPE, &payload)
    }

    pub fn withdrawal(&self) -> Event {
        self.leg(1, "debit", self.buys)
    }

    pub fn deposit(&self) -> Event {
        self.leg(2, "credit", !self.buys)
    }

    pub fn given_back(&self) -> Event {
        self.leg(3, "reversal", self.buys)
    }

    pub fn decided(&self, succeeded: bool) -> Event {
        let unit = if self.currency == "JPY" { 100 } else { 1 };
        let mut payload = json!({"exchange": self.id(), "customer": CustomerId::from_parts(1, 1), "succeeded": succeeded,
            "side": if self.buys { "buy" } else { "sell" }, "currency": self.currency, "rate": "1340.00", "unit": unit,
            "mid": self.mid, "foreign": self.foreign, "krw": self.won, "krw_account": account("k"),
            "fx_account": account("f"), "withdrawal": self.posting(1), "at": format!("{}T03:00:01.000000Z", self.date)});
        if succeeded {
            payload["deposit"] = json!(self.posting(2));
        } else {
            payload["failure"] = json!({"code": "ACCOUNT_CLOSED", "detail": "so"});
        }
        self.event(4, "exchange.decided", ExchangeDecidedV1::TYPE, &payload)
    }

    pub fn all(&self) -> [Event; 3] {
        [self.withdrawal(), self.deposit(), self.decided(true)]
    }
}

/// An event with some of its content changed, under another id.
fn changed(event: &Event, changes: &[(&str, Value)]) -> Event {
    let mut payload: Value = serde_json::from_str(&event.payload).unwrap();
    for (pointer, value) in changes {
        *payload.pointer_mut(pointer).unwrap() = value.clone();
    }
    let id = EventId::from_parts(3, event.id.rest());
    Event { id, payload: payload.to_string(), ..event.clone() }
}

impl Books {
    /// Exchanges that are open, by class, with the number of each.
    pub async fn open(&self) -> String {
        let page = self.get("exchange-breaks").await;
        let of = |item: &Value| {
            let id: ExchangeId = item["exchange"].as_str().unwrap().parse().unwrap();
            format!("{} {}", id.rest() & 0xffff, item["class"].as_str().unwrap())
        };
        page["items"].as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// What an account holds by the trial balance of a far day.
    pub async fn holds(&self, name: &str, currency: &str) -> i64 {
        let shown = self.get(&format!("trial-balance?date=2030-01-01&currency={currency}")).await;
        assert_eq!(shown["balanced"], json!(true), "{shown}");
        let rows = shown["accounts"].as_array().unwrap().iter().filter(|row| row["account"] == name);
        rows.map(|row| row["balance"].as_i64().unwrap()).sum()
    }

    pub async fn look(&self) {
        for job in &self.jobs {
            (job.run)(self.db.now()).await.unwrap();
        }
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|l| l == line)
    }
}

#[tokio::test]
async fn an_exchange_leaves_clearing_for_the_bank_s_position() {
    let books = books().await;
    books.tell("2024-03-05 krw credit k 5_000_000 cash").await;
    books.take(&fx("1 2024-03-05 buy USD 50_000 644_390 1266.62").all()).await;
    books.take(&fx("2 2024-03-05 sell JPY 100 905 905.17").all()).await;
    assert_eq!(books.open().await, "");
    let journals = books.journals("").await;
    for line in [
        "KRW debit: customer_deposits D 644390 exchange C 644390",
        "USD credit: customer_deposits C 50000 exchange D 50000",
        "KRW exchange: exchange D 644390 fx_counter_value C 633310 fx_trading C 11080",
        "USD exchange: exchange C 50000 fx_position D 50000",
        "JPY exchange: exchange D 100 fx_position C 100",
        "KRW exchange: exchange C 905 fx_counter_value D 905",
    ] {
        assert!(journals.lines().any(|l| l == line), "{line} is not in\n{journals}");
    }
    for (account, currency, expected) in [
        ("exchange", "KRW", 0),
        ("exchange", "USD", 0),
        ("exchange", "JPY", 0),
        ("fx_position", "USD", -50_000),
        ("customer_deposits", "USD", 50_000),
        ("fx_position", "JPY", 100),
        ("customer_deposits", "JPY", -100),
        ("fx_counter_value", "KRW", -632_405),
        ("fx_trading", "KRW", 11_080),
    ] {
        assert_eq!(books.holds(account, currency).await, expected, "{account} {currency}");
    }
    let page = books.get("journals").await;
    let of_exchange = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|j| j["exchange"] == json!(fx("1 2024-03-05 buy USD 1 1 1").id()));
    assert_eq!(of_exchange.count(), 2, "both tell whose they are");
    books.look().await;
    assert!(books.metric("jangbu_exchange_clearing{currency=\"KRW\"} 0"));
    let proof = books.proof().await;
    assert_eq!((proof.told, proof.exchanges, proof.open), (vec![], 2, vec![]));
}

/// Which parts come, and what is listed then: at once, and after thirty seconds.
#[tokio::test]
async fn what_is_missing_is_missed_after_thirty_seconds() {
    let one = fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00");
    let two = fx("2 2024-03-05 sell USD 100_000 1_340_000 1340.00");
    let more = |event: &Event, by: i64| {
        changed(
            event,
            &[
                ("/posting/amount", json!(by)),
                ("/posting/entries/0/amount", json!(by)),
                ("/posting/entries/1/amount", json!(by)),
            ],
        )
    };
    let twice = |event: &Event| changed(event, &[("/posting/id", json!("pst_0000000001000000000000000Z"))]);
    let cases: Vec<(&str, Vec<Event>, &str, &str)> = vec![
        ("agree", one.all().to_vec(), "", ""),
        ("given back", vec![one.withdrawal(), one.given_back(), one.decided(false)], "", ""),
        ("no deposit", vec![one.withdrawal(), one.decided(true)], "1 timing", "1 missing_right"),
        ("no withdrawal", vec![one.deposit(), one.decided(true)], "1 timing", "1 missing_left"),
        ("no won comes in", vec![two.withdrawal(), two.decided(true)], "2 timing", "2 missing_left"),
        ("only decided", vec![one.decided(true)], "1 timing", "1 missing_left"),
        ("not decided", vec![one.withdrawal(), one.deposit()], "1 timing", "1 undecided"),
        ("not given back", vec![one.withdrawal(), one.decided(false)], "1 timing", "1 missing_right"),
        (
            "another amount",
            vec![one.withdrawal(), more(&one.deposit(), 100_001), one.decided(true)],
            "1 amount",
            "1 amount",
        ),
        ("twice", vec![one.withdrawal(), twice(&one.withdrawal())], "1 duplicate", "1 duplicate"),
        ("two", vec![one.withdrawal(), two.decided(true)], "1 timing, 2 timing", "1 missing_right, 2 missing_left"),
    ];
    for (name, events, young, old) in cases {
        let books = books().await;
        books.take(&events).await;
        assert_eq!(books.open().await, young, "{name}: {:?}", books.parked().await);
        books.look().await;
        let timing = young.matches("timing").count();
        assert!(books.metric(&format!("jangbu_exchange_unmatched{{class=\"timing\"}} {timing}")), "{name}");
        books.stand.move_to("2024-03-05T12:00:29.999+09:00");
        assert_eq!(books.open().await, young, "{name}");
        books.stand.move_to("2024-03-05T12:00:30+09:00");
        assert_eq!(books.open().await, old, "{name}");
        books.look().await;
        for broken in old.split(", ").filter(|text| !text.is_empty()) {
            let class = broken.split(' ').nth(1).unwrap();
            assert!(books.metric(&format!("jangbu_exchange_unmatched{{class=\"{class}\"}} 1")), "{name}");
            let listed = books.get(&format!("exchange-breaks?class={class}")).await;
            assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
        }
        let mut tx = books.db.read("untold").await.unwrap();
        let untold = crate::store::exchanges::untold(&mut tx, books.db.now().micros(), 10).await.unwrap();
        assert_eq!(untold, [], "{name}: each is told of once");
        drop(tx);
        assert_eq!(books.get("exchange-breaks?class=timing").await["items"], json!([]), "{name}");
        assert_eq!(books.proof().await.told, Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_break_ends_when_what_was_missing_comes() {
    let books = books().await;
    let one = fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00");
    books.take(&[one.withdrawal()]).await;
    books.stand.move_to("2024-03-05T12:05:00+09:00");
    books.look().await;
    assert!(books.metric("jangbu_exchange_unmatched_oldest_seconds 300"));
    assert_eq!(books.open().await, "1 missing_right");
    books.take(&[one.decided(true)]).await;
    assert_eq!(books.open().await, "1 missing_right", "since the same instant");
    books.take(&[one.deposit()]).await;
    assert_eq!(books.open().await, "");
    books.look().await;
    assert!(books.metric("jangbu_exchange_unmatched{class=\"missing_right\"} 0"));
    assert!(books.metric("jangbu_exchange_unmatched_oldest_seconds 0"));
    // Somebody gives a leg back by hand: no key of the exchange's, but what it undoes says whose it is.
    let mut by_hand: Value = serde_json::from_str(&one.given_back().payload).unwrap();
    by_hand.as_object_mut().unwrap().remove("exchange");
    books.take(&[Event { payload: by_hand.to_string(), ..one.given_back() }]).await;
    assert_eq!(books.open().await, "1 timing");
    books.stand.move_to("2024-03-05T12:05:30+09:00");
    assert_eq!(books.open().await, "1 missing_left");
    let shown = books.get("exchange-breaks").await;
    let item = &shown["items"][0];
    assert_eq!((item["legs"].as_array().unwrap().len(), &item["succeeded"]), (3, &json!(true)), "{item}");
    assert_eq!(item["detail"], "it succeeded, and the leg in won is not there");
    assert_eq!(books.proof().await.told, Vec::<String>::new());
}

/// What the bank's people book on clearing by hand is no exchange's, and stays there for them.
#[tokio::test]
async fn clearing_shows_what_no_exchange_explains() {
    let books = books().await;
    books.tell("2024-03-05 usd credit a 700 exchange\n2024-03-05 usd debit a 200 exchange").await;
    assert_eq!((books.open().await.as_str(), books.holds("exchange", "USD").await), ("", 500));
    books.look().await;
    assert!(books.metric("jangbu_exchange_clearing{currency=\"USD\"} -500"));
    assert_eq!(books.proof().await.breaks, 0);
}

#[tokio::test]
async fn what_cannot_be_booked_is_parked() {
    let one = fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00");
    let (decided, leg) = (one.decided(true), one.withdrawal());
    let cases: Vec<(Event, &str)> = vec![
        (changed(&decided, &[("/krw", json!(1_340_001))]), "was decided otherwise before"),
        (changed(&decided, &[("/succeeded", json!(false))]), "was decided otherwise before"),
        (
            changed(&fx("2 2024-03-05 buy USD 1 1 1").decided(true), &[("/currency", json!("KRW"))]),
            "have no price in won",
        ),
        (changed(&fx("3 2024-03-05 buy USD 1 1 1").decided(true), &[("/unit", json!(0))]), "have no price in won"),
        (fx("4 2024-03-05 buy USD 0 1 1").decided(true), "can't be booked"),
        (
            Event { event_type: "rain.v1".into(), ..fx("5 2024-03-05 buy USD 1 1 1").decided(true) },
            "is not exchange_decided.v1",
        ),
        (
            changed(
                &leg,
                &[
                    ("/posting/entries/1/account", json!("cash")),
                    ("/posting/id", json!("pst_0000000001000000000000000Z")),
                ],
            ),
            "moves no clearing",
        ),
    ];
    let books = books().await;
    books.take(&one.all()).await;
    let before = books.journals("").await;
    for (n, (event, why)) in cases.into_iter().enumerate() {
        let event = Event { id: EventId::from_parts(4, n as u128), key: format!("key {n}"), ..event };
        books.take(&[event]).await;
        let parked = books.parked().await;
        assert!(parked.len() == n + 1 && parked[n].contains(why), "{why}: {parked:?}");
    }
    // The same again, under another event's id, is no break.
    for event in one.all() {
        books.take(&[Event { id: EventId::from_parts(5, event.id.rest()), ..event }]).await;
    }
    assert_eq!(books.parked().await.len(), 7);
    assert_eq!((books.journals("").await, books.open().await), (before, String::new()));
    assert_eq!(books.proof().await.breaks, 0);
}

#[tokio::test]
async fn breaks_go_on_by_cursor_and_wrong_calls_are_refused() {
    let books = books().await;
    for n in 1..=5 {
        books.take(&[fx(&format!("{n} 2024-03-05 buy USD 1 1 1")).withdrawal()]).await;
    }
    let all = books.get("exchange-breaks").await["items"].clone();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = books.get(&format!("exchange-breaks?limit=2{cursor}")).await;
        seen.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), all);
    for (who, path, status, code) in [
        ("customer:x", "exchange-breaks", 403, "FORBIDDEN"),
        ("customer:x", "positions", 403, "FORBIDDEN"),
        ("service:x", "exchange-breaks?class=odd", 400, "INVALID_FIELD"),
        ("service:x", "exchange-breaks?cursor=x", 400, "INVALID_CURSOR"),
        ("service:x", "positions?date=2024-02-30", 400, "INVALID_FIELD"),
        ("service:x", "positions?day=2024-02-03", 400, "UNKNOWN_FIELD"),
    ] {
        let (got, problem) = books.call(who, "GET", path).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
}
