//! Calls in: wire to domain to flow to wire.

mod accounts;
mod postings;
mod simulation;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use jangbu_platform::ask::Ask;
use jangbu_platform::http::{BATCH_BYTES_MAX, BODY_BYTES_MAX};
use jangbu_platform::operators::Desk;

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

/// The instance's calls, under `/{instance}/v1`.
pub fn router(api: Api) -> Router {
    let (instance, desk) = (api.ledger.instance.clone(), api.desk.router());
    let batch = Router::new()
        .route("/postings/batch", post(postings::batch))
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX))
        .with_state(api.clone());
    let calls = Router::new()
        .route("/products", get(accounts::products))
        .route("/products/{code}", get(accounts::product).put(accounts::put_product))
        .route("/accounts", post(accounts::open).get(accounts::list))
        .route("/accounts/{id}", get(accounts::get))
        .route("/accounts/{id}/close", post(accounts::close))
        .route("/accounts/{id}/marks/{mark}", put(accounts::set_mark))
        .route("/accounts/{id}/entries", get(postings::entries))
        .route("/accounts/{id}/daily-balances", get(accounts::daily_balances))
        .route("/accounts/{id}/interest", get(postings::interest))
        .route("/accounts/{id}/interest-claims", post(postings::claim))
        .route("/interest-simulations", post(simulation::simulate))
        .route("/postings", post(postings::post).get(postings::by_key))
        .route("/postings/{id}", get(postings::get))
        .route("/totals", get(postings::totals))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api);
    Router::new().nest(&format!("/{instance}/v1"), batch.merge(calls).merge(desk))
}
