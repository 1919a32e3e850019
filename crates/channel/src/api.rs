//! Calls in.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jangbu_contracts::channel::ClaimInterest;
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::ask::Reply;
use jangbu_platform::db::{self, Fault};
use jangbu_platform::http::{Keyed, Known, REPLAY_HEADER, Refused, Strict, json, json_answer, path_id};

use crate::{Channel, flows};

type Answer = Result<Response, Refused>;

/// The calls under `/channel/v1`; `desk` are those for operators.
pub fn router(channel: Arc<Channel>, desk: Router) -> Router {
    let calls = Router::new()
        .route("/accounts/{id}", get(screen))
        .route("/accounts/{id}/interest-claims", post(claim))
        .route("/customers/{id}/accounts", get(accounts))
        .with_state(channel);
    Router::new().nest("/channel/v1", calls.merge(desk))
}

/// `GET …/accounts/{id}`: the account screen.
async fn screen(State(channel): State<Arc<Channel>>, known: Known, Path(id): Path<String>) -> Answer {
    let id: AccountId = path_id(&id)?;
    let screen = flows::accounts::screen(&channel, &known, id).await?;
    json(200, &screen.ok_or_else(Refused::not_found)?, false)
}

/// `GET …/customers/{id}/accounts`: all accounts of a customer.
async fn accounts(State(channel): State<Arc<Channel>>, known: Known, Path(id): Path<String>) -> Answer {
    let id: CustomerId = path_id(&id)?;
    if !known.may_see(&id.to_string()) {
        return Err(Refused::not_found());
    }
    json(200, &Page { items: flows::accounts::all(&channel, id).await?, next: None }, false)
}

/// `POST …/accounts/{id}/interest-claims`: pays the interest of all unpaid days up to yesterday.
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
    let mut response = Refused(Box::new(problem)).into_response();
    if replay {
        response.headers_mut().insert(REPLAY_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}
