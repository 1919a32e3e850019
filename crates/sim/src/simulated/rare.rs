//! What is rare, and must have been met all the same: a simulation that never comes to a place proves nothing about it.
//!
//! Production code and the simulator note these places by [`jangbu_platform::probe::reached`].

use std::collections::BTreeMap;

/// Rare events by name, each with what it is.
pub const EVENTS: &[(&str, &str)] = &[
    ("node-died-under-a-request", "Somebody's request was being answered when its node died."),
    (
        "node-died-at-an-await-of-a-request",
        "A node died between two steps of an answer, at a place where it waited for nothing of the disk.",
    ),
    ("node-died-at-an-await-of-its-relay", "A node died while its relay was at work."),
    ("node-died-at-an-await-of-a-consumer", "A node died while it took events."),
    ("node-died-at-an-await-of-a-job", "A node died in the midst of regular work."),
    ("node-died-while-it-started", "A node died again before it stood."),
    ("node-died-while-its-tables-were-made", "A node died between two statements of a migration."),
    ("node-died-between-flush-and-answer", "Work was durable and its flow knew, but whoever asked was never told."),
    ("node-died-between-outbox-and-log", "Events were committed with their cause and had not left when the node died."),
    ("node-died-between-log-and-mark", "Events had left, and the node died before it noted so: they leave twice."),
    (
        "node-died-between-events-and-their-offset",
        "Events were applied, and the node died before the broker heard so: they come again.",
    ),
    ("all-nodes-crashed-at-once", "The whole bank lost its power."),
    ("journal-torn-in-its-last-write", "Of the last write to a journal only a part reached the disk."),
    ("journal-moved-into-the-file-whole", "The journal was moved into the file to its end and begins anew."),
    ("flush-shared-by-several-flows", "Several flows became durable by one flush."),
    ("flush-durable-and-nobody-told", "A flush reached the disk, and the node died before it heard so."),
    ("flush-failed-under-one-flow", "A flush failed under a flow that was alone."),
    ("flush-failed-under-several-flows", "A flush failed under several flows, all of which were told so."),
    ("batches-refused-with-their-generation", "Batches decided on top of what was lost were refused with it."),
    ("batches-written-by-one-unit-of-work", "Several decided batches shared one unit of work."),
    (
        "batch-of-several-callers-tried-by-halves",
        "A batch that met a fault was tried by halves, so that not all callers had to pay for it.",
    ),
    (
        "memory-read-anew-after-a-lost-flush",
        "An instance threw away its memory since a flush had failed, and read the store.",
    ),
    (
        "memory-read-with-balances-not-written-back",
        "An instance rebuilt balances from the postings since they were last written back.",
    ),
    (
        "memory-read-in-the-midst-of-writing-back",
        "An instance rebuilt balances of which some had been written back and some had not.",
    ),
    ("writing-back-goes-on-where-it-was-left", "Writing balances back went on after it had been cut off by a fault."),
    ("double-tap-decided-in-one-batch", "The same request came twice and both were decided by the same batch."),
    ("hold-settled-twice-in-one-batch", "Two commands settled the same hold within one batch."),
    ("hold-lapsed-while-its-instance-was-down", "A hold's time passed while nobody was there to release it."),
    ("capture-to-be-undone", "A reversal named the capture of a hold."),
    (
        "claim-that-lost-to-another-at-once",
        "Two asked for the same interest at once under keys of their own, and one of them was refused.",
    ),
    ("claim-in-the-last-microsecond-of-a-day", "A claim was sent at 23:59:59.999999."),
    ("claim-in-the-first-microsecond-of-a-day", "A claim was sent at the instant of midnight."),
    ("claim-sent-before-midnight-and-answered-after", "A claim was under way while the day ended."),
    ("claim-of-unknown-outcome-told-so", "The channel did not know whether a claim had paid, and said so."),
    (
        "claim-through-the-channel-asked-again",
        "The fate of a claim was learnt by asking the channel again under the same key.",
    ),
    ("clock-of-a-node-stepped-back", "A node's clock stepped back."),
    ("clock-of-a-node-stepped-back-over-midnight", "A node's clock stepped back into the day that had ended."),
    ("nodes-on-different-days", "Two nodes did not agree on what day it was."),
    (
        "preview-sought-again-since-midnight-passed",
        "Midnight passed while a preview was sought, which was then sought again.",
    ),
    ("preview-in-the-cache-overtaken", "The cache held a preview that a claim or midnight had overtaken."),
    ("cache-gave-an-older-value", "The cache gave a value that had been replaced."),
    ("cache-out-of-reach", "The cache could not be reached."),
    ("cache-wiped", "The cache lost all it held."),
    ("call-between-services-past-its-deadline", "A service gave up waiting for another."),
    ("call-between-services-tried-again", "A call that had taken no effect was tried again."),
    ("call-turned-away-by-a-full-house", "A service had as many calls under way as it takes, and turned one away."),
    ("key-in-use-at-the-edge", "A request came while the same one was still being answered."),
    ("request-delivered-twice-at-once", "The network delivered a request twice at the same instant."),
    (
        "request-delivered-twice-one-after-the-other",
        "The network delivered a request again after it had been answered.",
    ),
    ("request-that-never-arrived", "A request never arrived, and its key told so."),
    ("answer-lost-and-asked-for-by-its-key", "An answer was lost, and the request's key told what had become of it."),
    (
        "office-asked-again-until-it-was-answered",
        "An operator's request had to be sent again, and had its effect once.",
    ),
    ("account-opened-in-the-midst-of-life", "An account was opened while things went wrong."),
    ("account-closed-in-the-midst-of-life", "An account was closed while things went wrong."),
    ("terms-changed-from-the-next-day-on", "A product was given other terms that hold from midnight on."),
    (
        "standing-asked-for-before-its-event-came",
        "An instance met a customer before the event that tells of him, and asked.",
    ),
    (
        "standing-not-newer-than-the-one-held",
        "A customer's standing came that was older than what was known, or the same.",
    ),
    ("events-appended-but-not-acknowledged", "The broker kept events, and the acknowledgement was lost."),
    ("events-appended-in-part", "The broker kept the first of several events, and lost the others."),
    ("events-appended-twice-by-the-broker", "The broker kept the same events twice."),
    ("events-given-again-after-they-were-taken", "The broker gave events again that had been taken."),
    ("events-given-again-after-a-day", "The broker gave events again that had been taken on an earlier day."),
    (
        "event-came-again-after-its-inbox-row",
        "An event came again, and its inbox row kept it from having its effect twice.",
    ),
    ("events-taken-by-halves", "A batch of events failed and was tried by halves."),
    (
        "events-taken-by-a-member-that-had-lost-them",
        "A member of a group had applied events whose partition had gone to another meanwhile.",
    ),
    ("partition-taken-from-a-member-at-work", "The broker took a partition from a member at work."),
    ("offset-not-kept-after-events-were-taken", "Events were applied, and the broker did not keep their offset."),
    ("consumer-paused-and-set-going-again", "A consumer was paused for a while."),
    ("event-parked", "An event could not be taken and was parked."),
    ("event-parked-behind-another-of-its-key", "An event was parked since an earlier one of its key was."),
    ("dead-letter-driven-again", "An operator drove a parked event again."),
    (
        "dead-letter-driven-with-those-behind-it",
        "An operator drove a parked event again, and those of its key that had queued behind it.",
    ),
    ("dead-letter-rejected-again", "A parked event that was driven again was rejected again."),
    ("inbox-forgot-events-of-long-ago", "A consumer forgot events that it had taken more than thirty days ago."),
    ("exchange-answered-before-it-was-decided", "Whoever asked for an exchange was told that it goes on."),
    (
        "exchange-refused-since-another-was-under-way",
        "Of two exchanges of a customer at the same time one was refused at once.",
    ),
    ("exchange-without-a-turn", "An exchange went on without a turn, since the shared store could not be reached."),
    (
        "exchanges-met-at-the-row-of-their-quote",
        "Two exchanges were on their way with one quote, and the second found it used under its lock.",
    ),
    ("lease-lost-while-held", "A lease was lost, and whoever held it did not know."),
    ("exchange-checked-again-by-an-operator", "An operator had an exchange checked again that waited."),
    ("exchange-of-unknown-fate-found-begun", "Nobody had heard of an exchange until its request was sent again."),
    ("exchange-under-way-at-rest-decided-by-itself", "An exchange was not decided when faults ended, and was later."),
    ("saga-left-behind-before-its-first-step", "The sweep took a saga whose beginner had died before its first step."),
    ("saga-turn-taken-over", "Whoever carried a saga on came back after its turn had gone to another."),
    ("withdrawal-of-unknown-outcome-found-made", "A withdrawal whose answer was lost was found to have been made."),
    (
        "withdrawal-of-unknown-outcome-found-not-made",
        "A withdrawal whose answer was lost was found refused, or its key was closed.",
    ),
    ("withdrawal-found-made-too-late", "A withdrawal was found when its exchange was no longer carried on."),
    ("deposit-refused-after-its-withdrawal", "A deposit was refused though its account had been looked at before."),
    ("deposit-of-unknown-outcome-found-made", "A deposit whose answer was lost was found to have been made."),
    (
        "deposit-of-unknown-outcome-found-not-made",
        "A deposit whose answer was lost was found refused, or its key was closed.",
    ),
    ("withdrawal-given-back", "A withdrawal was given back."),
    ("board-changed-between-quote-and-exchange", "A quote was used after another board had been published."),
    (
        "board-in-doubt-decided-by-a-second-person",
        "A board with a price that jumps, or without a currency, was decided by a second person.",
    ),
    ("quote-refused-since-the-board-was-stale", "Nothing was quoted, since there was no board of the last day."),
    ("quote-expired-within-a-second-of-its-use", "A quote was used within a second after its end."),
    ("quote-used-in-its-last-second", "A quote was used within the second before its end."),
    ("exchange-over-midnight", "An exchange began on a day and was decided on the next one."),
    ("exchange-over-the-reset-of-its-limits", "An exchange began before nine and was decided after it."),
    (
        "currency-account-opened-in-the-midst-of-life",
        "An account in a foreign currency was opened while things went wrong.",
    ),
    ("operator-could-not-drive-a-letter", "An operator's look for parked events failed."),
    ("preview-shared-with-one-who-asked-too-early", "A shared preview was begun before the claim that overtook it."),
    ("writing-back-ended-by-memory-read-anew", "Writing balances back met memory that had been read anew."),
    ("withdrawal-to-be-given-back-told-again", "It was told twice that a withdrawal is to be given back."),
];

