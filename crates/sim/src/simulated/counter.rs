//! Foreign exchange in a simulation: what the office does for it, and how it comes to rest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use jangbu_contracts::deposit::Command;
use jangbu_contracts::exchange::{AmountIn, AskExchange, AskQuote, Quote, SetDiscount, Side};
use jangbu_contracts::topics;
use jangbu_kernel::id::ExchangeId;
use jangbu_kernel::money::Amount;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;

use super::bank::Bank;
use super::day::Tasks;
use super::office::{self, insist};
use crate::auditor::fx::{self, Leg};
use crate::client::{Client, FX, KRW, Said};
use crate::model::fx as fx_model;
use crate::workload::town::{Pocket, Town};

/// How long exchanges may take to be decided once nothing goes wrong any more, virtual seconds.
pub const DECIDED_S_MAX: u64 = 300;
/// How often it is looked whether exchanges are decided, milliseconds.
const LOOK_MS: u64 = 500;
/// Times that a request of unknown fate is sent again at rest.
const TRIES_MAX: u32 = 120;
/// Requests sent once more at rest, to be answered as before.
const SENT_AGAIN: usize = 3;
/// Won that those get who have money to exchange, at most.
const RICHES_MAX: u64 = 40_000_000;
/// Microseconds of an hour.
const HOUR_US: i64 = 3_600_000_000;
/// Quotes that are asked for a minute before a watch, and how long after its beginning the first of them ends.
const EARLY_QUOTES: u64 = 6;
const EARLY_US: i64 = 2_500_000;
/// How many of them are under way when time leaps.
const STOOD_STILL: usize = 3;
/// How long after its request an exchange may be stopped, microseconds.
const STOP_US_MAX: u64 = 14_000;
/// Looks of an operator for exchanges that are under way within a watch, and how far they are apart, milliseconds.
const CHECKS: u32 = 4;
const CHECK_EVERY_MS: u64 = 1_200;
/// Small amounts, foreign minor units.
const SMALL_MAX: u64 = 30_000;
/// Discounts, basis points.
const DISCOUNTS: [i64; 6] = [0, 1, 2_500, 5_000, 9_000, 10_000];

impl Bank {
    /// Gives half of those who have foreign accounts won to exchange.
    ///
    /// # Errors
    /// What the bank said instead.
    pub(super) async fn enrich(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        let mut gifts = Vec::new();
        for pocket in town.abroad.iter().step_by(2) {
            let amount = i64::try_from(1 + dice.below(RICHES_MAX)).unwrap_or(1);
            let amount = Amount::new(amount).map_err(|e| e.to_string())?;
            let (account, source, memo) = (town.people[pocket.who].account, "nostro".to_owned(), None);
            gifts.push((town.keys.next(), Command::Credit { account, amount, source, memo }));
        }
        town.service.batch(KRW, &gifts).await.map(drop)
    }

