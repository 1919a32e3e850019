//! Calls of the accounting service.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, InterestId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::deposit::Side;

/// An account of the general ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GlAccount {
    /// Code: four digits.
    pub code: String,
    /// Name in programs.
    pub account: String,
    /// Name for people.
    pub name: String,
    /// `asset`, `liability`, `income` or `expense`.
    pub class: String,
    /// The side on which it grows.
    pub normal_side: Side,
}

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalLine {
    /// Code of the account.
    pub code: String,
    /// The account's name in programs.
    pub account: String,
    /// Debit or credit.
    pub side: Side,
    /// Minor units.
    pub amount: i64,
}

/// A journal of the general ledger: balanced, and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Journal {
    /// Id.
    pub id: JournalId,
    /// Kind of the posting, or `interest_tax`.
    pub kind: String,
    /// The posting it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posting: Option<PostingId>,
    /// The interest payment whose tax it moves from suspense to what is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interest: Option<InterestId>,
    /// The deposit instance.
    pub instance: String,
    /// Currency.
    pub currency: Currency,
    /// The day it belongs to.
    pub business_date: BusinessDate,
    /// When the posting was made.
    pub posted_at: Timestamp,
    /// Debits equal credits.
    pub lines: Vec<JournalLine>,
}

/// One account in a trial balance. Minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialBalanceRow {
    /// Code of the account.
    pub code: String,
    /// Name in programs.
    pub account: String,
    /// Name for people.
    pub name: String,
    /// `asset`, `liability`, `income` or `expense`.
    pub class: String,
    /// The side on which it grows.
    pub normal_side: Side,
    /// The deposit instance.
    pub instance: String,
    /// All debits up to the date.
    pub debits: i128,
    /// All credits up to the date.
    pub credits: i128,
    /// How much stands on the normal side; negative when it stands on the other.
    pub balance: i128,
    /// Debits of the date itself.
    pub day_debits: i128,
    /// Credits of the date itself.
    pub day_credits: i128,
}

/// `GET …/trial-balance?date=&currency=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialBalance {
    /// Up to this day, included.
    pub date: BusinessDate,
    /// Currency.
    pub currency: Currency,
    /// Accounts that ever moved, by code.
    pub accounts: Vec<TrialBalanceRow>,
    /// Sum of debits.
    pub debits: i128,
    /// Sum of credits.
    pub credits: i128,
    /// Whether both are equal, over all days and on the day itself.
    pub balanced: bool,
}

/// The tax of one interest payment, as fixed when it was paid. Minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaxPayment {
    /// The payment.
    pub interest: InterestId,
    /// The posting that credited it.
    pub posting: PostingId,
    /// The account.
    pub account: AccountId,
    /// The deposit instance.
    pub instance: String,
    /// Currency.
    pub currency: Currency,
    /// The day it was paid.
    pub business_date: BusinessDate,
    /// First day paid for.
    pub from: BusinessDate,
    /// Last day paid for.
    pub to: BusinessDate,
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Special tax for rural development.
    pub other_tax: i64,
    /// After tax.
    pub net: i64,
}
