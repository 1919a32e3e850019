//! What postings become.

use jangbu_platform::db::Event;
use serde_json::{Value, json};

use super::world::{Books, account, books};

/// Tells a script and compares the journals of all days with a table; the books must be provable after it.
async fn check(script: &str, want: &str) -> Books {
    let books = books().await;
    books.tell(script).await;
    let text = |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect();
    let want: String = text(want.trim());
    assert_eq!(books.journals("").await, want, "{script}\n{:?}", books.parked().await);
    assert_eq!(books.proof().await.told, Vec::<String>::new());
    books
}

#[tokio::test]
async fn every_kind_of_posting_has_its_journal() {
    check(
        "2024-03-05 krw credit   a 100_000 cash
         2024-03-05 krw credit   a 5_000 nostro
         2024-03-05 krw debit    a 20_000 fees
         2024-03-05 krw transfer a b 30_000
         2024-03-05 krw hold     b 7_000
         2024-03-05 krw capture  b 6_000 nostro
         2024-03-05 krw hold     b 1
         2024-03-05 krw release  b 1
         2024-03-05 krw reversal a 5_000 nostro
         2024-03-05 usd credit   c 12_345 exchange",
        "KRW credit:   customer_deposits C 100000 cash D 100000
         KRW credit:   customer_deposits C 5000 nostro D 5000
         KRW debit:    customer_deposits D 20000 fees C 20000
         KRW transfer: customer_deposits D 30000 customer_deposits C 30000
         KRW capture:  customer_deposits D 6000 nostro C 6000
         KRW reversal: customer_deposits D 5000 nostro C 5000
         USD credit:   customer_deposits C 12345 exchange D 12345",
    )
    .await;
}

