//! A ledger whose database other processes write too. Only the lane of its commands keeps accounts in memory, and holds them
//! against the store each time; all else reads them anew. What never changes is kept: terms of products, whose an account is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::clock::ticks;
use jangbu_platform::db::{Fault, Tx};

use super::{Ledger, Names, Product, State};
use crate::domain::book::{Account, Owner};
use crate::flows::post::{raise, tell_others, write_stored, write_stored_rows};
use crate::store;
use crate::store::accounts::Fixed;
use crate::store::postings::Stored;

/// Accounts of which is kept in memory what never changes; when there are more, all are forgotten.
const DESCRIBED_MAX: usize = 65_536;

/// How long nothing may be written back that waits for it, before another does it in the place of who posted it: where there
/// is much to be read for it, and where there is not. A process that lives has heard of it by then, and begun: also one that
/// left it to another which is dead.
const WRITING_BACK_MAX: Duration = Duration::from_millis(500);
const WRITING_BACK_MAX_FEW: Duration = Duration::from_millis(150);
/// How long one waits for what his own process can do before he tells the others.
const TELLING_OTHERS: Duration = Duration::from_millis(10);
/// Postings that are few.
const FEW: u64 = 2_048;
/// Pause between two looks at how far balances are written back.
const WRITING_BACK_PAUSE: Duration = Duration::from_millis(1);

/// What is written behind postings.
#[derive(Clone, Copy)]
enum Behind {
    Rows,
    Balances,
}

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
        let mut state = match self.offered(versions).await {
            Some(state) => state,
            None => {
                let mut state = State::default();
                for (code, from, text) in store::products::all(tx).await? {
                    state.offer(&code, crate::terms_text::read(&text, from).map_err(Fault::Damaged)?);
                }
                *self.offered.lock().await = Offered { versions, products: state.products.clone() };
                state
            }
        };
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
        let mut rows = store::accounts::stored(&mut self.db.glance("deposit.look").await?, nos).await?;
        if let Some(reached) = rows.first().and_then(store::accounts::Stored::behind) {
            self.folded_through(reached).await?;
            rows = store::accounts::stored(&mut self.db.glance("deposit.look").await?, nos).await?;
        }
        let Some(versions) = rows.first().map(store::accounts::Stored::versions) else { return Ok(Vec::new()) };
        let state = match self.offered(versions).await {
            Some(state) => state,
            None => self.blank(&mut self.db.read("deposit.offered").await?).await?,
        };
        let read =
            |row: &store::accounts::Stored| Ok((row.no(), (row.account(|code| state.product(code))?, row.owner())));
        let found = rows.iter().map(read).collect::<Result<BTreeMap<_, _>, Fault>>()?;
        Ok(nos.iter().filter_map(|no| found.get(no).cloned()).collect())
    }

    /// A state with products alone, when there are still so many versions of them.
    async fn offered(&self, versions: u64) -> Option<State> {
        let offered = self.offered.lock().await;
        (offered.versions == versions).then(|| State { products: offered.products.clone(), ..State::default() })
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

    /// Waits until balances, and so all rows, are written up to a posting that is durable; writes them where whoever
    /// posted does not.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn folded_through(&self, seq: u64) -> Result<(), Fault> {
        self.through(seq, Behind::Balances).await
    }

    /// The same of the rows of postings alone.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn listed_through(&self, seq: u64) -> Result<(), Fault> {
        self.through(seq, Behind::Rows).await
    }

    async fn through(&self, seq: u64, what: Behind) -> Result<(), Fault> {
        let (began, mut is_told) = (ticks(), false);
        let (mut last, mut since) = (0, began);
        loop {
            let mut tx = self.db.glance("deposit.behind").await?;
            let through = match what {
                Behind::Balances => store::accounts::folded(&mut tx).await?,
                Behind::Rows => store::postings::last_seq(&mut tx).await?,
            };
            drop(tx); // others wait too
            if through >= seq {
                return Ok(());
            }
            let patience = match what {
                Behind::Balances => {
                    raise(&self.wanted, seq);
                    if seq - through <= FEW { WRITING_BACK_MAX_FEW } else { WRITING_BACK_MAX }
                }
                Behind::Rows => WRITING_BACK_MAX,
            };
            if through != last {
                (last, since) = (through, ticks());
            }
            let helped = if since.elapsed() >= patience
                && let Ok(_turn) = self.writing_stored.try_lock()
            {
                match what {
                    Behind::Balances => write_stored(self, through).await,
                    Behind::Rows => write_stored_rows(self).await,
                }
            } else if matches!(what, Behind::Balances) && !is_told && began.elapsed() >= TELLING_OTHERS {
                is_told = true;
                tell_others(self, seq).await
            } else {
                Ok(())
            };
            match helped {
                Ok(()) | Err(Fault::Conflict(_) | Fault::Busy(_)) => {} // another is at it
                Err(fault) => return Err(fault),
            }
            tokio::time::sleep(WRITING_BACK_PAUSE).await;
        }
    }

    /// Reads the accounts of stored rows at once, where no owner is asked for with them.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) async fn meet(&self, tx: &mut Tx, state: &mut State, rows: &[Stored]) -> Result<(), Fault> {
        if !self.db.sole_owner() {
            let mut missing = super::accounts_of(rows);
            missing.sort_unstable();
            missing.dedup();
            missing.retain(|no| state.book.accounts.get(*no).is_none());
            for account in store::locked::accounts(tx, &missing, |code| state.product(code)).await? {
                state.book.accounts.insert(account);
            }
        }
        Ok(())
    }

    /// Waits for what is being written back now: whoever then takes the place keeps others the less from posting.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn settle(&self) -> Result<(), Fault> {
        let reached = store::locked::reached(&mut self.db.glance("deposit.reached").await?).await?;
        self.folded_through(reached).await
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
