//! Takes postings, decided exchanges and boards into the general ledger. The unit of work is the consumer's; here is what
//! it does with a batch.
//!
//! A posting that moves money becomes a journal under the posting's own id. One that pays interest becomes two: its
//! own, which leaves the withheld tax in suspense, and one under the payment's id that moves it to what is owed; and
//! a tax row. Both are written together, so suspense is zero whenever everything has been taken.

mod boards;
mod exchanges;

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::deposit::{self as wire, PostingRecordedV1};
use jangbu_contracts::exchange::{BoardPublishedV1, ExchangeDecidedV1};
use jangbu_contracts::topics;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, JournalId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::consumer::{Handler, Reject};
use jangbu_platform::db::{Event, Fault, Inserted, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::telemetry::Counter;
use serde::de::DeserializeOwned;

use crate::domain::chart::{CUSTOMER_DEPOSITS, Side, of_bank};
use crate::domain::journal::{Broken, Interest, Line, Lines, check_posting, pack};
use crate::store::{self, Journal, Moved, Place, Tax};

/// Kind of the journals that move tax out of suspense.
pub const TAX_KIND: &str = "interest_tax";
/// Kind of the journals that move an exchange out of clearing.
pub const EXCHANGE_KIND: &str = "exchange";
/// Kind of the journals that value a position.
pub const REVALUATION_KIND: &str = "revaluation";
/// Events of one unit of work: nobody else writes here, so many are best.
const EVENTS_PER_TX_MAX: u32 = 2_048;
/// Longest kind that the store keeps.
const KIND_BYTES_MAX: usize = 16;
/// Longest name of an instance that the store keeps.
const INSTANCE_BYTES_MAX: usize = 32;

/// Takes the postings of all deposit instances, and what the exchange service tells.
pub struct Taken {
    /// Journals written. One whose commit failed is counted too, and again when it comes again.
    pub journals: Counter,
    /// The bank's time zone.
    pub offset: UtcOffset,
}

/// The events of a batch, each kind in order.
#[derive(Default)]
struct Told {
    postings: Vec<PostingRecordedV1>,
    decided: Vec<ExchangeDecidedV1>,
    boards: Vec<BoardPublishedV1>,
}

impl Told {
    fn read(events: &[Event]) -> Result<Told, Reject> {
        let mut told = Told::default();
        for event in events {
            match event.topic.as_str() {
                topics::EXCHANGE_DECIDED => told.decided.push(parse(event, ExchangeDecidedV1::TYPE)?),
                topics::EXCHANGE_BOARDS => told.boards.push(parse(event, BoardPublishedV1::TYPE)?),
                _ => told.postings.push(read(event)?),
            }
        }
        Ok(told)
    }
}

fn parse<T: DeserializeOwned>(event: &Event, event_type: &str) -> Result<T, Reject> {
    if event.event_type != event_type {
        return Err(poison(format!("{} is not {event_type}", event.event_type)));
    }
    serde_json::from_str(&event.payload).map_err(poison)
}

fn poison(why: impl std::fmt::Display) -> Reject {
    Reject::Poison(why.to_string())
}

impl From<Broken> for Reject {
    fn from(broken: Broken) -> Self {
        poison(broken)
    }
}

fn read(event: &Event) -> Result<PostingRecordedV1, Reject> {
    let recorded: PostingRecordedV1 = parse(event, PostingRecordedV1::TYPE)?;
    if event.topic.strip_suffix(".postings") != Some(recorded.instance.as_str()) {
        return Err(poison(format!("a posting of {} came by topic {}", recorded.instance, event.topic)));
    }
    if recorded.posting.kind.len() > KIND_BYTES_MAX || recorded.instance.len() > INSTANCE_BYTES_MAX {
        return Err(poison("kind or instance is longer than a journal holds"));
    }
    Ok(recorded)
}

fn line(entry: &wire::Entry) -> Result<Line, Reject> {
    let customer = entry.serial.is_some() && entry.account.starts_with(AccountId::PREFIX);
    let code = if customer { Some(CUSTOMER_DEPOSITS) } else { of_bank(&entry.account) };
    let code = code.ok_or_else(|| poison(format!("{:?} is no account of the chart", entry.account)))?;
    let side = match entry.side {
        wire::Side::Debit => Side::Debit,
        wire::Side::Credit => Side::Credit,
    };
    Ok(Line { code, side, amount: entry.amount })
}

fn interest(payment: &wire::InterestPayment) -> Interest {
    let wire::InterestPayment { gross, income_tax, local_tax, other_tax, net, .. } = *payment;
    Interest { gross, income_tax, local_tax, other_tax, net }
}

/// Where a journal stands: currency, instance, day, and when what it records was done, microseconds UTC.
#[derive(Clone, Copy)]
struct Entry<'a> {
    currency: Currency,
    instance: &'a str,
    date: BusinessDate,
    posted_at: i64,
}

