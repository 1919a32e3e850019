//! Accounts with their balances, owners, and the point up to which balances are written back.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use crate::domain::book::{Account, Day, Marks, Owner, Used};
use crate::domain::chain::Path;

pub(super) const SELECT: &str = "SELECT a.no, a.id, a.customer, a.product, a.currency, a.marks, a.opened_on, a.closed_on, \
    b.ledger, b.held, b.serial, b.path, b.day, b.opening, b.debits, b.credits, b.used_day, b.used_day_sum, \
    b.used_month, b.used_month_sum, b.paid_through, b.changed FROM account a JOIN balance b ON b.no = a.no";
/// The same columns, the owner's standing, how many versions of products there are, the last posting, and up to which all
/// balances are written back.
const SELECT_ALL: &str = "SELECT a.no, a.id, a.customer, a.product, a.currency, a.marks, a.opened_on, a.closed_on, \
    b.ledger, b.held, b.serial, b.path, b.day, b.opening, b.debits, b.credits, b.used_day, b.used_day_sum, \
    b.used_month, b.used_month_sum, b.paid_through, b.changed, o.version, o.marks, \
    (SELECT COUNT(*) FROM product_version), (SELECT p.seq FROM place p WHERE p.id = 1), \
    (SELECT f.seq FROM folded f WHERE f.id = 1) FROM account a JOIN balance b ON b.no = a.no \
    LEFT JOIN owner o ON o.customer = a.customer WHERE a.no IN (?*)";

/// Accounts whose names are read at once.
const NAMES_PER_READ: usize = 1_024;

pub(crate) fn day(n: i64) -> BusinessDate {
    BusinessDate::from_days(i32::try_from(n).unwrap_or(0))
}

fn number(n: i64) -> u64 {
    n.cast_unsigned()
}

fn account(row: &Row, product: u32) -> Result<Account, Fault> {
    let currency = row.text(4).parse::<Currency>().map_err(|_| Fault::Damaged("a currency code".into()))?;
    let small = |n: i64| i32::try_from(n).unwrap_or(0);
    Ok(Account {
        no: number(row.int(0)),
        id: AccountId::from_bytes(row.id(1)),
        customer: CustomerId::from_bytes(row.id(2)),
        product,
        currency,
        marks: Marks(u32::try_from(row.int(5)).unwrap_or(0)),
        opened_on: day(row.int(6)),
        closed_on: row.opt_int(7).map(day),
        ledger: row.int(8),
        held: row.int(9),
        serial: number(row.int(10)),
        path: Path::from_bytes(row.bytes(11)),
        day: Day { date: day(row.int(12)), opening: row.int(13), debits: row.int(14), credits: row.int(15) },
        used: Used { day: small(row.int(16)), day_sum: row.int(17), month: small(row.int(18)), month_sum: row.int(19) },
        paid_through: day(row.int(20)),
        changed: number(row.int(21)),
    })
}

/// One account as last written back, by its number; `product` gives the book's index of a product code. Locks it.
pub async fn load(tx: &mut Tx, no: u64, product: impl Fn(&str) -> Option<u32>) -> Result<Option<Account>, Fault> {
    let row = tx.query_one(&format!("{SELECT} WHERE a.no = ? FOR UPDATE"), &[no.cast_signed().into()]).await?;
    row.map(|row| read(&row, &product)).transpose()
}

/// An account as stored with what belongs to it, not read yet.
pub struct Stored(Row);

impl Stored {
    /// Its number.
    pub fn no(&self) -> u64 {
        number(self.0.int(0))
    }
    /// The account; `product` gives the book's index of a product code.
    pub fn account(&self, product: impl Fn(&str) -> Option<u32>) -> Result<Account, Fault> {
        read(&self.0, product)
    }
    /// Its owner's standing.
    pub fn owner(&self) -> Owner {
        let marks = Marks(self.0.opt_int(23).and_then(|n| u32::try_from(n).ok()).unwrap_or(0));
        Owner { version: self.0.opt_int(22).unwrap_or_default(), marks }
    }
    /// The last posting when it was read, where balances were not written back so far.
    pub fn behind(&self) -> Option<u64> {
        let reached = self.0.opt_int(25).unwrap_or_default();
        (self.0.opt_int(26).unwrap_or_default() < reached).then_some(number(reached))
    }
    /// How many versions of products there were when it was read.
    pub fn versions(&self) -> u64 {
        number(self.0.int(24))
    }
}

