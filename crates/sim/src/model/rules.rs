//! What speaks against a command, and what it does when nothing does.

use std::collections::BTreeSet;

use jangbu_contracts::deposit::{Command, Side};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, HoldId, PostingId};
use jangbu_kernel::time::Timestamp;

use super::{Account, Customer, Model, interest, terms};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A command.
    Post(Command),
    /// The interest of an account.
    Claim(AccountId),
}

/// A request as the model judges it.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The instance.
    pub instance: &'a str,
    /// Who asks: role, colon, subject.
    pub caller: &'a str,
    /// What is asked.
    pub what: &'a What,
    /// The day on which it came in.
    pub date: BusinessDate,
    /// When it is decided.
    pub at: Timestamp,
    /// Whether it sees the marks that are being set.
    pub sees_coming: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Accept(Box<Doing>),
    /// It is refused, with all of these codes, and stays so under its key.
    Refuse(BTreeSet<String>),
    /// It is turned away before it is decided; its key stays unused.
    TurnAway(&'static str),
}

/// One customer's side of what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Whose.
    pub account: AccountId,
    /// Debit or credit; none when no entry is made.
    pub side: Option<Side>,
    /// Minor units of the entry.
    pub amount: i64,
    /// What counts against the limits, or counts no more.
    pub counted: i64,
    /// The day to which `counted` is given back; absent when it is taken.
    pub given_back_to: Option<BusinessDate>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// Kind of the posting.
    pub kind: &'static str,
    /// The day it belongs to, unless an account has seen a later one.
    pub date: BusinessDate,
    /// Minor units.
    pub amount: i64,
    /// Customers' sides.
    pub legs: Vec<Leg>,
    /// The bank's own sides.
    pub bank: Vec<(String, Side, i64)>,
    /// A hold that is made: account, amount, end.
    pub holds: Option<(AccountId, i64, Option<Timestamp>)>,
    /// A hold that ends.
    pub settles: Option<HoldId>,
    /// The posting that is undone.
    pub reverses: Option<PostingId>,
    /// Interest that is paid: to which account, up to which day.
    pub pays_interest: Option<(AccountId, BusinessDate)>,
    /// The figures of that interest.
    pub due: Option<interest::Due>,
    /// The day on which it was counted, where that is not its own day.
    pub taken_on: Option<BusinessDate>,
    /// Text for the statement.
    pub memo: Option<String>,
}

impl Doing {
    fn new(kind: &'static str, date: BusinessDate, amount: i64) -> Box<Doing> {
        Box::new(Doing {
            kind,
            date,
            amount,
            legs: Vec::new(),
            bank: Vec::new(),
            holds: None,
            settles: None,
            reverses: None,
            pays_interest: None,
            due: None,
            taken_on: None,
            memo: None,
        })
    }

    fn leg(&mut self, account: AccountId, side: Option<Side>, amount: i64) -> &mut Leg {
        self.legs.push(Leg { account, side, amount, counted: 0, given_back_to: None });
        self.legs.last_mut().expect("a leg was just pushed")
    }
}

/// Names that commands may give as source or target.
const BANK_ACCOUNTS: [&str; 4] = ["cash", "nostro", "fees", "exchange"];
/// Most that a limited account pays a day, won.
const LIMITED_DAY_MAX: i64 = 1_000_000;
/// Greatest balance, minor units.
const BALANCE_MAX: i64 = 10_000_000_000_000_000;

/// Which way money goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
    Interest,
}

/// Mark, code, and whether it stops money out, money in, interest: the table of the domain facts, section 5.
const MARKS: [(&str, &str, [bool; 3]); 13] = [
    ("dormant", "ACCOUNT_DORMANT", [true, true, true]),
    ("suspended", "ACCOUNT_SUSPENDED", [true, true, true]),
    ("deposit_stop", "DEPOSIT_BLOCKED", [false, true, true]),
    ("withdrawal_stop", "WITHDRAWAL_BLOCKED", [true, false, false]),
    ("loss_report", "LOSS_REPORTED", [true, false, false]),
    ("attached", "ATTACHED", [true, false, false]),
    ("pledged", "PLEDGED", [true, false, false]),
    ("fraud_freeze", "FRAUD_FROZEN", [true, false, false]),
    ("deceased", "OWNER_DECEASED", [true, false, true]),
    ("identity_theft", "OWNER_IDENTITY_THEFT", [true, true, true]),
    ("minor_restricted", "OWNER_MINOR_RESTRICTED", [true, false, false]),
    ("kyc_expired", "KYC_EXPIRED", [true, false, false]),
    ("sanctioned", "SANCTIONED", [true, true, true]),
];

