//! Kafka as the log: the promises of every engine, and what is a broker's own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use jangbu_adapters::kafka::{Kafka, Settings};
use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;
use jangbu_platform::promises::hold;
use jangbu_platform::promises::log::{ALL, TABLE, World};

/// The brokers of these tests; without any they say so and are left out.
fn settings() -> Option<Settings> {
    let named = std::env::var("JANGBU_TEST_KAFKA").ok().filter(|servers| !servers.is_empty());
    if named.is_none() {
        eprintln!("left out: JANGBU_TEST_KAFKA names no broker; `cargo xtask servers start` prints one");
    }
    Some(Settings {
        servers: named?,
        partitions: 6,
        replicas: Some(1),
        retention_days: 1,
        namespace: format!("test{}", std::process::id()),
    })
}

/// A topic of a test's own.
fn topic() -> String {
    format!("test-{}", u128::from_be_bytes(Dice::from_os().bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_the_promises() {
    let Some(settings) = settings() else { return };
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        let (topic, home) = (topic(), tempfile::tempdir_in(dir.path()).unwrap().keep());
        let db = Db::open_embedded(&home.join("t.db"), Arc::new(RealClock), Dice::from_os())?;
        migrate::apply(&db, TABLE).await?;
        let topics = std::slice::from_ref(&topic);
        let (log, other) = (Kafka::open(&settings, topics).await?, Kafka::open(&settings, topics).await?);
        Ok(World { log, other, topic, db })
    };
    hold(ALL, open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_topics_opens() {
    let Some(settings) = settings() else { return };
    Kafka::open(&settings, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_fit_is_refused_with_the_remedy() {
    let Some(settings) = settings() else { return };
    let topic = topic();
    let few = Settings { partitions: 2, ..settings.clone() };
    Kafka::open(&few, std::slice::from_ref(&topic)).await.unwrap();
    let why = Kafka::open(&settings, std::slice::from_ref(&topic)).await.unwrap_err().to_string();
    assert!(why.contains("has 2 partitions, 6 are wanted") && why.contains("kafka-topics --alter"), "{why}");
    let long = Settings { retention_days: 40, ..settings.clone() };
    let why = Kafka::open(&long, &[format!("{topic}-long")]).await.unwrap_err().to_string();
    assert!(why.contains("set its retention.ms to at most 1814400000"), "{why}");
    let nobody = Settings { servers: "127.0.0.1:1".into(), ..settings };
    let why = Kafka::open(&nobody, &[topic]).await.unwrap_err().to_string();
    assert!(why.contains("Kafka"), "{why}");
}
