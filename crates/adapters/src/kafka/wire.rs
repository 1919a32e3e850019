//! Events as Kafka's messages: the key is the key, the payload is the payload, identity and type are headers.

use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::Event;
use jangbu_platform::log::Record;
use rdkafka::message::{Header, Headers as _, Message, OwnedHeaders};

const ID: &str = "event-id";
const TYPE: &str = "event-type";

/// The headers of an event.
pub(super) fn headers(event: &Event) -> OwnedHeaders {
    let id = event.id.to_string();
    let headers = OwnedHeaders::new_with_capacity(2).insert(Header { key: ID, value: Some(&id) });
    headers.insert(Header { key: TYPE, value: Some(&event.event_type) })
}

/// A message as a record. One that another program wrote, without our headers, has no type that anybody takes and an
/// id of its place: so it is parked for an operator to look at, once.
pub(super) fn record(message: &impl Message) -> Record {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let header = |name: &str| message.headers()?.iter().find(|header| header.key == name)?.value;
    let id = header(ID).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    let part = u32::try_from(message.partition()).unwrap_or(0);
    let place = || {
        let offset = u128::from(message.offset().unsigned_abs());
        EventId::from_parts(0, u128::from(part) << 64 | offset)
    };
    let millis = message.timestamp().to_millis().unwrap_or(0);
    Record {
        part,
        offset: message.offset(),
        event: Event {
            id: id.unwrap_or_else(place),
            topic: message.topic().to_owned(),
            key: text(message.key()),
            event_type: text(header(TYPE)),
            payload: text(message.payload()),
        },
        appended_at: Timestamp::from_micros(millis * 1_000),
    }
}

/// Gives records' topics the names that the bank knows.
pub(super) fn without(records: &mut [Record], prefix: &str) {
    for record in records.iter_mut().filter(|_| !prefix.is_empty()) {
        if let Some(name) = record.event.topic.strip_prefix(prefix) {
            record.event.topic = name.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp as KafkaTimestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    #[test]
    fn an_event_comes_back_as_it_went() {
        let event = Event {
            id: EventId::from_parts(7, 9),
            topic: "t".into(),
            key: "acc_1".into(),
            event_type: "thing.v1".into(),
            payload: "{\"a\":\"가\"}".into(),
        };
        let message = |headers| {
            let (key, payload) = (event.key.clone().into_bytes(), event.payload.clone().into_bytes());
            OwnedMessage::new(Some(payload), Some(key), "t".into(), KafkaTimestamp::CreateTime(12), 3, 44, headers)
        };
        let back = record(&message(Some(headers(&event))));
        assert_eq!((back.event, back.part, back.offset), (event.clone(), 3, 44));
        assert_eq!(back.appended_at.micros(), 12_000);
        let foreign = record(&message(None)).event;
        assert_eq!((foreign.event_type.as_str(), foreign.id), ("", EventId::from_parts(0, (3 << 64) | 44)));
    }
}
