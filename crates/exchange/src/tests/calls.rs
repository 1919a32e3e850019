//! Calls as callers make them.

use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::{CALLER, exchange_of_key};
use jangbu_kernel::id::QuoteId;
use jangbu_platform::auth::Role;
use serde_json::{Value, json};

use super::world::{World, board};

#[tokio::test]
async fn boards_are_published_by_rounds() {
    let world = World::new().await;
    assert_eq!(world.get(&world.service, "/rates").await.status, 404);
    let put = world.put("/rates", &board()).await;
    assert_eq!((put.status, put.json()["round"].as_i64()), (200, Some(1)), "{}", put.text);
    assert_eq!(world.put("/rates", &board()).await.json()["round"], 2);
    assert_eq!(world.get(&world.service, "/rates").await.json()["rates"][1]["tts"], "1288.78");
    world.move_to("2026-01-03T10:00:00+09:00");
    assert_eq!(world.put("/rates", &board()).await.json()["round"], 1, "another day");
    let customer = world.token(Role::Customer, "cus_01JGFJJZ00000000000000000A");
    assert_eq!(world.get(&customer, "/rates").await.status, 200);
    let told = world.told().await;
    let days = told.iter().map(|(topic, key, told)| {
        assert_eq!(
            (topic.as_str(), key.as_str(), &told["rates"][1]["mid"]),
            ("exchange.boards", "board", &json!("1266.62"))
        );
        format!("{} {} {}", told["number"], told["business_date"], told["round"])
    });
    assert_eq!(days.collect::<Vec<_>>(), ["1 \"2026-01-02\" 1", "2 \"2026-01-02\" 2", "3 \"2026-01-03\" 1"]);
}

#[tokio::test]
async fn prices_that_were_are_shown_thinned_out() {
    let world = World::new().await;
    let history = async |query: &str| world.get(&world.service, &format!("/rates/history?currency={query}")).await;
    let got = history("USD").await.json();
    assert_eq!((&got["boards"], &got["points"]), (&json!(0), &json!([])));
    for n in 0..11 {
        world.move_to(&format!("2026-01-03T10:{n:02}:00+09:00"));
        let mut put = board();
        put["rates"][0]["mid"] = json!(format!("{}.00", 1_250 + n));
        if n == 10 {
            put["rates"]
                .as_array_mut()
                .unwrap()
                .push(json!({"currency": "EUR", "unit": 1, "mid": "1455.31", "tts": "1455.31", "ttb": "1455.31"}));
        }
        assert_eq!(world.put("/rates", &put).await.status, 200);
    }
    let mids = |got: Value| -> Vec<String> {
        got["points"].as_array().unwrap().iter().map(|p| p["mid"].as_str().unwrap().to_owned()).collect()
    };
    let all = history("USD").await.json();
    assert_eq!((&all["boards"], &all["unit"], &all["points"][10]["tts"]), (&json!(11), &json!(1), &json!("1288.78")));
    assert_eq!(mids(all).len(), 11);
    assert_eq!(mids(history("USD&points=3").await.json()), ["1250.00", "1255.00", "1260.00"]);
    assert_eq!(mids(history("USD&points=2&to=2026-01-03T10:04:30%2B09:00").await.json()), ["1250.00", "1254.00"]);
    assert_eq!(mids(history("EUR").await.json()), ["1455.31"], "it came with the last board");
    assert_eq!(history("JPY").await.json()["unit"], 100);
    for (query, code, field) in [
        ("USD&points=1", "INVALID_FIELD", "points"),
        ("USD&points=501", "INVALID_FIELD", "points"),
        ("USD&from=2026-01-03T11:00:00Z", "INVALID_FIELD", "from"),
        ("USD&from=2024-01-03T11:00:00Z", "INVALID_FIELD", "from"),
        ("USD&from=noon", "INVALID_FIELD", "from"),
        ("usd", "INVALID_FIELD", "currency"),
    ] {
        let got = history(query).await;
        assert_eq!((got.status, got.code(), got.fields()), (400, code.into(), vec![field.to_owned()]), "{}", got.text);
    }
}

