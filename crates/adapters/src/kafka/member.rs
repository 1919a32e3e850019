//! Members of groups: partitions come and go by cooperative rebalancing, offsets are committed after the unit of work.
//!
//! The client serves the group within `next` alone. So a partition is never taken from a member while it works on its
//! records; a member that does not come back in time is taken for dead, and then what it still does is known as repeats.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use jangbu_platform::db::Fault;
use jangbu_platform::log::Record;
use jangbu_platform::log::group::Member;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::{fault, wire};

/// How long going back to what was not taken may take.
const REWIND_MAX: Duration = Duration::from_secs(5);
/// How long leaving a group may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);

type Place = (String, i32);

/// What the client tells while it is asked for messages.
#[derive(Default)]
struct Told {
    revoked: Mutex<Vec<Place>>,
}

impl ClientContext for Told {}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(places) = rebalance else { return };
        // What was taken is noted before another member begins there; without it he would only meet repeats.
        if !consumer.assignment_lost()
            && let Err(e) = consumer.commit_consumer_state(CommitMode::Sync)
            && e.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset)
        {
            tracing::debug!(error = %e, "offsets could not be noted before partitions moved");
        }
        let revoked =
            places.elements().iter().map(|place| (place.topic().to_owned(), place.partition())).collect::<Vec<_>>();
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner).extend(revoked);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(e) = result {
            tracing::debug!(error = %e, "offsets could not be noted; events will come again");
        }
    }
}

/// A member.
pub(super) struct Joined {
    consumer: Arc<StreamConsumer<Told>>,
    /// Of each partition of which records were given: the first offset, and the one after the last.
    given: BTreeMap<Place, (i64, i64)>,
    /// Begins the brokers' names of topics.
    prefix: String,
}

/// The client's errors that it gets over by itself.
fn passes(e: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let KafkaError::MessageConsumption(code) = e else { return false };
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::PollExceeded
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::RebalanceInProgress
            | Code::UnknownMemberId
            | Code::IllegalGeneration
    )
}

impl Joined {
    pub(super) fn new(common: &ClientConfig, group: &str, topics: &[String], prefix: &str) -> Result<Joined, Fault> {
        let mut config = common.clone();
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "10000") // after so long the partitions of a process that was killed move on
            .set("heartbeat.interval.ms", "1000") // how soon a member hears that others came or went
            // What comes within a moment is fetched together: each fetch costs the same, however little it brings.
            .set("fetch.min.bytes", "65536")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: StreamConsumer<Told> =
            config.create_with_context(Told::default()).map_err(|e| fault("joining a group", &e))?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|e| fault("joining a group", &e))?;
        Ok(Joined { consumer: Arc::new(consumer), given: BTreeMap::new(), prefix: prefix.to_owned() })
    }

    /// Goes back to the first of what was given and not taken.
    async fn rewind(&mut self) -> Result<(), Fault> {
        if self.given.is_empty() {
            return Ok(());
        }
        let mut places = TopicPartitionList::new();
        for ((topic, part), (first, _)) in &self.given {
            let added = places.add_partition_offset(topic, *part, Offset::Offset(*first));
            added.map_err(|e| fault("going back", &e))?;
        }
        let consumer = Arc::clone(&self.consumer);
        let sought = super::blocking(move || consumer.seek_partitions(places, REWIND_MAX)).await?;
        let sought = sought.map_err(|e| fault("going back", &e))?;
        for place in sought.elements() {
            place.error().map_err(|e| fault("going back", &e))?;
        }
        self.given.clear();
        Ok(())
    }

    /// Takes what the client has at hand; no more than what is left of `limit`.
    fn gather(&mut self, first: Record, limit: u32) -> Result<Vec<Record>, Fault> {
        let mut records = vec![first];
        let mut stream = self.consumer.stream();
        while records.len() < limit as usize {
            match stream.next().now_or_never() {
                Some(Some(Ok(message))) => records.push(wire::record(&message)),
                Some(Some(Err(e))) if !passes(&e) => return Err(fault("reading", &e)),
                _ => break,
            }
        }
        drop(stream);
        // Partitions may have moved while it was gathered; their records are another's now.
        let revoked = std::mem::take(&mut *self.revoked());
        if !revoked.is_empty() {
            let mine = |r: &Record| !revoked.iter().any(|(topic, part)| *topic == r.event.topic && is(*part, r.part));
            records.retain(mine);
        }
        for record in &records {
            let part = i32::try_from(record.part).unwrap_or(i32::MAX);
            let next = record.offset + 1;
            let stretch = self.given.entry((record.event.topic.clone(), part)).or_insert((record.offset, next));
            stretch.1 = next;
        }
        wire::without(&mut records, &self.prefix);
        Ok(records)
    }

    fn revoked(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.consumer.context().revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(part: i32, of_record: u32) -> bool {
    u32::try_from(part) == Ok(of_record)
}

impl Member for Joined {
    fn next(&mut self, limit: u32, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        async move {
            self.rewind().await?;
            let first = loop {
                let received = tokio::time::timeout(wait, self.consumer.recv()).await;
                match received {
                    Err(_) => return Ok(Vec::new()),
                    Ok(Ok(message)) => break wire::record(&message),
                    Ok(Err(e)) if passes(&e) => tracing::debug!(error = %e, "the group is not served at the moment"),
                    Ok(Err(e)) => return Err(fault("reading", &e)),
                }
            };
            self.revoked().clear(); // nothing of theirs was at hand
            self.gather(first, limit)
        }
        .boxed()
    }

    fn taken(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        async move {
            let mut places = TopicPartitionList::new();
            for ((topic, part), (_, next)) in &self.given {
                let added = places.add_partition_offset(topic, *part, Offset::Offset(*next));
                added.map_err(|e| fault("noting offsets", &e))?;
            }
            self.consumer.store_offsets(&places).map_err(|e| fault("noting offsets", &e))?;
            self.given.clear();
            // Not waited for: until it is there, and if it never comes, events are only given again.
            self.consumer.commit(&places, CommitMode::Async).map_err(|e| fault("noting offsets", &e))
        }
        .boxed()
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            let left = super::blocking(move || drop(self));
            if tokio::time::timeout(LEAVE_MAX, left).await.is_err() {
                tracing::warn!("a group could not be left in time; its partitions move when the session ends");
            }
        }
        .boxed()
    }
}
