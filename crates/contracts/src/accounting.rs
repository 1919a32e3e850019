//! Calls of the accounting service.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, ExchangeId, InterestId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
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
    /// Kind of the posting, or `interest_tax`, `exchange` or `revaluation`.
    pub kind: String,
    /// The posting it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posting: Option<PostingId>,
    /// The interest payment whose tax it moves from suspense to what is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interest: Option<InterestId>,
    /// The exchange that it moves out of clearing: one journal in won, one in the currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
    /// The deposit instance.
    pub instance: String,
    /// Currency.
    pub currency: Currency,
    /// The day it belongs to.
    pub business_date: BusinessDate,
    /// When the posting was made, the exchange decided, or the day known to be over.
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

/// The bank's position in one foreign currency on a day. Won and minor units; above zero the bank has more than it owes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Position {
    /// The currency.
    pub currency: Currency,
    /// What the bank has more of it than it owes, minor units.
    pub position: i64,
    /// What that stands in the books for, won; before the day itself is valued.
    pub counter_value: i64,
    /// Won for `unit` units at which it stands, to four digits; absent without a position or a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_rate: Option<Rate>,
    /// How many units rates are for; absent without a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<i64>,
    /// The last base price up to the day; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_rate: Option<Rate>,
    /// The day whose last board it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_date: Option<BusinessDate>,
    /// What the position is worth at that rate more than it stands for, won: booked once the day is valued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrealised_gain: Option<i64>,
    /// Whether the day was valued, so that its figures stay.
    pub valued: bool,
    /// Margin over the base price on the day itself, won.
    pub trading_profit: i64,
    /// The same, of all days up to it.
    pub trading_profit_total: i64,
    /// Gains booked by revaluations up to the day, won.
    pub revaluation_total: i64,
}

/// `GET …/positions?date=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Positions {
    /// The day.
    pub date: BusinessDate,
    /// The last day that was valued; absent, none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valued_through: Option<BusinessDate>,
    /// By currency, of those that ever moved.
    pub positions: Vec<Position>,
}

/// A posting of an exchange, as accounting knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExchangeLeg {
    /// The posting.
    pub posting: PostingId,
    /// The customer's account.
    pub account: AccountId,
    /// Debited is withdrawn.
    pub side: Side,
    /// Currency.
    pub currency: Currency,
    /// Minor units.
    pub amount: i64,
    /// The posting that it gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<PostingId>,
}

/// An exchange whose books do not agree, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExchangeBreak {
    /// The exchange.
    pub exchange: ExchangeId,
    /// `missing_left` (the leg in won), `missing_right` (the leg in the currency), `undecided` (legs that no decision
    /// explains), `amount`, `duplicate`; or `timing` while what is missing may be on its way.
    pub class: String,
    /// What it is about.
    pub detail: String,
    /// Since when it is open.
    pub since: Timestamp,
    /// From when it is more than a matter of time.
    pub due_at: Timestamp,
    /// What is known to have been posted for it.
    pub legs: Vec<ExchangeLeg>,
    /// Whether it was decided that it succeeded; absent while nothing was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
}
