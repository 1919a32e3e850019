//! The feed of rates in a simulation: rounds all day, now and then one that is absurd, which two people decide.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_contracts::exchange::{BoardRate, PutRates};
use jangbu_contracts::operators::{Accepted, Decision};
use jangbu_kernel::id::ApprovalId;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_platform::auth::Role;
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;
use serde::Deserialize as _;
use tokio::time::Instant;

use super::bank::Bank;
use super::office::{AGAIN_MS, TRIES_MAX, insist};
use crate::auditor::Auditor;
use crate::client::{Client, Said};

/// How long the feed is at work within a watch, and how long it rests between rounds at most, milliseconds.
const FEED_MS: u64 = 2_500;
const ROUND_MS_MAX: u64 = 900;
/// One of so many rounds is absurd.
const ABSURD_EVERY: u64 = 8;
/// Currencies with their units and the prices of the first round, hundredths of a won.
const FIRST: [(&str, i64, i64); 5] =
    [("USD", 1, 134_000), ("JPY", 100, 90_517), ("EUR", 1, 145_531), ("GBP", 1, 170_004), ("VND", 100, 527)];

/// Where prices stand.
pub struct Feed {
    dice: Dice,
    mids: Vec<(Currency, i64, i64)>,
    spread_bp: i64,
}

impl Feed {
    /// Before the first round.
    #[must_use]
    pub fn new(dice: Dice) -> Feed {
        let first = |(code, unit, mid): (&str, i64, i64)| Some((code.parse().ok()?, unit, mid));
        let spread_bp = [0, 10, 100, 175][usize::try_from(dice.below(4)).unwrap_or(0)];
        Feed { dice, mids: FIRST.into_iter().filter_map(first).collect(), spread_bp }
    }

    /// The next round: each price moves by half a per cent at most.
    fn round(&mut self) -> PutRates {
        for (_, _, mid) in &mut self.mids {
            let most = (*mid / 200).max(1);
            let by = i64::try_from(self.dice.below(2 * most.unsigned_abs() + 1)).unwrap_or(0) - most;
            *mid = (*mid + by).max(100);
        }
        PutRates { rates: self.mids.iter().map(|(c, unit, mid)| self.line(*c, *unit, *mid)).collect(), reason: None }
    }

    /// A round with a price that is far off, or with a currency missing; and which price that is.
    fn absurd(&mut self) -> (PutRates, usize, i64) {
        let mut rates = self.round();
        let at = usize::try_from(self.dice.below(self.mids.len() as u64)).unwrap_or(0);
        let (currency, unit, mid) = self.mids[at];
        let far = if mid > FIRST[at].2 { mid * 3 / 4 } else { mid * 5 / 4 };
        rates.reason = Some("as the feed has it".to_owned());
        if self.dice.below(3) == 0 {
            rates.rates.remove(at);
            return (rates, at, mid);
        }
        rates.rates[at] = self.line(currency, unit, far);
        (rates, at, far)
    }

    fn line(&self, currency: Currency, unit: i64, mid: i64) -> BoardRate {
        let spread = mid * self.spread_bp / 10_000;
        let rate = |hundredths: i64| Rate::new(hundredths, 2).unwrap_or(Rate::ZERO);
        BoardRate { currency, unit, mid: rate(mid), tts: rate(mid + spread), ttb: rate(mid - spread) }
    }
}

/// Those who publish: the feed, and two people.
struct Desk {
    feed: Client,
    first: Client,
    second: Client,
    auditor: Arc<Auditor>,
}

impl Bank {
    /// Rounds of the feed during a watch.
    ///
    /// # Errors
    /// No credential can be had.
    pub fn rounds(
        &self,
        feed: &Arc<Mutex<Feed>>,
        since: Instant,
    ) -> Result<BoxFuture<'static, Result<(), String>>, String> {
        let client = |role, name| self.client(role, name);
        let (programme, first) = (client(Role::Service, "feed")?, client(Role::Operator, "kim")?);
        let second = client(Role::Operator, "lee")?;
        let desk = Desk { feed: programme, first, second, auditor: Arc::clone(&self.auditor) };
        let feed = Arc::clone(feed);
        Ok(Box::pin(async move {
            while since.elapsed() < Duration::from_millis(FEED_MS) {
                let (pause, absurd) = {
                    let feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
                    (feed.dice.below(ROUND_MS_MAX), feed.dice.below(ABSURD_EVERY) == 0)
                };
                if absurd {
                    desk.absurd(&feed).await?;
                } else {
                    let rates = feed.lock().unwrap_or_else(PoisonError::into_inner).round();
                    desk.publish(&rates).await?;
                }
                tokio::time::sleep(Duration::from_millis(1 + pause)).await;
            }
            Ok(())
        }))
    }
}

impl Desk {
    /// Publishes a round that nobody doubts.
    async fn publish(&self, rates: &PutRates) -> Result<(), String> {
        if self.auditor.board_is_doubtful(&rates.rates) {
            return self.decide(rates, Decision::Approve).await.map(drop);
        }
        self.auditor.board_sent(&rates.rates);
        let answer = insist(|| self.feed.put_rates(rates)).await?;
        if answer.status != 200 {
            return Err(format!("a board that nobody doubts was answered by {}", answer.status));
        }
        self.auditor.board_published();
        Ok(())
    }

    async fn absurd(&self, feed: &Mutex<Feed>) -> Result<(), String> {
        let (rates, at, far, approve) = {
            let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
            let (rates, at, far) = feed.absurd();
            (rates, at, far, feed.dice.below(2) == 0)
        };
        if !self.auditor.board_is_doubtful(&rates.rates) {
            return self.publish(&rates).await; // there was none before it
        }
        let decision = if approve { Decision::Approve } else { Decision::Reject };
        self.decide(&rates, decision).await?;
        if approve {
            feed.lock().unwrap_or_else(PoisonError::into_inner).mids[at].2 = far;
        }
        Ok(())
    }

    /// One person puts a doubtful board, and another decides.
    async fn decide(&self, rates: &PutRates, decision: Decision) -> Result<(), String> {
        let answer = insist(|| self.first.put_rates(rates)).await?;
        if answer.status != 202 {
            return Err(format!("a doubtful board was answered by {}, without a second person", answer.status));
        }
        let asked = Accepted::deserialize(answer.reply()?).map_err(|e| e.to_string())?.approval;
        let alone = self.first.decide("exchange", asked, &format!("own-{asked}"), decision).await;
        if let Said::Reply(done) = alone.said {
            return Err(format!("who put a board decided it too: {done:?}"));
        }
        if decision == Decision::Approve {
            self.auditor.board_sent(&rates.rates);
        }
        self.insist_on(asked, decision).await?;
        if decision == Decision::Approve {
            self.auditor.board_published();
        }
        probe::reached("board-in-doubt-decided-by-a-second-person");
        Ok(())
    }

    async fn insist_on(&self, asked: ApprovalId, decision: Decision) -> Result<(), String> {
        for _ in 0..TRIES_MAX {
            let answer = self.second.decide("exchange", asked, &format!("second-{asked}"), decision).await;
            match answer.said {
                Said::Reply(_) => return Ok(()),
                Said::Problem(problem) if problem.code == "APPROVAL_DECIDED" => return Ok(()),
                Said::Problem(_) | Said::Unknown(_) => tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await,
            }
        }
        Err(format!("no decision in {TRIES_MAX} tries"))
    }
}
