//! `/my`: a customer's page. It shows what the bank tells him, and its forms call the bank in his name.

use std::sync::Arc;

use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::Account;
use jangbu_contracts::exchange::{AmountIn, AskExchange, AskQuote, Exchange, Limits, Quote, RateHistory, Side};
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_kernel::time::Timestamp;

use super::counter::{Calls, Counter};
use super::desk::alert;
use super::form::Form;
use super::session::see;
use super::text::minor;
use super::view::my::{Asked, Mine, Offer};
use super::view::{self, Part};
use super::{Console, pages};

/// Exchanges of a page.
const EXCHANGES_SHOWN_MAX: u32 = 10;
/// Points of a chart.
const POINTS: u32 = 300;

/// Times that a chart may show: its name, and microseconds.
pub const SPANS: [(&str, i64); 4] = [
    ("hour", 3_600_000_000),
    ("day", 24 * 3_600_000_000),
    ("week", 7 * 24 * 3_600_000_000),
    ("year", 365 * 24 * 3_600_000_000),
];

/// Who looks, with his way to the bank.
struct Visit {
    customer: CustomerId,
    calls: Calls,
    now: Timestamp,
    prices: String,
}

fn visit<'a>(console: &'a Console, headers: &HeaderMap) -> Result<(Visit, &'a Counter), Box<Response>> {
    let customer = console.customer(headers)?;
    let no_bank = || Box::new(pages::not_found("There is no bank behind this page."));
    let counter = console.counter.as_ref().ok_or_else(no_bank)?;
    let calls = counter.calls(headers).ok_or_else(no_bank)?;
    let parts = console.parts.borrow();
    let prices = parts.iter().find(|(name, _)| *name == view::PRICES).map_or(String::new(), |(_, html)| html.clone());
    Ok((Visit { customer, calls, now: console.gate.now(), prices }, counter))
}

impl Visit {
    /// All that the page shows besides what was asked for.
    async fn mine(&self, asked: Asked) -> Result<Mine, Box<Problem>> {
        let customer = self.customer;
        let accounts = |instance: &str| format!("/{instance}/v1/accounts?customer={customer}&limit=100");
        let mut own: Vec<Account> = self.calls.get::<Page<Account>>(&accounts("deposit-krw")).await?.items;
        own.extend(self.calls.get::<Page<Account>>(&accounts("deposit-fx")).await?.items);
        let limits: Limits = self.calls.get(&format!("/exchange/v1/limits/{customer}")).await?;
        let mut path = format!("/exchange/v1/exchanges?limit={EXCHANGES_SHOWN_MAX}");
        if let Some(cursor) = asked.cursor {
            path.push_str(&format!("&cursor={cursor}"));
        }
        let exchanges: Page<Exchange> = self.calls.get(&path).await?;
        let board = self.calls.get::<jangbu_contracts::exchange::Rates>("/exchange/v1/rates").await;
        let currencies: Vec<Currency> =
            board.map_or_else(|_| Vec::new(), |board| board.rates.iter().map(|rate| rate.currency).collect());
        let from = self.now.plus_micros(-asked.span.1);
        let path = format!(
            "/exchange/v1/rates/history?currency={}&points={POINTS}&from={from}&to={}",
            asked.currency, self.now
        );
        let history: RateHistory = self.calls.get(&path).await?;
        Ok(Mine { customer, own, limits, exchanges, currencies, history, range: (from, self.now), asked })
    }

    async fn draw(self, asked: Asked, status: StatusCode, said: String, offer: Option<Offer>) -> Response {
        let mine = match self.mine(asked).await {
            Ok(mine) => mine,
            Err(problem) => {
                let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return pages::narrow(status, "Not to be seen now", &alert(&problem));
            }
        };
        let mut parts: Vec<Part> = view::my::parts(&mine, offer.as_ref());
        parts.extend([("said", said), (view::PRICES, self.prices)]);
        pages::html(status, view::fill("Your money \u{b7} Jangbu", include_str!("assets/my.html"), &parts))
    }

