//! Between wire and domain.

use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit as wire;
use jangbu_contracts::exchange::exchange_of_key;
use jangbu_contracts::problem::{Failure, Problem};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{ExchangeId, HoldId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::Key;
use jangbu_platform::http::Refused;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::book::{Account, Marks, Owner};
use crate::domain::command::{self, Action, Command, Kind, Original};
use crate::domain::decide::Refusal;
use crate::domain::totals::{Sums, Totals};
use crate::flows::post::{Outcome, Posted};
use crate::ledger::{Ledger, millis};

/// Characters of a memo at most.
const MEMO_CHARS_MAX: usize = 200;

/// A key as the ledger keeps it: with its caller, and growing with the key.
pub fn stored_key(key: &Key) -> String {
    format!("{}\u{1f}{}", key.key, key.caller)
}

/// The exchange that a posting belongs to, by its key as the ledger keeps it.
pub fn exchange_of(stored_key: &str) -> Option<ExchangeId> {
    let (key, caller) = stored_key.split_once('\u{1f}')?;
    exchange_of_key(caller, key)
}

/// What is wrong with a command before anything is decided by it.
#[derive(Default)]
struct Wrong(Vec<Failure>);

impl Wrong {
    fn add(&mut self, code: Code, field: &str, why: impl Into<String>) {
        self.0.push(Failure { code: code.as_str().to_owned(), field: Some(field.to_owned()), detail: why.into() });
    }
    /// The bank's account of that name; any, when there is none and the command goes no further.
    fn bank(&mut self, field: &str, name: &str) -> &'static str {
        command::bank_account(name).unwrap_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            self.add(Code::UnknownBankAccount, field, format!("{shown:?} is not an account of the bank"));
            ""
        })
    }
}

/// A posting that is to be undone; filled with what the store holds once the ledger's turn is had.
fn wanted(seq: u64) -> Original {
    Original {
        seq,
        kind: Kind::Reversal,
        debit: None,
        credit: None,
        bank: None,
        amount: 0,
        counted_on: BusinessDate::from_days(0),
        reversed: false,
    }
}

/// A command as decisions take it. What is wrong here is wrong whenever the same is sent: it needs no record.
pub fn command(ledger: &Ledger, key: &Key, from: wire::Command, now: Timestamp) -> Result<Command, Refused> {
    let mut hash = Xxh3::new();
    hash.update(&serde_json::to_vec(&from).unwrap_or_default());
    let hold = |id: HoldId| ledger.seq_of(id.rest()).unwrap_or(0);
    let (mut memo, mut wrong) = (None, Wrong::default());
    let action = match from {
        wire::Command::Credit { account, amount, source, memo: text } => {
            memo = text;
            Action::Credit { account, amount: amount.get(), bank: wrong.bank("source", &source) }
        }
        wire::Command::Debit { account, amount, target, memo: text } => {
            memo = text;
            Action::Debit { account, amount: amount.get(), bank: wrong.bank("target", &target) }
        }
        wire::Command::Transfer { from, to, amount, memo: text } => {
            if from == to {
                wrong.add(Code::SameAccount, "to", "a transfer needs two accounts");
            }
            memo = text;
            Action::Transfer { from, to, amount: amount.get() }
        }
        wire::Command::Hold { account, amount, until } => {
            Action::Hold { account, amount: amount.get(), until: until.map(Timestamp::micros) }
        }
        wire::Command::Capture { hold: id, amount, target } => Action::Capture {
            hold: hold(id),
            amount: amount.map(jangbu_kernel::money::Amount::get),
            bank: wrong.bank("target", &target),
        },
        wire::Command::Release { hold: id } => Action::Release { hold: hold(id) },
        wire::Command::Reversal { posting, reason } => {
            if reason.trim().is_empty() || reason.chars().count() > MEMO_CHARS_MAX {
                wrong.add(Code::InvalidField, "reason", "say why it is undone, in at most 200 characters");
            }
            memo = Some(reason).filter(|_| wrong.0.is_empty());
            Action::Reversal { original: ledger.seq_of(posting.rest()).map(wanted) }
        }
    };
    if memo.as_ref().is_some_and(|m| m.chars().count() > MEMO_CHARS_MAX) {
        wrong.add(Code::InvalidField, "memo", "has at most 200 characters");
    }
    if !wrong.0.is_empty() {
        return Err(Refused::from(Problem::failed(wrong.0)));
    }
    Ok(Command { key: stored_key(key), hash: hash.digest(), action, date: now.business_date(ledger.offset), memo })
}

