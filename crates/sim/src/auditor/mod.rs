//! Judges every answer of the bank against the model.
//!
//! Many callers may be under way at once. Each request is noted when it is sent and when it is answered; nothing is
//! judged before all is at rest. Then what was posted is put in the order in which the bank posted it and carried out
//! in the model one by one: each must have been acceptable at its place, and be told as the model has it. What was
//! refused must have been refusable, with the same codes, at some place between its sending and its answer. A request
//! whose answer was lost stays open until its key was asked.

mod books;
mod compare;
mod events;
pub mod fx;
mod judge;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jangbu_contracts::customer::{Customer, Kind};
use jangbu_contracts::deposit::{Account, InterestPayment, Posting};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId, PostingId};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::Clock;
use serde_json::Value;

use crate::model::rules::What;
use crate::model::{self, Model, terms};
use crate::teller::through_channel;

/// What makes a request one and the same: instance, caller (role, colon, subject), key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Instance.
    pub instance: String,
    /// Caller.
    pub caller: String,
    /// Idempotency key.
    pub key: String,
}

/// What a caller heard.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A posting.
    Posting(Posting),
    /// An interest payment.
    Payment(InterestPayment),
    /// A problem.
    Problem(Box<Problem>),
    /// Nothing.
    Nothing,
}

/// A request under way.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    /// Another request than the one that was decided under this key.
    altered: bool,
    /// It was decided before this sending.
    decided: bool,
}

/// What became of a request.
#[derive(Clone, Debug)]
enum Fate {
    /// Nobody knows.
    Open,
    /// Its key was asked, and the bank has never seen it.
    Absent,
    /// Posted.
    Posted(Box<Told>),
    /// Refused for ever.
    Refused(Box<Problem>),
    /// Turned away; its key stays unused.
    TurnedAway(String),
}

/// What the bank told of something that it posted.
#[derive(Clone, Debug)]
struct Told {
    id: PostingId,
    posting: Option<Posting>,
    payment: Option<InterestPayment>,
}

#[derive(Debug)]
struct Request {
    what: What,
    fate: Fate,
    /// When it was sent and answered, counted in events.
    begun: u64,
    ended: u64,
    /// The same by the clock.
    begun_at: Timestamp,
    ended_at: Timestamp,
    /// Sendings without an answer yet.
    under_way: u32,
    /// All sendings.
    sendings: u32,
    /// Answers that said they were the first.
    firsts: u32,
}

/// What is kept under one lock.
#[derive(Default)]
struct State {
    model: Model,
    events: u64,
    requests: HashMap<Key, Request>,
    /// Requests not judged yet.
    fresh: Vec<Key>,
    findings: Vec<String>,
    /// Accounts that may have changed since they were compared.
    touched: HashSet<AccountId>,
    /// Keys that the network delivered twice, or that may be by those on the way.
    repeated: HashSet<String>,
    /// What customers saw of their accounts, not judged yet.
    looks: Vec<books::Look>,
    /// Balances as the bank told them last, and entries compared.
    told: HashMap<AccountId, (i64, u64)>,
    /// Foreign exchange.
    fx: fx::Fx,
}

/// The auditor. Shared by all callers.
pub struct Auditor {
    /// Not ahead of the bank's time.
    clock: Arc<dyn Clock>,
    /// Not behind it.
    ahead: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// Codes of problems that are not kept under the key.
const NOT_KEPT: [&str; 4] = ["SAME_ACCOUNT", "UNKNOWN_BANK_ACCOUNT", "KEY_REUSED", "CLOCK_BACKWARDS"];

fn is_kept(problem: &Problem) -> bool {
    problem.status == 422 && !NOT_KEPT.contains(&problem.code.as_str())
}

/// The codes of a problem.
#[must_use]
pub fn codes(problem: &Problem) -> BTreeSet<String> {
    let mut codes: BTreeSet<String> = problem.failures.iter().map(|f| f.code.clone()).collect();
    codes.insert(problem.code.clone());
    codes
}

impl Auditor {
    /// An auditor of a new bank that lives by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Auditor {
        Auditor { ahead: Arc::clone(&clock), clock, state: Mutex::default() }
    }

