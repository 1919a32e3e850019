//! Giving back withdrawals of exchanges that failed: told by event, written down by the unit of work that takes it, and
//! carried out behind it as a command like any other, under the key that the exchange asks for.

use jangbu_contracts::deposit::Command as Wire;
use jangbu_contracts::exchange::{CALLER, WithdrawalGivenUpV1};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::consumer::Reject;
use jangbu_platform::db::{Event, Fault, Key, Tx};
use jangbu_platform::http::is_key;
use jangbu_platform::probe;

use super::post::Outcome;
use crate::api::wire;
use crate::combiner::Combiner;
use crate::domain::command::Command;
use crate::ledger::Ledger;
use crate::store::given_up::{self, GivenUp};

/// Withdrawals given back by one look at most.
const PER_LOOK_MAX: u32 = 500;

fn command(ledger: &Ledger, given_up: &GivenUp, now: Timestamp) -> Result<Command, String> {
    let key = Key { caller: CALLER.to_owned(), key: given_up.key.clone() };
    let command = Wire::Reversal { posting: given_up.posting, reason: given_up.reason.clone() };
    wire::command(ledger, &key, command, now).map_err(|refused| refused.0.detail)
}

/// Writes down what is to be given back here; what another instance withdrew is not this one's.
///
/// # Errors
/// The event can't be taken, or the engine failed.
pub async fn keep(tx: &mut Tx, ledger: &Ledger, event: &Event) -> Result<(), Reject> {
    let told: WithdrawalGivenUpV1 = serde_json::from_str(&event.payload).map_err(|e| Reject::Poison(e.to_string()))?;
    if told.instance != ledger.instance {
        return Ok(());
    }
    let given_up = GivenUp { key: told.key, posting: told.withdrawal, reason: told.reason };
    if !is_key(&given_up.key) {
        return Err(Reject::Poison(format!("{:?} is no key", given_up.key)));
    }
    command(ledger, &given_up, tx.now()).map_err(Reject::Poison)?;
    let _ = given_up::insert(tx, &given_up).await?; // told before, it waits already
    Ok(())
}

/// Gives back what was written down. A crash in between repeats it under the same key.
///
/// # Errors
/// The engine failed; what was not given back is tried again.
pub async fn give_back(ledger: &Ledger, combiner: &Combiner, now: Timestamp) -> Result<(), Fault> {
    let mut tx = ledger.db.read("deposit.given_up").await?;
    let waiting = given_up::first(&mut tx, PER_LOOK_MAX).await?;
    drop(tx);
    if waiting.is_empty() {
        return Ok(());
    }
    let commands: Result<Vec<Command>, String> = waiting.iter().map(|one| command(ledger, one, now)).collect();
    let outcomes = combiner.post(commands.map_err(Fault::Damaged)?).await?;
    for (one, outcome) in waiting.iter().zip(&outcomes) {
        match outcome {
            Outcome::Posted(_, true) => {
                probe::reached("withdrawal-given-back-asked-for-again");
            }
            Outcome::Posted(_, false) => {}
            // Kept under the key, where the exchange finds it and puts it before a person.
            Outcome::Refused(refusal, _) => {
                let why = refusal.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>().join(", ");
                tracing::error!(posting = %one.posting, why, "a withdrawal that was given up can't be given back");
            }
            Outcome::KeyReused => {
                tracing::error!(posting = %one.posting, key = one.key, "the key to give a withdrawal back was used");
            }
        }
    }
    let mut tx = ledger.db.begin("deposit.gave_back").await?;
    for one in &waiting {
        given_up::delete(&mut tx, &one.key).await?;
    }
    tx.commit().await
}
