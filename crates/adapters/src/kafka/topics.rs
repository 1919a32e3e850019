//! Topics: made when missing, looked at when there.

use std::collections::BTreeMap;
use std::time::Duration;

use jangbu_platform::db::Fault;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::{Settings, fault};

/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Looks for topics that were just made, before it gives up.
const LOOKS_MAX: u32 = 100;
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// Longest that a topic may keep events, days. Inboxes know repeats for thirty days, and Kafka deletes by whole segments
/// of up to seven: what is kept longer could come again to somebody who has forgotten it.
pub const RETENTION_DAYS_MAX: u32 = 21;

fn refused(topic: &str, why: &str) -> Fault {
    Fault::Storage { doing: format!("looking at topic {topic}"), why: why.to_owned() }
}

/// Sees to it that topics are there and fit.
pub(super) async fn ensure(config: &ClientConfig, settings: &Settings, topics: &[String]) -> Result<(), Fault> {
    if topics.is_empty() {
        return Ok(()); // who tells and hears nothing has no need of brokers
    }
    let client: AdminClient<DefaultClientContext> = config.create().map_err(|e| fault("looking at topics", &e))?;
    let admin = std::sync::Arc::new(client);
    let there = parts(&admin).await?;
    let missing: Vec<&String> = topics.iter().filter(|topic| !there.contains_key(*topic)).collect();
    make(&admin, settings, &missing).await?;
    let mut there = parts(&admin).await?;
    for _ in 0..LOOKS_MAX {
        if topics.iter().all(|topic| there.contains_key(topic)) {
            break;
        }
        tokio::time::sleep(LOOK).await;
        there = parts(&admin).await?;
    }
    for topic in topics {
        let Some(parts) = there.get(topic) else { return Err(refused(topic, "it was made and does not show up")) };
        if *parts < settings.partitions {
            let want = settings.partitions;
            let why = format!(
                "it has {parts} partitions, {want} are wanted: stop who writes it, let consumers take what is there (keys \
                 move to other partitions), then `kafka-topics --alter --topic {topic} --partitions {want}`, or ask for \
                 fewer by `partitions` under [kafka]"
            );
            return Err(refused(topic, &why));
        }
    }
    look(&admin, topics).await
}

/// Topics with the number of their partitions; those without leaders yet are left out.
async fn parts(admin: &std::sync::Arc<AdminClient<DefaultClientContext>>) -> Result<BTreeMap<String, u32>, Fault> {
    let admin = std::sync::Arc::clone(admin);
    let found = super::blocking(move || admin.inner().fetch_metadata(None, ASK_MAX)).await?;
    let found = found.map_err(|e| fault("looking for topics", &e))?;
    let led = found.topics().iter().filter(|topic| {
        topic.error().is_none() && !topic.partitions().is_empty() && topic.partitions().iter().all(|p| p.leader() >= 0)
    });
    Ok(led.map(|t| (t.name().to_owned(), u32::try_from(t.partitions().len()).unwrap_or(u32::MAX))).collect())
}

async fn make(
    admin: &AdminClient<DefaultClientContext>,
    settings: &Settings,
    missing: &[&String],
) -> Result<(), Fault> {
    if missing.is_empty() {
        return Ok(());
    }
    let retention = (u64::from(settings.retention_days) * DAY_MS).to_string();
    let replicas = settings.replicas.map_or(-1, i32::from); // -1 is what the broker has for topics of no wish
    let parts = i32::try_from(settings.partitions).unwrap_or(i32::MAX);
    fn new<'a>(name: &'a str, parts: i32, replicas: i32, retention: &'a str) -> NewTopic<'a> {
        let topic = NewTopic::new(name, parts, TopicReplication::Fixed(replicas));
        topic.set("cleanup.policy", "delete").set("retention.ms", retention)
    }
    let topics: Vec<_> = missing.iter().map(|name| new(name, parts, replicas, &retention)).collect();
    let options = AdminOptions::new().operation_timeout(Some(ASK_MAX));
    let made = admin.create_topics(&topics, &options).await.map_err(|e| fault("making topics", &e))?;
    for made in made {
        match made {
            Ok(name) => tracing::info!(topic = name, partitions = parts, "a topic was made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {} // another process was faster
            Err((name, code)) => return Err(refused(&name, &format!("it can't be made: {code}"))),
        }
    }
    Ok(())
}

/// Looks at rules that could lose events or bring them again too late.
async fn look(admin: &AdminClient<DefaultClientContext>, topics: &[String]) -> Result<(), Fault> {
    let wanted: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ASK_MAX));
    let found = admin.describe_configs(&wanted, &options).await.map_err(|e| fault("looking at topics", &e))?;
    for (topic, found) in topics.iter().zip(found) {
        let found = found.map_err(|code| refused(topic, &format!("its configuration can't be read: {code}")))?;
        let value =
            |name: &str| ConfigResource::get(&found, name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        if value("cleanup.policy") != "delete" {
            let why = "its cleanup.policy would lose events that others follow; set it to delete";
            return Err(refused(topic, why));
        }
        let longest = u64::from(RETENTION_DAYS_MAX) * DAY_MS;
        let kept = value("retention.ms").parse::<u64>().ok(); // -1 is for ever
        if kept.is_none_or(|kept| kept > longest) {
            let why = format!(
                "it keeps events longer than {RETENTION_DAYS_MAX} days, but who took one forgets it after thirty: set its \
                 retention.ms to at most {longest}"
            );
            return Err(refused(topic, &why));
        }
    }
    Ok(())
}
