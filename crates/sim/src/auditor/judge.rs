//! Puts what happened in order, carries it out in the model, and finds for every refusal a moment that explains it.

use std::collections::BTreeSet;
use std::fmt;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::{Timestamp, UtcOffset};

use super::{Auditor, Fate, Key, Request, State, Told, codes};
use crate::model::rules::{Asked, Doing, Verdict, What};
use crate::model::words::titled;
use crate::model::{Model, Said};

/// A posted request on its way into the model.
struct Posted {
    key: Key,
    what: What,
    told: Told,
    begun: u64,
    ended: u64,
    days: Vec<BusinessDate>,
    at: Timestamp,
}

/// A request that was refused or turned away, and the places at which it may have been.
struct Refused {
    key: Key,
    what: What,
    given: Given,
    days: Vec<BusinessDate>,
    at: [Timestamp; 2],
    /// After how many postings at least, and at most.
    from: usize,
    upto: usize,
    /// What the model would have said last.
    instead: Option<Verdict>,
}

/// What the bank gave for a refused request.
#[derive(Debug)]
enum Given {
    /// Refused with these codes.
    Refused(BTreeSet<String>),
    /// Refused in a batch, which tells only the first code.
    RefusedFirst(String),
    /// Turned away.
    TurnedAway(String),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Refused(codes) => write!(f, "refused with {}", titled(codes.iter().map(String::as_str))),
            Given::RefusedFirst(code) => write!(f, "refused in a batch with {}", titled([code.as_str()])),
            Given::TurnedAway(code) => write!(f, "turned away with {}", titled([code.as_str()])),
        }
    }
}

impl Given {
    fn fits(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Given::Refused(given), Verdict::Refuse(codes)) => given == codes,
            (Given::RefusedFirst(given), Verdict::Refuse(codes)) => codes.contains(given),
            (Given::TurnedAway(given), Verdict::TurnAway(code)) => given == code,
            _ => false,
        }
    }
}

