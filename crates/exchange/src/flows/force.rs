//! Forcing an exchange: two persons say that it is decided, and only to what the books say.
//!
//! Both movements are asked for by the exchange's own keys. One of which the books know nothing is closed first, by the
//! command that the saga closes keys with: it can only be refused. So nothing is moved by force, and what was asked stays
//! true: a kept answer never changes, a posting is undone once and for all.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::Posting;
use jangbu_contracts::exchange::{Ending, Force};
use jangbu_contracts::operators::{Accepted, Approval};
use jangbu_kernel::id::ExchangeId;
use jangbu_platform::approvals::{self, Action, Wish};
use jangbu_platform::ask::{Ask, Outcome};
use jangbu_platform::auth::Caller;
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::http::{Refused, path_id};
use jangbu_platform::saga::{self, key};
use serde::Deserialize as _;
use serde_json::Value;

use super::desk::{saga_of, stuck, undecided};
use super::saga::{DEPOSIT, WITHDRAW, closing, decided};
use crate::Exchanges;
use crate::domain::plan::{Instance, State, not_in_time};
use crate::domain::price::Side;
use crate::domain::stuck::{Fact, Facts};
use crate::store::exchanges::{self, Passed};
use crate::store::quotes;

/// Times that one movement is asked for.
const LOOKS_MAX: u32 = 3;

/// Asks for a second person.
///
/// # Errors
/// There is no such exchange, it is decided, or it may just be on its way.
pub async fn ask(exchanges: &Exchanges, id: ExchangeId, by: &Caller, body: &Force) -> Result<Accepted, Refused> {
    let mut tx = exchanges.db.begin("exchange.force").await?;
    let stored = undecided(&mut tx, id).await?;
    let passages = exchanges::passages(&mut tx, id).await?;
    if stuck(&mut tx, id, &stored.state, &passages).await?.is_none() {
        return Err(Refused::new(Code::ExchangeNotStuck, "it has not had its minute yet"));
    }
    let action = serde_json::to_string(body).map_err(|e| Fault::Damaged(e.to_string()))?;
    let subject = id.to_string();
    let wish = Wish { by, kind: ForceExchange::KIND, subject: &subject, action: &action, reason: &body.reason };
    let approval = approvals::ask(&mut tx, &wish).await?;
    tx.commit().await?;
    Ok(Accepted { approval })
}

/// Writes that an exchange is decided, once a second person agreed.
pub struct ForceExchange {
    /// Where exchanges are.
    pub db: Db,
    /// The way to the books.
    pub ask: Ask,
}

fn wanted(asked: &Approval) -> Result<(ExchangeId, Ending), Refused> {
    let force = Force::deserialize(&asked.action).map_err(|e| Fault::Damaged(format!("a wish: {e}")))?;
    Ok((path_id(&asked.subject)?, force.to))
}

fn contradicted(to: Ending, facts: Facts) -> Refused {
    let what = match to {
        Ending::ExchangeSucceeded => "it can't have succeeded",
        Ending::ExchangeFailed => "it can't have failed",
    };
    Refused::new(Code::ExchangeContradicted, format!("{what}: {}", facts.said()))
}

impl ForceExchange {
    const KIND: &'static str = "exchange.force";

    async fn facts(&self, asked: &Approval) -> Result<Facts, Refused> {
        let (id, to) = wanted(asked)?;
        let mut tx = self.db.read("exchange.force_look").await?;
        let quote = undecided(&mut tx, id).await?.begun.quote;
        let quote = quotes::find_all(&mut tx, &[quote]).await?.remove(&quote);
        let side = quote.ok_or_else(|| Fault::Damaged(format!("the quote of {id} is missing")))?.side;
        drop(tx);
        let (from, into) = match side {
            Side::Buy => (Instance::Krw, Instance::Fx),
            Side::Sell => (Instance::Fx, Instance::Krw),
        };
        let close = to == Ending::ExchangeFailed;
        let withdrawal = self.fact(id, from, WITHDRAW, close).await?;
        // While the withdrawal stands the exchange has not failed, and its deposit may still come.
        let close = close && !matches!(withdrawal, Fact::Stands(_));
        Ok(Facts { withdrawal, deposit: self.fact(id, into, DEPOSIT, close).await? })
    }

