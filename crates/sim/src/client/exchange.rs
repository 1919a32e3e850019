//! Calls of the exchange service.

use http::Method;
use jangbu_contracts::exchange::{
    AskExchange, AskQuote, Exchange, Limits, PutRates, Quote, Rates, Recheck, SetDiscount,
};
use jangbu_contracts::operators::{Approval, Decide, Decision};
use jangbu_kernel::id::{ApprovalId, CustomerId, ExchangeId};
use serde_json::Value;

use super::{Answer, Client};

impl Client {
    /// The board.
    pub async fn rates(&self) -> Answer<Rates> {
        self.get("/exchange/v1/rates").await
    }

    /// Publishes a board: answered with the board, or with the approval that it waits for.
    pub async fn put_rates(&self, rates: &PutRates) -> Answer<Value> {
        self.put("/exchange/v1/rates", rates).await
    }

    /// Decides what waits for a second person at a service.
    pub async fn decide(&self, service: &str, id: ApprovalId, key: &str, decision: Decision) -> Answer<Approval> {
        let body = Decide { decision, reason: "looked at".to_owned() };
        self.post(&format!("/{service}/v1/approvals/{id}"), Some(key), &body).await
    }

    /// Sets a discount of a `customer` or a `campaign`.
    pub async fn set_discount(&self, kind: &str, subject: &str, terms: &SetDiscount) -> Answer<SetDiscount> {
        self.put(&format!("/exchange/v1/discounts/{kind}/{subject}"), terms).await
    }

    /// Asks for a quote.
    pub async fn quote(&self, ask: &AskQuote) -> Answer<Quote> {
        self.post("/exchange/v1/quotes", None, ask).await
    }

    /// Exchanges by a quote.
    pub async fn exchange(&self, key: &str, ask: &AskExchange) -> Answer<Exchange> {
        self.post("/exchange/v1/exchanges", Some(key), ask).await
    }

    /// One exchange.
    pub async fn exchange_shown(&self, id: ExchangeId) -> Answer<Exchange> {
        self.call(Method::GET, &format!("/exchange/v1/exchanges/{id}"), None, None).await
    }

    /// Has an exchange that waits asked about at once.
    pub async fn recheck(&self, id: ExchangeId) -> Answer<Exchange> {
        let body = Recheck { reason: "it takes long".to_owned() };
        self.post(&format!("/exchange/v1/exchanges/{id}/recheck"), None, &body).await
    }

    /// A customer's limits.
    pub async fn exchange_limits(&self, customer: CustomerId) -> Answer<Limits> {
        self.get(&format!("/exchange/v1/limits/{customer}")).await
    }
}
