//! Calls about postings and interest.

use axum::extract::State;
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit as wire;
use jangbu_contracts::deposit::batch::{self, BatchText, Read};
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{AccountId, PostingId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::http::{InPath, Keyed, Known, Params, Refused, Strict, is_key, json, read_json};
use jangbu_platform::openapi::IdempotencyKey;
use jangbu_platform::paging;
use serde::Deserialize;
use utoipa::IntoParams;

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
    let owner = api.ledger.owner_of(number_of(id)).await?;
    match owner {
        Some((found, customer)) if found == id && known.may_see(&customer.to_string()) => Ok(()),
        _ => Err(Refused::not_found()),
    }
}

async fn run(api: &Api, command: Command) -> Result<Outcome, Refused> {
    let mut outcomes = api.combiner.post(vec![command]).await?;
    outcomes.pop().ok_or_else(|| Refused::new(Code::Internal, "no outcome"))
}

/// Carries out one command.
///
/// Customers transfer from their own accounts; programs of the bank and operators may do everything. A refusal has its
/// code, and every other reason against the command in `failures`; it is kept under the key like a posting.
#[utoipa::path(
    post, path = "/postings",
    params(IdempotencyKey),
    request_body = wire::Command,
    responses((status = 201, body = wire::Posting)),
)]
pub async fn post_command(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<wire::Command>,
) -> Answer {
    let command = convert::command(&api.ledger, &key, body, known.now)?;
    may(&api, &known, &command).await?;
    let outcome = run(&api, command).await?;
    answer(outcome, |p| Ok(convert::posting(&api.ledger, p)))
}

fn answer<T: serde::Serialize>(outcome: Outcome, show: impl Fn(&post::Posted) -> Result<T, Refused>) -> Answer {
    match outcome {
        Outcome::Posted(posted, replay) => json(201, &show(&posted)?, replay),
        Outcome::Refused(refusal, replay) => {
            let problem = convert::problem(&refusal);
            json(problem.status, &problem, replay)
        }
        Outcome::KeyReused => Err(Refused::new(Code::KeyReused, "the key came with another request before")),
    }
}

/// A command of a batch, or what is wrong with it.
fn read(api: &Api, known: &Known, sent: Read) -> (String, Result<Command, Refused>) {
    let (key, command) = match sent {
        Read::Simple(key, command) => (key, Ok(command)),
        // Read from text: the strict reader knows code and field of what is wrong.
        Read::Other(keyed) => {
            let command = wire::Command::deserialize(&keyed.command);
            (keyed.key, command.or_else(|_| read_json(keyed.command.to_string().as_bytes())))
        }
    };
    if !is_key(&key) {
        let bad = Refused::field(Code::KeyInvalid, "key", "a key is 1 to 64 printable ASCII characters");
        return (key, Err(bad));
    }
    let caller = known.caller.key(&key);
    (key, command.and_then(|command| convert::command(&api.ledger, &caller, command, known.now)))
}

/// What is wrong with a batch that is not even one of commands with keys.
fn not_a_batch(body: &BatchText) -> Refused {
    let text = serde_json::to_vec(body).unwrap_or_default();
    match read_json::<wire::Batch>(&text) {
        Err(refused) => refused,
        Ok(_) => Refused::new(Code::InvalidField, "the commands can't be read"),
    }
}

/// Carries out many commands, each accepted or refused alone under its own key.
///
/// Nothing of the batch stands when the call itself fails.
#[utoipa::path(
    post, path = "/postings/batch",
    request_body = wire::Batch,
    responses((status = 200, body = wire::Outcomes)),
)]
pub async fn post_batch(State(api): State<Api>, known: Known, Strict(body): Strict<BatchText>) -> Answer {
    known.staff()?;
    if body.commands.len() > COMMANDS_PER_BATCH_MAX {
        let why = format!("at most {COMMANDS_PER_BATCH_MAX} commands");
        return Err(Refused::field(Code::InvalidField, "commands", why));
    }
    let mut outcomes: Vec<Option<wire::Outcome>> = Vec::with_capacity(body.commands.len());
    let (mut commands, mut keys) = (Vec::with_capacity(body.commands.len()), Vec::with_capacity(body.commands.len()));
    for text in &body.commands {
        let sent = batch::read(text).ok_or_else(|| not_a_batch(&body))?;
        let (key, command) = read(&api, &known, sent);
        match command {
            Ok(command) => {
                commands.push(command);
                keys.push(key);
                outcomes.push(None);
            }
            Err(refused) => outcomes.push(Some(convert::refused(key, &refused.0))),
        }
    }
    let posted = if commands.is_empty() { Vec::new() } else { api.combiner.post(commands).await? };
    let mut posted = keys.into_iter().zip(posted).map(|(key, o)| convert::outcome(&api.ledger, key, o));
    let outcomes = outcomes.into_iter().filter_map(|o| o.or_else(|| posted.next())).collect();
    json(200, &wire::Outcomes { outcomes }, false)
}

