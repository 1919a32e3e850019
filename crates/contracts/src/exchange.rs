//! Calls and events of the exchange service.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, PostingId, QuoteId, SagaId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The instance in whose books the won of exchanges stand.
pub const KRW_INSTANCE: &str = "deposit-krw";
/// The instance in whose books the foreign money of exchanges stands.
pub const FX_INSTANCE: &str = "deposit-fx";
/// Who asks the books for the legs of exchanges, as their keys know him.
pub const CALLER: &str = "service:exchange";
/// The key under which all boards are told.
pub const BOARD_KEY: &str = "board";

/// The exchange that a posting belongs to, by who asked for it and under which key: a saga's id and a step, and the
/// exchange has the saga's id but for the prefix. Nobody else has keys of that caller, so a leg can't be claimed by text.
#[must_use]
pub fn exchange_of_key(caller: &str, key: &str) -> Option<ExchangeId> {
    let (saga, _) = key.split_once(':').filter(|_| caller == CALLER)?;
    saga.parse().ok().map(|saga: SagaId| ExchangeId::from_bytes(saga.to_bytes()))
}

/// Prices of one currency, in won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"currency": "USD", "unit": 1, "mid": "1266.62", "tts": "1288.78", "ttb": "1244.46"}))]
#[serde(deny_unknown_fields)]
pub struct BoardRate {
    /// The currency.
    pub currency: Currency,
    /// How many units the prices are for: 100 for JPY, IDR and VND, else 1.
    pub unit: i64,
    /// The base price; at most two digits after the point, as for the others.
    pub mid: Rate,
    /// What customers pay who buy.
    pub tts: Rate,
    /// What customers are paid who sell.
    pub ttb: Rate,
}

/// `PUT …/rates`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRates {
    /// All currencies of the new board.
    #[schema(min_items = 1, max_items = 100)]
    pub rates: Vec<BoardRate>,
    /// Why, where a second person has to look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rates {
    /// When it was published.
    pub as_of: Timestamp,
    /// The how-manieth of its day, from 1.
    pub round: i64,
    /// By currency.
    pub rates: Vec<BoardRate>,
}

/// One currency's prices over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateHistory {
    /// The currency.
    pub currency: Currency,
    /// How many units the prices are for.
    pub unit: i64,
    /// Boards that were published in the time asked for.
    pub boards: i64,
    /// The currency's prices on them, oldest first. Of more boards than points every so many-th stands here, with the
    /// first and the last.
    pub points: Vec<RatePoint>,
}

/// Prices of one board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RatePoint {
    /// When it was published.
    pub as_of: Timestamp,
    /// The base price.
    pub mid: Rate,
    /// What customers paid who bought.
    pub tts: Rate,
    /// What customers were paid who sold.
    pub ttb: Rate,
}

/// What the customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Buys foreign money for won.
    Buy,
    /// Sells foreign money for won.
    Sell,
}

/// In which money an amount is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmountIn {
    /// Foreign money.
    Foreign,
    /// Won.
    Krw,
}

/// `POST …/quotes`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"customer": "cus_01JGFJJZ00000000000000000A", "side": "buy", "currency": "USD",
    "amount": 100_000, "amount_in": "foreign"}))]
#[serde(deny_unknown_fields)]
pub struct AskQuote {
    /// For whom.
    pub customer: CustomerId,
    /// Buys or sells.
    pub side: Side,
    /// The foreign currency.
    pub currency: Currency,
    /// Minor units.
    pub amount: Amount,
    /// Of which money.
    pub amount_in: AmountIn,
    /// A campaign whose discount is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub campaign: Option<String>,
}

/// A quote: what an exchange would come to until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    /// Id.
    pub id: QuoteId,
    /// For whom.
    pub customer: CustomerId,
    /// Buys or sells.
    pub side: Side,
    /// The foreign currency.
    pub currency: Currency,
    /// Won for a unit, after the discount.
    pub rate: Rate,
    /// How many units the rate is for.
    pub unit: i64,
    /// The board's base price.
    pub mid: Rate,
    /// The part of the spread that is left out: `0.9` is ninety per cent.
    pub discount: Rate,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub krw: i64,
    /// From then on it can't be used.
    pub expires_at: Timestamp,
}

/// `POST …/exchanges`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskExchange {
    /// A quote of the customer's that was not used.
    pub quote: QuoteId,
    /// His account in won.
    pub krw_account: AccountId,
    /// His account in the quote's currency.
    pub fx_account: AccountId,
}

/// One state that an exchange passed through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Passage {
    /// The state.
    pub state: String,
    /// When it came to it.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failed {
    /// A stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exchange {
    /// Id.
    pub id: ExchangeId,
    /// `STARTED`, `WITHDRAW_SUCCEEDED`, `WITHDRAW_RESULT_CHECK_NEEDED`, `DEPOSIT_RESULT_CHECK_NEEDED`,
    /// `WITHDRAW_CANCEL_NEEDED`, `EXCHANGE_FAILED` or `EXCHANGE_SUCCEEDED`.
    pub state: String,
    /// The quote that it used.
    pub quote: QuoteId,
    /// Whose.
    pub customer: CustomerId,
    /// Buys or sells.
    pub side: Side,
    /// The foreign currency.
    pub currency: Currency,
    /// Won for a unit.
    pub rate: Rate,
    /// How many units the rate is for.
    pub unit: i64,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub krw: i64,
    /// His account in won.
    pub krw_account: AccountId,
    /// His account in the currency.
    pub fx_account: AccountId,
    /// The posting that withdrew, once known.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited, once known.
    pub deposit: Option<PostingId>,
    /// Why it failed or is being undone.
    pub failure: Option<Failed>,
    /// Every state it passed through, oldest first.
    pub history: Vec<Passage>,
    /// Why it is not decided yet, for the bank's people, once it takes longer than it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
}

