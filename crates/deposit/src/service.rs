//! An instance, opened: its calls, what it listens to, what it tells, and its regular work.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jangbu_contracts::customer::StandingChangedV1;
use jangbu_contracts::deposit::PostingRecordedV1;
use jangbu_contracts::topics;
use jangbu_kernel::id::{EventId, ExchangeId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::consumer::{Consumer, Handler, Reject, watch};
use jangbu_platform::db::{Db, Event, Fault, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::migrate::Migration;
use jangbu_platform::operators::Desk;
use jangbu_platform::probe;
use jangbu_platform::relay::Outgoing;
use jangbu_platform::service::{Job, Service, ServiceSpec, World};

use crate::api::{Api, router, wire};
use crate::combiner::Combiner;
use crate::domain::command::{Action, Command};
use crate::flows::post::{Outcome, known_paid};
use crate::flows::products::add_version;
use crate::flows::totals::Prover;
use crate::flows::{given_up, standing};
use crate::ledger::{Ledger, millis};
use crate::store;
use crate::terms_text::{TermsText, said};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "ledger", sql: include_str!("../migrations/0001_ledger.sql") },
    Migration { version: 2, name: "totals", sql: include_str!("../migrations/0002_totals.sql") },
    Migration { version: 3, name: "owners", sql: include_str!("../migrations/0003_owners.sql") },
    Migration { version: 4, name: "given up", sql: include_str!("../migrations/0004_given_up.sql") },
    Migration { version: 5, name: "place", sql: include_str!("../migrations/0005_place.sql") },
    Migration { version: 6, name: "posting batch", sql: include_str!("../migrations/0006_posting_batch.sql") },
];

/// The won instance.
pub const KRW: ServiceSpec = ServiceSpec {
    name: "deposit-krw",
    migrations: MIGRATIONS,
    asks: &["customer"],
    tells: &["deposit-krw.postings"],
    listens: &[topics::CUSTOMER_STANDING, topics::EXCHANGE_GIVEN_UP],
};

/// The instance of foreign currencies.
pub const FX: ServiceSpec = ServiceSpec { name: "deposit-fx", tells: &["deposit-fx.postings"], ..KRW };

/// Holds released by one look at most.
const HOLDS_PER_LOOK_MAX: u32 = 500;

/// Opens an instance on a migrated database; `seed` are products that it offers from the start.
///
/// # Errors
/// The store can't be read, or the seed is not valid.
pub async fn open(spec: &ServiceSpec, tag: u16, world: World, seed: &str) -> Result<Service, Fault> {
    let ledger = Ledger::new(world.db.clone(), spec.name, tag, world.offset, world.dice.clone());
    let ledger = Arc::new(ledger);
    offer(&ledger, seed).await?;
    let combiner = Combiner::start(Arc::clone(&ledger));
    let consumer = Consumer {
        group: spec.name,
        topics: spec.listens.iter().map(|t| (*t).to_owned()).collect(),
        db: world.db.clone(),
        handler: Arc::new(Standing(Arc::clone(&ledger))),
    };
    let desk = Desk::new(&world.db, std::slice::from_ref(&consumer), Vec::new());
    let watch = watch::job(spec.name, &world, std::slice::from_ref(&consumer));
    let prover = Arc::new(Prover::new(world.db.clone()));
    let api = Api {
        ledger: Arc::clone(&ledger),
        combiner: combiner.clone(),
        prover: Arc::clone(&prover),
        desk,
        ask: world.ask.clone(),
    };
    Ok(Service {
        name: spec.name.to_owned(),
        db: world.db.clone(),
        router: router(api),
        consumers: vec![consumer],
        outgoing: vec![Arc::new(Postings(Arc::clone(&ledger)))],
        jobs: vec![
            fold_job(Arc::clone(&ledger)),
            given_up_job(Arc::clone(&ledger), combiner.clone()),
            hold_job(world.db, ledger, combiner),
            totals_job(prover),
            watch,
        ],
    })
}

