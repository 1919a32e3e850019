//! Calls about postings and interest.

use axum::extract::{Path, State};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit as wire;
use jangbu_kernel::id::{AccountId, PostingId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::http::{Keyed, Known, Params, Refused, Strict, is_key, json, path_id};
use serde::Deserialize;

use super::{Api, wire as convert};
use crate::domain::command::{Action, Command};
use crate::domain::eligibility::number_of;
use crate::flows::post::{self, COMMANDS_PER_BATCH_MAX, Outcome};
use crate::store;

type Answer = Result<Response, Refused>;

/// Customers pay from their own accounts and nothing else.
async fn may(api: &Api, known: &Known, command: &Command) -> Result<(), Refused> {
    if known.caller.role != Role::Customer {
        return Ok(());
    }
    let from = match &command.action {
        Action::Transfer { from, .. } => *from,
        Action::Interest { account, .. } => *account,
        _ => return Err(Refused::new(Code::Forbidden, "customers transfer from their own accounts")),
    };
    owned(api, known, from).await
}

/// The account exists and the caller may see it.
pub(super) async fn owned(api: &Api, known: &Known, id: AccountId) -> Result<(), Refused> {
    let owner = api.ledger.look(number_of(id), |_, a| (a.id, a.customer)).await?;
    match owner {
        Some((found, customer)) if found == id && known.may_see(&customer.to_string()) => Ok(()),
        _ => Err(Refused::not_found()),
    }
}

async fn run(api: &Api, command: Command) -> Result<Outcome, Refused> {
    let mut outcomes = api.combiner.post(vec![command]).await?;
    outcomes.pop().ok_or_else(|| Refused::new(Code::Internal, "no outcome"))
}

/// `POST …/postings`
pub async fn post(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<wire::Command>,
) -> Answer {
    let command = convert::command(&api.ledger, &key, body, known.now)?;
    may(&api, &known, &command).await?;
    let outcome = run(&api, command).await?;
    answer(&api, outcome, |p| Ok(convert::posting(&api.ledger, p)))
}

fn answer<T: serde::Serialize>(
    _: &Api,
    outcome: Outcome,
    show: impl Fn(&post::Posted) -> Result<T, Refused>,
) -> Answer {
    match outcome {
        Outcome::Posted(posted, replay) => json(201, &show(&posted)?, replay),
        Outcome::Refused(refusal, replay) => {
            let problem = convert::problem(&refusal);
            json(problem.status, &problem, replay)
        }
        Outcome::KeyReused => Err(Refused::new(Code::KeyReused, "the key came with another request before")),
    }
}

/// `POST …/postings/batch`
pub async fn batch(State(api): State<Api>, known: Known, Strict(body): Strict<wire::Batch>) -> Answer {
    known.staff()?;
    if body.commands.len() > COMMANDS_PER_BATCH_MAX {
        let why = format!("at most {COMMANDS_PER_BATCH_MAX} commands");
        return Err(Refused::field(Code::InvalidField, "commands", why));
    }
    let mut outcomes: Vec<Option<wire::Outcome>> = Vec::with_capacity(body.commands.len());
    let (mut commands, mut keys) = (Vec::new(), Vec::new());
    for keyed in body.commands {
        let read = if is_key(&keyed.key) {
            serde_json::from_value::<wire::Command>(keyed.command)
                .map_err(|e| Refused::new(Code::InvalidField, e.to_string()))
        } else {
            Err(Refused::new(Code::KeyInvalid, "a key is 1 to 64 printable ASCII characters"))
        };
        let key = known.caller.key(&keyed.key);
        let command = read.and_then(|c| convert::command(&api.ledger, &key, c, known.now));
        match command {
            Ok(command) => {
                commands.push(command);
                keys.push(keyed.key);
                outcomes.push(None);
            }
            Err(refused) => outcomes.push(Some(convert::refused(keyed.key, &refused.0))),
        }
    }
    let posted = if commands.is_empty() { Vec::new() } else { api.combiner.post(commands).await? };
    let mut posted = keys.into_iter().zip(posted).map(|(key, o)| convert::outcome(&api.ledger, key, o));
    let outcomes: Vec<_> = outcomes.into_iter().filter_map(|o| o.or_else(|| posted.next())).collect();
    json(200, &serde_json::json!({ "outcomes": outcomes }), false)
}

async fn stored(api: &Api, known: &Known, row: Option<store::postings::Stored>) -> Answer {
    let Some(row) = row else { return Err(Refused::not_found()) };
    let mut tx = api.ledger.db.begin("deposit.show_posting").await?;
    let mut state = api.ledger.state(&mut tx).await?;
    let outcome = post::known(&api.ledger, &mut tx, &mut state, row).await?;
    drop(state);
    drop(tx);
    if let Outcome::Posted(posted, _) = &outcome {
        let mut seen = Vec::new();
        for id in [posted.debit, posted.credit].into_iter().flatten() {
            seen.push(owned(api, known, id).await.is_ok());
        }
        if !seen.contains(&true) {
            return Err(Refused::not_found());
        }
        return json(200, &convert::posting(&api.ledger, posted), false);
    }
    answer(api, outcome, |p| Ok(convert::posting(&api.ledger, p)))
}

/// `GET …/postings/{id}`
pub async fn get(State(api): State<Api>, known: Known, Path(id): Path<String>) -> Answer {
    let id: PostingId = path_id(&id)?;
    let seq = api.ledger.seq_of(id.rest()).ok_or_else(Refused::not_found)?;
    let mut tx = api.ledger.db.read("deposit.posting").await?;
    let row = store::postings::by_seq(&mut tx, seq).await?;
    drop(tx);
    let named = |r: &store::postings::Stored| {
        let at = crate::ledger::millis(Timestamp::from_micros(r.posted_at));
        r.posting.is_some() && (id.millis() == at || id.millis() == 0)
    };
    stored(&api, &known, row.filter(named)).await
}

/// Query of `GET …/postings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByKey {
    key: String,
}

