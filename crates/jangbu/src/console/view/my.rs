//! A customer's page, as HTML.

use std::fmt::Write as _;

use jangbu_contracts::deposit::Account;
use jangbu_contracts::exchange::{Exchange, Limit, Limits, Quote, RateHistory, Side};
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::{Timestamp, UtcOffset};

use super::exchange::{state, what};
use super::{Part, chart};
use crate::console::form::Form;
use crate::console::my::SPANS;
use crate::console::text::{Escaped, day_and_time, masked, money, time_of_day};

/// What a customer asked to see or to have, as it stands in his forms.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Currency of chart and quote.
    pub currency: Currency,
    /// Time of the chart: name and microseconds.
    pub span: (&'static str, i64),
    /// Where the list of exchanges goes on.
    pub cursor: Option<ExchangeId>,
    /// Buys or sells.
    sells: bool,
    /// The amount as typed.
    amount: String,
    /// Whether it is in won.
    in_won: bool,
}

impl Asked {
    /// Reads a query or a form; what is not there is as usual.
    #[must_use]
    pub fn read(form: &Form) -> Asked {
        let span = SPANS.into_iter().find(|(name, _)| *name == form.text("span")).unwrap_or(SPANS[1]);
        Asked {
            currency: form.text("currency").parse().unwrap_or(Currency::USD),
            span,
            cursor: form.text("cursor").parse().ok(),
            sells: form.text("side") == "sell",
            amount: form.text("amount").chars().take(32).collect(),
            in_won: form.text("in") == "krw",
        }
    }
}

/// A quote, and the key under which its form exchanges.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The quote.
    pub quote: Quote,
    /// The key.
    pub key: String,
}

/// What a customer sees.
#[derive(Clone, Debug)]
pub struct Mine {
    /// Who he is.
    pub customer: CustomerId,
    /// His accounts.
    pub own: Vec<Account>,
    /// His limits.
    pub limits: Limits,
    /// His exchanges.
    pub exchanges: Page<Exchange>,
    /// Currencies on the board.
    pub currencies: Vec<Currency>,
    /// Prices of the currency that he looks at.
    pub history: RateHistory,
    /// From when until when.
    pub range: (Timestamp, Timestamp),
    /// What he asked for.
    pub asked: Asked,
}

/// The parts of his page.
#[must_use]
pub fn parts(mine: &Mine, offer: Option<&Offer>) -> Vec<Part> {
    vec![
        ("who", masked(&mine.customer.to_string())),
        ("accounts", accounts(&mine.own)),
        ("limits", limits(&mine.limits)),
        ("choices", choices(mine)),
        ("chart", chart::chart(&mine.history, mine.range)),
        ("quote", quote(mine)),
        ("offer", offer.map_or_else(String::new, |offer| self::offer(mine, offer))),
        ("history", history(mine)),
    ]
}

fn accounts(own: &[Account]) -> String {
    if own.is_empty() {
        return "<p class=\"faint\">You have no accounts yet.</p>".to_owned();
    }
    let mut out = String::from("<ul class=\"rows\">");
    for account in own {
        let status =
            if account.status == "active" { String::new() } else { format!(" <b>{}</b>", Escaped(&account.status)) };
        let held = match account.held {
            0 => String::new(),
            held => format!(" <span class=\"faint\">{} held</span>", money(held, account.currency)),
        };
        let _ = write!(
            out,
            "<li><span class=\"name\">{number}{status}</span>{held} <span class=\"sum\">{balance} {currency}</span></li>",
            number = Escaped(&account.number),
            balance = money(account.ledger_balance, account.currency),
            currency = account.currency,
        );
    }
    out.push_str("</ul>");
    out
}

fn limits(limits: &Limits) -> String {
    let mut out = String::new();
    for (name, limit) in [("today", &limits.day), ("this month", &limits.month)] {
        let Limit { limit, used, reserved, resets_at } = limit;
        let left = money(limit - used - reserved, Currency::KRW);
        let resets = day_and_time(*resets_at, UtcOffset::SEOUL);
        let _ = write!(out, "<li>{left} KRW may be exchanged {name}, anew from {resets}</li>");
    }
    format!("<ul class=\"hint\">{out}</ul>")
}

/// Links to other charts.
fn choices(mine: &Mine) -> String {
    let mut out = String::from("<nav class=\"tabs\" aria-label=\"Currency\">");
    let current = |is: bool| if is { " aria-current=\"page\"" } else { "" };
    let Asked { currency: chosen, span: (span, _), .. } = mine.asked;
    for currency in &mine.currencies {
        let is = current(*currency == chosen);
        let _ = write!(out, "<a href=\"/my?currency={currency}&amp;span={span}\"{is}>{currency}</a> ");
    }
    out.push_str("</nav><nav class=\"tabs\" aria-label=\"Time\">");
    for (name, _) in SPANS {
        let _ = write!(out, "<a href=\"/my?currency={chosen}&amp;span={name}\"{}>{name}</a> ", current(name == span));
    }
    out.push_str("</nav>");
    out
}

fn option(value: &str, text: &str, chosen: bool) -> String {
    let selected = if chosen { " selected" } else { "" };
    format!("<option value=\"{}\"{selected}>{}</option>", Escaped(value), Escaped(text))
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", Escaped(value))
}

