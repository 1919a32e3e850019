//! Calls of the channel service: what a customer sees and does. Amounts in minor units.

use jangbu_kernel::date::BusinessDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::deposit::{Account, InterestPreview};

/// The account screen: the account as the core shows it at this moment, and today's interest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountScreen {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// What a claim would pay today; null while it can't be worked out.
    pub interest: Option<InterestToday>,
}

/// What a claim would pay on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterestToday {
    /// The day, which is the day after the last one that is paid for.
    pub as_of: BusinessDate,
    /// The figures.
    #[serde(flatten)]
    pub preview: InterestPreview,
}

/// `POST …/interest-claims`: the account and the key say it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimInterest {}
