//! Minding what the bank says: a look at an account before a payment is durable, and limits to the last won.

use std::time::Duration;

use jangbu_contracts::deposit::{Command, Posting};
use jangbu_kernel::id::AccountId;

use super::Hand;
use crate::client::{Answer, KRW, Said};
use crate::teller::Teller;

/// How long after a payment was sent its account is looked at, at most, in microseconds: often before its flush.
const GLANCE_US_MAX: u64 = 4_000;
/// Payments that try to pass a limit.
const SPENT_AGAIN: usize = 4;

impl Hand {
    /// Posts a command; now and then somebody looks at one of its accounts meanwhile.
    pub(super) async fn post(&self, instance: &str, teller: &Teller, key: &str, command: &Command) -> Answer<Posting> {
        let account = match command {
            Command::Credit { account, .. } | Command::Debit { account, .. } => Some(*account),
            Command::Transfer { from, .. } => Some(*from),
            _ => None,
        };
        let Some(account) = account.filter(|_| self.now_and_then(self.habits.glance_per_mille)) else {
            return teller.post(instance, key, command).await;
        };
        let pause = Duration::from_micros(self.dice.below(GLANCE_US_MAX));
        let glance = async {
            tokio::time::sleep(pause).await;
            teller.glance(instance, account).await;
        };
        tokio::join!(teller.post(instance, key, command), glance).0
    }

    /// Pays, undoes it, and pays as much again until a limit says no: undoing gives back what was taken, and no more.
    pub(super) async fn regret(&mut self, service: &Teller, account: AccountId) -> bool {
        let debit = Command::Debit { account, amount: self.amount(), target: "cash".to_owned(), memo: None };
        let paid = service.post(KRW, &self.town.keys.next(), &debit).await;
        let Said::Reply(paid) = paid.said else { return !matches!(paid.said, Said::Unknown(_)) };
        let undo = Command::Reversal { posting: paid.id, reason: "a mistake".to_owned() };
        let mut answered = true;
        for command in std::iter::once(&undo).chain(std::iter::repeat_n(&debit, SPENT_AGAIN)) {
            let answer = service.post(KRW, &self.town.keys.next(), command).await;
            answered &= !matches!(answer.said, Said::Unknown(_));
        }
        answered
    }
}
