//! Decides commands, one after the other, each accepted or refused on its own. Pure.

use jangbu_contracts::codes::Code;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::AccountId;

use super::book::{Account, Applied, Book, Day, Effect, Hold};
use super::chain::Back;
use super::command::{Action, Command, Kind, Original};
use super::eligibility::{Direction, Failures};
use super::interest::Interest;

/// One customer leg of a posting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The account's number.
    pub account: u64,
    /// Serial of its entry (of the last one, where the posting makes none).
    pub serial: u64,
    /// Ledger balance after.
    pub balance: i64,
    /// Pointers of the entry.
    pub back: Back,
}

/// A decided posting: all that is stored of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Posting {
    /// Its place: the order of decisions of the instance.
    pub seq: u64,
    /// Kind.
    pub kind: Kind,
    /// The customer leg that is debited, or whose hold changes.
    pub debit: Option<Leg>,
    /// The customer leg that is credited.
    pub credit: Option<Leg>,
    /// The bank's own account on the other side.
    pub bank: Option<&'static str>,
    /// Minor units; of the customer's leg for interest (net).
    pub amount: i64,
    /// Withheld tax, credited to suspense.
    pub tax: i64,
    /// Change of the holds.
    pub held: i64,
    /// Change of what counts against the limits.
    pub counted: i64,
    /// The posting it refers to (hold, original).
    pub refers: Option<u64>,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// What was paid, for interest.
    pub interest: Option<Box<Interest>>,
}

/// What a posting did to balances: all that is needed to carry it out again, once what it rests on is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Its place.
    pub seq: u64,
    /// Kind.
    pub kind: Kind,
    /// The account that is debited, or whose hold changes.
    pub debit: Option<u64>,
    /// The account that is credited.
    pub credit: Option<u64>,
    /// Minor units.
    pub amount: i64,
    /// Change of the holds.
    pub held: i64,
    /// Change of what counts against the limits.
    pub counted: i64,
    /// The day it belongs to.
    pub date: BusinessDate,
    /// The posting it refers to (hold, original).
    pub refers: Option<u64>,
    /// The day on which that was counted, where it gives something back to the limits.
    pub counted_on: Option<BusinessDate>,
    /// Interest has been paid up to and including this day by it.
    pub paid_through: Option<BusinessDate>,
}

impl Posting {
    /// What it did to balances; what it rests on is with other rows.
    #[must_use]
    pub fn movement(&self) -> Movement {
        let no = |leg: Option<Leg>| leg.map(|leg| leg.account);
        Movement {
            seq: self.seq,
            kind: self.kind,
            debit: no(self.debit),
            credit: no(self.credit),
            amount: self.amount,
            held: self.held,
            counted: self.counted,
            date: self.date,
            refers: self.refers,
            counted_on: None,
            paid_through: None,
        }
    }
}

/// A refusal: every failure found.
pub type Refusal = Vec<(Code, String)>;

/// What was decided of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Accepted or refused.
    pub outcome: Result<Posting, Refusal>,
    /// Days that ended, with their account and the serial they ended with.
    pub ended: Vec<(u64, Day, u64)>,
    /// A hold made or changed.
    pub hold: Option<Hold>,
}

struct Plan {
    kind: Kind,
    debit: Option<(u64, Effect)>,
    credit: Option<(u64, Effect)>,
    bank: Option<&'static str>,
    amount: i64,
    tax: i64,
    refers: Option<u64>,
    interest: Option<Box<Interest>>,
    hold: Option<Hold>,
}

impl Plan {
    fn new(kind: Kind, amount: i64) -> Plan {
        Plan { kind, debit: None, credit: None, bank: None, amount, tax: 0, refers: None, interest: None, hold: None }
    }
    fn debit(mut self, account: u64, effect: Effect) -> Plan {
        self.debit = Some((account, effect));
        self
    }
    fn credit(mut self, account: u64, amount: i64) -> Plan {
        self.credit = Some((account, Effect { ledger: amount, entry: true, ..Effect::default() }));
        self
    }
    fn bank(mut self, bank: &'static str) -> Plan {
        self.bank = Some(bank);
        self
    }
}

/// Takes `amount` out of the ledger balance, counted against the limits.
fn taken(amount: i64) -> Effect {
    Effect { ledger: -amount, counted: amount, entry: true, ..Effect::default() }
}

/// Decides one command at `seq` and carries it out in the book.
pub fn decide(book: &mut Book, seq: u64, command: &Command, now: i64) -> Decided {
    match plan(book, seq, command, now) {
        Err(refusal) => Decided { outcome: Err(refusal), ended: Vec::new(), hold: None },
        Ok(plan) => carry_out(book, seq, command.date, plan),
    }
}

