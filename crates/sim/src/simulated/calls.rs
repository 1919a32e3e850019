//! Calls between services, and requests from outside, on their way through a bad network.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jangbu_kernel::id::SagaId;
use jangbu_platform::ask::{Call, Fate, Meddler};
use jangbu_platform::probe;
use tower::ServiceExt as _;

use super::faults::{Fault, Faults};
use super::node::Node;
use super::trace::{Exchange, Happening, kept_of};
use crate::auditor::Auditor;

/// How late a call or its answer may be, milliseconds. Longer than some callers wait.
const LATE_MS_MAX: u64 = 12_000;

/// Decides what becomes of calls between services.
pub struct Network(pub Arc<Faults>);

impl Meddler for Network {
    fn fate(&self, _: &str, _: &Call<'_>) -> Fate {
        let faults = &self.0;
        let by = |kind| Duration::from_millis(1 + faults.below(kind, LATE_MS_MAX));
        if faults.strikes(Fault::CallLost) {
            Fate::Lost
        } else if faults.strikes(Fault::AnswerLost) {
            Fate::AnswerLost
        } else if faults.strikes(Fault::CallTwice) {
            Fate::Twice
        } else if faults.strikes(Fault::CallNever) {
            Fate::Never
        } else if faults.strikes(Fault::CallLate) {
            Fate::Late(by(Fault::CallLate))
        } else if faults.strikes(Fault::CallSlow) {
            Fate::Slow(by(Fault::CallSlow))
        } else {
            Fate::Arrives
        }
    }
}

/// The way to a node: its router while it lives, a broken connection when it dies on the way.
pub fn way_to(node: &Arc<Node>) -> Router {
    let node = Arc::clone(node);
    Router::new().fallback(move |request: Request<Body>| {
        let node = Arc::clone(&node);
        async move { asked(&node, request).await.unwrap_or_else(broken) }
    })
}

/// A call of another service. Legs of exchanges that come after their key was closed are noted.
async fn asked(node: &Node, request: Request<Body>) -> Option<Response<Body>> {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
    if !key.is_some_and(|key| key.starts_with(SagaId::PREFIX)) {
        return node.answer(request).await;
    }
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let closes = String::from_utf8_lossy(&body).contains("\"kind\":\"reversal\"");
    let answer = node.answer(Request::from_parts(head, Body::from(body))).await?;
    if closes || answer.status() != StatusCode::UNPROCESSABLE_ENTITY {
        return Some(answer);
    }
    let (answer, body) = read(answer).await;
    if String::from_utf8_lossy(&body).contains("KEY_REUSED") {
        probe::reached("leg-that-came-after-its-key-was-closed");
    }
    Some(answer)
}

/// The way of customers and operators to a node.
pub fn front_of(node: &Arc<Node>, auditor: &Arc<Auditor>) -> Router {
    let (node, auditor) = (Arc::clone(node), Arc::clone(auditor));
    Router::new().fallback(move |request: Request<Body>| {
        let (node, auditor) = (Arc::clone(&node), Arc::clone(&auditor));
        async move { meet(&node, &auditor, request).await }
    })
}

async fn meet(node: &Node, auditor: &Auditor, request: Request<Body>) -> Response<Body> {
    let faults = &node.site.faults;
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let (sent, call) = (node.true_time(), format!("{} {}", request.method(), request.uri()));
    let (request, asked) = overheard(&call, request).await;
    let answered = match deliver(node, auditor, faults, request).await {
        Some(response) => Some(read(response).await),
        None => None,
    };
    let (status, body) = answered
        .as_ref()
        .map_or((None, Bytes::new()), |(response, body)| (Some(response.status().as_u16()), kept_of(&call, body)));
    let (node, trace) = (node.site.name.clone(), &node.site.trace);
    trace.note(Happening::Exchange(Box::new(Exchange { sent, node, call, key, asked, status, answered: body })));
    answered.map_or_else(broken, |(response, _)| response)
}

/// A request, and what is kept of its body.
async fn overheard(call: &str, request: Request<Body>) -> (Request<Body>, Bytes) {
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let kept = kept_of(call, &body);
    (Request::from_parts(head, Body::from(body)), kept)
}

/// An answer that has come in whole, and its body.
async fn read(response: Response<Body>) -> (Response<Body>, Bytes) {
    let (head, body) = response.into_parts();
    let body: Bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (Response::from_parts(head, Body::from(body.clone())), body)
}

async fn deliver(node: &Node, auditor: &Auditor, faults: &Faults, request: Request<Body>) -> Option<Response<Body>> {
    if faults.strikes(Fault::RequestLost) {
        return None;
    }
    let at_once = faults.strikes(Fault::RequestTwiceAtOnce);
    let answered = if at_once || faults.strikes(Fault::RequestTwice) {
        let (head, body) = request.into_parts();
        if let Some(key) = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok()) {
            auditor.repeated_on_the_way(key);
        }
        let body: Bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let first = Request::from_parts(head.clone(), Body::from(body.clone()));
        let second = Request::from_parts(head, Body::from(body));
        // What delivers twice is not the customer: who is answered hears one of the two.
        if at_once {
            probe::reached("request-delivered-twice-at-once");
            let (one, other) = tokio::join!(node.answer(first), node.answer(second));
            if faults.below(Fault::RequestTwiceAtOnce, 2) == 0 { one } else { other }
        } else {
            probe::reached("request-delivered-twice-one-after-the-other");
            drop(node.answer(first).await);
            node.answer(second).await
        }
    } else {
        node.answer(request).await
    };
    if faults.strikes(Fault::ReplyLost) {
        return None;
    }
    answered
}

/// An answer that broke off: whoever asked knows nothing.
fn broken() -> Response<Body> {
    let gone = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection broke");
    let mut response = Response::new(Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>(gone) })));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Gives a request to a router.
pub async fn give(router: Router, request: Request<Body>) -> Response<Body> {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
