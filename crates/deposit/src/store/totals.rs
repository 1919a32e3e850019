//! The sums that prove the books, as far as they were last kept, and what they are made from.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx, Value};

use super::postings::by_seq;
use crate::domain::command::stored_bank_account;
use crate::domain::totals::{Last, Paid, Sums, TAX_SUSPENSE, Totals};

fn sum(text: &str) -> Result<i128, Fault> {
    text.parse().map_err(|_| Fault::Damaged(format!("a sum {text:?}")))
}

fn currency(text: &str) -> Result<Currency, Fault> {
    text.parse().map_err(|_| Fault::Damaged(format!("a currency {text:?}")))
}

/// The sums as last kept.
pub async fn load(tx: &mut Tx) -> Result<Totals, Fault> {
    let Some(row) = tx.query_one("SELECT seq, postings, refused FROM totals WHERE id = 1", &[]).await? else {
        return Ok(Totals::default());
    };
    let n = |i| row.int(i).cast_unsigned();
    let mut totals = Totals { through: n(0), postings: n(1), refused: n(2), currencies: BTreeMap::new() };
    let sql = "SELECT currency, entries, moved, broken, paid_on, paid_net, paid_tax, payments FROM totals_currency";
    for row in tx.query(sql, &[]).await? {
        let sums = Sums {
            entries: sum(row.text(1))?,
            moved: sum(row.text(2))?,
            bank: BTreeMap::new(),
            broken: row.int(3).cast_unsigned(),
            paid: Paid {
                date: i32::try_from(row.int(4)).unwrap_or(0),
                net: row.int(5),
                tax: row.int(6),
                payments: row.int(7),
            },
        };
        totals.currencies.insert(currency(row.text(0))?, sums);
    }
    for row in tx.query("SELECT currency, account, amount FROM totals_bank", &[]).await? {
        let name = if row.text(1) == TAX_SUSPENSE { Some(TAX_SUSPENSE) } else { stored_bank_account(row.text(1)) };
        let name = name.ok_or_else(|| Fault::Damaged(format!("the bank's account {:?}", row.text(1))))?;
        let sums = totals.currencies.entry(currency(row.text(0))?).or_default();
        sums.bank.insert(name, sum(row.text(2))?);
    }
    Ok(totals)
}

/// Keeps the sums: a row, and one per currency and per account of the bank in it.
pub async fn keep(tx: &mut Tx, totals: &Totals) -> Result<(), Fault> {
    let mark = [1, totals.through.cast_signed(), totals.postings.cast_signed(), totals.refused.cast_signed()];
    let _ = tx.insert("REPLACE INTO totals (id, seq, postings, refused) VALUES (?*)", &mark.map(Into::into)).await?;
    for (currency, sums) in &totals.currencies {
        let (entries, moved, paid) = (sums.entries.to_string(), sums.moved.to_string(), sums.paid);
        let row = [
            currency.code().into(),
            (&entries).into(),
            (&moved).into(),
            sums.broken.cast_signed().into(),
            paid.date.into(),
            paid.net.into(),
            paid.tax.into(),
            paid.payments.into(),
        ];
        let sql = "REPLACE INTO totals_currency (currency, entries, moved, broken, paid_on, paid_net, paid_tax, \
                   payments) VALUES (?*)";
        let _ = tx.insert(sql, &row).await?;
        for (account, amount) in &sums.bank {
            let amount = amount.to_string();
            let row = [currency.code().into(), (*account).into(), (&amount).into()];
            let _ = tx.insert("REPLACE INTO totals_bank (currency, account, amount) VALUES (?*)", &row).await?;
        }
    }
    Ok(())
}

/// The currencies of accounts.
pub async fn currencies(tx: &mut Tx, nos: &BTreeSet<u64>) -> Result<BTreeMap<u64, Currency>, Fault> {
    if nos.is_empty() {
        return Ok(BTreeMap::new());
    }
    let nos: Vec<Value<'_>> = nos.iter().map(|no| no.cast_signed().into()).collect();
    let rows = tx.query("SELECT no, currency FROM account WHERE no IN (?*)", &nos).await?;
    rows.iter().map(|row| Ok((row.int(0).cast_unsigned(), currency(row.text(1))?))).collect()
}

/// How the entry of an account at a place left it; nothing when there is no such entry.
pub async fn entry_at(tx: &mut Tx, no: u64, place: u64) -> Result<Option<Last>, Fault> {
    let posting = by_seq(tx, place).await?.and_then(|row| row.posting);
    let mut legs = posting.into_iter().flat_map(|p| [p.debit, p.credit]).flatten();
    Ok(legs.find(|leg| leg.account == no).map(|leg| Last { serial: leg.serial, balance: leg.balance }))
}
