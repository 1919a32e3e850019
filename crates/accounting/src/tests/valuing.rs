//! Positions valued at closing rates, whatever the order in which things come.

use jangbu_contracts::exchange::{BOARD_KEY, BoardPublishedV1};
use jangbu_kernel::id::EventId;
use jangbu_platform::db::Event;
use proptest::prelude::*;
use serde_json::json;

use super::exchanges::{Fx, fx};
use super::world::{Books, books};

/// A board by its number: `12 2024-03-05 USD 1350.00 JPY 905.17`.
fn board(text: &str) -> Event {
    let w: Vec<&str> = text.split_whitespace().collect();
    let rate = |pair: &[&str]| {
        let unit = if pair[0] == "JPY" { 100 } else { 1 };
        json!({"currency": pair[0], "unit": unit, "mid": pair[1], "tts": pair[1], "ttb": pair[1]})
    };
    let rates: Vec<_> = w[2..].chunks(2).map(rate).collect();
    let number: i64 = w[0].parse().unwrap();
    let payload = json!({"number": number, "round": 1, "business_date": w[1],
        "as_of": format!("{}T00:00:00.000000Z", w[1]), "rates": rates});
    Event {
        id: EventId::from_parts(6, number.unsigned_abs().into()),
        topic: "exchange.boards".into(),
        key: BOARD_KEY.into(),
        event_type: BoardPublishedV1::TYPE.into(),
        payload: payload.to_string(),
    }
}

impl Books {
    /// Positions of a day: currency, position, counter-value, average, closing rate and its day, gain, profit, and totals.
    async fn positions(&self, date: &str) -> String {
        let shown = self.get(&format!("positions?date={date}")).await;
        let mut text = String::new();
        for p in shown["positions"].as_array().unwrap() {
            let word = |name: &str| p[name].as_str().unwrap_or("-").to_owned();
            let number = |name: &str| p[name].as_i64().map_or("-".into(), |n| n.to_string());
            let valued = if p["valued"] == true { "valued" } else { "open" };
            text += &format!(
                "{} {} {} avg {} at {} of {} gain {} {valued} profit {} {} revalued {}\n",
                word("currency"),
                number("position"),
                number("counter_value"),
                word("average_rate"),
                word("closing_rate"),
                word("rate_date"),
                number("unrealised_gain"),
                number("trading_profit"),
                number("trading_profit_total"),
                number("revaluation_total"),
            );
        }
        text
    }
}

