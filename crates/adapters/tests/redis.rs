//! Redis as the key-value store: the promises of every engine, and what a server can do to them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use jangbu_adapters::redis::{Redis, Settings};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::db::Fault;
use jangbu_platform::dice::Dice;
use jangbu_platform::kv::{CacheKey, Kv, KvLimits};
use jangbu_platform::promises::hold;
use jangbu_platform::promises::kv::{ALL, LIMITS, START, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server of these tests; without one they say so and are left out.
fn server() -> Option<String> {
    let named = std::env::var("JANGBU_TEST_REDIS").ok().filter(|url| !url.is_empty());
    if named.is_none() {
        eprintln!("left out: JANGBU_TEST_REDIS names no server; `cargo xtask servers start` prints one");
    }
    named
}

/// A namespace of a test's own.
fn settings(url: &str) -> Settings {
    let dice = Dice::from_os();
    let namespace = format!("test-{}", u128::from_be_bytes(dice.bytes()));
    Settings { url: url.to_owned(), password: None, namespace }
}

async fn open(settings: &Settings, clock: &Arc<ManualClock>, limits: KvLimits) -> Result<Kv, Fault> {
    let redis = Redis::new(settings, clock.clone(), limits)?;
    redis.preflight().await?;
    Ok(Kv::new(Arc::new(redis)))
}

fn after(micros: i64) -> Timestamp {
    START.plus_micros(micros)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_promises() {
    let Some(url) = server() else { return };
    let world = async || {
        let (settings, clock) = (settings(&url), Arc::new(ManualClock::new(START)));
        let (kv, other) = (open(&settings, &clock, LIMITS).await?, open(&settings, &clock, LIMITS).await?);
        Ok(World { kv, other, clock })
    };
    hold(ALL, world).await.unwrap();
}

/// One command to a server, by hand; its first answer as it comes.
async fn by_hand(url: &str, command: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("redis://")).await.unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_024];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_told_again() {
    let Some(url) = server() else { return };
    let clock = Arc::new(ManualClock::new(START));
    let kv = open(&settings(&url), &clock, LIMITS).await.unwrap();
    let first = kv.take_lease("turn", after(9)).await.unwrap().unwrap();
    assert_eq!(by_hand(&url, "SCRIPT FLUSH").await, "+OK\r\n");
    assert!(kv.release_lease(first).await.unwrap());
    assert_eq!(kv.count("calls", 3, after(9)).await.unwrap(), 3);
}

/// Passes bytes on to the server, until it is told to swallow them.
async fn proxy(url: &str) -> (String, Arc<std::sync::atomic::AtomicBool>) {
    let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("redis://{}", listener.local_addr().unwrap());
    let (server, swallow) = (url.trim_start_matches("redis://").to_owned(), Arc::clone(&silent));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                let swallow = Arc::clone(&swallow);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 4_096];
                    while let Ok(read @ 1..) = from.read(&mut bytes).await {
                        if !swallow.load(std::sync::atomic::Ordering::SeqCst) {
                            to.write_all(&bytes[..read]).await.unwrap();
                        }
                    }
                });
            }
        }
    });
    (address, silent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_costs_little_and_is_found_again() {
    let Some(url) = server() else { return };
    let (address, silent) = proxy(&url).await;
    let clock = Arc::new(ManualClock::new(START));
    let kv = open(&settings(&address), &clock, LIMITS).await.unwrap();
    let key = CacheKey::<String>::new("test", "a");
    kv.put(&key, &"kept".to_owned(), after(9)).await.unwrap();
    silent.store(true, std::sync::atomic::Ordering::SeqCst);
    // A thousand callers in a row: one waits, the others are told at once.
    let all = async {
        for _ in 0..1_000 {
            assert!(matches!(kv.get(&key).await, Err(Fault::Unavailable(_))));
        }
    };
    tokio::time::timeout(Duration::from_secs(2), all).await.expect("nobody waits for long");
    silent.store(false, std::sync::atomic::Ordering::SeqCst);
    let found = async {
        loop {
            match kv.get(&key).await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let value = tokio::time::timeout(Duration::from_secs(5), found).await.expect("it is found again");
    assert_eq!(value.as_deref(), Some("kept"), "and an answer that came late is nobody else's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_used_is_refused_with_the_remedy() {
    let Some(url) = server() else { return };
    let clock = Arc::new(ManualClock::new(START));
    let refused = async |settings: &Settings| {
        let fault = open(settings, &clock, LIMITS).await.unwrap_err();
        fault.to_string()
    };
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = open(&settings(&format!("redis://{nobody}")), &clock, LIMITS).await.unwrap_err();
    assert!(matches!(unreachable, Fault::Unavailable(_)), "{unreachable}");
    assert!(refused(&settings("http://x")).await.contains("is no address of it"));
    // A user who may read and not write.
    let user = "ACL SETUSER reader on >secret resetkeys ~* resetchannels -@all +info +command +get +client";
    assert_eq!(by_hand(&url, user).await, "+OK\r\n");
    let as_reader = url.replace("redis://", "redis://reader@");
    let reader = Settings { password: Some("secret".to_owned()), ..settings(&as_reader) };
    let why = refused(&reader).await;
    assert!(why.contains("allow its user these commands on the keys {test-"), "{why}");
    assert!(why.contains("evalsha"), "{why}");
    let wrong = Settings { password: Some("wrong".to_owned()), ..reader };
    let why = refused(&wrong).await;
    assert!(why.to_lowercase().contains("password") || why.contains("WRONGPASS"), "{why}");
}
