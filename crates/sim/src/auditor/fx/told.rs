//! What was told of exchanges: events, and limits as customers see them.

use std::collections::BTreeMap;

use jangbu_contracts::exchange::{ExchangeDecidedV1, Limit, Side, WithdrawalGivenUpV1};
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::Event;
use jangbu_platform::probe;

use super::{Auditor, Fx, Known};
use crate::client::Client;
use crate::model::fx;

/// Withdrawals that were given up, as told, by exchange; the same event told again counts once.
#[must_use]
pub fn given_up(told: &[Event]) -> BTreeMap<ExchangeId, Vec<WithdrawalGivenUpV1>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut all: BTreeMap<ExchangeId, Vec<WithdrawalGivenUpV1>> = BTreeMap::new();
    for event in told {
        if !seen.insert(event.id) {
            probe::reached("withdrawal-to-be-given-back-told-again");
            continue;
        }
        if let Ok(one) = serde_json::from_str::<WithdrawalGivenUpV1>(&event.payload) {
            all.entry(one.exchange).or_default().push(one);
        }
    }
    all
}

impl Auditor {
    /// Compares all that was told of decisions with what is known: each once in effect, as it was decided. All must be
    /// at rest and judged.
    ///
    /// # Errors
    /// All that differs.
    pub fn decisions_told(&self, told: &[Event]) -> Result<(), Vec<String>> {
        let state = self.state();
        let mut differences = Vec::new();
        let mut first: BTreeMap<ExchangeId, &Event> = BTreeMap::new();
        for event in told {
            let decided = match serde_json::from_str::<ExchangeDecidedV1>(&event.payload) {
                Ok(decided) if event.event_type == ExchangeDecidedV1::TYPE => decided,
                _ => {
                    differences.push(format!("event {} of {} can't be read", event.id, event.topic));
                    continue;
                }
            };
            let id = decided.exchange;
            match first.insert(id, event) {
                Some(before) if before != event => {
                    differences.push(format!("{id} was told as {before:?}, then as {event:?}"));
                }
                Some(_) => {}
                None => match state.fx.exchanges.get(&id) {
                    Some(known)
                        if right(known, state.fx.mid(known), &decided)
                            && event.key == known.shown.customer.to_string() => {}
                    known => differences.push(format!("{decided:?} was told, should be {known:?}")),
                },
            }
        }
        let missing = state.fx.exchanges.iter().filter(|(id, known)| known.is_decided() && !first.contains_key(id));
        differences.extend(missing.map(|(id, known)| format!("{id} was never told: {:?}", known.shown)));
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }

    /// Sees that accounting finds both legs and the decision of each exchange to agree. All must be at rest, and told.
    ///
    /// # Errors
    /// What does not.
    pub async fn matched(&self, client: &Client) -> Result<(), Vec<String>> {
        let path = "/accounting/v1/exchange-breaks";
        let page = client.call::<Page<serde_json::Value>>(http::Method::GET, path, None, None).await.reply();
        let page = page.map_err(|why| vec![format!("exchanges that don't agree: {why}")])?;
        let told: Vec<String> = page.items.iter().map(|one| format!("accounting finds a break: {one}")).collect();
        if told.is_empty() { Ok(()) } else { Err(told) }
    }

    /// Compares the limits of all who ever exchanged with the model. All must be at rest: nothing is under way.
    ///
    /// # Errors
    /// All that differs.
    pub async fn limits(&self, client: &Client) -> Result<(), Vec<String>> {
        let customers: std::collections::BTreeSet<CustomerId> =
            self.state().fx.exchanges.values().map(|known| known.shown.customer).collect();
        let mut differences = Vec::new();
        for customer in customers {
            let before = self.clock.now();
            let told = match client.exchange_limits(customer).await.reply() {
                Ok(told) => [told.day, told.month],
                Err(why) => return Err(vec![format!("limits of {customer}: {why}")]),
            };
            let right = [before, self.ahead.now()].into_iter().any(|at| {
                let used = self.state().fx.taken(customer, at, |x| x.succeeded());
                let ends = fx::limits_end(at);
                let ours = |i: usize, limit| Limit { limit, used: used[i], reserved: 0, resets_at: ends[i] };
                told == [ours(0, fx::DAY_MAX), ours(1, fx::MONTH_MAX)]
            });
            if !right {
                let used = self.state().fx.taken(customer, before, |x| x.succeeded());
                differences.push(format!("limits of {customer} are {told:?}, used should be {used:?}, reserved 0"));
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }
}

fn right(known: &Known, mid: Option<i64>, told: &ExchangeDecidedV1) -> bool {
    let shown = &known.shown;
    mid.is_some()
        && told.mid.and_then(fx::hundredths) == mid
        && *told
            == ExchangeDecidedV1 {
                exchange: shown.id,
                customer: shown.customer,
                succeeded: known.succeeded(),
                side: shown.side,
                currency: shown.currency,
                rate: shown.rate,
                unit: shown.unit,
                mid: told.mid,
                foreign: shown.foreign,
                krw: shown.krw,
                krw_account: Some(shown.krw_account),
                fx_account: Some(shown.fx_account),
                withdrawal: shown.withdrawal,
                deposit: shown.deposit,
                failure: shown.failure.clone(),
                at: known.decided_at(),
            }
}

impl Fx {
    /// What the decisions move in the general ledger, by the position-account method: clearing is emptied into the
    /// position of the currency, and in won into what that stands for at the base price and what the bank earned.
    pub(in super::super) fn booked(&self, add: &mut impl FnMut(Currency, &str, i128)) {
        for known in self.exchanges.values().filter(|known| known.succeeded()) {
            let (shown, Some(mid)) = (&known.shown, self.mid(known)) else { continue };
            let base = fx::worth(shown.foreign, (shown.currency, shown.unit, mid));
            let sign = if shown.side == Side::Buy { 1 } else { -1 };
            let (won, foreign) = (i128::from(shown.krw), i128::from(shown.foreign));
            add(Currency::KRW, "exchange", -sign * won);
            add(Currency::KRW, "fx_counter_value", sign * base);
            add(Currency::KRW, "fx_trading", sign * (won - base));
            add(shown.currency, "fx_position", -sign * foreign);
            add(shown.currency, "exchange", sign * foreign);
        }
    }

    /// The base price of an exchange's quote, hundredths.
    fn mid(&self, known: &Known) -> Option<i64> {
        self.quotes.get(&known.shown.quote).map(|quote| quote.terms.mid)
    }
}
