//! One caller, whose every request and answer an auditor may hear of.

mod fx;

use std::sync::Arc;
use std::time::Duration;

use jangbu_contracts::deposit::{Batch, Command, InterestPayment, KeyedCommand, Outcome, Posting};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::AccountId;

use crate::auditor::{Auditor, Heard, Key, Ticket};
use crate::client::{Answer, Client, Said};
use crate::model::rules::What;

/// A caller. Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    /// The way to the bank, with the caller's credential.
    pub client: Client,
    /// Role, colon, subject.
    pub name: String,
    /// Who hears, if anybody does.
    pub auditor: Option<Arc<Auditor>>,
}

/// Begins the name of a key that was given to the channel, which has keys of its own.
const BY_CHANNEL: &str = "channel:";

/// The key as the channel was given it; none when it was given to the instance itself.
#[must_use]
pub fn through_channel(key: &str) -> Option<&str> {
    key.strip_prefix(BY_CHANNEL)
}

fn heard<T>(answer: &Answer<T>, reply: impl Fn(&T) -> Heard) -> Heard {
    match &answer.said {
        Said::Reply(value) => reply(value),
        Said::Problem(problem) => Heard::Problem(problem.clone()),
        Said::Unknown(_) => Heard::Nothing,
    }
}

impl Teller {
    fn key(&self, instance: &str, key: &str) -> Key {
        Key { instance: instance.to_owned(), caller: self.name.clone(), key: key.to_owned() }
    }

    fn begin(&self, instance: &str, key: &str, what: impl FnOnce() -> What) -> Option<Ticket> {
        self.auditor.as_ref().map(|auditor| auditor.begin(self.key(instance, key), what()))
    }

    fn end(&self, ticket: Option<&Ticket>, replay: Option<bool>, heard: impl FnOnce() -> Heard) {
        if let (Some(auditor), Some(ticket)) = (&self.auditor, ticket) {
            auditor.end(ticket, heard(), replay);
        }
    }

    /// The same caller, who gives up after that time.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Teller {
        Teller { client: self.client.with_patience(patience), ..self.clone() }
    }

    /// Sends a request, for the first time or again; whether there was an answer.
    pub async fn send(&self, instance: &str, key: &str, what: &What) -> bool {
        match what {
            What::Post(command) => !matches!(self.post(instance, key, command).await.said, Said::Unknown(_)),
            What::Claim(account) => {
                let answer = match through_channel(key) {
                    Some(key) => self.claim_by_channel(instance, key, *account).await,
                    None => self.claim(instance, key, *account).await,
                };
                !matches!(answer.said, Said::Unknown(_))
            }
        }
    }

    /// Posts a command.
    pub async fn post(&self, instance: &str, key: &str, command: &Command) -> Answer<Posting> {
        let ticket = self.begin(instance, key, || What::Post(command.clone()));
        let answer = self.client.deposit(instance).post(key, command).await;
        self.end(ticket.as_ref(), Some(answer.replay), || heard(&answer, |p| Heard::Posting(p.clone())));
        answer
    }

    /// Claims interest.
    pub async fn claim(&self, instance: &str, key: &str, account: AccountId) -> Answer<InterestPayment> {
        let ticket = self.begin(instance, key, || What::Claim(account));
        let answer = self.client.deposit(instance).claim(account, key).await;
        self.end(ticket.as_ref(), Some(answer.replay), || heard(&answer, |p| Heard::Payment(p.clone())));
        answer
    }

    /// Claims interest through the channel, which has keys of its own.
    pub async fn claim_by_channel(&self, instance: &str, key: &str, account: AccountId) -> Answer<InterestPayment> {
        let ticket = self.begin(instance, &format!("{BY_CHANNEL}{key}"), || What::Claim(account));
        let answer = self.client.claim_by_channel(account, key).await;
        self.end(ticket.as_ref(), Some(answer.replay), || heard(&answer, |p| Heard::Payment(p.clone())));
        answer
    }

    /// Looks at the screen of an account; whether there was an answer.
    pub async fn screen(&self, account: AccountId) -> bool {
        let asked = self.auditor.as_ref().map(|auditor| auditor.today());
        let Ok(screen) = self.client.screen(account).await.reply() else { return false };
        if let (Some(auditor), Some(asked)) = (&self.auditor, asked) {
            auditor.looked(&screen, asked);
        }
        true
    }

    /// Looks at an account as the books show it; whether there was an answer.
    pub async fn glance(&self, instance: &str, account: AccountId) -> bool {
        let Ok(shown) = self.client.deposit(instance).account(account).await.reply() else { return false };
        if let Some(auditor) = &self.auditor {
            auditor.glanced(&shown);
        }
        true
    }

    /// Posts many commands at once. The keys must differ.
    ///
    /// # Errors
    /// There was no answer, or one for the whole batch.
    pub async fn batch(&self, instance: &str, commands: &[(String, Command)]) -> Result<Vec<Outcome>, String> {
        let begin = |(key, command): &(String, Command)| self.begin(instance, key, || What::Post(command.clone()));
        let tickets: Vec<_> = commands.iter().map(begin).collect();
        let keyed = |(key, command): &(String, Command)| KeyedCommand {
            key: key.clone(),
            command: serde_json::to_value(command).expect("wire types are written as JSON"),
        };
        let batch = Batch { commands: commands.iter().map(keyed).collect() };
        let answered = self.client.deposit(instance).batch(&batch).await.reply();
        let outcomes = answered.as_ref().map(|o| o.outcomes.as_slice()).unwrap_or_default();
        for (i, ticket) in tickets.iter().enumerate() {
            let heard = || match outcomes.get(i) {
                Some(Outcome { key, posting: Some(posting), .. }) if *key == commands[i].0 => {
                    Heard::Posting(posting.clone())
                }
                Some(outcome) if outcome.key == commands[i].0 => Heard::Problem(Box::new(problem(outcome))),
                _ => Heard::Nothing,
            };
            self.end(ticket.as_ref(), None, heard);
        }
        answered.map(|o| o.outcomes)
    }

    /// Asks what became of a key; `None` when the bank has never seen it.
    ///
    /// # Errors
    /// The bank didn't say.
    pub async fn ask(&self, instance: &str, key: &str) -> Result<Option<Result<Posting, Box<Problem>>>, String> {
        let answer = self.client.deposit(instance).by_key(key).await;
        let (told, heard) = match answer.said {
            Said::Reply(posting) => (Some(Ok(posting.clone())), Some(Heard::Posting(posting))),
            Said::Problem(problem) if problem.code == "NOT_FOUND" => (None, None),
            Said::Problem(problem) => (Some(Err(problem.clone())), Some(Heard::Problem(problem))),
            Said::Unknown(why) => return Err(why),
        };
        if let Some(auditor) = &self.auditor {
            auditor.asked(&self.key(instance, key), heard);
        }
        Ok(told)
    }
}

/// A refusal within a batch, as the problem that it would have been alone. Only its first code is told.
fn problem(outcome: &Outcome) -> Problem {
    let code = outcome.code.clone().unwrap_or_default();
    let detail = outcome.detail.clone().unwrap_or_default();
    let page = format!("/docs/codes/{code}");
    Problem { page, title: String::new(), status: outcome.status, code, detail, failures: Vec::new() }
}