async fn stored(api: &Api, known: &Known, row: Option<store::postings::Stored>) -> Answer {
    let Some(row) = row else { return Err(Refused::not_found()) };
    let mut tx = api.ledger.db.read("deposit.show_posting").await?;
    let names = api.ledger.names(&mut tx, None, std::slice::from_ref(&row)).await?;
    let outcome = post::known(&mut tx, &names, row).await?;
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
    // Asked for, not sent again: the outcome as it was, and no replay.
    let outcome = match outcome {
        Outcome::Refused(refusal, _) => Outcome::Refused(refusal, false),
        other => other,
    };
    answer(outcome, |p| Ok(convert::posting(&api.ledger, p)))
}

/// One posting.
#[utoipa::path(
    get, path = "/postings/{id}",
    params(("id" = PostingId, Path)),
    responses((status = 200, body = wire::Posting)),
)]
pub async fn show_posting(State(api): State<Api>, known: Known, InPath(id): InPath<PostingId>) -> Answer {
    let mut tx = api.ledger.db.read("deposit.posting").await?;
    let row = by_id(&api, &mut tx, id).await?;
    drop(tx);
    stored(&api, &known, row).await
}

async fn by_id(api: &Api, tx: &mut Tx, id: PostingId) -> Result<Option<store::postings::Stored>, Refused> {
    let seq = api.ledger.seq_of(id.rest()).ok_or_else(Refused::not_found)?;
    let row = row_at(tx, seq).await?;
    Ok(row.filter(|r| {
        let at = crate::ledger::millis(Timestamp::from_micros(r.posted_at));
        r.posting.is_some() && (id.millis() == at || id.millis() == 0)
    }))
}

/// The row at a place, also of a batch still packed.
async fn row_at(tx: &mut Tx, seq: u64) -> Result<Option<store::postings::Stored>, Fault> {
    match store::postings::by_seq(tx, seq).await? {
        Some(row) => Ok(Some(row)),
        None => store::batches::by_seq(tx, seq).await,
    }
}

/// The posting that undid one; 404 while it stands.
#[utoipa::path(
    get, path = "/postings/{id}/reversal",
    params(("id" = PostingId, Path)),
    responses((status = 200, body = wire::Posting)),
)]
pub async fn show_reversal(State(api): State<Api>, known: Known, InPath(id): InPath<PostingId>) -> Answer {
    // Behind every command that came in before, as for a key.
    api.combiner.post(Vec::new()).await?;
    let mut tx = api.ledger.db.read("deposit.reversal").await?;
    let row = match by_id(&api, &mut tx, id).await? {
        Some(original) => match store::postings::undone_by(&mut tx, original.seq).await? {
            Some(seq) => row_at(&mut tx, seq).await?,
            None => None,
        },
        None => None,
    };
    drop(tx);
    stored(&api, &known, row).await
}

/// Query of the outcome of a key.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ByKey {
    /// A key that the caller sent before.
    #[param(min_length = 1, max_length = 64)]
    key: String,
}

