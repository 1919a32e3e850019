//! Calls about accounts.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::customer::SetMark;
use jangbu_contracts::deposit as wire;
use jangbu_contracts::marks::AccountMark;
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::audit::Deed;
use jangbu_platform::auth::Role;
use jangbu_platform::db;
use jangbu_platform::http::{InPath, Keyed, Known, Params, Refused, Strict, json, json_answer};
use jangbu_platform::openapi::IdempotencyKey;
use jangbu_platform::operators;
use jangbu_platform::paging;
use serde::Deserialize;
use utoipa::IntoParams;
use xxhash_rust::xxh3::Xxh3;

use super::postings::owned;
use super::{Api, wire as convert};
use crate::domain::book::{Account, Marks, Owner};
use crate::domain::decide::Refusal;
use crate::domain::eligibility::number_of;
use crate::flows::accounts::{self, Kept, Opening, Shown};
use crate::flows::standing;
use crate::store;

/// Accounts asked for by their ids at most.
const IDS_MAX: usize = 128;

type Answer = Result<Response, Refused>;

/// Hash of a request: what is called, and with what.
fn hash_of(call: &str, body: &impl serde::Serialize) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(call.as_bytes());
    hash.update(&serde_json::to_vec(body).unwrap_or_default());
    hash.digest()
}

/// The answer that is kept under a key.
fn kept_answer(status: u16, done: &Result<Shown, Refusal>) -> db::Answer {
    let (status, body) = match done {
        Ok(shown) => (status, serde_json::to_string(&account(shown))),
        Err(refusal) => {
            let problem = Problem::refused(refusal);
            (problem.status, serde_json::to_string(&problem))
        }
    };
    db::Answer { status, body: body.expect("wire types are written as JSON") }
}

fn account(shown: &Shown) -> wire::Account {
    convert::account(&shown.account, shown.owner, shown.number.clone(), shown.product.clone())
}

fn answered(kept: Kept) -> Answer {
    match kept {
        Kept::New(answer) => Ok(json_answer(&answer, false)),
        Kept::Again(answer) => Ok(json_answer(&answer, true)),
        Kept::KeyReused => Err(Refused::new(Code::KeyReused, "the key came with another request before")),
    }
}

/// Opens an account; customers open their own.
#[utoipa::path(
    post, path = "/accounts",
    params(IdempotencyKey),
    request_body = wire::OpenAccount,
    responses((status = 201, body = wire::Account)),
)]
pub async fn open_account(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<wire::OpenAccount>,
) -> Answer {
    if !known.may_see(&body.customer.to_string()) {
        return Err(Refused::new(Code::Forbidden, "customers open accounts for themselves"));
    }
    let hash = hash_of("open", &body);
    if let Some(kept) = accounts::kept(&api.ledger, &key, hash).await? {
        return answered(kept);
    }
    let date = convert::today(&api.ledger, known.now);
    let standing = standing::ask(&api.ledger, &api.ask, body.customer).await?;
    let opening = Opening { customer: body.customer, product: body.product, currency: body.currency, date, standing };
    answered(accounts::open(&api.ledger, &key, hash, &opening, |done| kept_answer(201, done)).await?)
}

async fn show(api: &Api, no: u64) -> Result<Option<wire::Account>, Refused> {
    let found = api.ledger.look(no, |account, owner| (account.clone(), owner)).await?;
    Ok(described(api, found).await?.pop())
}

async fn described(
    api: &Api,
    accounts: impl IntoIterator<Item = (Account, Owner)>,
) -> Result<Vec<wire::Account>, Refused> {
    let accounts: Vec<_> = accounts.into_iter().collect();
    let nos: Vec<u64> = accounts.iter().map(|(account, _)| account.no).collect();
    let texts = api.ledger.fixed(&nos).await?;
    let shown = |(account, owner): &(Account, Owner)| {
        let fixed = texts.get(&account.no)?;
        Some(convert::account(account, *owner, fixed.number.clone(), fixed.product.clone()))
    };
    Ok(accounts.iter().filter_map(shown).collect())
}

/// One account.
#[utoipa::path(
    get, path = "/accounts/{id}",
    params(("id" = AccountId, Path)),
    responses((status = 200, body = wire::Account)),
)]
pub async fn show_account(State(api): State<Api>, known: Known, InPath(id): InPath<AccountId>) -> Answer {
    let found = api.ledger.look(number_of(id), |account, owner| (account.clone(), owner)).await?;
    let found = found.filter(|(account, _)| account.id == id && known.may_see(&account.customer.to_string()));
    json(200, &described(&api, found).await?.pop().ok_or_else(Refused::not_found)?, false)
}

