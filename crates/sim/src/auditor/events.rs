//! Holds what the bank told on its log against the model: every posting once in effect, in the order of its account,
//! with the figures that the model has, and nothing besides.

use std::collections::HashMap;

use jangbu_contracts::deposit::{Entry, Posting, PostingRecordedV1};
use jangbu_kernel::id::{AccountId, PostingId};
use jangbu_platform::db::Event;

use super::Auditor;
use crate::model::{self, Model};

impl Auditor {
    /// Compares all events of postings that were ever told, partition by partition, with the model. All must be at rest
    /// and judged.
    ///
    /// # Errors
    /// All that differs.
    pub fn events(&self, told: &[Event]) -> Result<(), Vec<String>> {
        let state = self.state();
        let mut differences = Vec::new();
        let mut first: HashMap<PostingId, &Event> = HashMap::new();
        let mut last: HashMap<(&str, &str), u128> = HashMap::new();
        for event in told {
            let recorded = match serde_json::from_str::<PostingRecordedV1>(&event.payload) {
                Ok(recorded) if event.event_type == PostingRecordedV1::TYPE => recorded,
                _ => {
                    differences.push(format!("event {} of {} can't be read", event.id, event.topic));
                    continue;
                }
            };
            let id = recorded.posting.id;
            if let Some(before) = first.get(&id) {
                if *before != event {
                    differences.push(format!("{id} was told as {before:?}, then as {event:?}"));
                }
                continue;
            }
            first.insert(id, event);
            let last = last.entry((&event.topic, &event.key)).or_default();
            if id.rest() <= *last {
                differences.push(format!("{id} was told after a later posting of {}", event.key));
            }
            *last = id.rest().max(*last);
            if let Err(why) = right(&state.model, &recorded) {
                differences.push(format!("the event of {id}: {why}"));
            }
        }
        let mut missing: Vec<&PostingId> = state.model.postings.keys().filter(|id| !first.contains_key(id)).collect();
        missing.sort_unstable();
        differences.extend(missing.iter().map(|id| format!("{id} was never told: {:?}", state.model.postings[id])));
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }
}

fn right(model: &Model, recorded: &PostingRecordedV1) -> Result<(), String> {
    let posting = &recorded.posting;
    let Some(done) = model.postings.get(&posting.id) else {
        return if is_lapse(model, posting) { Ok(()) } else { Err(format!("there is no such posting: {posting:?}")) };
    };
    let said = (posting.kind.as_str(), posting.amount, posting.business_date);
    if said != (done.kind.as_str(), done.amount, done.date) {
        return Err(format!("kind, amount, day are {said:?}, should be {done:?}"));
    }
    let paid = recorded.interest.as_ref().map(|paid| model::Paid {
        from: paid.from,
        to: paid.to,
        due: model::interest::Due { gross: paid.gross, income_tax: paid.income_tax, local_tax: paid.local_tax },
    });
    if paid != done.paid {
        return Err(format!("it pays {paid:?}, should pay {:?}", done.paid));
    }
    let customers: Vec<&Entry> = posting.entries.iter().filter(|entry| entry.serial.is_some()).collect();
    if customers.len() != done.debit.iter().chain(&done.credit).count() {
        return Err(format!("it has the entries {customers:?}, should be of {done:?}"));
    }
    customers.into_iter().try_for_each(|entry| entered(model, posting, entry))
}

/// A hold that lapsed by itself is released by the bank: the model lets go of it without a posting.
fn is_lapse(model: &Model, posting: &Posting) -> bool {
    let hold = posting.hold.and_then(|hold| model.holds.get(&hold));
    posting.kind == "release" && hold.is_some_and(|hold| hold.until.is_some_and(|until| until <= posting.posted_at))
}

fn entered(model: &Model, posting: &Posting, entry: &Entry) -> Result<(), String> {
    let account = entry.account.parse::<AccountId>().ok().and_then(|id| model.accounts.get(&id));
    let at = entry.serial.and_then(|serial| usize::try_from(serial).ok()?.checked_sub(1));
    let ours = account.zip(at).and_then(|(account, at)| account.entries.get(at));
    let said = entry.balance_after.map(|balance_after| model::Entry {
        posting: posting.id,
        kind: posting.kind.clone(),
        side: entry.side,
        amount: entry.amount,
        balance_after,
        date: posting.business_date,
        memo: posting.memo.clone(),
    });
    if said.as_ref() == ours { Ok(()) } else { Err(format!("an entry is {entry:?}, should be {ours:?}")) }
}
