//! Quotes.

use std::collections::BTreeMap;

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

/// Quotes, each with the exchange that used it.
pub async fn find_all(tx: &mut Tx, ids: &[QuoteId]) -> Result<BTreeMap<QuoteId, Quote>, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| id.to_bytes()).collect();
    let params: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    let sql = "SELECT q.id, q.customer, q.side, q.currency, q.unit, q.price, q.mid, q.discount_bp, q.foreign_amount, \
               q.won, q.expires_at, e.id, q.snapshot FROM quote q LEFT JOIN exchange e ON e.quote = q.id \
               WHERE q.id IN (?*)";
    let mut all = BTreeMap::new();
    for r in tx.query(sql, &params).await? {
        let exchange = r.opt_bytes(11).and_then(|b| <[u8; 16]>::try_from(b).ok());
        let quote = Quote {
            id: QuoteId::from_bytes(r.id(0)),
            customer: CustomerId::from_bytes(r.id(1)),
            side: side(r.text(2))?,
            quoted: Quoted { currency: currency(r.text(3))?, unit: r.int(4), price: price(r.int(5))? },
            mid: price(r.int(6))?,
            discount_bp: u32::try_from(r.int(7)).unwrap_or(0),
            amounts: Amounts { foreign: r.int(8), won: r.int(9) },
            expires_at: Timestamp::from_micros(r.int(10)),
            exchange: exchange.map(ExchangeId::from_bytes),
            snapshot: r.text(12).to_owned(),
        };
        all.insert(quote.id, quote);
    }
    Ok(all)
}