impl Model {
    /// What becomes of a request, as things stand.
    #[must_use]
    pub fn judge(&self, asked: &Asked<'_>) -> Verdict {
        if let Some(code) = self.turned_away(asked) {
            return Verdict::TurnAway(code);
        }
        let command = match asked.what {
            What::Claim(account) => return self.claim(asked, *account),
            What::Post(command) => command,
        };
        match command {
            Command::Credit { account, amount, source, memo } => {
                let mut doing = Doing::new("credit", asked.date, amount.get());
                doing.leg(*account, Some(Side::Credit), amount.get());
                doing.bank.push((source.clone(), Side::Debit, amount.get()));
                doing.memo.clone_from(memo);
                decided(self.against(asked, *account, Way::In, amount.get()), doing)
            }
            Command::Debit { account, amount, target, memo } => {
                let mut doing = Doing::new("debit", asked.date, amount.get());
                doing.leg(*account, Some(Side::Debit), amount.get()).counted = amount.get();
                doing.bank.push((target.clone(), Side::Credit, amount.get()));
                doing.memo.clone_from(memo);
                decided(self.against(asked, *account, Way::Out, amount.get()), doing)
            }
            Command::Transfer { from, to, amount, memo } => {
                let mut doing = Doing::new("transfer", asked.date, amount.get());
                doing.leg(*from, Some(Side::Debit), amount.get()).counted = amount.get();
                doing.leg(*to, Some(Side::Credit), amount.get());
                doing.memo.clone_from(memo);
                let mut against = self.against(asked, *from, Way::Out, amount.get());
                against.extend(self.against(asked, *to, Way::In, amount.get()));
                if let (Some(a), Some(b)) = (self.known(asked, *from), self.known(asked, *to))
                    && a.currency != b.currency
                {
                    against.insert("CURRENCY_MISMATCH".to_owned());
                }
                decided(against, doing)
            }
            Command::Hold { account, amount, until } => {
                let mut doing = Doing::new("hold", asked.date, amount.get());
                doing.leg(*account, None, amount.get()).counted = amount.get();
                doing.holds = Some((*account, amount.get(), *until));
                decided(self.against(asked, *account, Way::Out, amount.get()), doing)
            }
            Command::Capture { hold, amount, target } => {
                self.capture(asked, *hold, amount.map(jangbu_kernel::money::Amount::get), target)
            }
            Command::Release { hold } => self.release(asked, *hold),
            Command::Reversal { posting, reason } => self.reversal(asked, *posting, reason),
        }
    }

