//! Calls and events of the deposit service.

use std::collections::BTreeMap;

pub mod batch;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, HoldId, InterestId, PostingId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Failure;

/// `POST …/accounts`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"customer": "cus_01JGFJJZ00000000000000000A", "product": "toss-demand"}))]
#[serde(deny_unknown_fields)]
pub struct OpenAccount {
    /// Owner.
    pub customer: CustomerId,
    /// Product code.
    pub product: String,
    /// Currency; the product's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

/// An account as shown. Balances in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Id.
    pub id: AccountId,
    /// Number with check digit.
    pub number: String,
    /// Owner.
    pub customer: CustomerId,
    /// Product code.
    pub product: String,
    /// Currency.
    pub currency: Currency,
    /// `active`, `restricted` or `closed`.
    pub status: String,
    /// Marks that are set.
    pub marks: Vec<String>,
    /// Sum of entries.
    pub ledger_balance: i64,
    /// Sum of holds.
    pub held: i64,
    /// Ledger balance less holds.
    pub available_balance: i64,
    /// Serial of the last entry.
    pub last_serial: u64,
    /// First day.
    pub opened_on: BusinessDate,
    /// Day of closing.
    pub closed_on: Option<BusinessDate>,
    /// Last day whose interest is paid; the day before the first one until then.
    pub interest_paid_through: BusinessDate,
}

/// One command. Amounts in minor units. The bank's own accounts are `cash`, `nostro`, `fees` and `exchange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"kind": "credit", "account": "acc_01JGFJJZ00000000000000000A", "amount": 50000, "source": "cash"}))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Money in from the bank's account `source`.
    Credit {
        /// To.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// The bank's account.
        source: String,
        /// Text for the statement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memo: Option<String>,
    },
    /// Money out to the bank's account `target`.
    Debit {
        /// From.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// The bank's account.
        target: String,
        /// Text for the statement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memo: Option<String>,
    },
    /// From one account to another.
    Transfer {
        /// From.
        from: AccountId,
        /// To.
        to: AccountId,
        /// How much.
        amount: Amount,
        /// Text for the statement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memo: Option<String>,
    },
    /// Keeps a part of the balance.
    Hold {
        /// Of.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// When it lapses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Takes what a hold keeps.
    Capture {
        /// The hold.
        hold: HoldId,
        /// How much; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
        /// The bank's account.
        target: String,
    },
    /// Ends a hold.
    Release {
        /// The hold.
        hold: HoldId,
    },
    /// Undoes a posting.
    Reversal {
        /// The posting.
        posting: PostingId,
        /// Why; kept.
        reason: String,
    },
}

/// A command of a batch, under a key of its own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyedCommand {
    /// Idempotency key.
    #[schema(min_length = 1, max_length = 64, example = "payroll-2026-01-00001")]
    pub key: String,
    /// The command.
    #[serde(flatten)]
    #[schema(value_type = Command)]
    pub command: serde_json::Value,
}

/// `POST …/postings/batch`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Up to 8190, each accepted or refused alone.
    #[schema(max_items = 8190)]
    pub commands: Vec<KeyedCommand>,
}

/// What became of one command of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// Its key.
    pub key: String,
    /// 201 or the status of the refusal.
    pub status: u16,
    /// The posting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posting: Option<Posting>,
    /// The code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The refusal for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// All that is wrong, where it is more than one thing or about a field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

/// Answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcomes {
    /// In the order of the commands.
    pub outcomes: Vec<Outcome>,
}

/// A body that says nothing: `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct Nothing {}

/// Debit or credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Less for a customer.
    Debit,
    /// More for a customer.
    Credit,
}

/// One entry of a posting. Legs on the bank's own accounts have neither serial nor balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// An account's id, or the name of the bank's account.
    pub account: String,
    /// Serial within the account.
    pub serial: Option<u64>,
    /// Debit or credit.
    pub side: Side,
    /// Minor units.
    pub amount: i64,
    /// Ledger balance after.
    pub balance_after: Option<i64>,
}

