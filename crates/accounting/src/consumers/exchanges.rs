//! Takes legs and decisions of exchanges: a decision is booked out of clearing into position, counter-value and trading
//! profit, and each exchange is judged anew by all that is known of it.
//!
//! An exchange that is open has a row, which is also its lock: what is known is read under it. Two processes that open the
//! same exchange at once meet at that row, and one of them begins again.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_contracts::deposit::{self as wire, PostingRecordedV1};
use jangbu_contracts::exchange::{ExchangeDecidedV1, FX_INSTANCE, KRW_INSTANCE, Side as Wants};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{ExchangeId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::consumer::Reject;
use jangbu_platform::db::{Fault, Inserted, Tx};

use super::{Batch, EXCHANGE_KIND, Entry, poison};
use crate::domain::chart::{EXCHANGE_CLEARING, Side, of_bank};
use crate::domain::journal::exchange_journals;
use crate::domain::matching::{Decision, Leg, TIMING_US_MAX, judge};
use crate::domain::position::{Booked, Price, Trade};
use crate::store::exchanges::{self, Decided, Of, Unmatched};
use crate::store::positions::{self, Moved};

/// A posting on the clearing account; none for any other.
fn leg(recorded: &PostingRecordedV1) -> Result<Option<Of>, Reject> {
    let posting = &recorded.posting;
    let entries = &posting.entries;
    if entries.iter().all(|entry| of_bank(&entry.account) != Some(EXCHANGE_CLEARING)) {
        let astray = recorded.exchange.map(|id| format!("{} belongs to {id} and moves no clearing", posting.id));
        return astray.map_or(Ok(None), |why| Err(poison(why)));
    }
    let customer = entries.iter().find(|entry| entry.serial.is_some());
    let customer = customer.ok_or_else(|| poison("clearing is moved against no customer"))?;
    let side = match customer.side {
        wire::Side::Debit => Side::Debit,
        wire::Side::Credit => Side::Credit,
    };
    let account = customer.account.parse().map_err(|e| poison(format!("account {:?}: {e}", customer.account)))?;
    let (currency, amount, reverses) = (posting.currency, customer.amount, posting.reverses);
    Ok(Some((Leg { posting: posting.id, account, side, currency, amount, reverses }, recorded.exchange)))
}

fn decision(told: &ExchangeDecidedV1) -> Decision {
    let ExchangeDecidedV1 { succeeded, currency, foreign, krw, krw_account, fx_account, .. } = *told;
    let (buys, withdrawal, deposit) = (told.side == Wants::Buy, told.withdrawal, told.deposit);
    Decision { succeeded, buys, currency, foreign, won: krw, krw_account, fx_account, withdrawal, deposit }
}

/// All that is known of the exchanges of a batch.
#[derive(Default)]
struct Known {
    open: BTreeMap<ExchangeId, Unmatched>,
    legs: BTreeMap<ExchangeId, Vec<Leg>>,
    decisions: BTreeMap<ExchangeId, Decision>,
}

/// Takes legs and decisions, and what was decided into the batch.
pub(super) async fn take(
    tx: &mut Tx,
    postings: &[PostingRecordedV1],
    decided: &[ExchangeDecidedV1],
    offset: UtcOffset,
    batch: &mut Batch<'_>,
) -> Result<(), Reject> {
    let mut legs = postings.iter().filter_map(|recorded| leg(recorded).transpose()).collect::<Result<Vec<_>, _>>()?;
    if legs.is_empty() && decided.is_empty() {
        return Ok(());
    }
    find_reversed(tx, &mut legs).await?;
    let touched = legs.iter().filter_map(|(_, of)| *of).chain(decided.iter().map(|told| told.exchange));
    let touched: Vec<ExchangeId> = touched.collect::<BTreeSet<_>>().into_iter().collect();
    let mut known = Known {
        open: exchanges::open_of(tx, &touched).await?,
        legs: exchanges::legs_of(tx, &touched).await?,
        decisions: exchanges::decisions_of(tx, &touched).await?,
    };
    for (leg, of) in &legs {
        if let Some(exchange) = of {
            known.legs.entry(*exchange).or_default().push(leg.clone());
        }
    }
    book(tx, decided, offset, &mut known, batch).await?;
    once(exchanges::insert_legs(tx, &legs).await?)?;
    settle(tx, &touched, &known).await
}

fn once(inserted: Inserted) -> Result<(), Reject> {
    match inserted {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("some of these stand already".into()).into()),
    }
}

