//! The calls that every service has for the bank's operators, to be merged into its own under `/{service}/v1`.
//!
//! | call | who |
//! |---|---|
//! | `GET /dead-letters`, `GET /dead-letters/{id}` | staff |
//! | `POST /dead-letters/{id}/redrive` | operators |
//! | `POST /dead-letters/{id}/drop` | operators, and a second one who approves |
//! | `GET /approvals`, `GET /approvals/{id}` | staff |
//! | `POST /approvals/{id}` | operators |
//! | `GET /audit` | operators |

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::operators as wire;
use jangbu_contracts::operators::Approval;
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{ApprovalId, DeadLetterId};
use jangbu_kernel::time::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::approvals::{self, Action, Approvals, Shown, Wish};
use crate::audit;
use crate::consumer::letters::{self, DeadLetter, LetterState};
use crate::consumer::{Consumer, Reject};
use crate::db::{Db, Fault, Tx};
use crate::http::{InPath, Known, Params, Refused, Strict, json, path_id, read_json};
use crate::openapi::Calls;
use crate::paging;

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 1_000;

type Answer = Result<Response, Refused>;

/// One service's operator calls.
#[derive(Clone)]
pub struct Desk {
    db: Db,
    consumers: Arc<[Consumer]>,
    approvals: Approvals,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

/// A reason that was given, and is not too long.
///
/// # Errors
/// It says nothing, or too much.
pub fn reason(text: &str) -> Result<&str, Refused> {
    if text.trim().is_empty() || text.chars().count() > REASON_CHARS_MAX {
        let why = format!("say why, in at most {REASON_CHARS_MAX} characters");
        return Err(Refused::field(Code::InvalidField, "reason", why));
    }
    Ok(text)
}

impl Desk {
    /// Operator calls of the service on `db`; `actions` are what it has done once a second person agreed.
    #[must_use]
    pub fn new(db: &Db, consumers: &[Consumer], mut actions: Vec<Arc<dyn Action>>) -> Self {
        actions.push(Arc::new(DropLetter));
        Self { db: db.clone(), consumers: consumers.into(), approvals: Approvals::new(db.clone(), actions) }
    }

    /// Where the service's own calls ask for a second person.
    #[must_use]
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// The calls, with their part of the service's document.
    pub fn calls(&self) -> Calls {
        Calls::default()
            .routes(routes!(list_letters))
            .routes(routes!(letter))
            .routes(routes!(redrive))
            .routes(routes!(drop_letter))
            .routes(routes!(list_approvals))
            .routes(routes!(approval, decide))
            .routes(routes!(list_audit))
            .with_state(self.clone())
    }

    /// The calls alone.
    pub fn router(&self) -> Router {
        self.calls().into()
    }

    async fn letter(&self, id: DeadLetterId) -> Result<DeadLetter, Refused> {
        let mut tx = self.db.read("dead_letter.show").await?;
        letters::find(&mut tx, id).await?.ok_or_else(Refused::not_found)
    }
}

fn shown(letter: DeadLetter) -> wire::DeadLetter {
    let DeadLetter { id, group, event, reason, tries, state, parked_at } = letter;
    wire::DeadLetter {
        id,
        group,
        topic: event.topic,
        key: event.key,
        event: event.id,
        event_type: event.event_type,
        payload: event.payload,
        reason,
        tries,
        state,
        parked_at: Timestamp::from_micros(parked_at),
    }
}

/// Query of `GET …/dead-letters`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Letters {
    /// Only those.
    #[param(inline)]
    state: Option<LetterState>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Parked events, oldest first.
#[utoipa::path(
    get, path = "/dead-letters", tag = "operators",
    params(Letters),
    responses((status = 200, body = Page<wire::DeadLetter>)),
)]
async fn list_letters(State(desk): State<Desk>, known: Known, Params(query): Params<Letters>) -> Answer {
    known.staff()?;
    let (limit, after) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?);
    let mut tx = desk.db.read("dead_letter.list").await?;
    let mut items = letters::list(&mut tx, query.state, after, limit + 1).await?;
    let next = paging::next(&mut items, limit, |letter| letter.id.to_string());
    json(200, &Page { items: items.into_iter().map(shown).collect(), next }, false)
}

/// One parked event.
#[utoipa::path(
    get, path = "/dead-letters/{id}", tag = "operators",
    params(("id" = DeadLetterId, Path)),
    responses((status = 200, body = wire::DeadLetter)),
)]
async fn letter(State(desk): State<Desk>, known: Known, InPath(id): InPath<String>) -> Answer {
    known.staff()?;
    json(200, &shown(desk.letter(path_id(&id)?).await?), false)
}

/// Only what is parked can be driven again or dropped.
fn parked(letter: &DeadLetter) -> Result<(), Refused> {
    if letter.state == "parked" {
        return Ok(());
    }
    Err(Refused::new(Code::LetterSettled, format!("it was {} before", letter.state)))
}

