//! Sending: a batch is in the log when every one of its messages is reported to be.
//!
//! Consumers know repeats, but not gaps: when an event failed and a later one of its key went through, sending both again
//! would show them in the wrong order. So a message never fails alone. It is retried without end; when a batch takes too
//! long or anything else goes wrong, all that is under way is given up together and a new producer begins. What the old
//! one still gets through is then always the beginning of what is sent again.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_platform::db::{Event, Fault};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::sync::Notify;

use super::wire;

/// How long a batch may take.
const BATCH_MAX: Duration = Duration::from_secs(10);
/// Rest when the producer's queue is full, in milliseconds.
const FULL_REST_MS: u64 = 2;
/// Largest message, bytes; Kafka's own default.
const MESSAGE_BYTES_MAX: usize = 1_000_000;
/// What headers and frame add to key and payload at most, bytes.
const FRAME_BYTES: usize = 1_000;

/// Messages that were sent together.
#[derive(Default)]
struct Batch {
    /// Messages without a report.
    left: AtomicUsize,
    failed: Mutex<Option<String>>,
    done: Notify,
}

impl Batch {
    fn fail(&self, why: impl std::fmt::Display) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_string());
    }

    fn one_less(&self) {
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.done.notify_one();
        }
    }

    async fn reported(&self) {
        while self.left.load(SeqCst) > 0 {
            self.done.notified().await;
        }
    }
}

struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, delivery: &DeliveryResult<'_>, batch: Arc<Batch>) {
        if let Err((why, _)) = delivery {
            batch.fail(why);
        }
        batch.one_less();
    }
}

type Producing = ThreadedProducer<Reports, NoCustomPartitioner>;

/// The producer of a process.
pub(super) struct Sender {
    config: ClientConfig,
    /// Begins the brokers' names of topics.
    prefix: String,
    producer: Mutex<Arc<Producing>>,
    /// How long a batch may take.
    patience: Duration,
}

fn producer(config: &ClientConfig) -> Result<Arc<Producing>, Fault> {
    let made = config.create_with_context(Reports).map(Arc::new);
    made.map_err(|e| Fault::Unavailable(format!("Kafka: no producer can be made: {e}")))
}

impl Sender {
    pub(super) fn new(common: &ClientConfig, prefix: &str) -> Result<Sender, Fault> {
        let mut config = common.clone();
        config
            .set("enable.idempotence", "true") // retries neither double nor reorder
            .set("acks", "all")
            .set("message.timeout.ms", "0") // without end; a batch has its own
            .set("linger.ms", "1")
            .set("batch.num.messages", "10000")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random"); // as Java's, so that other programs find a key where we put it
        let producer = Mutex::new(producer(&config)?);
        Ok(Sender { config, prefix: prefix.to_owned(), producer, patience: BATCH_MAX })
    }

    fn producer(&self) -> Arc<Producing> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends events in order; they are on all replicas in sync when it returns.
    pub(super) async fn send(&self, events: &[Event]) -> Result<(), Fault> {
        let too_large = |e: &&Event| e.key.len() + e.payload.len() + FRAME_BYTES > MESSAGE_BYTES_MAX;
        if let Some(large) = events.iter().find(too_large) {
            let why = format!(
                "event {} of {} has {} bytes, at most {MESSAGE_BYTES_MAX} with its frame",
                large.id,
                large.topic,
                large.payload.len()
            );
            return Err(Fault::Damaged(why));
        }
        let (producer, batch) = (self.producer(), Arc::<Batch>::default());
        let whole = async {
            for event in events {
                let topic = format!("{}{}", self.prefix, event.topic);
                hand_over(&producer, &topic, event, &batch).await?;
            }
            batch.reported().await;
            Ok(())
        };
        let ended = tokio::time::timeout(self.patience, whole).await;
        let why = match ended {
            Err(_) => Some(format!("not acknowledged within {:?}", self.patience)),
            Ok(Err(e)) => Some(KafkaError::to_string(&e)),
            Ok(Ok(())) => batch.failed.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        let Some(why) = why else { return Ok(()) };
        self.begin_anew(producer)?;
        Err(Fault::Unavailable(format!("Kafka: events were not all taken: {why}")))
    }

    /// Gives up all that is under way with a producer, unless another caller has done so already.
    fn begin_anew(&self, old: Arc<Producing>) -> Result<(), Fault> {
        {
            let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &old) {
                *current = producer(&self.config)?;
            }
        }
        old.purge(PurgeConfig::default().queue().inflight());
        std::thread::spawn(move || drop(old)); // it waits for its own thread
        Ok(())
    }
}

