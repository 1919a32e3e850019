//! Calls about products and accounts.

use axum::extract::{Path, State};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::customer::SetMark;
use jangbu_contracts::deposit as wire;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::audit::Deed;
use jangbu_platform::db;
use jangbu_platform::http::{Keyed, Known, Params, Refused, Strict, json, json_answer, path_id};
use jangbu_platform::operators;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::postings::owned;
use super::{Api, wire as convert};
use crate::domain::book::{Account, Marks};
use crate::domain::eligibility::number_of;
use crate::flows::accounts::{self, Kept, Opening};
use crate::flows::products::add_version;
use crate::flows::standing;
use crate::store;
use crate::terms_text::TermsText;

type Answer = Result<Response, Refused>;

async fn terms(api: &Api, code: Option<&str>) -> Result<Vec<serde_json::Value>, Refused> {
    let mut tx = api.ledger.db.read("deposit.products").await?;
    let all = store::products::all(&mut tx).await?;
    let mine = all.into_iter().filter(|(c, ..)| code.is_none_or(|code| code == c));
    Ok(mine.filter_map(|(_, _, text)| serde_json::from_str(&text).ok()).collect())
}

/// `GET …/products`: all versions of all products.
pub async fn products(State(api): State<Api>, _: Known) -> Answer {
    json(200, &wire::Page { items: terms(&api, None).await?, next: None }, false)
}

/// `GET …/products/{code}`: the terms that hold today, and all versions.
pub async fn product(State(api): State<Api>, known: Known, Path(code): Path<String>) -> Answer {
    let versions = terms(&api, Some(&code)).await?;
    let today = convert::today(&api.ledger, known.now).to_string();
    let holds = |v: &&serde_json::Value| v["from"].as_str().is_some_and(|from| from <= today.as_str());
    let Some(mut shown) = versions.iter().rfind(holds).or(versions.first()).cloned() else {
        return Err(Refused::not_found());
    };
    shown["versions"] = serde_json::Value::Array(versions);
    json(200, &shown, false)
}

/// `PUT …/products/{code}`: a new version of its terms.
pub async fn put_product(
    State(api): State<Api>,
    known: Known,
    Path(code): Path<String>,
    Strict(body): Strict<TermsText>,
) -> Answer {
    known.operator()?;
    if body.code != code {
        return Err(Refused::field(Code::InvalidField, "code", "must be the code of the path"));
    }
    match add_version(&api.ledger, &body, convert::today(&api.ledger, known.now), &known.caller.to_string()).await? {
        Ok(()) => json(200, &body, false),
        Err(flaws) => Err(Refused(Box::new(Problem::fields(Code::TermsInvalid, flaws)))),
    }
}

fn shown(account: &Account, number: &str, product: &str) -> wire::Account {
    convert::account(account, crate::domain::book::Owner::default(), number.to_owned(), product.to_owned())
}

/// `POST …/accounts`
pub async fn open(
    State(api): State<Api>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<wire::OpenAccount>,
) -> Answer {
    if !known.may_see(&body.customer.to_string()) {
        return Err(Refused::new(Code::Forbidden, "customers open accounts for themselves"));
    }
    let hash = xxh3_64(&serde_json::to_vec(&body).unwrap_or_default());
    let date = convert::today(&api.ledger, known.now);
    if let Some(kept) = accounts::kept(&api.ledger, &key, hash).await? {
        return answered(kept);
    }
    let standing = standing::ask(&api.ledger, &api.ask, body.customer).await?;
    let opening = Opening { customer: body.customer, product: body.product, currency: body.currency, date, standing };
    let answer = |opened: &Result<(Account, String), crate::domain::decide::Refusal>| match opened {
        Ok((account, number)) => {
            let body = serde_json::to_string(&shown(account, number, &opening.product)).unwrap_or_default();
            db::Answer { status: 201, body }
        }
        Err(refusal) => {
            let problem = Problem::refused(refusal);
            db::Answer { status: problem.status, body: serde_json::to_string(&problem).unwrap_or_default() }
        }
    };
    answered(accounts::open(&api.ledger, &key, hash, &opening, answer).await?)
}

fn answered(kept: Kept) -> Answer {
    match kept {
        Kept::New(answer) => Ok(json_answer(&answer, false)),
        Kept::Again(answer) => Ok(json_answer(&answer, true)),
        Kept::KeyReused => Err(Refused::new(Code::KeyReused, "the key came with another request before")),
    }
}

async fn show(api: &Api, no: u64) -> Result<Option<wire::Account>, Refused> {
    let found =
        api.ledger.look(no, |state, a| (a.clone(), state.book.owners.get(&a.customer).copied().unwrap_or_default()));
    let Some((account, owner)) = found.await? else { return Ok(None) };
    let mut tx = api.ledger.db.read("deposit.describe").await?;
    let Some((number, product)) = store::accounts::describe(&mut tx, no).await? else { return Ok(None) };
    Ok(Some(convert::account(&account, owner, number, product)))
}

