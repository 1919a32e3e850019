//! All SQL of the service.
//!
//! | per | statements |
//! |---|---|
//! | batch | one insert of journals, one of tax rows; one read and one or two writes of days' totals |
//! | journal | one row, two index entries |
//! | batch with exchanges | one read each of what is open, of legs and of decisions; one insert each |

pub mod exchanges;
pub mod positions;

use std::collections::BTreeMap;

use jangbu_contracts::accounting::TaxPayment;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, InterestId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::engine::group;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use crate::domain::chart::Code;

/// A journal as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal<'a> {
    /// Its id.
    pub id: JournalId,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// Currency.
    pub currency: Currency,
    /// The deposit instance.
    pub instance: &'a str,
    /// Kind of the posting, or that of a tax journal.
    pub kind: &'a str,
    /// Microseconds UTC.
    pub posted_at: i64,
    /// Packed lines.
    pub lines: String,
}

/// The tax of one interest payment. Minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax<'a> {
    /// The payment.
    pub interest: InterestId,
    /// Its posting.
    pub posting: PostingId,
    /// The account.
    pub account: AccountId,
    /// The deposit instance.
    pub instance: &'a str,
    /// Currency.
    pub currency: Currency,
    /// The day it was paid.
    pub date: BusinessDate,
    /// First day paid for.
    pub from: BusinessDate,
    /// Last day paid for.
    pub to: BusinessDate,
    /// Gross, income tax, local tax, other tax, net.
    pub amounts: [i64; 5],
}

/// What an account of the general ledger moved: account, currency, instance, day.
pub type Place<'a> = (Code, Currency, &'a str, BusinessDate);
/// Debits and credits, minor units.
pub type Moved = (i64, i64);

const JOURNAL: &str = "SELECT id, business_date, currency, instance, kind, posted_at, packed FROM journal";
const JOURNAL_COLUMNS: usize = 7;
const TAX_COLUMNS: usize = 13;