/// Published figures: 2,000,000 / 50,000,000 / 100,000,000 won at 2 % pay 99 / 2,329 / 4,649 after tax for a day.
#[tokio::test]
async fn interest_leaves_suspense_for_what_is_owed() {
    let books = check(
        "2024-03-05 krw interest a 109   10    0   0
         2024-03-05 krw interest b 2_739 380   30  0
         2024-03-05 krw interest c 5_479 760   70  0
         2024-03-05 krw interest d 1_000 0     0   0
         2024-03-05 krw interest e 1_000 0     0   10
         2024-03-05 krw interest f 1_000 50    0   90
         2024-03-05 krw interest g 1_000 50    20  90
         2024-03-05 usd interest h 1_000 140   14  0",
        // Those of taxes come first: the payments' ids in these tests are smaller than the postings'.
        "KRW interest_tax: tax_suspense D 10 income_tax_payable C 10
         KRW interest_tax: tax_suspense D 410 income_tax_payable C 380 local_tax_payable C 30
         KRW interest_tax: tax_suspense D 830 income_tax_payable C 760 local_tax_payable C 70
         KRW interest_tax: tax_suspense D 10 rural_tax_payable C 10
         KRW interest_tax: tax_suspense D 140 income_tax_payable C 50 rural_tax_payable C 90
         KRW interest_tax: tax_suspense D 160 income_tax_payable C 50 local_tax_payable C 20 rural_tax_payable C 90
         USD interest_tax: tax_suspense D 154 income_tax_payable C 140 local_tax_payable C 14
         KRW interest: customer_deposits C 99 interest_expense D 109 tax_suspense C 10
         KRW interest: customer_deposits C 2329 interest_expense D 2739 tax_suspense C 410
         KRW interest: customer_deposits C 4649 interest_expense D 5479 tax_suspense C 830
         KRW interest: customer_deposits C 1000 interest_expense D 1000
         KRW interest: customer_deposits C 990 interest_expense D 1000 tax_suspense C 10
         KRW interest: customer_deposits C 860 interest_expense D 1000 tax_suspense C 140
         KRW interest: customer_deposits C 840 interest_expense D 1000 tax_suspense C 160
         USD interest: customer_deposits C 846 interest_expense D 1000 tax_suspense C 154",
    )
    .await;
    let taxes = books.get("tax-payments?date=2024-03-05").await;
    let rows = taxes["items"].as_array().unwrap();
    assert_eq!((rows.len(), &taxes["next"]), (8, &Value::Null), "a payment without tax has its row too");
    assert_eq!((&rows[0]["account"], &rows[0]["net"]), (&json!(account("a")), &json!(99)));
    assert_eq!((&rows[0]["from"], &rows[0]["to"]), (&json!("2024-03-01"), &json!("2024-03-04")));
    let journal = books.get("journals").await["items"][0].clone();
    assert_eq!(journal["interest"], rows[0]["interest"]);
    assert_eq!(books.get(&format!("journals/{}", journal["id"].as_str().unwrap())).await, journal);
    let page = books.get("tax-payments?date=2024-03-05&limit=7").await;
    let rest = books.get(&format!("tax-payments?date=2024-03-05&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((page["items"].as_array().unwrap().len(), &rest["items"][0]), (7, &rows[7]));
    for job in &books.jobs {
        (job.run)("2024-03-05T03:00:00Z".parse().unwrap()).await.unwrap();
    }
    let shown = books.metrics.render();
    for line in [
        "jangbu_tax_suspense{currency=\"KRW\"} 0",
        "jangbu_dead_letters_parked{service=\"accounting\"} 0",
        "jangbu_consumer_lag{service=\"accounting\",group=\"accounting\",topic=\"deposit-krw.postings\"} 0",
        "jangbu_journals_total 15",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line} is not in\n{shown}");
    }
}

#[tokio::test]
async fn the_trial_balance_grows_day_by_day() {
    let books = books().await;
    books
        .tell(
            "2024-03-05 krw credit   a 100_000 cash
             2024-03-05 krw transfer a b 30_000
             2024-03-05 krw interest a 5_479 760 70 0
             2024-03-06 krw debit    b 10_000 cash
             2024-03-06 krw debit    b 500 fees
             2024-03-06 usd credit   c 700 nostro
             2024-03-08 krw credit   a 1 cash",
        )
        .await;
    let cases = [
        ("2024-03-04", "KRW", ""),
        (
            "2024-03-05",
            "KRW",
            "cash 100000 0 100000 | 100000 0
             customer_deposits 30000 134649 104649 | 30000 134649
             tax_suspense 830 830 0 | 830 830
             income_tax_payable 0 760 760 | 0 760
             local_tax_payable 0 70 70 | 0 70
             interest_expense 5479 0 5479 | 5479 0",
        ),
        (
            "2024-03-06",
            "KRW",
            "cash 100000 10000 90000 | 0 10000
             customer_deposits 40500 134649 94149 | 10500 0
             tax_suspense 830 830 0 | 0 0
             income_tax_payable 0 760 760 | 0 0
             local_tax_payable 0 70 70 | 0 0
             fees 0 500 500 | 0 500
             interest_expense 5479 0 5479 | 0 0",
        ),
        ("2024-03-06", "USD", "nostro 700 0 700 | 700 0\ncustomer_deposits 0 700 700 | 0 700"),
        ("2024-03-05", "USD", ""),
    ];
    for (date, currency, want) in cases {
        let want: String = want.lines().map(|line| format!("{}\n", line.trim())).collect();
        assert_eq!(books.trial_balance(date, currency).await, want, "{date} {currency}");
    }
    let proof = books.proof().await;
    assert_eq!((proof.journals, proof.taxes, proof.breaks), (8, 1, 0));
    let controls: Vec<_> =
        proof.controls.iter().map(|c| format!("{} {} {}", c.instance, c.currency, c.balance)).collect();
    assert_eq!(controls, ["deposit-fx USD 700", "deposit-krw KRW 94150"]);
}

/// The same event again, and the same posting under another event's id, change nothing.
#[tokio::test]
async fn a_posting_is_journaled_once() {
    let books = books().await;
    let events: Vec<Event> = ["krw credit a 100 cash", "krw interest a 5_479 760 70 0", "krw hold a 5"]
        .map(|line| books.event(&format!("2024-03-05 {line}")))
        .to_vec();
    books.take(&events).await;
    let first = (books.journals("").await, books.trial_balance("2024-03-05", "KRW").await);
    books.take(&events).await;
    let renamed = |event: &Event| Event { id: books.event("2024-03-05 krw hold z 1").id, ..event.clone() };
    let mut renamed: Vec<Event> = events.iter().map(renamed).collect();
    renamed.push(books.event("2024-03-05 krw credit a 7 cash"));
    books.take(&renamed).await;
    assert_eq!(books.parked().await, Vec::<String>::new());
    assert_eq!(books.journals("").await.lines().count(), first.0.lines().count() + 1, "only what was new");
    let text = first.1.replace("cash 100 0 100 | 100 0", "cash 107 0 107 | 107 0");
    let text = text.replace("0 4749 4749 | 0 4749", "0 4756 4756 | 0 4756");
    assert_eq!(books.trial_balance("2024-03-05", "KRW").await, text);
    assert_eq!(books.proof().await.breaks, 0);
}

/// What is changed in a good event, by JSON pointers; and what the letter must say.
type Broken<'a> = (&'a str, &'a [(&'a str, Value)], &'a str);