/// Accounts as last written back, with their owners, by one statement; in no order.
pub async fn stored(tx: &mut Tx, nos: &[u64]) -> Result<Vec<Stored>, Fault> {
    let asked: Vec<Value<'_>> = nos.iter().map(|no| no.cast_signed().into()).collect();
    Ok(tx.query(SELECT_ALL, &asked).await?.into_iter().map(Stored).collect())
}

/// An account of a row; `product` gives the book's index of a product code.
pub(super) fn read(row: &Row, product: impl Fn(&str) -> Option<u32>) -> Result<Account, Fault> {
    let product = product(row.text(3)).ok_or_else(|| Fault::Damaged("an account of no known product".into()))?;
    account(row, product)
}

/// Inserts a new account with an empty balance.
pub async fn insert(tx: &mut Tx, account: &Account, number: &str, product: &str) -> Result<(), Fault> {
    let (id, customer) = (account.id.to_bytes(), account.customer.to_bytes());
    let row = [
        account.no.cast_signed().into(),
        Value::Bytes(&id),
        number.into(),
        Value::Bytes(&customer),
        product.into(),
        account.currency.code().into(),
        i64::from(account.marks.0).into(),
        account.opened_on.days().into(),
        Value::Null,
    ];
    let sql = "INSERT INTO account (no, id, number, customer, product, currency, marks, opened_on, closed_on) \
               VALUES (?*)";
    if tx.insert(sql, &row).await? == Inserted::Duplicate {
        return Err(Fault::Conflict("the account number was taken meanwhile".into()));
    }
    write_balance(tx, account).await
}

pub(super) const BALANCE_COLUMNS: usize = 15;
pub(super) const BALANCE: &str = "REPLACE INTO balance (no, ledger, held, serial, path, day, opening, debits, credits, \
    used_day, used_day_sum, used_month, used_month_sum, paid_through, changed) VALUES (?*)";

pub(super) fn balance_row<'a>(a: &Account, path: &'a [u8]) -> [Value<'a>; BALANCE_COLUMNS] {
    [
        a.no.cast_signed().into(),
        a.ledger.into(),
        a.held.into(),
        a.serial.cast_signed().into(),
        path.into(),
        a.day.date.days().into(),
        a.day.opening.into(),
        a.day.debits.into(),
        a.day.credits.into(),
        a.used.day.into(),
        a.used.day_sum.into(),
        a.used.month.into(),
        a.used.month_sum.into(),
        a.paid_through.days().into(),
        a.changed.cast_signed().into(),
    ]
}

/// Writes an account's state back.
pub async fn write_balance(tx: &mut Tx, account: &Account) -> Result<(), Fault> {
    let _ = tx.insert(BALANCE, &balance_row(account, &account.path.to_bytes())).await?; // replaces: there is no duplicate
    Ok(())
}

/// Up to which posting all balances are written back.
pub async fn folded(tx: &mut Tx) -> Result<u64, Fault> {
    Ok(tx.query_one("SELECT seq FROM folded WHERE id = 1", &[]).await?.map_or(0, |r| number(r.int(0))))
}

/// Notes that all balances are written back up to `seq`.
pub async fn set_folded(tx: &mut Tx, seq: u64) -> Result<(), Fault> {
    tx.execute_last("REPLACE INTO folded (id, seq) VALUES (1, ?)", &[seq.cast_signed().into()]).await
}

/// The greatest account number given out.
pub async fn last_no(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT MAX(no) FROM account", &[]).await?;
    Ok(row.and_then(|r| r.opt_int(0)).map_or(0, number))
}

/// What never changes of an account.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Its id.
    pub id: AccountId,
    /// Its owner.
    pub customer: CustomerId,
    /// Its currency.
    pub currency: Currency,
    /// Its number for people.
    pub number: String,
    /// Code of its product.
    pub product: String,
}

