//! What is taken of limits.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Fault, Tx, Value};

use crate::domain::limits::{Span, Usage};

/// What a customer has taken in the span that begins on a day; locks it.
pub async fn usage(tx: &mut Tx, customer: CustomerId, span: Span, first: BusinessDate) -> Result<Usage, Fault> {
    let customer = customer.to_bytes();
    let sql = "SELECT used, reserved FROM limit_usage WHERE customer = ? AND span = ? AND first_day = ? FOR UPDATE";
    let found = tx.query_one(sql, &[Value::Bytes(&customer), span.name().into(), first.days().into()]).await?;
    Ok(found.map_or(Usage::default(), |r| Usage { used: r.int(0), reserved: r.int(1) }))
}

/// Writes it.
pub async fn put(
    tx: &mut Tx,
    customer: CustomerId,
    span: Span,
    first: BusinessDate,
    usage: Usage,
) -> Result<(), Fault> {
    let customer = customer.to_bytes();
    let row =
        [Value::Bytes(&customer), span.name().into(), first.days().into(), usage.used.into(), usage.reserved.into()];
    let sql = "REPLACE INTO limit_usage (customer, span, first_day, used, reserved) VALUES (?*)";
    let _ = tx.insert(sql, &row).await?; // a row that was there is replaced
    Ok(())
}