/// A posting as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Posting {
    /// Id.
    pub id: PostingId,
    /// Kind of the command.
    pub kind: String,
    /// Minor units.
    pub amount: i64,
    /// Currency.
    pub currency: Currency,
    /// The day it belongs to.
    pub business_date: BusinessDate,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// Debits equal credits.
    pub entries: Vec<Entry>,
    /// The hold it made, captured or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// The posting it undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<PostingId>,
    /// Text for the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
}

/// An entry of an account's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountEntry {
    /// Serial within the account.
    pub serial: u64,
    /// Its posting.
    pub posting: PostingId,
    /// Kind of the posting.
    pub kind: String,
    /// Debit or credit.
    pub side: Side,
    /// Minor units.
    pub amount: i64,
    /// Ledger balance after.
    pub balance_after: i64,
    /// The day it belongs to.
    pub business_date: BusinessDate,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// Text for the statement.
    pub memo: Option<String>,
}

/// One day of an account. Minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DailyBalance {
    /// The day.
    pub date: BusinessDate,
    /// Balance when it began.
    pub opening: i64,
    /// Sum of debits.
    pub debits: i64,
    /// Sum of credits.
    pub credits: i64,
    /// Balance when it ended.
    pub closing: i64,
    /// Serial of its last entry, or of the last before it.
    pub last_serial: u64,
}

/// A stretch of days with one balance, tier and rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterestPeriod {
    /// First day.
    pub from: BusinessDate,
    /// Last day.
    pub to: BusinessDate,
    /// Days.
    pub days: i32,
    /// The part of the balance in this tier, minor units.
    pub balance: i64,
    /// Rate per year.
    pub rate: Rate,
    /// Exact interest, as a fraction of minor units.
    pub interest: String,
}

/// What a claim would pay now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterestPreview {
    /// First unpaid day.
    pub from: BusinessDate,
    /// Yesterday.
    pub to: BusinessDate,
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Other tax.
    pub other_tax: i64,
    /// What would be credited.
    pub net: i64,
    /// How it comes about.
    pub periods: Vec<InterestPeriod>,
}

/// An interest payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterestPayment {
    /// Id.
    pub id: InterestId,
    /// First day paid.
    pub from: BusinessDate,
    /// Last day paid.
    pub to: BusinessDate,
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Other tax.
    pub other_tax: i64,
    /// Credited.
    pub net: i64,
    /// The posting that credited it.
    pub posting: PostingId,
}

/// Sums over all postings of an instance, made from the stored postings alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Accounts opened.
    pub accounts: u64,
    /// Decisions recorded, accepted or refused: a number that only grows.
    pub recorded: u64,
    /// How many of them the sums hold; they follow a second or so behind.
    pub summed: u64,
    /// Postings among those.
    pub postings: u64,
    /// Refusals among those.
    pub refused: u64,
    /// The bank's day.
    pub business_date: BusinessDate,
    /// By currency, of those in which something was posted.
    pub currencies: Vec<CurrencyTotals>,
}

/// Sums of one currency, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrencyTotals {
    /// The currency.
    pub currency: Currency,
    /// What all customers' accounts hold: the sum of their entries, credits less debits.
    pub customers_total: i64,
    /// The bank's own accounts: the sum of their entries, credits less debits.
    pub bank: BTreeMap<String, i64>,
    /// Whether customers and bank together are zero, every balance goes on from the one before, and serials have no
    /// gaps.
    pub balanced: bool,
    /// Customers and bank together; zero in books that balance.
    pub difference: i64,
    /// Entries that do not go on from the account's entry before; none in books that balance.
    pub broken_entries: u64,
    /// Interest credited today, after tax.
    pub interest_paid_today: i64,
    /// Tax withheld from it.
    pub interest_tax_today: i64,
    /// Payments of interest today.
    pub interest_payments_today: i64,
}

/// Event: a posting was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostingRecordedV1 {
    /// The instance.
    pub instance: String,
    /// The posting.
    pub posting: Posting,
    /// What was paid, when the posting pays interest: the tax figures are fixed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interest: Option<InterestPayment>,
    /// The exchange whose leg it is, or whose withdrawal it gives back; absent, it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
}

impl PostingRecordedV1 {
    /// Its type in the log.
    pub const TYPE: &'static str = "posting_recorded.v1";
}
