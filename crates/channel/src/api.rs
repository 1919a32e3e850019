//! Calls in.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use jangbu_contracts::channel::{AccountScreen, ClaimInterest};
use jangbu_contracts::deposit::{Account, InterestPayment};
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::ask::Reply;
use jangbu_platform::db::{self, Fault};
use jangbu_platform::http::{Keyed, Known, REPLAY_HEADER, Refused, Strict, json, json_answer, path_id};
use jangbu_platform::openapi::{self, About, Calls, IdempotencyKey};
use utoipa_axum::routes;

use crate::{Channel, flows};

type Answer = Result<Response, Refused>;

const ABOUT: About<'_> = About {
    service: "channel",
    title: "Channel",
    description: "What a customer's screen shows and does: accounts as they are at this moment, what interest could be \
                  claimed today, and claiming it. Customers see their own accounts, the bank's people and programs all.",
};

/// The calls under `/channel/v1`; `desk` are those for operators.
pub fn router(channel: Arc<Channel>, desk: Calls) -> Router {
    let calls =
        Calls::default().routes(routes!(screen)).routes(routes!(claim)).routes(routes!(accounts)).with_state(channel);
    openapi::open(&ABOUT, calls.merge(desk))
}

/// The account screen.
///
/// The account as it is at this moment, and what a claim would pay today. The figure is worked out once a day and
/// holds until midnight in Seoul, or until interest is claimed; `as_of` is its day. It is null while it can't be had:
/// the account is shown all the same.
#[utoipa::path(
    get, path = "/accounts/{id}",
    params(("id" = AccountId, Path)),
    responses((status = 200, body = AccountScreen)),
)]
async fn screen(State(channel): State<Arc<Channel>>, known: Known, Path(id): Path<String>) -> Answer {
    let id: AccountId = path_id(&id)?;
    let screen = flows::accounts::screen(&channel, &known, id).await?;
    json(200, &screen.ok_or_else(Refused::not_found)?, false)
}

/// All accounts of a customer, in won and in foreign currencies.
#[utoipa::path(
    get, path = "/customers/{id}/accounts",
    params(("id" = CustomerId, Path)),
    responses((status = 200, body = Page<Account>)),
)]
async fn accounts(State(channel): State<Arc<Channel>>, known: Known, Path(id): Path<String>) -> Answer {
    let id: CustomerId = path_id(&id)?;
    if !known.may_see(&id.to_string()) {
        return Err(Refused::not_found());
    }
    json(200, &Page { items: flows::accounts::all(&channel, id).await?, next: None }, false)
}

/// Pays interest now, for all unpaid days up to yesterday.
///
/// 503 and 504 mean that nobody knows yet whether it was paid: ask again with the same key, which pays at most once.
#[utoipa::path(
    post, path = "/accounts/{id}/interest-claims",
    params(IdempotencyKey, ("id" = AccountId, Path)),
    request_body = ClaimInterest,
    responses((status = 201, body = InterestPayment)),
)]
async fn claim(
    State(channel): State<Arc<Channel>>,
    known: Known,
    Keyed(key): Keyed,
    Path(id): Path<String>,
    Strict(ClaimInterest {}): Strict<ClaimInterest>,
) -> Answer {
    let id: AccountId = path_id(&id)?;
    passed_on(flows::claim::claim(&channel, &known, &key, id).await?.ok_or_else(Refused::not_found)?)
}

/// The core's answer as this service's own.
fn passed_on(reply: Reply) -> Answer {
    let replay = reply.replay;
    let Some(problem) = reply.problem() else {
        let body = String::from_utf8(reply.body.into()).map_err(|e| Fault::Damaged(e.to_string()))?;
        return Ok(json_answer(&db::Answer { status: reply.status, body }, replay));
    };
    let mut response = Refused::from(problem).into_response();
    if replay {
        response.headers_mut().insert(REPLAY_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}
