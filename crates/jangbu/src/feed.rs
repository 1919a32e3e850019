//! `jangbu feed`: publishes the reference rates of past days as boards, one after the other, at any speed. `jangbu up` does
//! the same by itself, calmly, and goes on after a start where the board stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use jangbu_contracts::exchange::{BoardRate, PutRates, Rates};
use jangbu_exchange::domain::feed;
use jangbu_exchange::domain::price::Price;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::ask::{Ask, Call, Outcome};
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use serde_json::Value;

use crate::{Ended, Failure, Verdict};

/// What a euro was worth on working days since 2024, from the European Central Bank's euro foreign exchange reference
/// rates: a day a line, a currency a column.
const REFERENCE: &str = include_str!("../seed/euro-reference-rates.csv");

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// The bank's directory, whose keys sign the feed's credential.
    #[arg(long, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A service's configuration, which names the directory.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Address of the bank, or of its exchange service.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    to: String,
    /// The first day whose rates are published; the first one known when absent.
    #[arg(long)]
    from: Option<BusinessDate>,
    /// The last day; the last one known when absent.
    #[arg(long)]
    until: Option<BusinessDate>,
    /// How long each board stands: 1s, 15m, 1h, 1d.
    #[arg(long, default_value = "10s")]
    every: String,
    /// Spread of the board, in basis points: 100 are one per cent.
    #[arg(long, default_value_t = 100)]
    spread_bp: u32,
    /// Goes on publishing the last day's rates, so that the board does not become stale.
    #[arg(long)]
    repeat: bool,
}

/// The rates of one day.
struct Day {
    date: BusinessDate,
    reference: Vec<(Currency, Rate)>,
}

/// Reads the table.
fn days(text: &str) -> Result<Vec<Day>, String> {
    let mut lines = text.lines();
    let mut columns = lines.next().unwrap_or_default().split(',');
    if columns.next() != Some("date") {
        return Err("the first column is not date".into());
    }
    let currencies: Vec<Currency> =
        columns.map(|c| c.parse().map_err(|e| format!("{c}: {e}"))).collect::<Result<_, _>>()?;
    let mut days = Vec::new();
    for line in lines {
        let (date, rates) = line.split_once(',').ok_or_else(|| format!("a line without rates: {line}"))?;
        let date = date.parse().map_err(|e| format!("{date}: {e}"))?;
        let rates: Vec<Rate> =
            rates.split(',').map(|r| r.parse().map_err(|e| format!("{date} {r}: {e}"))).collect::<Result<_, _>>()?;
        if rates.len() != currencies.len() {
            return Err(format!("{date} has {} rates for {} currencies", rates.len(), currencies.len()));
        }
        days.push(Day { date, reference: currencies.iter().copied().zip(rates).collect() });
    }
    Ok(days)
}

/// The currencies of which boards are made here.
#[must_use]
pub fn currencies() -> Vec<Currency> {
    let columns = REFERENCE.lines().next().unwrap_or_default().split(',');
    let known = columns.filter_map(|column| column.parse().ok()).filter(|currency| *currency != Currency::KRW);
    std::iter::once(Currency::EUR).chain(known).collect()
}

/// The board of a day: every currency of it against won, and the euro itself.
fn board(day: &Day, spread_bp: u32) -> Result<PutRates, String> {
    let of_day = day.reference.iter().map(|(currency, _)| *currency).filter(|currency| *currency != Currency::KRW);
    let currencies: Vec<Currency> = std::iter::once(Currency::EUR).chain(of_day).collect();
    let rate = |price: Price| price.to_string().parse().map_err(|e| format!("{price}: {e}"));
    let mut rates = Vec::with_capacity(currencies.len());
    for line in feed::board(&day.reference, &currencies, spread_bp) {
        let (mid, tts, ttb) = (rate(line.mid)?, rate(line.tts)?, rate(line.ttb)?);
        rates.push(BoardRate { currency: line.currency, unit: line.unit, mid, tts, ttb });
    }
    Ok(PutRates { rates, reason: Some(format!("euro reference rates of {}", day.date)) })
}

