//! Looking at accounts.
//!
//! | look | calls to the core |
//! |---|---|
//! | a screen, first look of the day | the account and its interest |
//! | a screen, later looks | the account |
//! | all accounts of a customer | one to each instance, at once |

use jangbu_contracts::channel::AccountScreen;
use jangbu_contracts::deposit::Account;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::db::Fault;
use jangbu_platform::http::Known;

use crate::instances::{self, INSTANCES};
use crate::{Channel, previews};

/// The screen of an account, if there is one that the caller may see. Balances are never kept: they are asked for
/// each time.
///
/// # Errors
/// The core can't be asked.
pub async fn screen(channel: &Channel, known: &Known, id: AccountId) -> Result<Option<AccountScreen>, Fault> {
    let Some(found) = instances::find(channel, known, id).await? else { return Ok(None) };
    let interest = previews::of(channel, &found).await;
    Ok(Some(AccountScreen { account: found.account, interest }))
}

/// All accounts of a customer, in the order of the instances.
///
/// # Errors
/// An instance can't be asked: a list that lacks accounts would look as if they were gone.
pub async fn all(channel: &Channel, customer: CustomerId) -> Result<Vec<Account>, Fault> {
    let [first, second] = INSTANCES.map(|instance| instances::accounts_of(channel, instance, customer));
    let (mut accounts, more) = tokio::try_join!(first, second)?;
    accounts.extend(more);
    Ok(accounts)
}
