//! Products: versions of their terms, by the day from which they hold.

use jangbu_kernel::date::BusinessDate;
use jangbu_platform::db::{Fault, Inserted, Tx};

use super::accounts::day;

/// All versions: code, first day, terms as JSON; by code and day.
pub async fn all(tx: &mut Tx) -> Result<Vec<(String, BusinessDate, String)>, Fault> {
    let sql = "SELECT code, from_date, terms FROM product_version ORDER BY code, from_date";
    let rows = tx.query(sql, &[]).await?;
    Ok(rows.iter().map(|r| (r.text(0).to_owned(), day(r.int(1)), r.text(2).to_owned())).collect())
}

/// How many versions there are: each is added once and stays.
pub async fn count(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT COUNT(*) FROM product_version", &[]).await?;
    Ok(row.map_or(0, |r| r.int(0).cast_unsigned()))
}

/// The terms of a version.
pub async fn find(tx: &mut Tx, code: &str, from: BusinessDate) -> Result<Option<String>, Fault> {
    let sql = "SELECT terms FROM product_version WHERE code = ? AND from_date = ?";
    Ok(tx.query_one(sql, &[code.into(), from.days().into()]).await?.map(|r| r.text(0).to_owned()))
}

/// Adds a version; a version that stands is never changed.
pub async fn insert(tx: &mut Tx, code: &str, from: BusinessDate, terms: &str) -> Result<Inserted, Fault> {
    let sql = "INSERT INTO product_version (code, from_date, terms) VALUES (?*)";
    tx.insert(sql, &[code.into(), from.days().into(), terms.into()]).await
}