/// The outcome of one of the caller's keys, for who lost the answer.
///
/// The posting, or the refusal with the status that it had. 404 means that no such command came in before this call, and
/// that none that is under way has this key; a claim's key gives the posting that paid it.
#[utoipa::path(
    get, path = "/postings",
    params(ByKey),
    responses((status = 200, body = wire::Posting)),
)]
pub async fn find_posting(State(api): State<Api>, known: Known, Params(query): Params<ByKey>) -> Answer {
    if !is_key(&query.key) {
        return Err(Refused::field(Code::KeyInvalid, "key", "a key is 1 to 64 printable ASCII characters"));
    }
    // Behind every command that came in before: one that still waits or flushes must not look as if it never came.
    api.combiner.post(Vec::new()).await?;
    let key = convert::stored_key(&known.caller.key(&query.key));
    let mut tx = api.ledger.db.read("deposit.by_key").await?;
    let row = match store::postings::by_key(&mut tx, &key).await? {
        Some(row) => Some(row),
        None => store::batches::by_key(&mut tx, &key).await?,
    };
    drop(tx);
    stored(&api, &known, row).await
}

/// Query of an account's entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// Only entries with greater serials.
    after_serial: Option<u64>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Entries of an account, by serial.
#[utoipa::path(
    get, path = "/accounts/{id}/entries",
    params(("id" = AccountId, Path), Entries),
    responses((status = 200, body = Page<wire::AccountEntry>)),
)]
pub async fn entries(
    State(api): State<Api>,
    known: Known,
    InPath(id): InPath<AccountId>,
    Params(query): Params<Entries>,
) -> Answer {
    owned(&api, &known, id).await?;
    let limit = u64::from(paging::limit(query.limit)?);
    let after = paging::cursor(query.cursor.as_deref())?.or(query.after_serial).unwrap_or(0);
    let no = number_of(id);
    let top = api.ledger.look(no, |a, _| (a.serial, a.path.last())).await?.ok_or_else(Refused::not_found)?;
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
    json(200, &Page { items, next }, false)
}

/// What a claim would pay now, and why.
#[utoipa::path(
    get, path = "/accounts/{id}/interest",
    params(("id" = AccountId, Path)),
    responses((status = 200, body = wire::InterestPreview)),
)]
pub async fn preview_interest(State(api): State<Api>, known: Known, InPath(id): InPath<AccountId>) -> Answer {
    owned(&api, &known, id).await?;
    let today = convert::today(&api.ledger, known.now);
    // The rows of all days that ended are there once the account as seen is durable.
    let account = api.ledger.look(number_of(id), |a, _| a.clone()).await?.ok_or_else(Refused::not_found)?;
    let due = match api.ledger.product_of(&account).await? {
        Some(product) => {
            let mut tx = api.ledger.db.read("deposit.preview").await?;
            post::due(&mut tx, &product, &account, &[], today).await?
        }
        None => None,
    };
    let paid = account.paid_through;
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

/// What all accounts hold, and the proof that the books balance.
#[utoipa::path(get, path = "/totals", responses((status = 200, body = wire::Totals)))]
pub async fn totals(State(api): State<Api>, known: Known) -> Answer {
    known.staff()?;
    let mut tx = api.ledger.db.read("deposit.totals").await?;
    let (accounts, recorded) = (store::accounts::last_no(&mut tx).await?, store::batches::last_seq(&mut tx).await?);
    drop(tx);
    let today = convert::today(&api.ledger, known.now);
    json(200, &convert::totals(&api.prover.totals(), accounts, recorded, today), false)
}

/// Receives interest now: pays from the first unpaid day up to yesterday, once a day.
#[utoipa::path(
    post, path = "/accounts/{id}/interest-claims",
    params(("id" = AccountId, Path), IdempotencyKey),
    request_body = wire::Nothing,
    responses((status = 201, body = wire::InterestPayment)),
)]
pub async fn claim_interest(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    InPath(id): InPath<AccountId>,
    Strict(wire::Nothing {}): Strict<wire::Nothing>,
) -> Answer {
    owned(&api, &known, id).await?;
    let command = Command {
        key: convert::stored_key(&key),
        hash: xxhash_rust::xxh3::xxh3_64(&id.to_bytes()),
        action: Action::Interest { account: id, due: None },
        date: convert::today(&api.ledger, known.now),
        memo: None,
    };
    let outcome = run(&api, command).await?;
    answer(outcome, |p| {
        convert::payment(&api.ledger, p).ok_or_else(|| Refused::new(Code::KeyReused, "the key made another posting"))
    })
}
