//! What this service keeps of each exchange, for whoever holds it beside other books.

use jangbu_kernel::id::{ExchangeId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx};

use crate::store::exchanges;

/// An exchange as far as books have to agree with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Whether it succeeded; none while that is not decided.
    pub succeeded: Option<bool>,
    /// Whether the customer buys foreign money.
    pub buys: bool,
    /// The foreign currency.
    pub currency: Currency,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub won: i64,
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
}

/// Exchanges after one, by id.
///
/// # Errors
/// The engine failed.
pub async fn page(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<Kept>, Fault> {
    exchanges::kept(tx, after, limit).await
}