#[tokio::test]
async fn what_does_not_add_up_is_parked() {
    let credit = "krw credit a 100 cash";
    let interest = "krw interest a 5_479 760 70 0";
    let cases: &[Broken<'_>] = &[
        (credit, &[("/posting/entries/0/amount", json!(99))], "debits are 100, credits are 99"),
        (credit, &[("/posting/entries/1/account", json!("gold"))], "\"gold\" is no account"),
        (credit, &[("/posting/entries/1/account", json!("income_tax_payable"))], "is no account"),
        (credit, &[("/posting/entries/1/account", json!("tax_suspense"))], "that withholds tax"),
        (credit, &[("/posting/entries", json!([]))], "without entries"),
        (
            credit,
            &[("/posting/entries/0/amount", json!(-1)), ("/posting/entries/1/amount", json!(-1))],
            "a line of -1 minor units",
        ),
        (credit, &[("/posting/kind", json!("interest"))], "without the figures"),
        (credit, &[("/posting/kind", json!("a kind that nobody can keep"))], "longer than a journal holds"),
        (credit, &[("/posting/currency", json!("XXX"))], "currency"),
        (credit, &[("/posting/id", json!("pst_1"))], "id"),
        (credit, &[("/instance", json!("deposit-fx"))], "came by topic deposit-krw.postings"),
        (interest, &[("/posting/kind", json!("credit"))], "with the figures of a payment"),
        (interest, &[("/interest/income_tax", json!(761))], "gross 5479 is not net 4649 and taxes 831"),
        (interest, &[("/interest/local_tax", json!(-70)), ("/interest/net", json!(4789))], "is not net"),
        (interest, &[("/interest/income_tax", json!(750)), ("/interest/net", json!(4659))], "net: the payment says"),
        (interest, &[("/interest/gross", json!(5480)), ("/interest/net", json!(4650))], "gross: the payment says"),
        (interest, &[("/interest/posting", json!("pst_00000000000000000000000001"))], "but came with"),
        (interest, &[("/posting/entries/1/amount", json!(5_480))], "debits are 5480, credits are 5479"),
    ];
    let books = books().await;
    for (n, (line, changes, why)) in cases.iter().enumerate() {
        let mut event = books.event(&format!("2024-03-05 {line}"));
        let mut payload: Value = serde_json::from_str(&event.payload).unwrap();
        for (pointer, value) in *changes {
            *payload.pointer_mut(pointer).unwrap() = value.clone();
        }
        event.payload = payload.to_string();
        event.key = format!("key {n}");
        books.take(&[event]).await;
        let parked = books.parked().await;
        assert_eq!(parked.len(), n + 1, "{line} {changes:?}");
        assert!(parked[n].contains(why), "{line} {changes:?}: {}", parked[n]);
    }
    let garbage = Event { payload: "{".into(), key: "garbage".into(), ..books.event("2024-03-05 krw hold z 1") };
    let foreign = Event { event_type: "rain.v1".into(), key: "rain".into(), ..books.event("2024-03-05 krw hold z 1") };
    books.take(&[garbage, foreign]).await;
    assert_eq!(books.parked().await.len(), cases.len() + 2);
    assert_eq!(books.journals("").await, "", "nothing of them stands");
    assert_eq!(books.proof().await.breaks, 0);
}

