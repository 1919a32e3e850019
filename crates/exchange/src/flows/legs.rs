//! Movements of exchanges: those that are asked for at the same time go to the books as one batch, each under its key.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::Method;
use futures_util::FutureExt as _;
use jangbu_contracts::codes::Code;
use jangbu_contracts::problem::Problem;
use jangbu_platform::ask::{Ask, Call, Outcome, Reply};
use jangbu_platform::context::Context;
use jangbu_platform::gather::Gather;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::plan::Instance;

/// Commands of one batch at most.
const LEGS_TOGETHER_MAX: usize = 128;
/// Where commands are sent, below `/{service}/v1`; a batch of them below that.
pub const POSTINGS: &str = "/postings";

/// A command and its key.
struct Asked {
    key: String,
    /// As JSON.
    command: Bytes,
    context: Context,
}

/// The ways to the books of both instances.
pub struct Legs {
    won: Gather<Asked, Outcome<Reply>>,
    foreign: Gather<Asked, Outcome<Reply>>,
}

impl Legs {
    /// Starts the tasks that send.
    #[must_use]
    pub fn start(ask: &Ask) -> Legs {
        let way = |instance: Instance| {
            let ask = ask.clone();
            Gather::calling(LEGS_TOGETHER_MAX, move |asked: &[Asked]| {
                let ask = ask.clone();
                async move { Ok(send(&ask, instance.service(), asked).await) }.boxed()
            })
        };
        Legs { won: way(Instance::Krw), foreign: way(Instance::Fx) }
    }

    /// Makes the call of a step: a command together with others, anything else alone.
    pub async fn call(&self, ask: &Ask, call: Call<'_>) -> Outcome<Reply> {
        let way = [(Instance::Krw, &self.won), (Instance::Fx, &self.foreign)];
        let way = way.into_iter().find(|(instance, _)| instance.service() == call.service);
        match (way, call.key, Context::current()) {
            (Some((_, way)), Some(key), Some(context)) if call.path == POSTINGS => {
                let asked = Asked { key: key.to_owned(), command: call.body, context };
                way.ask(asked).await.unwrap_or_else(|fault| Outcome::Unknown(fault.to_string()))
            }
            _ => ask.call(&call).await,
        }
    }
}

async fn send(ask: &Ask, service: &str, asked: &[Asked]) -> Vec<Outcome<Reply>> {
    let post = |path, key, body| Call { service, method: Method::POST, path, key, body };
    if let [Asked { key, command, context }] = asked {
        let call = post(POSTINGS, Some(key), command.clone());
        return vec![context.scope(ask.call(&call)).await];
    }
    // In the name of the first, and within the time of each.
    let contexts = asked.iter().map(|asked| asked.context);
    let earliest = contexts.min_by_key(|context| context.deadline).map(|context| context.deadline);
    let (Some(first), Some(deadline)) = (asked.first(), earliest) else { return Vec::new() };
    let context = Context { deadline, ..first.context };
    let call = post("/postings/batch", None, Bytes::from(batch(asked)));
    let all = |outcome: Outcome<Reply>| vec![outcome; asked.len()];
    match context.scope(ask.call(&call)).await {
        Outcome::Reply(reply) => read(asked, &reply.body)
            .unwrap_or_else(|why| all(Outcome::Unknown(format!("the answer of {service} can't be read: {why}")))),
        other => all(other),
    }
}

