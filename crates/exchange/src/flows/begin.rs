//! Beginning exchanges. Those that are begun at the same time share a unit of work.
//!
//! | per unit of work | statements |
//! |---|---|
//! | limits | one read and one write for each span |
//! | the rest | one each for exchanges, passages, sagas and keys |

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::AskExchange;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{ExchangeId, QuoteId, SagaId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::db::{Answer, Db, Fault, Inserted, Key, Tx};
use jangbu_platform::gather::Gather;
use jangbu_platform::http::Refused;
use jangbu_platform::probe;
use jangbu_platform::saga::{Held, Runner};
use serde_json::{Value, json};

use super::exchanges::usable;
use super::saga;
use crate::domain::limits::Span;
use crate::domain::plan::{Exchange, GIVE_UP_US, Instance, Leg, State};
use crate::domain::price::Side;
use crate::store::exchanges::{self, Begun};
use crate::store::limits::{self, Limit, Taken};
use crate::store::quotes::{self, Quote};

/// Exchanges begun by one unit of work at most.
const BEGUN_PER_TX_MAX: usize = 128;
/// An exchange to be begun.
pub struct Beginning {
    /// The request's key.
    pub key: Key,
    /// The request's hash.
    pub hash: u64,
    /// The quote, as it was read.
    pub quote: Quote,
    /// The request.
    pub body: AskExchange,
}

/// Begins exchanges.
pub struct Beginnings(Gather<Beginning, Result<(ExchangeId, Held), Refused>>);

impl Beginnings {
    /// Starts the tasks that begin them.
    pub fn start(db: &Db, runner: &Runner, offset: UtcOffset) -> Beginnings {
        let runner = runner.clone();
        Beginnings(Gather::writing(BEGUN_PER_TX_MAX, db, "exchange.begin", move |tx, all: &[Beginning]| {
            let runner = runner.clone();
            async move { begin(tx, &runner, offset, all).await }.boxed()
        }))
    }

    /// Begins an exchange; whoever is answered has the saga's first turn.
    ///
    /// # Errors
    /// It can't be begun; nothing moved. A quote or a key that was used at the same moment is a conflict, and tried again.
    pub async fn begin(&self, asked: Beginning) -> Result<(ExchangeId, Held), Refused> {
        self.0.ask(asked).await?
    }
}

async fn begin(
    mut tx: Tx,
    runner: &Runner,
    offset: UtcOffset,
    all: &[Beginning],
) -> Result<Vec<Result<(ExchangeId, Held), Refused>>, Fault> {
    let now = tx.now();
    let limits: BTreeSet<Limit> = all.iter().flat_map(|asked| limits_of(asked, now, offset)).collect();
    let mut taken = limits::taken(&mut tx, &limits).await?;
    let (mut done, mut rows, mut sagas) = (Vec::with_capacity(all.len()), Vec::new(), Vec::new());
    for asked in all {
        done.push(match reserve(&mut taken, asked, now, offset) {
            Ok(before) => {
                let id = SagaId::from_bytes(tx.new_id());
                let mut row = begun(asked, saga::exchange_of(id), &before, now, offset);
                if asked.quote.exchange.is_some() {
                    // Only a planted defect comes here: the store keeps a used quote from being used again.
                    row.quote = QuoteId::from_bytes(id.to_bytes());
                    quotes::insert(&mut tx, &[Quote { id: row.quote, ..asked.quote.clone() }]).await?;
                }
                rows.push((asked, row));
                sagas.push((id, saga::text(&plan(asked, now.plus_micros(GIVE_UP_US).micros()))?));
                Ok(())
            }
            Err(refused) => Err(refused),
        });
    }
    if rows.is_empty() {
        return Ok(done.into_iter().map(|done| done.map(|()| unreachable!("none was begun"))).collect());
    }
    limits::put(&mut tx, &taken).await?;
    let (asked, rows): (Vec<&Beginning>, Vec<Begun>) = rows.into_iter().unzip();
    if exchanges::insert(&mut tx, &rows).await? == Inserted::Duplicate {
        probe::reached("exchanges-met-at-the-row-of-their-quote");
        return Err(Fault::Conflict("the quote was used meanwhile".into()));
    }
    let held = runner.begin_all(&mut tx, sagas).await?;
    let mut kept = Vec::with_capacity(rows.len());
    for row in &rows {
        let body = serde_json::to_string(&row.id).map_err(|e| Fault::Damaged(e.to_string()))?;
        kept.push(Answer { status: 201, body });
    }
    let kept: Vec<_> = asked.iter().zip(&kept).map(|(asked, answer)| (&asked.key, asked.hash, answer)).collect();
    if !planted("exchange-key-not-kept") {
        tx.remember_all(&kept).await?;
    }
    tx.commit().await?;
    let mut held = rows.iter().map(|row| row.id).zip(held);
    Ok(done.into_iter().map(|done| done.map(|()| held.next().expect("each that was begun is held"))).collect())
}

fn limits_of(asked: &Beginning, now: Timestamp, offset: UtcOffset) -> [Limit; 2] {
    Span::BOTH.map(|span| (span, span.first_day(now, offset), asked.quote.customer))
}

/// Reserves an exchange's won on both limits; what was taken before.
fn reserve(taken: &mut Taken, asked: &Beginning, now: Timestamp, offset: UtcOffset) -> Result<Vec<Value>, Refused> {
    usable(&asked.quote, now)?;
    let (mut before, mut after, won) = (Vec::new(), Vec::new(), asked.quote.amounts.won);
    for limit @ (span, first, _) in limits_of(asked, now, offset) {
        let usage = taken.of(limit);
        let Some(reserved) = usage.reserve(span, won) else {
            let (name, most, resets) = (span.name(), span.won_max(), span.resets_at(first, offset));
            let left = most - usage.used - usage.reserved;
            let why =
                format!("{won} won pass the limit of {most} won a {name}: {left} are left; it resets at {resets}");
            return Err(Refused::new(Code::LimitExceeded, why));
        };
        after.push((limit, reserved));
        before.push(json!({ "span": span.name(), "from": first, "used": usage.used, "reserved": usage.reserved }));
    }
    after.into_iter().for_each(|(limit, usage)| taken.set(limit, usage));
    Ok(before)
}

fn begun(asked: &Beginning, id: ExchangeId, before: &[Value], now: Timestamp, offset: UtcOffset) -> Begun {
    let Beginning { quote, body, .. } = asked;
    let snapshot = json!({
        "accounts": { "krw": body.krw_account, "fx": body.fx_account },
        "limits_before": before,
    });
    Begun {
        id,
        quote: quote.id,
        customer: quote.customer,
        krw_account: body.krw_account,
        fx_account: body.fx_account,
        firsts: Span::BOTH.map(|span| (span, span.first_day(now, offset))),
        snapshot: snapshot.to_string(),
    }
}

fn plan(asked: &Beginning, until: i64) -> Exchange {
    let Beginning { quote, body, .. } = asked;
    let won = Leg { instance: Instance::Krw, account: body.krw_account, amount: quote.amounts.won };
    let foreign = Leg { instance: Instance::Fx, account: body.fx_account, amount: quote.amounts.foreign };
    let (withdraw, deposit) = match quote.side {
        Side::Buy => (won, foreign),
        Side::Sell => (foreign, won),
    };
    Exchange { withdraw, deposit, until, state: State::Started }
}
