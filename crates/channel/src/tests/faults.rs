//! Caches that are gone, answers that are lost, cores that are down.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use jangbu_contracts::codes::Code;
use jangbu_platform::ask::{Call, Fate, Meddler};

use super::*;

#[tokio::test]
async fn without_a_cache_the_core_is_asked_each_time() {
    let bank = bank().await;
    bank.seen(1).await;
    bank.kv.cut_off(true);
    bank.krw.calls();
    for _ in 0..2 {
        assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900));
        assert_eq!(bank.krw.calls(), ["account", "interest"]);
    }
    assert_eq!((bank.counted("preview", "unreachable"), bank.counted("home", "unreachable")), (2, 2));
    assert_eq!(bank.claim(1, "k1").await.status, 201);
    assert_eq!(bank.seen(1).await.1, 0);
    bank.kv.cut_off(false);
    assert_eq!(bank.seen(1).await.1, 0, "what the claim could not drop is not shown either");
    bank.kv.wipe().await.unwrap();
    assert_eq!(bank.seen(1).await.1, 0);
    assert_eq!(bank.seen(9).await.1, 900);
}

/// Decides the fate of the next claim on its way to the core.
struct Next(Fate, AtomicBool);

impl Meddler for Next {
    fn fate(&self, _: &str, call: &Call<'_>) -> Fate {
        let first = call.path.ends_with("interest-claims") && !self.1.swap(true, SeqCst);
        if first { self.0 } else { Fate::Arrives }
    }
}

#[tokio::test]
async fn a_claim_of_unknown_outcome_is_safe_to_repeat() {
    for (fate, replay) in [(Fate::Lost, false), (Fate::AnswerLost, true)] {
        let bank = bank().await;
        bank.seen(1).await;
        bank.ask.meddle(Some(Arc::new(Next(fate, AtomicBool::new(false)))));
        let told = bank.claim(1, "k1").await;
        assert_eq!((told.status, told.code(), told.retry), (503, "UNAVAILABLE", true), "{fate:?}");
        assert!(told.body["detail"].as_str().unwrap().contains("the same key"));
        assert_eq!(bank.seen(1).await.1, if replay { 0 } else { 900 }, "{fate:?}");
        let again = bank.claim(1, "k1").await;
        assert_eq!((again.status, again.replay, &again.body["net"]), (201, replay, &900.into()), "{fate:?}");
        assert_eq!(bank.krw.paid(account(1)), 900, "paid once");
        assert_eq!(bank.seen(1).await.1, 0);
    }
    let bank = bank().await;
    bank.ask.meddle(Some(Arc::new(Next(Fate::Twice, AtomicBool::new(false)))));
    assert_eq!(bank.claim(1, "k1").await.status, 201);
    assert_eq!(bank.krw.paid(account(1)), 900);
}

#[tokio::test]
async fn refusals_are_passed_on_and_faults_between_us_are_not() {
    let bank = bank().await;
    for (code, status, told_code) in [
        (Code::Busy, 429, "BUSY"),
        (Code::Forbidden, 503, "UNAVAILABLE"),
        (Code::CredentialExpired, 503, "UNAVAILABLE"),
        (Code::Internal, 503, "UNAVAILABLE"),
        (Code::Unavailable, 503, "UNAVAILABLE"),
    ] {
        *bank.krw.refuses.lock().unwrap() = Some(code);
        let owner = bank.token(Role::Customer, &customer(1).to_string());
        let told = bank.get_as(&owner, &format!("/accounts/{}", account(1))).await;
        assert_eq!((told.status, told.code(), told.retry), (status, told_code, true), "{code:?}");
        assert_eq!(bank.claim(1, "k1").await.status, status, "{code:?}");
    }
}

#[tokio::test]
async fn a_screen_without_a_figure_still_shows_the_account() {
    let bank = bank().await;
    *bank.krw.refuses_interest.lock().unwrap() = Some(Code::Unavailable);
    let screen = bank.look(1).await;
    assert_eq!((&screen["ledger_balance"], &screen["interest"]), (&1_000.into(), &Value::Null));
    *bank.krw.refuses_interest.lock().unwrap() = None;
    assert_eq!(bank.seen(1).await.1, 900);
}

#[tokio::test]
async fn accounts_are_found_where_they_live() {
    let bank = bank().await;
    assert_eq!(bank.seen(9).await.1, 900);
    assert_eq!((bank.krw.calls(), bank.fx.calls()), (vec!["account"], vec!["account", "interest"]));
    bank.look(9).await;
    assert_eq!((bank.krw.calls(), bank.fx.calls()), (vec![], vec!["account"]), "its home is remembered");
    assert_eq!(bank.claim(9, "k1").await.status, 201);
    assert_eq!(bank.fx.calls(), ["account", "claim"]);

    let key = jangbu_platform::kv::CacheKey::<String>::new("channel.home", account(1));
    for lie in ["deposit-fx", "deposit-usd", ""] {
        bank.kv.put(&key, &lie.to_owned(), seoul("2026-02-01T00:00:00")).await.unwrap();
        assert_eq!(bank.look(1).await["id"], account(1).to_string(), "{lie}");
    }
}

#[tokio::test]
async fn an_instance_that_is_down_hides_only_its_own_accounts() {
    let bank = bank().await;
    bank.ask.close("deposit-krw");
    assert_eq!(bank.look(9).await["id"], account(9).to_string());
    let owner = bank.token(Role::Customer, &customer(1).to_string());
    for n in [1, 77] {
        let told = bank.get_as(&owner, &format!("/accounts/{}", account(n))).await;
        assert_eq!((told.status, told.code()), (503, "UNAVAILABLE"), "nobody knows whether {n} is there");
    }
}
