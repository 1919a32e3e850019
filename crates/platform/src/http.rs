//! The edge: who calls, with which key and body; and problems as answers.

mod reading;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jangbu_contracts::codes::Code;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::time::Timestamp;
use serde::de::DeserializeOwned;

use crate::auth::{Caller, Keyring, Role};
use crate::clock::Clock;
use crate::db::{Answer, Fault, Key};

pub use reading::{JSON_DEPTH_MAX, read_json};

/// Largest body, bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of a batch, bytes.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Header of an answer whose key was answered before.
pub const REPLAY_HEADER: &str = "idempotent-replay";
/// Name of the cookie that holds the session of the bank's page.
pub const SESSION_COOKIE: &str = "jangbu_session";
/// Seconds after which one who was told "busy" may try again.
const RETRY_AFTER_S: u32 = 1;

/// What the edge needs to know callers; every router carries it as an extension.
#[derive(Clone)]
pub struct Gate {
    keys: Keyring,
    clock: Arc<dyn Clock>,
    wall: Arc<dyn Clock>,
}

/// An error as an answer.
#[derive(Clone, Debug)]
pub struct Refused(pub Box<Problem>, Option<Again>);

/// Left on an answer by a conflict: nothing of the request stands, and the edge may try it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again;

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem), None)
    }
}

impl Refused {
    /// A problem of one code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }
    /// A problem about one field.
    #[must_use]
    pub fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem::field(code, field, detail).into()
    }
    /// Not there, or not yours.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such thing, or it is not yours to see")
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy(why) => Self::new(Code::Busy, why),
            Fault::Conflict(why) => Self(Box::new(Problem::new(Code::Busy, why)), Some(Again)),
            Fault::Unavailable(why) => Self::new(Code::Unavailable, why),
            Fault::Storage { .. } => {
                tracing::error!(error = %fault, "the store failed");
                Self::new(Code::Unavailable, "the store failed; ask by your key whether it took effect")
            }
            Fault::Damaged(_) => {
                tracing::error!(error = %fault, "stored data is damaged");
                Self::new(Code::Internal, "an error of the bank; ask by your key whether it took effect")
            }
        }
    }
}

/// The code of an answer that is an error, left on the answer for whoever counts.
#[derive(Clone, Debug)]
pub struct ProblemCode(pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self.0.status, 429 | 503) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if self.0.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(ProblemCode(self.0.code));
        if let Some(again) = self.1 {
            response.extensions_mut().insert(again);
        }
        response
    }
}

/// JSON that was made before, as an answer.
#[must_use]
pub fn json_answer(answer: &Answer, replay: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if answer.status < 400 { "application/json" } else { "application/problem+json" };
    let mut response = (status, answer.body.clone()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if replay {
        response.headers_mut().insert(REPLAY_HEADER, HeaderValue::from_static("true"));
    }
    response
}

/// A value as a JSON answer.
///
/// # Errors
/// It can't be written as JSON.
pub fn json<T: serde::Serialize>(status: u16, value: &T, replay: bool) -> Result<Response, Refused> {
    let body = serde_json::to_string(value).map_err(|e| Fault::Damaged(e.to_string()))?;
    Ok(json_answer(&Answer { status, body }, replay))
}

/// The token a request carries: bearer, or the session of the bank's page.
#[must_use]
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if let Some(value) = bearer {
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(token.trim());
    }
    session(headers)
}

/// The token in the session cookie.
fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split(';').find_map(|c| c.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
}

/// Whether a request is vouched for by the session cookie alone, which browsers send on their own.
pub(crate) fn by_session_alone(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::AUTHORIZATION) && session(headers).is_some()
}

/// Whether a browser says that a page of this very host made the request. No browser lets other pages say so.
#[must_use]
pub fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    // Browsers too old for that header, and those that leave it out because the connection is not a private one.
    let authority = text("origin").and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_some() && authority == text("host")
}

impl Gate {
    /// A gate that knows callers by `keys`; requests are dated by `clock`, and credentials expire by it too.
    #[must_use]
    pub fn new(keys: Keyring, clock: Arc<dyn Clock>) -> Self {
        Self { keys, wall: Arc::clone(&clock), clock }
    }

    /// The same where credentials expire by a clock of their own: one that is moved by hand through years of banking
    /// must not take the operator's credential with it.
    #[must_use]
    pub fn with_wall_clock(mut self, wall: Arc<dyn Clock>) -> Self {
        self.wall = wall;
        self
    }

