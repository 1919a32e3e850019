//! Judges exchanges that were decided, and refusals.

use std::collections::BTreeSet;

use jangbu_contracts::deposit::{Command, Posting};
use jangbu_contracts::exchange::{Exchange, Side, WithdrawalGivenUpV1};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, PostingId, SagaId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::probe;

use super::super::{Auditor, Key, Request as Booked, State, Told, codes};
use super::{CLOCKS_US, Fx, Known, Leg, Refusal, SERVICE};
use crate::client::{FX, KRW};
use crate::model::rules::What;
use crate::model::{Model, fx};

/// How long a turn that nobody gave back keeps others away, with the longest call before it, microseconds.
const TURN_US: i64 = 60_000_000;
/// An exchange within so long of its quote's end is one of the last moment, microseconds.
const LAST_MOMENT_US: i64 = 1_000_000;
/// Marks of accounts that stop money, with the code, and whether they stop what goes out and what comes in.
const STOPS: [(&str, &str, [bool; 2]); 8] = [
    ("dormant", "ACCOUNT_DORMANT", [true, true]),
    ("suspended", "ACCOUNT_SUSPENDED", [true, true]),
    ("deposit_stop", "DEPOSIT_BLOCKED", [false, true]),
    ("withdrawal_stop", "WITHDRAWAL_BLOCKED", [true, false]),
    ("loss_report", "LOSS_REPORTED", [true, false]),
    ("attached", "ATTACHED", [true, false]),
    ("pledged", "PLEDGED", [true, false]),
    ("fraud_freeze", "FRAUD_FROZEN", [true, false]),
];

/// Where the legs of an exchange are: the instances of withdrawal and deposit.
#[must_use]
pub fn instances(side: Side) -> [&'static str; 2] {
    match side {
        Side::Buy => [KRW, FX],
        Side::Sell => [FX, KRW],
    }
}

/// The keys of an exchange in the books: of its withdrawal, its deposit, and the undoing of the first.
#[must_use]
pub fn keys(id: ExchangeId) -> [String; 3] {
    let saga = SagaId::from_bytes(id.to_bytes());
    ["withdraw", "deposit", "cancel"].map(|step| format!("{saga}:{step}"))
}

impl Auditor {
    /// Exchanges that are decided and not judged yet, with their sides.
    #[must_use]
    pub fn exchanges_to_judge(&self) -> Vec<(ExchangeId, Side)> {
        let state = self.state();
        let fresh = state.fx.exchanges.iter().filter(|(_, known)| known.is_decided() && !known.judged);
        fresh.map(|(id, known)| (*id, known.shown.side)).collect()
    }

    /// Judges a decided exchange by what its keys hold in the books and what was told of its giving up. Its legs are
    /// judged with all other postings.
    pub fn exchange_judged(&self, id: ExchangeId, legs: [Leg; 3], given_up: &[WithdrawalGivenUpV1]) {
        let mut state = self.state();
        let Some(known) = state.fx.exchanges.get_mut(&id) else { return };
        known.judged = true;
        let known = known.clone();
        let mut found = Vec::new();
        {
            let State { fx, model, .. } = &mut *state;
            fx.fresh.push(id);
            found.extend(fx.against(&known, model));
            found.extend(ways(&known));
            found.extend(legs_of(&known.shown, &legs, given_up));
            found.extend(moments(&known, &legs));
            fx.note(&known);
        }
        let (about, state_of) = (&known.shown, &known.shown.state);
        let accounts = format!("{} {}", about.krw_account, about.fx_account);
        state.findings.extend(found.iter().map(|why| format!("exchange {id} of {accounts}, {state_of}: {why}")));
        enter(&mut state, &known, legs, given_up);
    }

    /// Judges what needs all others: limits at the beginning of each exchange, and refusals. All must be decided.
    pub fn exchanges_settled(&self) {
        let mut state = self.state();
        let State { fx, model, findings, .. } = &mut *state;
        for id in std::mem::take(&mut fx.fresh) {
            let known = &fx.exchanges[&id];
            for (span, sum) in fx.surely_taken(known) {
                findings.push(format!(
                    "exchange {id} of {} began above its limit of a {span}: {sum}",
                    known.ask.krw_account
                ));
            }
        }
        for refusal in std::mem::take(&mut fx.refusals) {
            if let Err(why) = fx.explained(&refusal, model) {
                let Refusal { key, ask, code, .. } = &refusal;
                let accounts = format!("{} {}", ask.krw_account, ask.fx_account);
                findings.push(format!("{}: an exchange of {accounts} was refused with {code}, {why}", key.key));
            }
        }
    }
}