/// Offers the products of `seed` that are not known yet.
///
/// # Errors
/// The store failed, or the seed is not valid.
pub async fn offer(ledger: &Ledger, seed: &str) -> Result<(), Fault> {
    let terms: Vec<TermsText> = serde_json::from_str(seed).map_err(|e| Fault::Damaged(format!("seed: {e}")))?;
    let mut tx = ledger.db.read("deposit.open").await?;
    let known_terms = store::products::all(&mut tx).await?;
    drop(tx);
    for version in terms.iter().filter(|t| !known_terms.iter().any(|(code, ..)| *code == t.code)) {
        let added = add_version(ledger, version, version.from, "bank:seed").await?;
        added.map_err(|flaws| Fault::Damaged(format!("seed {}: {}", version.code, said(&flaws))))?;
    }
    Ok(())
}

fn fold_job(ledger: Arc<Ledger>) -> Job {
    let run = move |_: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let ledger = Arc::clone(&ledger);
        async move { ledger.fold_when_due().await.map(|_| ()) }.boxed()
    };
    Job { name: "deposit.fold", every_ms: 1_000, run: Box::new(run), due: None }
}

/// Gives back withdrawals that were given up.
fn given_up_job(ledger: Arc<Ledger>, combiner: Combiner) -> Job {
    let run = move |now: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (ledger, combiner) = (Arc::clone(&ledger), combiner.clone());
        async move { given_up::give_back(&ledger, &combiner, now).await }.boxed()
    };
    Job { name: "deposit.given_up", every_ms: 200, run: Box::new(run), due: None }
}

fn totals_job(prover: Arc<Prover>) -> Job {
    let run = move |_: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let prover = Arc::clone(&prover);
        async move { prover.look().await }.boxed()
    };
    Job { name: "deposit.totals", every_ms: 1_000, run: Box::new(run), due: None }
}

/// Releases holds whose time has passed, each under a key of its own, so that a repeat does nothing.
fn hold_job(db: Db, ledger: Arc<Ledger>, combiner: Combiner) -> Job {
    let (due_db, opened_at) = (db.clone(), db.now().micros());
    let run = move |now: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, combiner, offset) = (db.clone(), combiner.clone(), ledger.offset);
        async move {
            let mut tx = db.read("deposit.lapsed").await?;
            let lapsed = store::days::lapsed(&mut tx, now.micros(), HOLDS_PER_LOOK_MAX).await?;
            drop(tx);
            let release = |hold: &crate::domain::book::Hold| Command {
                key: format!("lapsed-{:020}\u{1f}service:deposit", hold.seq),
                hash: hold.seq,
                action: Action::Release { hold: hold.seq },
                date: now.business_date(offset),
                memo: Some("lapsed".into()),
            };
            let commands: Vec<Command> = lapsed.iter().map(release).collect();
            if lapsed.iter().any(|hold| hold.until.is_some_and(|until| until < opened_at)) {
                probe::reached("hold-lapsed-while-its-instance-was-down");
            }
            if !commands.is_empty() {
                let done = combiner.post(commands).await?;
                if done.iter().any(|outcome| matches!(outcome, Outcome::Posted(_, true))) {
                    probe::reached("lapse-of-a-hold-carried-out-before");
                }
            }
            Ok(())
        }
        .boxed()
    };
    let due = move || -> BoxFuture<'static, Result<Option<Timestamp>, Fault>> {
        let db = due_db.clone();
        async move {
            let mut tx = db.read("deposit.next_lapse").await?;
            Ok(store::days::next_lapse(&mut tx).await?.map(Timestamp::from_micros))
        }
        .boxed()
    };
    Job { name: "deposit.lapsed_holds", every_ms: 500, run: Box::new(run), due: Some(Box::new(due)) }
}

