//! Quoting.

use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::{AmountIn, AskQuote, Side as WireSide};
use jangbu_kernel::id::QuoteId;
use jangbu_kernel::money::Currency;
use jangbu_platform::http::Refused;
use serde_json::json;

use crate::Exchanges;
use crate::domain::price::{Named, NoAmount, Side};
use crate::store::boards::{self, DiscountOf};
use crate::store::quotes::{self, Quote};

/// How long a quote may be used, in microseconds: a minute.
pub const QUOTE_US_MAX: i64 = 60_000_000;

/// Makes a quote by the present board.
///
/// # Errors
/// There is no board that is good, the currency is not on it, the campaign does not run, or the amount can't be
/// exchanged; nothing was written.
pub async fn quote(exchanges: &Exchanges, asked: &AskQuote) -> Result<Quote, Refused> {
    let mut tx = exchanges.db.begin("exchange.quote").await?;
    let now = tx.now();
    let board = boards::newest(&mut tx).await?.filter(|board| !board.is_stale(now));
    let board = board.ok_or_else(|| Refused::new(Code::BoardStale, "there is no board of the last day"))?;
    let not_quoted = || Refused::new(Code::CurrencyNotQuoted, format!("{} is not on the board", asked.currency));
    let line = *board.line(asked.currency).ok_or_else(not_quoted)?;
    let own = boards::discount(&mut tx, DiscountOf::Customer, &asked.customer.to_string(), now).await?;
    let campaign = match &asked.campaign {
        Some(name) => {
            let found = boards::discount(&mut tx, DiscountOf::Campaign, name, now).await?;
            let not_running = || Refused::new(Code::CampaignNotRunning, format!("there is no campaign {name:?} now"));
            Some(found.ok_or_else(not_running)?)
        }
        None => None,
    };
    let discount_bp = own.max(campaign).unwrap_or(0);
    let (side, amount) = (side(asked.side), asked.amount.get());
    let named = match asked.amount_in {
        AmountIn::Foreign => Named::Foreign(amount),
        AmountIn::Krw => Named::Won(amount),
    };
    let quoted = line.for_customer(side, discount_bp);
    let amounts = quoted.amounts(side, named).map_err(|no| no_amount(no, asked.currency))?;
    let snapshot = json!({
        "asked": asked,
        "board": { "number": board.number, "round": board.round, "as_of": board.as_of },
        "line": { "unit": line.unit, "mid": line.mid.to_string(), "tts": line.tts.to_string(),
                  "ttb": line.ttb.to_string() },
        "discount_bp": { "customer": own, "campaign": campaign, "taken": discount_bp },
        "rate": quoted.price.to_string(),
    });
    let quote = Quote {
        id: QuoteId::from_bytes(tx.new_id()),
        customer: asked.customer,
        side,
        quoted,
        mid: line.mid,
        discount_bp,
        amounts,
        expires_at: now.plus_micros(QUOTE_US_MAX),
        exchange: None,
        snapshot: snapshot.to_string(),
    };
    quotes::insert(&mut tx, &quote).await?;
    tx.commit().await?;
    Ok(quote)
}

/// The domain's word for the wire's.
#[must_use]
pub fn side(side: WireSide) -> Side {
    match side {
        WireSide::Buy => Side::Buy,
        WireSide::Sell => Side::Sell,
    }
}

fn no_amount(why: NoAmount, currency: Currency) -> Refused {
    match why {
        NoAmount::TooSmall => {
            let why = format!("it comes to less than one minor unit of {currency} or less than one won");
            Refused::new(Code::AmountTooSmall, why)
        }
        NoAmount::TooLarge => Refused::field(Code::InvalidAmount, "amount", "it comes to more than 10^15 minor units"),
    }
}
