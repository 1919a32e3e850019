//! Exchanges as their service keeps them, held against what was booked of them, one by one; and exchanges whose legs do
//! not agree, of which only those that are really under way are told as timing.
//!
//! Both books are read page by page in the order of exchanges. Accounting was read first: what it has not heard of when it
//! is read may be decided since.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_accounting::proof::{Decided, decisions};
use jangbu_contracts::breaks::{Breaks, Class, Level};
use jangbu_contracts::topics;
use jangbu_exchange::proof::{Kept, page};
use jangbu_kernel::id::ExchangeId;
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::relay::{Outbox, Outgoing as _};
use jangbu_platform::service::ServiceSpec;

use super::{Check, LEDGER, Ledger};
use crate::Failure;

/// Exchanges read at once.
const ROWS_PER_READ: u32 = 8_192;

/// What was decided and is booked otherwise, or not yet.
#[derive(Debug, Default)]
pub struct Found {
    /// Exchanges.
    pub count: u64,
    /// Not decided.
    pub undecided: BTreeSet<ExchangeId>,
    /// Decided, and not booked.
    pub unbooked: Vec<ExchangeId>,
    /// Booked otherwise, or of no exchange.
    pub breaks: Vec<(Class, ExchangeId, String)>,
}

fn decided(kept: &Kept) -> Option<Decided> {
    let Kept { exchange, buys, currency, foreign, won, withdrawal, deposit, .. } = *kept;
    let succeeded = kept.succeeded?;
    Some(Decided { exchange, succeeded, buys, currency, foreign, won, withdrawal, deposit })
}

impl Found {
    fn see(&mut self, kept: &Kept, booked: Option<&Decided>) {
        self.count += 1;
        match (decided(kept), booked) {
            (None, None) => drop(self.undecided.insert(kept.exchange)),
            (Some(_), None) => self.unbooked.push(kept.exchange),
            (Some(decided), Some(booked)) if decided == *booked => {}
            (_, Some(booked)) => {
                self.breaks.push((Class::Amount, kept.exchange, format!("{kept:?} was booked as {booked:?}")));
            }
        }
    }
}

/// Holds all exchanges against all decisions that were booked.
async fn read(exchange: &mut Tx, ledger: Option<&mut Tx>, progress: &(dyn Fn(u64) + Sync)) -> Result<Found, Fault> {
    let (mut found, mut booked) = (Found::default(), BTreeMap::new());
    let (mut kept_to, mut booked_to, mut ledger) = (None, None, ledger);
    loop {
        let kept = page(exchange, kept_to, ROWS_PER_READ).await?;
        kept_to = kept.last().map(|kept| kept.exchange);
        // Decisions up to where this page ends; beyond the last page, all that are left.
        while let Some(tx) = ledger.as_deref_mut().filter(|_| kept_to.is_none() || booked_to < kept_to) {
            let more = decisions(tx, booked_to, ROWS_PER_READ).await?;
            let Some(last) = more.last() else {
                ledger = None;
                break;
            };
            booked_to = Some(last.exchange);
            booked.extend(more.into_iter().map(|decided| (decided.exchange, decided)));
        }
        for kept in &kept {
            found.see(kept, booked.remove(&kept.exchange).as_ref());
        }
        // What lies before the end of the page and was not met is of no exchange.
        let later = kept_to.map_or_else(BTreeMap::new, |last| booked.split_off(&last));
        for (exchange, booked) in std::mem::replace(&mut booked, later) {
            found.breaks.push((Class::MissingLeft, exchange, format!("{booked:?} is of no exchange")));
        }
        progress(found.count);
        if kept_to.is_none() {
            return Ok(found);
        }
    }
}

impl Check {
    /// Holds the exchanges of the service against what was booked of them.
    pub(super) async fn exchanges(
        &mut self,
        spec: &'static ServiceSpec,
        db: Db,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let mut tx = db.read("check.exchanges").await?;
        let found = read(&mut tx, self.ledger.as_mut().map(|ledger| &mut ledger.tx), progress).await?;
        drop(tx);
        self.note(spec.name, |read| read.rows = found.count);
        for (class, exchange, why) in found.breaks {
            self.breaks.add(Level::Exchanges, class, exchange, || why);
        }
        self.undecided = found.undecided;
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.way.add_events(&Outbox(db).unsent(u32::MAX).await?);
        let on_its_way = ledger.way.exchanges(&[topics::EXCHANGE_DECIDED]).await?;
        let (waiting, lost): (Vec<_>, Vec<_>) = found.unbooked.into_iter().partition(|id| on_its_way.contains(id));
        if !waiting.is_empty() {
            let why = || format!("{} decisions are on their way to {LEDGER}", waiting.len());
            self.breaks.add(Level::Exchanges, Class::Timing, spec.name, why);
        }
        for exchange in lost {
            let why = || "it was decided, was not booked, and nothing of it is on its way".to_owned();
            self.breaks.add(Level::Exchanges, Class::MissingRight, exchange, why);
        }
        Ok(())
    }
}

impl Ledger {
    /// Tells exchanges whose books do not agree, but for those that are under way; to be asked when all was read.
    pub(super) async fn compare_open(
        &mut self,
        undecided: &BTreeSet<ExchangeId>,
        breaks: &mut Breaks,
    ) -> Result<(), Failure> {
        let on_its_way = self.way.exchanges(&[topics::EXCHANGE_DECIDED]).await?;
        let mut waiting = 0;
        for open in self.open.drain(..) {
            let passes = matches!(open.class, Class::MissingLeft | Class::MissingRight | Class::Undecided);
            if passes && (on_its_way.contains(&open.exchange) || undecided.contains(&open.exchange)) {
                waiting += 1;
            } else {
                breaks.add(Level::Exchanges, open.class, open.exchange, || open.detail);
            }
        }
        if waiting > 0 {
            let why = || format!("{waiting} exchanges are under way");
            breaks.add(Level::Exchanges, Class::Timing, LEDGER, why);
        }
        Ok(())
    }
}