fn plan(book: &Book, seq: u64, command: &Command, now: i64) -> Result<Plan, Refusal> {
    let date = command.date;
    let mut failures = Failures::default();
    let plan = match &command.action {
        Action::Credit { account, amount, bank } => {
            let no = failures.account(book, *account, Direction::Credit, *amount, date);
            Plan::new(Kind::Credit, *amount).credit(no, *amount).bank(bank)
        }
        Action::Debit { account, amount, bank } => {
            let no = failures.account(book, *account, Direction::Debit, *amount, date);
            Plan::new(Kind::Debit, *amount).debit(no, taken(*amount)).bank(bank)
        }
        Action::Transfer { from, to, amount } => {
            let debit = failures.account(book, *from, Direction::Debit, *amount, date);
            let credit = failures.account(book, *to, Direction::Credit, *amount, date);
            failures.same_currency(book, debit, credit);
            Plan::new(Kind::Transfer, *amount).debit(debit, taken(*amount)).credit(credit, *amount)
        }
        Action::Hold { account, amount, until } => {
            let no = failures.account(book, *account, Direction::Debit, *amount, date);
            failures.ahead(*until, now);
            let mut plan = Plan::new(Kind::Hold, *amount)
                .debit(no, Effect { held: *amount, counted: *amount, ..Effect::default() });
            let counted_on = book.accounts.get(no).map_or(date, |a| date.max(a.day.date));
            plan.hold = Some(Hold { seq, account: no, remaining: *amount, until: *until, counted_on });
            plan
        }
        Action::Capture { hold, amount, bank } => return capture(book, *hold, (*amount, bank), date, now),
        Action::Release { hold } => return release(book, *hold),
        Action::Reversal { original } => return reversal(book, original.as_ref(), date),
        Action::Interest { account, due } => return interest(book, *account, due.as_ref(), date),
    };
    failures.none_or(plan)
}

fn live_hold(book: &Book, hold: u64) -> Result<Hold, Refusal> {
    match book.holds.get(&hold) {
        None => Err(vec![(Code::HoldNotFound, "no such hold".into())]),
        Some(h) if h.remaining == 0 => Err(vec![(Code::HoldSettled, "it was captured or released before".into())]),
        Some(h) => Ok(*h),
    }
}

