//! Whatever comes in: it is answered by a documented code, and what is not accepted changes nothing.

use axum::body::Body;
use jangbu_platform::auth::Role;
use jangbu_platform::stand::Got;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::world::World;

/// A world that lives through many cases, and what its books were at first.
struct Noisy {
    runtime: Runtime,
    world: World,
    commands: Vec<Value>,
    books: String,
}

impl Noisy {
    fn new() -> Noisy {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (world, commands, books) = runtime.block_on(async {
            let world = World::krw().await;
            let (a, _) = world.account("demand", 1_000_000).await;
            let (b, _) = world.account("demand", 1_000_000).await;
            let hold = world.posted(&json!({"kind": "hold", "account": a, "amount": 1_000})).await.text_of("hold");
            let debit = json!({"kind": "debit", "account": a, "amount": 5, "target": "cash"});
            let posting = world.posted(&debit).await.text_of("id");
            let commands = vec![
                json!({"kind": "credit", "account": a, "amount": 10, "source": "cash", "memo": "in"}),
                json!({"kind": "debit", "account": a, "amount": 10, "target": "nostro"}),
                json!({"kind": "transfer", "from": a, "to": b, "amount": 10, "memo": "rent"}),
                json!({"kind": "hold", "account": b, "amount": 10, "until": "2024-01-01T00:00:00Z"}),
                json!({"kind": "capture", "hold": hold, "amount": 10, "target": "cash"}),
                json!({"kind": "release", "hold": hold}),
                json!({"kind": "reversal", "posting": posting, "reason": "slip"}),
            ];
            let books = world.books().await;
            (world, commands, books)
        });
        Noisy { runtime, world, commands, books }
    }

    /// Runs many cases; each sends something and looks at the answer.
    fn check<S: Strategy>(&mut self, cases: u32, strategy: S, send: impl AsyncFn(&World, &[Value], S::Value) -> Got)
    where
        S::Value: Clone,
    {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let (runtime, world, commands) = (&self.runtime, &self.world, &self.commands);
        let mut books = self.books.clone();
        let books = std::cell::RefCell::new(&mut books);
        let ran = runner.run(&strategy, |case| {
            runtime.block_on(async {
                let got = send(world, commands, case).await;
                prop_assert!(got.status < 500, "{} {}", got.status, got.text);
                let now = world.books().await;
                let mut books = books.borrow_mut();
                if got.status >= 400 {
                    prop_assert_eq!(&now, &**books, "{} {}", got.status, got.text);
                }
                **books = now;
                Ok(())
            })
        });
        ran.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Any JSON that is not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop_oneof![Just(0i64), Just(-1), Just(1), Just(1_000_000_000_000_000), Just(1_000_000_000_000_001)]
            .prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,20}".prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop_oneof!["acc", "cus", "pst", "hld"].prop_map(|p| Value::from(format!("{p}_00000000000000000000000009"))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// A change of a command: a field taken out, put in, or given another value.
#[derive(Clone, Debug)]
enum Change {
    Without(prop::sample::Index),
    With(String, Value),
    Other(prop::sample::Index, Value),
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop_oneof![Just("kind"), Just("amount"), Just("from"), Just("hold"), Just("memo"), Just("until")];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Change::Without),
        ("[a-z]{1,9}", any_json()).prop_map(|(name, value)| Change::With(name, value)),
        (name, any_json()).prop_map(|(name, value)| Change::With(name.to_owned(), value)),
        (any::<prop::sample::Index>(), any_json()).prop_map(|(at, value)| Change::Other(at, value)),
    ]
}

fn changed(command: &Value, change: Change) -> Value {
    let mut fields = command.as_object().unwrap().clone();
    let name = |at: prop::sample::Index| fields.keys().nth(at.index(fields.len())).unwrap().clone();
    match change {
        Change::Without(at) => {
            let name = name(at);
            fields.remove(&name);
        }
        Change::With(name, value) => {
            fields.insert(name, value);
        }
        Change::Other(at, value) => {
            let name = name(at);
            fields.insert(name, value);
        }
    }
    fields.into()
}

#[test]
fn changed_commands() {
    let strategy = (any::<prop::sample::Index>(), change(), any::<bool>());
    Noisy::new().check(300, strategy, async |world, commands, (at, change, in_batch)| {
        let command = changed(&commands[at.index(commands.len())], change);
        let key = format!("n-{}", world.dice.u64());
        if !in_batch {
            return world.post(&world.service, "/postings", &key, &command).await;
        }
        let mut keyed = command.as_object().unwrap().clone();
        keyed.insert("key".to_owned(), key.into());
        let mut got = world.post(&world.service, "/postings/batch", "none", &json!({"commands": [keyed]})).await;
        // A batch says of each command what became of it.
        if got.status == 200 {
            got.status = u16::try_from(got.json()["outcomes"][0]["status"].as_u64().unwrap()).unwrap();
        }
        got
    });
}

#[test]
fn any_bytes_and_any_json() {
    let paths = prop_oneof![
        Just("/postings"),
        Just("/postings/batch"),
        Just("/accounts"),
        Just("/interest-simulations"),
        Just("/accounts/acc_00000000000000000000000009/close"),
    ];
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        any_json().prop_map(|json| json.to_string().into_bytes()),
        "[\\[\\]{}\",:0-9a-z\\\\]{0,60}".prop_map(String::into_bytes),
    ];
    Noisy::new().check(300, (paths, bodies), async |world, _, (path, body)| {
        let request = world.request(&world.service, "POST", path).header("idempotency-key", "any");
        let got = world.call(request.header("content-type", "application/json"), body).await;
        assert!(got.status >= 400, "{path}: {}", got.text);
        got
    });
}

#[test]
fn changed_tokens_are_not_taken() {
    let strategy = (any::<prop::sample::Index>(), "[A-Za-z0-9._-]", any::<bool>());
    Noisy::new().check(200, strategy, async |world, _, (at, other, customer)| {
        let token = if customer { world.token(Role::Customer, "cus_x") } else { world.operator.clone() };
        let mut forged = token.clone();
        let at = at.index(forged.len());
        forged.replace_range(at..=at, &other);
        let got = world.get(&forged, "/accounts").await;
        assert_eq!(got.status == 401, forged != token, "{}", got.text);
        got
    });
}

#[test]
fn keys_are_printable_and_short() {
    let keys = prop_oneof![prop::collection::vec(any::<u8>(), 0..80), prop::collection::vec(0x20u8..0x7f, 0..70)];
    Noisy::new().check(200, keys, async |world, commands, key| {
        let request = world.request(&world.service, "POST", "/postings").header("content-type", "application/json");
        // Spaces around a header's value are not a part of it.
        let said = key.trim_ascii();
        let good = (1..=64).contains(&said.len()) && said.iter().all(|b| (0x20..0x7f).contains(b));
        let Ok(value) = axum::http::HeaderValue::from_bytes(said) else {
            return world.call(request, Body::empty()).await;
        };
        let got = world.call(request.header("idempotency-key", value), commands[0].to_string()).await;
        let wanted = if good { "" } else { "KEY_INVALID" };
        assert!(got.code() == wanted || got.code() == "KEY_REUSED", "{said:?}: {}", got.text);
        got
    });
}
