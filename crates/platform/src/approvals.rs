//! What takes a second person: one operator asks, another decides, and what was asked for is done by the unit of work
//! that decides.
//!
//! | call | statements |
//! |---|---|
//! | ask | one read, one row, one audit row |
//! | decide | one read, the action's own, one update, one audit row |

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::operators::{Accepted, Approval, Decision};
use jangbu_kernel::id::ApprovalId;
use jangbu_kernel::time::Timestamp;

use crate::audit::{self, Deed};
use crate::auth::Caller;
use crate::db::{Db, Fault, Inserted, Row, Tx, Value};
use crate::http::Refused;

/// How long an approval waits for a decision, in microseconds: a day.
pub const APPROVAL_US_MAX: i64 = 24 * 3_600 * 1_000_000;

/// Something that may be done once a second person has agreed.
pub trait Action: Send + Sync {
    /// Its name, like `dead_letter.drop`.
    fn kind(&self) -> &'static str;
    /// Asks other services what it rests on, before the unit of work begins, so that nobody waits for them in it. Only
    /// what can't change any more may be taken from there.
    fn look<'a>(&'a self, _asked: &'a Approval) -> BoxFuture<'a, Result<serde_json::Value, Refused>> {
        Box::pin(async { Ok(serde_json::Value::Null) })
    }
    /// Does it, in the unit of work that decides, by what [`Action::look`] saw; the text says what was done. It looks
    /// again whether it can be done: time has passed since it was asked for. A refusal leaves everything as it was, and
    /// the approval open.
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx,
        asked: &'a Approval,
        seen: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<String, Refused>>;
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who asks.
    pub by: &'a Caller,
    /// Name of the [`Action`].
    pub kind: &'static str,
    /// What it is about: an id or a code.
    pub subject: &'a str,
    /// What is to be done, as JSON that the action reads.
    pub action: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// One service's approvals.
#[derive(Clone)]
pub struct Approvals {
    db: Db,
    actions: Arc<Vec<Arc<dyn Action>>>,
}

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Approvals")
    }
}

/// Which approvals a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Those that can be decided.
    Pending,
    /// Those that were done.
    Approved,
    /// Those that were declined.
    Rejected,
    /// Those that nobody decided in time.
    Expired,
}

const SELECT: &str = "SELECT id, kind, subject, action, reason, asked_by, asked_at, expires_at, state, decided_by, \
                      decided_at, decision_reason, result FROM approval";

fn approval(row: &Row, now: Timestamp) -> Result<Approval, Fault> {
    let action = serde_json::from_str(row.text(3)).map_err(|e| Fault::Damaged(format!("an approval's action: {e}")))?;
    let expires_at = Timestamp::from_micros(row.int(7));
    let state = if row.text(8) == "pending" && expires_at <= now { "expired" } else { row.text(8) };
    Ok(Approval {
        id: ApprovalId::from_bytes(row.id(0)),
        kind: row.text(1).to_owned(),
        subject: row.text(2).to_owned(),
        action,
        reason: row.text(4).to_owned(),
        asked_by: row.text(5).to_owned(),
        asked_at: Timestamp::from_micros(row.int(6)),
        expires_at,
        state: state.to_owned(),
        decided_by: row.opt_text(9).map(str::to_owned),
        decided_at: row.opt_int(10).map(Timestamp::from_micros),
        decision_reason: row.opt_text(11).map(str::to_owned),
        result: row.opt_text(12).map(str::to_owned),
    })
}

/// One approval.
///
/// # Errors
/// The engine failed.
pub async fn find(tx: &mut Tx, id: ApprovalId) -> Result<Option<Approval>, Fault> {
    let row = tx.query_one(&format!("{SELECT} WHERE id = ? FOR UPDATE"), &[Value::Bytes(&id.to_bytes())]).await?;
    row.map(|row| approval(&row, tx.now())).transpose()
}

/// Approvals after `after`, oldest first, in one state or in all.
///
/// # Errors
/// The engine failed.
pub async fn list(
    tx: &mut Tx,
    shown: Option<Shown>,
    after: Option<ApprovalId>,
    limit: u32,
) -> Result<Vec<Approval>, Fault> {
    let (now, after) = (tx.now(), after.map_or([0; 16], ApprovalId::to_bytes));
    let (after, limit, at) = (Value::Bytes(&after), Value::from(limit), Value::from(now.micros()));
    let (which, params) = match shown {
        None => ("id > ?", vec![after, limit]),
        Some(Shown::Pending) => ("state = 'pending' AND id > ? AND expires_at > ?", vec![after, at, limit]),
        Some(Shown::Expired) => ("state = 'pending' AND id > ? AND expires_at <= ?", vec![after, at, limit]),
        Some(Shown::Approved) => ("state = 'approved' AND id > ?", vec![after, limit]),
        Some(Shown::Rejected) => ("state = 'rejected' AND id > ?", vec![after, limit]),
    };
    let rows = tx.query(&format!("{SELECT} WHERE {which} ORDER BY id LIMIT ?"), &params).await?;
    rows.iter().map(|row| approval(row, now)).collect()
}