    /// The time by which requests are dated.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who calls.
    ///
    /// # Errors
    /// No credential, or not a good one.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let token = token(headers)
            .ok_or_else(|| Refused::new(Code::NoCredential, "send a bearer token in the Authorization header"))?;
        let verified = self.keys.verify(token, self.wall.now());
        verified.map_err(|e| Refused::new(e.code(), e.to_string()))
    }
}

/// Who calls, and when the request came in.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Caller,
    /// When.
    pub now: Timestamp,
}

impl Known {
    /// Only for operators and programs of the bank.
    ///
    /// # Errors
    /// The caller is a customer.
    pub fn staff(&self) -> Result<(), Refused> {
        if self.caller.role == Role::Customer {
            return Err(Refused::new(Code::Forbidden, "this call is for the bank's people and programs"));
        }
        Ok(())
    }
    /// Only for operators.
    ///
    /// # Errors
    /// The caller is none.
    pub fn operator(&self) -> Result<(), Refused> {
        if self.caller.role == Role::Operator {
            return Ok(());
        }
        Err(Refused::new(Code::Forbidden, "this call is for operators"))
    }
    /// Whether the caller may see what belongs to that customer.
    #[must_use]
    pub fn may_see(&self, customer: &str) -> bool {
        self.caller.role != Role::Customer || self.caller.subject == customer
    }
}

fn gate(parts: &Parts) -> Result<&Gate, Refused> {
    parts.extensions.get::<Gate>().ok_or_else(|| Refused::new(Code::Internal, "the edge was not set up"))
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let gate = gate(parts)?;
        Ok(Known { caller: gate.caller(&parts.headers)?, now: gate.clock.now() })
    }
}

/// The idempotency key of a request, with its caller.
#[derive(Clone, Debug)]
pub struct Keyed(pub Key);

/// Whether a text may be a key: 1-64 printable ASCII characters.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

impl<S: Send + Sync> FromRequestParts<S> for Keyed {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let caller = gate(parts)?.caller(&parts.headers)?;
        let value = parts.headers.get("idempotency-key");
        let value = value.ok_or_else(|| Refused::new(Code::KeyMissing, "this call needs an Idempotency-Key header"))?;
        match value.to_str() {
            Ok(key) if is_key(key) => Ok(Keyed(caller.key(key))),
            _ => Err(Refused::new(Code::KeyInvalid, "a key is 1 to 64 printable ASCII characters")),
        }
    }
}

/// A JSON body, read strictly; the bytes are kept for the request's hash.
#[derive(Clone, Debug)]
pub struct Strict<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Strict<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
            return Err(Refused::new(Code::UnsupportedMediaType, "send Content-Type: application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|e: BytesRejection| {
            if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Refused::new(Code::BodyTooLarge, "the body is larger than this call takes")
            } else {
                Refused::new(Code::MalformedJson, "the body could not be read")
            }
        })?;
        read_json(&bytes).map(Strict)
    }
}

/// Parameters of the query, read strictly.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Params(query.0)).map_err(|e: QueryRejection| wrong_query(&e.body_text()))
    }
}

/// What is wrong with a query, with the parameter where the reader tells it.
fn wrong_query(text: &str) -> Refused {
    let said = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let quoted = || said.split('`').nth(1).unwrap_or_default();
    if said.starts_with("missing field") {
        return Refused::field(Code::MissingField, quoted(), said);
    }
    if said.starts_with("unknown field") {
        return Refused::field(Code::UnknownField, quoted(), said);
    }
    match said.split_once(": ") {
        Some((field, why)) if field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            let code = if why.starts_with("id:") { Code::InvalidId } else { Code::InvalidField };
            Refused::field(code, field, why)
        }
        _ => Refused::new(Code::InvalidField, said),
    }
}

/// What stands in the path: something that can't be read is not there.
#[derive(Clone, Debug)]
pub struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| InPath(path.0)).map_err(|_| Refused::not_found())
    }
}

/// Reads an id out of a path: a malformed one is not found.
///
/// # Errors
/// 404.
pub fn path_id<T: std::str::FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::not_found())
}

/// Answers for paths and methods that don't exist.
pub fn with_fallbacks(router: axum::Router) -> axum::Router {
    router
        .fallback(|| async { Refused::new(Code::NotFound, "there is no such path") })
        .method_not_allowed_fallback(|| async { Refused::new(Code::MethodNotAllowed, "not with this method") })
}
