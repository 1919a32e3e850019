//! Customers, accounts, products, and what restricts them.

use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount};
use jangbu_kernel::money::{Amount, Currency};
use serde_json::{Value, json};

use super::commands::refusal;
use super::{Shown, Words};
use crate::client::{FX, KRW, Said};
use crate::story::text::amount;
use crate::story::world::{Named, World};

const CUSTOMER_MARKS: [&str; 5] = ["deceased", "identity_theft", "kyc_expired", "sanctioned", "minor_restricted"];

pub(super) async fn customer(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let name = words.word("a name")?;
    let options = words.options(&["kind", "born"])?;
    let kind = if options.get("kind") == Some("corporation") { Kind::Corporation } else { Kind::Person };
    register(world, name, kind, options.get("born").unwrap_or("1990-01-02")).await?;
    Ok(Shown::default())
}

async fn register(world: &mut World, name: &str, kind: Kind, born: &str) -> Result<(), String> {
    let birth_date = born.parse().map_err(|e| format!("{e}"))?;
    let who = Register { name: name.to_owned(), birth_date, kind };
    let customer = world.caller("service")?.client.register(&world.keys.next(), &who).await.reply()?;
    world.auditor.registered(&customer);
    world.people.insert(name.to_owned(), customer.id);
    world.settle().await
}

pub(super) async fn account(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let name = words.word("a name")?;
    let currency: Currency = words.word("a currency")?.parse().map_err(|e| format!("{e}"))?;
    let money = words.number().map_or(Ok(0), |text| amount(text, currency))?;
    let options = words.options(&["product", "by"])?;
    let owner = name.split('.').next().unwrap_or(name);
    if !world.people.contains_key(owner) {
        register(world, owner, Kind::Person, "1990-01-02").await?;
    }
    let instance = if currency == Currency::KRW { KRW } else { FX };
    let usual = format!("fx-{}", currency.code().to_lowercase());
    let usual = if instance == KRW { "toss-demand" } else { &usual };
    let product = options.get("product").unwrap_or(usual).to_owned();
    let opening = OpenAccount { customer: world.people[owner], product, currency: Some(currency) };
    let client = world.caller(options.get("by").unwrap_or("service"))?.client;
    let account = match client.deposit(instance).open(&world.keys.next(), &opening).await.said {
        Said::Reply(account) => account,
        Said::Problem(problem) => return Ok(refusal(&problem, currency, false)),
        Said::Unknown(why) => return Err(why),
    };
    world.auditor.opened(instance, &account);
    let named = Named { id: account.id, instance, currency, owner: owner.to_owned() };
    world.accounts.insert(name.to_owned(), named);
    if money > 0 {
        let amount = Amount::new(money).map_err(|e| format!("{e}"))?;
        let credit = Command::Credit { account: account.id, amount, source: "cash".to_owned(), memo: None };
        world.caller("service")?.post(instance, &world.keys.next(), &credit).await.reply()?;
    }
    Ok(Shown::new("opened"))
}

pub(super) async fn product(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let (code, currency) = (words.word("a code")?, words.word("a currency")?);
    let currency: Currency = currency.parse().map_err(|e| format!("{e}"))?;
    let known = ["from", "tier", "rest", "transaction", "day", "month", "rounding", "count", "corporations"];
    let options = words.options(&known)?;
    let mut tiers = Vec::new();
    for (_, tier) in options.0.iter().filter(|(name, _)| *name == "tier") {
        let (top, rate) = tier.split_once('@').ok_or("a tier is written AMOUNT@RATE")?;
        tiers.push(json!({ "up_to": amount(top, currency)?, "rate": rate }));
    }
    tiers.push(json!({ "up_to": null, "rate": options.get("rest").unwrap_or("0") }));
    let mut limits = serde_json::Map::new();
    for limit in ["transaction", "day", "month"] {
        if let Some(max) = options.get(limit) {
            limits.insert(limit.to_owned(), json!(amount(max, currency)?));
        }
    }
    let mut terms = json!({
        "code": code, "name": code, "kind": "demand", "currency": currency.code(),
        "from": options.get("from").ok_or("from is missing")?, "tiers": tiers, "limits": limits,
    });
    for (option, field) in [("rounding", "rounding"), ("count", "day_count")] {
        if let Some(value) = options.get(option) {
            terms[field] = Value::from(value);
        }
    }
    if let Some(value) = options.get("corporations") {
        terms["corporations"] = Value::from(value == "yes");
    }
    let instance = if currency == Currency::KRW { KRW } else { FX };
    let client = world.caller("operator")?.client;
    match client.deposit(instance).put_product(code, &terms).await.said {
        Said::Reply(kept) => world.auditor.product(instance, &kept).map(|()| Shown::new("offered")),
        Said::Problem(problem) => Ok(refusal(&problem, currency, false)),
        Said::Unknown(why) => Err(why),
    }
}

pub(super) async fn mark(world: &mut World, mut words: Words<'_>, on: bool) -> Result<Shown, String> {
    let (name, mark) = (words.word("a name")?, words.word("a mark")?);
    let operator = world.caller("operator")?.client;
    if CUSTOMER_MARKS.contains(&mark) {
        let id = *world.people.get(name).ok_or_else(|| format!("nobody is called {name}"))?;
        let shown = operator.mark_customer(id, mark, on).await.reply()?;
        if shown.marks.iter().any(|m| m == mark) != on {
            return Err(format!("the marks are {:?}", shown.marks));
        }
        world.auditor.customer_marked(id, mark, on);
    } else {
        let account = world.account(name)?;
        operator.deposit(account.instance).mark(account.id, mark, on).await.reply()?;
        world.auditor.account_marked(account.id, mark, on);
    }
    world.settle().await.map(|()| Shown::default())
}

pub(super) async fn close(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let options = words.options(&["by"])?;
    let client = world.caller(options.get("by").unwrap_or("service"))?.client;
    let answer = client.deposit(account.instance).close(account.id, &world.keys.next()).await;
    match answer.said {
        Said::Reply(closed) => {
            world.auditor.closed(account.id, None);
            Ok(Shown::new(&closed.status))
        }
        Said::Problem(problem) => {
            if problem.status == 422 {
                world.auditor.closed(account.id, Some(&problem.code));
            }
            Ok(refusal(&problem, account.currency, false))
        }
        Said::Unknown(why) => Err(why),
    }
}
