//! Positions, and exchanges whose books do not agree.

use std::sync::Arc;

use axum::extract::State;
use jangbu_contracts::accounting as wire;
use jangbu_contracts::codes::Code as Refusal;
use jangbu_contracts::page::Page;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::ExchangeId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::http::{Known, Params, Refused, json};
use jangbu_platform::paging;
use jangbu_platform::service::World;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, side};
use crate::domain::matching::{Class, Leg, TIMING};
use crate::domain::position::{average_rate, gain};
use crate::store::exchanges::{self, Unmatched};
use crate::store::positions;

/// Query of `GET …/positions`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OfDay {
    /// At the end of this day; today when absent.
    date: Option<BusinessDate>,
}

/// The bank's positions in foreign currencies at the end of a day, what they stand in the books for, and what they gained.
#[utoipa::path(get, path = "/positions", params(OfDay), responses((status = 200, body = wire::Positions)))]
pub async fn positions(State(world): State<Arc<World>>, known: Known, Params(query): Params<OfDay>) -> Answer {
    known.staff()?;
    let date = query.date.unwrap_or_else(|| known.now.business_date(world.offset));
    let mut tx = world.db.read("accounting.positions").await?;
    let (valued_through, positions) = (positions::valued_through(&mut tx).await?, all(&mut tx, date).await?);
    json(200, &wire::Positions { date, valued_through, positions }, false)
}

async fn all(tx: &mut Tx, date: BusinessDate) -> Result<Vec<wire::Position>, Fault> {
    let on_day = positions::moved_on(tx, date).await?;
    let done = positions::revaluations_on(tx, date).await?;
    let gains = positions::gains_upto(tx, date).await?;
    let mut found = Vec::new();
    for (currency, [position, cost, trading_total]) in positions::moved_upto(tx, date).await? {
        let revalued = done.get(&currency);
        let revaluation_total = gains.get(&currency).copied().unwrap_or(0);
        // The gain of the day itself is told apart.
        let counter_value = cost + revaluation_total - revalued.map_or(0, |done| done.gain);
        let rate = match revalued {
            Some(done) => Some((done.price, done.rate_date)),
            None => positions::rate_upto(tx, currency, date).await?,
        };
        let unrealised_gain = match (revalued, rate) {
            (Some(done), _) => Some(done.gain),
            (None, Some((price, _))) => gain(position, counter_value, currency, price),
            (None, None) => None,
        };
        let unit = rate.map(|(price, _)| price.unit);
        found.push(wire::Position {
            currency,
            position,
            counter_value,
            average_rate: unit.and_then(|unit| average_rate(position, counter_value, currency, unit)),
            unit,
            closing_rate: rate.map(|(price, _)| price.rate),
            rate_date: rate.map(|(_, date)| date),
            unrealised_gain,
            valued: revalued.is_some(),
            trading_profit: on_day.get(&currency).map_or(0, |[_, _, trading]| *trading),
            trading_profit_total: trading_total,
            revaluation_total,
        });
    }
    Ok(found)
}

/// Query of `GET …/exchange-breaks`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Breaks {
    /// Only of this class: `missing_left`, `missing_right`, `undecided`, `amount`, `duplicate` or `timing`.
    class: Option<String>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Exchanges whose legs and decision do not agree, or not yet, by id. What may be on its way is of class `timing` for
/// thirty seconds.
#[utoipa::path(
    get, path = "/exchange-breaks",
    params(Breaks),
    responses((status = 200, body = Page<wire::ExchangeBreak>)),
)]
pub async fn exchange_breaks(State(world): State<Arc<World>>, known: Known, Params(query): Params<Breaks>) -> Answer {
    known.staff()?;
    let limit = paging::limit(query.limit)?;
    let after: Option<ExchangeId> = paging::cursor(query.cursor.as_deref())?;
    let mut tx = world.db.read("accounting.exchange_breaks").await?;
    let now = known.now.micros();
    let mut found = match query.class.as_deref() {
        None => exchanges::open_after(&mut tx, after, limit + 1).await?,
        Some(TIMING) => exchanges::waiting_after(&mut tx, now, after, limit + 1).await?,
        Some(name) => {
            let class = Class::ALL
                .into_iter()
                .find(|class| class.name() == name)
                .ok_or_else(|| Refused::field(Refusal::InvalidField, "class", "is no class of breaks"))?;
            exchanges::due_after(&mut tx, class, now, after, limit + 1).await?
        }
    };
    let next = paging::next(&mut found, limit, |open| open.exchange.to_string());
    let ids: Vec<ExchangeId> = found.iter().map(|open| open.exchange).collect();
    let mut legs = exchanges::legs_of(&mut tx, &ids).await?;
    let decisions = exchanges::decisions_of(&mut tx, &ids).await?;
    let item = |open: Unmatched| wire::ExchangeBreak {
        exchange: open.exchange,
        class: (if open.due_at > now { TIMING } else { open.class.name() }).to_owned(),
        since: Timestamp::from_micros(open.since),
        due_at: Timestamp::from_micros(open.due_at),
        legs: legs.remove(&open.exchange).unwrap_or_default().iter().map(leg).collect(),
        succeeded: decisions.get(&open.exchange).map(|decision| decision.succeeded),
        detail: open.detail,
    };
    json(200, &Page { items: found.into_iter().map(item).collect(), next }, false)
}

fn leg(leg: &Leg) -> wire::ExchangeLeg {
    let Leg { posting, account, currency, amount, reverses, .. } = *leg;
    wire::ExchangeLeg { posting, account, side: side(leg.side), currency, amount, reverses }
}