/// `GET …/postings?key=K`: the outcome of the caller's key.
pub async fn by_key(State(api): State<Api>, known: Known, Params(query): Params<ByKey>) -> Answer {
    let key = convert::stored_key(&known.caller.key(&query.key));
    let mut tx = api.ledger.db.read("deposit.by_key").await?;
    let row = store::postings::by_key(&mut tx, &key).await?;
    drop(tx);
    stored(&api, &known, row).await
}

/// Query of `GET …/entries`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    after_serial: Option<u64>,
    limit: Option<u64>,
    cursor: Option<String>,
}

/// `GET …/accounts/{id}/entries`
pub async fn entries(
    State(api): State<Api>,
    known: Known,
    Path(id): Path<String>,
    Params(query): Params<Entries>,
) -> Answer {
    let id: AccountId = path_id(&id)?;
    owned(&api, &known, id).await?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(Refused::field(Code::InvalidField, "limit", "must be from 1 to 500"));
    }
    let after = match query.cursor {
        None => query.after_serial.unwrap_or(0),
        Some(c) => c.parse().map_err(|_| Refused::new(Code::InvalidCursor, "use the cursor of the last answer"))?,
    };
    let no = number_of(id);
    let top = api.ledger.look(no, |_, a| (a.serial, a.path.last())).await?.ok_or_else(Refused::not_found)?;
    let upto = top.0.min(after.saturating_add(limit));
    let mut tx = api.ledger.db.read("deposit.entries").await?;
    let found = store::postings::entries(&mut tx, no, top, after, upto).await?;
    let items: Vec<wire::AccountEntry> = found
        .into_iter()
        .filter_map(|(leg, is_debit, row)| {
            let posting = row.posting?;
            let at = Timestamp::from_micros(row.posted_at);
            Some(wire::AccountEntry {
                serial: leg.serial,
                posting: PostingId::from_parts(crate::ledger::millis(at), api.ledger.id_rest(row.seq)),
                kind: posting.kind.name().to_owned(),
                side: if is_debit { wire::Side::Debit } else { wire::Side::Credit },
                amount: posting.amount,
                balance_after: leg.balance,
                business_date: posting.date,
                posted_at: at,
                memo: row.memo,
            })
        })
        .collect();
    let next = (upto < top.0).then(|| upto.to_string());
    json(200, &wire::Page { items, next }, false)
}

/// `GET …/accounts/{id}/interest`: what a claim would pay now.
pub async fn interest(State(api): State<Api>, known: Known, Path(id): Path<String>) -> Answer {
    let id: AccountId = path_id(&id)?;
    owned(&api, &known, id).await?;
    let today = convert::today(&api.ledger, known.now);
    let mut tx = api.ledger.db.begin("deposit.preview").await?;
    let mut state = api.ledger.state(&mut tx).await?;
    api.ledger.load(&mut tx, &mut state, number_of(id)).await?;
    let due = post::due(&mut tx, &state, id, today).await?;
    let paid = state.book.accounts.get(number_of(id)).map_or(today, |a| a.paid_through);
    drop(state);
    drop(tx);
    let preview = wire::InterestPreview {
        from: paid.add_days(1),
        to: today.add_days(-1),
        gross: due.as_ref().map_or(0, |d| d.gross),
        income_tax: due.as_ref().map_or(0, |d| d.income_tax),
        local_tax: due.as_ref().map_or(0, |d| d.local_tax),
        other_tax: due.as_ref().map_or(0, |d| d.other_tax),
        net: due.as_ref().map_or(0, |d| d.net),
        periods: due.iter().flat_map(|d| &d.periods).map(super::simulation::period).collect(),
    };
    json(200, &preview, false)
}

/// `GET …/totals`: what all accounts hold, and the proof that the books balance.
pub async fn totals(State(api): State<Api>, known: Known) -> Answer {
    known.staff()?;
    let mut tx = api.ledger.db.read("deposit.totals").await?;
    let (accounts, recorded) = (store::accounts::last_no(&mut tx).await?, store::postings::last_seq(&mut tx).await?);
    drop(tx);
    let today = convert::today(&api.ledger, known.now);
    json(200, &convert::totals(&api.prover.totals(), accounts, recorded, today), false)
}

/// Body of a claim: nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {}

/// `POST …/accounts/{id}/interest-claims`
pub async fn claim(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    Path(id): Path<String>,
    Strict(Claim {}): Strict<Claim>,
) -> Answer {
    let id: AccountId = path_id(&id)?;
    let command = Command {
        key: convert::stored_key(&key),
        hash: xxhash_rust::xxh3::xxh3_64(&id.to_bytes()),
        action: Action::Interest { account: id, due: None },
        date: convert::today(&api.ledger, known.now),
        memo: None,
    };
    owned(&api, &known, id).await?;
    let outcome = run(&api, command).await?;
    answer(&api, outcome, |p| {
        convert::payment(&api.ledger, p).ok_or_else(|| Refused::new(Code::KeyReused, "the key made another posting"))
    })
}