/// Publishes the days that were asked for.
///
/// # Errors
/// Wrong use, there is no bank, or it refuses a board.
pub fn run(args: Args) -> Ended {
    let every = crate::token::seconds(&args.every).filter(|seconds| *seconds > 0);
    let every = every.ok_or_else(|| Failure::Use("--every is a number and s, m, h or d, like 15m".into()))?;
    let mut days = days(REFERENCE).map_err(Failure::World)?;
    days.retain(|day| {
        args.from.is_none_or(|from| day.date >= from) && args.until.is_none_or(|until| day.date <= until)
    });
    if days.is_empty() {
        return Err(Failure::Use("there are no rates between --from and --until".into()));
    }
    let keys = crate::keys::ring(args.data, args.config)?;
    let ask = Ask::new("feed", keys, Arc::new(RealClock), Dice::from_os());
    ask.open_there("exchange", &args.to).map_err(Failure::Use)?;
    crate::runtime()?.block_on(async {
        let mut days = days.iter().peekable();
        while let Some(day) = days.next() {
            loop {
                publish(&ask, day, args.spread_bp).await?;
                if days.peek().is_none() && !args.repeat {
                    return Ok(Verdict::Done);
                }
                tokio::time::sleep(Duration::from_secs(every)).await;
                if days.peek().is_some() {
                    break;
                }
            }
        }
        Ok(Verdict::Done)
    })
}

/// How long a bank that does not answer is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// Publishes a day, as often as it takes to know that it was heard.
async fn publish(ask: &Ask, day: &Day, spread_bp: u32) -> Result<(), Failure> {
    let body = board(day, spread_bp).map_err(Failure::World)?;
    let body = Bytes::from(serde_json::to_vec(&body).map_err(|e| Failure::World(e.to_string()))?);
    loop {
        let call = Call { service: "exchange", method: Method::PUT, path: "/rates", key: None, body: body.clone() };
        match ask.call(&call).await {
            Outcome::Reply(reply) if reply.status == 202 => {
                crate::say(&format!("{}: the board waits for a second person", day.date));
                return Ok(());
            }
            Outcome::Reply(_) => {
                crate::say(&format!("{}: published", day.date));
                return Ok(());
            }
            Outcome::Refusal(problem) => {
                return Err(Failure::World(format!("{}: {} {}", day.date, problem.code, problem.detail)));
            }
            Outcome::Unknown(why) => {
                eprintln!("{}: {why}; trying again", day.date);
                tokio::time::sleep(AWAY).await;
            }
        }
    }
}

/// Spread of the boards of `up`, in basis points.
const SPREAD_BP: u32 = 100;
/// How long a board of somebody else's, and the last of all days, stand before the feed of `up` publishes again.
const RESTS_US: i64 = 3_600 * 1_000_000;

