//! All SQL of the service.

pub mod boards;
pub mod desk;
pub mod exchanges;
pub mod history;
pub mod limits;
pub mod quotes;

use jangbu_kernel::money::Currency;
use jangbu_platform::db::Fault;

use crate::domain::price::{Price, Side};

/// A currency as stored.
fn currency(text: &str) -> Result<Currency, Fault> {
    text.parse().map_err(|e| Fault::Damaged(format!("a stored currency {text:?}: {e}")))
}

/// A price as stored.
fn price(hundredths: i64) -> Result<Price, Fault> {
    Price::from_hundredths(hundredths).map_err(|e| Fault::Damaged(format!("a stored price {hundredths}: {e}")))
}

/// A side as stored.
fn side(text: &str) -> Result<Side, Fault> {
    match text {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        _ => Err(Fault::Damaged(format!("a stored side {text:?}"))),
    }
}

/// A side's text.
fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}
