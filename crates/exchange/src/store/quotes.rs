//! Quotes.

use jangbu_kernel::id::{CustomerId, ExchangeId, QuoteId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Inserted, Tx, Value};

use super::{currency, price, side, side_text};
use crate::domain::price::{Amounts, Price, Quoted, Side};

/// A quote as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Id.
    pub id: QuoteId,
    /// For whom.
    pub customer: CustomerId,
    /// Buys or sells.
    pub side: Side,
    /// Currency, unit and the customer's price.
    pub quoted: Quoted,
    /// The board's base price.
    pub mid: Price,
    /// Part of the spread that is left out, basis points.
    pub discount_bp: u32,
    /// What would be exchanged.
    pub amounts: Amounts,
    /// From then on it can't be used.
    pub expires_at: Timestamp,
    /// The exchange that used it.
    pub exchange: Option<ExchangeId>,
    /// All that it was made from, as JSON.
    pub snapshot: String,
}

/// Writes new quotes. A quote is never changed: that it was used is seen by the exchange that names it.
pub async fn insert(tx: &mut Tx, quotes: &[Quote]) -> Result<(), Fault> {
    if quotes.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = quotes.iter().map(|quote| (quote.id.to_bytes(), quote.customer.to_bytes())).collect();
    let mut rows = Vec::with_capacity(quotes.len() * 12);
    for (quote, (id, customer)) in quotes.iter().zip(&ids) {
        let row: [Value<'_>; 12] = [
            Value::Bytes(id),
            Value::Bytes(customer),
            side_text(quote.side).into(),
            quote.quoted.currency.code().into(),
            quote.quoted.unit.into(),
            quote.quoted.price.hundredths().into(),
            quote.mid.hundredths().into(),
            quote.discount_bp.into(),
            quote.amounts.foreign.into(),
            quote.amounts.won.into(),
            quote.expires_at.micros().into(),
            (&quote.snapshot).into(),
        ];
        rows.extend(row);
    }
    let sql = "INSERT INTO quote (id, customer, side, currency, unit, price, mid, discount_bp, foreign_amount, won, \
               expires_at, snapshot) VALUES (?*)";
    match tx.insert_rows(sql, 12, &rows).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("the quote's id was taken".into())),
    }
}

/// One quote, with the exchange that used it.
pub async fn find(tx: &mut Tx, id: QuoteId) -> Result<Option<Quote>, Fault> {
    let bytes = id.to_bytes();
    let sql = "SELECT q.customer, q.side, q.currency, q.unit, q.price, q.mid, q.discount_bp, q.foreign_amount, q.won, \
               q.expires_at, e.id, q.snapshot FROM quote q LEFT JOIN exchange e ON e.quote = q.id WHERE q.id = ?";
    let Some(r) = tx.query_one(sql, &[Value::Bytes(&bytes)]).await? else { return Ok(None) };
    let exchange = r.opt_bytes(10).and_then(|b| <[u8; 16]>::try_from(b).ok());
    Ok(Some(Quote {
        id,
        customer: CustomerId::from_bytes(r.id(0)),
        side: side(r.text(1))?,
        quoted: Quoted { currency: currency(r.text(2))?, unit: r.int(3), price: price(r.int(4))? },
        mid: price(r.int(5))?,
        discount_bp: u32::try_from(r.int(6)).unwrap_or(0),
        amounts: Amounts { foreign: r.int(7), won: r.int(8) },
        expires_at: Timestamp::from_micros(r.int(9)),
        exchange: exchange.map(ExchangeId::from_bytes),
        snapshot: r.text(11).to_owned(),
    }))
}
