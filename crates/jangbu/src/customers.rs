//! The simulated customers of `jangbu up`: found again, or opened, and then living until the bank ends.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use indicatif::{ProgressBar, ProgressStyle};
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use jangbu_sim::client::{Client, Keys};
use jangbu_sim::workload::life;
use jangbu_sim::workload::town::{Tokens, Town, Ways};

/// How long a customer's credential is good; it is renewed long before.
const CUSTOMER_TTL: Duration = Duration::from_secs(86_400);
/// How long the credential of the bank's side is good.
const SERVICE_TTL: Duration = Duration::from_secs(366 * 86_400);
/// Product that they open accounts of.
const PRODUCT: &str = "toss-demand";
/// Customers after which they are kept: an end in between loses no more than these.
const KEPT_EVERY: usize = 1_000;

/// Where customers live.
pub struct Place<'a> {
    /// All calls of the bank.
    pub router: Router,
    /// Where their credentials come from.
    pub keys: Keyring,
    /// The bank's time.
    pub clock: Arc<dyn Clock>,
    /// Where they are kept.
    pub dir: &'a Path,
}

fn tokens(keys: Keyring) -> Tokens {
    Arc::new(move |role, subject| {
        let ttl = if role == Role::Customer { CUSTOMER_TTL } else { SERVICE_TTL };
        keys.issue(role, subject, RealClock.now(), ttl).map_err(|e| e.to_string())
    })
}

fn bar(count: usize) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(count as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("opening customers {wide_bar} {human_pos}/{human_len} {eta}");
    bar.with_style(style.expect("the template is right"))
}

/// Lets `count` customers live until `stop`: those kept in the directory first, new ones as far as they don't suffice.
///
/// # Errors
/// What the bank said instead of opening them, for people.
pub async fn live(place: Place<'_>, count: usize, dice: Dice, stop: Stop) -> Result<(), String> {
    let tokens = tokens(place.keys);
    let client = Client::here(place.router, &tokens(Role::Service, "town")?)?;
    let ways = Ways { client, tokens, auditor: None };
    let mut people = life::kept(place.dir)?;
    people.truncate(count);
    let known = people.len();
    // Keys follow the machine's clock: a manual one may begin again where it began before.
    let mut town = Town::of(people, &ways, Arc::new(Keys::since(RealClock.now())))?;
    let bar = bar(count - known);
    while town.people.len() < count && !stop.is_stopping() {
        let before = town.people.len() - known;
        let some = (count - town.people.len()).min(KEPT_EVERY);
        town.grow(some, &[PRODUCT], &dice, |done| bar.set_position((before + done) as u64)).await?;
        life::keep(place.dir, &town.people)?;
    }
    bar.finish_and_clear();
    crate::say(&format!("customers living here: {count} ({} new)", count - known));
    life::live(Arc::new(town), place.clock, dice, stop).await;
    Ok(())
}