impl<'a> Entry<'a> {
    fn of(recorded: &'a PostingRecordedV1) -> Entry<'a> {
        let wire::Posting { currency, business_date: mut date, posted_at, .. } = recorded.posting;
        if planted("journal-dated-by-clock") {
            date = posted_at.business_date(UtcOffset::SEOUL);
        }
        Entry { currency, instance: &recorded.instance, date, posted_at: posted_at.micros() }
    }
}

/// What a batch writes.
#[derive(Default)]
struct Batch<'a> {
    journals: Vec<Journal<'a>>,
    taxes: Vec<Tax<'a>>,
    moved: BTreeMap<Place<'a>, Moved>,
}

impl<'a> Batch<'a> {
    fn add(&mut self, recorded: &'a PostingRecordedV1) -> Result<(), Reject> {
        let posting = &recorded.posting;
        let lines = posting.entries.iter().map(line).collect::<Result<Lines, Reject>>()?;
        let paid = recorded.interest.as_ref();
        let figures = paid.map(interest);
        if !check_posting(&posting.kind, &lines, figures.as_ref())? {
            return Ok(());
        }
        let place = Entry::of(recorded);
        self.journal(place, JournalId::from_bytes(posting.id.to_bytes()), &posting.kind, &lines)?;
        let (Some(paid), Some(figures)) = (paid, figures) else { return Ok(()) };
        if paid.posting != posting.id {
            return Err(poison(format!("{} pays {}, but came with {}", paid.id, paid.posting, posting.id)));
        }
        if let Some(lines) = figures.tax_lines().filter(|_| !planted("tax-left-in-suspense")) {
            self.journal(place, JournalId::from_bytes(paid.id.to_bytes()), TAX_KIND, &lines)?;
        }
        let customer = posting.entries.iter().find(|entry| entry.serial.is_some());
        let account = customer.map(|entry| entry.account.as_str()).unwrap_or_default();
        self.taxes.push(Tax {
            interest: paid.id,
            posting: posting.id,
            account: account.parse().map_err(|e| poison(format!("account {account:?}: {e}")))?,
            instance: &recorded.instance,
            currency: posting.currency,
            date: posting.business_date,
            from: paid.from,
            to: paid.to,
            amounts: if planted("taxes-swapped") {
                [figures.gross, figures.local_tax, figures.income_tax, figures.other_tax, figures.net]
            } else {
                [figures.gross, figures.income_tax, figures.local_tax, figures.other_tax, figures.net]
            },
        });
        Ok(())
    }

    fn journal(&mut self, place: Entry<'a>, id: JournalId, kind: &'a str, lines: &Lines) -> Result<(), Reject> {
        let Entry { currency, instance, date, posted_at } = place;
        for line in lines {
            let (debits, credits) = self.moved.entry((line.code, currency, instance, date)).or_default();
            let sum = if line.side == Side::Debit { debits } else { credits };
            // A batch whose sum doesn't fit is taken by halves.
            *sum = sum.checked_add(line.amount).ok_or_else(|| poison("amounts that no total holds"))?;
        }
        self.journals.push(Journal { id, date, currency, instance, kind, posted_at, lines: pack(lines) });
        Ok(())
    }

    /// Writes the batch; `alone` when it is one posting.
    async fn write(&self, tx: &mut Tx, alone: bool) -> Result<(), Reject> {
        let fresh = |inserted| match inserted {
            Inserted::New => Ok(()),
            Inserted::Duplicate if alone => Err(poison("its interest payment stands already")),
            Inserted::Duplicate => Err(Fault::Busy("one of these postings stands already".into()).into()),
        };
        fresh(store::insert_journals(tx, &self.journals).await?)?;
        fresh(store::insert_taxes(tx, &self.taxes).await?)?;
        store::add_totals(tx, &self.moved).await?;
        Ok(())
    }

    /// Whether all of it stands already, word for word.
    async fn stands(&self, tx: &mut Tx) -> Result<bool, Reject> {
        let mut standing = 0;
        for journal in &self.journals {
            let Some(stored) = store::find_journal(tx, journal.id).await? else { continue };
            standing += 1;
            let same = stored.lines == journal.lines
                && stored.kind == journal.kind
                && (stored.instance.as_str(), stored.currency, stored.date)
                    == (journal.instance, journal.currency, journal.date);
            if !same {
                return Err(poison(format!("{} stands already, and otherwise: {}", journal.id, stored.lines)));
            }
        }
        match standing {
            0 => Ok(false),
            all if all == self.journals.len() => Ok(true),
            _ => Err(poison("a part of this posting stands already")),
        }
    }
}

impl Handler for Taken {
    fn events_per_tx_max(&self) -> u32 {
        EVENTS_PER_TX_MAX
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        async move {
            let told = Told::read(events)?;
            let mut batch = Batch::default();
            for posting in &told.postings {
                batch.add(posting)?;
            }
            // The inbox knows repeats. This is the second line: a batch that meets one is taken by halves, and the
            // posting that then stands alone is compared.
            let alone = events.len() == 1;
            if alone && batch.stands(tx).await? {
                if planted("inbox-unchecked") {
                    store::add_totals(tx, &batch.moved).await?;
                }
                return Ok(());
            }
            exchanges::take(tx, &told.postings, &told.decided, self.offset, &mut batch).await?;
            boards::take(tx, &told.boards, &mut batch).await?;
            batch.write(tx, alone).await?;
            self.journals.add(batch.journals.len() as u64);
            Ok(())
        }
        .boxed()
    }
}
