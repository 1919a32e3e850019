//! Figures as text on the page.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jangbu_contracts::deposit::CurrencyTotals;
use jangbu_kernel::money::Currency;

use super::*;
use crate::console::figures::{Book, Control, Counted, Lag, Letter, Told};

fn book(instance: &str, currency: Currency, customers: i64, bank: &[(&str, i64)]) -> Book {
    let bank: BTreeMap<String, i64> = bank.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect();
    let difference = customers + bank.values().sum::<i64>();
    let sums = CurrencyTotals {
        currency,
        customers_total: customers,
        bank,
        balanced: difference == 0,
        difference,
        broken_entries: 0,
        interest_paid_today: 99,
        interest_tax_today: 17,
        interest_payments_today: 1,
    };
    Book { instance: instance.to_owned(), sums, control: None }
}

fn shown() -> Shown {
    let now = "2026-01-02T03:04:05+09:00".parse().unwrap();
    let cash = [("cash", -2_000_000), ("interest_expense", -116), ("tax_suspense", 17)];
    Shown {
        now: Some(now),
        rates: vec![0, 7, 1_204],
        counted: Counted { customers: Some(1), recorded: 3, behind: 0, postings: 2, refused: 1, accounts: 1_000 },
        books: vec![
            book("deposit-krw", Currency::KRW, 2_000_099, &cash),
            book("deposit-fx", Currency::USD, 12_345, &[("nostro", -12_345)]),
            book("deposit-fx", Currency::JPY, 5, &[("nostro", -5)]),
        ],
        events: vec![Told {
            at: now,
            topic: "t".into(),
            what: "<b>".into(),
            who: "a → b".into(),
            amount: "1 KRW".into(),
        }],
        ..Shown::default()
    }
}

fn part(shown: &Shown, name: &str) -> String {
    parts(shown).into_iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn the_page_has_a_place_for_every_part() {
    let page = page(&parts(&shown()));
    let of_exchange = fill("Exchange", include_str!("../assets/exchange.html"), &parts(&shown()));
    for (name, html) in parts(&shown()) {
        let place = format!("data-part=\"{name}\">{html}</");
        let (there, alone) = (page.contains(&place), EXCHANGE_PARTS.contains(&name) || name == PRICES);
        // The list of exchanges has its place drawn with it.
        assert!(name == "exchanges" || (there != alone && (there || of_exchange.contains(&place))), "{name}");
    }
    for page in [page, of_exchange] {
        assert!(!page.contains("{{") && !page.contains("style=") && !page.contains("onclick"), "{page}");
    }
}

#[test]
fn debits_stand_left_credits_right_and_both_are_summed() {
    let books = part(&shown(), "books");
    let row = |name: &str, debit: &str, credit: &str| {
        format!("<th scope=\"row\">{name}</th><td>{debit}</td><td>{credit}</td>")
    };
    for row in [
        row("Customers\u{2019} balances", "", "2,000,099"),
        row("Cash", "2,000,000", ""),
        row("Interest expense", "116", ""),
        row("Tax withheld", "", "17"),
        row("<span class=\"good\">Equal</span>", "2,000,116", "2,000,116"),
        row("USD", "123.45", "123.45"),
        row("JPY", "5", "5"),
    ] {
        assert!(books.contains(&row), "{row}\n{books}");
    }
    assert!(part(&shown(), "verdict").contains("The books balance"));
    assert!(part(&shown(), "counts").contains("<dd>99 KRW</dd>"), "{}", part(&shown(), "counts"));
}

#[test]
fn what_does_not_balance_is_said() {
    let mut off = shown();
    off.books[0] = book("deposit-krw", Currency::KRW, 7, &[("cash", -5)]);
    assert!(part(&off, "verdict").contains("One set of books does not balance"), "{}", part(&off, "verdict"));
    assert!(part(&off, "books").contains("Off by 2, 0 broken entries"), "{}", part(&off, "books"));
    let mut ledger = shown();
    for (same, differs, balanced, said) in [
        (true, 0, true, "general ledger has the same for customers"),
        (false, 0, true, "general ledger follows, at 2,000,000"),
        (false, 2, false, "general ledger has 2,000,000 for customers"),
    ] {
        ledger.books[0].control = Some(Control { balance: 2_000_000, same, differs });
        assert_eq!(part(&ledger, "verdict").contains("The books balance"), balanced);
        assert!(part(&ledger, "books").contains(said), "{}", part(&ledger, "books"));
    }
}

#[test]
fn a_minute_is_drawn_with_now_at_the_right() {
    let pulse = part(&shown(), "pulse");
    assert!(pulse.contains(">1,204<") && pulse.contains("peak 1,204"), "{pulse}");
    assert!(pulse.contains("d=\"M580 95h7v1h-7zM590 0h7v96h-7z\""), "{pulse}");
    assert!(part(&Shown::default(), "pulse").contains("d=\"\""));
}

#[test]
fn what_waits_and_what_is_parked_shows_escaped() {
    let mut shown = shown();
    assert!(part(&shown, "events").contains("&lt;b&gt;"));
    assert!(part(&shown, "parked").contains("None"));
    shown.lags = vec![Lag { group: "g".into(), topic: "t".into(), events: 1_200 }];
    assert!(part(&shown, "lags").contains("g</th><td class=\"\">1,200</td>"), "{}", part(&shown, "lags"));
    let id = jangbu_kernel::id::DeadLetterId::from_parts(1, 1);
    let letter =
        Letter { service: "s".into(), id, event_type: "e".into(), reason: "<no>".into(), at: shown.now.unwrap() };
    (shown.parked, shown.letters) = (vec![("s".into(), 1)], vec![letter]);
    let parked = part(&shown, "parked");
    assert!(parked.contains("1 event parked") && parked.contains("&lt;no&gt;"), "{parked}");
    assert!(parked.contains(&format!("data-post=\"/s/v1/dead-letters/{id}/redrive\"")), "{parked}");
}

#[test]
fn before_anything_was_posted_the_page_says_so() {
    assert!(part(&Shown::default(), "verdict").contains("Nothing has been posted yet"));
    let by_hand = Shown { by_hand: true, ..shown() };
    assert!(part(&by_hand, "clock").contains("data-body=\"{&quot;to&quot;:&quot;2026-01-02T18:04:05.000000Z&quot;}\""));
}

fn board(usd: &str) -> serde_json::Value {
    serde_json::json!({"as_of": "2026-01-02T01:00:00Z", "round": 3, "rates": [
        {"currency": "JPY", "unit": 100, "mid": "905.17", "tts": "921.01", "ttb": "889.33"},
        {"currency": "USD", "unit": 1, "mid": usd, "tts": usd, "ttb": usd},
    ]})
}

fn exchange(id: u128, state: &str) -> jangbu_contracts::exchange::Exchange {
    use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, QuoteId};
    serde_json::from_value(serde_json::json!({
        "id": ExchangeId::from_parts(1, id), "state": state, "quote": QuoteId::from_parts(1, 1),
        "customer": CustomerId::from_parts(1, 1), "side": "buy", "currency": "USD", "rate": "1288.78", "unit": 1,
        "foreign": 50_000, "krw": 644_390, "krw_account": AccountId::from_parts(1, 1),
        "fx_account": AccountId::from_parts(1, 2), "withdrawal": null, "deposit": null, "failure": null,
        "history": [{"state": "STARTED", "at": "2026-01-02T01:00:00Z", "why": "<the quote>"},
                    {"state": state, "at": "2026-01-02T01:00:01Z", "why": "so"}],
        "stuck": {"since": "2026-01-02T01:00:00Z", "reason": "<refused>", "remedy": "Look.", "next_try_at": null},
    }))
    .unwrap()
}

