//! A deposit instance of a few lines: every account earns a hundred won a day from the first of January 2026 on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit as wire;
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, InterestId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::db::Answer;
use jangbu_platform::http::{Keyed, Known, Params, Refused, Strict, json, json_answer, path_id};

/// Net interest of a day.
const NET_A_DAY: i64 = 100;

/// Something done around an answer, with the instance at hand.
type Hook = Box<dyn Fn(&Fake) + Send + Sync>;

/// The instance.
pub struct Fake {
    name: &'static str,
    clock: Arc<ManualClock>,
    state: Mutex<FakeState>,
    /// Done before an interest figure is worked out.
    pub before_interest: Mutex<Option<Hook>>,
    /// Done after it was worked out, before it is sent.
    pub after_interest: Mutex<Option<Hook>>,
    /// Answered in place of everything.
    pub refuses: Mutex<Option<Code>>,
    /// Answered in place of interest figures.
    pub refuses_interest: Mutex<Option<Code>>,
}

#[derive(Default)]
struct FakeState {
    accounts: HashMap<AccountId, FakeAccount>,
    keys: HashMap<String, (AccountId, Answer)>,
    calls: Vec<&'static str>,
}

/// One of its accounts.
pub struct FakeAccount {
    pub customer: CustomerId,
    pub balance: i64,
    pub paid_through: BusinessDate,
    pub paid: i64,
}

fn day(text: &str) -> BusinessDate {
    text.parse().unwrap()
}

impl Fake {
    pub fn new(name: &'static str, clock: Arc<ManualClock>) -> Arc<Fake> {
        Arc::new(Fake {
            name,
            clock,
            state: Mutex::default(),
            before_interest: Mutex::default(),
            after_interest: Mutex::default(),
            refuses: Mutex::default(),
            refuses_interest: Mutex::default(),
        })
    }

    pub fn open(&self, id: AccountId, customer: CustomerId) {
        let opened = FakeAccount { customer, balance: 1_000, paid_through: day("2025-12-31"), paid: 0 };
        self.state.lock().unwrap().accounts.insert(id, opened);
    }

    pub fn change(&self, id: AccountId, how: impl Fn(&mut FakeAccount)) {
        how(self.state.lock().unwrap().accounts.get_mut(&id).unwrap());
    }

    /// The calls since the last look.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// All interest that an account was paid.
    pub fn paid(&self, id: AccountId) -> i64 {
        self.state.lock().unwrap().accounts[&id].paid
    }

    pub fn today(&self) -> BusinessDate {
        self.clock.now().business_date(UtcOffset::SEOUL)
    }

    /// Time passes while it works.
    pub fn clock_to(&self, text: &str) {
        self.clock.advance_to(super::seoul(text));
    }

    /// Pays as a claim does, outside of the channel too; none when nothing is left to pay.
    pub fn pay(&self, id: AccountId) -> Option<wire::InterestPayment> {
        let to = self.today().add_days(-1);
        let mut state = self.state.lock().unwrap();
        let account = state.accounts.get_mut(&id)?;
        let from = account.paid_through.add_days(1);
        let net = i64::from(from.days_until(to) + 1) * NET_A_DAY;
        if net <= 0 {
            return None;
        }
        account.paid_through = to;
        account.paid += net;
        let (id, posting) = (InterestId::from_parts(1, 1), PostingId::from_parts(1, 1));
        let (gross, income_tax, local_tax, other_tax) = (net, 0, 0, 0);
        Some(wire::InterestPayment { id, from, to, gross, income_tax, local_tax, other_tax, net, posting })
    }

    fn call(&self, what: &'static str, known: &Known) -> Result<(), Refused> {
        assert_eq!(known.caller.to_string(), "service:channel");
        self.state.lock().unwrap().calls.push(what);
        match *self.refuses.lock().unwrap() {
            Some(code) => Err(Refused::new(code, "told to refuse")),
            None => Ok(()),
        }
    }