/// `GET …/accounts/{id}`
pub async fn get(State(api): State<Api>, known: Known, Path(id): Path<String>) -> Answer {
    let id: AccountId = path_id(&id)?;
    owned(&api, &known, id).await?;
    json(200, &show(&api, number_of(id)).await?.ok_or_else(Refused::not_found)?, false)
}

/// Query of `GET …/accounts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    customer: CustomerId,
}

/// `GET …/accounts?customer=`
pub async fn list(State(api): State<Api>, known: Known, Params(query): Params<Of>) -> Answer {
    if !known.may_see(&query.customer.to_string()) {
        return Err(Refused::not_found());
    }
    let mut tx = api.ledger.db.read("deposit.accounts").await?;
    let numbers = store::accounts::of_customer(&mut tx, query.customer).await?;
    drop(tx);
    let mut items = Vec::with_capacity(numbers.len());
    for no in numbers {
        items.extend(show(&api, no).await?);
    }
    json(200, &wire::Page { items, next: None }, false)
}

/// `PUT …/accounts/{id}/marks/{mark}`
pub async fn set_mark(
    State(api): State<Api>,
    known: Known,
    Path((id, mark)): Path<(String, String)>,
    Strict(body): Strict<SetMark>,
) -> Answer {
    known.operator()?;
    let id: AccountId = path_id(&id)?;
    let bit = Marks::of_account(&mark).ok_or_else(Refused::not_found)?;
    let (who, subject) = (known.caller.to_string(), id.to_string());
    let reason = operators::reason(&body.reason)?;
    let result = format!("{mark} was {}", if body.on { "set" } else { "cleared" });
    let deed = Deed { who: &who, what: "account.mark", subject: &subject, reason, result: &result };
    accounts::set_mark(&api.ledger, id, (bit, body.on), &deed).await?.ok_or_else(Refused::not_found)?;
    json(200, &show(&api, number_of(id)).await?.ok_or_else(Refused::not_found)?, false)
}

/// Body of closing: nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {}

/// `POST …/accounts/{id}/close`
pub async fn close(
    State(api): State<Api>,
    known: Known,
    Path(id): Path<String>,
    Strict(Close {}): Strict<Close>,
) -> Answer {
    let id: AccountId = path_id(&id)?;
    owned(&api, &known, id).await?;
    let today = convert::today(&api.ledger, known.now);
    match accounts::close(&api.ledger, id, today).await?.ok_or_else(Refused::not_found)? {
        Ok(()) => json(200, &show(&api, number_of(id)).await?.ok_or_else(Refused::not_found)?, false),
        Err(refusal) => Err(Refused(Box::new(Problem::refused(&refusal)))),
    }
}

/// Query of `GET …/daily-balances`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    from: Option<BusinessDate>,
    to: Option<BusinessDate>,
}

/// `GET …/accounts/{id}/daily-balances`: every day of the range, also those without a movement.
pub async fn daily_balances(
    State(api): State<Api>,
    known: Known,
    Path(id): Path<String>,
    Params(query): Params<Days>,
) -> Answer {
    let id: AccountId = path_id(&id)?;
    owned(&api, &known, id).await?;
    let today = convert::today(&api.ledger, known.now);
    let no = number_of(id);
    let account = api.ledger.look(no, |_, a| a.clone()).await?.ok_or_else(Refused::not_found)?;
    let to = query.to.unwrap_or(today).min(today);
    let from = query.from.unwrap_or(account.opened_on).max(account.opened_on).max(to.add_days(-499));
    let mut tx = api.ledger.db.read("deposit.daily_balances").await?;
    let rows = store::days::between(&mut tx, no, account.opened_on, to).await?;
    let mut items = Vec::new();
    let mut last = (0, 0u64); // closing and serial before the day
    let mut rows = rows.into_iter().peekable();
    let mut date = account.opened_on;
    while date <= to {
        let item = match rows.next_if(|r| r.date == date) {
            Some(r) => (r.opening, r.debits, r.credits, r.closing, r.last_serial.cast_unsigned()),
            None if date == account.day.date => {
                let d = account.day;
                (d.opening, d.debits, d.credits, account.ledger, account.serial)
            }
            None => (last.0, 0, 0, last.0, last.1),
        };
        last = (item.3, item.4);
        if date >= from {
            let (opening, debits, credits, closing, last_serial) = item;
            items.push(wire::DailyBalance { date, opening, debits, credits, closing, last_serial });
        }
        date = date.add_days(1);
    }
    json(200, &wire::Page { items, next: None }, false)
}
