//! The exchange's saga under the drill that all sagas pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange::{ExchangeDecidedV1, WithdrawalGivenUpV1};
use jangbu_kernel::id::{AccountId, CustomerId, PostingId, QuoteId, SagaId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::ask::Ask;
use jangbu_platform::db::{Event, Fault, Tx};
use jangbu_platform::saga::Kind;
use jangbu_platform::stand::drill::{Command, Drill, Subject};
use serde_json::{Value, json};

use crate::domain::limits::{Span, Usage};
use crate::domain::plan::{Exchange, GIVE_UP_US, Instance, Leg, State};
use crate::domain::price::{Amounts, Price, Quoted, Side};
use crate::flows::legs::Legs;
use crate::flows::saga::{Exchanging, exchange_of, text};
use crate::store::exchanges::{self, Begun};
use crate::store::limits;
use crate::store::quotes::{self, Quote};

const WON: i64 = 1_340_000;
const CENTS: i64 = 100_000;
const OFFSET: UtcOffset = UtcOffset::SEOUL;

/// An exchange, buying or selling; each run is another customer's.
struct Drilled(Side);

impl Drilled {
    fn customer(id: SagaId) -> CustomerId {
        CustomerId::from_bytes(id.to_bytes())
    }
}

fn posting(id: u128) -> PostingId {
    PostingId::from_parts(1_767_225_600_000, id)
}

impl Subject for Drilled {
    fn kind(&self, ask: &Ask) -> Arc<dyn Kind> {
        Arc::new(Exchanging(Legs::start(ask)))
    }

    fn begin<'a>(&'a self, tx: &'a mut Tx, id: SagaId) -> BoxFuture<'a, Result<String, Fault>> {
        async move {
            let (customer, quote_id) = (Drilled::customer(id), QuoteId::from_bytes(id.to_bytes()));
            let price = Price::from_hundredths(134_000).unwrap();
            let quote = Quote {
                id: quote_id,
                customer,
                side: self.0,
                quoted: Quoted { currency: Currency::USD, unit: 1, price },
                mid: price,
                discount_bp: 0,
                amounts: Amounts { foreign: CENTS, won: WON },
                expires_at: tx.now(),
                exchange: None,
                snapshot: "{}".into(),
            };
            quotes::insert(tx, &[quote]).await?;
            let firsts = Span::BOTH.map(|span| (span, span.first_day(tx.now(), OFFSET)));
            let of = firsts.map(|(span, first)| (span, first, customer));
            let mut taken = limits::taken(tx, &BTreeSet::from(of)).await?;
            of.into_iter().for_each(|limit| taken.set(limit, Usage { used: 7, reserved: WON }));
            limits::put(tx, &taken).await?;
            let account = |n| AccountId::from_parts(1_767_225_600_000, n);
            let (krw_account, fx_account) = (account(1), account(2));
            let begun = Begun {
                id: exchange_of(id),
                quote: quote_id,
                customer,
                krw_account,
                fx_account,
                firsts,
                snapshot: "{}".into(),
            };
            let _ = exchanges::insert(tx, &[begun]).await?;
            let won = Leg { instance: Instance::Krw, account: krw_account, amount: WON };
            let foreign = Leg { instance: Instance::Fx, account: fx_account, amount: CENTS };
            let (withdraw, deposit) = if self.0 == Side::Buy { (won, foreign) } else { (foreign, won) };
            let until = tx.now().plus_micros(GIVE_UP_US).micros();
            text(&Exchange { withdraw, deposit, until, state: State::Started })
        }
        .boxed()
    }

    fn answer(&self, command: &Command) -> Value {
        let kind = command.body["kind"].as_str().unwrap_or_default();
        let id = match kind {
            "debit" => 1,
            "credit" => 2,
            _ => 3,
        };
        json!({"id": posting(id), "kind": kind, "amount": command.body["amount"].as_i64().unwrap_or(WON),
               "currency": "KRW", "business_date": "2026-01-01", "posted_at": Timestamp::from_micros(0), "entries": []})
    }

    fn refuses(&self, command: &Command) -> Option<Code> {
        let nothing = PostingId::from_bytes([0; 16]).to_string();
        (command.body["posting"] == nothing).then_some(Code::PostingNotFound)
    }

    fn taken(&self, event: &Event) -> Option<Command> {
        if event.event_type != WithdrawalGivenUpV1::TYPE {
            assert_eq!(event.event_type, ExchangeDecidedV1::TYPE);
            return None;
        }
        let event: WithdrawalGivenUpV1 = serde_json::from_str(&event.payload).unwrap();
        Some(Command {
            service: event.instance,
            method: axum::http::Method::POST,
            path: "/postings".into(),
            key: event.key,
            body: json!({"kind": "reversal", "posting": event.withdrawal, "reason": event.reason}),
        })
    }

    fn flaws<'a>(
        &'a self,
        tx: &'a mut Tx,
        id: SagaId,
        accepted: &'a [Command],
        waits: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, Fault>> {
        async move {
            let count = |kind: &str| accepted.iter().filter(|c| c.body["kind"] == kind).count();
            let moved = (count("debit"), count("credit"), count("reversal"));
            let stored = exchanges::find(tx, exchange_of(id)).await?.unwrap();
            let right = match stored.state.as_str() {
                "EXCHANGE_SUCCEEDED" => moved == (1, 1, 0) && !waits && stored.deposit == Some(posting(2)),
                "EXCHANGE_FAILED" => (moved == (0, 0, 0) || moved == (1, 0, 1)) && !waits && stored.because.is_some(),
                // The books refused to take it back: a person is told, and the reservation stays.
                "WITHDRAW_CANCEL_NEEDED" => moved == (1, 0, 0) && waits,
                _ => false,
            };
            let mut flaws = Vec::new();
            if !right {
                flaws.push(format!("{} with {moved:?}, waits: {waits}", stored.state));
            }
            let expected = match stored.state.as_str() {
                "EXCHANGE_SUCCEEDED" => Usage { used: 7 + WON, reserved: 0 },
                "EXCHANGE_FAILED" => Usage { used: 7, reserved: 0 },
                _ => Usage { used: 7, reserved: WON },
            };
            for (span, first) in stored.begun.firsts {
                let usage = limits::usage(tx, Drilled::customer(id), span, first).await?;
                if usage != expected {
                    flaws.push(format!("{} stands at {usage:?}, not at {expected:?}", span.name()));
                }
            }
            let passages = exchanges::passages(tx, exchange_of(id)).await?;
            let names: Vec<&str> = passages.iter().map(|(state, ..)| state.as_str()).collect();
            if names.first() != Some(&"STARTED") || names.last() != Some(&stored.state.as_str()) {
                flaws.push(format!("the log says {names:?}"));
            }
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                flaws.push(format!("a passage leads nowhere: {names:?}"));
            }
            Ok(flaws)
        }
        .boxed()
    }
}

async fn drill(side: Side) {
    let dir = tempfile::tempdir().unwrap();
    let subject = Arc::new(Drilled(side));
    let services = &["deposit-krw", "deposit-fx"];
    let drill = Drill::new(dir.path(), crate::SERVICE.migrations, services, subject).await.unwrap();
    let runs = drill.run().await.unwrap_or_else(|found| panic!("{}", found.join("\n")));
    assert!(runs > 500, "{runs} runs");
}

#[tokio::test]
async fn buying_passes_the_drill() {
    drill(Side::Buy).await;
}

#[tokio::test]
async fn selling_passes_the_drill() {
    drill(Side::Sell).await;
}