    fn shown(&self, id: AccountId) -> Result<wire::Account, Refused> {
        let state = self.state.lock().unwrap();
        let account = state.accounts.get(&id).ok_or_else(Refused::not_found)?;
        Ok(wire::Account {
            id,
            number: format!("{}-1", self.name),
            customer: account.customer,
            product: "demand".into(),
            currency: Currency::KRW,
            status: "active".into(),
            marks: Vec::new(),
            ledger_balance: account.balance,
            held: 0,
            available_balance: account.balance,
            last_serial: 0,
            opened_on: day("2026-01-01"),
            closed_on: None,
            interest_paid_through: account.paid_through,
        })
    }

    fn preview(&self, id: AccountId) -> Result<wire::InterestPreview, Refused> {
        let from = self.shown(id)?.interest_paid_through.add_days(1);
        let to = self.today().add_days(-1);
        let days = (from.days_until(to) + 1).max(0);
        let net = i64::from(days) * NET_A_DAY;
        let rate = "0.02".parse().unwrap();
        let period = wire::InterestPeriod { from, to, days, balance: 1_000, rate, interest: net.to_string() };
        let (income_tax, local_tax, other_tax, periods) = (0, 0, 0, vec![period]);
        Ok(wire::InterestPreview { from, to, gross: net, income_tax, local_tax, other_tax, net, periods })
    }

    fn hook(&self, hook: &Mutex<Option<Hook>>) {
        if let Some(hook) = &*hook.lock().unwrap() {
            hook(self);
        }
    }
}

/// Its calls.
pub fn router(fake: &Arc<Fake>) -> Router {
    let calls = Router::new()
        .route("/accounts", get(list))
        .route("/accounts/{id}", get(account))
        .route("/accounts/{id}/interest", get(interest))
        .route("/accounts/{id}/interest-claims", post(claim))
        .with_state(Arc::clone(fake));
    Router::new().nest(&format!("/{}/v1", fake.name), calls)
}

type Said = Result<Response, Refused>;

#[derive(serde::Deserialize)]
struct Of {
    customer: CustomerId,
}

async fn list(State(fake): State<Arc<Fake>>, known: Known, Params(of): Params<Of>) -> Said {
    fake.call("list", &known)?;
    let mut ids: Vec<AccountId> = fake.state.lock().unwrap().accounts.keys().copied().collect();
    ids.sort();
    let mut items = ids.into_iter().map(|id| fake.shown(id)).collect::<Result<Vec<_>, _>>()?;
    items.retain(|account| account.customer == of.customer);
    json(200, &Page { items, next: None }, false)
}

async fn account(State(fake): State<Arc<Fake>>, known: Known, Path(id): Path<String>) -> Said {
    fake.call("account", &known)?;
    json(200, &fake.shown(path_id(&id)?)?, false)
}

async fn interest(State(fake): State<Arc<Fake>>, known: Known, Path(id): Path<String>) -> Said {
    fake.call("interest", &known)?;
    // Others get their turn here, as they do while a real instance works.
    tokio::task::yield_now().await;
    if let Some(code) = *fake.refuses_interest.lock().unwrap() {
        return Err(Refused::new(code, "told to refuse"));
    }
    fake.hook(&fake.before_interest);
    let preview = fake.preview(path_id(&id)?)?;
    fake.hook(&fake.after_interest);
    json(200, &preview, false)
}

async fn claim(
    State(fake): State<Arc<Fake>>,
    known: Known,
    Keyed(key): Keyed,
    Path(id): Path<String>,
    Strict(jangbu_contracts::channel::ClaimInterest {}): Strict<jangbu_contracts::channel::ClaimInterest>,
) -> Said {
    fake.call("claim", &known)?;
    let id: AccountId = path_id(&id)?;
    if let Some((of, answer)) = fake.state.lock().unwrap().keys.get(&key.key) {
        if *of != id {
            return Err(Refused::new(Code::KeyReused, "the key came with another request before"));
        }
        return Ok(json_answer(answer, true));
    }
    let answer = match fake.pay(id) {
        Some(payment) => Answer { status: 201, body: serde_json::to_string(&payment).unwrap() },
        None => {
            let problem = Problem::refused(&[(Code::AlreadyClaimed, "interest is paid once a day".into())]);
            Answer { status: problem.status, body: serde_json::to_string(&problem).unwrap() }
        }
    };
    fake.state.lock().unwrap().keys.insert(key.key, (id, answer.clone()));
    Ok(json_answer(&answer, false).into_response())
}
