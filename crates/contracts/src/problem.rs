//! Errors on the wire: `application/problem+json` (RFC 9457) with a stable code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::codes::Code;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// The field it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For people.
    pub detail: String,
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Page of the code.
    #[serde(rename = "type")]
    pub page: String,
    /// What the code means.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// For people.
    pub detail: String,
    /// All that is wrong, where it is more than one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

impl Problem {
    /// A problem of one code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            page: format!("/docs/codes/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail: detail.into(),
            failures: Vec::new(),
        }
    }

    /// A problem about one field.
    #[must_use]
    pub fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let failure = Failure { code: code.as_str().into(), field: Some(field.into()), detail: detail.clone() };
        Self { failures: vec![failure], ..Self::new(code, detail) }
    }

    /// A problem about several fields, each with why; one code for all.
    #[must_use]
    pub fn fields(code: Code, found: Vec<(String, String)>) -> Self {
        let failure = |(field, detail)| Failure { code: code.as_str().into(), field: Some(field), detail };
        let failures: Vec<Failure> = found.into_iter().map(failure).collect();
        let said = |f: &Failure| format!("{} {}", f.field.as_deref().unwrap_or_default(), f.detail);
        let detail = failures.iter().map(said).collect::<Vec<_>>().join("; ");
        Self { failures, ..Self::new(code, detail) }
    }

    /// A problem of several failures; the first gives code and status.
    #[must_use]
    pub fn failed(failures: Vec<Failure>) -> Self {
        let first = failures.first().map(|f| (Code::parse(&f.code).unwrap_or(Code::Internal), f.detail.clone()));
        let (code, detail) = first.unwrap_or((Code::Internal, String::new()));
        Self { failures, ..Self::new(code, detail) }
    }

    /// A refusal with every failure found; the first gives code and status.
    #[must_use]
    pub fn refused(found: &[(Code, String)]) -> Self {
        let (code, detail) = found.first().map_or((Code::Internal, String::new()), |(c, d)| (*c, d.clone()));
        let failure = |(c, d): &(Code, String)| Failure { code: c.as_str().into(), field: None, detail: d.clone() };
        Self { failures: found.iter().map(failure).collect(), ..Self::new(code, detail) }
    }
}
