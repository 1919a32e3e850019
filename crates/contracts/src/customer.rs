//! Calls and events of the customer service.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::CustomerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Person or corporation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A natural person.
    Person,
    /// A legal person.
    Corporation,
}

/// `POST /customer/v1/customers`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "Hong Gildong", "birth_date": "1990-03-01", "kind": "person"}))]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Full name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Date of birth, or of founding; not ahead.
    pub birth_date: BusinessDate,
    /// Person or corporation.
    pub kind: Kind,
}

/// Sums over all customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Customers registered.
    pub customers: u64,
}

/// A customer as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// Id.
    pub id: CustomerId,
    /// Full name.
    pub name: String,
    /// Date of birth, or of founding.
    pub birth_date: BusinessDate,
    /// Person or corporation.
    pub kind: Kind,
    /// `active`, or `restricted` when any mark is set.
    pub status: String,
    /// `verified` or `expired`.
    pub kyc: String,
    /// Marks that are set.
    pub marks: Vec<String>,
}

/// `PUT …/marks/{mark}`, here and on accounts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"on": true, "reason": "death notice of 2026-01-02"}))]
#[serde(deny_unknown_fields)]
pub struct SetMark {
    /// Set or cleared.
    pub on: bool,
    /// Why; kept.
    pub reason: String,
}

/// Event: a customer's standing changed (or began). It says nothing of the person: events are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingChangedV1 {
    /// Who.
    pub customer: CustomerId,
    /// Grows by one with each change.
    pub version: i64,
    /// Person or corporation.
    pub kind: Kind,
    /// Marks that are set.
    pub marks: Vec<String>,
}

impl StandingChangedV1 {
    /// Its type in the log.
    pub const TYPE: &'static str = "standing_changed.v1";
}
