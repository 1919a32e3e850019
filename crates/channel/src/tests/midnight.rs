//! Yesterday's figure is never shown: not at midnight, not by a cache that lies, not after a claim.

use jangbu_contracts::channel::InterestToday;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::Clock as _;

use super::*;
use crate::previews::{self, Kept};

impl Bank {
    pub fn today(&self) -> BusinessDate {
        self.clock.now().business_date(UtcOffset::SEOUL)
    }

    async fn kept(&self, n: u128) -> Option<Kept> {
        self.kv.get(&previews::key(account(n), self.today())).await.unwrap()
    }

    /// Puts a preview where the one of today would be.
    async fn plant(&self, n: u128, kept: &Kept) {
        let until = self.clock.now().next_midnight(UtcOffset::SEOUL);
        self.kv.put(&previews::key(account(n), self.today()), kept, until).await.unwrap();
    }
}

#[tokio::test]
async fn a_figure_ends_with_its_day_to_the_microsecond() {
    let bank = bank_at("2026-01-10T00:01:00.000001").await;
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900));
    bank.at("2026-01-10T23:59:59.999999");
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900));
    assert_eq!(bank.krw.calls(), ["account", "interest", "account"]);
    bank.at("2026-01-11T00:00:00");
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000));
    assert_eq!(bank.krw.calls(), ["account", "interest"], "a new day, a new figure");
    bank.at("2026-01-11T00:01:00");
    bank.seen(1).await;
    assert_eq!(bank.krw.calls(), ["account", "interest"], "the day that ended may still grow for a minute");
    bank.at("2026-01-11T00:01:00.000001");
    bank.seen(1).await;
    assert_eq!(bank.krw.calls(), ["account", "interest"]);
    bank.seen(1).await;
    assert_eq!(bank.krw.calls(), ["account"], "now it is kept");
}

#[tokio::test]
async fn a_figure_first_seen_late_lives_until_midnight_and_not_a_day() {
    let bank = &bank_at("2026-01-10T23:59:59.999999").await;
    bank.seen(1).await;
    let (today, tomorrow) = (bank.today(), bank.today().add_days(1));
    let kept = |day| async move { bank.kv.get(&previews::key(account(1), day)).await.unwrap().is_some() };
    assert!(kept(today).await && !kept(tomorrow).await, "each day has a place of its own");
    bank.at("2026-01-11T00:00:00");
    assert!(!kept(today).await, "it is gone, not only unseen");
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000));
}

#[tokio::test]
async fn midnight_may_pass_while_the_core_works() {
    for before in [true, false] {
        let bank = bank_at("2026-01-10T23:59:59.999999").await;
        let pass = |fake: &Fake| {
            fake.clock_to("2026-01-11T00:00:00");
        };
        let hook = if before { &bank.krw.before_interest } else { &bank.krw.after_interest };
        *hook.lock().unwrap() = Some(Box::new(pass));
        assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000), "before {before}");
        assert_eq!(bank.kept(1).await, None, "nothing is kept so early");
        bank.krw.calls();
        assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000));
        assert_eq!(bank.krw.calls(), ["account", "interest"]);
    }
}

#[tokio::test]
async fn a_cache_that_lies_is_not_believed() {
    let bank = bank().await;
    bank.seen(1).await;
    let of_the_day_before = bank.kept(1).await.unwrap();
    bank.at("2026-01-11T08:00:00");
    bank.plant(1, &of_the_day_before).await;
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000), "yesterday's figure under today's key");

    let relabelled = InterestToday { as_of: bank.today(), ..of_the_day_before.interest.clone() };
    bank.plant(1, &Kept { interest: relabelled, ..of_the_day_before.clone() }).await;
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000), "yesterday's figure that says it is today's");

    let mut his = bank.kept(1).await.unwrap();
    his.account = account(3);
    his.interest.preview.net = 5;
    bank.plant(1, &his).await;
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 1_000), "another account's figure");
    assert_eq!(bank.counted("preview", "stale"), 3);
}

#[tokio::test]
async fn a_claim_made_elsewhere_is_seen_at_once() {
    let bank = bank().await;
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900));
    bank.krw.pay(account(1)).unwrap();
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 0));
    bank.krw.calls();
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 0));
    assert_eq!(bank.krw.calls(), ["account"], "and kept from then on");
}

#[tokio::test]
async fn a_figure_on_its_way_while_a_claim_is_made_is_not_shown_later() {
    let bank = bank().await;
    let claim = |fake: &Fake| {
        let _ = fake.pay(account(1)); // the second time there is nothing to pay
    };
    *bank.krw.after_interest.lock().unwrap() = Some(Box::new(claim));
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900), "it was so when it was asked");
    assert_eq!(bank.krw.paid(account(1)), 900);
    assert_eq!(bank.kept(1).await.unwrap().interest.preview.net, 900, "and came into the cache after the claim");
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 0));
}

#[tokio::test]
async fn those_who_look_at_once_share_one_question() {
    let bank = Arc::new(bank().await);
    let look = |n: u128| {
        let bank = Arc::clone(&bank);
        tokio::spawn(async move { bank.seen(n).await })
    };
    let looks: Vec<_> = (0..60).map(|i| look(1 + i % 2)).collect();
    for seen in looks {
        assert_eq!(seen.await.unwrap(), ("2026-01-10".to_owned(), 900));
    }
    let asked = bank.krw.calls().iter().filter(|call| **call == "interest").count();
    assert_eq!(asked, 2, "one for each account");
}