/// Query of the list of accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Whose; a customer's own when absent, and everybody's for the bank's people and programs.
    customer: Option<CustomerId>,
    /// Only these, at most 128, with commas between them; those that are not there, or not the caller's to see, are left out.
    ids: Option<String>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Accounts, in the order of opening.
#[utoipa::path(get, path = "/accounts", params(Of), responses((status = 200, body = Page<wire::Account>)))]
pub async fn list_accounts(State(api): State<Api>, known: Known, Params(query): Params<Of>) -> Answer {
    if let Some(ids) = &query.ids {
        return named(&api, &known, ids).await;
    }
    let (limit, after) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?.unwrap_or(0));
    let own = if known.caller.role == Role::Customer { known.caller.subject.parse().ok() } else { None };
    let customer = query.customer.or(own);
    if !customer.map_or(known.staff().is_ok(), |customer| known.may_see(&customer.to_string())) {
        return Err(Refused::not_found());
    }
    let mut tx = api.ledger.db.read("deposit.accounts").await?;
    let mut numbers = store::accounts::page(&mut tx, customer, after, limit + 1).await?;
    drop(tx);
    let next = paging::next(&mut numbers, limit, u64::to_string);
    let items = described(&api, api.ledger.look_all(&numbers).await?).await?;
    json(200, &Page { items, next }, false)
}

/// Accounts by their ids.
async fn named(api: &Api, known: &Known, ids: &str) -> Answer {
    let bad = |why: String| Refused::field(Code::InvalidId, "ids", why);
    let ids = ids.split(',').map(|id| id.parse::<AccountId>().map_err(|e| bad(format!("{id:?}: {e}"))));
    let ids: BTreeSet<AccountId> = ids.collect::<Result<_, _>>()?;
    if ids.len() > IDS_MAX {
        return Err(bad(format!("there are {}, and {IDS_MAX} may be asked for at a time", ids.len())));
    }
    let nos: Vec<u64> = ids.iter().map(|id| number_of(*id)).collect();
    let mut found = api.ledger.look_all(&nos).await?;
    found.retain(|(account, _)| ids.contains(&account.id) && known.may_see(&account.customer.to_string()));
    json(200, &Page { items: described(api, found).await?, next: None }, false)
}

/// Sets or clears a mark of an account (operators); the same again changes nothing.
#[utoipa::path(
    put, path = "/accounts/{id}/marks/{mark}",
    params(("id" = AccountId, Path), ("mark" = inline(AccountMark), Path)),
    request_body = SetMark,
    responses((status = 200, body = wire::Account)),
)]
pub async fn set_account_mark(
    State(api): State<Api>,
    known: Known,
    InPath((id, mark)): InPath<(AccountId, AccountMark)>,
    Strict(body): Strict<SetMark>,
) -> Answer {
    known.operator()?;
    let mark = mark.name();
    let bit = Marks::of_account(mark).ok_or_else(Refused::not_found)?;
    let (who, subject) = (known.caller.to_string(), id.to_string());
    let reason = operators::reason(&body.reason)?;
    let result = format!("{mark} was {}", if body.on { "set" } else { "cleared" });
    let deed = Deed { who: &who, what: "account.mark", subject: &subject, reason, result: &result };
    accounts::set_mark(&api.ledger, id, (bit, body.on), &deed).await?.ok_or_else(Refused::not_found)?;
    json(200, &show(&api, number_of(id)).await?.ok_or_else(Refused::not_found)?, false)
}

/// Closes an empty account without holds.
#[utoipa::path(
    post, path = "/accounts/{id}/close",
    params(("id" = AccountId, Path), IdempotencyKey),
    request_body = wire::Nothing,
    responses((status = 200, body = wire::Account)),
)]
pub async fn close_account(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    InPath(id): InPath<AccountId>,
    Strict(wire::Nothing {}): Strict<wire::Nothing>,
) -> Answer {
    owned(&api, &known, id).await?;
    let (today, hash) = (convert::today(&api.ledger, known.now), hash_of("close", &id));
    let kept = accounts::close(&api.ledger, &key, hash, (id, today), |done| kept_answer(200, done)).await?;
    answered(kept.ok_or_else(Refused::not_found)?)
}