/// Inserts journals in one go. After a duplicate among several the unit of work must be dropped.
pub async fn insert_journals(tx: &mut Tx, journals: &[Journal<'_>]) -> Result<Inserted, Fault> {
    if journals.is_empty() {
        return Ok(Inserted::New);
    }
    let ids: Vec<[u8; 16]> = journals.iter().map(|j| j.id.to_bytes()).collect();
    let mut values = Vec::with_capacity(journals.len() * JOURNAL_COLUMNS);
    for (journal, id) in journals.iter().zip(&ids) {
        values.extend([
            Value::Bytes(id),
            journal.date.days().into(),
            journal.currency.code().into(),
            journal.instance.into(),
            journal.kind.into(),
            journal.posted_at.into(),
            (&journal.lines).into(),
        ]);
    }
    let sql = "INSERT INTO journal (id, business_date, currency, instance, kind, posted_at, packed) VALUES (?*)";
    tx.insert_rows(sql, JOURNAL_COLUMNS, &values).await
}

/// Inserts tax rows in one go. After a duplicate among several the unit of work must be dropped.
pub async fn insert_taxes(tx: &mut Tx, taxes: &[Tax<'_>]) -> Result<Inserted, Fault> {
    if taxes.is_empty() {
        return Ok(Inserted::New);
    }
    let ids: Vec<_> =
        taxes.iter().map(|t| (t.interest.to_bytes(), t.posting.to_bytes(), t.account.to_bytes())).collect();
    let mut values = Vec::with_capacity(taxes.len() * TAX_COLUMNS);
    for (tax, (interest, posting, account)) in taxes.iter().zip(&ids) {
        values.extend([
            Value::Bytes(interest),
            Value::Bytes(posting),
            Value::Bytes(account),
            tax.instance.into(),
            tax.currency.code().into(),
            tax.date.days().into(),
            tax.from.days().into(),
            tax.to.days().into(),
        ]);
        values.extend(tax.amounts.map(Value::Int));
    }
    let sql = "INSERT INTO tax_payment (interest, posting, account, instance, currency, business_date, from_date, \
               to_date, gross, income_tax, local_tax, other_tax, net) VALUES (?*)";
    tx.insert_rows(sql, TAX_COLUMNS, &values).await
}

/// Adds what a batch moved to the days' totals, in the order of the map: everybody locks them in that order.
pub async fn add_totals(tx: &mut Tx, moved: &BTreeMap<Place<'_>, Moved>) -> Result<(), Fault> {
    if moved.is_empty() {
        return Ok(());
    }
    // All rows of these accounts, currencies, instances and days: a few more than are wanted, if at all.
    let lists = [
        filled(moved.keys().map(|place| Value::Int(place.0.0.into()))),
        filled(moved.keys().map(|place| Value::Text(place.1.code()))),
        filled(moved.keys().map(|place| Value::Text(place.2))),
        filled(moved.keys().map(|place| Value::Int(place.3.days().into()))),
    ];
    let [code, currency, instance, date] = lists.each_ref().map(|list| group(list.len()));
    let sql = format!(
        "{TOTAL} WHERE code IN {code} AND currency IN {currency} AND instance IN {instance} AND business_date IN {date} \
         ORDER BY code, currency, instance, business_date FOR UPDATE"
    );
    let known: Vec<Total> = tx.query(&sql, &lists.concat()).await?.iter().map(total).collect::<Result<_, _>>()?;
    let known: BTreeMap<Place<'_>, Moved> =
        known.iter().map(|t| ((t.code, t.currency, t.instance.as_str(), t.date), (t.debits, t.credits))).collect();
    for (fresh, sql) in [
        (true, "INSERT INTO gl_total (code, currency, instance, business_date, debits, credits) VALUES (?*)"),
        (false, "REPLACE INTO gl_total (code, currency, instance, business_date, debits, credits) VALUES (?*)"),
    ] {
        let mut rows: Vec<Value<'_>> = Vec::with_capacity(moved.len() * 6);
        for (place, (debits, credits)) in moved.iter().filter(|(place, _)| known.contains_key(*place) != fresh) {
            let (code, currency, instance, date) = place;
            let before = known.get(place).copied().unwrap_or_default();
            let sums = before.0.checked_add(*debits).zip(before.1.checked_add(*credits));
            let (debits, credits) = sums.ok_or_else(|| {
                Fault::Damaged(format!("account {code} moves more {currency} on {date} than a total holds"))
            })?;
            let place = [Value::Int(code.0.into()), Value::Text(currency.code()), Value::Text(instance)];
            rows.extend(place);
            rows.extend([date.days().into(), debits, credits].map(Value::Int));
        }
        if !rows.is_empty() && tx.insert_rows(sql, 6, &rows).await? == Inserted::Duplicate && fresh {
            return Err(Fault::Conflict("another took up the day's total meanwhile".into()));
        }
    }
    Ok(())
}

/// Each value once, filled up to a power of two with the last one, so that few statements are kept prepared.
fn filled<'a>(values: impl Iterator<Item = Value<'a>>) -> Vec<Value<'a>> {
    let mut list: Vec<Value<'a>> = Vec::new();
    for value in values {
        if !list.contains(&value) {
            list.push(value);
        }
    }
    let last = list.last().copied();
    list.resize(list.len().next_power_of_two(), last.unwrap_or(Value::Null));
    list
}

/// A journal read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJournal {
    /// Its id.
    pub id: JournalId,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// Currency.
    pub currency: Currency,
    /// The deposit instance.
    pub instance: String,
    /// Kind of the posting, or that of a tax journal.
    pub kind: String,
    /// Microseconds UTC.
    pub posted_at: i64,
    /// Packed lines.
    pub lines: String,
}

/// A day as stored.
pub fn day(days: i64) -> Result<BusinessDate, Fault> {
    i32::try_from(days).map(BusinessDate::from_days).map_err(|_| Fault::Damaged(format!("day {days}")))
}

/// A currency as stored.
pub fn currency(text: &str) -> Result<Currency, Fault> {
    text.parse().map_err(|_| Fault::Damaged(format!("currency {text:?}")))
}