#[tokio::test]
async fn a_parked_posting_holds_back_its_account_until_it_is_driven_again() {
    let books = books().await;
    let mut events: Vec<Event> =
        ["krw credit a 100 cash", "krw debit a 30 cash", "krw credit b 5 cash", "krw transfer a b 20"]
            .map(|line| books.event(&format!("2024-03-05 {line}")))
            .to_vec();
    events[0].payload = events[0].payload.replace("cash", "gold");
    books.take(&events).await;
    assert_eq!(books.parked().await.len(), 3);
    assert_eq!(books.journals("").await, "KRW credit: customer_deposits C 5 cash D 5\n", "other accounts go on");

    let letters = books.get("dead-letters?state=parked").await;
    let path = format!("dead-letters/{}/redrive", letters["items"][1]["id"].as_str().unwrap());
    let (status, problem) = books.call("operator:kim", "POST", &path).await;
    assert_eq!((status, &problem["code"]), (422, &json!("REDRIVE_REJECTED")), "{problem}");
    assert_eq!(books.parked().await.len(), 3);
    // As if a new release knew the account.
    books.sql("UPDATE dead_letter SET payload = REPLACE(payload, 'gold', 'cash')").await;
    let (status, done) = books.call("operator:kim", "POST", &path).await;
    assert_eq!((status, &done["redriven"]), (200, &json!(3)), "{done}");
    assert_eq!(books.parked().await.len(), 0);
    assert_eq!(
        books.trial_balance("2024-03-05", "KRW").await,
        "cash 105 30 75 | 105 30\ncustomer_deposits 50 125 75 | 50 125\n"
    );
    assert_eq!(books.proof().await.breaks, 0);
}

/// A posting whose id is journaled already with other figures is a break to look at, not a repeat.
#[tokio::test]
async fn a_posting_that_comes_back_changed_is_parked() {
    let books = books().await;
    let event = books.event("2024-03-05 krw credit a 100 cash");
    books.take(std::slice::from_ref(&event)).await;
    let payload = event.payload.replace("\"amount\":100", "\"amount\":101");
    let changed = Event { id: books.event("2024-03-05 krw hold z 1").id, payload, ..event };
    books.take(&[changed]).await;
    let parked = books.parked().await;
    assert!(parked.len() == 1 && parked[0].contains("stands already, and otherwise"), "{parked:?}");
    assert_eq!(books.journals("").await, "KRW credit: customer_deposits C 100 cash D 100\n");
}