    /// The same where the bank's clock is moved under load: `ahead` is moved before it, `clock` after it, so that between
    /// them lies whatever time the bank took for a request. Holds must not lapse there.
    #[must_use]
    pub fn with_ahead(self, ahead: Arc<dyn Clock>) -> Auditor {
        Auditor { ahead, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next comparison read every account anew, from its first entry.
    pub fn touch_everything(&self) {
        let mut state = self.state();
        state.touched = state.model.accounts.keys().copied().collect();
        state.told.clear();
        state.fx.reread();
    }

    /// The network delivered a request with this key twice, though its caller sent it once.
    pub fn repeated_on_the_way(&self, key: &str) {
        self.state().repeated.insert(key.to_owned());
    }

    /// The present day of the bank.
    #[must_use]
    pub fn today(&self) -> BusinessDate {
        self.clock.now().business_date(UtcOffset::SEOUL)
    }

    /// Looks at the model.
    pub fn look<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.state().model)
    }

    /// A customer was registered.
    pub fn registered(&self, customer: &Customer) {
        let marks = customer.marks.iter().cloned().collect();
        let person = customer.kind == Kind::Person;
        self.state().model.customers.insert(customer.id, model::Customer { person, marks });
    }

    /// An account was opened.
    pub fn opened(&self, instance: &str, account: &Account) {
        let mut state = self.state();
        if (account.ledger_balance, account.held, account.last_serial) != (0, 0, 0) {
            state.findings.push(format!("{} was opened, but not empty", account.id));
        }
        let opened = model::Account {
            instance: instance.to_owned(),
            customer: account.customer,
            product: account.product.clone(),
            currency: account.currency,
            opened_on: account.opened_on,
            closed_on: None,
            marks: BTreeSet::new(),
            coming: BTreeSet::new(),
            entries: Vec::new(),
            running: account.opened_on,
            counted: std::collections::BTreeMap::new(),
            paid_through: account.opened_on.add_days(-1),
            holds: Vec::new(),
        };
        state.model.accounts.insert(account.id, opened);
        state.touched.insert(account.id);
    }

    /// A mark of a customer was set or cleared. Only at rest: nobody knows when it reaches requests under way.
    pub fn customer_marked(&self, id: CustomerId, mark: &str, on: bool) {
        let State { model, touched, .. } = &mut *self.state();
        if let Some(customer) = model.customers.get_mut(&id) {
            set(&mut customer.marks, mark, on);
        }
        touched.extend(model.accounts.iter().filter(|(_, account)| account.customer == id).map(|(id, _)| *id));
    }

    /// A mark of an account was set or cleared. Only at rest.
    pub fn account_marked(&self, id: AccountId, mark: &str, on: bool) {
        let mut state = self.state();
        state.touched.insert(id);
        if let Some(account) = state.model.accounts.get_mut(&id) {
            set(&mut account.marks, mark, on);
        }
    }

    /// A mark of an account is about to be set while requests are under way; at rest it is set.
    pub fn account_being_marked(&self, id: AccountId, mark: &str) {
        let mut state = self.state();
        state.touched.insert(id);
        if let Some(account) = state.model.accounts.get_mut(&id) {
            account.coming.insert(mark.to_owned());
        }
    }

    /// An account was closed, or refused to be, with a code. Only at rest.
    pub fn closed(&self, id: AccountId, refused: Option<&str>) {
        let today = self.today();
        let mut state = self.state();
        let (empty, held) = (state.model.available(id) == 0, state.model.held(id));
        let Some(account) = state.model.accounts.get_mut(&id) else { return };
        let expected = match account.closed_on {
            Some(_) => Some("ACCOUNT_CLOSED"),
            None if !empty || held != 0 => Some("ACCOUNT_NOT_EMPTY"),
            None => None,
        };
        if refused.is_none() {
            account.closed_on = account.closed_on.or(Some(today));
        }
        if refused != expected {
            state.findings.push(format!("closing {id} gave {refused:?}, should give {expected:?}"));
        }
        state.touched.insert(id);
    }

    /// A version of a product's terms.
    ///
    /// # Errors
    /// They can't be read.
    pub fn product(&self, instance: &str, written: &Value) -> Result<(), String> {
        let (code, from, version) = terms::read(written)?;
        let mut state = self.state();
        state.model.products.entry((instance.to_owned(), code)).or_default().insert(from, version);
        Ok(())
    }

