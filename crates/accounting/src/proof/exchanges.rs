//! Proves what is kept of exchanges and positions against the journals, and judges each exchange anew.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{ExchangeId, JournalId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx};

use super::{Balances, OpenExchange, Proof};
use crate::domain::chart::{Code, EXCHANGE_CLEARING, FX_COUNTER_VALUE, FX_POSITION, FX_REVALUATION, FX_TRADING, Side};
use crate::domain::journal::{exchange_journals, pack, revaluation_journal, unpack};
use crate::domain::matching::{Class, Decision, Leg, judge};
use crate::domain::position::{gain, journals, revaluation};
use crate::store::exchanges::{self, Decided, Journaled};
use crate::store::positions::{self, Moved, Revaluation};

/// Rows read at once: each is looked up in two other tables.
const ROWS_PER_READ_MAX: u32 = 1_000;

/// What exchanges moved, by currency and day.
type Days = BTreeMap<(Currency, BusinessDate), [i128; 3]>;

/// Reads all there is of exchanges; `clearing` is how many journals of postings moved the clearing account.
pub(super) async fn prove(
    tx: &mut Tx,
    proof: &mut Proof,
    balances: &Balances,
    clearing: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), Fault> {
    let legs = read_legs(tx, proof, progress).await?;
    if legs != clearing {
        proof.add_of_positions(|| format!("{clearing} journals of postings move clearing, {legs} legs are kept"));
    }
    let mut open = BTreeMap::new();
    let mut after = None;
    loop {
        let page = exchanges::open_after(tx, after, ROWS_PER_READ_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.exchange);
        open.extend(page.into_iter().map(|row| (row.exchange, row.class)));
    }
    let days = read_decisions(tx, proof, &mut open, progress).await?;
    read_undecided(tx, proof, &mut open).await?;
    for (exchange, class) in open {
        proof.add_of_positions(|| format!("{exchange} is open as {}, and its books agree", class.name()));
    }
    proof.open.sort_by_key(|open| open.exchange);
    let mut kept: Days =
        positions::days(tx).await?.into_iter().map(|(place, moved)| (place, moved.map(i128::from))).collect();
    for (place, summed) in &days {
        let stored = kept.remove(place).unwrap_or_default();
        if stored != *summed {
            proof.add_of_positions(|| format!("position of {place:?} moved {stored:?}, its exchanges {summed:?}"));
        }
    }
    for (place, stored) in kept.into_iter().filter(|(_, moved)| *moved != [0; 3]) {
        proof.add_of_positions(|| format!("position of {place:?} moved {stored:?} by no exchange"));
    }
    let gains = read_revaluations(tx, proof, &days).await?;
    profits(proof, balances, &days, gains);
    Ok(())
}

/// Holds each leg against the journal of its posting; how many legs there are.
async fn read_legs(tx: &mut Tx, proof: &mut Proof, progress: &(dyn Fn(u64) + Sync)) -> Result<u64, Fault> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = exchanges::legs_journaled(tx, after, ROWS_PER_READ_MAX).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.leg.posting);
        count += page.len() as u64;
        progress(page.len() as u64);
        for Journaled { leg, lines, currency } in page {
            // What is debited of the customer is credited to clearing.
            let cleared = lines.as_deref().and_then(unpack).and_then(|lines| {
                let line = lines.iter().find(|line| line.code == EXCHANGE_CLEARING)?;
                Some((line.amount, if line.side == Side::Debit { Side::Credit } else { Side::Debit }))
            });
            if cleared != Some((leg.amount, leg.side)) || currency.as_deref() != Some(leg.currency.code()) {
                proof.add_of_positions(|| {
                    format!("leg {} of {} {} is journaled as {lines:?}", leg.posting, leg.amount, leg.currency)
                });
            }
        }
    }
}

fn note(
    proof: &mut Proof,
    open: &mut BTreeMap<ExchangeId, Class>,
    exchange: ExchangeId,
    decision: Option<&Decision>,
    legs: &[Leg],
) {
    let (judged, kept) = (judge(decision, legs), open.remove(&exchange));
    if judged.as_ref().map(|(class, _)| *class) != kept {
        proof.add_of_positions(|| format!("{exchange} is kept as {kept:?}, its books say {judged:?}"));
    }
    if let Some((class, detail)) = judged {
        proof.open.push(OpenExchange { exchange, class: super::class(class), detail });
    }
}

