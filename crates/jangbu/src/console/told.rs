//! The last events, as anybody who may see the page may see them: masked.

use jangbu_contracts::customer::StandingChangedV1;
use jangbu_contracts::deposit::{Entry, PostingRecordedV1, Side};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Event, Fault};
use jangbu_platform::log::{Log, Record};

use super::figures::Told;
use super::text::{masked, money};

/// Events shown.
pub const EVENTS_SHOWN_MAX: u32 = 12;

/// The last events of some topics, newest first.
///
/// # Errors
/// The log can't be read.
pub async fn latest(log: &Log, topics: &[String]) -> Result<Vec<Told>, Fault> {
    let mut records: Vec<Record> = Vec::new();
    for topic in topics {
        records.extend(log.latest(topic, EVENTS_SHOWN_MAX).await?);
    }
    records.sort_by_key(|record| std::cmp::Reverse((record.appended_at, record.offset)));
    records.truncate(EVENTS_SHOWN_MAX as usize);
    Ok(records.iter().map(|record| tell(record.appended_at, &record.event)).collect())
}

fn tell(at: Timestamp, event: &Event) -> Told {
    let told = |what: String, who: String, amount: String| Told { at, topic: event.topic.clone(), what, who, amount };
    match event.event_type.as_str() {
        PostingRecordedV1::TYPE => {
            if let Ok(recorded) = serde_json::from_str::<PostingRecordedV1>(&event.payload) {
                let posting = &recorded.posting;
                let amount = format!("{} {}", money(posting.amount, posting.currency), posting.currency);
                return told(posting.kind.clone(), sides(&posting.entries, &event.key), amount);
            }
        }
        StandingChangedV1::TYPE => {
            if let Ok(standing) = serde_json::from_str::<StandingChangedV1>(&event.payload) {
                let what = if standing.version <= 1 { "registered" } else { "standing" };
                let marks = if standing.marks.is_empty() { String::new() } else { standing.marks.join(", ") };
                return told(what.to_owned(), masked(&event.key), marks);
            }
        }
        _ => {}
    }
    told(event.event_type.clone(), masked(&event.key), String::new())
}

/// From the accounts that are debited to those that are credited; `key` where nothing moves.
fn sides(entries: &[Entry], key: &str) -> String {
    let side = |side: Side| {
        let name = |e: &Entry| if e.serial.is_some() { masked(&e.account) } else { e.account.replace('_', " ") };
        entries.iter().filter(|e| e.side == side).map(name).collect::<Vec<_>>().join(" + ")
    };
    match (side(Side::Debit), side(Side::Credit)) {
        (from, to) if from.is_empty() && to.is_empty() => masked(key),
        (from, to) => format!("{from} \u{2192} {to}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jangbu_kernel::id::{EventId, PostingId};
    use jangbu_kernel::money::Currency;

    use super::*;

    fn event(event_type: &str, key: &str, payload: String) -> Event {
        let (id, topic) = (EventId::from_parts(1, 1), "t".to_owned());
        Event { id, topic, key: key.to_owned(), event_type: event_type.to_owned(), payload }
    }

    #[test]
    fn events_are_told_without_names_and_whole_ids() {
        let at = Timestamp::from_micros(0);
        let entry = |account: &str, serial, side| Entry {
            account: account.to_owned(),
            serial,
            side,
            amount: 12_345,
            balance_after: serial.map(|_| 1),
        };
        let mut posting = jangbu_contracts::deposit::Posting {
            id: PostingId::from_parts(1, 1),
            kind: "credit".into(),
            amount: 12_345,
            currency: Currency::USD,
            business_date: "2026-01-01".parse().unwrap(),
            posted_at: at,
            entries: vec![
                entry("acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2F", Some(1), Side::Credit),
                entry("interest_expense", None, Side::Debit),
            ],
            hold: None,
            reverses: None,
            memo: Some("for Hong Gildong".into()),
        };
        let recorded = |posting: &jangbu_contracts::deposit::Posting| {
            let event =
                PostingRecordedV1 { instance: "d".into(), posting: posting.clone(), interest: None, exchange: None };
            serde_json::to_string(&event).unwrap()
        };
        let key = "acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2F";
        let told = tell(at, &event(PostingRecordedV1::TYPE, key, recorded(&posting)));
        assert_eq!((told.what.as_str(), told.who.as_str()), ("credit", "interest expense → acc…7Q2F"));
        assert_eq!(told.amount, "123.45 USD");
        posting.entries.clear();
        assert_eq!(tell(at, &event(PostingRecordedV1::TYPE, key, recorded(&posting))).who, "acc…7Q2F");
        let odd = tell(at, &event("x.v9", key, "?".into()));
        assert_eq!((odd.what.as_str(), odd.who.as_str()), ("x.v9", "acc…7Q2F"));
    }
}
