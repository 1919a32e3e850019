//! `GET …/accounts/{id}/daily-balances`

use axum::extract::State;
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::DailyBalance;
use jangbu_contracts::page::Page;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::AccountId;
use jangbu_platform::http::{InPath, Known, Params, Refused, json};
use jangbu_platform::paging::{self, ITEMS_PER_PAGE_MAX};
use serde::Deserialize;
use utoipa::IntoParams;

use super::postings::owned;
use super::{Api, wire as convert};
use crate::domain::book::Account;
use crate::domain::eligibility::number_of;
use crate::store;
use crate::store::days::DayRow;

/// Query of an account's days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// First day; the day of opening when absent or later than it.
    from: Option<BusinessDate>,
    /// Last day, included; today when absent or later.
    to: Option<BusinessDate>,
    /// Items of a page: 1-500, 500 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Every day of an account, also those without a movement, oldest first.
#[utoipa::path(
    get, path = "/accounts/{id}/daily-balances",
    params(("id" = AccountId, Path), Days),
    responses((status = 200, body = Page<DailyBalance>)),
)]
pub async fn daily_balances(
    State(api): State<Api>,
    known: Known,
    InPath(id): InPath<AccountId>,
    Params(query): Params<Days>,
) -> Result<Response, Refused> {
    owned(&api, &known, id).await?;
    let (limit, cursor) = (
        paging::limit(query.limit.or(Some(ITEMS_PER_PAGE_MAX)))?,
        paging::cursor::<BusinessDate>(query.cursor.as_deref())?,
    );
    if query.from.zip(query.to).is_some_and(|(from, to)| from > to) {
        return Err(Refused::field(Code::InvalidField, "from", "must not lie after to"));
    }
    let account = api.ledger.look(number_of(id), |a, _| a.clone()).await?.ok_or_else(Refused::not_found)?;
    let today = convert::today(&api.ledger, known.now);
    // A request of yesterday that came late belongs to the account's running day, which may be ahead of the clock's.
    let last = today.max(account.day.date);
    let to = query.to.unwrap_or(last).min(last);
    let from = cursor.or(query.from).unwrap_or(account.opened_on).max(account.opened_on);
    let page_end = from.add_days(i32::try_from(limit).unwrap_or(i32::MAX) - 1).min(to);
    let mut tx = api.ledger.db.read("deposit.daily_balances").await?;
    let before = store::days::last_before(&mut tx, account.no, from).await?;
    let rows = store::days::between(&mut tx, account.no, from, page_end).await?;
    let items = days(&account, before, &rows, from, page_end);
    let next = (page_end < to).then(|| page_end.add_days(1).to_string());
    json(200, &Page { items, next }, false)
}

/// Each day from `from` to `to`: from its row, from the account's running day, or as the day before ended.
fn days(
    account: &Account,
    before: Option<DayRow>,
    rows: &[DayRow],
    from: BusinessDate,
    to: BusinessDate,
) -> Vec<DailyBalance> {
    let day = account.day;
    let running = DailyBalance {
        date: day.date,
        opening: day.opening,
        debits: day.debits,
        credits: day.credits,
        closing: account.ledger,
        last_serial: account.serial,
    };
    let (mut closing, mut serial) = before.map_or((0, 0), |r| (r.closing, r.last_serial.cast_unsigned()));
    if day.date < from {
        (closing, serial) = (account.ledger, account.serial);
    }
    let mut rows = rows.iter().peekable();
    let mut items = Vec::new();
    let mut date = from;
    while date <= to {
        let item = match rows.next_if(|r| r.date == date) {
            Some(r) => DailyBalance {
                date,
                opening: r.opening,
                debits: r.debits,
                credits: r.credits,
                closing: r.closing,
                last_serial: r.last_serial.cast_unsigned(),
            },
            None if date == day.date => running.clone(),
            None => DailyBalance { date, opening: closing, debits: 0, credits: 0, closing, last_serial: serial },
        };
        (closing, serial) = (item.closing, item.last_serial);
        items.push(item);
        date = date.add_days(1);
    }
    items
}