    /// A request is about to be sent, for the first time or again. Another request under a key that was decided is
    /// expected to be refused for that.
    pub fn begin(&self, key: Key, what: What) -> Ticket {
        let now = self.clock.now();
        let mut state = self.state();
        state.events += 1;
        let begun = state.events;
        let known = state.requests.get(&key);
        let free = known.is_none_or(|r| matches!(r.fate, Fate::TurnedAway(_) | Fate::Absent) && r.under_way == 0);
        if free {
            let sendings = known.map_or(0, |r| r.sendings);
            let request = Request {
                what,
                fate: Fate::Open,
                begun,
                ended: u64::MAX,
                begun_at: now,
                ended_at: now,
                under_way: 1,
                sendings: sendings + 1,
                firsts: 0,
            };
            state.requests.insert(key.clone(), request);
            state.fresh.push(key.clone());
            return Ticket { key, altered: false, decided: false };
        }
        let request = state.requests.get_mut(&key).expect("a key that is not free is known");
        let decided = matches!(request.fate, Fate::Posted(_) | Fate::Refused(_));
        let altered = request.what != what;
        assert!(decided || !altered, "only what is decided may be altered: {key:?}");
        if !altered {
            request.under_way += 1;
            request.sendings += 1;
        }
        Ticket { key, altered, decided }
    }

    /// A request was answered, or its answer was lost. `replay`: whether the bank said that it answered before; absent
    /// where it doesn't say.
    pub fn end(&self, ticket: &Ticket, heard: Heard, replay: Option<bool>) {
        let now = self.ahead.now();
        let mut state = self.state();
        state.events += 1;
        let ended = state.events;
        let State { requests, findings, repeated, .. } = &mut *state;
        let name = &ticket.key.key;
        let by_channel = through_channel(name);
        // What the channel was asked once, it may have to ask twice.
        let repeated = by_channel.is_some() || repeated.contains(by_channel.unwrap_or(name));
        let request = requests.get_mut(&ticket.key).expect("who ends has begun");
        if ticket.altered {
            match &heard {
                // It may be turned away before its key is looked at.
                Heard::Problem(p) if p.code == "KEY_REUSED" || !is_kept(p) => {}
                Heard::Nothing => {}
                other => findings.push(format!("{name}: another request under a used key gave {other:?}")),
            }
            return;
        }
        request.under_way -= 1;
        let fate = match heard {
            Heard::Nothing => return,
            Heard::Problem(p) if p.status == 429 => return,
            Heard::Problem(p) if p.code == "KEY_IN_USE" => {
                if request.sendings < 2 && !repeated {
                    findings.push(format!("{name}: in use, but it was sent once"));
                }
                return;
            }
            Heard::Problem(p) if is_kept(&p) => Fate::Refused(p),
            Heard::Problem(p) => Fate::TurnedAway(p.code),
            Heard::Posting(p) => Fate::Posted(Box::new(Told { id: p.id, posting: Some(p), payment: None })),
            Heard::Payment(p) => Fate::Posted(Box::new(Told { id: p.posting, posting: None, payment: Some(p) })),
        };
        if matches!(request.fate, Fate::Open | Fate::Absent) {
            (request.ended, request.ended_at) = (ended, now);
        }
        let kept = !matches!(fate, Fate::TurnedAway(_));
        if let Err(why) = same(&mut request.fate, fate) {
            findings.push(format!("{name}: answered anew: {why}"));
        }
        match replay.filter(|_| kept) {
            Some(false) if ticket.decided => findings.push(format!("{name}: given again without saying so")),
            Some(true) if request.sendings < 2 && !repeated => {
                findings.push(format!("{name}: given again, but it was sent once"))
            }
            Some(false) => {
                request.firsts += 1;
                if request.firsts > 1 {
                    findings.push(format!("{name}: given twice as if for the first time"));
                }
            }
            Some(true) | None => {}
        }
    }