fn journal(row: &Row) -> Result<StoredJournal, Fault> {
    Ok(StoredJournal {
        id: JournalId::from_bytes(row.id(0)),
        date: day(row.int(1))?,
        currency: currency(row.text(2))?,
        instance: row.text(3).to_owned(),
        kind: row.text(4).to_owned(),
        posted_at: row.int(5),
        lines: row.text(6).to_owned(),
    })
}

/// One journal.
pub async fn find_journal(tx: &mut Tx, id: JournalId) -> Result<Option<StoredJournal>, Fault> {
    let row = tx.query_one(&format!("{JOURNAL} WHERE id = ?"), &[Value::Bytes(&id.to_bytes())]).await?;
    row.as_ref().map(journal).transpose()
}

/// Packed lines of these journals, of those that stand.
pub async fn lines_of(tx: &mut Tx, ids: &[JournalId]) -> Result<BTreeMap<JournalId, String>, Fault> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let bytes: Vec<[u8; 16]> = ids.iter().map(|id| id.to_bytes()).collect();
    let sql = "SELECT id, packed FROM journal WHERE id IN (?*)";
    let rows = tx.query(sql, &bytes.iter().map(Value::from).collect::<Vec<_>>()).await?;
    Ok(rows.iter().map(|row| (JournalId::from_bytes(row.id(0)), row.text(1).to_owned())).collect())
}

/// Journals after `after`, by id, whatever their day.
pub async fn journals(tx: &mut Tx, after: Option<JournalId>, limit: u32) -> Result<Vec<StoredJournal>, Fault> {
    let after = after.map_or([0; 16], JournalId::to_bytes);
    let sql = format!("{JOURNAL} WHERE id > ? ORDER BY id LIMIT ?");
    tx.query(&sql, &[Value::Bytes(&after), limit.into()]).await?.iter().map(journal).collect()
}

/// A journal as far as a proof needs it: read as it stands, nothing copied.
#[derive(Clone, Copy, Debug)]
pub struct Bare<'a> {
    /// Its id.
    pub id: JournalId,
    /// The day it belongs to, in days since 1970.
    pub date: i64,
    /// Currency.
    pub currency: &'a str,
    /// The deposit instance.
    pub instance: &'a str,
    /// Kind of the posting, or that of a tax journal.
    pub kind: &'a str,
    /// Packed lines.
    pub lines: &'a str,
}

/// Shows journals after `after`, by id, one by one; the last one's id, and how many.
pub async fn each_journal(
    tx: &mut Tx,
    after: Option<JournalId>,
    limit: u32,
    mut see: impl FnMut(Bare<'_>),
) -> Result<Option<(JournalId, u64)>, Fault> {
    let after = after.map_or([0; 16], JournalId::to_bytes);
    let sql =
        "SELECT id, business_date, currency, instance, kind, packed FROM journal WHERE id > ? ORDER BY id LIMIT ?";
    let rows = tx.query(sql, &[Value::Bytes(&after), limit.into()]).await?;
    for row in &rows {
        let (id, date) = (JournalId::from_bytes(row.id(0)), row.int(1));
        let (currency, instance, kind, lines) = (row.text(2), row.text(3), row.text(4), row.text(5));
        see(Bare { id, date, currency, instance, kind, lines });
    }
    Ok(rows.last().map(|row| (JournalId::from_bytes(row.id(0)), rows.len() as u64)))
}

/// Journals of a day and a currency after `after`, by id.
pub async fn journals_of(
    tx: &mut Tx,
    date: BusinessDate,
    currency: &str,
    after: Option<JournalId>,
    limit: u32,
) -> Result<Vec<StoredJournal>, Fault> {
    let after = after.map_or([0; 16], JournalId::to_bytes);
    let sql = format!("{JOURNAL} WHERE business_date = ? AND currency = ? AND id > ? ORDER BY id LIMIT ?");
    let place = [date.days().into(), currency.into(), Value::Bytes(&after), limit.into()];
    tx.query(&sql, &place).await?.iter().map(journal).collect()
}

/// Journals of a day in the currencies that come after one, by currency and id.
pub async fn journals_beyond(
    tx: &mut Tx,
    date: BusinessDate,
    currency: &str,
    limit: u32,
) -> Result<Vec<StoredJournal>, Fault> {
    let sql = format!("{JOURNAL} WHERE business_date = ? AND currency > ? ORDER BY currency, id LIMIT ?");
    tx.query(&sql, &[date.days().into(), currency.into(), limit.into()]).await?.iter().map(journal).collect()
}

/// A day's total of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The account.
    pub code: Code,
    /// Currency.
    pub currency: Currency,
    /// The deposit instance.
    pub instance: String,
    /// The day.
    pub date: BusinessDate,
    /// Debits, minor units.
    pub debits: i64,
    /// Credits, minor units.
    pub credits: i64,
}