/// Takes over customers' standing, and withdrawals that are to be given back.
struct Standing(Arc<Ledger>);

fn read(event: &Event) -> Result<StandingChangedV1, Reject> {
    if event.event_type != StandingChangedV1::TYPE {
        return Err(Reject::Poison(format!("{} is not a standing", event.event_type)));
    }
    serde_json::from_str(&event.payload).map_err(|e| Reject::Poison(e.to_string()))
}

impl Handler for Standing {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        async move {
            for event in events {
                if event.topic == topics::EXCHANGE_GIVEN_UP {
                    given_up::keep(tx, &self.0, event).await?;
                    continue;
                }
                let standing = read(event)?;
                standing::keep(&self.0, tx, &standing).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn applied<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        async move {
            for standing in events.iter().filter_map(|event| read(event).ok()) {
                if planted("standing-not-in-memory") {
                    continue;
                }
                self.0.take_standing(standing.customer, standing::owner(&standing)).await;
            }
        }
        .boxed()
    }
}

/// Postings on their way out: the message is made from the rows.
struct Postings(Arc<Ledger>);

impl Postings {
    async fn events(&self, limit: u32) -> Result<Vec<Event>, Fault> {
        let ledger = &self.0;
        let mut tx = ledger.db.read("deposit.unsent").await?;
        let ranges = store::outbox::ranges(&mut tx, limit).await?;
        let (Some((first, _)), Some((_, last))) = (ranges.first(), ranges.last()) else { return Ok(Vec::new()) };
        let rows = store::postings::range(&mut tx, *first, *last, limit).await?;
        let names = ledger.names(&mut tx, None, &rows).await?;
        let mut paid = match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => store::days::payments(&mut tx, first.seq, last.seq).await?,
            _ => BTreeMap::new(),
        };
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let (seq, exchange) = (row.seq, wire::exchange_of(&row.key));
            let outcome = known_paid(&mut tx, &names, row, paid.remove(&seq)).await?;
            events.push(self.event(seq, exchange, &outcome)?);
        }
        Ok(events)
    }

    fn event(&self, seq: u64, exchange: Option<ExchangeId>, outcome: &Outcome) -> Result<Event, Fault> {
        // The id is made of the posting's place: sent twice, it is known as the same.
        let sending = if planted("event-id-anew") { millis(self.0.db.now()) } else { 0 };
        let id = EventId::from_parts(sending, self.0.id_rest(seq));
        let topic = topics::postings(&self.0.instance);
        let Outcome::Posted(posted, _) = outcome else {
            let (key, payload) = (String::new(), String::new());
            return Ok(Event { id, topic, key, event_type: String::new(), payload });
        };
        let event = PostingRecordedV1 {
            instance: self.0.instance.clone(),
            posting: wire::posting(&self.0, posted),
            interest: wire::payment(&self.0, posted),
            exchange,
        };
        let account = posted.debit.or(posted.credit);
        Ok(Event {
            id,
            topic,
            key: account.map(|a| a.to_string()).unwrap_or_default(),
            event_type: PostingRecordedV1::TYPE.into(),
            payload: serde_json::to_string(&event).map_err(|e| Fault::Damaged(e.to_string()))?,
        })
    }
}

impl Outgoing for Postings {
    fn unsent(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Event>, Fault>> {
        self.events(limit).boxed()
    }

    fn sent<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let mut last = events.last().and_then(|e| self.0.seq_of(e.id.rest()));
            if planted("relay-marks-all") {
                last = Some(store::postings::last_seq(&mut self.0.db.read("deposit.sent").await?).await?);
            }
            let mut tx = self.0.db.begin("deposit.sent").await?;
            store::outbox::sent(&mut tx, last.unwrap_or(0)).await?;
            tx.commit().await
        }
        .boxed()
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u64, Fault>> {
        async move { store::outbox::waiting(&mut self.0.db.read("deposit.waiting").await?).await }.boxed()
    }
}
