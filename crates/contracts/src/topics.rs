//! Names of topics.

/// Standing of customers, keyed by customer.
pub const CUSTOMER_STANDING: &str = "customer.standing";

/// Boards that were published, all under one key, so that they come in order.
pub const EXCHANGE_BOARDS: &str = "exchange.boards";

/// Exchanges that were decided, keyed by customer.
pub const EXCHANGE_DECIDED: &str = "exchange.decided";

/// Withdrawals of exchanges that failed, to be given back by who made them, keyed by account.
pub const EXCHANGE_GIVEN_UP: &str = "exchange.given-up";

/// Postings of a deposit instance, keyed by account.
#[must_use]
pub fn postings(instance: &str) -> String {
    format!("{instance}.postings")
}
