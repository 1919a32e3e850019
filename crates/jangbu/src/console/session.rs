//! Who looks at the page: sessions begin by a link that is good once or by a token, and live in a cookie.

use std::sync::Arc;

use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jangbu_kernel::id::CustomerId;
use jangbu_platform::auth::{AuthError, Role};
use jangbu_platform::http::{SESSION_COOKIE, from_own_page};

use super::form::Form;
use super::{Console, pages};

/// Who asks for a page.
pub enum Visitor {
    /// One who may see it.
    Operator,
    /// A customer, who has a page of his own.
    Customer(CustomerId),
    /// One whom the bank knows in another role.
    Other(Role),
    /// One without a credential that is good; true when he brought one that is not.
    Stranger(bool),
}

impl Console {
    /// Who asks.
    pub fn visitor(&self, headers: &HeaderMap) -> Visitor {
        match self.gate.caller(headers) {
            Ok(caller) if caller.role == Role::Operator => Visitor::Operator,
            Ok(caller) => match caller.subject.parse() {
                Ok(customer) if caller.role == Role::Customer && self.counter.is_some() => Visitor::Customer(customer),
                _ => Visitor::Other(caller.role),
            },
            Err(refused) => Visitor::Stranger(refused.0.status == 401 && refused.0.code != "NO_CREDENTIAL"),
        }
    }

    /// What those see who may not see an operators' page; nothing when they may.
    pub fn turned_away(&self, headers: &HeaderMap) -> Option<Response> {
        match self.visitor(headers) {
            Visitor::Operator => None,
            Visitor::Customer(_) => Some(see("/my")),
            other => Some(Self::unknown(&other, headers)),
        }
    }

    /// The customer who looks at his page.
    ///
    /// # Errors
    /// What others see there.
    pub fn customer(&self, headers: &HeaderMap) -> Result<CustomerId, Box<Response>> {
        match self.visitor(headers) {
            Visitor::Customer(customer) => Ok(customer),
            Visitor::Operator => Err(Box::new(see("/"))),
            other => Err(Box::new(Self::unknown(&other, headers))),
        }
    }

    /// What those see who have no page.
    fn unknown(visitor: &Visitor, headers: &HeaderMap) -> Response {
        match visitor {
            Visitor::Operator | Visitor::Customer(_) => see("/"),
            Visitor::Other(role) => pages::not_operator(role.as_str()),
            Visitor::Stranger(_) if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") => {
                pages::once_more()
            }
            Visitor::Stranger(brought) => {
                let why = brought.then_some("The session has ended. Log in again.");
                pages::login(StatusCode::UNAUTHORIZED, why)
            }
        }
    }
}

/// A header that sets the session.
fn cookie(token: &str, seconds: u64) -> HeaderValue {
    let text = format!("{SESSION_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Sends a browser to another page of the bank.
pub fn see(path: &str) -> Response {
    let path = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

fn to_the_page(cookie: HeaderValue) -> Response {
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, HeaderValue::from_static("/"))])
        .into_response()
}

/// `GET /login`, with `?code=` from a link that is good once.
pub async fn follow(State(console): State<Arc<Console>>, method: Method, uri: Uri) -> Response {
    let query = Form::read(uri.query().unwrap_or("").as_bytes());
    let Some(code) = query.get("code") else {
        return pages::login(StatusCode::OK, None);
    };
    if method != Method::GET {
        return pages::login(StatusCode::OK, None); // a program that only looks must not use the link up
    }
    match console.links.redeem(code, console.wall.now()) {
        Ok((session, seconds)) => to_the_page(cookie(&session, seconds)),
        Err(AuthError::Expired(_)) => pages::login(
            StatusCode::UNAUTHORIZED,
            Some("This link is too old: links are good for a quarter of an hour."),
        ),
        Err(_) => {
            let why = "This link is not good, or no longer: each logs in once. Paste a token instead.";
            pages::login(StatusCode::UNAUTHORIZED, Some(why))
        }
    }
}

/// `POST /login`, with a token pasted into the form.
pub async fn enter(State(console): State<Arc<Console>>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let says_where = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if says_where && !from_own_page(&headers) {
        return pages::login(StatusCode::FORBIDDEN, Some("Another site sent this form. Log in here."));
    }
    let form = Form::read(&form);
    let (token, now) = (form.text("token"), console.wall.now());
    match console.keys.verify(token, now).and_then(|caller| Ok((caller, console.links.exchange(token, now)?))) {
        Ok((caller, _))
            if !(caller.role == Role::Operator || caller.role == Role::Customer && console.counter.is_some()) =>
        {
            let why = format!("This token is good, but its role is {}, which has no page.", caller.role);
            pages::login(StatusCode::FORBIDDEN, Some(&why))
        }
        Ok((_, (session, seconds))) => to_the_page(cookie(&session, seconds)),
        Err(AuthError::Expired(at)) => {
            pages::login(StatusCode::UNAUTHORIZED, Some(&format!("This token expired at {at}.")))
        }
        Err(_) => pages::login(StatusCode::UNAUTHORIZED, Some("This is not a token that this bank signed.")),
    }
}

/// `POST /logout`
pub async fn leave() -> Response {
    to_the_page(cookie("", 0))
}
