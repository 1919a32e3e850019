//! Calls in. All of them only look; they are for the bank's people and programs.

mod exchanges;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use jangbu_contracts::accounting as wire;
use jangbu_contracts::codes::Code as Refusal;
use jangbu_contracts::deposit as deposit_wire;
use jangbu_contracts::page::Page;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{InterestId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::Fault;
use jangbu_platform::http::{Known, Params, Refused, json, path_id};
use jangbu_platform::openapi::{self, About, Calls};
use jangbu_platform::operators::Desk;
use jangbu_platform::paging;
use jangbu_platform::service::World;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::consumers::{EXCHANGE_KIND, REVALUATION_KIND, TAX_KIND};
use crate::domain::chart::{self, CHART, Code, Side};
use crate::domain::journal::{exchange_of, unpack};
use crate::store::{self, StoredJournal, Total};

type Answer = Result<Response, Refused>;

const ABOUT: About<'_> = About {
    service: "accounting",
    title: "Accounting",
    description: "The general ledger, made from the deposit instances' postings and from exchanges: journals, trial \
                  balance, the tax withheld from interest, positions in foreign currencies, and exchanges whose books \
                  do not agree. It follows within moments.",
};

/// The calls under `/accounting/v1`.
pub fn router(world: Arc<World>, desk: &Desk) -> Router {
    let calls = Calls::default()
        .routes(routes!(chart_of_accounts))
        .routes(routes!(journals))
        .routes(routes!(journal))
        .routes(routes!(trial_balance))
        .routes(routes!(tax_payments))
        .routes(routes!(exchanges::positions))
        .routes(routes!(exchanges::exchange_breaks))
        .with_state(world);
    openapi::open(&ABOUT, calls.merge(desk.calls()))
}

fn side(side: Side) -> deposit_wire::Side {
    match side {
        Side::Debit => deposit_wire::Side::Debit,
        Side::Credit => deposit_wire::Side::Credit,
    }
}

fn of_chart(code: Code) -> Result<&'static chart::Account, Fault> {
    chart::by_code(code).ok_or_else(|| Fault::Damaged(format!("account {code} is not in the chart")))
}

/// The accounts of the general ledger, by code.
#[utoipa::path(get, path = "/chart", responses((status = 200, body = Page<wire::GlAccount>)))]
async fn chart_of_accounts(known: Known) -> Answer {
    known.staff()?;
    let account = |a: &chart::Account| wire::GlAccount {
        code: a.code.to_string(),
        account: a.account.to_owned(),
        name: a.name.to_owned(),
        class: a.class.name().to_owned(),
        normal_side: side(a.class.normal_side()),
    };
    json(200, &Page { items: CHART.iter().map(account).collect(), next: None }, false)
}

fn shown(journal: StoredJournal) -> Result<wire::Journal, Fault> {
    let StoredJournal { id, date, currency, instance, kind, posted_at, lines } = journal;
    let unpacked = unpack(&lines).ok_or_else(|| Fault::Damaged(format!("lines of {id}: {lines:?}")))?;
    let mut lines = Vec::with_capacity(unpacked.len());
    for line in unpacked {
        let account = of_chart(line.code)?.account.to_owned();
        lines.push(wire::JournalLine {
            code: line.code.to_string(),
            account,
            side: side(line.side),
            amount: line.amount,
        });
    }
    let (mut posting, mut interest, mut exchange) = (None, None, None);
    match kind.as_str() {
        TAX_KIND => interest = Some(InterestId::from_bytes(id.to_bytes())),
        EXCHANGE_KIND => exchange = Some(exchange_of(id, currency == Currency::KRW)),
        REVALUATION_KIND => {}
        _ => posting = Some(PostingId::from_bytes(id.to_bytes())),
    }
    Ok(wire::Journal {
        id,
        posting,
        interest,
        exchange,
        kind,
        instance,
        currency,
        business_date: date,
        posted_at: Timestamp::from_micros(posted_at),
        lines,
    })
}

/// Query of `GET …/journals`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Journals {
    /// Only of this day.
    business_date: Option<BusinessDate>,
    /// Only in this currency; needs a day.
    currency: Option<Currency>,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Where a list of journals goes on: after this id, of a day within this currency.
#[derive(Debug)]
struct After {
    currency: Currency,
    id: JournalId,
}

impl std::str::FromStr for After {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (currency, id) = text.split_once('-').ok_or(())?;
        Ok(After { currency: currency.parse().map_err(|_| ())?, id: id.parse().map_err(|_| ())? })
    }
}