/// Makes requests of the service's legs, to be judged with all others.
fn enter(state: &mut State, known: &Known, legs: [Leg; 3], given_up: &[WithdrawalGivenUpV1]) {
    let exchange = &known.shown;
    let [from, to] = instances(exchange.side);
    let memo = Some(format!("exchange {}", exchange.id));
    let bank = || "exchange".to_owned();
    let ((withdraw, taken), (deposit, given)) = match exchange.side {
        Side::Buy => ((exchange.krw_account, exchange.krw), (exchange.fx_account, exchange.foreign)),
        Side::Sell => ((exchange.fx_account, exchange.foreign), (exchange.krw_account, exchange.krw)),
    };
    let (Ok(taken), Ok(given)) = (Amount::new(taken), Amount::new(given)) else { return };
    let undone = given_up.first();
    let posting = undone.map_or(PostingId::from_bytes([0; 16]), |event| event.withdrawal);
    let reason = undone.map(|event| event.reason.clone()).unwrap_or_default();
    let whats = [
        (from, Command::Debit { account: withdraw, amount: taken, target: bank(), memo: memo.clone() }),
        (to, Command::Credit { account: deposit, amount: given, source: bank(), memo }),
        (from, Command::Reversal { posting, reason }),
    ];
    for ((leg, key), (instance, command)) in legs.into_iter().zip(keys(exchange.id)).zip(whats) {
        let (what, fate) = match leg {
            Leg::None => continue,
            Leg::Posted(posting) => {
                let told = Told { id: posting.id, posting: Some(*posting), payment: None };
                (command, super::super::Fate::Posted(Box::new(told)))
            }
            Leg::Refused(problem) if is_closed(&problem) => {
                let (posting, reason) = (PostingId::from_bytes([0; 16]), "closes a key".to_owned());
                (Command::Reversal { posting, reason }, super::super::Fate::Refused(problem))
            }
            Leg::Refused(problem) => (command, super::super::Fate::Refused(problem)),
        };
        let key = Key { instance: instance.to_owned(), caller: format!("service:{SERVICE}"), key };
        let (begun, ended, begun_at, ended_at) = (known.begun, known.ended, known.begun_at, known.ended_at);
        let (what, under_way, sendings, firsts) = (What::Post(what), 0, 1, 1);
        let request = Booked { what, fate, begun, ended, begun_at, ended_at, under_way, sendings, firsts };
        state.requests.insert(key.clone(), request);
        state.fresh.push(key);
    }
}

/// Whether a key was closed by a command that could only be refused.
fn is_closed(problem: &Problem) -> bool {
    problem.code == "POSTING_NOT_FOUND"
}

/// What is wrong with the ways of an exchange.
fn ways(known: &Known) -> Option<String> {
    let Exchange { history, state, .. } = &known.shown;
    let names: Vec<&str> = history.iter().map(|passage| passage.state.as_str()).collect();
    let ends = names.first() == Some(&"STARTED") && names.last() == Some(&state.as_str());
    let path = names.windows(2).all(|pair| fx::leads(pair[0], pair[1]));
    let back = |pair: &[jangbu_contracts::exchange::Passage]| pair[1].at.plus_micros(CLOCKS_US) < pair[0].at;
    let within = known.begun_at <= known.started() && known.decided_at() <= known.ended_at;
    let wrong = !ends || !path || !within || history.windows(2).any(back);
    wrong.then(|| format!("its ways are {history:?}, heard from {} to {}", known.begun_at, known.ended_at))
}

/// What is wrong with an exchange and its legs in the books.
fn legs_of(exchange: &Exchange, legs: &[Leg; 3], given_up: &[WithdrawalGivenUpV1]) -> Option<String> {
    let posted = |leg: &Leg| if let Leg::Posted(posting) = leg { Some(posting.id) } else { None };
    let [withdraw, deposit, cancel] = legs;
    let undone = exchange.history.iter().any(|passage| passage.state == "WITHDRAW_CANCEL_NEEDED");
    let code = exchange.failure.as_ref().map(|failed| failed.code.as_str());
    let shown = (exchange.withdrawal, exchange.deposit);
    let told = match given_up {
        [] => !undone,
        [event] => {
            let [_, _, key] = keys(exchange.id);
            let from = instances(exchange.side)[0];
            undone && (event.instance.as_str(), Some(event.withdrawal), &event.key) == (from, exchange.withdrawal, &key)
        }
        _ => false,
    };
    let right = match (exchange.state.as_str(), undone) {
        ("EXCHANGE_SUCCEEDED", _) => {
            shown.0.is_some() && shown == (posted(withdraw), posted(deposit)) && code.is_none() && none(cancel)
        }
        (_, true) => {
            let refused = fits(deposit, code) || (none(deposit) && code == Some("UNAVAILABLE"));
            shown.0.is_some() && shown == (posted(withdraw), None) && refused && posted(cancel).is_some()
        }
        (_, false) => shown == (None, None) && fits(withdraw, code) && none(deposit) && none(cancel),
    };
    let brief = |leg: &Leg| match leg {
        Leg::None => "nothing".to_owned(),
        Leg::Posted(posting) => brief_of(posting),
        Leg::Refused(problem) => problem.code.clone(),
    };
    let books: Vec<String> = legs.iter().map(brief).collect();
    (!right || !told)
        .then(|| format!("it shows {shown:?} and {code:?}, the books have {books:?}, told to give back: {given_up:?}"))
}

