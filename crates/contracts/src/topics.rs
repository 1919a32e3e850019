//! Names of topics.

/// Standing of customers, keyed by customer.
pub const CUSTOMER_STANDING: &str = "customer.standing";

/// Postings of a deposit instance, keyed by account.
#[must_use]
pub fn postings(instance: &str) -> String {
    format!("{instance}.postings")
}