/// Why an exchange is not decided, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stuck {
    /// When it began.
    pub since: Timestamp,
    /// What it came to last.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// When it goes on by itself; none when it waits for a person.
    pub next_try_at: Option<Timestamp>,
}

/// `POST …/exchanges/{id}/recheck`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recheck {
    /// Why; kept.
    pub reason: String,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ending {
    /// Both movements were made.
    ExchangeSucceeded,
    /// Nothing moved, or it was given back.
    ExchangeFailed,
}

/// `POST …/exchanges/{id}/force`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Force {
    /// What it is to be known as.
    pub to: Ending,
    /// Why; kept.
    pub reason: String,
}

/// One limit, in won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// What may be exchanged.
    pub limit: i64,
    /// What was.
    pub used: i64,
    /// What is under way.
    pub reserved: i64,
    /// When it begins anew.
    pub resets_at: Timestamp,
}

/// A customer's limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// From nine to nine.
    pub day: Limit,
    /// From nine on the first.
    pub month: Limit,
}

/// `PUT …/discounts/{kind}/{subject}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"discount": "0.9", "from": "2026-01-01T00:00:00+09:00", "until": "2027-01-01T00:00:00+09:00",
    "reason": "new year's campaign"}))]
#[serde(deny_unknown_fields)]
pub struct SetDiscount {
    /// The part of the spread that is left out, 0 to 1, at most four digits after the point.
    pub discount: Rate,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Why; kept.
    pub reason: String,
}

/// Event: an exchange was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExchangeDecidedV1 {
    /// Which.
    pub exchange: ExchangeId,
    /// Whose.
    pub customer: CustomerId,
    /// Whether both legs were made; else nothing moved, or it was given back.
    pub succeeded: bool,
    /// Buys or sells.
    pub side: Side,
    /// The foreign currency.
    pub currency: Currency,
    /// Won for a unit.
    pub rate: Rate,
    /// How many units the rate is for.
    pub unit: i64,
    /// The board's base price; absent, it was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<Rate>,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub krw: i64,
    /// The customer's account in won; absent, it was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub krw_account: Option<AccountId>,
    /// The customer's account in the currency; absent, it was not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fx_account: Option<AccountId>,
    /// The posting that withdrew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<PostingId>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failed>,
    /// When it was decided.
    pub at: Timestamp,
}

impl ExchangeDecidedV1 {
    /// Its type in the log.
    pub const TYPE: &'static str = "exchange_decided.v1";
}

/// Event: an exchange was given up after its withdrawal; whoever made that gives it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawalGivenUpV1 {
    /// Which exchange.
    pub exchange: ExchangeId,
    /// The instance that withdrew.
    pub instance: String,
    /// The withdrawal.
    pub withdrawal: PostingId,
    /// The key under which the exchange asks whether it was given back.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl WithdrawalGivenUpV1 {
    /// Its type in the log.
    pub const TYPE: &'static str = "withdrawal_given_up.v1";
}

/// Event: a board was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardPublishedV1 {
    /// Grows by one with each board.
    pub number: i64,
    /// The how-manieth of its day, from 1.
    pub round: i64,
    /// The day in the bank's time zone.
    pub business_date: BusinessDate,
    /// When it was published.
    pub as_of: Timestamp,
    /// By currency.
    pub rates: Vec<BoardLineV1>,
}

/// Prices of one currency on a board that was published, in won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardLineV1 {
    /// The currency.
    pub currency: Currency,
    /// How many units the prices are for.
    pub unit: i64,
    /// The base price.
    pub mid: Rate,
    /// What customers pay who buy.
    pub tts: Rate,
    /// What customers are paid who sell.
    pub ttb: Rate,
}

impl BoardPublishedV1 {
    /// Its type in the log.
    pub const TYPE: &'static str = "board_published.v1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_known_by_who_asked_for_it_under_which_key() {
        let saga = SagaId::from_parts(1_700_000_000_000, 5);
        let exchange = Some(ExchangeId::from_bytes(saga.to_bytes()));
        for (caller, key, expected) in [
            (CALLER, format!("{saga}:withdraw"), exchange),
            (CALLER, format!("{saga}:cancel"), exchange),
            (CALLER, saga.to_string(), None),
            (CALLER, "sga_5:withdraw".into(), None),
            ("service:teller", format!("{saga}:withdraw"), None),
            ("customer:exchange", format!("{saga}:withdraw"), None),
        ] {
            assert_eq!(exchange_of_key(caller, &key), expected, "{caller} {key}");
        }
    }
}