#[tokio::test]
async fn a_board_that_jumps_or_has_gaps_waits_for_a_second_person() {
    let mut jump = board();
    jump["rates"][0]["tts"] = json!("1417.66");
    let gap = json!({"rates": [board()["rates"][0]]});
    for (doubtful, why) in [(jump, "USD tts goes from 1288.78 to 1417.66"), (gap, "JPY is missing")] {
        let world = World::with_board().await;
        let before = world.get(&world.service, "/rates").await.text;
        let put = world.put("/rates", &doubtful).await;
        assert_eq!(put.status, 202, "{}", put.text);
        assert_eq!(world.get(&world.service, "/rates").await.text, before, "nothing changed");
        let path = format!("/approvals/{}", put.text_of("approval"));
        let asked = world.get(&world.operator, &path).await;
        assert!(asked.text_of("reason").starts_with(why), "{}", asked.text);
        let body = json!({"decision": "approve", "reason": "looked at"});
        assert_eq!(world.post(&world.operator, &path, "a", &body).await.code(), "SAME_PERSON");
        let second = world.token(Role::Operator, "lee");
        let done = world.post(&second, &path, "b", &body).await;
        assert_eq!((done.status, done.text_of("state")), (200, "approved".into()), "{}", done.text);
        let mut shown = world.get(&world.service, "/rates").await.json()["rates"].clone();
        let mut expected = doubtful["rates"].clone();
        for rates in [&mut shown, &mut expected] {
            rates.as_array_mut().unwrap().sort_by_key(|rate| rate["currency"].to_string());
        }
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn boards_that_cannot_be_are_refused_with_every_flaw() {
    let world = World::new().await;
    let rate =
        |mid: &str, tts: &str, ttb: &str| json!({"currency": "USD", "unit": 1, "mid": mid, "tts": tts, "ttb": ttb});
    for (rates, fields) in [
        (json!([rate("1340.125", "1341", "1339")]), vec!["rates[0].mid"]),
        (json!([rate("-1", "1341", "0")]), vec!["rates[0].mid", "rates[0].ttb"]),
        (json!([rate("1340", "1339", "1341")]), vec!["rates[0].tts", "rates[0].ttb"]),
        (json!([]), vec!["rates"]),
    ] {
        let put = world.put("/rates", &json!({"rates": rates})).await;
        assert_eq!((put.status, put.fields()), (400, fields.iter().map(|f| (*f).to_owned()).collect()), "{}", put.text);
    }
    assert_eq!(world.get(&world.service, "/rates").await.status, 404);
}

#[tokio::test]
async fn quotes_follow_board_side_discount_and_named_amount() {
    let world = World::with_board().await;
    let (customer, _) = world.customer(1);
    for (side, amount, amount_in, rate, foreign, krw) in [
        ("buy", 100_000, "foreign", "1288.78", 100_000, 1_288_780),
        ("buy", 100_000, "krw", "1288.78", 7_759, 100_000),
        ("sell", 1, "foreign", "1244.46", 1, 12),
        ("sell", 100_000, "krw", "1244.46", 8_036, 100_000),
    ] {
        let got = world.quote(customer, side, amount, amount_in).await.json();
        assert_eq!(
            (got["rate"].as_str(), got["foreign"].as_i64(), got["krw"].as_i64()),
            (Some(rate), Some(foreign), Some(krw)),
            "{got}"
        );
    }
    let set = |subject: String, discount: &str| {
        let body = json!({"discount": discount, "from": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z", "reason": "so"});
        let path = format!("/discounts/{subject}");
        let world = &world;
        async move { world.put(&path, &body).await }
    };
    assert_eq!(set(format!("customer/{customer}"), "0.5").await.status, 200);
    assert_eq!(set("campaign/all".into(), "1").await.status, 200);
    assert_eq!(set("campaign/all".into(), "1.0001").await.fields(), ["discount"]);
    assert_eq!(set("campaign/all".into(), "0.00001").await.fields(), ["discount"]);
    assert_eq!(set("customer/kim".into(), "1").await.code(), "INVALID_ID");
    let rate = async |campaign: Option<&str>| {
        let mut body =
            json!({"customer": customer, "side": "buy", "currency": "USD", "amount": 1, "amount_in": "foreign"});
        if let Some(campaign) = campaign {
            body["campaign"] = json!(campaign);
        }
        let got = world.post(&world.service, "/quotes", "q", &body).await;
        if got.status == 201 { got.text_of("rate") } else { got.code() }
    };
    assert_eq!(rate(None).await, "1277.70", "half the spread");
    assert_eq!(rate(Some("all")).await, "1266.62", "none of it");
    assert_eq!(rate(Some("none")).await, "CAMPAIGN_NOT_RUNNING");
    world.move_to("2026-02-01T09:00:00+09:00");
    world.put("/rates", &board()).await;
    assert_eq!(rate(None).await, "1288.78", "both have ended");
}

#[tokio::test]
async fn what_cannot_be_quoted_has_its_code() {
    let world = World::new().await;
    let (customer, _) = world.customer(1);
    assert_eq!(world.quote(customer, "buy", 1, "foreign").await.code(), "BOARD_STALE");
    world.put("/rates", &board()).await;
    assert_eq!(world.quote(customer, "buy", 12, "krw").await.code(), "AMOUNT_TOO_SMALL");
    assert_eq!(world.quote(customer, "buy", 1_000_000_000_000_000, "foreign").await.code(), "INVALID_AMOUNT");
    let body = json!({"customer": customer, "side": "buy", "currency": "EUR", "amount": 1, "amount_in": "foreign"});
    assert_eq!(world.post(&world.service, "/quotes", "q", &body).await.code(), "CURRENCY_NOT_QUOTED");
    let other = world.token(Role::Customer, "cus_01JGFJJZ00000000000000000A");
    assert_eq!(world.post(&other, "/quotes", "q", &body).await.code(), "FORBIDDEN");
    world.move_to("2026-01-03T10:00:00+09:00");
    assert_eq!(world.quote(customer, "buy", 1, "foreign").await.code(), "BOARD_STALE");
}

#[tokio::test]
async fn an_exchange_moves_both_legs_once() {
    let world = World::with_board().await;
    let (customer, accounts) = world.customer(1);
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    let got = world.exchange("k1", &quote, accounts).await;
    assert_eq!((got.status, got.text_of("state")), (201, "EXCHANGE_SUCCEEDED".into()), "{}", got.text);
    assert_eq!(world.balances(accounts), (20_000_000 - 644_390, 150_000));
    let states: Vec<String> =
        got.json()["history"].as_array().unwrap().iter().map(|p| p["state"].as_str().unwrap().into()).collect();
    assert_eq!(states, ["STARTED", "WITHDRAW_SUCCEEDED", "EXCHANGE_SUCCEEDED"]);
    let again = world.exchange("k1", &quote, accounts).await;
    assert!(again.is_replay() && again.json() == got.json(), "{}", again.text);
    assert_eq!(world.exchange("k2", &quote, accounts).await.code(), "QUOTE_USED");
    let limits = world.limits(customer).await;
    assert_eq!((&limits["day"]["used"], &limits["day"]["reserved"]), (&json!(644_390), &json!(0)), "{limits}");
    let (_, _, told) = world.told().await.into_iter().find(|(topic, ..)| topic == "exchange.decided").unwrap();
    let shown = got.json();
    for field in ["rate", "foreign", "krw", "krw_account", "fx_account", "withdrawal", "deposit"] {
        assert_eq!(told[field], shown[field], "{field}");
    }
    assert_eq!((&told["exchange"], &told["mid"]), (&shown["id"], &json!("1266.62")), "{told}");
    // The books know its legs by their key.
    let withdraw = shown["id"].as_str().unwrap().replace("fxe", "sga") + ":withdraw";
    let known = exchange_of_key(CALLER, &withdraw).map(|id| id.to_string());
    assert_eq!(known, shown["id"].as_str().map(str::to_owned));
    let kept = world.krw().answer(&withdraw);
    assert_eq!(kept.map(|posting| posting["id"].clone()).as_ref(), Some(&shown["withdrawal"]));
    let quote = world.quote(customer, "sell", 50_000, "foreign").await.text_of("id");
    let got = world.exchange("k3", &quote, accounts).await;
    assert_eq!(got.text_of("state"), "EXCHANGE_SUCCEEDED", "{}", got.text);
    assert_eq!(world.balances(accounts), (20_000_000 - 644_390 + 622_230, 100_000));
    let own = world.token(Role::Customer, &customer.to_string());
    let path = format!("/exchanges/{}", got.text_of("id"));
    assert_eq!(world.get(&own, &path).await.json(), got.json());
    let other = world.token(Role::Customer, "cus_01JGFJJZ00000000000000000A");
    assert_eq!(world.get(&other, &path).await.status, 404);
}

#[tokio::test]
async fn bad_requests_have_their_code_and_move_nothing() {
    let world = World::with_board().await;
    let (customer, accounts) = world.customer(1);
    let (_, others) = world.customer(2);
    let yen = world.account(customer, 99, "JPY", 0);
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    let none = QuoteId::from_parts(1, 1).to_string();
    assert_eq!(world.exchange("a", &none, accounts).await.code(), "QUOTE_NOT_FOUND");
    let body = json!({"quote": quote, "krw_account": accounts.0, "fx_account": accounts.1});
    let other = world.token(Role::Customer, "cus_01JGFJJZ00000000000000000A");
    assert_eq!(world.post(&other, "/exchanges", "a", &body).await.code(), "QUOTE_NOT_FOUND");
    assert_eq!(world.exchange("a", &quote, (others.0, accounts.1)).await.code(), "ACCOUNT_NOT_FOUND");
    assert_eq!(world.exchange("a", &quote, (accounts.0, yen)).await.code(), "CURRENCY_MISMATCH");
    for (mark, code) in [("deposit_stop", "DEPOSIT_BLOCKED"), ("dormant", "ACCOUNT_DORMANT"), ("attached", "")] {
        world.fx().accounts.get_mut(&accounts.1.to_string()).unwrap()["marks"] = json!([mark]);
        if !code.is_empty() {
            assert_eq!(world.exchange("a", &quote, accounts).await.code(), code);
        }
    }
    world.krw().accounts.get_mut(&accounts.0.to_string()).unwrap()["closed_on"] = json!("2026-01-02");
    assert_eq!(world.exchange("a", &quote, accounts).await.code(), "ACCOUNT_CLOSED");
    assert_eq!(world.balances(accounts), (20_000_000, 100_000));
    assert_eq!(world.limits(customer).await["day"]["reserved"], 0);
    world.move_to("2026-01-02T10:01:00+09:00");
    assert_eq!(world.exchange("a", &quote, accounts).await.code(), "QUOTE_EXPIRED");
}

#[tokio::test]
async fn a_refused_leg_fails_the_exchange_and_frees_the_limit() {
    let world = World::with_board().await;
    let (customer, accounts) = world.customer(1);
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    world.krw().refuse = Some(Code::InsufficientAvailable);
    let got = world.exchange("k", &quote, accounts).await;
    assert_eq!((got.status, got.text_of("state")), (201, "EXCHANGE_FAILED".into()), "{}", got.text);
    assert_eq!(got.json()["failure"]["code"], "INSUFFICIENT_AVAILABLE");
    assert_eq!(world.balances(accounts), (20_000_000, 100_000));
    world.krw().refuse = None;
    world.fx().refuse = Some(Code::OwnerIdentityTheft);
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    let got = world.exchange("l", &quote, accounts).await;
    assert_eq!((got.status, got.text_of("state")), (202, "WITHDRAW_CANCEL_NEEDED".into()), "{}", got.text);
    assert_eq!(world.limits(customer).await["month"]["reserved"], 644_390, "until the money is back");
}

#[tokio::test]
async fn limits_may_be_reached_and_not_passed() {
    let world = World::with_board().await;
    let (customer, accounts) = world.customer(1);
    for (key, krw, code) in
        [("a", 6_000_000, ""), ("b", 4_000_001, "LIMIT_EXCEEDED"), ("c", 4_000_000, ""), ("d", 1_300, "LIMIT_EXCEEDED")]
    {
        let quote = world.quote(customer, "buy", krw, "krw").await.text_of("id");
        let got = world.exchange(key, &quote, accounts).await;
        assert_eq!(got.code(), code, "{}", got.text);
        if !code.is_empty() {
            assert!(
                got.text.contains("limit of 10000000 won a day") && got.text.contains("2026-01-03T00:00:00"),
                "{}",
                got.text
            );
        }
    }
    world.move_to("2026-01-03T08:59:59+09:00");
    assert_eq!(world.limits(customer).await["day"]["used"], 10_000_000);
    world.move_to("2026-01-03T09:00:00+09:00");
    let limits = world.limits(customer).await;
    assert_eq!((&limits["day"]["used"], &limits["month"]["used"]), (&json!(0), &json!(10_000_000)), "{limits}");
}

#[tokio::test]
async fn a_second_exchange_at_once_fails_fast_and_money_does_not_need_that() {
    let world = World::with_board().await;
    let (customer, accounts) = world.customer(1);
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    let until = jangbu_platform::clock::Clock::now(world.clock.as_ref()).plus_micros(20_000_000);
    let turn = world.kv.take_lease(&format!("exchange:{customer}"), until).await.unwrap().unwrap();
    assert_eq!(world.exchange("a", &quote, accounts).await.code(), "EXCHANGE_IN_PROGRESS");
    // The store forgets whose turn it is: both requests go on, and only one uses the quote.
    drop(turn);
    world.kv.cut_off(true);
    let (one, two) =
        futures_util::future::join(world.exchange("a", &quote, accounts), world.exchange("b", &quote, accounts)).await;
    let mut codes = [one.code(), two.code()];
    codes.sort();
    assert_eq!(codes, ["", "QUOTE_USED"], "{} {}", one.text, two.text);
    assert_eq!(world.balances(accounts), (20_000_000 - 644_390, 150_000));
}
