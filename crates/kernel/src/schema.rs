//! How the words of this crate look in API documents (feature `schema`).

use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

use crate::date::BusinessDate;
use crate::money::{AMOUNT_MAX, Amount, Currency};
use crate::rate::Rate;
use crate::time::Timestamp;

/// A text of one shape.
pub(crate) fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    RefOr::T(Schema::Object(object.pattern(Some(pattern)).examples([example]).build()))
}

/// Names a type's schema, so that documents hold it once.
macro_rules! named {
    ($type:ty, $name:expr) => {
        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    };
}
pub(crate) use named;

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(Type::Integer).description(Some("Money in minor units."));
        let object = object.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        let object = object.minimum(Some(1)).maximum(Some(AMOUNT_MAX)).examples([10_000]);
        RefOr::T(Schema::Object(object.build()))
    }
}
named!(Amount, "Amount");

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        text("A currency of ISO 4217 with a minor unit.", "^[A-Z]{3}$", "KRW")
    }
}
named!(Currency, "Currency");

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        text("A decimal number as text: `0.02` is two per cent.", r"^-?[0-9]+(\.[0-9]{1,12})?$", "0.02")
    }
}
named!(Rate, "Rate");

impl PartialSchema for BusinessDate {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Date);
        shaped("A day.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-01-01", format)
    }
}
named!(BusinessDate, "BusinessDate");

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let pattern =
            r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        shaped(
            "An instant (RFC 3339). Answers are in UTC with microseconds.",
            pattern,
            "2026-01-01T00:00:00.000000Z",
            format,
        )
    }
}
named!(Timestamp, "Timestamp");

fn shaped(description: &str, pattern: &str, example: &str, format: SchemaFormat) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::String).description(Some(description)).format(Some(format));
    RefOr::T(Schema::Object(object.pattern(Some(pattern)).examples([example]).build()))
}