/// What is wrong with the moments of an exchange's postings: all are made while it is under way.
fn moments(known: &Known, legs: &[Leg; 3]) -> Option<String> {
    let (from, to) = (known.started().plus_micros(-CLOCKS_US), known.decided_at().plus_micros(CLOCKS_US));
    let out = |leg: &&Leg| matches!(leg, Leg::Posted(posting) if posting.posted_at < from || posting.posted_at > to);
    legs.iter().find(out).map(|leg| format!("{leg:?} was posted before it began, or after {}", known.decided_at()))
}

fn brief_of(posting: &Posting) -> String {
    format!("{} {} {}", posting.id, posting.kind, posting.amount)
}

fn none(leg: &Leg) -> bool {
    matches!(leg, Leg::None)
}

/// Whether a leg was refused, and its refusal is why the exchange failed; a key that was closed says nothing of its own.
fn fits(leg: &Leg, code: Option<&str>) -> bool {
    let Leg::Refused(problem) = leg else { return false };
    let closed = is_closed(problem) && matches!(code, Some("UNAVAILABLE" | "POSTING_NOT_FOUND"));
    closed || code.is_some_and(|code| codes(problem).contains(code))
}

impl Fx {
    /// What speaks against an exchange as it began.
    fn against(&mut self, known: &Known, model: &Model) -> Option<String> {
        let shown = &known.shown;
        let Some(quote) = self.quotes.get(&shown.quote) else { return Some("nobody was given its quote".to_owned()) };
        let terms = quote.terms;
        let ours = (quote.customer, quote.side, quote.currency, terms.unit, terms.foreign, terms.won);
        let said = (shown.customer, shown.side, shown.currency, shown.unit, shown.foreign, shown.krw);
        if said != ours || fx::hundredths(shown.rate) != Some(terms.price) {
            return Some(format!("it is {said:?} at {:?}, its quote was {ours:?} at {}", shown.rate, terms.price));
        }
        if known.started() >= quote.expires_at {
            return Some(format!("it began at {}, its quote was good until {}", known.started(), quote.expires_at));
        }
        let again = self.exchanges.values().find(|x| x.shown.quote == shown.quote && x.shown.id != shown.id);
        if let Some(other) = again {
            return Some(format!("its quote was used by {} too", other.shown.id));
        }
        let accounts = (shown.krw_account, shown.fx_account);
        let stops = stops(model, quote.customer, accounts, (quote.currency, quote.side), false);
        (!stops.is_empty()).then(|| format!("it should have been refused with one of {stops:?}"))
    }

    /// Notes what is rare about an exchange.
    fn note(&self, known: &Known) {
        let day = |at: Timestamp| at.business_date(UtcOffset::SEOUL);
        if day(known.started()) != day(known.decided_at()) {
            probe::reached("exchange-over-midnight");
        }
        if fx::limit_day(known.started()) != fx::limit_day(known.decided_at()) {
            probe::reached("exchange-over-the-reset-of-its-limits");
        }
        let Some(quote) = self.quotes.get(&known.shown.quote) else { return };
        if known.started().plus_micros(LAST_MOMENT_US) >= quote.expires_at {
            probe::reached("quote-used-in-its-last-second");
        }
        if quote.board < self.newest_board(known.begun) {
            probe::reached("board-changed-between-quote-and-exchange");
        }
    }

    /// What of the limits is surely passed as an exchange began, with the sums.
    fn surely_taken(&self, known: &Known) -> Vec<(&'static str, i64)> {
        let at = known.started();
        let before = |x: &&Known| {
            let earlier = x.started().plus_micros(CLOCKS_US) < at;
            x.shown.id != known.shown.id && earlier && (x.succeeded() || x.decided_at() > at.plus_micros(CLOCKS_US))
        };
        let [day, month] = self.taken(known.shown.customer, at, before).map(|sum| sum + known.shown.krw);
        let spans = [("day", day, fx::DAY_MAX), ("month", month, fx::MONTH_MAX)];
        spans.into_iter().filter(|(_, sum, max)| sum > max).map(|(span, sum, _)| (span, sum)).collect()
    }

