//! A ledger whose database other processes write too. Only the lane of its commands keeps accounts in memory, and holds them
//! against the store each time; all else reads them anew. What never changes is kept: terms of products, whose an account is.

use std::collections::BTreeMap;
use std::sync::Arc;

use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::db::{Fault, Tx};

use super::{Ledger, Names, Product, State};
use crate::domain::book::{Account, Owner};
use crate::store;
use crate::store::accounts::Fixed;

/// Accounts of which is kept in memory what never changes; when there are more, all are forgotten.
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

    /// What never changes of accounts that are durable, by their numbers. So it is kept in memory, whoever else writes.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fixed(&self, nos: &[u64]) -> Result<BTreeMap<u64, Arc<Fixed>>, Fault> {
        let mut found = self.kept(nos).await;
        let missing: Vec<u64> = nos.iter().copied().filter(|no| !found.contains_key(no)).collect();
        if !missing.is_empty() {
            self.keep(&mut self.db.read("deposit.describe").await?, &missing, &mut found).await?;
        }
        Ok(found)
    }

    async fn kept(&self, nos: &[u64]) -> BTreeMap<u64, Arc<Fixed>> {
        let described = self.described.lock().await;
        nos.iter().filter_map(|no| Some((*no, Arc::clone(described.get(no)?)))).collect()
    }

    async fn keep(&self, tx: &mut Tx, nos: &[u64], found: &mut BTreeMap<u64, Arc<Fixed>>) -> Result<(), Fault> {
        let read = store::accounts::fixed(tx, nos).await?.into_iter().map(|(no, fixed)| (no, Arc::new(fixed)));
        let read: Vec<_> = read.collect();
        let mut described = self.described.lock().await;
        if described.len() + read.len() > DESCRIBED_MAX {
            described.clear();
        }
        described.extend(read.iter().cloned());
        found.extend(read);
        Ok(())
    }

    /// Ids and currencies of accounts that stored rows name, which are durable for it.
    pub(super) async fn names_kept(&self, tx: &mut Tx, nos: &[u64], names: &mut Names) -> Result<(), Fault> {
        let mut found = self.kept(nos).await;
        let missing: Vec<u64> = nos.iter().copied().filter(|no| !found.contains_key(no)).collect();
        self.keep(tx, &missing, &mut found).await?;
        names.extend(found.iter().map(|(no, fixed)| (*no, (fixed.id, fixed.currency))));
        Ok(())
    }

    /// Whose an account is, with its whole id; only of one that is durable.
    ///
    /// # Errors
    /// The store can't be read, or the flush failed.
    pub async fn owner_of(&self, no: u64) -> Result<Option<(AccountId, CustomerId)>, Fault> {
        if self.db.sole_owner() {
            return self.look(no, |account, _| (account.id, account.customer)).await;
        }
        Ok(self.fixed(&[no]).await?.remove(&no).map(|fixed| (fixed.id, fixed.customer)))
    }

    /// The greatest account number given out, of a state that is about to give out the next: nobody else does until the
    /// unit of work ends.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn take_numbers(&self, tx: &mut Tx, state: &mut State) -> Result<(), Fault> {
        if !self.db.sole_owner() {
            state.last_no = store::accounts::last_no(tx).await?;
        }
        Ok(())
    }

    /// Tells all who keep accounts, owners or terms in memory that some of them change with this unit of work, by something
    /// that is in no posting.
    ///
    /// # Errors
    /// The store can't be written.
    pub(crate) async fn changes(&self, tx: &mut Tx) -> Result<(), Fault> {
        if self.db.sole_owner() {
            return Ok(()); // what changes them changes memory too
        }
        store::locked::note_change(tx).await
    }
}
