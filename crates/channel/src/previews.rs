//! What a claim would pay today, asked of the core once a day and account and kept until the bank's next midnight.
//!
//! The cache is not believed. Its key holds the day and it forgets at the instant of midnight; but what it gives is
//! shown only when its own days say that it is today's, and when the account, which is asked anew for every screen,
//! says that no claim has overtaken it ([`is_todays`]). So neither a cache that lies, nor a clock that passes midnight
//! within a request, nor a figure that was on its way here while a claim was made shows a wrong amount to pay.
//!
//! A request that began before midnight may be posted to the day that ended a little after it, so for the first minute
//! of a day nothing is kept.
//!
//! After midnight everybody looks. Different accounts never wait for each other here; those who look at the same one
//! at the same time share one question.

use jangbu_contracts::channel::InterestToday;
use jangbu_contracts::deposit::InterestPreview;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::AccountId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::defect::planted;
use jangbu_platform::edge::DEADLINE_MS_MAX;
use jangbu_platform::kv::CacheKey;
use jangbu_platform::probe;
use jangbu_platform::telemetry::Metrics;
use serde::{Deserialize, Serialize};

use crate::Channel;
use crate::domain::todays::is_todays;
use crate::flights::Flights;
use crate::instances::{self, CacheCounts, Found};

/// How often a figure is sought when midnight passes meanwhile.
const ROUNDS_MAX: usize = 3;

/// How long after midnight a request that began before it may still be posted to the day that ended, microseconds. A
/// figure from then may not be the day's last, so it is not kept.
const STILL_YESTERDAYS_US: i64 = DEADLINE_MS_MAX.cast_signed() * 1_000;

/// Previews under way, and how often the cache helped.
pub struct Previews {
    under_way: Flights<(AccountId, BusinessDate), Option<InterestToday>>,
    counts: CacheCounts,
}

impl Previews {
    /// None are under way yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self { under_way: Flights::default(), counts: CacheCounts::new(metrics, "preview") }
    }
}

/// A preview as the cache keeps it: with whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The account.
    pub account: AccountId,
    /// Day and figures.
    pub interest: InterestToday,
}

/// Where the cache keeps the preview of an account on a day.
pub fn key(id: AccountId, day: BusinessDate) -> CacheKey<Kept> {
    if planted("preview-without-day") {
        return CacheKey::new("channel.preview", format_args!("{id}"));
    }
    CacheKey::new("channel.preview", format_args!("{id}:{day}"))
}

fn fits(interest: &InterestToday, found: &Found, today: BusinessDate) -> bool {
    let days = (interest.preview.from, interest.preview.to);
    if planted("cache-believed") {
        return interest.as_of == today;
    }
    if planted("preview-without-day") {
        return interest.preview.from > found.account.interest_paid_through;
    }
    interest.as_of == today && is_todays(days, today, found.account.interest_paid_through)
}

/// Today's preview of an account; none when the core can't say it now.
pub async fn of(channel: &Channel, found: &Found) -> Option<InterestToday> {
    for _ in 0..ROUNDS_MAX {
        let today = channel.today();
        let interest = on(channel, found, today).await;
        if channel.today() == today {
            return interest;
        }
        probe::reached("preview-sought-again-since-midnight-passed");
    }
    None
}

async fn on(channel: &Channel, found: &Found, today: BusinessDate) -> Option<InterestToday> {
    if let Some(interest) = kept(channel, found, today).await {
        return Some(interest);
    }
    let Previews { under_way, .. } = &channel.previews;
    let shared = under_way.join((found.account.id, today), ask(channel, found, today)).await?;
    if fits(&shared, found, today) {
        return Some(shared);
    }
    probe::reached("preview-shared-with-one-who-asked-too-early");
    // It was begun before a claim or before midnight; this one begins now.
    ask(channel, found, today).await.filter(|interest| fits(interest, found, today))
}

/// What the cache holds, where it is today's.
async fn kept(channel: &Channel, found: &Found, today: BusinessDate) -> Option<InterestToday> {
    let counts = &channel.previews.counts;
    match channel.kv.get(&key(found.account.id, today)).await {
        Ok(Some(kept)) if kept.account == found.account.id && fits(&kept.interest, found, today) => {
            counts.hit.inc();
            return Some(kept.interest);
        }
        Ok(Some(_)) => {
            probe::reached("preview-in-the-cache-overtaken");
            counts.stale.inc();
        }
        Ok(None) => counts.miss.inc(),
        Err(_) => counts.unreachable.inc(),
    }
    None
}

/// Asks the core, and keeps what it says if it is today's.
async fn ask(channel: &Channel, found: &Found, today: BusinessDate) -> Option<InterestToday> {
    let id = found.account.id;
    let path = format!("/accounts/{id}/interest");
    let preview = instances::get::<InterestPreview>(channel, found.instance, &path).await.ok()??;
    let interest = InterestToday { as_of: preview.to.add_days(1), preview };
    let midnight = Timestamp::start_of(today, channel.offset);
    let settled = channel.clock.now().micros() - midnight.micros() > STILL_YESTERDAYS_US;
    if settled && fits(&interest, found, today) {
        let kept_days = if planted("preview-without-day") { 2 } else { 1 };
        let until = Timestamp::start_of(today.add_days(kept_days), channel.offset);
        let kept = Kept { account: id, interest: interest.clone() };
        // Not kept is asked again: losing this costs a call.
        let _ = channel.kv.put(&key(id, today), &kept, until).await;
    }
    Some(interest)
}

/// Forgets today's preview of an account. One that can't be forgotten does no harm: the account says that it is over.
pub async fn forget(channel: &Channel, id: AccountId) {
    let _ = channel.kv.forget(&key(id, channel.today())).await;
}
