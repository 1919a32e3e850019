//! Calls in.

mod desk;
mod history;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange as wire;
use jangbu_contracts::operators::Accepted as Asked;
use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;
use jangbu_platform::db::Fault;
use jangbu_platform::http::{BODY_BYTES_MAX, InPath, Keyed, Known, Refused, Strict, json};
use jangbu_platform::openapi::{self, About, Calls, IdempotencyKey};
use jangbu_platform::operators;
use utoipa_axum::routes;

use crate::Exchanges;
use crate::domain::board::Board;
use crate::domain::price::{DISCOUNT_BP_MAX, Price};
use crate::flows::{boards, exchanges, saga};
use crate::store::boards::DiscountOf;
use crate::store::quotes::Quote;

/// Longest name of a campaign, in characters.
const CAMPAIGN_CHARS_MAX: usize = 64;

type Answer = Result<Response, Refused>;

const ABOUT: About<'_> = About {
    service: "exchange",
    title: "Foreign exchange",
    description: "The board of rates, quotes that expire, limits per day and month, and exchanges: a withdrawal in one \
                  currency and a deposit in another, both or none.",
};

/// The calls under `/exchange/v1`.
pub fn router(exchanges: Arc<Exchanges>) -> Router {
    let desk = exchanges.desk.calls();
    let calls = Calls::default()
        .routes(routes!(show_rates, put_rates))
        .routes(routes!(history::show_history))
        .routes(routes!(set_discount))
        .routes(routes!(ask_quote))
        .routes(routes!(ask_exchange, desk::list_exchanges))
        .routes(routes!(show_exchange))
        .routes(routes!(desk::recheck_exchange))
        .routes(routes!(desk::force_exchange))
        .routes(routes!(show_limits))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(exchanges);
    openapi::open(&ABOUT, calls.merge(desk))
}

fn rate(price: Price) -> Result<Rate, Fault> {
    Rate::new(price.hundredths(), 2).map_err(|e| Fault::Damaged(format!("a price: {e}")))
}

fn rates(board: &Board) -> Result<wire::Rates, Fault> {
    let line = |line: &crate::domain::board::Line| -> Result<wire::BoardRate, Fault> {
        let (mid, tts, ttb) = (rate(line.mid)?, rate(line.tts)?, rate(line.ttb)?);
        Ok(wire::BoardRate { currency: line.currency, unit: line.unit, mid, tts, ttb })
    };
    let rates = board.lines.iter().map(line).collect::<Result<_, _>>()?;
    Ok(wire::Rates { as_of: board.as_of, round: board.round, rates })
}

/// The board.
#[utoipa::path(get, path = "/rates", responses((status = 200, body = wire::Rates)))]
async fn show_rates(State(exchanges): State<Arc<Exchanges>>, _known: Known) -> Answer {
    let board = boards::newest(&exchanges).await?.ok_or_else(Refused::not_found)?;
    json(200, &rates(&board)?, false)
}

/// Publishes a board (operators and the feed).
///
/// A board on which a price moves by more than 10 %, or on which a currency of the last one is missing, waits for a
/// second person: then the answer is 202 with the approval.
#[utoipa::path(
    put, path = "/rates",
    request_body = wire::PutRates,
    responses((status = 200, body = wire::Rates), (status = 202, body = Asked)),
)]
async fn put_rates(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    Strict(body): Strict<wire::PutRates>,
) -> Answer {
    known.staff()?;
    if let Some(reason) = &body.reason {
        operators::reason(reason)?;
    }
    match boards::put(&exchanges, &body, &known.caller).await? {
        boards::Put::Published(board) => json(200, &rates(&board)?, false),
        boards::Put::Asked(asked) => json(202, &asked, false),
    }
}