/// Publishes day after day until `stop`, each for that long.
///
/// # Errors
/// The table of days can't be read, for people.
pub async fn live(ask: Ask, clock: Arc<dyn Clock>, every: Duration, stop: Stop) -> Result<(), String> {
    let days = days(REFERENCE)?;
    let boards = days.iter().map(|day| board(day, SPREAD_BP)).collect::<Result<Vec<_>, _>>()?;
    loop {
        let shown = match ask.get::<Rates>("exchange", "/rates").await {
            Outcome::Reply(rates) => Ok(Some(rates)),
            Outcome::Refusal(problem) if problem.code == "NOT_FOUND" => Ok(None),
            Outcome::Refusal(problem) => Err(problem.detail),
            Outcome::Unknown(why) => Err(why),
        };
        let next = shown.map(|shown| next(&boards, shown.as_ref(), clock.now()));
        if let Ok(Some(next)) = next {
            let put = ask.call_json::<_, Value>("exchange", Method::PUT, "/rates", None, Some(&boards[next])).await;
            if let Outcome::Refusal(problem) = put {
                tracing::warn!(date = %days[next].date, code = problem.code, detail = problem.detail, "no board");
            }
        }
        tokio::select! {
            biased;
            () = stop.wait() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Which board comes after the one that stands; none while that one is left alone.
///
/// One of our own is followed by the next day's, the last one by itself before it is stale. One of somebody else's
/// stands for its hour; then we go on with the day whose dollar is nearest, which jumps least.
fn next(boards: &[PutRates], stands: Option<&Rates>, now: Timestamp) -> Option<usize> {
    let Some(stands) = stands else { return Some(0) };
    let (last, rests) = (boards.len() - 1, now < stands.as_of.plus_micros(RESTS_US));
    let same = |board: &PutRates| {
        board.rates.len() == stands.rates.len() && board.rates.iter().all(|rate| stands.rates.contains(rate))
    };
    match boards.iter().position(same) {
        Some(day) if day < last => Some(day + 1),
        _ if rests => None,
        Some(_) => Some(last),
        None => {
            let dollar = |rates: &[BoardRate]| {
                let mid = rates.iter().find(|rate| rate.currency == Currency::USD)?.mid.to_string();
                mid.parse::<Price>().ok().map(Price::hundredths)
            };
            let ours = dollar(&stands.rates).unwrap_or(0);
            (0..=last).min_by_key(|day| dollar(&boards[*day].rates).unwrap_or(0).abs_diff(ours))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_feed_of_a_bank_goes_on_where_the_board_stands() {
        let boards: Vec<PutRates> = days(REFERENCE).unwrap().iter().map(|day| board(day, SPREAD_BP).unwrap()).collect();
        let (now, last) = (Timestamp::from_micros(1_767_225_600_000_000), boards.len() - 1);
        let stands = |rates: &PutRates, minutes: i64| {
            let mut rates = rates.rates.clone();
            rates.sort_by_key(|rate| rate.currency);
            Rates { as_of: now.plus_micros(-minutes * 60_000_000), round: 1, rates }
        };
        let mut by_hand = boards[300].clone();
        by_hand.rates[0].mid = "1500.01".parse().unwrap();
        for (board, minutes, expected) in [
            (&boards[0], 0, Some(1)),
            (&boards[300], 9_000, Some(301)),
            (&boards[last], 59, None),
            (&boards[last], 60, Some(last)),
            (&by_hand, 59, None),
            (&by_hand, 60, Some(300)),
        ] {
            assert_eq!(next(&boards, Some(&stands(board, minutes)), now), expected);
        }
        assert_eq!(next(&boards, None, now), Some(0));
    }

    #[test]
    fn every_day_of_the_table_makes_a_board_without_gaps() {
        let days = days(REFERENCE).unwrap();
        assert!(days.len() > 700 && days.windows(2).all(|pair| pair[0].date < pair[1].date));
        for day in &days {
            assert_eq!(board(day, 100).unwrap().rates.len(), 16, "{}", day.date);
        }
        // 2024-01-02: 1438.78 / 1.0956 = 1313.2347…; 100 * 1438.78 / 155.68 = 924.1906…
        let first = serde_json::to_value(board(&days[0], 100).unwrap()).unwrap();
        let of =
            |code: &str| first["rates"].as_array().unwrap().iter().find(|r| r["currency"] == code).unwrap().clone();
        assert_eq!(
            (&of("USD")["mid"], &of("USD")["tts"], &of("USD")["ttb"]),
            (&"1313.23".into(), &"1326.36".into(), &"1300.10".into())
        );
        assert_eq!((&of("JPY")["unit"], &of("JPY")["mid"]), (&100.into(), &"924.19".into()));
        assert_eq!(of("EUR")["mid"], "1438.78");
    }
}