/// The form for a quote.
fn quote(mine: &Mine) -> String {
    if mine.currencies.is_empty() {
        return "<p class=\"faint\">Nothing is quoted now.</p>".to_owned();
    }
    let asked = &mine.asked;
    let currencies = mine.currencies.iter().map(|c| option(c.code(), c.code(), *c == asked.currency));
    format!(
        "<form method=\"post\" action=\"/my/quote#offer\" class=\"fields\">{span}\
         <label>I want to <select name=\"side\">{buy}{sell}</select></label>\
         <label>Currency <select name=\"currency\">{currencies}</select></label>\
         <label>Amount <input name=\"amount\" required inputmode=\"decimal\" autocomplete=\"off\" value=\"{amount}\"></label>\
         <label>Of <select name=\"in\">{foreign}{won}</select></label>\
         <button type=\"submit\" class=\"solid\">Ask for a quote</button></form>",
        span = hidden("span", asked.span.0),
        buy = option("buy", "buy", !asked.sells),
        sell = option("sell", "sell", asked.sells),
        currencies = currencies.collect::<String>(),
        amount = Escaped(&asked.amount),
        foreign = option("foreign", "the currency", !asked.in_won),
        won = option("krw", "won", asked.in_won),
    )
}

/// The quote, and the form that exchanges by it.
fn offer(mine: &Mine, offer: &Offer) -> String {
    let Quote { currency, rate, unit, foreign, krw, side, .. } = offer.quote;
    let (foreign, won) =
        (format!("{} {currency}", money(foreign, currency)), format!("{} KRW", money(krw, Currency::KRW)));
    let (pay, get) = if side == Side::Buy { (won, foreign) } else { (foreign, won) };
    let until = time_of_day(offer.quote.expires_at, UtcOffset::SEOUL);
    let terms = format!(
        "<p class=\"offered\">You pay <b>{pay}</b> and get <b>{get}</b></p>\
         <p class=\"faint\">At {rate} won for {unit} {currency}, until {until}.</p>"
    );
    let of = |currency: Currency| {
        let own = mine.own.iter().filter(move |a| a.currency == currency && a.closed_on.is_none());
        own.map(move |a| {
            let text = format!("{} with {} {currency}", a.number, money(a.available_balance, currency));
            option(&a.id.to_string(), &text, false)
        })
    };
    let (krw, fx) = (of(Currency::KRW).collect::<String>(), of(currency).collect::<String>());
    if krw.is_empty() || fx.is_empty() {
        return format!("{terms}<p class=\"alert\">You need an account in won and one in {currency} to exchange.</p>");
    }
    format!(
        "{terms}<form method=\"post\" action=\"/my/exchange\" class=\"fields\">{hidden}\
         <label>Account in won <select name=\"krw_account\">{krw}</select></label>\
         <label>Account in {currency} <select name=\"fx_account\">{fx}</select></label>\
         <button type=\"submit\" class=\"solid\">Exchange</button></form>",
        hidden = [
            hidden("quote", &offer.quote.id.to_string()),
            hidden("key", &offer.key),
            hidden("currency", currency.code()),
            hidden("span", mine.asked.span.0),
        ]
        .concat(),
    )
}

/// How an exchange ended that was just asked for.
#[must_use]
pub fn ended(exchange: &Exchange) -> String {
    let what = what(exchange).replacen("buys", "bought", 1).replacen("sells", "sold", 1);
    match (exchange.state.as_str(), &exchange.failure) {
        ("EXCHANGE_SUCCEEDED", _) => format!("<p class=\"said\" role=\"status\">Done: you {what}.</p>"),
        ("EXCHANGE_FAILED", Some(failure)) => format!(
            "<p class=\"alert\" role=\"alert\"><a href=\"/docs/codes/{code}\">{code}</a>: {detail}. Nothing was exchanged.</p>",
            code = Escaped(&failure.code),
            detail = Escaped(&failure.detail)
        ),
        (other, _) => {
            format!("<p class=\"said\" role=\"status\">It is under way: {}. Look again in a moment.</p>", state(other))
        }
    }
}

fn history(mine: &Mine) -> String {
    if mine.exchanges.items.is_empty() {
        return "<p class=\"faint\">You have not exchanged anything yet.</p>".to_owned();
    }
    let mut out = String::from("<ul class=\"rows\">");
    for exchange in &mine.exchanges.items {
        let class = match exchange.state.as_str() {
            "EXCHANGE_SUCCEEDED" => "good",
            "EXCHANGE_FAILED" => "bad",
            _ => "",
        };
        let failure = exchange.failure.as_ref().map_or_else(String::new, |failure| {
            format!(" <a class=\"code\" href=\"/docs/codes/{code}\">{code}</a>", code = Escaped(&failure.code))
        });
        let mut steps = String::new();
        for passage in &exchange.history {
            let at = time_of_day(passage.at, UtcOffset::SEOUL);
            let _ = write!(steps, "<li><span class=\"when\">{at}</span> <span>{}</span></li>", state(&passage.state));
        }
        let began = exchange.history.first().map_or_else(String::new, |p| day_and_time(p.at, UtcOffset::SEOUL));
        let _ = write!(
            out,
            "<li><span class=\"name\"><b class=\"{class}\">{state}</b>{failure} {what}</span> <span class=\"faint\">{began}\
             </span><ol class=\"passages\">{steps}</ol></li>",
            state = state(&exchange.state),
            what = what(exchange),
        );
    }
    out.push_str("</ul>");
    if let Some(next) = &mine.exchanges.next {
        let (currency, span) = (mine.asked.currency, mine.asked.span.0);
        let _ = write!(
            out,
            "<p><a href=\"/my?currency={currency}&amp;span={span}&amp;cursor={}#history\">Older ones</a></p>",
            Escaped(next)
        );
    }
    out
}
