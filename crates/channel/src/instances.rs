//! The deposit instances as the channel sees them: which of them has an account, and what it says about it.
//!
//! | step | calls |
//! |---|---|
//! | account whose instance is remembered, or won account | one |
//! | foreign-currency account seen for the first time | two |
//!
//! Ids don't say where their account is. The cache remembers it, which saves a call; where an account is not, the
//! other instances are asked all the same. The channel asks with a credential of its own that may see everything, so
//! the owner in the core's answer is compared with the caller here, before anything is shown or done.

use jangbu_contracts::deposit::Account;
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_platform::ask::Outcome;
use jangbu_platform::db::Fault;
use jangbu_platform::http::Known;
use jangbu_platform::kv::CacheKey;
use jangbu_platform::telemetry::{Counter, Metrics};
use serde::de::DeserializeOwned;

use crate::Channel;

/// Where accounts live; the instance with the most first.
pub const INSTANCES: [&str; 2] = ["deposit-krw", "deposit-fx"];
/// How long it is remembered where an account lives, in microseconds: a week. It never moves.
const HOME_KEPT_US: i64 = 7 * 86_400_000_000;

/// How often the cache helped.
pub struct CacheCounts {
    /// It knew.
    pub hit: Counter,
    /// It did not know.
    pub miss: Counter,
    /// What it knew was of another day or overtaken by a claim.
    pub stale: Counter,
    /// It could not be reached.
    pub unreachable: Counter,
}

impl CacheCounts {
    /// Counts for one kind of thing.
    pub fn new(metrics: &Metrics, what: &str) -> Self {
        let counter = |result: &str| {
            let labels = [("what", what), ("result", result)];
            metrics.counter("jangbu_channel_cache_total", "Questions to the channel's cache.", &labels)
        };
        Self {
            hit: counter("hit"),
            miss: counter("miss"),
            stale: counter("stale"),
            unreachable: counter("unreachable"),
        }
    }
}

/// Remembers where accounts live.
pub struct Homes(CacheCounts);

impl Homes {
    /// Remembers nothing yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self(CacheCounts::new(metrics, "home"))
    }
}

/// An account and where it lives.
pub struct Found {
    /// The instance.
    pub instance: &'static str,
    /// As it is now.
    pub account: Account,
}

fn home_key(id: AccountId) -> CacheKey<String> {
    CacheKey::new("channel.home", id)
}

async fn remembered(channel: &Channel, id: AccountId) -> Option<&'static str> {
    let counts = &channel.homes.0;
    match channel.kv.get(&home_key(id)).await {
        Ok(home) => {
            let known = INSTANCES.into_iter().find(|instance| home.as_deref() == Some(instance));
            if known.is_some() {
                counts.hit.inc()
            } else {
                counts.miss.inc()
            }
            known
        }
        Err(_) => {
            counts.unreachable.inc();
            None
        }
    }
}

/// A refusal of a question that asks nothing special: the core is at its limit, or there is a fault between us.
fn faulty(instance: &str, problem: &Problem) -> Fault {
    if problem.status == 429 {
        return Fault::Busy(problem.detail.clone());
    }
    tracing::error!(instance, code = problem.code, "the core refused a question of the channel");
    Fault::Unavailable("the core could not be asked; try again".into())
}

fn unknown(instance: &str, why: &str) -> Fault {
    tracing::warn!(instance, why, "the core did not answer");
    Fault::Unavailable("the core did not answer; try again".into())
}

/// Asks an instance for something; none when it is not there.
///
/// # Errors
/// It is busy, or nobody knows what it would say.
pub async fn get<T: DeserializeOwned>(channel: &Channel, instance: &str, path: &str) -> Result<Option<T>, Fault> {
    match channel.ask.get(instance, path).await {
        Outcome::Reply(reply) => Ok(Some(reply)),
        Outcome::Refusal(problem) if problem.status == 404 => Ok(None),
        Outcome::Refusal(problem) => Err(faulty(instance, &problem)),
        Outcome::Unknown(why) => Err(unknown(instance, &why)),
    }
}

/// An account as it is now, if there is one that the caller may see.
///
/// # Errors
/// An instance that may have it can't be asked.
pub async fn find(channel: &Channel, known: &Known, id: AccountId) -> Result<Option<Found>, Fault> {
    let home = remembered(channel, id).await;
    let others = INSTANCES.into_iter().filter(|instance| Some(*instance) != home);
    let mut failed = None;
    for instance in home.into_iter().chain(others) {
        let account = match get::<Account>(channel, instance, &format!("/accounts/{id}")).await {
            Ok(account) => account.filter(|account| account.id == id),
            Err(fault) => {
                failed = Some(fault);
                continue;
            }
        };
        let Some(account) = account else { continue };
        if home != Some(instance) {
            let until = channel.clock.now().plus_micros(HOME_KEPT_US);
            // Not remembered is asked again: losing this costs a call.
            let _ = channel.kv.put(&home_key(id), &instance.to_owned(), until).await;
        }
        return Ok(known.may_see(&account.customer.to_string()).then_some(Found { instance, account }));
    }
    failed.map_or(Ok(None), Err)
}

/// All accounts of a customer at one instance.
///
/// # Errors
/// It can't be asked.
pub async fn accounts_of(channel: &Channel, instance: &str, customer: CustomerId) -> Result<Vec<Account>, Fault> {
    let page: Option<Page<Account>> = get(channel, instance, &format!("/accounts?customer={customer}")).await?;
    let mut accounts = page.map_or_else(Vec::new, |page| page.items);
    accounts.retain(|account| account.customer == customer);
    Ok(accounts)
}