fn capture(
    book: &Book,
    hold: u64,
    (amount, bank): (Option<i64>, &'static str),
    date: BusinessDate,
    now: i64,
) -> Result<Plan, Refusal> {
    let held = live_hold(book, hold)?;
    if held.until.is_some_and(|until| until <= now) {
        return Err(vec![(Code::HoldExpired, "its time has passed".into())]);
    }
    let amount = amount.unwrap_or(held.remaining);
    if amount > held.remaining {
        return Err(vec![(Code::CaptureExceedsHold, format!("{} is held", held.remaining))]);
    }
    let mut failures = Failures::default();
    failures.held_account(book, held.account, amount, date);
    // The money was counted when it was held; what is not taken is given back to the limits.
    let effect = Effect {
        ledger: -amount,
        held: -held.remaining,
        counted: amount - held.remaining,
        given_back_to: Some(held.counted_on),
        entry: true,
    };
    let mut plan = Plan::new(Kind::Capture, amount).debit(held.account, effect).bank(bank);
    plan.refers = Some(hold);
    let remaining = if planted("capture-keeps-rest") { held.remaining - amount } else { 0 };
    plan.hold = Some(Hold { remaining, ..held });
    failures.none_or(plan)
}

fn release(book: &Book, hold: u64) -> Result<Plan, Refusal> {
    let held = live_hold(book, hold)?;
    let effect = Effect {
        held: -held.remaining,
        counted: if planted("limit-not-given-back") { 0 } else { -held.remaining },
        given_back_to: Some(held.counted_on),
        ..Effect::default()
    };
    let mut plan = Plan::new(Kind::Release, held.remaining).debit(held.account, effect);
    plan.refers = Some(hold);
    plan.hold = Some(Hold { remaining: 0, ..held });
    Ok(plan)
}

fn reversal(book: &Book, original: Option<&Original>, date: BusinessDate) -> Result<Plan, Refusal> {
    let Some(original) = original else {
        return Err(vec![(Code::PostingNotFound, "no such posting".into())]);
    };
    if original.reversed {
        return Err(vec![(Code::AlreadyReversed, "it was undone before".into())]);
    }
    if !matches!(original.kind, Kind::Credit | Kind::Debit | Kind::Transfer | Kind::Capture) {
        return Err(vec![(Code::NotReversible, format!("a posting of kind {} stays", original.kind.name()))]);
    }
    let amount = original.amount;
    let mut plan = Plan::new(Kind::Reversal, amount);
    let mut failures = Failures::default();
    // The account once credited gives back; the one once debited gets back.
    if let Some(no) = original.credit {
        failures.reversed_account(book, no, Direction::Debit, amount, date);
        plan = plan.debit(no, Effect { ledger: -amount, entry: true, ..Effect::default() });
    }
    if let Some(no) = original.debit {
        failures.reversed_account(book, no, Direction::Credit, amount, date);
        plan = plan.credit(no, amount);
        if let Some((_, effect)) = plan.credit.as_mut() {
            let times = if planted("limit-given-back-twice") { 2 } else { 1 };
            (effect.counted, effect.given_back_to) = (-amount * times, Some(original.counted_on));
        }
    }
    plan.bank = original.bank;
    plan.refers = Some(original.seq);
    failures.none_or(plan)
}

fn interest(book: &Book, account: AccountId, due: Option<&Interest>, date: BusinessDate) -> Result<Plan, Refusal> {
    let mut failures = Failures::default();
    let no = failures.account(book, account, Direction::Interest, 0, date);
    failures.refusal()?;
    let Some(due) = due.filter(|i| i.gross > 0) else {
        // On its first day an account has no day to pay for, and nobody has claimed any.
        let paid = |a: &Account| a.paid_through >= a.opened_on && a.paid_through >= date.add_days(-1);
        let paid = book.accounts.get(no).is_some_and(paid);
        let code = if paid { Code::AlreadyClaimed } else { Code::NothingToPay };
        return Err(vec![(code, "interest is paid once a day, up to yesterday, from one minor unit".into())]);
    };
    failures.interest(book, no, due.net, date);
    let mut plan = Plan::new(Kind::Interest, due.net).credit(no, due.net).bank("interest_expense");
    plan.tax = due.gross - due.net;
    plan.interest = Some(Box::new(due.clone()));
    failures.none_or(plan)
}

fn carry_out(book: &mut Book, seq: u64, date: BusinessDate, plan: Plan) -> Decided {
    let running = |leg: &Option<(u64, Effect)>| {
        leg.and_then(|(no, _)| book.accounts.get(no)).map_or(date, |a: &Account| a.day.date)
    };
    // A request of yesterday that comes after today's first posting belongs to today: a day that ended stays.
    let date = date.max(running(&plan.debit)).max(running(&plan.credit));
    let mut ended = Vec::new();
    let mut leg = |book: &mut Book, side: Option<(u64, Effect)>| {
        let (no, effect) = side?;
        let account = book.accounts.get_mut(no)?;
        let before = account.serial;
        let Applied { serial, back, ended: day } = account.apply(seq, date, effect);
        if effect.ledger <= 0 || !planted("daily-row-skipped") {
            ended.extend(day.map(|day| (no, day, before)));
        }
        Some(Leg { account: no, serial, balance: account.ledger, back })
    };
    let debit = leg(book, plan.debit);
    let credit = leg(book, plan.credit);
    if let (Some(interest), Some((no, _))) = (&plan.interest, plan.credit)
        && let Some(account) = book.accounts.get_mut(no)
    {
        account.paid_through = interest.to;
    }
    if let Some(hold) = plan.hold {
        book.holds.insert(hold.seq, hold);
    }
    let sum =
        |f: fn(&Effect) -> i64| plan.debit.iter().chain(plan.credit.iter()).map(|(_, effect)| f(effect)).sum::<i64>();
    let posting = Posting {
        seq,
        kind: plan.kind,
        debit,
        credit,
        bank: plan.bank,
        amount: plan.amount,
        tax: plan.tax,
        held: sum(|e| e.held),
        counted: sum(|e| e.counted),
        refers: plan.refers,
        date,
        interest: plan.interest,
    };
    Decided { outcome: Ok(posting), ended, hold: plan.hold }
}

/// Carries out a stored posting in the book again: how state is rebuilt after a start, and kept where others post too.
pub fn replay(book: &mut Book, moved: &Movement) {
    let moves = !matches!(moved.kind, Kind::Hold | Kind::Release);
    let amount = if moves { moved.amount } else { 0 };
    let effect = |ledger: i64, held: i64, counted: i64| Effect {
        ledger,
        held,
        counted: if planted("limits-forgotten") { 0 } else { counted },
        given_back_to: moved.counted_on.filter(|_| counted < 0),
        entry: moves && !planted("serial-reused"),
    };
    let on_debit = moved.kind != Kind::Reversal;
    if let Some(account) = moved.debit.and_then(|no| book.accounts.get_mut(no)) {
        let counted = if on_debit { moved.counted } else { 0 };
        account.apply(moved.seq, moved.date, effect(-amount, moved.held, counted));
    }
    if let Some(account) = moved.credit.and_then(|no| book.accounts.get_mut(no)) {
        let counted = if on_debit { 0 } else { moved.counted };
        account.apply(moved.seq, moved.date, effect(amount, 0, counted));
        if let Some(day) = moved.paid_through.filter(|_| !planted("paid-through-forgotten")) {
            account.paid_through = account.paid_through.max(day);
        }
    }
}