/// Hands an event to the producer, waiting while its queue is full.
async fn hand_over(producer: &Producing, topic: &str, event: &Event, batch: &Arc<Batch>) -> Result<(), KafkaError> {
    let record = BaseRecord::with_opaque_to(topic, Arc::clone(batch));
    let mut record = record.key(&event.key).payload(&event.payload).headers(wire::headers(event));
    loop {
        batch.left.fetch_add(1, SeqCst);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((e, back)) => {
                batch.left.fetch_sub(1, SeqCst);
                if e.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(e);
                }
                record = back;
                tokio::time::sleep(Duration::from_millis(FULL_REST_MS)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, BTreeSet};

    use jangbu_kernel::id::EventId;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;

    const PARTS: i32 = 4;

    /// A broker that does as it is told.
    fn broker() -> (MockCluster<'static, DefaultProducerContext>, Sender) {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("t", PARTS, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers()).set("reconnect.backoff.max.ms", "100");
        let sender = Sender { patience: Duration::from_secs(1), ..Sender::new(&config, "").unwrap() };
        (broker, sender)
    }

    fn events(numbers: std::ops::Range<u64>) -> Vec<Event> {
        let event = |n: u64| Event {
            id: EventId::from_parts(n, 1),
            topic: "t".into(),
            key: format!("k{}", n % 10),
            event_type: "thing.v1".into(),
            payload: n.to_string(),
        };
        numbers.map(event).collect()
    }

    /// By key, the numbers in the order in which they were first seen.
    fn seen(broker: &MockCluster<'static, DefaultProducerContext>, count: usize) -> BTreeMap<String, Vec<u64>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers()).set("group.id", "seeing");
        let client: BaseConsumer = config.create().unwrap();
        let mut places = TopicPartitionList::new();
        (0..PARTS).for_each(|part| places.add_partition_offset("t", part, Offset::Beginning).unwrap());
        client.assign(&places).unwrap();
        let (mut ids, mut by_key) = (BTreeSet::new(), BTreeMap::<String, Vec<u64>>::new());
        while ids.len() < count {
            let message = client.poll(Duration::from_secs(10)).expect("all are there").unwrap();
            let event = wire::record(&message).event;
            if ids.insert(event.id.to_bytes()) {
                by_key.entry(event.key).or_default().push(event.payload.parse().unwrap());
            }
        }
        by_key
    }

    fn assert_in_order(by_key: &BTreeMap<String, Vec<u64>>) {
        assert_eq!(by_key.len(), 10);
        assert!(by_key.values().all(|numbers| numbers.is_sorted()), "{by_key:?}");
    }

    /// Sends until it is through, as a relay does.
    async fn send_at_last(sender: &Sender, events: &[Event]) {
        for _ in 0..20 {
            if sender.send(events).await.is_ok() {
                return;
            }
        }
        panic!("it does not come through");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_that_is_away_costs_a_fault_and_no_order() {
        let (broker, sender) = broker();
        send_at_last(&sender, &events(0..500)).await;
        broker.broker_down(1).unwrap();
        let fault = sender.send(&events(500..1_000)).await.unwrap_err();
        assert!(matches!(&fault, Fault::Unavailable(why) if why.contains("not acknowledged")), "{fault}");
        broker.broker_up(1).unwrap();
        send_at_last(&sender, &events(500..1_000)).await;
        send_at_last(&sender, &events(1_000..1_500)).await;
        assert_in_order(&seen(&broker, 1_500));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_that_fails_takes_all_under_way_with_it() {
        let (broker, sender) = broker();
        send_at_last(&sender, &events(0..100)).await;
        let no = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        broker.request_errors(RDKafkaApiKey::Produce, &[no]);
        let fault = sender.send(&events(100..200)).await.unwrap_err();
        assert!(matches!(&fault, Fault::Unavailable(_)), "{fault}");
        send_at_last(&sender, &events(100..200)).await;
        send_at_last(&sender, &events(200..300)).await;
        assert_in_order(&seen(&broker, 300));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_event_that_is_too_large_stops_before_anything_is_sent() {
        let (broker, sender) = broker();
        let mut two = events(0..2);
        two[1].payload = "x".repeat(MESSAGE_BYTES_MAX);
        assert!(matches!(sender.send(&two).await, Err(Fault::Damaged(_))));
        two[1].payload = "1".into();
        two.extend(events(2..10));
        send_at_last(&sender, &two).await;
        assert_eq!(seen(&broker, 10).len(), 10);
    }
}
