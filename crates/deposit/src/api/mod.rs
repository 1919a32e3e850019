//! Calls in: wire to domain to flow to wire.

mod accounts;
mod days;
mod postings;
mod products;
mod simulation;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use jangbu_platform::ask::Ask;
use jangbu_platform::http::{BATCH_BYTES_MAX, BODY_BYTES_MAX};
use jangbu_platform::openapi::{self, About, Calls};
use jangbu_platform::operators::Desk;
use utoipa_axum::routes;

use crate::combiner::Combiner;
use crate::flows::totals::Prover;
use crate::ledger::Ledger;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The way in for commands.
    pub combiner: Combiner,
    /// The sums that prove the books.
    pub prover: Arc<Prover>,
    /// The calls for operators.
    pub desk: Desk,
    /// The way to the other services.
    pub ask: Ask,
}

const DESCRIPTION: &str = "Accounts, postings, holds, daily balances and interest of one instance. Money is an integer \
    in the currency's minor unit. Calls that change money or a contract take an Idempotency-Key and may be sent again.";

/// The instance's calls, under `/{instance}/v1`.
pub fn router(api: Api) -> Router {
    let (instance, desk) = (api.ledger.instance.clone(), api.desk.calls());
    let batch = Calls::default()
        .routes(routes!(postings::post_batch))
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX))
        .with_state(api.clone());
    let calls = Calls::default()
        .routes(routes!(products::list_products))
        .routes(routes!(products::show_product, products::put_product))
        .routes(routes!(accounts::open_account, accounts::list_accounts))
        .routes(routes!(accounts::show_account))
        .routes(routes!(accounts::close_account))
        .routes(routes!(accounts::set_account_mark))
        .routes(routes!(postings::entries))
        .routes(routes!(days::daily_balances))
        .routes(routes!(postings::preview_interest))
        .routes(routes!(postings::claim_interest))
        .routes(routes!(simulation::simulate_interest))
        .routes(routes!(postings::post_command, postings::find_posting))
        .routes(routes!(postings::show_posting))
        .routes(routes!(postings::show_reversal))
        .routes(routes!(postings::totals))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api);
    let about = About { service: &instance, title: "Deposits", description: DESCRIPTION };
    openapi::open(&about, batch.merge(calls).merge(desk))
}
