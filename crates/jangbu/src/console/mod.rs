//! The bank's page at `/`: what an operator sees of the running bank.
//!
//! Everything on it is text made here, with one style sheet and one small script; nothing comes from elsewhere. Figures
//! are gathered once a second by one task ([`sampler`]), however many look, and no request waits for them.

mod board;
mod codes;
mod counter;
mod desk;
mod events;
mod figures;
mod form;
mod markdown;
mod my;
mod pages;
mod sampler;
mod session;
mod text;
mod told;
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
use jangbu_platform::dice::Dice;
use jangbu_platform::http::{Gate, with_fallbacks};
use jangbu_platform::service::Stop;
use tokio::sync::{Semaphore, watch};

use crate::bank::Bank;
use counter::Counter;
use figures::Shown;
use sampler::Sampler;
pub use text::{Escaped, grouped};
pub use view::{Part, capital, fill};

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
    /// Fills the page with its parts.
    page: fn(&[Part]) -> String,
    /// The page's parts as of the last look.
    pub parts: watch::Receiver<Arc<Vec<view::Part>>>,
    /// Ends the streams.
    pub stop: Stop,
    /// Places for those who listen.
    pub places: Arc<Semaphore>,
    /// The bank's calls; none where there is no bank behind the page.
    counter: Option<Counter>,
}

/// Opens the page of a bank: from now on figures are gathered, until `stop`.
#[must_use]
pub fn open(bank: &Bank, links: LoginLinks, wall: Arc<dyn Clock>, by_hand: bool, stop: &Stop) -> Arc<Console> {
    let (shown, parts) = watch::channel(Arc::new(view::parts(&Shown::default())));
    tokio::spawn(Sampler::new(bank, by_hand).run(shown, stop.clone()));
    let counter = Counter::new(with_fallbacks(bank.router.clone()), Dice::from_os());
    let console = Console::of(bank.gate.clone(), bank.keys.clone(), links, wall, parts, view::page, stop.clone());
    Arc::new(Console { counter: Some(counter), ..console })
}

impl Console {
    /// A page whose parts are drawn elsewhere, and `page` fills it with them.
    #[must_use]
    pub fn of(
        gate: Gate,
        keys: Keyring,
        links: LoginLinks,
        wall: Arc<dyn Clock>,
        parts: watch::Receiver<Arc<Vec<Part>>>,
        page: fn(&[Part]) -> String,
        stop: Stop,
    ) -> Console {
        let places = Arc::new(Semaphore::new(events::LISTENERS_MAX));
        Console { gate, keys, links, wall, page, parts, stop, places, counter: None }
    }
}

/// The page and what belongs to it.
pub fn router(console: Arc<Console>) -> Router {
    let with_a_bank = Router::new()
        .route("/exchange", get(desk::page))
        .route("/exchange/act", post(desk::act))
        .route("/exchange/board", get(board::page).post(board::publish))
        .route("/my", get(my::page))
        .route("/my/quote", post(my::quote))
        .route("/my/exchange", post(my::exchange));
    let with_a_bank = if console.counter.is_some() { with_a_bank } else { Router::new() };
    with_a_bank
        .route("/", get(page))
        .route("/login", get(session::follow).post(session::enter))
        .route("/logout", post(session::leave))
        .route("/events", get(events::listen))
        .route("/docs/codes", get(codes::list))
        .route("/docs/codes/{code}", get(codes::page))
        .route("/assets/app.js", get(|| asset("text/javascript", include_str!("assets/app.js"))))
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
    let parts = Arc::clone(&console.parts.borrow());
    pages::html(StatusCode::OK, (console.page)(&parts))
}

#[cfg(test)]
mod tests;
