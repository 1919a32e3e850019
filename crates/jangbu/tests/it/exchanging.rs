//! Foreign exchange in a real browser: a board that one operator publishes, one that takes two, and a customer who looks at
//! prices, asks for a quote and exchanges by it.

use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount};
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Amount;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_sim::client::{Client, FX, KRW};

use crate::browser::looks_well;
use crate::chromium::Chromium;
use crate::running::{Running, manual, up};

/// A customer with twenty million won, and an account in dollars with nothing in it.
async fn customer(client: &Client) -> (CustomerId, AccountId, AccountId) {
    let who = Register { name: "Hong Gildong".into(), birth_date: "1990-03-01".parse().unwrap(), kind: Kind::Person };
    let customer = client.register("c", &who).await.reply().unwrap().id;
    let opening = |product: &str| OpenAccount { customer, product: product.into(), currency: None };
    let won = client.deposit(KRW).open("a", &opening("toss-demand")).await.reply().unwrap().id;
    let usd = client.deposit(FX).open("b", &opening("fx-usd")).await.reply().unwrap().id;
    let amount = Amount::new(20_000_000).unwrap();
    let credit = Command::Credit { account: won, amount, source: "cash".into(), memo: None };
    client.deposit(KRW).post("p", &credit).await.reply().unwrap();
    (customer, won, usd)
}

/// One who uses the pages.
struct Hand {
    browser: Chromium,
    page: String,
}

impl Hand {
    /// Logs in with a token, whoever was logged in before.
    fn log_in(&mut self, token: &str, then: &str) {
        self.browser.go(&format!("{}login", self.page));
        self.fill("textarea[name=token]", token);
        self.press("form[action='/login'] button");
        self.browser.until(&format!("location.pathname === '{then}' && document.readyState === 'complete'"));
    }

    fn go(&mut self, path: &str) {
        let url = format!("{}{path}", self.page);
        self.browser.go(&url);
    }

    fn fill(&mut self, selector: &str, text: &str) {
        self.browser.value(&format!("document.querySelector({selector:?}).value = {text:?}"));
    }

    fn press(&mut self, selector: &str) {
        self.browser.value(&format!("window.left = true; document.querySelector({selector:?}).click()"));
    }

    /// Presses what leads to another page, and waits until that says something.
    fn press_until(&mut self, selector: &str, says: &str) {
        self.press(selector);
        let says =
            format!("!window.left && document.readyState === 'complete' && document.body.innerText.includes({says:?})");
        self.browser.until(&says);
    }

    fn has(&mut self, selector: &str, text: &str) {
        self.browser.until(&format!("document.querySelector({selector:?})?.innerText.includes({text:?})"));
    }

    /// Puts a line into the form of a new board.
    fn line(&mut self, currency: &str, prices: [&str; 3]) {
        for (name, price) in ["mid", "tts", "ttb"].into_iter().zip(prices) {
            self.fill(&format!("input[name='{currency}.{name}']"), price);
        }
    }
}

async fn operators(hand: &mut Hand, bank: &Running) {
    let (kim, lee) = (bank.tokens()(Role::Operator, "kim").unwrap(), bank.tokens()(Role::Operator, "lee").unwrap());
    hand.log_in(&kim, "/");
    hand.press_until("nav.pages a[href='/exchange']", "No board has been published yet");
    hand.press_until(".go a", "A new board");
    hand.line("USD", ["1266.62", "1288.78", "1244.46"]);
    hand.line("JPY", ["905.17", "x", "889.33"]);
    hand.press_until("form[action='/exchange/board'] button", "100 JPY, customers buy:");
    assert_eq!(
        hand.browser.value("document.querySelector('input[name=\"USD.mid\"]').value"),
        "1266.62",
        "nothing is lost"
    );
    looks_well(&mut hand.browser, "board");
    assert_eq!(hand.browser.errors().len(), 1, "that it was told 400");
    hand.fill("input[name='JPY.tts']", "921.01");
    hand.press_until("form[action='/exchange/board'] button", "The board is published.");
    hand.has("[data-part=prices]", "1288.78");

    // A price that jumps waits for somebody else.
    hand.go("exchange/board");
    hand.line("USD", ["1500.00", "1520.00", "1480.00"]);
    hand.fill("#reason", "a new war");
    hand.press_until("form[action='/exchange/board'] button", "The board waits for a second person.");
    hand.has("[data-part=approvals]", "base 1266.62 \u{2192} 1500.00");
    looks_well(&mut hand.browser, "exchange");
    assert_eq!(hand.browser.errors(), Vec::<String>::new());
    hand.fill("[data-part=approvals] input[name=reason]", "I am sure");
    hand.press_until("[data-part=approvals] button[value=approve]", "A second person is needed");
    assert_eq!(hand.browser.errors().len(), 1, "that it was told 403");
    hand.has("[data-part=prices]", "1266.62");
    hand.log_in(&lee, "/");
    hand.go("exchange");
    hand.has("[data-part=approvals]", "USD tts goes from 1288.78 to 1520.00; USD ttb");
    hand.fill("[data-part=approvals] input[name=reason]", "so it is everywhere");
    hand.press_until("[data-part=approvals] button[value=approve]", "Approved, and done.");
    hand.has("[data-part=prices]", "1520.00");
    hand.has("[data-part=approvals]", "Nothing.");
    assert_eq!(hand.browser.value("document.querySelector('#state').innerText"), "live");
}

