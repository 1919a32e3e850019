//! A ledger whose database other processes write too: nothing is kept in memory between commits but the terms of products,
//! which are added to and never changed.

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

    /// Looks at an account and its owner as they stand in the store.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) async fn look_stored<T>(
        &self,
        no: u64,
        look: impl Fn(&Account, Owner) -> T,
    ) -> Result<Option<T>, Fault> {
        let mut tx = self.db.read("deposit.look").await?;
        let state = self.blank(&mut tx).await?;
        let found = store::accounts::load(&mut tx, no, |code| state.product(code)).await?;
        let Some(account) = found else { return Ok(None) };
        let owner = store::accounts::owner(&mut tx, account.customer).await?.unwrap_or_default();
        Ok(Some(look(&account, owner)))
    }

    /// The number and the product's code of an account that is durable. Neither ever changes, so they are kept in memory,
    /// whoever else writes.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn describe(&self, no: u64) -> Result<Option<(String, String)>, Fault> {
        let known = self.described.lock().await.get(&no).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = store::accounts::describe(&mut self.db.read("deposit.describe").await?, no).await?;
        if let Some(found) = &found {
            let mut described = self.described.lock().await;
            if described.len() >= DESCRIBED_MAX {
                described.clear();
            }
            described.insert(no, found.clone());
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
