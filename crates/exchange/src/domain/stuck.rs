//! What the bank's people are told of exchanges that are not decided, and to what they may force them.

use jangbu_kernel::id::PostingId;
use serde::{Deserialize, Serialize};

use super::plan::State;

/// How long an exchange may take before it counts as stuck, in microseconds: a minute.
pub const STUCK_US: i64 = 60_000_000;

/// What helps an exchange that stands in that state. `person` says that it does not go on by itself.
#[must_use]
pub fn remedy(state: &str, person: bool) -> &'static str {
    match (state, person) {
        ("WITHDRAW_CANCEL_NEEDED", true) => {
            "The books refused to give the withdrawal back. Remove what the reason names, have the withdrawal undone (a \
             reversal), then let two persons force EXCHANGE_FAILED."
        }
        ("WITHDRAW_CANCEL_NEEDED", false) => {
            "The withdrawal is being given back. See that the deposit service runs, takes its events and has none of \
             them parked; then re-check."
        }
        ("WITHDRAW_RESULT_CHECK_NEEDED" | "DEPOSIT_RESULT_CHECK_NEEDED", _) => {
            "The books have not said what became of a command. See that the deposit service answers, then re-check."
        }
        (_, true) => {
            "It can't go on by itself. Remove what the reason names and re-check; else look at both accounts, and let \
             two persons force what the books say."
        }
        (_, false) => "Its next step is due. See that the exchange service runs and its store takes writes.",
    }
}

/// What the books say of one of the two movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// It was made and stands.
    Stands(PostingId),
    /// It was made and undone.
    Undone(PostingId),
    /// It was refused, or its key is closed: it never will be made.
    Never,
    /// There is no such command yet; one may be on its way.
    Open,
}

impl Fact {
    fn said(self, leg: &str) -> String {
        match self {
            Fact::Stands(posting) => format!("the {leg} {posting} stands"),
            Fact::Undone(posting) => format!("the {leg} {posting} was undone"),
            Fact::Never => format!("there is no {leg} and never will be"),
            Fact::Open => format!("no {leg} has come in yet"),
        }
    }
}

/// What the books say of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// From the customer.
    pub withdrawal: Fact,
    /// To the customer.
    pub deposit: Fact,
}

impl Facts {
    /// What the books say, for people.
    #[must_use]
    pub fn said(self) -> String {
        format!("{}; {}", self.withdrawal.said("withdrawal"), self.deposit.said("deposit"))
    }

    /// The postings of an exchange that succeeded; none when it did not, or may still fail.
    #[must_use]
    pub fn succeeded(self) -> Option<State> {
        match (self.withdrawal, self.deposit) {
            (Fact::Stands(withdrawal), Fact::Stands(deposit)) => Some(State::ExchangeSucceeded { withdrawal, deposit }),
            _ => None,
        }
    }

    /// Whether nothing moved, or all of it was undone, and that stays so.
    #[must_use]
    pub fn failed(self) -> bool {
        let nothing = |fact| matches!(fact, Fact::Never | Fact::Undone(_));
        nothing(self.withdrawal) && nothing(self.deposit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_books_say_of_both_ends_an_exchange() {
        let posting = |n| PostingId::from_parts(1, n);
        let all = |n| [Fact::Stands(posting(n)), Fact::Undone(posting(n)), Fact::Never, Fact::Open];
        let mut ends = Vec::new();
        for withdrawal in all(1) {
            for deposit in all(2) {
                let facts = Facts { withdrawal, deposit };
                ends.push((facts.succeeded().is_some(), facts.failed()));
            }
        }
        let (none, succeeded, failed) = ((false, false), (true, false), (false, true));
        #[rustfmt::skip]
        let expected = [
            // The deposit stands, was undone, never will be, is open; while the withdrawal stands,
            succeeded, none, none, none,
            // was undone,
            none, failed, failed, none,
            // never will be,
            none, failed, failed, none,
            // is open.
            none, none, none, none,
        ];
        assert_eq!(ends, expected);
    }
}