/// Sets the spread discount of a customer or of a campaign (operators), in place of the one there was.
#[utoipa::path(
    put, path = "/discounts/{kind}/{subject}",
    params(
        ("kind" = String, Path, description = "`customer` or `campaign`."),
        ("subject" = String, Path, description = "A customer's id, or a campaign's name."),
    ),
    request_body = wire::SetDiscount,
    responses((status = 200, body = wire::SetDiscount)),
)]
async fn set_discount(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    InPath((kind, subject)): InPath<(String, String)>,
    Strict(body): Strict<wire::SetDiscount>,
) -> Answer {
    known.operator()?;
    let of = match kind.as_str() {
        "customer" => DiscountOf::Customer,
        "campaign" => DiscountOf::Campaign,
        _ => return Err(Refused::not_found()),
    };
    let named = match of {
        DiscountOf::Customer => subject.parse::<CustomerId>().is_ok(),
        DiscountOf::Campaign => !subject.is_empty() && subject.chars().count() <= CAMPAIGN_CHARS_MAX,
    };
    if !named {
        return Err(Refused::field(Code::InvalidId, "subject", "must be a customer's id or a campaign's name"));
    }
    let bp = basis_points(body.discount).ok_or_else(|| {
        let why = "must be from 0 to 1, with at most four digits after the point";
        Refused::field(Code::InvalidField, "discount", why)
    })?;
    if body.until <= body.from {
        return Err(Refused::field(Code::InvalidField, "until", "must be after its beginning"));
    }
    let reason = operators::reason(&body.reason)?;
    let terms = (bp, body.from, body.until);
    boards::set_discount(&exchanges, of, &subject, terms, (&known.caller, reason)).await?;
    json(200, &body, false)
}

/// A share as basis points; none when it is not a whole number of them from 0 to 10,000.
fn basis_points(share: Rate) -> Option<u32> {
    let points = share.as_ratio().checked_mul(Ratio::whole(i64::from(DISCOUNT_BP_MAX)))?;
    let whole = u32::try_from(points.num()).ok().filter(|points| *points <= DISCOUNT_BP_MAX);
    whole.filter(|_| points.den() == 1)
}

fn quote(quote: &Quote) -> Result<wire::Quote, Fault> {
    let discount = Rate::new(i64::from(quote.discount_bp), 4).map_err(|e| Fault::Damaged(format!("{e}")))?;
    Ok(wire::Quote {
        id: quote.id,
        customer: quote.customer,
        side: saga::wire_side(quote.side),
        currency: quote.quoted.currency,
        rate: rate(quote.quoted.price)?,
        unit: quote.quoted.unit,
        mid: rate(quote.mid)?,
        discount,
        foreign: quote.amounts.foreign,
        krw: quote.amounts.won,
        expires_at: quote.expires_at,
    })
}

/// Quotes what an exchange would come to; the quote may be used once, within a minute. Customers ask for themselves.
#[utoipa::path(
    post, path = "/quotes",
    request_body = wire::AskQuote,
    responses((status = 201, body = wire::Quote)),
)]
async fn ask_quote(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    Strict(body): Strict<wire::AskQuote>,
) -> Answer {
    if !known.may_see(&body.customer.to_string()) {
        return Err(Refused::new(Code::Forbidden, "customers ask for quotes of their own"));
    }
    json(201, &quote(&exchanges.quoting.quote(&body).await?)?, false)
}

/// Exchanges by a quote.
///
/// 201 once it is decided, by `EXCHANGE_SUCCEEDED` or `EXCHANGE_FAILED`; 202 when that takes longer than the caller
/// waits: it goes on, and `GET` tells what comes of it.
#[utoipa::path(
    post, path = "/exchanges",
    params(IdempotencyKey),
    request_body = wire::AskExchange,
    responses((status = 201, body = wire::Exchange), (status = 202, body = wire::Exchange)),
)]
async fn ask_exchange(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<wire::AskExchange>,
) -> Answer {
    let accepted = exchanges::exchange(&exchanges, &known, &key, &body).await?;
    let shown = exchanges::show(&exchanges, accepted.id, false).await?.ok_or_else(Refused::not_found)?;
    let decided = matches!(shown.state.as_str(), "EXCHANGE_SUCCEEDED" | "EXCHANGE_FAILED");
    json(if decided { 201 } else { 202 }, &shown, accepted.replay)
}

/// One exchange, with every state that it passed through.
#[utoipa::path(
    get, path = "/exchanges/{id}",
    params(("id" = ExchangeId, Path)),
    responses((status = 200, body = wire::Exchange)),
)]
async fn show_exchange(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    InPath(id): InPath<ExchangeId>,
) -> Answer {
    let shown = exchanges::show(&exchanges, id, known.staff().is_ok()).await?;
    let shown = shown.filter(|exchange| known.may_see(&exchange.customer.to_string()));
    json(200, &shown.ok_or_else(Refused::not_found)?, false)
}

/// What a customer may exchange, has exchanged, and has under way.
#[utoipa::path(
    get, path = "/limits/{customer}",
    params(("customer" = CustomerId, Path)),
    responses((status = 200, body = wire::Limits)),
)]
async fn show_limits(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    InPath(customer): InPath<CustomerId>,
) -> Answer {
    if !known.may_see(&customer.to_string()) {
        return Err(Refused::not_found());
    }
    json(200, &exchanges::limits_of(&exchanges, customer).await?, false)
}