/// Holds decisions against their journals and legs; what they moved.
async fn read_decisions(
    tx: &mut Tx,
    proof: &mut Proof,
    open: &mut BTreeMap<ExchangeId, Class>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Days, Fault> {
    let (mut after, mut days) = (None, Days::new());
    loop {
        let page = exchanges::decisions(tx, after, ROWS_PER_READ_MAX).await?;
        let Some(last) = page.last() else { return Ok(days) };
        after = Some(last.exchange);
        proof.exchanges += page.len() as u64;
        progress(page.len() as u64);
        let ids: Vec<ExchangeId> = page.iter().map(|decided| decided.exchange).collect();
        let journals: Vec<JournalId> = ids.iter().flat_map(|id| exchange_journals(*id)).collect();
        let (legs, lines) = (exchanges::legs_of(tx, &ids).await?, crate::store::lines_of(tx, &journals).await?);
        for Decided { exchange, decision, date, moved } in page {
            note(proof, open, exchange, Some(&decision), legs.get(&exchange).map_or(&[][..], Vec::as_slice));
            let found = exchange_journals(exchange).map(|id| lines.get(&id).cloned());
            if found != journaled(&decision, moved) {
                proof.add_of_positions(|| format!("{exchange} moved {moved:?} and is journaled as {found:?}"));
            }
            if decision.succeeded {
                let sums = days.entry((decision.currency, date)).or_default();
                sums.iter_mut().zip(moved).for_each(|(sum, more)| *sum += i128::from(more));
            }
        }
    }
}

/// The journals that a decision must have.
fn journaled(decision: &Decision, moved: Moved) -> [Option<String>; 2] {
    if !decision.succeeded {
        return [None, None];
    }
    let (won, foreign) = journals(decision.buys, decision.won, moved);
    [won, foreign].map(|lines| Some(pack(&lines)))
}

/// Judges exchanges that have legs and no decision.
async fn read_undecided(tx: &mut Tx, proof: &mut Proof, open: &mut BTreeMap<ExchangeId, Class>) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let page = exchanges::with_legs(tx, after, ROWS_PER_READ_MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        let decided: BTreeSet<ExchangeId> = exchanges::decisions_of(tx, &page).await?.into_keys().collect();
        let left: Vec<ExchangeId> = page.into_iter().filter(|id| !decided.contains(id)).collect();
        for (exchange, legs) in exchanges::legs_of(tx, &left).await? {
            note(proof, open, exchange, None, &legs);
        }
    }
}

/// Holds revaluations against positions and rates; their gains.
async fn read_revaluations(tx: &mut Tx, proof: &mut Proof, days: &Days) -> Result<i128, Fault> {
    let (mut all, mut before) = (0, BTreeMap::<Currency, i128>::new());
    for done in positions::revaluations(tx).await? {
        let Revaluation { currency, date, price, position, value_before, gain: gained, .. } = done;
        let upto = days.iter().filter(|((of, day), _)| *of == currency && *day <= date);
        let [mut held, mut value] = [0i128; 2];
        for (_, [moved, cost, _]) in upto {
            held += moved;
            value += cost;
        }
        let earlier = before.entry(currency).or_default();
        value += *earlier;
        *earlier += i128::from(gained);
        all += i128::from(gained);
        if (held, value) != (i128::from(position), i128::from(value_before)) {
            proof.add_of_positions(|| {
                format!("{currency} was valued on {date} as {position} for {value_before}, not {held} for {value}")
            });
        }
        if gain(position, value_before, currency, price) != Some(gained) {
            proof.add_of_positions(|| {
                format!("{currency} gained {gained} on {date}, which does not follow from {}", price.rate)
            });
        }
        let id = revaluation_journal(currency, date);
        let found = crate::store::lines_of(tx, &[id]).await?.remove(&id);
        if found != revaluation(gained).map(|lines| pack(&lines)) {
            proof.add_of_positions(|| format!("{currency} gained {gained} on {date} and is journaled as {found:?}"));
        }
    }
    Ok(all)
}

/// Holds the accounts of positions and profits against what exchanges and revaluations moved.
fn profits(proof: &mut Proof, balances: &Balances, days: &Days, gains: i128) {
    let mut wanted: BTreeMap<(Code, Currency), i128> = BTreeMap::new();
    for ((currency, _), [position, value, trading]) in days {
        *wanted.entry((FX_POSITION, *currency)).or_default() += position;
        *wanted.entry((FX_COUNTER_VALUE, Currency::KRW)).or_default() -= value;
        *wanted.entry((FX_TRADING, Currency::KRW)).or_default() += trading;
    }
    *wanted.entry((FX_COUNTER_VALUE, Currency::KRW)).or_default() -= gains;
    *wanted.entry((FX_REVALUATION, Currency::KRW)).or_default() += gains;
    for ((code, _, currency), balance) in balances {
        if [FX_POSITION, FX_COUNTER_VALUE, FX_TRADING, FX_REVALUATION].contains(code) {
            *wanted.entry((*code, *currency)).or_default() -= balance;
        }
    }
    for ((code, currency), difference) in wanted.into_iter().filter(|(_, difference)| *difference != 0) {
        proof.add_of_positions(|| {
            format!("account {code} holds {difference} {currency} less than exchanges moved on it")
        });
    }
}
