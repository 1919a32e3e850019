//! What is taken of limits.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Fault, Inserted, Tx, Value};

use crate::domain::limits::{Span, Usage};

/// Whose limit: of a span that begins on a day.
pub type Limit = (Span, BusinessDate, CustomerId);

/// What customers have taken of some limits, by limit; nothing where nobody ever took any. Locks them, in their order.
#[derive(Debug)]
pub struct Taken {
    usages: BTreeMap<Limit, Usage>,
    /// Those that have a row.
    there: BTreeSet<Limit>,
}

impl Taken {
    /// What is taken of one of them.
    pub fn of(&self, limit: Limit) -> Usage {
        self.usages.get(&limit).copied().unwrap_or_default()
    }

    /// Notes what is taken of one of them.
    pub fn set(&mut self, limit: Limit, usage: Usage) {
        self.usages.insert(limit, usage);
    }
}

/// What is taken of some limits; locks them, in their order.
pub async fn taken(tx: &mut Tx, limits: &BTreeSet<Limit>) -> Result<Taken, Fault> {
    let mut taken = Taken { usages: BTreeMap::new(), there: BTreeSet::new() };
    let spans: BTreeSet<(Span, BusinessDate)> = limits.iter().map(|(span, first, _)| (*span, *first)).collect();
    let customers: BTreeSet<[u8; 16]> = limits.iter().map(|(.., customer)| customer.to_bytes()).collect();
    if limits.is_empty() {
        return Ok(taken);
    }
    let which = vec!["(span = ? AND first_day = ?)"; spans.len()].join(" OR ");
    let sql = format!(
        "SELECT customer, span, first_day, used, reserved FROM limit_usage WHERE customer IN (?*) AND ({which}) \
         ORDER BY customer, span, first_day FOR UPDATE"
    );
    let mut params: Vec<Value<'_>> = customers.iter().map(|customer| Value::Bytes(customer)).collect();
    params.extend(spans.iter().flat_map(|(span, first)| [Value::Text(span.name()), first.days().into()]));
    for r in tx.query(&sql, &params).await? {
        let span = spans.iter().find(|(span, first)| span.name() == r.text(1) && i64::from(first.days()) == r.int(2));
        let (span, first) = *span.expect("only these were asked for");
        let limit = (span, first, CustomerId::from_bytes(r.id(0)));
        // A customer's other span may be there too, and is not wanted.
        if limits.contains(&limit) {
            taken.usages.insert(limit, Usage { used: r.int(3), reserved: r.int(4) });
            taken.there.insert(limit);
        }
    }
    Ok(taken)
}

/// What a customer has taken of one limit; locks it.
pub async fn usage(tx: &mut Tx, customer: CustomerId, span: Span, first: BusinessDate) -> Result<Usage, Fault> {
    let limit = (span, first, customer);
    Ok(taken(tx, &BTreeSet::from([limit])).await?.of(limit))
}

/// Writes what is taken. A row that was not there when it was looked for can't have been locked: when another made it
/// meanwhile, this is tried again.
pub async fn put(tx: &mut Tx, taken: &Taken) -> Result<(), Fault> {
    for (fresh, sql) in [
        (true, "INSERT INTO limit_usage (customer, span, first_day, used, reserved) VALUES (?*)"),
        (false, "REPLACE INTO limit_usage (customer, span, first_day, used, reserved) VALUES (?*)"),
    ] {
        let written: Vec<(&Limit, [u8; 16], &Usage)> = taken
            .usages
            .iter()
            .filter(|(limit, _)| taken.there.contains(limit) != fresh)
            .map(|(limit, usage)| (limit, limit.2.to_bytes(), usage))
            .collect();
        let mut rows: Vec<Value<'_>> = Vec::with_capacity(written.len() * 5);
        for ((span, first, _), customer, usage) in &written {
            let (used, reserved) = (Value::Int(usage.used), Value::Int(usage.reserved));
            rows.extend([Value::Bytes(customer), Value::Text(span.name()), first.days().into(), used, reserved]);
        }
        if !rows.is_empty() && tx.insert_rows(sql, 5, &rows).await? == Inserted::Duplicate && fresh {
            return Err(Fault::Conflict("another exchange of the customer's was faster".into()));
        }
    }
    Ok(())
}
