//! A ledger whose database other processes write too: nothing is kept in memory between commits but the terms of products,
//! which are added to and never changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jangbu_platform::db::{Fault, Tx};

use super::{Ledger, Product, State};
use crate::domain::book::{Account, Owner};
use crate::store;

/// Accounts whose numbers and products are kept in memory; when there are more, all are forgotten.
const DESCRIBED_MAX: usize = 65_536;

/// The products as last read, and how many versions they were.
#[derive(Default)]
pub(super) struct Offered {
    versions: u64,
    products: Vec<Arc<Product>>,
}

impl Ledger {
    /// A state with products alone.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn blank(&self, tx: &mut Tx) -> Result<State, Fault> {
        let versions = store::products::count(tx).await?;
        let mut offered = self.offered.lock().await;
        let mut state = State::default();
        if offered.versions == versions {
            state.products.clone_from(&offered.products);
        } else {
            for (code, from, text) in store::products::all(tx).await? {
                state.offer(&code, crate::terms_text::read(&text, from).map_err(Fault::Damaged)?);
            }
            *offered = Offered { versions, products: state.products.clone() };
        }
        drop(offered);
        state.take_limits();
        Ok(state)
    }

    /// Accounts and their owners as they stand in the store.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) async fn stored(&self, nos: &[u64]) -> Result<Vec<(Account, Owner)>, Fault> {
        if nos.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.read("deposit.look").await?;
        let state = self.blank(&mut tx).await?;
        let accounts = store::accounts::load_all(&mut tx, nos, |code| state.product(code)).await?;
        let customers = accounts.iter().map(|account| account.customer).collect();
        let owners: BTreeMap<_, _> = store::locked::owners(&mut tx, &customers).await?.into_iter().collect();
        let owner = |account: &Account| owners.get(&account.customer).copied().unwrap_or_default();
        Ok(accounts.into_iter().map(|account| (account.clone(), owner(&account))).collect())
    }

    /// The numbers and the products' codes of accounts that are durable. Neither ever changes, so they are kept in memory,
    /// whoever else writes.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn describe(&self, nos: &[u64]) -> Result<BTreeMap<u64, (String, String)>, Fault> {
        let mut found = BTreeMap::new();
        let described = self.described.lock().await;
        found.extend(nos.iter().filter_map(|no| Some((*no, described.get(no)?.clone()))));
        drop(described);
        let missing: Vec<u64> = nos.iter().copied().filter(|no| !found.contains_key(no)).collect();
        if !missing.is_empty() {
            let read = store::accounts::describe(&mut self.db.read("deposit.describe").await?, &missing).await?;
            let mut described = self.described.lock().await;
            if described.len() + read.len() > DESCRIBED_MAX {
                described.clear();
            }
            described.extend(read.iter().cloned());
            drop(described);
            found.extend(read);
        }
        Ok(found)
    }

    /// The greatest account number given out, of a state that is about to give out the next: nobody else does until the
    /// unit of work ends.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn take_numbers(&self, tx: &mut Tx, state: &mut State) -> Result<(), Fault> {
        if !self.db.sole_owner() {
            store::locked::place(tx).await?;
            state.last_no = store::accounts::last_no(tx).await?;
        }
        Ok(())
    }
}