/// Places that are noted and counted, but so rare that no standard set of runs can be held to them.
pub const SELDOM: &[(&str, &str)] = &[
    ("hold-made-and-settled-in-one-batch", "A hold was settled by the batch that made it."),
    ("lapse-of-a-hold-carried-out-before", "The lapse of a hold was asked for again, since the answer had been lost."),
    (
        "withdrawal-given-back-asked-for-again",
        "A withdrawal that had been given back was asked for again under the same key.",
    ),
    ("key-to-be-closed-had-been-used", "A leg came between the look for it and the closing of its key."),
    (
        "leg-that-came-after-its-key-was-closed",
        "A leg of an exchange came late and took no effect, since its key had been closed.",
    ),
    (
        "limit-kept-by-what-was-under-way",
        "An exchange was refused since others that later failed had reserved the limit.",
    ),
    (
        "file-torn-while-the-journal-was-moved",
        "Of what was moved from the journal into the file only some sectors reached the disk.",
    ),
    ("journal-kept-for-those-who-read-it", "The journal could not be moved to its end since somebody read from it."),
    ("several-flows-lost-with-one-flush", "A node died before the flush that several flows waited for."),
    (
        "posting-dated-by-the-running-day-of-its-account",
        "A request came in on a day, and its account had seen the next one.",
    ),
    (
        "deadline-passed-while-a-call-was-answered",
        "A caller was told that his deadline had passed, while nobody knew of the effect.",
    ),
];

/// Those that were not met, with what they are.
#[must_use]
pub fn missing(counts: &BTreeMap<&str, u64>) -> Vec<(&'static str, &'static str)> {
    EVENTS.iter().filter(|(name, _)| !counts.contains_key(name)).copied().collect()
}

#[cfg(test)]
#[path = "rare_tests.rs"]
mod tests;