    /// What is wrong with the request itself.
    fn turned_away(&self, asked: &Asked<'_>) -> Option<&'static str> {
        let bank = |name: &String| (!BANK_ACCOUNTS.contains(&name.as_str())).then_some("UNKNOWN_BANK_ACCOUNT");
        let long = |memo: &Option<String>| memo.as_ref().is_some_and(|m| m.chars().count() > 200);
        let (from, malformed) = match asked.what {
            What::Claim(account) => (Some(*account), None),
            What::Post(command) => match command {
                Command::Credit { source, memo, .. } => (None, bank(source).or(long(memo).then_some("INVALID_FIELD"))),
                Command::Debit { target, memo, .. } => (None, bank(target).or(long(memo).then_some("INVALID_FIELD"))),
                Command::Transfer { from, to, memo, .. } if from != to => {
                    (Some(*from), long(memo).then_some("INVALID_FIELD"))
                }
                Command::Transfer { from, .. } => (Some(*from), Some("SAME_ACCOUNT")),
                Command::Hold { until, .. } => (None, until.filter(|u| *u <= asked.at).map(|_| "INVALID_FIELD")),
                Command::Capture { target, .. } => (None, bank(target)),
                Command::Release { .. } => (None, None),
                Command::Reversal { reason, .. } => (None, reason.trim().is_empty().then_some("INVALID_FIELD")),
            },
        };
        let customer = asked.caller.strip_prefix("customer:");
        malformed.or(match (customer, from) {
            (Some(_), None) => Some("FORBIDDEN"),
            (Some(who), Some(from)) => {
                let owner = self.known(asked, from).map(|a| a.customer.to_string());
                (owner.as_deref() != Some(who)).then_some("NOT_FOUND")
            }
            (None, Some(from)) if matches!(asked.what, What::Claim(_)) => {
                self.known(asked, from).is_none().then_some("NOT_FOUND")
            }
            (None, _) => None,
        })
    }

    fn known(&self, asked: &Asked<'_>, account: AccountId) -> Option<&Account> {
        self.accounts.get(&account).filter(|a| a.instance == asked.instance)
    }

    /// All that speaks against moving money on an account.
    fn against(&self, asked: &Asked<'_>, id: AccountId, way: Way, amount: i64) -> BTreeSet<String> {
        let Some(account) = self.known(asked, id) else { return BTreeSet::from(["ACCOUNT_NOT_FOUND".to_owned()]) };
        let mut found = self.restrictions(asked, account, way);
        let mut add = |code: &str, wrong: bool| {
            if wrong {
                found.insert(code.to_owned());
            }
        };
        match way {
            Way::Interest => {}
            Way::In => add("BALANCE_OVERFLOW", account.ledger() + amount > BALANCE_MAX),
            Way::Out => {
                let day = asked.date.max(account.running);
                let versions = self.products.get(&(account.instance.clone(), account.product.clone()));
                let over = |max: Option<i64>, used: i64| max.is_some_and(|max| used + amount > max);
                let (today, month) = (account.counted_on(day), account.counted_in_month(day));
                if let Some(terms) = versions.and_then(|v| terms::on(v, day)) {
                    add("LIMIT_EXCEEDED", over(terms.transaction_max, 0));
                    add("LIMIT_EXCEEDED", over(terms.day_max, today));
                    add("LIMIT_EXCEEDED", over(terms.month_max, month));
                }
                let limited = account.marks.contains("limited");
                add("LIMITED_ACCOUNT", limited && over(Some(LIMITED_DAY_MAX), today));
                add("INSUFFICIENT_AVAILABLE", self.available(id) < amount);
            }
        }
        found
    }

    fn restrictions(&self, asked: &Asked<'_>, account: &Account, way: Way) -> BTreeSet<String> {
        let nobody = Customer { person: true, ..Customer::default() };
        let owner = self.customers.get(&account.customer).unwrap_or(&nobody);
        let stopped = |(mark, _, stops): &&(&str, &str, [bool; 3])| {
            let coming = asked.sees_coming && account.coming.contains(*mark);
            let set = account.marks.contains(*mark) || coming || owner.marks.contains(*mark);
            set && stops[match way {
                Way::Out => 0,
                Way::In => 1,
                Way::Interest => 2,
            }]
        };
        let mut found: BTreeSet<String> = MARKS.iter().filter(stopped).map(|(_, code, _)| (*code).to_owned()).collect();
        if account.closed_on.is_some() {
            found.insert("ACCOUNT_CLOSED".to_owned());
        }
        if way == Way::Interest && !owner.person {
            found.insert("CORPORATE_RESTRICTED".to_owned());
        }
        found
    }

    fn capture(&self, asked: &Asked<'_>, id: HoldId, amount: Option<i64>, target: &str) -> Verdict {
        let Some(hold) = self.holds.get(&id) else { return refused("HOLD_NOT_FOUND") };
        if hold.amount == 0 {
            return refused("HOLD_SETTLED");
        }
        if hold.until.is_some_and(|until| until <= asked.at) {
            return refused("HOLD_EXPIRED");
        }
        let amount = amount.unwrap_or(hold.amount);
        if amount > hold.amount {
            return refused("CAPTURE_EXCEEDS_HOLD");
        }
        let mut doing = Doing::new("capture", asked.date, amount);
        let leg = doing.leg(hold.account, Some(Side::Debit), amount);
        leg.counted = hold.amount - amount;
        leg.given_back_to = Some(hold.taken_on);
        doing.bank.push((target.to_owned(), Side::Credit, amount));
        doing.settles = Some(id);
        doing.taken_on = Some(hold.taken_on);
        let account = self.accounts.get(&hold.account);
        decided(account.map(|a| self.restrictions(asked, a, Way::Out)).unwrap_or_default(), doing)
    }

    fn release(&self, asked: &Asked<'_>, id: HoldId) -> Verdict {
        let Some(hold) = self.holds.get(&id) else { return refused("HOLD_NOT_FOUND") };
        if hold.amount == 0 {
            return refused("HOLD_SETTLED");
        }
        let mut doing = Doing::new("release", asked.date, hold.amount);
        let leg = doing.leg(hold.account, None, hold.amount);
        leg.counted = hold.amount;
        leg.given_back_to = Some(hold.taken_on);
        doing.settles = Some(id);
        Verdict::Accept(doing)
    }

    fn reversal(&self, asked: &Asked<'_>, id: PostingId, reason: &str) -> Verdict {
        let Some(done) = self.postings.get(&id) else { return refused("POSTING_NOT_FOUND") };
        if done.reversed {
            return refused("ALREADY_REVERSED");
        }
        if !matches!(done.kind.as_str(), "credit" | "debit" | "transfer" | "capture") {
            return refused("NOT_REVERSIBLE");
        }
        let mut doing = Doing::new("reversal", asked.date, done.amount);
        let mut against = BTreeSet::new();
        let closed = |id: AccountId| self.accounts.get(&id).is_some_and(|a| a.closed_on.is_some());
        if let Some(credited) = done.credit {
            doing.leg(credited, Some(Side::Debit), done.amount);
            if self.available(credited) < done.amount {
                against.insert("INSUFFICIENT_AVAILABLE".to_owned());
            }
        }
        if let Some(debited) = done.debit {
            let leg = doing.leg(debited, Some(Side::Credit), done.amount);
            leg.counted = done.amount;
            leg.given_back_to = Some(done.taken_on);
            if self.accounts.get(&debited).is_some_and(|a| a.ledger() + done.amount > BALANCE_MAX) {
                against.insert("BALANCE_OVERFLOW".to_owned());
            }
        }
        if [done.credit, done.debit].into_iter().flatten().any(closed) {
            against.insert("ACCOUNT_CLOSED".to_owned());
        }
        if let Some(bank) = &done.bank {
            let side = if done.debit.is_some() { Side::Debit } else { Side::Credit };
            doing.bank.push((bank.clone(), side, done.amount));
        }
        doing.reverses = Some(id);
        doing.memo = Some(reason.to_owned());
        decided(against, doing)
    }

    fn claim(&self, asked: &Asked<'_>, id: AccountId) -> Verdict {
        let against = self.against(asked, id, Way::Interest, 0);
        let Some(account) = self.accounts.get(&id).filter(|_| against.is_empty()) else {
            return Verdict::Refuse(against);
        };
        let (from, to) = (account.paid_through.add_days(1), asked.date.add_days(-1));
        if from > to {
            // Every day is paid for; on the first there was none to pay for.
            let first = from == account.opened_on;
            return refused(if first { "NOTHING_TO_PAY" } else { "ALREADY_CLAIMED" });
        }
        let Some(due) = self.due(account, from, to).filter(|due| due.gross > 0) else {
            return refused("NOTHING_TO_PAY");
        };
        if account.ledger() + due.net() > BALANCE_MAX {
            return refused("BALANCE_OVERFLOW");
        }
        let mut doing = Doing::new("interest", asked.date, due.net());
        doing.leg(id, Some(Side::Credit), due.net());
        doing.bank.push(("interest_expense".to_owned(), Side::Debit, due.gross));
        if due.gross > due.net() {
            doing.bank.push(("tax_suspense".to_owned(), Side::Credit, due.gross - due.net()));
        }
        doing.pays_interest = Some((id, to));
        doing.due = Some(due);
        Verdict::Accept(doing)
    }

    /// Interest of an account from one day to another; `None` when its product has no terms.
    #[must_use]
    pub fn due(&self, account: &Account, from: BusinessDate, to: BusinessDate) -> Option<interest::Due> {
        let versions = self.products.get(&(account.instance.clone(), account.product.clone()))?;
        interest::due(versions, |day| account.closing(day), from, to)
    }
}

fn decided(against: BTreeSet<String>, doing: Box<Doing>) -> Verdict {
    if against.is_empty() { Verdict::Accept(doing) } else { Verdict::Refuse(against) }
}

fn refused(code: &str) -> Verdict {
    Verdict::Refuse(BTreeSet::from([code.to_owned()]))
}