    /// What the books say of one movement; with `close`, for ever.
    async fn fact(&self, id: ExchangeId, instance: Instance, step: &str, close: bool) -> Result<Fact, Refused> {
        let (service, key) = (instance.service(), key(saga_of(id), step));
        let unknown = |why: String| Refused::from(Fault::Unavailable(format!("{service} does not say: {why}")));
        for _ in 0..LOOKS_MAX {
            match self.ask.get::<Posting>(service, &format!("/postings?key={key}")).await {
                Outcome::Reply(posting) => {
                    let path = format!("/postings/{}/reversal", posting.id);
                    return match self.ask.get::<Posting>(service, &path).await {
                        Outcome::Reply(_) => Ok(Fact::Undone(posting.id)),
                        Outcome::Refusal(problem) if problem.code == "NOT_FOUND" => Ok(Fact::Stands(posting.id)),
                        Outcome::Refusal(problem) => Err(unknown(problem.detail)),
                        Outcome::Unknown(why) => Err(unknown(why)),
                    };
                }
                Outcome::Refusal(problem) if problem.status == 422 => return Ok(Fact::Never),
                Outcome::Refusal(problem) if problem.code == "NOT_FOUND" && !close => return Ok(Fact::Open),
                Outcome::Refusal(problem) if problem.code == "NOT_FOUND" => {}
                Outcome::Refusal(problem) => return Err(unknown(problem.detail)),
                Outcome::Unknown(why) => return Err(unknown(why)),
            }
            match self.ask.post::<_, Posting>(service, "/postings", &key, &closing()).await {
                // Another command came in under the key meanwhile: what became of that is asked anew.
                Outcome::Refusal(problem) if problem.code == Code::KeyReused.as_str() => {}
                Outcome::Refusal(problem) if problem.status == 422 => return Ok(Fact::Never),
                Outcome::Refusal(problem) => return Err(unknown(problem.detail)),
                Outcome::Unknown(why) => return Err(unknown(why)),
                Outcome::Reply(posting) => return Err(unknown(format!("closing a key made {}", posting.id))),
            }
        }
        Err(unknown("its key is neither open nor used".into()))
    }
}

impl Action for ForceExchange {
    fn kind(&self) -> &'static str {
        Self::KIND
    }
    fn look<'a>(&'a self, asked: &'a Approval) -> BoxFuture<'a, Result<Value, Refused>> {
        async move {
            let facts = self.facts(asked).await?;
            Ok(serde_json::to_value(facts).map_err(|e| Fault::Damaged(e.to_string()))?)
        }
        .boxed()
    }
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx,
        asked: &'a Approval,
        seen: &'a Value,
    ) -> BoxFuture<'a, Result<String, Refused>> {
        async move {
            let (id, to) = wanted(asked)?;
            let facts = Facts::deserialize(seen).map_err(|e| Fault::Damaged(format!("what was seen: {e}")))?;
            // The saga's row first, as its steps lock it; whoever still carries it on finds his turn gone.
            saga::forget(tx, saga_of(id)).await?;
            let stored = undecided(tx, id).await?;
            let state = match to {
                Ending::ExchangeSucceeded => facts.succeeded(),
                Ending::ExchangeFailed if facts.failed() => {
                    Some(State::ExchangeFailed { because: stored.because.unwrap_or_else(not_in_time) })
                }
                Ending::ExchangeFailed => None,
            };
            let state = state.ok_or_else(|| contradicted(to, facts))?;
            if let Fact::Undone(withdrawal) = facts.withdrawal {
                exchanges::withdrew(tx, id, withdrawal).await?;
            }
            let why = format!("forced by two persons: {}", facts.said());
            let at = tx.now();
            exchanges::passed(tx, &[Passed { id, state: &state, why: &why, at }]).await?;
            decided(tx, &[(id, &state)]).await?;
            Ok(format!("{id} went from {} to {}: {}", stored.state, state.name(), facts.said()))
        }
        .boxed()
    }
}