async fn customers(hand: &mut Hand, bank: &Running, clock: &mut Timestamp) {
    let operator = bank.client(Role::Operator, "kim").unwrap();
    let (customer, won, usd) = self::customer(&operator).await;
    let token = bank.tokens()(Role::Customer, &customer.to_string()).unwrap();
    hand.log_in(&token, "/my");
    let drawn = hand.browser.value("document.querySelector('svg.chart .mid').getAttribute('d')");
    assert!(drawn.as_str().unwrap().matches('V').count() == 1, "two boards are one step: {drawn}");
    hand.has("section:has(#accounts)", "20,000,000 KRW");
    hand.has("section:has(#history)", "not exchanged anything yet");
    let link = "a[href='/my?currency=JPY&span=day']";
    hand.press_until(link, "won for 100 JPY");
    hand.fill("input[name=amount]", "100.001");
    hand.browser.value("document.querySelector('select[name=currency]').value = 'USD'");
    hand.press_until("form[action^='/my/quote'] button", "at most 2 digits");
    assert_eq!(hand.browser.errors().len(), 1, "that it was told 400");
    hand.fill("input[name=amount]", "1,000.00");
    hand.press_until("form[action^='/my/quote'] button", "You pay 1,520,000 KRW and get 1,000.00 USD");
    looks_well(&mut hand.browser, "my");
    // Sent twice, it is carried out once.
    hand.browser.value(
        "fetch('/my/exchange', {method: 'POST', body: new URLSearchParams(new FormData(document.querySelector(\"form[action='/my/exchange']\")))}).then((a) => a.status)",
    );
    hand.press_until(
        "form[action='/my/exchange'] button",
        "Done: you bought 1,000.00 USD for 1,520,000 KRW at 1520.00",
    );
    hand.has("section:has(#accounts)", "18,480,000 KRW");
    hand.has("section:has(#accounts)", "1,000.00 USD");
    hand.has("section:has(#history)", "Exchange succeeded");
    hand.has("main", "8,480,000 KRW may be exchanged today, anew from 2026-01-03 09:00:00");
    assert_eq!(hand.browser.value("document.querySelectorAll('section:has(#history) ul.rows > li').length"), 1);
    let balances = (operator.deposit(KRW).account(won).await, operator.deposit(FX).account(usd).await);
    let (won, usd) = (balances.0.reply().unwrap().ledger_balance, balances.1.reply().unwrap().ledger_balance);
    assert_eq!((won, usd), (18_480_000, 100_000));

    // A quote that has expired moves nothing.
    hand.fill("input[name=amount]", "1");
    hand.press_until("form[action^='/my/quote'] button", "You pay 1,520 KRW and get 1.00 USD");
    assert_eq!(hand.browser.errors(), Vec::<String>::new());
    *clock = clock.plus_micros(60_000_000);
    operator.move_clock(*clock).await.reply().unwrap();
    hand.press_until("form[action='/my/exchange'] button", "The quote has expired");
    assert_eq!(hand.browser.errors().len(), 1, "that it was told 422");
    hand.has("section:has(#accounts)", "18,480,000 KRW");
    // What is not his is not there.
    hand.go("exchange");
    assert_eq!(hand.browser.value("location.pathname"), "/my");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_takes_one_or_two_and_a_customer_exchanges_by_it() {
    if std::env::var_os("JANGBU_SKIP_BROWSER").is_some() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut now: Timestamp = "2026-01-02T10:00:00+09:00".parse().unwrap();
    let clock = manual(now);
    let args: Vec<&str> = clock.iter().map(String::as_str).collect();
    let bank = Running::start(&mut up(&dir, &args), &dir).unwrap();
    let line = bank.says("/login?code=").await;
    let page = line[line.find("http://").unwrap()..].split("login").next().unwrap().to_owned();
    let mut hand = Hand { browser: Chromium::start(home.path()), page };
    operators(&mut hand, &bank).await;
    now = now.plus_micros(1_000_000);
    bank.client(Role::Operator, "kim").unwrap().move_clock(now).await.reply().unwrap();
    customers(&mut hand, &bank, &mut now).await;
    // The operators see it as well.
    hand.log_in(&bank.tokens()(Role::Operator, "lee").unwrap(), "/");
    hand.go("exchange?state=EXCHANGE_SUCCEEDED");
    hand.has("section:has(#list)", "buys 1,000.00 USD for 1,520,000 KRW at 1520.00");
    hand.has("section:has(#list)", "Withdraw succeeded");
}