impl Auditor {
    /// Judges everything since the last time. All must be at rest: nothing under way, nothing open.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn judge(&self) -> Result<(), Vec<String>> {
        let now = self.clock.now();
        let mut state = self.state();
        let (posted, refused) = collect(&mut state);
        let State { model, findings, touched, looks, .. } = &mut *state;
        replay(model, findings, &posted, refused);
        findings.extend(looks.drain(..).filter_map(|look| look.judge(model).err()));
        model.marks_came();
        model.lapse(now);
        for request in &posted {
            touched.extend(accounts_of(model, request));
        }
        let found = std::mem::take(findings);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

fn accounts_of(model: &Model, request: &Posted) -> Vec<jangbu_kernel::id::AccountId> {
    let done = model.postings.get(&request.told.id);
    let held = request.told.posting.as_ref().and_then(|p| p.hold).and_then(|h| model.holds.get(&h));
    let named = done.map(|d| [d.debit, d.credit]).unwrap_or_default();
    named.into_iter().flatten().chain(held.map(|h| h.account)).collect()
}

fn days(request: &Request) -> Vec<BusinessDate> {
    let (first, last) =
        (request.begun_at.business_date(UtcOffset::SEOUL), request.ended_at.business_date(UtcOffset::SEOUL));
    (first.days()..=last.days()).map(BusinessDate::from_days).collect()
}

/// Takes what was not judged yet, posted in the order of the bank.
fn collect(state: &mut State) -> (Vec<Posted>, Vec<Refused>) {
    let (mut posted, mut refused) = (Vec::new(), Vec::new());
    let mut fresh = std::mem::take(&mut state.fresh);
    fresh.sort_unstable();
    fresh.dedup();
    for key in fresh {
        let Some(request) = state.requests.get(&key) else { continue };
        if request.under_way > 0 {
            state.findings.push(format!("{}: judged while under way", key.key));
        }
        let what = request.what.clone();
        let given = match &request.fate {
            Fate::Absent => continue,
            Fate::Open => {
                state.findings.push(format!("{}: nobody asked what became of it", key.key));
                continue;
            }
            Fate::Posted(told) => {
                let at = told.posting.as_ref().map_or(request.begun_at, |p| p.posted_at);
                let (begun, ended, days) = (request.begun, request.ended, days(request));
                posted.push(Posted { key, what, told: (**told).clone(), begun, ended, days, at });
                continue;
            }
            Fate::Refused(problem) if problem.failures.is_empty() => Given::RefusedFirst(problem.code.clone()),
            Fate::Refused(problem) => Given::Refused(codes(problem)),
            Fate::TurnedAway(code) => Given::TurnedAway(code.clone()),
        };
        let (days, at) = (days(request), [request.begun_at, request.ended_at]);
        // The places are filled in below; until then they keep the request's own beginning and end.
        let (from, upto) = (place(request.begun), place(request.ended));
        refused.push(Refused { key, what, given, days, at, from, upto, instead: None });
    }
    // The part of an id below its time counts the postings of an instance: the order in which they were made.
    posted.sort_by(|a, b| (&a.key.instance, a.told.id.rest()).cmp(&(&b.key.instance, b.told.id.rest())));
    order(&posted, &mut refused, &mut state.findings);
    (posted, refused)
}

fn place(event: u64) -> usize {
    usize::try_from(event).unwrap_or(usize::MAX)
}

/// Finds out between which postings each refusal was decided, and whether postings keep the order of their callers:
/// who was answered before another was sent comes first. Each instance has an order of its own.
fn order(posted: &[Posted], refused: &mut [Refused], findings: &mut Vec<String>) {
    let instances: BTreeSet<String> = refused.iter().map(|r| r.key.instance.clone()).collect();
    let of_posted = posted.iter().map(|p| p.key.instance.clone());
    for instance in of_posted.chain(instances).collect::<BTreeSet<String>>() {
        let first = posted.partition_point(|p| p.key.instance < instance);
        let count = posted[first..].partition_point(|p| p.key.instance == instance);
        let refused = refused.iter_mut().filter(|r| r.key.instance == instance);
        order_one(&posted[first..first + count], first, refused, findings);
    }
}

/// The same for one instance, whose postings begin at the place `first`.
fn order_one<'a>(
    posted: &[Posted],
    first: usize,
    refused: impl Iterator<Item = &'a mut Refused>,
    findings: &mut Vec<String>,
) {
    let sorted = |by: fn(&Posted) -> u64| {
        let mut order: Vec<(u64, usize)> = posted.iter().enumerate().map(|(i, p)| (by(p), i)).collect();
        order.sort_unstable();
        order
    };
    let (mut by_end, mut by_begin) = (sorted(|p| p.ended), sorted(|p| p.begun));
    // Of all that ended up to here, the last place; of all that begin from here on, the first.
    by_end.iter_mut().fold(0, |last, (_, at)| {
        *at = last.max(*at);
        *at
    });
    by_begin.iter_mut().rev().fold(usize::MAX, |first, (_, at)| {
        *at = first.min(*at);
        *at
    });
    let after = |event: u64| {
        let ended = by_end.partition_point(|(e, _)| *e < event);
        by_end[..ended].last().map_or(0, |(_, at)| at + 1)
    };
    let before = |event: u64| {
        let begun = by_begin.partition_point(|(b, _)| *b <= event);
        by_begin.get(begun).map_or(posted.len(), |(_, at)| *at)
    };
    for (at, p) in posted.iter().enumerate() {
        let earlier = after(p.begun);
        if earlier > at {
            let other = &posted[earlier - 1].key.key;
            findings.push(format!("{}: sent after {other} was answered, but posted before it", p.key.key));
        }
    }
    for r in refused {
        (r.from, r.upto) = (first + after(r.from as u64), first + before(r.upto as u64));
    }
}

fn replay(model: &mut Model, findings: &mut Vec<String>, posted: &[Posted], mut refused: Vec<Refused>) {
    refused.sort_by_key(|r| r.from);
    let mut waiting: Vec<Refused> = Vec::new();
    let mut coming = refused.into_iter().peekable();
    for at in 0..=posted.len() {
        while let Some(r) = coming.next_if(|r| r.from <= at) {
            waiting.push(r);
        }
        explain(model, &mut waiting);
        waiting.retain_mut(|r| {
            if r.upto <= at {
                findings.push(unexplained(r));
            }
            r.upto > at
        });
        if let Some(request) = posted.get(at) {
            carry_out(model, findings, request);
        }
    }
    findings.extend(waiting.iter().chain(&coming.collect::<Vec<_>>()).map(unexplained));
}

