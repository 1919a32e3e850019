//! Quoting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::{AmountIn, AskQuote, Side as WireSide};
use jangbu_kernel::id::QuoteId;
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::gather::Gather;
use jangbu_platform::http::Refused;
use serde_json::json;

use crate::domain::board::Board;
use crate::domain::price::{Named, NoAmount, Side};
use crate::store::boards::{self, DiscountOf};
use crate::store::quotes::{self, Quote};

/// How long a quote may be used, in microseconds: a minute.
pub const QUOTE_US_MAX: i64 = 60_000_000;

/// Quotes made by one unit of work at most.
const QUOTES_PER_TX_MAX: usize = 128;
/// Makes quotes; those that are asked for at the same time share a unit of work.
pub struct Quoting(Gather<AskQuote, Result<Quote, Refused>>);

impl Quoting {
    /// Starts the tasks that make them.
    pub fn start(db: &Db) -> Quoting {
        let known = Arc::<Mutex<Option<Arc<Board>>>>::default();
        Quoting(Gather::writing(QUOTES_PER_TX_MAX, db, "exchange.quote", move |tx, asked: &[AskQuote]| {
            let known = Arc::clone(&known);
            async move { quote_all(tx, &known, asked).await }.boxed()
        }))
    }

    /// Makes a quote by the present board.
    ///
    /// # Errors
    /// There is no board that is good, the currency is not on it, the campaign does not run, or the amount can't be
    /// exchanged; nothing was written.
    pub async fn quote(&self, asked: &AskQuote) -> Result<Quote, Refused> {
        self.0.ask(asked.clone()).await?
    }
}

/// What quotes are made by.
struct Prices {
    board: Option<Arc<Board>>,
    customers: BTreeMap<String, u32>,
    campaigns: BTreeMap<String, u32>,
}

async fn quote_all(
    mut tx: Tx,
    known: &Mutex<Option<Arc<Board>>>,
    all: &[AskQuote],
) -> Result<Vec<Result<Quote, Refused>>, Fault> {
    let now = tx.now();
    let board = present_board(&mut tx, known).await?.filter(|board| !board.is_stale(now));
    let customers = all.iter().map(|asked| asked.customer.to_string()).collect();
    let customers = boards::discounts(&mut tx, DiscountOf::Customer, &customers, now).await?;
    let campaigns = all.iter().filter_map(|asked| asked.campaign.clone()).collect();
    let campaigns = boards::discounts(&mut tx, DiscountOf::Campaign, &campaigns, now).await?;
    let prices = Prices { board, customers, campaigns };
    let made: Vec<_> = all.iter().map(|asked| quote(&prices, asked, QuoteId::from_bytes(tx.new_id()), now)).collect();
    let good: Vec<Quote> = made.iter().filter_map(|made| made.as_ref().ok()).cloned().collect();
    quotes::insert(&mut tx, &good).await?;
    let board = prices.board.clone();
    tx.commit().await?;
    // Only now: a board whose flush failed never was, and the next one gets its number.
    if board.is_some() {
        *known.lock().unwrap_or_else(PoisonError::into_inner) = board;
    }
    Ok(made)
}

/// The newest board, read when there is another than the one that is known.
async fn present_board(tx: &mut Tx, known: &Mutex<Option<Arc<Board>>>) -> Result<Option<Arc<Board>>, Fault> {
    let Some(number) = boards::newest_number(tx).await? else { return Ok(None) };
    let same = known.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|board| board.number == number);
    if same.is_some() {
        return Ok(same);
    }
    Ok(boards::newest(tx).await?.map(Arc::new))
}

fn quote(prices: &Prices, asked: &AskQuote, id: QuoteId, now: Timestamp) -> Result<Quote, Refused> {
    let stale = || Refused::new(Code::BoardStale, "there is no board of the last day");
    let board = prices.board.as_ref().ok_or_else(stale)?;
    let not_quoted = || Refused::new(Code::CurrencyNotQuoted, format!("{} is not on the board", asked.currency));
    let line = *board.line(asked.currency).ok_or_else(not_quoted)?;
    let own = prices.customers.get(&asked.customer.to_string()).copied();
    let campaign = match &asked.campaign {
        Some(name) => {
            let not_running = || Refused::new(Code::CampaignNotRunning, format!("there is no campaign {name:?} now"));
            Some(*prices.campaigns.get(name).ok_or_else(not_running)?)
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
    Ok(Quote {
        id,
        customer: asked.customer,
        side,
        quoted,
        mid: line.mid,
        discount_bp,
        amounts,
        expires_at: now.plus_micros(QUOTE_US_MAX),
        exchange: None,
        snapshot: snapshot.to_string(),
    })
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