/// What gives a leg back belongs to its exchange, whoever asked for it.
async fn find_reversed(tx: &mut Tx, legs: &mut [Of]) -> Result<(), Fault> {
    let lacks = |of: &&Of| of.1.is_none();
    let wanted: Vec<PostingId> = legs.iter().filter(lacks).filter_map(|(leg, _)| leg.reverses).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut found = exchanges::exchanges_of(tx, &wanted).await?;
    found.extend(legs.iter().filter_map(|(leg, of)| Some((leg.posting, (*of)?))));
    for (leg, of) in legs.iter_mut().filter(|(_, of)| of.is_none()) {
        *of = leg.reverses.and_then(|posting| found.get(&posting).copied());
    }
    Ok(())
}

/// Books decisions that were not known. One that comes again says the same, or is wrong.
async fn book(
    tx: &mut Tx,
    decided: &[ExchangeDecidedV1],
    offset: UtcOffset,
    known: &mut Known,
    batch: &mut Batch<'_>,
) -> Result<(), Reject> {
    let mut fresh: Vec<Decided> = Vec::new();
    let mut moved: BTreeMap<(Currency, BusinessDate), Moved> = BTreeMap::new();
    let mut valued = None;
    for told in decided {
        let (id, decision) = (told.exchange, decision(told));
        if let Some(before) = known.decisions.get(&id) {
            if *before != decision {
                return Err(poison(format!("{id} was decided otherwise before")));
            }
            continue;
        }
        let valued = match valued {
            Some(valued) => valued,
            None => *valued.insert(positions::lock_valued(tx).await?),
        };
        // A day that was valued stays as it is: what comes after counts for the next.
        let first = valued.map(|day| BusinessDate::from_days(day.days() + 1));
        let date = first.map_or(told.at.business_date(offset), |first| first.max(told.at.business_date(offset)));
        let booked = if told.succeeded { Some(booked(told)?) } else { None };
        if let Some(booked) = &booked {
            let sums = moved.entry((told.currency, date)).or_default();
            for (sum, more) in sums.iter_mut().zip([booked.position, booked.value, booked.trading]) {
                *sum = sum.checked_add(more).ok_or_else(|| poison("a position that can't be held"))?;
            }
            journals(told, date, booked, batch)?;
        }
        fresh.push(Decided::new(id, decision.clone(), date, booked.as_ref()));
        known.decisions.insert(id, decision);
    }
    once(exchanges::insert_decisions(tx, &fresh).await?)?;
    positions::add(tx, &moved).await?;
    Ok(())
}

fn booked(told: &ExchangeDecidedV1) -> Result<Booked, Reject> {
    if told.currency == Currency::KRW || told.unit <= 0 {
        return Err(poison(format!("{} units of {} have no price in won", told.unit, told.currency)));
    }
    let base = told.mid.map(|rate| Price { rate, unit: told.unit });
    let (foreign, won) = (told.foreign, told.krw);
    let trade = Trade { buys: told.side == Wants::Buy, currency: told.currency, foreign, won, base };
    trade.book().ok_or_else(|| poison(format!("{foreign} {} for {won} won can't be booked", told.currency)))
}

/// An exchange's journals, each in its own currency.
fn journals(
    told: &ExchangeDecidedV1,
    date: BusinessDate,
    booked: &Booked,
    batch: &mut Batch<'_>,
) -> Result<(), Reject> {
    let ids: [JournalId; 2] = exchange_journals(told.exchange);
    let posted_at = told.at.micros();
    let won = Entry { currency: Currency::KRW, instance: KRW_INSTANCE, date, posted_at };
    let foreign = Entry { currency: told.currency, instance: FX_INSTANCE, date, posted_at };
    batch.journal(won, ids[0], EXCHANGE_KIND, &booked.in_won)?;
    batch.journal(foreign, ids[1], EXCHANGE_KIND, &booked.in_foreign)
}

/// Judges what was touched: opens, changes or closes its row.
async fn settle(tx: &mut Tx, touched: &[ExchangeId], known: &Known) -> Result<(), Reject> {
    let now = tx.now().micros();
    let (mut opened, mut changed, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    for exchange in touched {
        let legs = known.legs.get(exchange).map_or(&[][..], Vec::as_slice);
        let before = known.open.get(exchange);
        match (judge(known.decisions.get(exchange), legs), before) {
            (None, None) => {}
            (None, Some(_)) => closed.push(*exchange),
            (Some((class, detail)), before) => {
                let since = before.map_or(now, |open| open.since);
                let due_at = if class.may_pass() { since + TIMING_US_MAX } else { since };
                let told = before.is_some_and(|open| open.told && open.class == class);
                let open = Unmatched { exchange: *exchange, class, detail, since, due_at, told };
                if before.is_some() { &mut changed } else { &mut opened }.push(open);
            }
        }
    }
    if exchanges::insert_open(tx, &opened).await? == Inserted::Duplicate {
        return Err(Fault::Conflict("another took up one of these exchanges meanwhile".into()).into());
    }
    exchanges::replace_open(tx, &changed).await?;
    exchanges::close(tx, &closed).await?;
    Ok(())
}