/// A posting as shown.
pub fn posting(ledger: &Ledger, p: &Posted) -> wire::Posting {
    let id = |seq: u64| ledger.id_rest(seq);
    let at = Timestamp::from_micros(p.at);
    let posting = &p.posting;
    let mut entries = Vec::with_capacity(3);
    let moves = !matches!(posting.kind, Kind::Hold | Kind::Release);
    let leg = |account: Option<jangbu_kernel::id::AccountId>, leg: Option<crate::domain::decide::Leg>, side| {
        let (account, leg) = (account?, leg?);
        Some(wire::Entry {
            account: account.to_string(),
            serial: Some(leg.serial),
            side,
            amount: posting.amount,
            balance_after: Some(leg.balance),
        })
    };
    let own = |account: &str, side, amount| wire::Entry {
        account: account.to_owned(),
        serial: None,
        side,
        amount,
        balance_after: None,
    };
    if moves {
        entries.extend(leg(p.debit, posting.debit, wire::Side::Debit));
        entries.extend(leg(p.credit, posting.credit, wire::Side::Credit));
        if let Some(bank) = posting.bank {
            let side = if posting.credit.is_some() { wire::Side::Debit } else { wire::Side::Credit };
            entries.push(own(bank, side, posting.amount + posting.tax));
        }
        if posting.tax > 0 {
            entries.push(own("tax_suspense", wire::Side::Credit, posting.tax));
        }
    }
    let hold = match posting.kind {
        Kind::Hold => Some(posting.seq),
        Kind::Capture | Kind::Release => posting.refers,
        _ => None,
    };
    let reverses = posting.refers.filter(|_| posting.kind == Kind::Reversal);
    let undone_at = p.undone_at.map_or(0, |at| millis(Timestamp::from_micros(at)));
    wire::Posting {
        id: PostingId::from_parts(millis(at), id(posting.seq)),
        kind: posting.kind.name().to_owned(),
        amount: posting.amount,
        currency: p.currency,
        business_date: posting.date,
        posted_at: at,
        entries,
        hold: hold.map(|seq| HoldId::from_parts(0, id(seq))),
        reverses: reverses.map(|seq| PostingId::from_parts(undone_at, id(seq))),
        memo: p.memo.clone(),
    }
}

/// What was paid, as shown.
pub fn payment(ledger: &Ledger, p: &Posted) -> Option<wire::InterestPayment> {
    let paid = p.posting.interest.as_ref()?;
    Some(wire::InterestPayment {
        id: p.interest?,
        from: paid.from,
        to: paid.to,
        gross: paid.gross,
        income_tax: paid.income_tax,
        local_tax: paid.local_tax,
        other_tax: paid.other_tax,
        net: paid.net,
        posting: posting(ledger, p).id,
    })
}

/// A refusal as a problem.
pub fn problem(refusal: &Refusal) -> Problem {
    Problem::refused(refusal)
}

/// An outcome of a batch.
pub fn outcome(ledger: &Ledger, key: String, outcome: Outcome) -> wire::Outcome {
    match outcome {
        Outcome::Posted(p, _) => wire::Outcome {
            key,
            status: 201,
            posting: Some(posting(ledger, &p)),
            code: None,
            detail: None,
            failures: Vec::new(),
        },
        Outcome::Refused(refusal, _) => refused(key, &problem(&refusal)),
        Outcome::KeyReused => refused(key, &Problem::new(Code::KeyReused, "the key came with another request before")),
    }
}

/// A problem as an outcome of a batch.
pub fn refused(key: String, problem: &Problem) -> wire::Outcome {
    let said_more = problem.failures.len() > 1 || problem.failures.iter().any(|f| f.field.is_some());
    wire::Outcome {
        key,
        status: problem.status,
        posting: None,
        code: Some(problem.code.clone()),
        detail: Some(problem.detail.clone()),
        failures: if said_more { problem.failures.clone() } else { Vec::new() },
    }
}

/// An account as shown.
pub fn account(a: &Account, owner: Owner, number: String, product: String) -> wire::Account {
    let marks: Vec<String> = Marks::OF_ACCOUNTS
        .iter()
        .chain(Marks::OF_CUSTOMERS.iter())
        .filter(|(mark, _)| a.marks.any(*mark) || owner.marks.any(*mark))
        .map(|(_, name)| (*name).to_owned())
        .collect();
    let status = match a.closed_on {
        Some(_) => "closed",
        None if marks.is_empty() => "active",
        None => "restricted",
    };
    wire::Account {
        id: a.id,
        number,
        customer: a.customer,
        product,
        currency: a.currency,
        status: status.to_owned(),
        marks,
        ledger_balance: a.ledger,
        held: a.held,
        available_balance: a.available(),
        last_serial: a.serial,
        opened_on: a.opened_on,
        closed_on: a.closed_on,
        interest_paid_through: a.paid_through,
    }
}

/// Sums over all postings, as shown. A sum beyond the wire's integers is shown as the greatest.
pub fn totals(totals: &Totals, accounts: u64, recorded: u64, today: BusinessDate) -> wire::Totals {
    let wide = |sum: i128| i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX });
    let currency = |(currency, sums): (&Currency, &Sums)| {
        let paid = sums.paid.on(today);
        wire::CurrencyTotals {
            currency: *currency,
            customers_total: wide(sums.entries),
            bank: sums.bank.iter().map(|(account, sum)| ((*account).to_owned(), wide(*sum))).collect(),
            balanced: sums.balanced(),
            difference: wide(sums.difference()),
            broken_entries: sums.broken,
            interest_paid_today: paid.net,
            interest_tax_today: paid.tax,
            interest_payments_today: paid.payments,
        }
    };
    wire::Totals {
        accounts,
        recorded: recorded.max(totals.through),
        summed: totals.through,
        postings: totals.postings,
        refused: totals.refused,
        business_date: today,
        currencies: totals.currencies.iter().map(currency).collect(),
    }
}

/// The business date of a request, decided once.
pub fn today(ledger: &Ledger, now: Timestamp) -> BusinessDate {
    now.business_date(ledger.offset)
}
