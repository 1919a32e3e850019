//! Breaks: places where two books that must agree differ, and how a proof of the books tells of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Breaks of a level that are told; more are only counted.
pub const BREAKS_TOLD_MAX: u64 = 25;

/// Which books are held against each other: the left one is named first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The schema that the program needs, and the one there is.
    Schema,
    /// Each posting, and the ones before it on its accounts.
    Entries,
    /// Entries, and the balances kept of accounts.
    Balances,
    /// Postings that hold and settle, and the holds kept.
    Holds,
    /// Postings that undo, and the notes of what was undone.
    Reversals,
    /// Postings that pay interest, and the payments kept.
    Interest,
    /// Entries, and the rows of days.
    Days,
    /// Customers' legs, and the legs of the bank's own accounts.
    Sums,
    /// Postings, and the ranges that wait to be told.
    Outbox,
    /// Journals, and the totals and tax rows kept of them.
    Journals,
    /// Postings, and the journals made from them; customers' balances, and the control account.
    Control,
    /// Decisions and legs of exchanges, and the positions and profits kept of them.
    Positions,
    /// Exchanges, and what was booked of their decisions; legs in won, and legs in the currency.
    Exchanges,
    /// Deeds of operators, and the chain written of them.
    Audit,
    /// Events told, and those taken.
    Events,
}

/// How two books differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The right book has what the left one lacks.
    MissingLeft,
    /// The left book has what the right one lacks.
    MissingRight,
    /// Both have it, and the figures differ.
    Amount,
    /// It is there twice.
    Duplicate,
    /// Books stand that no decision explains.
    Undecided,
    /// It can't be what it says, whatever other books hold: a pointer, a kind, a date.
    Damaged,
    /// One book is behind and will follow: not a break.
    Timing,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// Which books.
    pub level: Level,
    /// How they differ.
    pub class: Class,
    /// What it is about: an id, or a place in a book.
    pub subject: String,
    /// What was met, and what should be.
    pub detail: String,
}

/// The breaks of a proof: counted, and the first of each level told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaks {
    counts: BTreeMap<(Level, Class), u64>,
    /// The first of each level.
    pub told: Vec<Break>,
}

impl Breaks {
    /// Notes one; `detail` is only made when it will be told.
    pub fn add(&mut self, level: Level, class: Class, subject: impl ToString, detail: impl FnOnce() -> String) {
        let before: u64 = self.counts.iter().filter(|((l, _), _)| *l == level).map(|(_, n)| n).sum();
        *self.counts.entry((level, class)).or_default() += 1;
        if before < BREAKS_TOLD_MAX {
            self.told.push(Break { level, class, subject: subject.to_string(), detail: detail() });
        }
    }

    /// Takes over what another proof found.
    pub fn take(&mut self, other: Breaks) {
        for (key, n) in other.counts {
            *self.counts.entry(key).or_default() += n;
        }
        self.told.extend(other.told);
    }

    /// How many there are; what is only behind is none.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().filter(|((_, class), _)| *class != Class::Timing).map(|(_, n)| n).sum()
    }

    /// How many there are at a level, of a class.
    #[must_use]
    pub fn of(&self, level: Level, class: Class) -> u64 {
        self.counts.get(&(level, class)).copied().unwrap_or(0)
    }

    /// How many there are, by level and class.
    pub fn counts(&self) -> impl Iterator<Item = (Level, Class, u64)> {
        self.counts.iter().map(|((level, class), n)| (*level, *class, *n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_told() {
        let mut breaks = Breaks::default();
        breaks.add(Level::Control, Class::Timing, "deposit-krw", || "3 postings are on their way".into());
        assert_eq!(breaks.count(), 0, "what is behind is no break");
        for serial in 0..150 {
            breaks.add(Level::Entries, Class::Amount, serial, || "other".into());
        }
        breaks.add(Level::Entries, Class::Duplicate, 150, || unreachable!("nobody will read it"));
        breaks.add(Level::Days, Class::MissingRight, "acc", || "no row".into());
        assert_eq!((breaks.count(), breaks.told.len() as u64), (152, 1 + BREAKS_TOLD_MAX + 1));
        assert_eq!(breaks.of(Level::Entries, Class::Amount), 150);
        assert_eq!(breaks.counts().count(), 4);
    }
}
