//! Foreign exchange: what was asked and answered is noted as it happens and judged at rest, by a model of its own.
//!
//! | part | what it judges |
//! |---|---|
//! | [`quotes`] | boards and quotes, at once: prices to the hundredth, amounts, discounts |
//! | this one | that answers fit together: a key has one exchange, and what was decided stays so |
//! | [`judge`] | each decided exchange: its ways, its limits, its legs in the books; and each refusal |
//! | [`told`] | events and limits as told |
//!
//! The legs of an exchange become requests of the exchange service in the books' own model: there they are put in order,
//! and must be right, as all others.

mod judge;
mod quotes;
mod told;

pub use judge::{instances, keys};
pub use told::given_up;

use std::collections::BTreeMap;

use jangbu_contracts::deposit::Posting;
use jangbu_contracts::exchange::{AskExchange, Exchange};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{CustomerId, ExchangeId, QuoteId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::probe;

use super::{Auditor, Key, State};
use crate::client::{Answer, Said};
use crate::model::fx;

/// The service's name, in keys and in the names of callers.
pub(super) const SERVICE: &str = "exchange";
/// How far two readings of one node's clock may be apart from true time together, microseconds.
const CLOCKS_US: i64 = 400_000;

/// A call that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    event: u64,
    at: Timestamp,
}

/// From when to when a call was under way: counted in events, and by the clock.
#[derive(Clone, Copy, Debug)]
struct Span {
    begun: u64,
    ended: u64,
    at: [Timestamp; 2],
}

/// An exchange that is asked for.
#[derive(Debug)]
pub struct Ticket {
    key: Key,
    sent: Sent,
    sending: usize,
    /// Another request than the one that began an exchange under this key.
    altered: bool,
}

/// What a key of the exchange service holds in the books of an instance.
#[derive(Clone, Debug)]
pub enum Leg {
    /// Nothing.
    None,
    /// A posting.
    Posted(Box<Posting>),
    /// A refusal.
    Refused(Box<Problem>),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody knows.
    Open,
    /// Refused or turned away: nothing is kept under its key.
    Refused,
    /// It began an exchange; first heard at that event.
    Began(ExchangeId, u64),
}

#[derive(Debug)]
struct Request {
    ask: AskExchange,
    fate: Fate,
    begun: u64,
    begun_at: Timestamp,
    sendings: u32,
    firsts: u32,
}

/// One sending of a request.
#[derive(Debug)]
struct Sending {
    customer: Option<CustomerId>,
    event: u64,
    at: Timestamp,
}

/// A refusal, judged at rest.
#[derive(Debug)]
struct Refusal {
    key: Key,
    ask: AskExchange,
    code: String,
    span: Span,
    sending: usize,
    repeated: bool,
}

/// An exchange.
#[derive(Clone, Debug)]
struct Known {
    ask: AskExchange,
    shown: Exchange,
    /// When what is shown was heard.
    heard: u64,
    begun: u64,
    begun_at: Timestamp,
    /// When it was heard to be decided.
    ended: u64,
    ended_at: Timestamp,
    judged: bool,
    /// It is to be read again.
    reread: bool,
}

impl Known {
    fn started(&self) -> Timestamp {
        self.shown.history.first().map_or(self.begun_at, |passage| passage.at)
    }
    fn decided_at(&self) -> Timestamp {
        self.shown.history.last().map_or(self.ended_at, |passage| passage.at)
    }
    fn succeeded(&self) -> bool {
        self.shown.state == "EXCHANGE_SUCCEEDED"
    }
    fn is_decided(&self) -> bool {
        fx::is_decided(&self.shown.state)
    }
}

/// All that is known of foreign exchange.
#[derive(Default)]
pub(super) struct Fx {
    boards: Vec<quotes::Board>,
    discounts: BTreeMap<(String, String), quotes::Discount>,
    quotes: BTreeMap<QuoteId, quotes::Quoted>,
    requests: BTreeMap<Key, Request>,
    sendings: Vec<Sending>,
    exchanges: BTreeMap<ExchangeId, Known>,
    refusals: Vec<Refusal>,
    /// Judged, but for what needs all others.
    fresh: Vec<ExchangeId>,
}

impl Auditor {
    /// A call is about to be sent.
    pub fn sent(&self) -> Sent {
        let at = self.clock.now();
        let mut state = self.state();
        state.events += 1;
        Sent { event: state.events, at }
    }

    fn span(&self, state: &mut State, sent: Sent) -> Span {
        state.events += 1;
        Span { begun: sent.event, ended: state.events, at: [sent.at, self.ahead.now()] }
    }

