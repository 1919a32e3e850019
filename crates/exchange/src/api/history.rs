//! Prices that were.

use std::sync::Arc;

use axum::extract::State;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange as wire;
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::http::{Known, Params, Refused, json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, rate};
use crate::Exchanges;
use crate::domain::board::unit_of;
use crate::flows::boards;

/// Points of a history at most.
const POINTS_MAX: u32 = 500;
/// Points for callers who don't say.
const POINTS_DEFAULT: u32 = 100;
/// Longest time that may be asked for, in microseconds: a year.
const RANGE_US_MAX: i64 = 366 * 24 * 3_600 * 1_000_000;
/// The time for callers who don't say, in microseconds: a day.
const RANGE_US_DEFAULT: i64 = 24 * 3_600 * 1_000_000;

/// Query of `GET …/rates/history`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The currency.
    currency: Currency,
    /// From when; a day before `to` when absent, at most 366.
    from: Option<Timestamp>,
    /// Until when; now when absent.
    to: Option<Timestamp>,
    /// Points at most: 2-500, 100 when absent.
    #[param(minimum = 2, maximum = 500)]
    points: Option<u32>,
}

/// A currency's prices over time, from the boards that were published.
#[utoipa::path(
    get, path = "/rates/history",
    params(Asked),
    responses((status = 200, body = wire::RateHistory)),
)]
pub async fn show_history(
    State(exchanges): State<Arc<Exchanges>>,
    known: Known,
    Params(asked): Params<Asked>,
) -> Answer {
    let points = asked.points.unwrap_or(POINTS_DEFAULT);
    if !(2..=POINTS_MAX).contains(&points) {
        return Err(Refused::field(Code::InvalidField, "points", format!("must be from 2 to {POINTS_MAX}")));
    }
    let to = asked.to.unwrap_or(known.now);
    let from = asked.from.unwrap_or_else(|| to.plus_micros(-RANGE_US_DEFAULT));
    if from >= to || to.micros().saturating_sub(from.micros()) > RANGE_US_MAX {
        return Err(Refused::field(Code::InvalidField, "from", "must be before `to`, by at most 366 days"));
    }
    let (boards, lines) = boards::history(&exchanges, asked.currency, (from, to), points).await?;
    let point = |(as_of, line): (Timestamp, crate::domain::board::Line)| -> Result<_, Refused> {
        Ok(wire::RatePoint { as_of, mid: rate(line.mid)?, tts: rate(line.tts)?, ttb: rate(line.ttb)? })
    };
    let points = lines.into_iter().map(point).collect::<Result<_, _>>()?;
    json(200, &wire::RateHistory { currency: asked.currency, unit: unit_of(asked.currency), boards, points }, false)
}