fn unexplained(r: &Refused) -> String {
    let Refused { key, what, given, instead, .. } = r;
    let should = instead.as_ref().map_or_else(|| "answered".to_owned(), ToString::to_string);
    format!(
        "{}: {what} was {given}; at no moment between its sending and its answer was that right, it should have been {should}",
        key.key
    )
}

/// Lets go of refusals that the model gives as well, as things now stand.
fn explain(model: &mut Model, waiting: &mut Vec<Refused>) {
    let sights: &[bool] = if model.marks_come() { &[false, true] } else { &[false] };
    waiting.retain_mut(|r| {
        let mut explained = false;
        for at in r.at {
            model.lapse(at);
            for (date, sees) in r.days.iter().flat_map(|date| sights.iter().map(move |sees| (date, *sees))) {
                let (instance, caller) = (r.key.instance.as_str(), r.key.caller.as_str());
                let verdict =
                    model.judge(&Asked { instance, caller, what: &r.what, date: *date, at, sees_coming: sees });
                explained |= r.given.fits(&verdict);
                r.instead = Some(verdict);
            }
        }
        !explained
    });
}

fn carry_out(model: &mut Model, findings: &mut Vec<String>, request: &Posted) {
    let Posted { key, what, told, days, at, .. } = request;
    model.lapse(*at);
    let mut instead: Option<String> = None;
    for date in days {
        let (instance, caller) = (key.instance.as_str(), key.caller.as_str());
        // What was posted did not see them.
        let asked = Asked { instance, caller, what, date: *date, at: *at, sees_coming: false };
        match model.judge(&asked) {
            Verdict::Accept(doing) if belongs(model, &doing, told) => {
                if let Err(why) = figures(model, &doing, told) {
                    findings.push(format!("{}: {what}: {why}", key.key));
                }
                let said = Said { id: told.id, posting: told.posting.as_ref() };
                if let Err(why) = model.carry_out(&doing, &said) {
                    findings.push(format!("{}: {what}: {why}", key.key));
                }
                return;
            }
            verdict @ Verdict::Accept(_) => instead = instead.or_else(|| Some(verdict.to_string())),
            verdict @ (Verdict::Refuse(_) | Verdict::TurnAway(_)) => instead = Some(verdict.to_string()),
        }
    }
    let (id, key, should) = (told.id, &key.key, instead.unwrap_or_else(|| "left alone".to_owned()));
    let day = told.posting.as_ref().map_or_else(String::new, |p| format!(" of {} on {}", p.amount, p.business_date));
    let paid = told.payment.as_ref().map_or_else(String::new, |p| format!(", interest {} to {}", p.from, p.to));
    findings.push(format!("{key}: {what} was posted as {id}{day}{paid}, should have been {should}"));
}

/// Whether the day fits; requests around midnight may belong to either. Interest asked for by its key tells its day
/// only by its amount.
fn belongs(model: &Model, doing: &Doing, told: &Told) -> bool {
    let running = doing.legs.iter().filter_map(|l| model.accounts.get(&l.account)).map(|a| a.running);
    let date = running.fold(doing.date, BusinessDate::max);
    let paid = |amount: i64| doing.due.is_none() || amount == doing.amount;
    let day = told.posting.as_ref().is_none_or(|p| p.business_date == date && paid(p.amount));
    let paid = told.payment.as_ref().is_none_or(|p| doing.pays_interest.is_some_and(|(_, to)| p.to == to));
    day && paid
}

/// Whether the figures of an interest payment are right.
fn figures(model: &Model, doing: &Doing, told: &Told) -> Result<(), String> {
    let (Some(payment), Some(due), Some((id, to))) = (&told.payment, doing.due, doing.pays_interest) else {
        return if told.payment.is_some() { Err("interest was paid for a command".to_owned()) } else { Ok(()) };
    };
    let from = model.accounts.get(&id).map(|a| a.paid_through.add_days(1));
    let bank = (Some(payment.from), payment.to, payment.gross, payment.income_tax, payment.local_tax, payment.net);
    let ours = (from, to, due.gross, due.income_tax, due.local_tax, due.net());
    if bank == ours && payment.other_tax == 0 { Ok(()) } else { Err(format!("paid {bank:?}, should be {ours:?}")) }
}