const TOTAL: &str = "SELECT code, currency, instance, business_date, debits, credits FROM gl_total";

fn total(row: &Row) -> Result<Total, Fault> {
    Ok(Total {
        code: Code(u16::try_from(row.int(0)).map_err(|_| Fault::Damaged("an account's code".into()))?),
        currency: currency(row.text(1))?,
        instance: row.text(2).to_owned(),
        date: day(row.int(3))?,
        debits: row.int(4),
        credits: row.int(5),
    })
}

/// Totals of a currency up to a day, by account, instance and day.
pub async fn totals_upto(tx: &mut Tx, currency: Currency, date: BusinessDate) -> Result<Vec<Total>, Fault> {
    let sql =
        format!("{TOTAL} WHERE currency = ? AND business_date <= ? ORDER BY code, currency, instance, business_date");
    tx.query(&sql, &[currency.code().into(), date.days().into()]).await?.iter().map(total).collect()
}

/// Totals of one account, all currencies, instances and days.
pub async fn totals_of(tx: &mut Tx, code: Code) -> Result<Vec<Total>, Fault> {
    let sql = format!("{TOTAL} WHERE code = ? ORDER BY code, currency, instance, business_date");
    tx.query(&sql, &[i64::from(code.0).into()]).await?.iter().map(total).collect()
}

const TAX: &str = "SELECT interest, posting, account, instance, currency, business_date, from_date, to_date, gross, \
                   income_tax, local_tax, other_tax, net FROM tax_payment";

fn tax(row: &Row) -> Result<TaxPayment, Fault> {
    Ok(TaxPayment {
        interest: InterestId::from_bytes(row.id(0)),
        posting: PostingId::from_bytes(row.id(1)),
        account: AccountId::from_bytes(row.id(2)),
        instance: row.text(3).to_owned(),
        currency: currency(row.text(4))?,
        business_date: day(row.int(5))?,
        from: day(row.int(6))?,
        to: day(row.int(7))?,
        gross: row.int(8),
        income_tax: row.int(9),
        local_tax: row.int(10),
        other_tax: row.int(11),
        net: row.int(12),
    })
}

/// Tax rows of a day after `after`, by payment.
pub async fn taxes_of(
    tx: &mut Tx,
    date: BusinessDate,
    after: Option<InterestId>,
    limit: u32,
) -> Result<Vec<TaxPayment>, Fault> {
    let after = after.map_or([0; 16], InterestId::to_bytes);
    let sql = format!("{TAX} WHERE business_date = ? AND interest > ? ORDER BY interest LIMIT ?");
    tx.query(&sql, &[date.days().into(), Value::Bytes(&after), limit.into()]).await?.iter().map(tax).collect()
}

/// Tax rows after `after`, by payment, whatever their day.
pub async fn taxes(tx: &mut Tx, after: Option<InterestId>, limit: u32) -> Result<Vec<TaxPayment>, Fault> {
    let after = after.map_or([0; 16], InterestId::to_bytes);
    let sql = format!("{TAX} WHERE interest > ? ORDER BY interest LIMIT ?");
    tx.query(&sql, &[Value::Bytes(&after), limit.into()]).await?.iter().map(tax).collect()
}

/// All totals.
pub async fn totals(tx: &mut Tx) -> Result<Vec<Total>, Fault> {
    let sql = format!("{TOTAL} ORDER BY code, currency, instance, business_date");
    tx.query(&sql, &[]).await?.iter().map(total).collect()
}
