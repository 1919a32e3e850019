//! What a hand does at the counter for foreign money: quotes, exchanges, and all that people do wrong with them.

use std::time::Duration;

use jangbu_contracts::exchange::{AmountIn, AskExchange, AskQuote, Exchange, Quote, Side};
use jangbu_kernel::id::QuoteId;
use jangbu_kernel::money::Amount;
use jangbu_platform::probe;

use super::{Bounded, Hand, REMEMBERED_MAX};
use crate::client::{Answer, Said};
use crate::teller::Teller;
use crate::workload::town::Pocket;

/// How long somebody thinks about a quote at most, milliseconds.
const THINKS_MS_MAX: u64 = 300;
/// Usual amounts at most, won and foreign minor units; and large ones, which no limit lets pass.
const WON_MAX: u64 = 3_000_000;
const FOREIGN_MAX: u64 = 200_000;
const LARGE_WON: [u64; 3] = [9_000_000, 10_000_000, 120_000_000];

fn answered(answer: &Answer<Exchange>) -> bool {
    !matches!(answer.said, Said::Unknown(_))
}

impl Hand {
    /// Does one thing with foreign money; whether everything was answered.
    pub(super) async fn change(&mut self) -> Result<bool, String> {
        let pocket = self.town.abroad[self.below(self.town.abroad.len())];
        let own = self.town.teller(pocket.who)?;
        let service = self.town.service.clone();
        match self.dice.below(20) {
            0 => Ok(own.quote(&self.ask(pocket)).await.is_some()),
            1 => {
                // Another's quotes and accounts are not to be had.
                let other = self.town.abroad[self.below(self.town.abroad.len())];
                Ok(own.quote(&self.ask(other)).await.is_some())
            }
            2 | 3 => self.old_quote(pocket, &own).await,
            4 | 5 => {
                // One quote, twice at once.
                let Some(quote) = own.quote(&self.ask(pocket)).await else { return Ok(false) };
                Ok(self.both(&own, pocket, [quote.id; 2]).await)
            }
            6 | 7 => {
                let (one, two) = (self.ask(pocket), self.ask(pocket));
                let (Some(one), Some(two)) = (own.quote(&one).await, own.quote(&two).await) else { return Ok(false) };
                Ok(self.both(&own, pocket, [one.id, two.id]).await)
            }
            8 => {
                let Some(quote) = own.quote(&self.ask(pocket)).await else { return Ok(false) };
                let other = self.town.abroad[self.below(self.town.abroad.len())];
                let mut wrong = self.by(pocket, quote.id);
                if self.dice.below(2) == 0 {
                    wrong.fx_account = other.account;
                } else {
                    wrong.krw_account = self.town.people[other.who].account;
                }
                Ok(answered(&own.exchange(&self.town.keys.next(), &wrong).await))
            }
            9 | 10 => self.exchange(pocket, &service).await,
            _ => self.exchange(pocket, &own).await,
        }
    }

    fn ask(&self, pocket: Pocket) -> AskQuote {
        let side = if self.dice.below(2) == 0 { Side::Buy } else { Side::Sell };
        let amount_in = if self.dice.below(2) == 0 { AmountIn::Foreign } else { AmountIn::Krw };
        let usual = if amount_in == AmountIn::Krw { WON_MAX } else { FOREIGN_MAX };
        let amount = match self.dice.below(12) {
            0 => 1 + self.dice.below(20),
            1 if amount_in == AmountIn::Krw => LARGE_WON[self.below(LARGE_WON.len())] + self.dice.below(1_000_000),
            _ => 1 + self.dice.below(usual),
        };
        let amount = Amount::new(i64::try_from(amount).unwrap_or(1)).expect("an amount");
        let campaign = (self.dice.below(6) == 0).then(|| ["spring", "autumn"][self.below(2)].to_owned());
        let customer = self.town.people[pocket.who].customer;
        AskQuote { customer, side, currency: pocket.currency, amount, amount_in, campaign }
    }

    fn by(&self, pocket: Pocket, quote: QuoteId) -> AskExchange {
        AskExchange { quote, krw_account: self.town.people[pocket.who].account, fx_account: pocket.account }
    }

    fn keep(&mut self, pocket: Pocket, quote: &Quote) {
        let at = self.below(REMEMBERED_MAX);
        self.quotes.push((pocket, quote.id));
        self.quotes.swap_remove_if_full(at);
    }

    /// A quote of earlier: used, expired, or somebody else's.
    async fn old_quote(&mut self, pocket: Pocket, own: &Teller) -> Result<bool, String> {
        if self.quotes.is_empty() {
            return self.exchange(pocket, own).await;
        }
        let (of, quote) = self.quotes[self.below(self.quotes.len())];
        let teller = if self.dice.below(4) == 0 { own.clone() } else { self.town.teller(of.who)? };
        Ok(answered(&teller.exchange(&self.town.keys.next(), &self.by(of, quote)).await))
    }

    /// Two exchanges at once, each under a key of its own.
    async fn both(&self, own: &Teller, pocket: Pocket, quotes: [QuoteId; 2]) -> bool {
        let keys = [self.town.keys.next(), self.town.keys.next()];
        let asks = quotes.map(|quote| self.by(pocket, quote));
        let (one, two) = tokio::join!(own.exchange(&keys[0], &asks[0]), own.exchange(&keys[1], &asks[1]));
        let lost = |answer: &Answer<Exchange>| answer.code() == Some("EXCHANGE_IN_PROGRESS");
        if lost(&one) != lost(&two) {
            probe::reached("exchange-refused-since-another-was-under-way");
        }
        answered(&one) && answered(&two)
    }

    /// Quotes and exchanges, in the manner of the customer.
    async fn exchange(&mut self, pocket: Pocket, teller: &Teller) -> Result<bool, String> {
        let Some(quote) = teller.quote(&self.ask(pocket)).await else { return Ok(false) };
        if self.dice.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(self.dice.below(THINKS_MS_MAX))).await;
        }
        self.keep(pocket, &quote);
        let (key, ask) = (self.town.keys.next(), self.by(pocket, quote.id));
        if self.now_and_then(self.habits.give_up_per_mille) {
            let hasty = teller.with_patience(Duration::from_micros(200 + self.dice.below(30_000)));
            return Ok(answered(&hasty.exchange(&key, &ask).await));
        }
        if self.now_and_then(self.habits.double_tap_per_mille) {
            let (one, two) = tokio::join!(teller.exchange(&key, &ask), teller.exchange(&key, &ask));
            return Ok(answered(&one) && answered(&two));
        }
        let answer = teller.exchange(&key, &ask).await;
        let Said::Reply(shown) = &answer.said else { return Ok(answered(&answer)) };
        if self.now_and_then(self.habits.again_per_mille) {
            return Ok(answered(&teller.exchange(&key, &ask).await));
        }
        if self.now_and_then(self.habits.altered_per_mille) {
            let other = AskExchange { krw_account: self.town.people[0].account, ..ask.clone() };
            if other != ask {
                return Ok(answered(&teller.exchange(&key, &other).await));
            }
        }
        if self.dice.below(4) == 0 {
            return Ok(teller.exchange_shown(shown.id).await.is_some());
        }
        Ok(true)
    }
}