    /// An exchange is about to be asked for, for the first time or again.
    pub fn exchange_asked(&self, caller: &str, key: &str, ask: &AskExchange) -> Ticket {
        let sent = self.sent();
        let key = Key { instance: SERVICE.to_owned(), caller: caller.to_owned(), key: key.to_owned() };
        let mut state = self.state();
        let fx = &mut state.fx;
        let customer = fx.quotes.get(&ask.quote).map(|quote| quote.customer);
        fx.sendings.push(Sending { customer, event: sent.event, at: sent.at });
        let sending = fx.sendings.len() - 1;
        let (begun, begun_at) = (sent.event, sent.at);
        let fresh = Request { ask: ask.clone(), fate: Fate::Open, begun, begun_at, sendings: 0, firsts: 0 };
        let request = fx.requests.entry(key.clone()).or_insert(fresh);
        let altered = request.ask != *ask;
        assert!(!altered || matches!(request.fate, Fate::Began(..)), "only what began may be altered: {key:?}");
        if !altered {
            request.sendings += 1;
        }
        Ticket { key, sent, sending, altered }
    }

    /// It was answered, or not.
    pub fn exchange_answered(&self, ticket: &Ticket, answer: &Answer<Exchange>) {
        let mut state = self.state();
        let span = self.span(&mut state, ticket.sent);
        let State { fx, findings, repeated, .. } = &mut *state;
        let name = &ticket.key.key;
        let repeated = repeated.contains(name);
        let problem = match &answer.said {
            Said::Unknown(_) => return,
            Said::Reply(shown) if ticket.altered => {
                return findings.push(format!("{name}: another request under a used key gave {}", shown.id));
            }
            Said::Reply(shown) => {
                if (answer.status == 201) != fx::is_decided(&shown.state) {
                    findings.push(format!("{name}: answered by {} in the state {}", answer.status, shown.state));
                }
                findings.extend(fx.began(ticket, shown, answer.replay, span, repeated).err());
                return;
            }
            Said::Problem(problem) => problem,
        };
        match (problem.code.as_str(), ticket.altered) {
            ("BUSY" | "KEY_IN_USE", true) | ("BUSY", false) | ("KEY_REUSED", true) => return,
            (code, true) => return findings.push(format!("{name}: another request under a used key gave {code}")),
            (_, false) => {}
        }
        let request = fx.requests.get_mut(&ticket.key).expect("who is answered has asked");
        if problem.code == "KEY_IN_USE" {
            if request.sendings < 2 && !repeated {
                findings.push(format!("{name}: in use, but it was sent once"));
            }
            return;
        }
        match request.fate {
            Fate::Began(id, heard) if heard < span.begun => {
                findings.push(format!("{name}: it began {id}, and then it was refused: {}", problem.code));
            }
            Fate::Began(..) => {}
            Fate::Open | Fate::Refused => request.fate = Fate::Refused,
        }
        let repeated = repeated || request.sendings > 1;
        let (key, ask, code) = (ticket.key.clone(), request.ask.clone(), problem.code.clone());
        fx.refusals.push(Refusal { key, ask, code, span, sending: ticket.sending, repeated });
    }

    /// An exchange was shown to somebody who had asked for it.
    pub fn exchange_shown(&self, sent: Sent, shown: &Exchange) {
        let mut state = self.state();
        let span = self.span(&mut state, sent);
        let State { fx, findings, .. } = &mut *state;
        if let Some(known) = fx.exchanges.get_mut(&shown.id) {
            findings.extend(known.show(shown, span).err());
            known.reread = false;
        }
    }

    /// Requests for exchanges of which nobody knows what became.
    #[must_use]
    pub fn exchanges_open(&self) -> Vec<(Key, AskExchange)> {
        let state = self.state();
        let open = state.fx.requests.iter().filter(|(_, request)| request.fate == Fate::Open);
        open.map(|(key, request)| (key.clone(), request.ask.clone())).collect()
    }

    /// Exchanges that are not known to be decided, or are to be read again.
    #[must_use]
    pub fn exchanges_to_read(&self) -> Vec<ExchangeId> {
        let state = self.state();
        let open = state.fx.exchanges.iter().filter(|(_, known)| known.reread || !known.is_decided());
        open.map(|(id, _)| *id).collect()
    }

    /// Exchanges that are under way, as far as is known.
    #[must_use]
    pub fn exchanges_under_way(&self) -> Vec<ExchangeId> {
        let state = self.state();
        state.fx.exchanges.iter().filter(|(_, known)| !known.is_decided()).map(|(id, _)| *id).collect()
    }