#[test]
fn what_waits_for_people_says_what_it_is_and_has_its_buttons() {
    use crate::console::figures::Exchanging;
    let rates = serde_json::from_value(board("1266.62")).unwrap();
    let jump = board("1500.00")["rates"][1].clone();
    let id = jangbu_kernel::id::ApprovalId::from_parts(1, 1);
    let approval = serde_json::from_value(serde_json::json!({
        "id": id, "kind": "board.publish", "subject": "board", "action": {"rates": [jump]}, "reason": "<it jumps>",
        "asked_by": "operator:kim", "asked_at": "2026-01-02T01:00:00Z", "expires_at": "2026-01-03T01:00:00Z",
        "state": "pending", "decided_by": null, "decided_at": null, "decision_reason": null, "result": null,
    }));
    let stuck = exchange(7, "WITHDRAW_CANCEL_NEEDED");
    let mut shown = shown();
    shown.now = Some("2026-01-03T09:59:59+09:00".parse().unwrap());
    shown.exchange = Some(Exchanging {
        board: Some(rates),
        approvals: vec![approval.unwrap()],
        stuck: vec![stuck.clone()],
        newest: vec![exchange(8, "EXCHANGE_SUCCEEDED")],
        undecided: 1,
    });
    let prices = part(&shown, PRICES);
    assert!(prices.contains("<th scope=\"row\">100 JPY</th><td>905.17</td><td>921.01</td><td>889.33</td>"), "{prices}");
    assert!(prices.contains("Round 3 of its day, published 2026-01-02 10:00:00.<"), "{prices}");
    let approvals = part(&shown, "approvals");
    for text in [
        "Publish a board <span class=\"faint\">asked by operator:kim, 10:00:00",
        "&lt;it jumps&gt;",
        "<li>USD: base 1266.62 \u{2192} <b>1500.00</b>, buy 1266.62",
        "<li>JPY: <b>left out</b></li>",
        "name=\"do\" value=\"approve\">Approve</button>",
        &format!("name=\"id\" value=\"{id}\""),
    ] {
        assert!(approvals.contains(text), "{text}\n{approvals}");
    }
    let html = part(&shown, "stuck");
    for text in [
        "Withdraw cancel needed",
        "&lt;refused&gt;",
        "Waits for a person",
        "Look.",
        "value=\"recheck\"",
        "value=\"fail\"",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
    assert!(html.contains(&stuck.id.to_string()), "{html}");
    let newest = part(&shown, "exchanges");
    assert!(
        newest.contains("buys 500.00 USD for 644,390 KRW at 1288.78") && newest.contains("&lt;the quote&gt;"),
        "{newest}"
    );
    assert!(part(&shown, "trouble").contains("1 exchange not decided after a minute"));
    shown.now = Some("2026-01-03T10:00:00+09:00".parse().unwrap());
    assert!(part(&shown, PRICES).contains("Older than a day"));
}
