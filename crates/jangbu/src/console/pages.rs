//! The frame that all pages share, and the pages without figures.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::text::Escaped;

/// A whole page; `head` goes into its head, `body` into its body. Both are HTML.
#[must_use]
pub fn document(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/assets/style.css\">\n{head}</head>\n<body>\n{body}</body>\n</html>\n",
        Escaped(title)
    )
}

/// An HTML answer.
#[must_use]
pub fn html(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

/// The name of the house, for the top of a page.
pub const MARK: &str = "<a class=\"mark\" href=\"/\"><svg viewBox=\"0 0 24 24\" width=\"24\" height=\"24\" aria-hidden=\"true\">\
    <rect class=\"seal\" width=\"24\" height=\"24\" rx=\"5\"/><path class=\"seal-lines\" d=\"M5.5 7.5h13M12 7.5V19\"/></svg>\
    <span>Jangbu</span></a>";

/// A narrow page of some content, which is HTML with its own heading.
#[must_use]
pub fn narrow(status: StatusCode, title: &str, content: &str) -> Response {
    let body = format!("<main class=\"narrow\">\n<p class=\"house\">{MARK}</p>\n{content}</main>\n");
    html(status, document(&format!("{title} · Jangbu"), "", &body))
}

/// The form for a token; `why` says what went wrong before.
#[must_use]
pub fn login(status: StatusCode, why: Option<&str>) -> Response {
    let title = "Log in to the bank\u{2019}s page";
    let mut content = format!("<h1>{title}</h1>\n");
    if let Some(why) = why {
        let _ = writeln!(content, "<p class=\"alert\" role=\"alert\">{}</p>", Escaped(why));
    }
    content.push_str(
        "<form method=\"post\" action=\"/login\">\n\
         <label for=\"token\">Token</label>\n\
         <textarea id=\"token\" name=\"token\" rows=\"5\" required autofocus spellcheck=\"false\" autocomplete=\"off\" \
         autocapitalize=\"off\" aria-describedby=\"where\"></textarea>\n\
         <p id=\"where\" class=\"hint\">An operator\u{2019}s lies in <code>operator.token</code> in the bank\u{2019}s directory \
         (<code>jangbu-data</code> unless told otherwise). <code>jangbu up</code> also prints a link that logs in once, as does \
         <code>jangbu sim --watch</code>. <code>jangbu token --role customer --subject ID</code> prints a customer\u{2019}s.</p>\n\
         <button type=\"submit\">Log in</button>\n</form>\n",
    );
    narrow(status, title, &content)
}

/// For those whom the bank knows, but not as an operator.
#[must_use]
pub fn not_operator(role: &str) -> Response {
    let content = format!(
        "<h1>Not for you to see</h1>\n<p>You are logged in as <em>{}</em>. This page is for operators only.</p>\n\
         <form method=\"post\" action=\"/logout\"><button type=\"submit\">Log in as somebody else</button></form>\n",
        Escaped(role)
    );
    narrow(StatusCode::FORBIDDEN, "Not for you to see", &content)
}

/// Asks the browser to come again from here: it keeps the session to itself when another site's link was followed.
#[must_use]
pub fn once_more() -> Response {
    let body = "<main class=\"narrow\"><p><a href=\"/\">Go on to the bank\u{2019}s page</a></p></main>\n";
    html(StatusCode::OK, document("Jangbu", "<meta http-equiv=\"refresh\" content=\"0;url=/\">\n", body))
}

/// A page that is not there.
#[must_use]
pub fn not_found(what: &str) -> Response {
    narrow(StatusCode::NOT_FOUND, "Not found", &format!("<h1>Not found</h1>\n<p>{}</p>\n", Escaped(what)))
}