/// Writes a wish down, in the caller's unit of work. The same wish that still waits is not written twice.
///
/// # Errors
/// The engine failed.
pub async fn ask(tx: &mut Tx, wish: &Wish<'_>) -> Result<ApprovalId, Fault> {
    let now = tx.now().micros();
    let sql = "SELECT id FROM approval WHERE state = 'pending' AND expires_at > ? AND kind = ? AND subject = ? \
               AND action = ? AND asked_by = ? FOR UPDATE";
    let by = wish.by.to_string();
    let same = [now.into(), wish.kind.into(), wish.subject.into(), wish.action.into(), (&by).into()];
    if let Some(waiting) = tx.query_one(sql, &same).await? {
        return Ok(ApprovalId::from_bytes(waiting.id(0)));
    }
    let id = tx.new_id();
    let row = [
        Value::Bytes(&id),
        wish.kind.into(),
        wish.subject.into(),
        wish.action.into(),
        wish.reason.into(),
        (&by).into(),
        now.into(),
        (now + APPROVAL_US_MAX).into(),
        "pending".into(),
    ];
    let sql = "INSERT INTO approval (id, kind, subject, action, reason, asked_by, asked_at, expires_at, state) \
               VALUES (?*)";
    if tx.insert(sql, &row).await? == Inserted::Duplicate {
        return Err(Fault::Busy("the approval's id was taken".into()));
    }
    let id = ApprovalId::from_bytes(id);
    let (what, result) = (format!("{}.ask", wish.kind), id.to_string());
    let deed = Deed { who: &by, what: &what, subject: wish.subject, reason: wish.reason, result: &result };
    audit::note(tx, &deed).await?;
    Ok(id)
}

impl Approvals {
    /// Approvals of the actions that this service knows.
    #[must_use]
    pub fn new(db: Db, actions: Vec<Arc<dyn Action>>) -> Self {
        Self { db, actions: Arc::new(actions) }
    }

    /// Writes a wish down, in a unit of work of its own; the answer 202 to who asked.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn ask(&self, wish: &Wish<'_>) -> Result<Accepted, Fault> {
        let mut tx = self.db.begin("approval.ask").await?;
        let approval = ask(&mut tx, wish).await?;
        tx.commit().await?;
        Ok(Accepted { approval })
    }

    /// Decides; what was asked for is done by the same unit of work.
    ///
    /// # Errors
    /// There is no such approval, the decider is who asked, it was decided before, its time has passed, or what was
    /// asked for can't be done; nothing was changed.
    pub async fn decide(
        &self,
        id: ApprovalId,
        by: &Caller,
        decision: Decision,
        reason: &str,
    ) -> Result<Approval, Refused> {
        let seen = self.look(id, by, decision).await?;
        let mut tx = self.db.begin("approval.decide").await?;
        let mut asked = find(&mut tx, id).await?.ok_or_else(Refused::not_found)?;
        let who = by.to_string();
        decidable(&asked, by)?;
        let result = match decision {
            Decision::Approve => Some(self.action(&asked.kind)?.carry_out(&mut tx, &asked, &seen).await?),
            Decision::Reject => None,
        };
        let (state, word) = match decision {
            Decision::Approve => ("approved", "approve"),
            Decision::Reject => ("rejected", "reject"),
        };
        let now = tx.now();
        let sql = "UPDATE approval SET state = ?, decided_by = ?, decided_at = ?, decision_reason = ?, result = ? \
                   WHERE id = ?";
        let key = id.to_bytes();
        let done = result.as_deref();
        let row = [state.into(), (&who).into(), now.micros().into(), reason.into(), done.into(), Value::Bytes(&key)];
        tx.execute(sql, &row).await?;
        let what = format!("{}.{word}", asked.kind);
        let came = format!("{id} {}", done.unwrap_or("was declined"));
        let deed = Deed { who: &who, what: &what, subject: &asked.subject, reason, result: &came };
        audit::note(&mut tx, &deed).await?;
        tx.commit().await?;
        asked.state = state.to_owned();
        asked.decided_by = Some(who);
        asked.decided_at = Some(now);
        asked.decision_reason = Some(reason.to_owned());
        asked.result = result;
        Ok(asked)
    }

    /// What the action asks of others, if it will be carried out.
    async fn look(&self, id: ApprovalId, by: &Caller, decision: Decision) -> Result<serde_json::Value, Refused> {
        if decision == Decision::Reject {
            return Ok(serde_json::Value::Null);
        }
        let mut tx = self.db.read("approval.look").await?;
        let asked = find(&mut tx, id).await?.ok_or_else(Refused::not_found)?;
        drop(tx);
        decidable(&asked, by)?;
        self.action(&asked.kind)?.look(&asked).await
    }

    fn action(&self, kind: &str) -> Result<&dyn Action, Refused> {
        let known = self.actions.iter().find(|action| action.kind() == kind);
        known.map(AsRef::as_ref).ok_or_else(|| Fault::Damaged(format!("nobody here carries out {kind}")).into())
    }
}

/// Whether this person may decide it now.
fn decidable(asked: &Approval, by: &Caller) -> Result<(), Refused> {
    // A person may hold credentials of several roles: the subject is who he is.
    if asked.asked_by.split_once(':').is_some_and(|(_, subject)| subject == by.subject) {
        return Err(Refused::new(Code::SamePerson, "who asked for it can't also decide it"));
    }
    match asked.state.as_str() {
        "pending" => Ok(()),
        "expired" => {
            Err(Refused::new(Code::ApprovalExpired, format!("it could be decided until {}", asked.expires_at)))
        }
        _ => {
            let by = asked.decided_by.as_deref().unwrap_or("somebody");
            Err(Refused::new(Code::ApprovalDecided, format!("{by} decided before: {}", asked.state)))
        }
    }
}