/// Journals of a day by currency and id, or of all days by id.
#[utoipa::path(
    get, path = "/journals",
    params(Journals),
    responses((status = 200, body = Page<wire::Journal>)),
)]
async fn journals(State(world): State<Arc<World>>, known: Known, Params(query): Params<Journals>) -> Answer {
    known.staff()?;
    let limit = paging::limit(query.limit)?;
    let after: Option<After> = paging::cursor(query.cursor.as_deref())?;
    let id = after.as_ref().map(|after| after.id);
    let mut tx = world.db.read("accounting.journals").await?;
    let mut found = match (query.business_date, query.currency) {
        (None, None) => store::journals(&mut tx, id, limit + 1).await?,
        (None, Some(_)) => {
            return Err(Refused::field(Refusal::InvalidField, "business_date", "a currency is listed by day"));
        }
        (Some(date), Some(currency)) => store::journals_of(&mut tx, date, currency.code(), id, limit + 1).await?,
        (Some(date), None) => {
            let within = after.as_ref().map_or("", |after| after.currency.code());
            let mut found = store::journals_of(&mut tx, date, within, id, limit + 1).await?;
            let left = limit + 1 - u32::try_from(found.len()).unwrap_or(0);
            found.extend(store::journals_beyond(&mut tx, date, within, left).await?);
            found
        }
    };
    let next = paging::next(&mut found, limit, |journal| format!("{}-{}", journal.currency, journal.id));
    let items = found.into_iter().map(shown).collect::<Result<_, _>>()?;
    json(200, &Page { items, next }, false)
}

/// One journal. It has the id of the posting it records, or of the interest payment whose tax it moves, or (in won) of
/// the exchange, but for the prefix.
#[utoipa::path(
    get, path = "/journals/{id}",
    params(("id" = JournalId, Path)),
    responses((status = 200, body = wire::Journal)),
)]
async fn journal(State(world): State<Arc<World>>, known: Known, Path(id): Path<String>) -> Answer {
    known.staff()?;
    let id: JournalId = path_id(&id)?;
    let mut tx = world.db.read("accounting.journal").await?;
    let found = store::find_journal(&mut tx, id).await?.ok_or_else(Refused::not_found)?;
    json(200, &shown(found)?, false)
}

/// Query of `GET …/trial-balance`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Balance {
    /// Up to this day, included; today when absent.
    date: Option<BusinessDate>,
    /// In this currency.
    currency: Currency,
}

/// Debits and credits of one account: up to the day, and on it.
#[derive(Default)]
struct Sums {
    upto: [i128; 2],
    day: [i128; 2],
}

/// All accounts of one currency up to a day, and what the day itself moved.
#[utoipa::path(
    get, path = "/trial-balance",
    params(Balance),
    responses((status = 200, body = wire::TrialBalance)),
)]
async fn trial_balance(State(world): State<Arc<World>>, known: Known, Params(query): Params<Balance>) -> Answer {
    known.staff()?;
    let date = query.date.unwrap_or_else(|| known.now.business_date(world.offset));
    let mut tx = world.db.read("accounting.trial_balance").await?;
    let totals = store::totals_upto(&mut tx, query.currency, date).await?;
    drop(tx);
    json(200, &balance(date, query.currency, &totals)?, false)
}

fn balance(date: BusinessDate, currency: Currency, totals: &[Total]) -> Result<wire::TrialBalance, Fault> {
    let mut sums: BTreeMap<(Code, &str), Sums> = BTreeMap::new();
    let (mut all, mut today) = ([0; 2], [0; 2]);
    for total in totals {
        let moved = [total.debits, total.credits].map(i128::from);
        let sum = sums.entry((total.code, &total.instance)).or_default();
        for i in 0..2 {
            let on_day = if total.date == date { moved[i] } else { 0 };
            sum.upto[i] += moved[i];
            sum.day[i] += on_day;
            all[i] += moved[i];
            today[i] += on_day;
        }
    }
    let mut accounts = Vec::with_capacity(sums.len());
    for ((code, instance), Sums { upto: [debits, credits], day: [day_debits, day_credits] }) in sums {
        let account = of_chart(code)?;
        let normal_side = account.class.normal_side();
        let balance = if normal_side == Side::Debit { debits - credits } else { credits - debits };
        accounts.push(wire::TrialBalanceRow {
            code: code.to_string(),
            account: account.account.to_owned(),
            name: account.name.to_owned(),
            class: account.class.name().to_owned(),
            normal_side: side(normal_side),
            instance: instance.to_owned(),
            debits,
            credits,
            balance,
            day_debits,
            day_credits,
        });
    }
    let balanced = all[0] == all[1] && today[0] == today[1];
    Ok(wire::TrialBalance { date, currency, accounts, debits: all[0], credits: all[1], balanced })
}

/// Query of `GET …/tax-payments`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Taxes {
    /// The day of payment.
    date: BusinessDate,
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// The tax withheld on a day, payment by payment.
#[utoipa::path(
    get, path = "/tax-payments",
    params(Taxes),
    responses((status = 200, body = Page<wire::TaxPayment>)),
)]
async fn tax_payments(State(world): State<Arc<World>>, known: Known, Params(query): Params<Taxes>) -> Answer {
    known.staff()?;
    let (limit, after) = (paging::limit(query.limit)?, paging::cursor(query.cursor.as_deref())?);
    let mut tx = world.db.read("accounting.tax_payments").await?;
    let mut items = store::taxes_of(&mut tx, query.date, after, limit + 1).await?;
    let next = paging::next(&mut items, limit, |tax| tax.interest.to_string());
    json(200, &Page { items, next }, false)
}
