//! Brings many accounts in at once: from a bank that moves here, or for a measurement.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::db::Fault;

use super::accounts::{Opening, decide_opening};
use crate::domain::book::Owner;
use crate::domain::decide::Refusal;
use crate::ledger::Ledger;
use crate::store;

/// Accounts opened by one unit of work at most.
pub const ACCOUNTS_PER_LOAD_MAX: u32 = 4_096;

/// Opens accounts of a product for one owner, whose standing comes along; their ids in the order of their numbers.
///
/// # Errors
/// Nothing was opened.
pub async fn load_accounts(
    ledger: &Ledger,
    customer: CustomerId,
    product: &str,
    date: BusinessDate,
    count: u32,
) -> Result<Result<Vec<AccountId>, Refusal>, Fault> {
    let mut alone = ledger.alone("deposit.load_accounts").await?;
    let (tx, state) = (&mut alone.tx, &mut alone.state);
    let owner = Owner { version: 0, ..Owner::default() };
    store::accounts::keep_owner(tx, customer, owner, "person").await?;
    let owner = store::accounts::owner(tx, customer).await?;
    ledger.take_numbers(tx, state).await?;
    let opening = Opening { customer, product: product.to_owned(), currency: None, date, standing: None };
    let mut opened = Vec::with_capacity(count as usize);
    for _ in 0..count.min(ACCOUNTS_PER_LOAD_MAX) {
        let (account, number) = match decide_opening(ledger, tx.now(), state, &opening, owner)? {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Err(refusal)), // nothing stands, and the numbers taken so far are given back
        };
        store::accounts::insert(tx, &account, &number, product).await?;
        state.last_no = account.no;
        opened.push(account);
    }
    let ids = opened.iter().map(|account| account.id).collect();
    state.book.owners.extend(owner.map(|owner| (customer, owner)));
    opened.into_iter().for_each(|account| state.book.accounts.insert(account));
    alone.commit().await?;
    Ok(Ok(ids))
}
