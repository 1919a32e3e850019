//! Products of the deposit service: terms as operators send them and everybody reads them, and simulations by them.

use std::borrow::Cow;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::daycount::DayCount;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::round::Rounding;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::deposit::InterestPeriod;

/// What an absent field means, for a `null` too.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// Kind of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductKind {
    /// Money comes and goes as the customer likes.
    #[default]
    Demand,
    /// One sum for a fixed time.
    Term,
    /// The same sum every month for a fixed time.
    Instalment,
    /// Sums as the customer likes, paid in for a fixed time.
    Flexible,
}

/// A part of the balance with a rate of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Where it ends, minor units; null for the last.
    pub up_to: Option<i64>,
    /// Rate per year for the part within it.
    pub rate: Rate,
}

/// A preferential rate: added to every tier when its condition is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bonus {
    /// Name of the condition, like `every_auto_transfer`.
    pub condition: String,
    /// Rate per year.
    pub rate: Rate,
}

/// How long a contract runs: either months or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Whole months; each is a twelfth of a year.
    Months(u32),
    /// Days, counted by the day count.
    Days(u32),
}

/// A row of the tables for early closing and for the time after maturity: either `rate` or `share`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Up to how many months, that many included; null for the last row.
    pub up_to_months: Option<u32>,
    /// Rate per year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Share of the rate agreed on, without bonus: `0.5` is half of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Rate>,
    /// Whether the share is also cut to the part of the contract's time that has passed.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub pro_rata: bool,
    /// What a share makes at least, per year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Rate>,
}

/// Limits of debits, minor units; absent means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most one debit may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<i64>,
    /// Most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<i64>,
    /// Most a calendar month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<i64>,
}

/// One version of a product's terms, holding from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "code": "my-demand", "name": "My demand account", "kind": "demand", "currency": "KRW", "from": "2026-01-01",
    "day_count": "ACT/365F", "tiers": [{"up_to": 100000000, "rate": "0.02"}, {"up_to": null, "rate": "0.001"}],
    "rounding": "down", "pay": "claim", "limits": {"day": 50000000}, "corporations": false,
}))]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Product code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Kind.
    pub kind: ProductKind,
    /// Currency.
    pub currency: Currency,
    /// First day.
    pub from: BusinessDate,
    /// Day count.
    #[serde(default, deserialize_with = "or_default")]
    pub day_count: DayCount,
    /// Marginal tiers, ascending; the last has no end.
    pub tiers: Vec<Tier>,
    /// Preferential rates.
    #[serde(default, deserialize_with = "or_default")]
    pub bonus: Vec<Bonus>,
    /// How long a contract runs; not for demand products.
    #[serde(default)]
    pub term: Option<Length>,
    /// What is paid when a contract is closed before its time, by the months that have passed.
    #[serde(default, deserialize_with = "or_default")]
    pub early_closing: Vec<Step>,
    /// What is paid for the time after maturity, by the months since.
    #[serde(default, deserialize_with = "or_default")]
    pub after_maturity: Vec<Step>,
    /// Rounding of a payment to the minor unit.
    #[serde(default, deserialize_with = "or_default")]
    pub rounding: Rounding,
    /// When interest is paid: `claim`, `monthly day 1`, `3rd friday`, `3rd friday of 6,12`, `maturity`. Absent, it is
    /// `claim` for demand products and `maturity` for the others; in answers it is always there.
    #[serde(default)]
    pub pay: Option<String>,
    /// Limits of debits.
    #[serde(default, deserialize_with = "or_default")]
    pub limits: Limits,
    /// Whether corporations may have it.
    #[serde(default, deserialize_with = "or_default")]
    pub corporations: bool,
}

impl Terms {
    /// The same with what was left out said.
    #[must_use]
    pub fn complete(mut self) -> Self {
        let pay = if self.kind == ProductKind::Demand { "claim" } else { "maturity" };
        self.pay.get_or_insert_with(|| pay.to_owned());
        self
    }
}

/// A product as shown: the terms that hold today (the first ones, when none hold yet), and all versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Product {
    /// The terms that hold.
    #[serde(flatten)]
    pub terms: Terms,
    /// All versions, by first day.
    pub versions: Vec<Terms>,
}

/// The schema of [`Terms`] with one field more: as a part of it `Terms` would allow no other field beside its own.
impl PartialSchema for Product {
    fn schema() -> RefOr<Schema> {
        let mut schema = Terms::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            let versions = Ref::from_schema_name(Terms::name());
            object.description = Some("A product: the terms that hold today, and all versions.".to_owned());
            object.properties.insert("versions".to_owned(), ArrayBuilder::new().items(versions).build().into());
            object.required.push("versions".to_owned());
            object.additional_properties = None;
            object.example = None;
        }
        schema
    }
}
impl ToSchema for Product {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Product")
    }
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Terms::name().into(), Terms::schema()));
        Terms::schemas(schemas);
    }
}

/// Money in or out on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    /// The day.
    pub date: BusinessDate,
    /// Minor units; negative is money out.
    pub amount: i64,
}

/// One version of terms or several; what may be left out is not required, so it is no reference to `Terms`.
fn terms_schema() -> RefOr<Schema> {
    let types = SchemaType::from_iter([Type::Object, Type::Array]);
    let about = "Terms as in a product (`Terms`), or a list of versions of them. `code`, `name`, `kind` (demand), \
                 `currency` (KRW) and `from` (the first movement's day) may be left out.";
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(types).description(Some(about)).build()))
}

/// `POST …/interest-simulations`: what interest would be paid. No money moves.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "terms": {"tiers": [{"up_to": null, "rate": "0.02"}]}, "tax_class": "normal",
    "movements": [{"date": "2023-08-15", "amount": 2000000}], "claim_on": ["2023-08-16"],
}))]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// Terms as in a product, or a list of versions of them. `code`, `name`, `kind` (demand), `currency` (KRW) and
    /// `from` (the first movement's day) may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = terms_schema)]
    pub terms: Option<serde_json::Value>,
    /// Code of a product, instead of terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// How the interest is taxed: `normal` (when absent), `exempt`, `coop`, `coop_over_limit`, `coop_later`,
    /// `non_resident`, `corporation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<String>,
    /// Movements of an account that begins empty.
    pub movements: Vec<Movement>,
    /// Days on which the customer claims.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub claim_on: Vec<BusinessDate>,
    /// Day on which the account is closed and everything unpaid is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_on: Option<BusinessDate>,
    /// Conditions of preferential rates that are met.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions_met: Vec<String>,
}

/// A payment that would be made. Minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedPayment {
    /// The day.
    pub date: BusinessDate,
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
    /// Other tax.
    pub other_tax: i64,
    /// After tax.
    pub net: i64,
    /// How it comes about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<InterestPeriod>,
}

/// Sums over all payments. Minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SimulatedTotals {
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Other tax.
    pub other_tax: i64,
    /// After tax.
    pub net: i64,
}

/// What a simulation gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Simulation {
    /// Payments in order.
    pub payments: Vec<SimulatedPayment>,
    /// Their sums.
    pub totals: SimulatedTotals,
    /// Balance after all movements and payments.
    pub balance: i64,
}