    async fn refused(self, asked: Asked, problem: &Problem) -> Response {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.draw(asked, status, alert(problem), None).await
    }
}

/// `GET /my`
pub async fn page(State(console): State<Arc<Console>>, uri: Uri, headers: HeaderMap) -> Response {
    let (visit, _) = match visit(&console, &headers) {
        Ok(visit) => visit,
        Err(other) => return *other,
    };
    let query = Form::read(uri.query().unwrap_or("").as_bytes());
    let said = match query.text("said").parse::<ExchangeId>() {
        Ok(id) => match visit.calls.get::<Exchange>(&format!("/exchange/v1/exchanges/{id}")).await {
            Ok(exchange) => view::my::ended(&exchange),
            Err(problem) => alert(&problem),
        },
        Err(_) => String::new(),
    };
    visit.draw(Asked::read(&query), StatusCode::OK, said, None).await
}

/// `POST /my/quote`: draws the page with the quote, and the form that exchanges by it.
pub async fn quote(State(console): State<Arc<Console>>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let (visit, counter) = match visit(&console, &headers) {
        Ok(visit) => visit,
        Err(other) => return *other,
    };
    let form = Form::read(&form);
    let asked = Asked::read(&form);
    let wanted = match wanted(visit.customer, &form, &asked) {
        Ok(wanted) => wanted,
        Err(problem) => return visit.refused(asked, &problem).await,
    };
    match visit.calls.send::<Quote>(Method::POST, "/exchange/v1/quotes", None, &wanted).await {
        Ok((_, quote)) => {
            let offer = Offer { quote, key: counter.key() };
            visit.draw(asked, StatusCode::OK, String::new(), Some(offer)).await
        }
        Err(problem) => visit.refused(asked, &problem).await,
    }
}

/// What the form asks a quote for.
fn wanted(customer: CustomerId, form: &Form, asked: &Asked) -> Result<AskQuote, Box<Problem>> {
    let side = if form.text("side") == "sell" { Side::Sell } else { Side::Buy };
    let (amount_in, of) = match form.text("in") {
        "krw" => (AmountIn::Krw, Currency::KRW),
        _ => (AmountIn::Foreign, asked.currency),
    };
    let amount = minor(form.text("amount"), of).and_then(|minor| Amount::new(minor).ok());
    let wrong = || {
        let digits = of.exponent();
        let why = format!("an amount of {of} is above zero, with at most {digits} digits after the point");
        Box::new(Problem::field(Code::InvalidAmount, "amount", why))
    };
    Ok(AskQuote {
        customer,
        side,
        currency: asked.currency,
        amount: amount.ok_or_else(wrong)?,
        amount_in,
        campaign: None,
    })
}

/// `POST /my/exchange`: exchanges by a quote, under the key that the form was given when it was drawn.
pub async fn exchange(State(console): State<Arc<Console>>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let (visit, _) = match visit(&console, &headers) {
        Ok(visit) => visit,
        Err(other) => return *other,
    };
    let form = Form::read(&form);
    let asked = Asked::read(&form);
    let ids = (form.text("quote").parse(), form.text("krw_account").parse(), form.text("fx_account").parse());
    let (Ok(quote), Ok(krw_account), Ok(fx_account)) = ids else {
        let problem = Problem::new(Code::InvalidId, "a quote and both accounts must be chosen");
        return visit.refused(asked, &problem).await;
    };
    let body = AskExchange { quote, krw_account, fx_account };
    let key = form.text("key");
    match visit.calls.send::<Exchange>(Method::POST, "/exchange/v1/exchanges", Some(key), &body).await {
        Ok((_, exchange)) => {
            let (currency, span) = (asked.currency, asked.span.0);
            see(&format!("/my?currency={currency}&span={span}&said={}#history", exchange.id))
        }
        Err(problem) => visit.refused(asked, &problem).await,
    }
}
