//! `GET /events`: the parts of the page that changed, as they change, until the listener leaves or the bank stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jangbu_platform::service::Stop;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Console;
use super::form::Form;
use super::session::Visitor;
use super::view::{self, Part};

/// Pages that listen at a time.
pub const LISTENERS_MAX: usize = 64;
/// How long nothing may be sent, in milliseconds; then a line without meaning keeps the connection.
const BEAT_MS: u64 = 15_000;
/// How long a browser waits before it comes again, in milliseconds.
const AGAIN_MS: u64 = 2_000;

/// One page that listens.
struct Listener {
    console: Arc<Console>,
    headers: HeaderMap,
    parts: watch::Receiver<Arc<Vec<Part>>>,
    page: Page,
    seen: BTreeMap<&'static str, String>,
    stop: Stop,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

/// The page that listens, by which parts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// The first one.
    Bank,
    /// Exchanges, for operators.
    Exchange,
    /// A customer's own.
    My,
}

impl Page {
    fn of(uri: &Uri) -> Page {
        match Form::read(uri.query().unwrap_or("").as_bytes()).text("page") {
            "exchange" => Page::Exchange,
            "my" => Page::My,
            _ => Page::Bank,
        }
    }

    fn shows(self, part: &str) -> bool {
        match self {
            Page::Bank => !view::EXCHANGE_PARTS.contains(&part) && part != view::PRICES,
            Page::Exchange => view::EXCHANGE_PARTS.contains(&part) || view::SHARED_PARTS.contains(&part),
            Page::My => part == view::PRICES,
        }
    }

    /// Customers listen to what is on their page, operators to the rest.
    fn is_for(self, visitor: &Visitor) -> bool {
        match visitor {
            Visitor::Operator => self != Page::My,
            Visitor::Customer(_) => self == Page::My,
            Visitor::Other(_) | Visitor::Stranger(_) => false,
        }
    }
}

/// Answers with the stream.
pub async fn listen(State(console): State<Arc<Console>>, uri: Uri, headers: HeaderMap) -> Response {
    let page = Page::of(&uri);
    let turned_away = if page == Page::My {
        console.customer(&headers).err().map(|other| *other)
    } else {
        console.turned_away(&headers)
    };
    if let Some(other) = turned_away {
        return other;
    }
    let Ok(place) = Arc::clone(&console.places).try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, HeaderValue::from(5u16))],
            "too many listen\n",
        )
            .into_response();
    };
    let listener = Listener {
        parts: console.parts.clone(),
        stop: console.stop.clone(),
        console,
        headers,
        page,
        seen: BTreeMap::new(),
        begun: false,
        _place: place,
    };
    let stream = futures_util::stream::unfold(listener, |mut listener| async move {
        let chunk = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(chunk)), listener))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

impl Listener {
    /// What is sent next; nothing when the stream ends.
    async fn next(&mut self) -> Option<String> {
        if self.begun {
            tokio::select! {
                biased;
                () = self.stop.wait() => return None,
                changed = self.parts.changed() => changed.ok()?,
                () = tokio::time::sleep(Duration::from_millis(BEAT_MS)) => return Some(":\n\n".to_owned()),
            }
        }
        // A session that has ended meanwhile ends the stream.
        if self.stop.is_stopping() || !self.page.is_for(&self.console.visitor(&self.headers)) {
            return None;
        }
        let retry = if self.begun { String::new() } else { format!("retry: {AGAIN_MS}\n") };
        self.begun = true;
        let parts = Arc::clone(&self.parts.borrow_and_update());
        let changed: BTreeMap<&str, &str> = parts
            .iter()
            .filter(|(name, html)| self.page.shows(name) && self.seen.get(name) != Some(html))
            .map(|(name, html)| (*name, html.as_str()))
            .collect();
        let data = serde_json::to_string(&changed).ok()?;
        self.seen.extend(parts.iter().cloned());
        Some(format!("{retry}data: {data}\n\n"))
    }
}