    /// Requests of which nobody knows what became, and that are not under way.
    #[must_use]
    pub fn open(&self) -> Vec<(Key, What)> {
        let state = self.state();
        let open = |key: &&Key| state.requests.get(*key).is_some_and(|r| matches!(r.fate, Fate::Open));
        let mut keys: Vec<&Key> = state.fresh.iter().filter(open).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| (key.clone(), state.requests[key].what.clone())).collect()
    }

    /// What the bank said when it was asked by a key: a posting, a refusal, or `None` when it has never seen it.
    pub fn asked(&self, key: &Key, heard: Option<Heard>) {
        let now = self.ahead.now();
        let mut state = self.state();
        state.events += 1;
        let ended = state.events;
        let State { requests, findings, .. } = &mut *state;
        let Some(request) = requests.get_mut(key) else { return };
        let fate = match heard {
            None => Fate::Absent,
            Some(Heard::Posting(p)) => Fate::Posted(Box::new(Told { id: p.id, posting: Some(p), payment: None })),
            Some(Heard::Problem(p)) => Fate::Refused(p),
            Some(other) => {
                findings.push(format!("{}: asked by its key: {other:?}", key.key));
                return;
            }
        };
        if matches!(request.fate, Fate::Open) {
            (request.ended, request.ended_at) = (ended, now);
        }
        if let Err(why) = same(&mut request.fate, fate) {
            findings.push(format!("{}: its key tells another story: {why}", key.key));
        }
    }

    /// Up to `most` requests that were decided, some of those not judged yet first; `throw` gives a number below its
    /// argument. Sent again, each must be answered as before.
    pub fn decided_some(&self, most: usize, throw: impl Fn(u64) -> u64) -> Vec<(Key, What)> {
        let state = self.state();
        let decided =
            |key: &&Key| state.requests.get(*key).is_some_and(|r| matches!(r.fate, Fate::Posted(_) | Fate::Refused(_)));
        // What the exchange service asked for is not known to the letter.
        let decided = |key: &&Key| decided(key) && !key.caller.ends_with(fx::SERVICE);
        let mut fresh: Vec<&Key> = state.fresh.iter().filter(decided).collect();
        let mut all: Vec<&Key> = state.requests.keys().filter(decided).collect();
        fresh.sort_unstable();
        all.sort_unstable();
        let mut chosen = Vec::new();
        for (from, count) in [(fresh, most - most / 4), (all, most / 4)] {
            if !from.is_empty() {
                let pick = |_| usize::try_from(throw(from.len() as u64)).unwrap_or(0);
                chosen.extend((0..count).map(pick).map(|at| from[at].clone()));
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen.into_iter().map(|key| (key.clone(), state.requests[&key].what.clone())).collect()
    }

    /// What was decided of a key, as its caller may compare it: the id of the posting, or the codes of the refusal.
    #[must_use]
    pub fn decided(&self, key: &Key) -> Option<Result<PostingId, BTreeSet<String>>> {
        match &self.state().requests.get(key)?.fate {
            Fate::Posted(told) => Some(Ok(told.id)),
            Fate::Refused(problem) => Some(Err(codes(problem))),
            Fate::Open | Fate::Absent | Fate::TurnedAway(_) => None,
        }
    }

    /// What was wrong so far; it is told once.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().findings)
    }
}

fn set(marks: &mut BTreeSet<String>, mark: &str, on: bool) {
    if on {
        marks.insert(mark.to_owned());
    } else {
        marks.remove(mark);
    }
}

/// Takes over what was heard, if it doesn't contradict what was heard before.
fn same(known: &mut Fate, heard: Fate) -> Result<(), String> {
    let wrong = |known: &Fate, heard: &Fate| Err(format!("{known:?}, then {heard:?}"));
    match (&mut *known, heard) {
        (Fate::Open | Fate::Absent, heard) => *known = heard,
        (Fate::Posted(a), Fate::Posted(b)) => {
            let posting = a.posting.is_none() || b.posting.is_none() || a.posting == b.posting;
            let payment = a.payment.is_none() || b.payment.is_none() || a.payment == b.payment;
            if a.id != b.id || !posting || !payment {
                return wrong(&Fate::Posted(a.clone()), &Fate::Posted(b));
            }
            a.posting = a.posting.take().or(b.posting);
            a.payment = a.payment.take().or(b.payment);
        }
        // A batch tells only the first of several codes.
        (Fate::Refused(a), Fate::Refused(b))
            if (a.status, &a.code, &a.detail) == (b.status, &b.code, &b.detail)
                && (a.failures == b.failures || a.failures.is_empty() || b.failures.is_empty()) =>
        {
            if a.failures.is_empty() {
                *a = b;
            }
        }
        (Fate::TurnedAway(a), Fate::TurnedAway(b)) if *a == b => {}
        (_, heard) => return wrong(known, &heard),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
