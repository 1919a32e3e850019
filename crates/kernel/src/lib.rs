//! The words of the bank that need no bank: money, exact rates, dates, ids.
//!
//! Pure: this crate never reads a clock, a file or a random number, and knows no float.

pub mod account_number;
pub mod calendar;
pub mod date;
pub mod daycount;
pub mod defect;
pub mod id;
pub mod money;
pub mod rate;
pub mod ratio;
pub mod round;
#[cfg(feature = "schema")]
mod schema;
pub mod secret;
pub mod time;

/// A text or number that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Invalid {
    /// What was read.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Invalid {
    /// An error about `what`.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }
}

/// Serde as text, through `Display` and `FromStr`.
macro_rules! text_serde {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;