    /// Up to `most` requests that began an exchange; `throw` gives a number below its argument.
    pub fn exchanges_some(&self, most: usize, throw: impl Fn(u64) -> u64) -> Vec<(Key, AskExchange)> {
        let state = self.state();
        let began = |(_, request): &(&Key, &Request)| matches!(request.fate, Fate::Began(..));
        let all: Vec<(&Key, &Request)> = state.fx.requests.iter().filter(began).collect();
        let pick = |_| usize::try_from(throw(all.len() as u64)).unwrap_or(0);
        let chosen = (0..most.min(all.len())).map(pick).map(|at| all[at]);
        chosen.map(|(key, request)| (key.clone(), request.ask.clone())).collect()
    }

    /// How many exchanges there were, and how many of them succeeded.
    #[must_use]
    pub fn exchanges(&self) -> (usize, usize) {
        let state = self.state();
        (state.fx.exchanges.len(), state.fx.exchanges.values().filter(|known| known.succeeded()).count())
    }
}

impl Fx {
    /// All exchanges are to be read again.
    pub(super) fn reread(&mut self) {
        self.exchanges.values_mut().for_each(|known| known.reread = true);
    }

    /// A request was answered by an exchange.
    fn began(
        &mut self,
        ticket: &Ticket,
        shown: &Exchange,
        replay: bool,
        span: Span,
        repeated: bool,
    ) -> Result<(), String> {
        let name = &ticket.key.key;
        let request = self.requests.get_mut(&ticket.key).expect("who is answered has asked");
        match request.fate {
            Fate::Began(id, _) if id != shown.id => {
                return Err(format!("{name}: it began {id}, and then {}", shown.id));
            }
            Fate::Began(_, heard) if heard < span.begun && !replay => {
                return Err(format!("{name}: {} given again without saying so", shown.id));
            }
            Fate::Began(..) => {}
            Fate::Open | Fate::Refused => request.fate = Fate::Began(shown.id, span.ended),
        }
        request.firsts += u32::from(!replay);
        if request.firsts > 1 || (replay && request.sendings < 2 && !repeated) {
            return Err(format!("{name}: {} answered {} times as if for the first time", shown.id, request.firsts));
        }
        let (ask, begun, begun_at) = (request.ask.clone(), request.begun, request.begun_at);
        let said = (shown.quote, shown.krw_account, shown.fx_account);
        if said != (ask.quote, ask.krw_account, ask.fx_account) {
            return Err(format!("{name}: {ask:?} was asked, and {shown:?} began"));
        }
        if !replay && !fx::is_decided(&shown.state) {
            probe::reached("exchange-answered-before-it-was-decided");
        }
        match self.exchanges.entry(shown.id) {
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().show(shown, span),
            std::collections::btree_map::Entry::Vacant(place) => {
                let (shown, heard, ended_at) = (shown.clone(), span.ended, span.at[1]);
                let ended = if fx::is_decided(&shown.state) { heard } else { u64::MAX };
                let (judged, reread) = (false, false);
                place.insert(Known { ask, shown, heard, begun, begun_at, ended, ended_at, judged, reread });
                Ok(())
            }
        }
    }
}

impl Known {
    /// It is shown again: what was shown before stays, and more may have come.
    fn show(&mut self, shown: &Exchange, span: Span) -> Result<(), String> {
        let fixed = |x: &Exchange| (x.quote, x.customer, x.side, x.currency, x.unit, x.foreign, x.krw, x.rate);
        let both = || format!("{}: shown as {:?}, then as {shown:?}", shown.id, self.shown);
        let (before, after) = (&self.shown.history, &shown.history);
        let (older, newer) = (before.len().min(after.len()), before.len() <= after.len());
        if fixed(&self.shown) != fixed(shown) || before[..older] != after[..older] {
            return Err(both());
        }
        if !newer {
            // It was read before what is known was heard.
            return if span.begun > self.heard { Err(both()) } else { Ok(()) };
        }
        // Why it is stuck depends on when one asks, and on who does.
        let bare = |x: &Exchange| Exchange { stuck: None, ..x.clone() };
        if before.len() == after.len() && bare(&self.shown) != bare(shown) {
            return Err(both());
        }
        if !self.is_decided() && fx::is_decided(&shown.state) {
            (self.ended, self.ended_at) = (span.ended, span.at[1]);
        }
        (self.shown, self.heard) = (shown.clone(), span.ended);
        Ok(())
    }
}
