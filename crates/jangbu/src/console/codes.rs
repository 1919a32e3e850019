//! `/docs/codes/CODE`: the page that a problem's `type` names. The pages are part of the program.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::{markdown, pages};

// `PAGES`: code and text of every page in `docs/codes`, in order; written by the build script.
include!(concat!(env!("OUT_DIR"), "/code_pages.rs"));

/// `GET /docs/codes`
pub async fn list() -> Response {
    let mut content = String::from("<ul class=\"rows\">\n");
    for (code, text) in PAGES {
        // The line below the heading: status and title.
        let said = text.lines().nth(2).unwrap_or("").trim_end_matches('.');
        let _ =
            writeln!(content, "<li><a class=\"name\" href=\"/docs/codes/{code}\">{code}</a> <span>{said}</span></li>");
    }
    content.push_str("</ul>\n");
    pages::narrow(StatusCode::OK, "Error codes", &format!("<h1>Error codes</h1>\n{content}"))
}

/// `GET /docs/codes/{code}`
pub async fn page(Path(code): Path<String>) -> Response {
    match PAGES.iter().find(|(known, _)| *known == code) {
        Some((code, text)) => {
            // A long code may break where its words end.
            let article = markdown::html(text).replacen(code, &code.replace('_', "_<wbr>"), 1);
            let content = format!("<article>\n{article}</article>\n<p><a href=\"/docs/codes\">All codes</a></p>\n");
            pages::narrow(StatusCode::OK, code, &content)
        }
        None => pages::not_found("There is no such code."),
    }
}

#[cfg(test)]
mod tests {
    use jangbu_contracts::codes::Code;

    use super::PAGES;

    #[test]
    fn every_code_has_its_page() {
        for (code, text) in PAGES {
            assert!(Code::parse(code).is_some(), "{code}");
            assert!(text.starts_with(&format!("# {code}\n\nHTTP ")), "{code}");
        }
        assert!(PAGES.len() > 50 && PAGES.is_sorted());
    }
}