    /// Won of some of a customer's exchanges that count to the day and the month of an instant.
    pub(super) fn taken(&self, customer: CustomerId, at: Timestamp, which: impl Fn(&&Known) -> bool) -> [i64; 2] {
        let own = |x: &&Known| x.shown.customer == customer;
        let mut sums = [0, 0];
        for x in self.exchanges.values().filter(own).filter(which) {
            let started = x.started();
            sums[0] += if fx::limit_day(started) == fx::limit_day(at) { x.shown.krw } else { 0 };
            sums[1] += if fx::limit_month(started) == fx::limit_month(at) { x.shown.krw } else { 0 };
        }
        sums
    }

    /// Whether a refusal was right at some moment.
    fn explained(&self, refusal: &Refusal, model: &Model) -> Result<(), String> {
        let Refusal { key, ask, code, span, .. } = refusal;
        let own =
            |customer: CustomerId| key.caller.strip_prefix("customer:").is_none_or(|who| who == customer.to_string());
        let Some(quote) = self.quotes.get(&ask.quote).filter(|quote| own(quote.customer)) else {
            return if code == "QUOTE_NOT_FOUND" {
                Ok(())
            } else {
                Err("should be: there is no such quote".to_owned())
            };
        };
        let accounts = (ask.krw_account, ask.fx_account);
        let stops = stops(model, quote.customer, accounts, (quote.currency, quote.side), true);
        let [from, to] = span.at;
        let right = match code.as_str() {
            "QUOTE_USED" => self.exchanges.values().any(|x| x.shown.quote == ask.quote && x.begun < span.ended),
            "QUOTE_EXPIRED" => {
                if to >= quote.expires_at && from.plus_micros(-LAST_MOMENT_US) < quote.expires_at {
                    probe::reached("quote-expired-within-a-second-of-its-use");
                }
                to >= quote.expires_at
            }
            "EXCHANGE_IN_PROGRESS" => self.in_progress(refusal, quote.customer),
            "LIMIT_EXCEEDED" => {
                let [all, used] = self.over_the_limit(refusal, quote.customer, quote.terms.won);
                if all && !used {
                    probe::reached("limit-kept-by-what-was-under-way");
                }
                all
            }
            code => stops.contains(code),
        };
        if right { Ok(()) } else { Err(format!("which was never right: {quote:?}, {stops:?}, {span:?}")) }
    }

    /// Whether another of the customer's requests may have had his turn.
    fn in_progress(&self, refusal: &Refusal, customer: CustomerId) -> bool {
        let others = self.sendings.iter().enumerate().filter(|(at, _)| *at != refusal.sending);
        let near = |at: Timestamp| at.plus_micros(TURN_US) >= refusal.span.at[0];
        let mut near = others.filter(|(_, s)| s.event < refusal.span.ended && near(s.at));
        refusal.repeated || near.any(|(_, s)| s.customer == Some(customer))
    }

    /// Whether so much passes a limit at some moment of a refusal, with all that may have been taken, and with what was
    /// used for good.
    fn over_the_limit(&self, refusal: &Refusal, customer: CustomerId, won: i64) -> [bool; 2] {
        let [from, to] = refusal.span.at;
        let maybe = |x: &&Known| {
            let under_way = x.succeeded() || x.decided_at().plus_micros(CLOCKS_US) >= from;
            x.begun < refusal.span.ended && under_way
        };
        let used = |x: &&Known| x.begun < refusal.span.ended && x.succeeded();
        let over = |[day, month]: [i64; 2]| day + won > fx::DAY_MAX || month + won > fx::MONTH_MAX;
        let all = [from, to].into_iter().any(|at| over(self.taken(customer, at, maybe)));
        [all, [from, to].into_iter().any(|at| over(self.taken(customer, at, used)))]
    }
}

/// Codes that speak against the accounts of an exchange before it begins.
fn stops(
    model: &Model,
    customer: CustomerId,
    (won, foreign): (AccountId, AccountId),
    (currency, side): (Currency, Side),
    sees_coming: bool,
) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let buys = side == Side::Buy;
    for (id, instance, currency, out) in [(won, KRW, Currency::KRW, buys), (foreign, FX, currency, !buys)] {
        let Some(account) = model.accounts.get(&id).filter(|a| a.instance == instance && a.customer == customer) else {
            found.insert("ACCOUNT_NOT_FOUND");
            continue;
        };
        if account.currency != currency {
            found.insert("CURRENCY_MISMATCH");
        }
        if account.closed_on.is_some() {
            found.insert("ACCOUNT_CLOSED");
        }
        let set = |mark: &str| account.marks.contains(mark) || (sees_coming && account.coming.contains(mark));
        let stopped = STOPS.iter().filter(|(mark, _, stops)| set(mark) && stops[usize::from(!out)]);
        found.extend(stopped.map(|(_, code, _)| *code));
    }
    found
}
