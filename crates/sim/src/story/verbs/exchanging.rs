//! Boards, quotes and exchanges.

use std::time::Duration;

use http::Method;
use jangbu_contracts::deposit::Command;
use jangbu_contracts::exchange::{
    AmountIn, AskExchange, AskQuote, BoardRate, Exchange, Limits, PutRates, Quote, Rates, Side,
};
use jangbu_contracts::operators::{Accepted, Approval, Decide, Decision};
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::SagaId;
use jangbu_kernel::money::{Amount, Currency};
use jangbu_platform::auth::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::commands::refusal;
use super::{Shown, Words};
use crate::auditor::{Heard, Key};
use crate::client::{Answer, Client, FX, KRW, Said};
use crate::model::rules::What;
use crate::story::text::{amount, shown};
use crate::story::world::World;

/// Looks for the giving back of a withdrawal at most, and the time between them.
const LOOKS_MAX: u32 = 500;
const LOOK_EVERY: Duration = Duration::from_millis(10);

async fn send<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: &impl Serialize,
) -> Answer<T> {
    let body = serde_json::to_vec(body).expect("wire types are written as JSON");
    client.call(method, &format!("/exchange/v1{path}"), key, Some(body)).await
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, String> {
    client.call(Method::GET, &format!("/exchange/v1{path}"), None, None).await.reply()
}

/// A refusal; of a limit with which one it is and when it begins anew.
fn refused(problem: &Problem, replay: bool) -> Shown {
    let mut shown = refusal(problem, Currency::KRW, replay);
    if let Some((limit, resets)) = problem.detail.split_once("; it resets at ") {
        let span = if limit.contains(" won a month") { "month" } else { "day" };
        shown = shown.with("limit", span).with("resets", resets);
    }
    shown
}

/// `board CURRENCY MID TTS TTB …`: publishes all lines at once.
pub(super) async fn board(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let mut rates = Vec::new();
    while !words.words.is_empty() {
        let currency: Currency = words.word("a currency")?.parse().map_err(|e| format!("{e}"))?;
        let unit = if ["JPY", "IDR", "VND"].contains(&currency.code()) { 100 } else { 1 };
        let mut price = |what| -> Result<_, String> { words.word(what)?.parse().map_err(|e| format!("{e}")) };
        let (mid, tts, ttb) = (price("a base price")?, price("a selling price")?, price("a buying price")?);
        rates.push(BoardRate { currency, unit, mid, tts, ttb });
    }
    let client = world.caller("operator")?.client;
    let put = PutRates { rates, reason: Some("as told".to_owned()) };
    let answer = send::<Value>(&client, Method::PUT, "/rates", None, &put).await;
    match (answer.said, answer.status) {
        (Said::Reply(asked), 202) => {
            let asked: Accepted = serde_json::from_value(asked).map_err(|e| e.to_string())?;
            world.approval = Some(asked.approval);
            Ok(Shown::new("waits"))
        }
        (Said::Reply(board), _) => {
            let board: Rates = serde_json::from_value(board).map_err(|e| e.to_string())?;
            Ok(Shown::new("published").with("round", board.round))
        }
        (Said::Problem(problem), _) => Ok(refused(&problem, false)),
        (Said::Unknown(why), _) => Err(why),
    }
}

/// `approve by OPERATOR`: what waited last.
pub(super) async fn approve(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let options = words.options(&["by"])?;
    let id = world.approval.ok_or("nothing waits for a second person")?;
    let client = world.teller(Role::Operator, options.get("by").unwrap_or("another"))?.client;
    let body = Decide { decision: Decision::Approve, reason: "as told".to_owned() };
    match send::<Approval>(&client, Method::POST, &format!("/approvals/{id}"), None, &body).await.said {
        Said::Reply(approval) => Ok(Shown::new(&approval.state)),
        Said::Problem(problem) => Ok(refused(&problem, false)),
        Said::Unknown(why) => Err(why),
    }
}

/// `quote WHO buy|sell CURRENCY AMOUNT [in krw] [by WHO] [as NAME]`
pub(super) async fn quote(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let who = words.word("who")?;
    let side = match words.word("buy or sell")? {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        other => return Err(format!("{other} is neither buy nor sell")),
    };
    let currency: Currency = words.word("a currency")?.parse().map_err(|e| format!("{e}"))?;
    let text = words.word("an amount")?;
    let options = words.options(&["in", "by", "as"])?;
    let (amount_in, of) = match options.get("in") {
        Some("krw") => (AmountIn::Krw, Currency::KRW),
        _ => (AmountIn::Foreign, currency),
    };
    let amount = Amount::new(amount(text, of)?).map_err(|e| format!("{e}"))?;
    let customer = *world.people.get(who).ok_or_else(|| format!("nobody is called {who}"))?;
    let ask = AskQuote { customer, side, currency, amount, amount_in, campaign: None };
    let client = world.caller(options.get("by").unwrap_or(who))?.client;
    match send::<Quote>(&client, Method::POST, "/quotes", None, &ask).await.said {
        Said::Reply(quote) => {
            let told = Shown::new("quoted")
                .with("rate", quote.rate)
                .with("foreign", shown(quote.foreign, currency))
                .with("won", shown(quote.krw, Currency::KRW));
            world.quotes.insert(options.get("as").unwrap_or(who).to_owned(), (quote, who.to_owned()));
            Ok(told)
        }
        Said::Problem(problem) => Ok(refused(&problem, false)),
        Said::Unknown(why) => Err(why),
    }
}

/// `exchange QUOTE WON_ACCOUNT FOREIGN_ACCOUNT [by WHO] [key K]`
pub(super) async fn exchange(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let name = words.word("a quote")?;
    let (won, foreign) = (words.word("an account in won")?, words.word("an account in a currency")?);
    let options = words.options(&["by", "key"])?;
    let (quote, who) = world.quotes.get(name).cloned().ok_or_else(|| format!("there is no quote {name}"))?;
    let (krw_account, fx_account) = (world.account(won)?.id, world.account(foreign)?.id);
    let ask = AskExchange { quote: quote.id, krw_account, fx_account };
    let key = options.get("key").map_or_else(|| world.keys.next(), str::to_owned);
    let client = world.caller(options.get("by").unwrap_or(&who))?.client;
    let answer = send::<Exchange>(&client, Method::POST, "/exchanges", Some(&key), &ask).await;
    let exchange = match answer.said {
        Said::Reply(exchange) => exchange,
        Said::Problem(problem) => return Ok(refused(&problem, answer.replay)),
        Said::Unknown(why) => return Err(why),
    };
    if !answer.replay {
        world.exchanged = true;
        tell(world, &exchange).await?;
    }
    let mut told = ended(&exchange);
    told.main.extend(answer.replay.then(|| "again".to_owned()));
    Ok(told.with("rate", exchange.rate))
}

fn ended(exchange: &Exchange) -> Shown {
    let code = exchange.failure.as_ref().map_or("", |failure| failure.code.as_str());
    match exchange.state.as_str() {
        "EXCHANGE_SUCCEEDED" => Shown::new("succeeded"),
        "EXCHANGE_FAILED" => Shown::new(&format!("failed {code}")),
        other => Shown::new(&format!("pending {other} {code}")),
    }
}

/// Has the auditor hear of what the exchange service asked of the books, under its own keys.
async fn tell(world: &mut World, exchange: &Exchange) -> Result<(), String> {
    let teller = world.teller(Role::Service, "exchange")?;
    let money = |minor| Amount::new(minor).map_err(|e| format!("{e}"));
    let won = (KRW, exchange.krw_account, money(exchange.krw)?);
    let foreign = (FX, exchange.fx_account, money(exchange.foreign)?);
    let (from, to) = if exchange.side == Side::Buy { (won, foreign) } else { (foreign, won) };
    let (bank, memo) = ("exchange".to_owned(), Some(format!("exchange {}", exchange.id)));
    let saga = SagaId::from_bytes(exchange.id.to_bytes());
    let begin = |instance: &str, step: &str, command| {
        let key = format!("{saga}:{step}");
        let name = Key { instance: instance.to_owned(), caller: teller.name.clone(), key: key.clone() };
        let ticket = world.auditor.begin(name, What::Post(command));
        world.auditor.end(&ticket, Heard::Nothing, None); // its answer went to the exchange service
        key
    };
    let withdraw = Command::Debit { account: from.1, amount: from.2, target: bank.clone(), memo: memo.clone() };
    let key = begin(from.0, "withdraw", withdraw);
    let Some(Ok(withdrawal)) = teller.ask(from.0, &key).await? else { return Ok(()) };
    let key = begin(to.0, "deposit", Command::Credit { account: to.1, amount: to.2, source: bank, memo });
    let Some(Err(problem)) = teller.ask(to.0, &key).await? else { return Ok(()) };
    // It is given back.
    let reason = format!("exchange {} failed: {}", exchange.id, problem.code);
    let key = begin(from.0, "cancel", Command::Reversal { posting: withdrawal.id, reason });
    for _ in 0..LOOKS_MAX {
        if teller.ask(from.0, &key).await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("{} was never given back", withdrawal.id))
}

/// `exchanges WHO`: how they ended, newest first. What is due is carried on beside the clock: that is waited for.
pub(super) async fn exchanges(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let client = world.caller(words.word("who")?)?.client;
    for looks in 1.. {
        let page: Page<Exchange> = get(&client, "/exchanges").await?;
        let main: Vec<String> = page.items.iter().flat_map(|exchange| ended(exchange).main).collect();
        if looks == LOOKS_MAX || main.iter().all(|word| word != "pending") {
            return Ok(Shown { main, more: Vec::new() });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    unreachable!("looks end")
}

/// `left WHO`: what may be exchanged on the day, and in the month.
pub(super) async fn left(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let who = words.word("who")?;
    let client = world.caller(who)?.client;
    let limits: Limits = get(&client, &format!("/limits/{}", world.people[who])).await?;
    let [day, month] = [&limits.day, &limits.month].map(|l| shown(l.limit - l.used - l.reserved, Currency::KRW));
    Ok(Shown::new(&day).with("month", month).with("resets", limits.day.resets_at))
}
