//! The bank's page in a real browser: logging in, seeing the bank live, light and dark, on a phone.
//!
//! `JANGBU_SKIP_BROWSER=1` skips it where there is no Chromium; `JANGBU_PICTURES=DIR` keeps pictures of the page.

use std::path::Path;
use std::sync::Arc;

use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount, PostingRecordedV1};
use jangbu_contracts::topics;
use jangbu_kernel::id::{AccountId, EventId};
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Event;
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_sim::client::{Client, KRW};

use crate::chromium::Chromium;
use crate::running::{Running, manual, up};

/// Least contrast of text with what is behind it, in hundredths (WCAG 2.2, 1.4.3).
const CONTRAST_MIN: u64 = 450;

/// The lowest contrast of any text on the page, in hundredths, and what is written there.
const LOWEST_CONTRAST: &str = r"(() => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const color = rgb(getComputedStyle(element).backgroundColor);
    return color.length > 3 && color[3] === 0 ? behind(element.parentElement) : color;
  };
  let lowest = [2100, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest('svg') || !element.getClientRects().length) continue;
    const pair = [light(rgb(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = Math.round(100 * (pair[0] + 0.05) / (pair[1] + 0.05));
    if (contrast < lowest[0]) lowest = [contrast, element.innerText];
  }
  return lowest;
})()";

/// A customer's account with 2,000,000 won in it.
async fn account(client: &Client) -> AccountId {
    let who = Register { name: "Hong Gildong".into(), birth_date: "1990-03-01".parse().unwrap(), kind: Kind::Person };
    let customer = client.register("c", &who).await.reply().unwrap().id;
    let opening = OpenAccount { customer, product: "toss-demand".into(), currency: None };
    let account = client.deposit(KRW).open("a", &opening).await.reply().unwrap().id;
    let amount = Amount::new(2_000_000).unwrap();
    let credit = Command::Credit { account, amount, source: "cash".into(), memo: Some("for Hong Gildong".into()) };
    client.deposit(KRW).post("p", &credit).await.reply().unwrap();
    account
}

/// An event in the log that nobody can take, told before the bank opens.
async fn poison(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let log = Log::open_embedded(&dir.join("log.db"), Arc::new(RealClock), Dice::seeded(1)).await.unwrap();
    let (topic, key) = (topics::postings(KRW), "acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2F".to_owned());
    let (event_type, payload) = (PostingRecordedV1::TYPE.to_owned(), "{}".to_owned());
    log.append(&[Event { id: EventId::from_parts(1, 1), topic, key, event_type, payload }]).await.unwrap();
}

/// The page as it must look for everybody: readable, nothing sticking out.
pub fn looks_well(browser: &mut Chromium, name: &str) {
    let mut papers = Vec::new();
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")] {
        browser.dress(width, scheme);
        let lowest = browser.value(LOWEST_CONTRAST);
        assert!(lowest[0].as_u64().unwrap() >= CONTRAST_MIN, "{name} {scheme}: {lowest}");
        let wide = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{name} is {wide} wide on {width}");
        papers.push(browser.value("getComputedStyle(document.body).backgroundColor"));
        browser.picture(&format!("{name}-{width}-{scheme}"));
    }
    assert_ne!(papers[0], papers[1], "light and dark differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_living_bank() {
    if std::env::var_os("JANGBU_SKIP_BROWSER").is_some() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    poison(&dir).await;
    let clock = manual("2026-01-01T10:00:00+09:00".parse().unwrap());
    let args: Vec<&str> = clock.iter().map(String::as_str).collect();
    let mut bank = Running::start(&mut up(&dir, &args), &dir).unwrap();
    let line = bank.says("/login?code=").await;
    let link = line[line.find("http://").unwrap()..].to_owned();
    let page = link.split("login").next().unwrap().to_owned();
    let client = bank.client(Role::Operator, "kim").unwrap();
    let mut browser = Chromium::start(home.path());

    browser.go(&page);
    assert_eq!(browser.value("document.querySelectorAll('[data-part]').length"), 0, "nobody gets in without a session");
    browser.until("document.querySelector('textarea[name=token]') === document.activeElement");
    looks_well(&mut browser, "login");
    browser.errors(); // that it was told 401 is one

    browser.go(&link);
    browser.until("location.pathname === '/' && document.querySelector('#state')?.innerText === 'live'");
    assert!(browser.text("[data-part=verdict]").contains("Nothing has been posted yet"));
    browser.value("window.same = true");
    let account = account(&client).await;
    browser.until("document.querySelector('[data-part=books]').innerText.includes('2,000,000')");
    assert!(browser.text("[data-part=verdict]").contains("The books balance"));
    browser.until("document.querySelector('[data-part=events]').innerText.includes('credit')");
    browser.until("/Customers\\s+1\\b/.test(document.querySelector('[data-part=counts]').innerText)");
    let seen = browser.text("body");
    assert!(!seen.contains("Gildong") && !seen.contains(&account.to_string()), "{seen}");

    assert!(browser.text("[data-part=clock]").contains("2026-01-01"));
    browser.value("document.querySelector('[data-post=\"/sim/v1/clock\"]').click()");
    browser.until("document.querySelector('[data-part=clock]').innerText.includes('Friday 2026-01-02')");
    browser.until("document.querySelector('#said').innerText === 'The bank is a day on.'");
    assert_eq!(client.deposit(KRW).claim(account, "i").await.reply().unwrap().net, 99);
    browser.until("document.querySelector('[data-part=counts]').innerText.includes('99 KRW')");
    browser.until("document.querySelector('[data-part=books]').innerText.includes('has the same for customers')");
    browser.until("document.querySelector('[data-part=parked]').innerText.includes('1 event parked')");
    looks_well(&mut browser, "bank");
    assert_eq!(browser.errors(), Vec::<String>::new());
    browser.value("document.querySelector('[data-part=parked] button').click()");
    browser.until("document.querySelector('#said').innerText.includes('rejected again')");
    assert_eq!(browser.value("window.same"), true, "it was the same page all the time");

    browser.go(&format!("{page}docs/codes/INSUFFICIENT_AVAILABLE"));
    assert!(browser.text("article").to_lowercase().contains("what to do"));
    looks_well(&mut browser, "code");
    browser.go(&page);
    browser.until("document.querySelector('#state')?.innerText === 'live'");
    browser.value("document.querySelector('form[action=\"/logout\"] button').click()");
    browser.until("document.querySelector('textarea[name=token]') !== null");
    browser.go(&link);
    assert!(browser.text("[role=alert]").contains("each logs in once"));

    let token = std::fs::read_to_string(dir.join("operator.token")).unwrap();
    browser.value(&format!("document.querySelector('textarea').value = {token:?}"));
    browser.value("document.querySelector('form[action=\"/login\"] button').click()");
    browser.until("document.querySelector('#state')?.innerText === 'live'");
    assert!(bank.terminate().unwrap().success(), "a page that listens does not keep the bank from ending");
    browser.until("document.querySelector('#state').dataset.is === 'lost'");
}