/// A batch's body: each command with its key in front of its own fields.
fn batch(asked: &[Asked]) -> Vec<u8> {
    let mut body = br#"{"commands":["#.to_vec();
    for (n, Asked { key, command, .. }) in asked.iter().enumerate() {
        body.extend_from_slice(if n == 0 { br#"{"key":"# } else { br#",{"key":"# });
        body.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
        body.push(b',');
        body.extend_from_slice(command.strip_prefix(b"{").unwrap_or(command));
    }
    body.extend_from_slice(b"]}");
    body
}

/// [`jangbu_contracts::deposit::Outcomes`] with postings as text.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    outcomes: Vec<One<'a>>,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    status: u16,
    #[serde(borrow)]
    posting: Option<&'a RawValue>,
    code: Option<String>,
    detail: Option<String>,
}

/// What became of each; or why that can't be read.
fn read(asked: &[Asked], body: &[u8]) -> Result<Vec<Outcome<Reply>>, String> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if !said.outcomes.iter().map(|one| one.key.as_ref()).eq(asked.iter().map(|asked| asked.key.as_str())) {
        return Err("it is not about what was asked".to_owned());
    }
    said.outcomes.into_iter().map(one).collect()
}

fn one(said: One<'_>) -> Result<Outcome<Reply>, String> {
    let One { key, status, posting, code, detail } = said;
    if let Some(posting) = posting {
        let body = Bytes::copy_from_slice(posting.get().as_bytes());
        return Ok(Outcome::Reply(Reply { status, body, replay: false }));
    }
    let code = code.ok_or_else(|| format!("neither posting nor code for {key}"))?;
    let known = Code::parse(&code).unwrap_or(Code::Internal);
    let problem = Problem { status, code, ..Problem::new(known, detail.unwrap_or_default()) };
    Ok(Outcome::Refusal(Box::new(problem)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use jangbu_contracts::deposit::batch::{self as sent, BatchText};
    use jangbu_contracts::deposit::{Command, Outcomes};
    use jangbu_kernel::id::AccountId;
    use jangbu_kernel::money::Amount;
    use jangbu_platform::clock::ticks;
    use jangbu_platform::context::Trace;
    use jangbu_platform::dice::Dice;
    use serde_json::json;

    use super::*;

    fn asked(key: &str) -> Asked {
        let (account, amount) = (AccountId::from_parts(1, 1), Amount::new(5).unwrap());
        let command = Command::Debit { account, amount, target: "exchange".into(), memo: None };
        let context = Context { trace: Trace::root(&Dice::seeded(1)), deadline: ticks() + Duration::from_secs(1) };
        Asked { key: key.into(), command: Bytes::from(serde_json::to_vec(&command).unwrap()), context }
    }

    #[test]
    fn a_batch_says_what_its_commands_say() {
        let all = [asked("a:withdraw"), asked("b\"")];
        let read: BatchText = serde_json::from_slice(&batch(&all)).unwrap();
        let keys = read.commands.iter().zip(&all).map(|(text, asked)| match sent::read(text) {
            Some(sent::Read::Simple(key, command)) => {
                assert_eq!(serde_json::to_vec(&command).unwrap(), asked.command);
                key
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(keys.collect::<Vec<_>>(), ["a:withdraw", "b\""]);
    }

    #[test]
    fn each_hears_what_became_of_his_own() {
        let posting = json!({"id": "pst_00000000000000000000000001", "kind": "debit", "amount": 5, "currency": "KRW",
            "business_date": "2026-01-01", "posted_at": "2026-01-01T00:00:00Z", "entries": []});
        let body = json!({"outcomes": [
            {"key": "a", "status": 201, "posting": posting},
            {"key": "b", "status": 422, "code": "ACCOUNT_CLOSED", "detail": "it is closed"},
        ]});
        let outcomes = body.to_string();
        let all = read(&[asked("a"), asked("b")], outcomes.as_bytes()).unwrap();
        let [Outcome::Reply(reply), Outcome::Refusal(problem)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap(), posting);
        assert_eq!(
            (problem.status, problem.code.as_str(), problem.detail.as_str()),
            (422, "ACCOUNT_CLOSED", "it is closed")
        );
        assert!(serde_json::from_value::<Outcomes>(body).is_ok(), "it is what the books answer");
        for other in [vec![asked("b"), asked("a")], vec![asked("a")]] {
            assert!(read(&other, outcomes.as_bytes()).is_err());
        }
        assert!(read(&[asked("a")], br#"{"outcomes":[{"key":"a","status":201}]}"#).is_err());
    }
}