    /// Sets a discount of a campaign or of somebody who has a foreign account, while nobody is quoted anything.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn set_discount(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        let pick = |n: usize| usize::try_from(dice.below(n as u64)).unwrap_or(0);
        let (kind, subject) = match dice.below(3) {
            0 => ("campaign", ["spring", "autumn"][pick(2)].to_owned()),
            _ if town.abroad.is_empty() => return Ok(()),
            _ => ("customer", town.people[town.abroad[pick(town.abroad.len())].who].customer.to_string()),
        };
        let (bp, now) = (DISCOUNTS[pick(DISCOUNTS.len())], self.time.now());
        let hours = i64::try_from(1 + dice.below(60)).unwrap_or(1);
        let (from, until) = (now.plus_micros(-HOUR_US), now.plus_micros(hours * HOUR_US));
        let discount = Rate::new(bp, 4).map_err(|e| e.to_string())?;
        let terms = SetDiscount { discount, from, until, reason: "as told".to_owned() };
        let operator = self.client(Role::Operator, "operator")?;
        insist(|| operator.set_discount(kind, &subject, &terms)).await?.reply()?;
        self.auditor.discount_set(kind, &subject, bp, (from, until));
        Ok(())
    }

    /// Sets or clears a mark of a foreign account. Nobody is at work.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn mark_pocket(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        const OF_POCKETS: [&str; 4] = ["deposit_stop", "withdrawal_stop", "dormant", "loss_report"];
        let pick = |n: usize| usize::try_from(dice.below(n as u64)).unwrap_or(0);
        if town.abroad.is_empty() {
            return Ok(());
        }
        let account = town.abroad[pick(town.abroad.len())].account;
        // Stops that came in the midst of life end again.
        let stopped = self.auditor.look(|m| m.accounts[&account].marks.contains("deposit_stop"));
        let mark = if stopped { "deposit_stop" } else { OF_POCKETS[pick(OF_POCKETS.len())] };
        let on = self.auditor.look(|m| !m.accounts[&account].marks.contains(mark));
        let operator = self.client(Role::Operator, "operator")?;
        let deposit = operator.deposit(FX);
        insist(|| deposit.mark(account, mark, on)).await?.reply()?;
        self.auditor.account_marked(account, mark, on);
        Ok(())
    }

    /// Quotes that some ask for so early that they end in the midst of the watch that begins at `from`.
    /// Some of them are used at once, and time leaps while that is under way, as if all machines had stood still.
    pub(super) async fn early_quotes(
        &self,
        town: &Arc<Town>,
        from: Timestamp,
        dice: &Dice,
        tasks: &mut Tasks,
    ) -> Vec<(Pocket, Quote)> {
        let begin = from.plus_micros(EARLY_US - fx_model::QUOTE_US);
        let mut quotes = Vec::new();
        if begin < self.time.now() || town.abroad.is_empty() {
            return quotes;
        }
        self.time.jump_to(begin);
        for _ in 0..EARLY_QUOTES {
            let pocket = one_of(town, dice);
            let Ok(own) = town.teller(pocket.who) else { continue };
            quotes.extend(own.quote(&small(town, pocket, dice)).await.map(|quote| (pocket, quote)));
        }
        self.faults.set_on(true);
        for (pocket, quote) in quotes.split_off(quotes.len().saturating_sub(STOOD_STILL)) {
            let town = Arc::clone(town);
            tasks.spawn(async move {
                let ask = by(&town, pocket, &quote);
                town.teller(pocket.who)?.exchange(&town.keys.next(), &ask).await;
                Ok(())
            });
        }
        tokio::time::sleep(Duration::from_micros(dice.below(STOP_US_MAX))).await;
        self.faults.set_on(false);
        quotes
    }

    /// Somebody uses his quote as it ends: a moment before, at that instant, or a moment after.
    pub(super) fn last_moment(
        &self,
        town: &Arc<Town>,
        (pocket, quote): (Pocket, Quote),
        dice: &Dice,
    ) -> BoxFuture<'static, Result<(), String>> {
        let off = [-700_000, -20_000, -6_000, -3_000, -1, 0, 1, 100_000][usize::try_from(dice.below(8)).unwrap_or(0)];
        let (town, time) = (Arc::clone(town), Arc::clone(&self.time));
        Box::pin(async move {
            let left = quote.expires_at.micros() + off - time.now().micros();
            tokio::time::sleep(Duration::from_micros(u64::try_from(left).unwrap_or(0))).await;
            let ask = by(&town, pocket, &quote);
            town.teller(pocket.who)?.exchange(&town.keys.next(), &ask).await;
            Ok(())
        })
    }

    /// Somebody buys foreign money, and his account is stopped while that is under way.
    ///
    /// # Errors
    /// No credential can be had.
    pub(super) fn stop_in_flight(
        &self,
        town: &Arc<Town>,
        dice: &Dice,
    ) -> Result<BoxFuture<'static, Result<(), String>>, String> {
        let (pocket, wait) = (one_of(town, dice), Duration::from_micros(dice.below(STOP_US_MAX)));
        let ask = AskQuote { side: Side::Buy, ..small(town, pocket, dice) };
        let (operator, auditor) = (self.client(Role::Operator, "operator")?, Arc::clone(&self.auditor));
        let town = Arc::clone(town);
        Ok(Box::pin(async move {
            let own = town.teller(pocket.who)?;
            let Some(quote) = own.quote(&ask).await else { return Ok(()) };
            let (key, ask) = (town.keys.next(), by(&town, pocket, &quote));
            let stop = async {
                tokio::time::sleep(wait).await;
                auditor.account_being_marked(pocket.account, "deposit_stop");
                let deposit = operator.deposit(FX);
                insist(|| deposit.mark(pocket.account, "deposit_stop", true)).await?.reply()
            };
            let (_, stopped) = tokio::join!(own.exchange(&key, &ask), stop);
            stopped.map(drop)
        }))
    }

    /// Somebody opens a foreign account, and asks until he is heard.
    pub(super) fn open_pocket(
        &self,
        town: &Arc<Town>,
        dice: &Dice,
        opened: &Arc<Mutex<Vec<Pocket>>>,
    ) -> BoxFuture<'static, Result<(), String>> {
        let who = usize::try_from(dice.below(town.people.len() as u64)).unwrap_or(0);
        let product = ["fx-usd", "fx-jpy", "fx-gbp", "fx-vnd"][usize::try_from(dice.below(4)).unwrap_or(0)];
        let customer = town.people[who].customer;
        let welcome = self.auditor.look(|m| m.customers.get(&customer).is_some_and(|c| c.marks.is_empty()));
        let (town, opened) = (Arc::clone(town), Arc::clone(opened));
        Box::pin(async move {
            if !welcome {
                return Ok(()); // he would be refused
            }
            let key = town.keys.next();
            for _ in 0..office::TRIES_MAX {
                if let Ok(pocket) = town.pocket(who, product, &key).await {
                    probe::reached("currency-account-opened-in-the-midst-of-life");
                    opened.lock().unwrap_or_else(PoisonError::into_inner).push(pocket);
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(office::AGAIN_MS)).await;
            }
            Err(format!("no account was opened in {} tries", office::TRIES_MAX))
        })
    }

    /// Operators who have exchanges that are under way checked again, while things go wrong.
    ///
    /// # Errors
    /// No credential can be had.
    pub(super) fn check_again(&self, dice: Dice) -> Result<BoxFuture<'static, Result<(), String>>, String> {
        let (operator, auditor) = (self.client(Role::Operator, "operator")?, Arc::clone(&self.auditor));
        Ok(Box::pin(async move {
            for _ in 0..CHECKS {
                tokio::time::sleep(Duration::from_millis(1 + dice.below(CHECK_EVERY_MS))).await;
                for id in auditor.exchanges_under_way() {
                    check(&operator, id).await;
                }
            }
            Ok(())
        }))
    }

    /// Lets every request for an exchange be answered. Nothing goes wrong any more.
    ///
    /// # Errors
    /// One is not answered.
    pub(super) async fn answer_exchanges(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        for _ in 0..TRIES_MAX {
            let open = self.auditor.exchanges_open();
            if open.is_empty() {
                break;
            }
            for (key, ask) in open {
                let answer = town.named(&key.caller)?.exchange(&key.key, &ask).await;
                if matches!(answer.said, Said::Reply(_)) && answer.replay {
                    probe::reached("exchange-of-unknown-fate-found-begun");
                }
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        if let Some(open) = self.auditor.exchanges_open().first() {
            return Err(format!("nobody knows what became of {open:?}"));
        }
        for (key, ask) in self.auditor.exchanges_some(SENT_AGAIN, |n| dice.below(n)) {
            if !matches!(town.named(&key.caller)?.exchange(&key.key, &ask).await.said, Said::Reply(_)) {
                return Err(format!("no answer at rest to {key:?}, which began an exchange"));
            }
        }
        Ok(())
    }

    /// Waits until every exchange is decided, in half of all cases after an operator has had those under way checked again, and gives the auditor what the books have of each.
    ///
    /// # Errors
    /// One is not decided in time, or the bank doesn't answer.
    pub(super) async fn decide_exchanges(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        if dice.below(2) == 0 {
            let operator = self.client(Role::Operator, "operator")?;
            for id in self.auditor.exchanges_under_way() {
                check(&operator, id).await;
            }
        }
        let waits = tokio::time::timeout(Duration::from_secs(DECIDED_S_MAX), self.read_exchanges(town)).await;
        if waits.is_err() {
            let open = self.auditor.exchanges_under_way();
            return Err(format!("not decided after {DECIDED_S_MAX} s without faults: {open:?}"));
        }
        self.settle().await?;
        let books = self.client(Role::Service, "exchange")?;
        let given_up = fx::given_up(&self.broker.told(topics::EXCHANGE_GIVEN_UP));
        for (id, side) in self.auditor.exchanges_to_judge() {
            let [from, to] = fx::instances(side);
            let [withdraw, deposit, cancel] = fx::keys(id);
            let legs = [
                leg(&books, from, &withdraw).await?,
                leg(&books, to, &deposit).await?,
                leg(&books, from, &cancel).await?,
            ];
            self.auditor.exchange_judged(id, legs, given_up.get(&id).map_or(&[], Vec::as_slice));
        }
        self.auditor.exchanges_settled();
        let board = town.service.client.rates().await;
        match board.said {
            Said::Reply(rates) => self.auditor.board_shown(Some(&rates)),
            Said::Problem(problem) if problem.code == "NOT_FOUND" => self.auditor.board_shown(None),
            Said::Problem(problem) => return Err(format!("the board is not shown: {}", problem.code)),
            Said::Unknown(why) => return Err(format!("the board is not shown: {why}")),
        }
        Ok(())
    }

    async fn read_exchanges(&self, town: &Town) {
        let mut waited = false;
        loop {
            for id in self.auditor.exchanges_to_read() {
                town.service.exchange_shown(id).await;
            }
            if self.auditor.exchanges_to_read().is_empty() {
                break;
            }
            waited = true;
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        if waited {
            probe::reached("exchange-under-way-at-rest-decided-by-itself");
        }
    }
}

fn one_of(town: &Town, dice: &Dice) -> Pocket {
    town.abroad[usize::try_from(dice.below(town.abroad.len() as u64)).unwrap_or(0)]
}

/// Has an exchange checked again; one that is decided, or under way at this moment, is left alone.
async fn check(operator: &Client, id: ExchangeId) {
    if matches!(operator.recheck(id).await.said, Said::Reply(_)) {
        probe::reached("exchange-checked-again-by-an-operator");
    }
}

/// A small amount, which nothing speaks against.
fn small(town: &Town, pocket: Pocket, dice: &Dice) -> AskQuote {
    let (customer, currency) = (town.people[pocket.who].customer, pocket.currency);
    let amount = Amount::new(1 + i64::try_from(dice.below(SMALL_MAX)).unwrap_or(0)).expect("an amount");
    let side = if dice.below(2) == 0 { Side::Buy } else { Side::Sell };
    AskQuote { customer, side, currency, amount, amount_in: AmountIn::Foreign, campaign: None }
}

fn by(town: &Town, pocket: Pocket, quote: &Quote) -> AskExchange {
    AskExchange { quote: quote.id, krw_account: town.people[pocket.who].account, fx_account: pocket.account }
}

/// What a key of the exchange service holds.
async fn leg(books: &Client, instance: &str, key: &str) -> Result<Leg, String> {
    match books.deposit(instance).by_key(key).await.said {
        Said::Reply(posting) => Ok(Leg::Posted(Box::new(posting))),
        Said::Problem(problem) if problem.code == "NOT_FOUND" => Ok(Leg::None),
        Said::Problem(problem) if problem.status == 422 => Ok(Leg::Refused(problem)),
        Said::Problem(problem) => Err(format!("asking {instance} for {key}: {}", problem.code)),
        Said::Unknown(why) => Err(format!("asking {instance} for {key}: {why}")),
    }
}
