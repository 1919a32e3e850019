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
    let mut spans: BTreeMap<(Span, BusinessDate), Vec<[u8; 16]>> = BTreeMap::new();
    for (span, first, customer) in limits {
        spans.entry((*span, *first)).or_default().push(customer.to_bytes());
    }
    for ((span, first), customers) in spans {
        let sql = "SELECT customer, used, reserved FROM limit_usage WHERE customer IN (?*) AND span = ? AND first_day = ? \
                   ORDER BY customer FOR UPDATE";
        let mut params: Vec<Value<'_>> = customers.iter().map(|customer| Value::Bytes(customer)).collect();
        params.extend([Value::Text(span.name()), first.days().into()]);
        for r in tx.query(sql, &params).await? {
            let limit = (span, first, CustomerId::from_bytes(r.id(0)));
            taken.usages.insert(limit, Usage { used: r.int(1), reserved: r.int(2) });
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
