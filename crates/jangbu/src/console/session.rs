//! Who looks at the page: sessions begin by a link that is good once or by a token, and live in a cookie.

use std::sync::Arc;

use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jangbu_platform::auth::{AuthError, Role};
use jangbu_platform::http::{SESSION_COOKIE, from_own_page};

use super::{Console, pages};

/// Who asks for a page.
pub enum Visitor {
    /// One who may see it.
    Operator,
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
            Ok(caller) => Visitor::Other(caller.role),
            Err(refused) => Visitor::Stranger(refused.0.status == 401 && refused.0.code != "NO_CREDENTIAL"),
        }
    }

    /// What those see who may not see the page; nothing when they may.
    pub fn turned_away(&self, headers: &HeaderMap) -> Option<Response> {
        match self.visitor(headers) {
            Visitor::Operator => None,
            Visitor::Other(role) => Some(pages::not_operator(role.as_str())),
            Visitor::Stranger(_) if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") => {
                Some(pages::once_more())
            }
            Visitor::Stranger(brought) => {
                let why = brought.then_some("The session has ended. Log in again.");
                Some(pages::login(StatusCode::UNAUTHORIZED, why))
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

fn to_the_page(cookie: HeaderValue) -> Response {
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, HeaderValue::from_static("/"))])
        .into_response()
}

/// A value of a form, decoded; the first of its name.
fn value(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let found = form.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name))?.1;
    let mut out = Vec::with_capacity(found.len());
    let mut bytes = found.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// `GET /login`, with `?code=` from a link that is good once.
pub async fn follow(State(console): State<Arc<Console>>, method: Method, uri: Uri) -> Response {
    let Some(code) = value(uri.query().unwrap_or("").as_bytes(), "code") else {
        return pages::login(StatusCode::OK, None);
    };
    if method != Method::GET {
        return pages::login(StatusCode::OK, None); // a program that only looks must not use the link up
    }
    match console.links.redeem(&code, console.wall.now()) {
        Ok((session, seconds)) => to_the_page(cookie(&session, seconds)),
        Err(AuthError::Expired(_)) => pages::login(
            StatusCode::UNAUTHORIZED,
            Some("This link is too old: links are good for a quarter of an hour."),
        ),
        Err(_) => {
            let why =
                "This link is not good, or no longer: each logs in once. Paste the operator\u{2019}s token instead.";
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
    let token = value(&form, "token").unwrap_or_default();
    let (token, now) = (token.trim(), console.wall.now());
    match console.keys.verify(token, now).and_then(|caller| Ok((caller, console.links.exchange(token, now)?))) {
        Ok((caller, _)) if caller.role != Role::Operator => {
            let why = format!("This token is good, but its role is {}. The page is for operators.", caller.role);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let get = |form: &str| value(form.as_bytes(), "token");
        assert_eq!(get("a=1&token=x%2Ey+z%0D%0A&token=2"), Some("x.y z\r\n".to_owned()));
        assert_eq!(get("token="), Some(String::new()));
        for bad in ["", "tokens=1", "token=%", "token=%4", "token=%zz", "token=%ff"] {
            assert_eq!(get(bad), None, "{bad}");
        }
    }
}