/// Drives the parked events of this one's key again, oldest first.
#[utoipa::path(
    post, path = "/dead-letters/{id}/redrive", tag = "operators",
    params(("id" = DeadLetterId, Path)),
    request_body = Option<wire::Redrive>,
    responses((status = 200, body = wire::Redriven)),
)]
async fn redrive(State(desk): State<Desk>, known: Known, InPath(id): InPath<String>, body: Bytes) -> Answer {
    known.operator()?;
    let body: wire::Redrive = if body.is_empty() { wire::Redrive::default() } else { read_json(&body)? };
    if !body.reason.is_empty() {
        reason(&body.reason)?;
    }
    let letter = desk.letter(path_id(&id)?).await?;
    parked(&letter)?;
    let consumer = desk.consumers.iter().find(|consumer| consumer.group == letter.group);
    let consumer = consumer.ok_or_else(|| Fault::Damaged(format!("nobody here is group {}", letter.group)))?;
    let driven = consumer.redrive(&letter.event.key, &known.caller.to_string(), &body.reason).await?;
    match driven.rejected {
        None => json(200, &wire::Redriven { redriven: driven.done }, false),
        Some((_, Reject::Fault(fault))) => Err(fault.into()),
        Some((id, Reject::Poison(why))) => {
            let why = format!("{id}: {why}; {} went through before it", driven.done);
            Err(Refused::new(Code::RedriveRejected, why))
        }
    }
}

/// Asks a second person to leave a parked event out for ever.
#[utoipa::path(
    post, path = "/dead-letters/{id}/drop", tag = "operators",
    params(("id" = DeadLetterId, Path)),
    request_body = wire::Drop,
    responses((status = 202, body = wire::Accepted)),
)]
async fn drop_letter(
    State(desk): State<Desk>,
    known: Known,
    InPath(id): InPath<String>,
    Strict(body): Strict<wire::Drop>,
) -> Answer {
    known.operator()?;
    let letter = desk.letter(path_id(&id)?).await?;
    parked(&letter)?;
    let (subject, action) = (letter.id.to_string(), serde_json::json!({ "letter": letter.id }).to_string());
    let wish = Wish {
        by: &known.caller,
        kind: DropLetter::KIND,
        subject: &subject,
        action: &action,
        reason: reason(&body.reason)?,
    };
    json(202, &desk.approvals.ask(&wish).await?, false)
}

/// Leaves a parked event out for ever. Those behind it stay parked until they are driven again.
struct DropLetter;

impl DropLetter {
    const KIND: &'static str = "dead_letter.drop";
}

impl Action for DropLetter {
    fn kind(&self) -> &'static str {
        Self::KIND
    }
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx,
        asked: &'a Approval,
        _seen: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<String, Refused>> {
        Box::pin(async move {
            let letter = letters::find(tx, path_id(&asked.subject)?).await?.ok_or_else(Refused::not_found)?;
            parked(&letter)?;
            letters::settle(tx, letter.id, "dropped").await?;
            Ok(format!("event {} of {} was dropped", letter.event.id, letter.event.topic))
        })
    }
}

/// Query of `GET …/approvals`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListApprovals {
    /// Only those.
    #[param(inline)]
    state: Option<Shown>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// What waits for a second person, and what was decided; oldest first.
#[utoipa::path(
    get, path = "/approvals", tag = "operators",
    params(ListApprovals),
    responses((status = 200, body = Page<Approval>)),
)]
async fn list_approvals(State(desk): State<Desk>, known: Known, Params(query): Params<ListApprovals>) -> Answer {
    known.staff()?;
    let (limit, after) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?);
    let mut tx = desk.db.read("approval.list").await?;
    let mut items = approvals::list(&mut tx, query.state, after, limit + 1).await?;
    let next = paging::next(&mut items, limit, |approval| approval.id.to_string());
    json(200, &Page { items, next }, false)
}

/// One approval.
#[utoipa::path(
    get, path = "/approvals/{id}", tag = "operators",
    params(("id" = ApprovalId, Path)),
    responses((status = 200, body = Approval)),
)]
async fn approval(State(desk): State<Desk>, known: Known, InPath(id): InPath<String>) -> Answer {
    known.staff()?;
    let id: ApprovalId = path_id(&id)?;
    let mut tx = desk.db.read("approval.show").await?;
    json(200, &approvals::find(&mut tx, id).await?.ok_or_else(Refused::not_found)?, false)
}

/// Decides as the second person; what was asked for is done at once.
#[utoipa::path(
    post, path = "/approvals/{id}", tag = "operators",
    params(("id" = ApprovalId, Path)),
    request_body = wire::Decide,
    responses((status = 200, body = Approval)),
)]
async fn decide(
    State(desk): State<Desk>,
    known: Known,
    InPath(id): InPath<String>,
    Strict(body): Strict<wire::Decide>,
) -> Answer {
    known.operator()?;
    let decided = desk.approvals.decide(path_id(&id)?, &known.caller, body.decision, reason(&body.reason)?);
    json(200, &decided.await?, false)
}

/// Query of `GET …/audit`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListAudit {
    /// Only about this id or code.
    subject: Option<String>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// What operators did, newest first; each entry is chained to the one before.
#[utoipa::path(
    get, path = "/audit", tag = "operators",
    params(ListAudit),
    responses((status = 200, body = Page<wire::AuditEntry>)),
)]
async fn list_audit(State(desk): State<Desk>, known: Known, Params(query): Params<ListAudit>) -> Answer {
    known.operator()?;
    let (limit, before) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?);
    let mut tx = desk.db.read("audit.list").await?;
    let mut items = audit::list(&mut tx, query.subject.as_deref(), before, limit + 1).await?;
    let next = paging::next(&mut items, limit, |entry| entry.seq.to_string());
    json(200, &Page { items, next }, false)
}