#[tokio::test]
async fn the_proof_sees_what_was_altered() {
    let alterations = [
        ("UPDATE journal SET packed = '2010C100 1010D99' WHERE kind = 'credit'", "debits are 99, credits are 100"),
        ("UPDATE journal SET packed = '2010C99 1010D99' WHERE kind = 'credit'", "its journals are (99, 0)"),
        ("UPDATE journal SET packed = '9999C100 1010D100' WHERE kind = 'credit'", "can't be read"),
        ("DELETE FROM journal WHERE kind = 'interest_tax'", "account 2310 of deposit-krw holds 830 KRW instead of 0"),
        ("UPDATE gl_total SET debits = debits + 1 WHERE code = 1010", "total of (1010, KRW"),
        ("DELETE FROM gl_total WHERE code = 1010", "is missing"),
        ("UPDATE tax_payment SET net = net + 1", "gross 5479 is not net and taxes, 5480"),
        ("DELETE FROM tax_payment", "account 2320 of deposit-krw holds 760 KRW instead of 0"),
        ("UPDATE tax_payment SET other_tax = 10, net = net - 10", "account 2340 of deposit-krw holds nothing"),
    ];
    for (sql, why) in alterations {
        let books = books().await;
        books.tell("2024-03-05 krw credit a 100 cash\n2024-03-05 krw interest a 5_479 760 70 0").await;
        assert_eq!(books.proof().await.breaks, 0);
        books.sql(sql).await;
        let told = books.proof().await.told;
        assert!(told.iter().any(|line| line.contains(why)), "{sql}: {told:?}");
    }
}

#[tokio::test]
async fn lists_go_on_by_cursor_and_wrong_calls_are_refused() {
    let books = books().await;
    let mut script = String::new();
    for n in 1..=5 {
        script += &format!("2024-03-05 krw credit a {n} cash\n2024-03-05 usd credit c {n} cash\n");
        script += &format!("2024-03-06 krw credit a 1{n} cash\n");
    }
    books.tell(&script).await;
    for query in ["", "business_date=2024-03-05", "business_date=2024-03-05&currency=USD"] {
        let all = books.journals(&format!("?limit=500&{query}")).await;
        for limit in [1, 2, 3, 7] {
            let (mut seen, mut cursor) = (String::new(), String::new());
            loop {
                let page = format!("?{query}&limit={limit}{cursor}").replace("?&", "?");
                seen += &books.journals(&page).await;
                match books.get(&format!("journals{page}")).await["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, all, "{query} by {limit}");
        }
    }
    let chart = books.get("chart").await;
    assert_eq!(
        chart["items"][0],
        json!({"code": "1010", "account": "cash", "name": "Cash", "class": "asset",
        "normal_side": "debit"})
    );
    #[rustfmt::skip]
    let cases = [
        ("customer:x", "journals", 403, "FORBIDDEN"),
        ("customer:x", "chart", 403, "FORBIDDEN"),
        ("customer:x", "trial-balance?date=2024-03-05&currency=KRW", 403, "FORBIDDEN"),
        ("customer:x", "tax-payments?date=2024-03-05", 403, "FORBIDDEN"),
        ("customer:x", "dead-letters", 403, "FORBIDDEN"),
        ("service:x", "journals?limit=501", 400, "INVALID_FIELD"),
        ("service:x", "journals?limit=-1", 400, "INVALID_FIELD"),
        ("service:x", "journals?business_date=2024-02-30", 400, "INVALID_FIELD"),
        ("service:x", "journals?currency=KRW", 400, "INVALID_FIELD"),
        ("service:x", "journals?day=2024-03-05", 400, "UNKNOWN_FIELD"),
        ("service:x", "journals?cursor=x", 400, "INVALID_CURSOR"),
        ("service:x", "journals/jrn_1", 404, "NOT_FOUND"),
        ("service:x", "journals/jrn_00000000000000000000000001", 404, "NOT_FOUND"),
        ("service:x", "trial-balance?date=2024-03-05", 400, "MISSING_FIELD"),
        ("service:x", "trial-balance?date=2024-03-05&currency=krw", 400, "INVALID_FIELD"),
        ("service:x", "tax-payments", 400, "MISSING_FIELD"),
        ("service:x", "nothing", 404, "NOT_FOUND"),
    ];
    for (who, path, status, code) in cases {
        let (got, problem) = books.call(who, "GET", path).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn the_document_tells_what_is_served() {
    let books = books().await;
    assert_eq!(books.stand.document_flaws().await, Vec::<String>::new());
    assert!(books.stand.document().await.unwrap().calls().count() > 10);
}
