//! Calls that every service has for the bank's operators: dead letters, approvals, and what operators did.

use jangbu_kernel::id::{ApprovalId, DeadLetterId, EventId};
use jangbu_kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A parked event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Id.
    pub id: DeadLetterId,
    /// The group that could not take it.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// What its order belongs to; later events of the same key wait behind it.
    pub key: String,
    /// The event's own id.
    pub event: EventId,
    /// The event's type.
    pub event_type: String,
    /// The event as it came.
    pub payload: String,
    /// Why it was parked.
    pub reason: String,
    /// How often it was tried.
    pub tries: i64,
    /// `parked`, `redriven` or `dropped`.
    pub state: String,
    /// When it was parked.
    pub parked_at: Timestamp,
}

/// `POST …/dead-letters/{id}/redrive`; the body may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Why; kept.
    #[serde(default)]
    pub reason: String,
}

/// Answer to a redrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redriven {
    /// Letters that went through: all parked ones of the key, oldest first.
    pub redriven: u64,
}

/// `POST …/dead-letters/{id}/drop`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// Why the event may be left out for ever; kept.
    pub reason: String,
}

/// Answer 202 to a call that needs a second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// What the second person decides.
    pub approval: ApprovalId,
}

/// Something that waits for a second person, or was decided by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Id.
    pub id: ApprovalId,
    /// What is asked for, like `dead_letter.drop`.
    pub kind: String,
    /// What it is about: an id or a code.
    pub subject: String,
    /// What will be done.
    pub action: serde_json::Value,
    /// Why it is asked for.
    pub reason: String,
    /// Role and subject of who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// `pending`, `approved`, `rejected` or `expired`.
    pub state: String,
    /// Role and subject of who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// Why it was decided so.
    pub decision_reason: Option<String>,
    /// What was done.
    pub result: Option<String>,
}

/// A second person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Let it be done.
    Approve,
    /// Leave it.
    Reject,
}

/// `POST …/approvals/{id}`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Approve or reject.
    pub decision: Decision,
    /// Why; kept.
    pub reason: String,
}

/// Something an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Role and subject of who did it.
    pub who: String,
    /// What was done, like `account.mark`.
    pub what: String,
    /// To what: an id or a code.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// What came of it.
    pub result: String,
    /// Hash of this entry and of all before it, hexadecimal.
    pub hash: String,
}
