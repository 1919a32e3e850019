//! Exchanges as lists, and what operators do about those that are stuck.

use std::sync::Arc;

use axum::extract::State;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange as wire;
use jangbu_contracts::operators::Accepted as Asked;
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_platform::auth::Role;
use jangbu_platform::http::{InPath, Known, Params, Refused, Strict, json};
use jangbu_platform::{operators, paging};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Answer;
use crate::Exchanges;
use crate::domain::plan::State as Stands;
use crate::flows::{desk, force};
use crate::store::desk::Wanted;

/// Query of `GET …/exchanges`; whatever is named must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Exchanging {
    /// Only those in this state.
    state: Option<String>,
    /// Only this customer's. Customers see their own without saying so.
    customer: Option<CustomerId>,
    /// Only those that take longer than a minute, or wait for a person.
    stuck: Option<bool>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Exchanges, newest first, each with every state that it passed through.
#[utoipa::path(
    get, path = "/exchanges",
    params(Exchanging),
    responses((status = 200, body = Page<wire::Exchange>)),
)]
pub async fn list_exchanges(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    Params(query): Params<Exchanging>,
) -> Answer {
    let (limit, before) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?);
    let states = || Stands::UNDECIDED.iter().chain(&Stands::DECIDED);
    if let Some(state) = &query.state
        && !states().any(|known| known == state)
    {
        let names = states().copied().collect::<Vec<_>>().join(", ");
        return Err(Refused::field(Code::InvalidField, "state", format!("must be one of {names}")));
    }
    let mut customer = query.customer;
    if known.caller.role == Role::Customer {
        let own: CustomerId = known.caller.subject.parse().map_err(|_| Refused::not_found())?;
        if customer.is_some_and(|asked| asked != own) {
            return Err(Refused::new(Code::Forbidden, "customers see exchanges of their own"));
        }
        customer = Some(own);
    }
    let stuck_since = query.stuck.unwrap_or(false).then(|| desk::stuck_since(known.now));
    let wanted = Wanted { state: query.state.as_deref(), customer, stuck_since };
    json(200, &desk::list(&exchanges, wanted, before, limit, known.staff().is_ok()).await?, false)
}

/// Has an exchange that waits asked about at once (operators).
///
/// 202: the books are asked within a second, and `GET` tells what comes of it. One whose next step is under way answers
/// 409 `EXCHANGE_NOT_STUCK`.
#[utoipa::path(
    post, path = "/exchanges/{id}/recheck",
    params(("id" = ExchangeId, Path)),
    request_body = wire::Recheck,
    responses((status = 202, body = wire::Exchange)),
)]
pub async fn recheck_exchange(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    InPath(id): InPath<ExchangeId>,
    Strict(body): Strict<wire::Recheck>,
) -> Answer {
    known.operator()?;
    let reason = operators::reason(&body.reason)?;
    json(202, &desk::recheck(&exchanges, id, &known.caller, reason).await?, false)
}

/// Asks a second person to write down that a stuck exchange is decided (operators).
///
/// Nothing moves by it. When the second person approves, the books are asked for both movements by the exchange's own
/// keys: it succeeded only if both stand, and failed only if nothing was withdrawn or it was undone; else the approval is
/// answered 422 `EXCHANGE_CONTRADICTED`.
#[utoipa::path(
    post, path = "/exchanges/{id}/force",
    params(("id" = ExchangeId, Path)),
    request_body = wire::Force,
    responses((status = 202, body = Asked)),
)]
pub async fn force_exchange(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    InPath(id): InPath<ExchangeId>,
    Strict(body): Strict<wire::Force>,
) -> Answer {
    known.operator()?;
    operators::reason(&body.reason)?;
    json(202, &force::ask(&exchanges, id, &known.caller, &body).await?, false)
}
