//! What is looked at for exchanges: quotes, accounts, and exchanges themselves. Those who look at the same time share a
//! statement, or a call.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join;
use jangbu_contracts::deposit::Account;
use jangbu_contracts::exchange as wire;
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{AccountId, ExchangeId, QuoteId};
use jangbu_platform::ask::{Ask, Outcome};
use jangbu_platform::clock::ticks;
use jangbu_platform::context::{Context, Trace};
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;
use jangbu_platform::gather::Gather;

use super::exchanges::shown_all;
use crate::domain::plan::Instance;
use crate::store::quotes::{self, Quote};

/// Looks that share a statement or a call at most: as many as the books show at a time.
const LOOKS_TOGETHER_MAX: usize = 128;
/// How long the books may take to show accounts, in milliseconds. It changes nothing, and others wait behind it.
const ACCOUNTS_MS_MAX: u64 = 2_000;

type Accounts = Gather<AccountId, Outcome<Option<Account>>>;

/// Looks.
pub struct Looks {
    quotes: Gather<QuoteId, Option<Quote>>,
    exchanges: Gather<ExchangeId, Option<wire::Exchange>>,
    won: Accounts,
    foreign: Accounts,
}

impl Looks {
    /// Starts the tasks that look.
    pub fn start(db: &Db, ask: &Ask, dice: &Dice) -> Looks {
        // What one statement sees is what stands when it begins, and then all who look are there: none of them sees less
        // than what he was told before he came.
        let quotes = Gather::glancing(LOOKS_TOGETHER_MAX, db, "exchange.look", |mut tx, ids: &[QuoteId]| {
            async move {
                let found = quotes::find_all(&mut tx, ids).await?;
                Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
            }
            .boxed()
        });
        let exchanges = Gather::glancing(LOOKS_TOGETHER_MAX, db, "exchange.show", |mut tx, ids: &[ExchangeId]| {
            async move {
                let found = shown_all(&mut tx, ids, false).await?;
                Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
            }
            .boxed()
        });
        let (won, foreign) = (accounts(ask, dice, Instance::Krw), accounts(ask, dice, Instance::Fx));
        Looks { quotes, exchanges, won, foreign }
    }

    /// A quote, with the exchange that used it.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn quote(&self, id: QuoteId) -> Result<Option<Quote>, Fault> {
        self.quotes.ask(id).await
    }

    /// An exchange as shown to its customer.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn exchange(&self, id: ExchangeId) -> Result<Option<wire::Exchange>, Fault> {
        self.exchanges.ask(id).await
    }

    /// An account in won and one abroad.
    ///
    /// # Errors
    /// The service is shutting down.
    pub async fn accounts(&self, won: AccountId, foreign: AccountId) -> Result<[Outcome<Option<Account>>; 2], Fault> {
        let (won, foreign) = join(self.won.ask(won), self.foreign.ask(foreign)).await;
        Ok([won?, foreign?])
    }
}

fn accounts(ask: &Ask, dice: &Dice, instance: Instance) -> Accounts {
    let (ask, dice) = (ask.clone(), dice.clone());
    Gather::calling(LOOKS_TOGETHER_MAX, move |ids: &[AccountId]| {
        let (ask, dice) = (ask.clone(), dice.clone());
        async move {
            let named = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let path = format!("/accounts?ids={named}");
            let deadline = ticks() + Duration::from_millis(ACCOUNTS_MS_MAX);
            let context = Context { trace: Trace::root(&dice), deadline };
            let found = context.scope(ask.get::<Page<Account>>(instance.service(), &path)).await;
            let one = |id: &AccountId| match &found {
                Outcome::Reply(page) => Outcome::Reply(page.items.iter().find(|account| account.id == *id).cloned()),
                Outcome::Refusal(problem) => Outcome::Refusal(problem.clone()),
                Outcome::Unknown(why) => Outcome::Unknown(why.clone()),
            };
            Ok(ids.iter().map(one).collect())
        }
        .boxed()
    })
}
