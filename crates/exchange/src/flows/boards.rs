//! Publishing boards and setting discounts.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::{BOARD_KEY, BoardLineV1, BoardPublishedV1, BoardRate, PutRates};
use jangbu_contracts::operators::{Accepted, Approval};
use jangbu_contracts::problem::Problem;
use jangbu_contracts::topics;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::approvals::{self, Action, Wish};
use jangbu_platform::audit::{self, Deed};
use jangbu_platform::auth::Caller;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::http::Refused;
use serde::Deserialize as _;

use crate::Exchanges;
use crate::domain::board::{Board, Line, doubts, flaws, spread};
use crate::domain::price::Price;
use crate::store::boards::{self, DiscountOf};
use crate::store::history;

/// What becomes of a board that is put.
pub enum Put {
    /// It is the board now.
    Published(Board),
    /// It waits for a second person.
    Asked(Accepted),
}

/// The lines of a board as sent.
///
/// # Errors
/// Everything that is wrong with them.
pub fn lines(rates: &[BoardRate]) -> Result<Vec<Line>, Refused> {
    let (mut lines, mut found) = (Vec::with_capacity(rates.len()), Vec::new());
    for (at, rate) in rates.iter().enumerate() {
        let mut price = |name: &str, rate: &jangbu_kernel::rate::Rate| -> Option<Price> {
            let read = rate.to_string().parse();
            read.map_err(|e| found.push((format!("rates[{at}].{name}"), format!("{e}")))).ok()
        };
        let prices = (price("mid", &rate.mid), price("tts", &rate.tts), price("ttb", &rate.ttb));
        if let (Some(mid), Some(tts), Some(ttb)) = prices {
            lines.push(Line { currency: rate.currency, unit: rate.unit, mid, tts, ttb });
        }
    }
    if found.is_empty() {
        found = flaws(&lines);
    }
    if found.is_empty() { Ok(lines) } else { Err(Problem::fields(Code::InvalidField, found).into()) }
}

/// Publishes a board; one that jumps or has gaps waits for a second person.
///
/// # Errors
/// Nothing was changed.
pub async fn put(exchanges: &Exchanges, body: &PutRates, by: &Caller) -> Result<Put, Refused> {
    let mut lines = lines(&body.rates)?;
    lines.sort_by_key(|line| line.currency);
    let mut tx = exchanges.db.begin("exchange.put_rates").await?;
    let before = boards::newest(&mut tx).await?;
    let doubts = before.as_ref().map(|before| doubts(before, &lines)).unwrap_or_default();
    let put = if doubts.is_empty() {
        Put::Published(publish(&mut tx, lines, exchanges.offset, &by.to_string()).await?)
    } else {
        let action = serde_json::to_string(body).map_err(|e| Fault::Damaged(e.to_string()))?;
        let reason = body.reason.clone().unwrap_or_default();
        let reason = format!("{}: {reason}", doubts.join("; "));
        let wish = Wish { by, kind: PublishBoard::KIND, subject: "board", action: &action, reason: &reason };
        Put::Asked(Accepted { approval: approvals::ask(&mut tx, &wish).await? })
    };
    tx.commit().await?;
    Ok(put)
}

/// Writes the next board and tells of it, in the caller's unit of work.
async fn publish(tx: &mut Tx, lines: Vec<Line>, offset: UtcOffset, by: &str) -> Result<Board, Fault> {
    let (as_of, date) = (tx.now(), tx.now().business_date(offset));
    let number = boards::newest(tx).await?.map_or(0, |board| board.number) + 1;
    let round = boards::rounds_of(tx, date).await? + 1;
    let board = Board { number, round, as_of, lines };
    boards::insert(tx, &board, date, by).await?;
    let rates = board.lines.iter().map(told).collect::<Result<_, _>>()?;
    let event = BoardPublishedV1 { number, round, business_date: date, as_of, rates };
    let payload = serde_json::to_string(&event).map_err(|e| Fault::Damaged(e.to_string()))?;
    tx.emit(topics::EXCHANGE_BOARDS, BOARD_KEY, BoardPublishedV1::TYPE, payload);
    Ok(board)
}

fn told(line: &Line) -> Result<BoardLineV1, Fault> {
    let rate = |price: Price| Rate::new(price.hundredths(), 2).map_err(|e| Fault::Damaged(format!("a price: {e}")));
    let (mid, tts, ttb) = (rate(line.mid)?, rate(line.tts)?, rate(line.ttb)?);
    Ok(BoardLineV1 { currency: line.currency, unit: line.unit, mid, tts, ttb })
}

/// Publishes a board that a second person agreed to.
pub struct PublishBoard(pub UtcOffset);

impl PublishBoard {
    const KIND: &'static str = "board.publish";
}

impl Action for PublishBoard {
    fn kind(&self) -> &'static str {
        Self::KIND
    }
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx,
        asked: &'a Approval,
        _seen: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<String, Refused>> {
        async move {
            let body: PutRates = PutRates::deserialize(&asked.action).map_err(|e| Fault::Damaged(e.to_string()))?;
            let mut lines = lines(&body.rates)?;
            lines.sort_by_key(|line| line.currency);
            let board = publish(tx, lines, self.0, &asked.asked_by).await?;
            Ok(format!("round {} was published", board.round))
        }
        .boxed()
    }
}

/// The board, if there ever was one.
///
/// # Errors
/// The store can't be read.
pub async fn newest(exchanges: &Exchanges) -> Result<Option<Board>, Fault> {
    boards::newest(&mut exchanges.db.read("exchange.rates").await?).await
}

/// A currency's prices on boards that were published in a time.
///
/// # Errors
/// The store can't be read.
pub async fn history(
    exchanges: &Exchanges,
    currency: Currency,
    range: (Timestamp, Timestamp),
    points: u32,
) -> Result<(i64, Vec<(Timestamp, Line)>), Fault> {
    let mut tx = exchanges.db.read("exchange.history").await?;
    let Some((first, last)) = history::ends(&mut tx, range).await? else { return Ok((0, Vec::new())) };
    Ok((last - first + 1, history::lines(&mut tx, currency, &spread(first, last, points)).await?))
}

/// Sets the discount of a customer or a campaign.
///
/// # Errors
/// Nothing was changed.
pub async fn set_discount(
    exchanges: &Exchanges,
    of: DiscountOf,
    subject: &str,
    (bp, from, until): (u32, Timestamp, Timestamp),
    (by, reason): (&Caller, &str),
) -> Result<(), Fault> {
    let mut tx = exchanges.db.begin("exchange.set_discount").await?;
    boards::set_discount(&mut tx, of, subject, bp, (from, until)).await?;
    let (who, what) = (by.to_string(), format!("discount.{}", of.name()));
    let result = format!("{bp} basis points from {from} until {until}");
    audit::note(&mut tx, &Deed { who: &who, what: &what, subject, reason, result: &result }).await?;
    tx.commit().await
}