/// What never changes of accounts, by their numbers.
pub async fn fixed(tx: &mut Tx, nos: &[u64]) -> Result<Vec<(u64, Fixed)>, Fault> {
    let mut found = Vec::with_capacity(nos.len());
    for run in nos.chunks(NAMES_PER_READ) {
        let run: Vec<Value<'_>> = run.iter().map(|no| no.cast_signed().into()).collect();
        let sql = "SELECT no, id, customer, currency, number, product FROM account WHERE no IN (?*)";
        for row in tx.query(sql, &run).await? {
            let fixed = Fixed {
                id: AccountId::from_bytes(row.id(1)),
                customer: CustomerId::from_bytes(row.id(2)),
                currency: row.text(3).parse().map_err(|_| Fault::Damaged("a currency code".into()))?,
                number: row.text(4).to_owned(),
                product: row.text(5).to_owned(),
            };
            found.push((number(row.int(0)), fixed));
        }
    }
    Ok(found)
}

/// Writes an account's marks and day of closing.
pub async fn update_standing(tx: &mut Tx, account: &Account) -> Result<(), Fault> {
    let sql = "UPDATE account SET marks = ?, closed_on = ? WHERE no = ?";
    let closed = account.closed_on.map(BusinessDate::days);
    let params = [i64::from(account.marks.0).into(), closed.into(), account.no.cast_signed().into()];
    tx.execute(sql, &params).await?;
    Ok(())
}

/// Account numbers after `after`, in the order of opening, of one customer or of all.
pub async fn page(tx: &mut Tx, customer: Option<CustomerId>, after: u64, limit: u32) -> Result<Vec<u64>, Fault> {
    let after = after.cast_signed().into();
    let rows = match customer {
        Some(customer) => {
            let sql = "SELECT no FROM account WHERE customer = ? AND no > ? ORDER BY no LIMIT ?";
            tx.query(sql, &[Value::Bytes(&customer.to_bytes()), after, limit.into()]).await?
        }
        None => tx.query("SELECT no FROM account WHERE no > ? ORDER BY no LIMIT ?", &[after, limit.into()]).await?,
    };
    Ok(rows.iter().map(|r| number(r.int(0))).collect())
}

/// What is known of an owner.
pub async fn owner(tx: &mut Tx, customer: CustomerId) -> Result<Option<Owner>, Fault> {
    let sql = "SELECT version, marks FROM owner WHERE customer = ?";
    let row = tx.query_one(sql, &[Value::Bytes(&customer.to_bytes())]).await?;
    let marks = |n: i64| Marks(u32::try_from(n).unwrap_or(0));
    Ok(row.map(|r| Owner { version: r.int(0), marks: marks(r.int(1)) }))
}

/// What became of an owner's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptOwner {
    /// It is not newer than the one known.
    Not,
    /// It is the first.
    First,
    /// It took the place of an older one.
    Newer,
}

/// Keeps an owner's standing, unless a newer one is known.
pub async fn keep_owner(tx: &mut Tx, customer: CustomerId, owner: Owner, kind: &str) -> Result<KeptOwner, Fault> {
    let id = customer.to_bytes();
    let sql = "SELECT version FROM owner WHERE customer = ? FOR UPDATE";
    let known = tx.query_one(sql, &[Value::Bytes(&id)]).await?.map(|r| r.int(0));
    if known.is_some_and(|known| known >= owner.version) {
        return Ok(KeptOwner::Not);
    }
    let row = [Value::Bytes(&id), owner.version.into(), kind.into(), i64::from(owner.marks.0).into()];
    let sql = match known {
        Some(_) => "REPLACE INTO owner (customer, version, kind, marks) VALUES (?*)",
        None => "INSERT INTO owner (customer, version, kind, marks) VALUES (?*)",
    };
    if tx.insert(sql, &row).await? == Inserted::Duplicate {
        return Err(Fault::Conflict("the owner's standing was kept meanwhile".into()));
    }
    Ok(if known.is_some() { KeptOwner::Newer } else { KeptOwner::First })
}