/// The worked example: a thousand dollars sold at 1,340 leave the bank short; at 1,350 that is a loss of 10,000.
#[tokio::test]
async fn a_day_is_valued_once_at_its_last_board() {
    let books = books().await;
    books.take(&[board("1 2024-03-05 USD 1340.00")]).await;
    books.take(&fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00").all()).await;
    let open = "USD -100000 -1340000 avg 1340.0000 at 1340.00 of 2024-03-05 gain 0 open profit 0 0 revalued 0\n";
    assert_eq!(books.positions("2024-03-05").await, open);
    books.take(&[board("2 2024-03-05 USD 1350.00")]).await;
    let open = "USD -100000 -1340000 avg 1340.0000 at 1350.00 of 2024-03-05 gain -10000 open profit 0 0 revalued 0\n";
    assert_eq!(books.positions("2024-03-05").await, open, "what it would come to");
    assert_eq!(books.holds("fx_revaluation", "KRW").await, 0, "not yet");
    let next = board("3 2024-03-06 USD 1360.00");
    books.take(std::slice::from_ref(&next)).await;
    let valued = open.replace("open profit", "valued profit").replace("revalued 0", "revalued -10000");
    assert_eq!(books.positions("2024-03-05").await, valued);
    let journals = books.journals("?business_date=2024-03-05&currency=KRW").await;
    assert!(journals.contains("KRW revaluation: fx_counter_value C 10000 fx_revaluation D 10000\n"), "{journals}");
    assert_eq!(books.holds("fx_counter_value", "KRW").await, -1_350_000);
    assert_eq!(books.holds("fx_revaluation", "KRW").await, -10_000);
    // Once: not by the same board again, nor by another of that day or an earlier one.
    let again = |n: u128, event: &Event| Event { id: EventId::from_parts(7, n), ..event.clone() };
    books.take(&[again(1, &next), board("4 2024-03-06 USD 1361.00"), again(2, &board("2 2024-03-05 USD 1.00"))]).await;
    assert_eq!(books.positions("2024-03-05").await, valued);
    assert_eq!(books.get("positions?date=2024-03-06").await["valued_through"], "2024-03-05");
    let today =
        "USD -100000 -1350000 avg 1350.0000 at 1361.00 of 2024-03-06 gain -11000 open profit 0 0 revalued -10000\n";
    assert_eq!(books.positions("2024-03-06").await, today);
    assert_eq!(books.positions("2024-03-04").await, "");
    assert_eq!(books.proof().await.told, Vec::<String>::new());
    assert_eq!(books.parked().await, Vec::<String>::new());
}

/// Days without a board, currencies that a board leaves out, and exchanges that come when their day was valued.
#[tokio::test]
async fn what_a_day_lacks_the_next_one_makes_up_for() {
    let books = books().await;
    books.take(&fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00").all()).await;
    assert!(books.positions("2024-03-05").await.contains("avg - at - of - gain - open"), "no rate was ever told");
    books.take(&[board("1 2024-03-05 USD 1340.00 JPY 900.00")]).await;
    books.take(&fx("2 2024-03-05 sell JPY 1_000 9_000 900.00").all()).await;
    // On the next two days there is no board; somebody sells dollars late in the first of them.
    books.take(&fx("3 2024-03-06 sell USD 50_000 669_000 1340.00").all()).await;
    books.take(&[board("2 2024-03-08 USD 1350.00")]).await;
    let usd = "USD -100000 -1340000 avg 1340.0000 at 1340.00 of 2024-03-05 gain 0 valued profit 0 0 revalued 0\n";
    assert!(books.positions("2024-03-05").await.ends_with(usd));
    // A straggler of the day that was valued counts for the next.
    books.take(&fx("4 2024-03-05 buy USD 10_000 134_000 1340.00").all()).await;
    assert!(books.positions("2024-03-05").await.ends_with(usd));
    let usd = "USD -60000 -804000 avg 1340.0000 at 1340.00 of 2024-03-05 gain 0 open profit 1000 1000 revalued 0\n";
    assert!(books.positions("2024-03-06").await.ends_with(usd), "{}", books.positions("2024-03-06").await);
    books.take(&[board("3 2024-03-09 USD 1360.00 JPY 910.00")]).await;
    let shown = books.positions("2024-03-08").await;
    let jpy = "JPY 1000 9000 avg 900.0000 at 900.00 of 2024-03-05 gain 0 valued profit 0 0 revalued 0\n";
    let usd =
        "USD -60000 -804000 avg 1340.0000 at 1350.00 of 2024-03-08 gain -6000 valued profit 0 1000 revalued -6000\n";
    assert_eq!(shown, format!("{jpy}{usd}"));
    assert_eq!(books.proof().await.told, Vec::<String>::new());
}

#[tokio::test]
async fn the_proof_sees_what_was_altered_of_exchanges() {
    let alterations = [
        ("UPDATE exchange_leg SET amount = amount + 1 WHERE currency = 'USD'", "is journaled as"),
        ("DELETE FROM exchange_leg WHERE currency = 'USD'", "2 journals of postings move clearing, 1 legs are kept"),
        ("DELETE FROM exchange_leg WHERE currency = 'USD'", "is kept as None, its books say Some((MissingRight"),
        ("UPDATE exchange_decision SET won = won + 1", "is kept as None, its books say Some((Amount"),
        ("UPDATE exchange_decision SET value_moved = value_moved + 1", "and is journaled as"),
        ("DELETE FROM exchange_decision", "by no exchange"),
        ("UPDATE position_day SET foreign_moved = foreign_moved + 1", "its exchanges [-100000, -1340000, 0]"),
        ("UPDATE revaluation SET gain = gain + 1", "which does not follow from 1350.00"),
        ("UPDATE revaluation SET value_before = value_before - 1", "not -100000 for -1340000"),
        ("DELETE FROM revaluation", "account 4520 holds"),
        ("DELETE FROM journal WHERE kind = 'revaluation'", "and is journaled as None"),
        ("DELETE FROM journal WHERE kind = 'exchange' AND currency = 'USD'", "account 2510 holds -100000 USD less"),
    ];
    for (sql, why) in alterations {
        let books = books().await;
        books.take(&[board("1 2024-03-05 USD 1350.00")]).await;
        books.take(&fx("1 2024-03-05 buy USD 100_000 1_340_000 1340.00").all()).await;
        books.take(&[board("2 2024-03-06 USD 1350.00")]).await;
        assert_eq!(books.proof().await.told, Vec::<String>::new());
        books.sql(sql).await;
        let told = books.proof().await.told;
        assert!(told.iter().any(|line| line.contains(why)), "{sql}: {told:#?}");
    }
    let books = books().await;
    books.take(&[fx("1 2024-03-05 buy USD 1 1 1").withdrawal()]).await;
    assert_eq!((books.proof().await.breaks, books.proof().await.open.len()), (0, 1));
    books.take(&[fx("1 2024-03-05 buy USD 1 1 1").deposit(), fx("1 2024-03-05 buy USD 1 1 1").decided(true)]).await;
    books.sql("UPDATE valued SET through_date = 1").await;
    let mut tx = books.db.begin("test").await.unwrap();
    let row = [[7u8; 16].as_slice().into(), "amount".into(), "so".into(), 0i64.into(), 0i64.into(), 0i64.into()];
    let sql = "INSERT INTO exchange_open (exchange, kind, detail, since, due_at, told) VALUES (?*)";
    let _ = tx.insert(sql, &row).await.unwrap();
    tx.commit().await.unwrap();
    let told = books.proof().await.told;
    assert!(told.iter().any(|line| line.contains("is open as amount, and its books agree")), "{told:?}");
}

/// What the books hold at the end, of all that order may not touch.
async fn holdings(books: &Books) -> Vec<(String, i64)> {
    let mut held = Vec::new();
    for currency in ["KRW", "USD", "JPY"] {
        let names =
            ["exchange", "customer_deposits", "fx_position", "fx_counter_value", "fx_trading", "fx_revaluation"];
        for name in names {
            held.push((format!("{name} {currency}"), books.holds(name, currency).await));
        }
    }
    held
}

fn exchange() -> impl Strategy<Value = (Fx, bool)> {
    let currency = prop::sample::select(vec!["USD", "JPY"]);
    (any::<bool>(), currency, 1..1_000_000i64, 1..10_000_000i64, 50_000..200_000i64, any::<bool>(), 5..7u8).prop_map(
        |(buys, currency, foreign, won, mid, succeeded, day)| {
            let (currency, mid) = (currency.to_owned(), format!("{}.{:02}", mid / 100, mid % 100));
            (Fx { n: 0, date: format!("2024-03-0{day}"), buys, currency, foreign, won, mid }, succeeded)
        },
    )
}

/// Tells events in parts of these sizes, the last with all that is left.
async fn tell(books: &Books, events: &[Event], sizes: &[usize]) {
    let mut left = events;
    for size in sizes {
        let (part, rest) = left.split_at((*size).min(left.len()));
        books.take(part).await;
        left = rest;
    }
    books.take(left).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Each at least once, in any order, whatever the batches: nothing is open, clearing is empty, each currency is
    /// nought with its position, and the books hold the same.
    #[test]
    fn order_and_repeats_change_nothing(
        exchanges in prop::collection::vec(exchange(), 1..7),
        keys in prop::collection::vec(any::<u32>(), 64),
        repeats in prop::collection::vec(0..21usize, 0..8),
        sizes in prop::collection::vec(1..6usize, 0..12),
    ) {
        let mut events = Vec::new();
        for (n, (fx, succeeded)) in (1..).zip(exchanges) {
            let fx = Fx { n, ..fx };
            events.push(fx.withdrawal());
            events.push(if succeeded { fx.deposit() } else { fx.given_back() });
            events.push(fx.decided(succeeded));
        }
        let mut shuffled: Vec<(u32, Event)> = keys.iter().copied().zip(events.iter().cloned()).collect();
        let again = repeats.iter().filter_map(|at| events.get(*at).cloned());
        shuffled.extend(keys.iter().rev().copied().zip(again));
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled: Vec<Event> = shuffled.into_iter().map(|(_, event)| event).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let boards = ["1 2024-03-05 USD 1340.00 JPY 905.17", "2 2024-03-06 USD 1333.33 JPY 911.11"].map(board);
        let last = ["3 2024-03-09 USD 1351.07 JPY 899.99", "4 2024-03-10 USD 1.00 JPY 1.00"].map(board);
        let run = async |events: &[Event], sizes: &[usize]| {
            let books = books().await;
            let (first, rest) = events.split_at(events.len() / 2);
            books.take(&boards[..1]).await;
            tell(&books, first, sizes).await;
            books.take(&boards[1..]).await;
            tell(&books, rest, sizes).await;
            books.take(&last).await;
            assert_eq!(books.parked().await, Vec::<String>::new());
            assert_eq!(books.open().await, "");
            assert_eq!(books.proof().await.told, Vec::<String>::new());
            holdings(&books).await
        };
        let (straight, mixed) = runtime.block_on(async { (run(&events, &[]).await, run(&shuffled, &sizes).await) });
        let of = |name: &str| straight.iter().find(|(n, _)| n == name).map(|(_, held)| *held).unwrap();
        for currency in ["KRW", "USD", "JPY"] {
            prop_assert_eq!(of(&format!("exchange {currency}")), 0);
        }
        for currency in ["USD", "JPY"] {
            prop_assert_eq!(of(&format!("customer_deposits {currency}")) + of(&format!("fx_position {currency}")), 0);
        }
        // Customers' won is what positions stand for and what was earned with them.
        let earned = of("fx_trading KRW") + of("fx_revaluation KRW");
        prop_assert_eq!(of("customer_deposits KRW") + earned, of("fx_counter_value KRW"));
        prop_assert_eq!(straight, mixed);
    }
}
