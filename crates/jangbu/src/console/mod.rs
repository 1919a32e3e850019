//! The bank's page at `/`: what an operator sees of the running bank.
//!
//! Everything on it is text made here, with one style sheet; nothing comes from elsewhere.

mod pages;
mod session;
mod text;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jangbu_platform::auth::{Keyring, LoginLinks};
use jangbu_platform::clock::Clock;
use jangbu_platform::http::Gate;

use crate::bank::Bank;

/// Largest form, bytes.
const FORM_BYTES_MAX: usize = 8 << 10;

/// What every answer of the page carries: nothing from elsewhere runs, frames it, or keeps it.
const GUARDS: [(header::HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the page is made from.
pub struct Console {
    /// Who knows callers.
    pub gate: Gate,
    /// Signs sessions.
    pub keys: Keyring,
    /// Links that log in once.
    pub links: LoginLinks,
    /// The time by which credentials expire.
    pub wall: Arc<dyn Clock>,
    /// The bank's time.
    pub clock: Arc<dyn Clock>,
    /// Whether that time is moved by hand.
    pub by_hand: bool,
    /// The services that are open.
    pub services: Vec<String>,
}

impl Console {
    /// The page of a bank.
    #[must_use]
    pub fn new(bank: &Bank, links: LoginLinks, wall: Arc<dyn Clock>, by_hand: bool) -> Console {
        Console {
            gate: bank.gate.clone(),
            keys: bank.keys.clone(),
            links,
            wall,
            clock: Arc::clone(&bank.clock),
            by_hand,
            services: bank.parts.iter().map(|part| part.name.clone()).collect(),
        }
    }
}

/// The page and what belongs to it.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/login", get(session::follow).post(session::enter))
        .route("/logout", post(session::leave))
        .route("/assets/style.css", get(|| asset("text/css", include_str!("assets/style.css"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("assets/icon.svg"))))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::map_response(guarded))
        .with_state(console)
}

async fn guarded(mut response: Response) -> Response {
    for (name, value) in GUARDS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn page(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    if let Some(other) = console.turned_away(&headers) {
        return other;
    }
    let shown = view::Shown { now: console.clock.now(), by_hand: console.by_hand, services: console.services.clone() };
    pages::html(StatusCode::OK, view::page(&shown))
}

#[cfg(test)]
mod tests;
