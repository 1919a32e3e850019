//! A decided batch, and what is written of it.

use jangbu_kernel::id::InterestId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::defect::planted;

use super::Outcome;
use crate::domain::book::{Day, Hold};
use crate::domain::command::Command;
use crate::domain::decide::{Decided, Posting, Refusal};
use crate::domain::interest::Interest;
use crate::ledger::{Ledger, State};
use crate::store;
use crate::store::postings::NewRow;

/// A decided batch with all that is to be written of it.
pub(crate) struct Batch {
    pub(super) commands: Vec<Command>,
    /// One per command.
    pub(super) outcomes: Vec<Outcome>,
    /// When it was decided, microseconds UTC.
    pub(super) at: i64,
    /// Commands that make a row, with its place.
    pub(super) fresh: Vec<(usize, u64)>,
    pub(super) ended: Vec<(u64, Day, u64)>,
    pub(super) holds: Vec<Hold>,
}

impl Batch {
    pub(super) fn new(now: Timestamp, commands: usize) -> Self {
        Self {
            commands: Vec::new(),
            outcomes: Vec::with_capacity(commands),
            at: now.micros(),
            fresh: Vec::with_capacity(commands),
            ended: Vec::new(),
            holds: Vec::new(),
        }
    }

    /// Collects what a decision writes.
    pub(super) fn note(
        &mut self,
        state: &mut State,
        at: usize,
        seq: u64,
        decided: Decided,
    ) -> Result<Posting, Refusal> {
        if decided.outcome.is_ok() || !planted("refusal-not-kept") {
            self.fresh.push((at, seq));
        }
        self.ended.extend(decided.ended);
        self.holds.extend(decided.hold);
        let posting = decided.outcome?;
        for leg in [posting.debit, posting.credit].into_iter().flatten() {
            state.touch(leg.account);
        }
        Ok(posting)
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// The unit of work must be dropped.
    pub(crate) async fn store(&self, tx: &mut Tx) -> Result<(), Fault> {
        store::postings::insert(tx, &self.rows()).await?;
        self.store_beside(tx).await
    }

    /// The rows of its postings and refusals, in order.
    pub(super) fn rows(&self) -> Vec<NewRow<'_>> {
        let row = |(i, seq): &(usize, u64)| {
            let command = &self.commands[*i];
            NewRow {
                seq: *seq,
                key: &command.key,
                hash: command.hash,
                kind: command.action.kind(),
                date: command.date,
                at: self.at,
                memo: command.memo.as_deref(),
                outcome: match &self.outcomes[*i] {
                    Outcome::Posted(posted, _) => Ok(&posted.posting),
                    Outcome::Refused(refusal, _) => Err(refusal_text(refusal).into()),
                    Outcome::KeyReused => Err("".into()),
                },
            }
        };
        self.fresh.iter().map(row).collect()
    }

    /// Writes all of it but the rows of its postings.
    pub(super) async fn store_beside(&self, tx: &mut Tx) -> Result<(), Fault> {
        store::days::insert(tx, &self.ended).await?;
        store::days::insert_interest(tx, &self.paid()).await?;
        for hold in &self.holds {
            store::days::put_hold(tx, hold).await?;
        }
        if let (Some((_, first)), Some((_, last))) = (self.fresh.first(), self.fresh.last()) {
            store::outbox::insert(tx, *first, *last).await?;
        }
        Ok(())
    }

    /// Its interest payments: posting, account, id, figures.
    fn paid(&self) -> Vec<(u64, u64, InterestId, &Interest)> {
        let paid = |(i, seq): &(usize, u64)| match &self.outcomes[*i] {
            Outcome::Posted(posted, _) => {
                let (id, leg, interest) = (posted.interest?, posted.posting.credit?, posted.posting.interest.as_ref()?);
                Some((*seq, leg.account, id, &**interest))
            }
            _ => None,
        };
        self.fresh.iter().filter_map(paid).collect()
    }

    /// The outcomes, once they are durable.
    pub(super) fn answer(self, ledger: &Ledger) -> Vec<Outcome> {
        ledger.flushed(self.fresh.last().map_or(0, |(_, seq)| *seq));
        self.outcomes
    }
}

/// A refusal as it is kept: a line per failure, code and text.
fn refusal_text(refusal: &Refusal) -> String {
    refusal.iter().map(|(code, why)| format!("{} {why}\n", code.as_str())).collect()
}

pub(super) fn refusal_from(text: &str) -> Refusal {
    let line = |line: &str| {
        let (code, why) = line.split_once(' ')?;
        Some((jangbu_contracts::codes::Code::parse(code)?, why.to_owned()))
    };
    text.lines().filter_map(line).collect()
}
