//! Looks at accounts.

use jangbu_contracts::deposit::Side;

use super::{Shown, Words};
use crate::client::Said;
use crate::story::text::shown;
use crate::story::verbs::commands::refusal;
use crate::story::world::World;

pub(super) async fn balance(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let options = words.options(&["by"])?;
    let client = world.caller(options.get("by").unwrap_or(&account.owner))?.client;
    let money = |minor| shown(minor, account.currency);
    match client.deposit(account.instance).account(account.id).await.said {
        Said::Reply(a) => Ok(Shown::new(&money(a.ledger_balance))
            .with("held", money(a.held))
            .with("available", money(a.available_balance))
            .with("serial", a.last_serial)
            .with("status", a.status)),
        Said::Problem(problem) => Ok(refusal(&problem, account.currency, false)),
        Said::Unknown(why) => Err(why),
    }
}

pub(super) async fn entries(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let options = words.options(&["after", "limit", "by"])?;
    let number = |name, default: u32| options.get(name).map_or(Ok(default), str::parse);
    let (after, limit) = (number("after", 0), number("limit", 500));
    let (after, limit) = (after.map_err(|e| e.to_string())?, limit.map_err(|e| e.to_string())?);
    let client = world.caller(options.get("by").unwrap_or(&account.owner))?.client;
    let page = client.deposit(account.instance).entries(account.id, u64::from(after), limit).await.reply()?;
    let sign = |side| if side == Side::Credit { '+' } else { '-' };
    let entry =
        |e: &jangbu_contracts::deposit::AccountEntry| format!("{}{}", sign(e.side), shown(e.amount, account.currency));
    Ok(Shown { main: page.items.iter().map(entry).collect(), more: Vec::new() })
}

pub(super) async fn days(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let options = words.options(&["from", "to"])?;
    let range = |name: &str| options.get(name).map(|day| format!("{name}={day}"));
    let range = [range("from"), range("to")].into_iter().flatten().collect::<Vec<_>>().join("&");
    let client = world.caller(&account.owner)?.client;
    let page = client.deposit(account.instance).days(account.id, &range).await.reply()?;
    let main = page.items.iter().flat_map(|d| [d.date.to_string(), shown(d.closing, account.currency)]);
    Ok(Shown { main: main.collect(), more: Vec::new() })
}

pub(super) async fn screen(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let options = words.options(&["by"])?;
    let client = world.caller(options.get("by").unwrap_or(&account.owner))?.client;
    let money = |minor| shown(minor, account.currency);
    let screen = match client.screen(account.id).await.said {
        Said::Reply(screen) => screen,
        Said::Problem(problem) => return Ok(refusal(&problem, account.currency, false)),
        Said::Unknown(why) => return Err(why),
    };
    let shown = Shown::new(&money(screen.account.ledger_balance)).with("held", money(screen.account.held));
    let Some(today) = screen.interest else { return Ok(shown) };
    Ok(shown
        .with("on", today.as_of)
        .with("gross", money(today.preview.gross))
        .with("net", money(today.preview.net))
        .with("from", today.preview.from)
        .with("to", today.preview.to))
}

pub(super) async fn preview(world: &mut World, mut words: Words<'_>) -> Result<Shown, String> {
    let account = world.account(words.word("an account")?)?;
    let client = world.caller(&account.owner)?.client;
    let p = client.deposit(account.instance).interest(account.id).await.reply()?;
    let money = |minor| shown(minor, account.currency);
    Ok(Shown::new("due")
        .with("gross", money(p.gross))
        .with("tax", money(p.income_tax + p.local_tax + p.other_tax))
        .with("income", money(p.income_tax))
        .with("local", money(p.local_tax))
        .with("net", money(p.net))
        .with("from", p.from)
        .with("to", p.to)
        .with("periods", p.periods.len()))
}
