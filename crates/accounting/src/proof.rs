//! Proves the general ledger from what is stored: read page by page, so that it stands millions of journals.
//!
//! | level | what must hold |
//! |---|---|
//! | journals | each balances, on accounts of the chart |
//! | totals | each day's total of each account is the sum of its journals |
//! | tax | each row agrees with itself; payables hold what the rows say; suspense is zero |
//! | exchanges | each leg and decision is what its journals say; positions are the sums of exchanges; what is open is so |
//! | revaluations | each follows from the position, its counter-value and the closing rate; profit accounts hold their sums |
//! | control accounts | given back, for whoever knows the sum of the customers' balances |

mod exchanges;

use std::collections::BTreeMap;

use jangbu_contracts::breaks;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{ExchangeId, JournalId, PostingId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx};

use crate::consumers::{EXCHANGE_KIND, REVALUATION_KIND, TAX_KIND};
use crate::domain::chart::{
    CHART, CUSTOMER_DEPOSITS, Code, EXCHANGE_CLEARING, INCOME_TAX_PAYABLE, LOCAL_TAX_PAYABLE, RURAL_TAX_PAYABLE, Side,
    TAX_SUSPENSE,
};
use crate::domain::journal::{Lines, check, unpack};
use crate::domain::matching::{Class, Decision};
use crate::store::{self, Bare};

/// Rows read at once.
const ROWS_PER_READ_MAX: u32 = 8_192;
/// Breaks that are told; more are only counted.
pub const BREAKS_TOLD_MAX: usize = 100;

/// What the general ledger says customers have on deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The deposit instance.
    pub instance: String,
    /// Currency.
    pub currency: Currency,
    /// Sum of all customers' balances, minor units.
    pub balance: i128,
}

/// An exchange whose legs and decision do not agree, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenExchange {
    /// The exchange.
    pub exchange: ExchangeId,
    /// How they differ.
    pub class: breaks::Class,
    /// What it is about.
    pub detail: String,
}

fn class(class: Class) -> breaks::Class {
    match class {
        Class::MissingLeft => breaks::Class::MissingLeft,
        Class::MissingRight => breaks::Class::MissingRight,
        Class::Undecided => breaks::Class::Undecided,
        Class::Amount => breaks::Class::Amount,
        Class::Duplicate => breaks::Class::Duplicate,
    }
}

/// What was read, and what does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Journals read.
    pub journals: u64,
    /// Tax rows read.
    pub taxes: u64,
    /// Control accounts by instance and currency.
    pub controls: Vec<Control>,
    /// Exchanges that were decided.
    pub exchanges: u64,
    /// Exchanges that are open, by id: nothing is wrong with the general ledger while they are.
    pub open: Vec<OpenExchange>,
    /// How many things do not hold.
    pub breaks: u64,
    /// The first of them, of journals, totals and taxes.
    pub told: Vec<String>,
    /// The first of them, of exchanges and positions.
    pub told_of_positions: Vec<String>,
}

impl Proof {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.breaks += 1;
        if self.told.len() < BREAKS_TOLD_MAX {
            self.told.push(what());
        }
    }

    fn add_of_positions(&mut self, what: impl FnOnce() -> String) {
        self.breaks += 1;
        if self.told_of_positions.len() < BREAKS_TOLD_MAX {
            self.told_of_positions.push(what());
        }
    }
}

/// A decision as it was told and booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The exchange.
    pub exchange: ExchangeId,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Whether the customer bought foreign money.
    pub buys: bool,
    /// The foreign currency.
    pub currency: Currency,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub won: i64,
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
}

/// Decisions after an exchange, by exchange: for whoever has the exchanges themselves to hold beside them.
///
/// # Errors
/// The engine failed.
pub async fn decisions(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<Decided>, Fault> {
    let page = store::exchanges::decisions(tx, after, limit).await?;
    let told = |decided: store::exchanges::Decided| {
        let Decision { succeeded, buys, currency, foreign, won, withdrawal, deposit, .. } = decided.decision;
        Decided { exchange: decided.exchange, succeeded, buys, currency, foreign, won, withdrawal, deposit }
    };
    Ok(page.into_iter().map(told).collect())
}

/// What the journal of a posting moved; minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journaled<'a> {
    /// The journal, under the posting's id.
    pub id: JournalId,
    /// The deposit instance.
    pub instance: &'a str,
    /// Currency.
    pub currency: Currency,
    /// Customers' credits less debits.
    pub customers: i128,
    /// Withheld from interest.
    pub tax: i128,
}

/// Is shown what the journal of each posting moved, by id.
pub type See<'s> = dyn FnMut(Journaled<'_>) + Send + 's;

/// None for a journal that is of no posting: that of a payment's tax, of an exchange that was decided, of a revaluation.
fn journaled<'a>(journal: &Bare<'a>, lines: &Lines) -> Option<Journaled<'a>> {
    if [TAX_KIND, EXCHANGE_KIND, REVALUATION_KIND].contains(&journal.kind) {
        return None;
    }
    let of = |code| {
        let lines = lines.iter().filter(move |line| line.code == code);
        lines.map(|l| i128::from(l.amount) * if l.side == Side::Credit { 1 } else { -1 }).sum()
    };
    Some(Journaled {
        id: journal.id,
        instance: journal.instance,
        currency: journal.currency.parse().ok()?,
        customers: of(CUSTOMER_DEPOSITS),
        tax: of(TAX_SUSPENSE),
    })
}

/// Shows what the journals of postings moved, once more, without proving anything.
///
/// # Errors
/// The engine failed.
pub async fn each_journaled(tx: &mut Tx, see: &mut See<'_>) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let each = |journal: Bare<'_>| {
            if let Some(journaled) = unpack(journal.lines).and_then(|lines| journaled(&journal, &lines)) {
                see(journaled);
            }
        };
        let Some((last, _)) = store::each_journal(tx, after, ROWS_PER_READ_MAX, each).await? else { return Ok(()) };
        after = Some(last);
    }
}

/// Account, currency, instance, day.
type Place = (Code, Currency, String, BusinessDate);
/// Credits less debits by account, instance and currency.
type Balances = BTreeMap<(Code, String, Currency), i128>;
/// Debits and credits.
type Sums = BTreeMap<Place, (i128, i128)>;

/// Reads the whole general ledger; `progress` is told how many rows were read. Best asked of a snapshot, so that
/// journals and totals are of one instant.
///
/// # Errors
/// The engine failed. What does not hold is told in the proof, not as an error.
pub async fn proof(tx: &mut Tx, progress: &(dyn Fn(u64) + Sync)) -> Result<Proof, Fault> {
    proof_beside(tx, progress, &mut |_| {}).await
}

/// The same; `see` is shown what the journal of each posting moved, for whoever has another book to hold beside it.
///
/// # Errors
/// As [`proof`].
pub async fn proof_beside(tx: &mut Tx, progress: &(dyn Fn(u64) + Sync), see: &mut See<'_>) -> Result<Proof, Fault> {
    let mut proof = Proof::default();
    let (sums, clearing) = read_journals(tx, &mut proof, progress, see).await?;
    let mut open = sums.clone();
    for total in store::totals(tx).await? {
        let place = (total.code, total.currency, total.instance, total.date);
        let stored = (i128::from(total.debits), i128::from(total.credits));
        let summed = open.remove(&place).unwrap_or_default();
        if stored != summed {
            proof.add(|| format!("total of {place:?} is {stored:?}, its journals are {summed:?}"));
        }
    }
    for (place, summed) in open {
        proof.add(|| format!("total of {place:?} is missing, its journals are {summed:?}"));
    }
    let mut balances = Balances::new();
    for ((code, currency, instance, _), (debits, credits)) in sums {
        *balances.entry((code, instance, currency)).or_default() += credits - debits;
    }
    exchanges::prove(tx, &mut proof, &balances, clearing, progress).await?;
    let mut owed = read_taxes(tx, &mut proof, progress).await?;
    for ((code, instance, currency), balance) in balances {
        let expected = match code {
            CUSTOMER_DEPOSITS => {
                proof.controls.push(Control { instance, currency, balance });
                continue;
            }
            TAX_SUSPENSE => 0,
            INCOME_TAX_PAYABLE | LOCAL_TAX_PAYABLE | RURAL_TAX_PAYABLE => {
                owed.remove(&(code, instance.clone(), currency)).unwrap_or_default()
            }
            _ => continue,
        };
        if balance != expected {
            proof.add(|| format!("account {code} of {instance} holds {balance} {currency} instead of {expected}"));
        }
    }
    for ((code, instance, currency), sum) in owed.into_iter().filter(|(_, sum)| *sum != 0) {
        proof.add(|| format!("account {code} of {instance} holds nothing instead of {sum} {currency}"));
    }
    Ok(proof)
}

/// What journals of one currency, instance and day moved, by account in the order of the chart.
struct Group {
    currency: String,
    instance: String,
    date: i64,
    moved: [(i128, i128); CHART.len()],
}

impl Group {
    fn is_of(&self, journal: &Bare<'_>) -> bool {
        self.date == journal.date && self.instance == journal.instance && self.currency == journal.currency
    }
}

/// The group of a journal. Neighbours are mostly of the same one, so the search begins where the last one ended.
fn group_of(groups: &mut Vec<Group>, last: usize, journal: &Bare<'_>) -> usize {
    if groups.get(last).is_some_and(|group| group.is_of(journal)) {
        return last;
    }
    if let Some(known) = groups.iter().rposition(|group| group.is_of(journal)) {
        return known;
    }
    let (currency, instance) = (journal.currency.to_owned(), journal.instance.to_owned());
    groups.push(Group { currency, instance, date: journal.date, moved: Default::default() });
    groups.len() - 1
}

/// What each account moved on each day, and how many journals of postings moved clearing.
async fn read_journals(
    tx: &mut Tx,
    proof: &mut Proof,
    progress: &(dyn Fn(u64) + Sync),
    see: &mut See<'_>,
) -> Result<(Sums, u64), Fault> {
    let (mut groups, mut at, mut after, mut clearing) = (Vec::new(), 0, None, 0);
    loop {
        let each = |journal: Bare<'_>| {
            let Some(lines) = unpack(journal.lines) else {
                proof.add(|| format!("lines of {} can't be read: {:?}", journal.id, journal.lines));
                return;
            };
            if let Err(broken) = check(&lines) {
                proof.add(|| format!("{}: {broken}", journal.id));
            }
            if let Some(journaled) = journaled(&journal, &lines) {
                clearing += u64::from(lines.iter().any(|line| line.code == EXCHANGE_CLEARING));
                see(journaled);
            }
            at = group_of(&mut groups, at, &journal);
            for line in lines {
                let Some(place) = CHART.iter().position(|account| account.code == line.code) else { continue };
                let (debits, credits) = &mut groups[at].moved[place];
                *(if line.side == Side::Debit { debits } else { credits }) += i128::from(line.amount);
            }
        };
        let Some((last, read)) = store::each_journal(tx, after, ROWS_PER_READ_MAX, each).await? else { break };
        after = Some(last);
        proof.journals += read;
        progress(read);
    }
    let mut sums = Sums::new();
    for group in groups {
        let currency = store::currency(&group.currency)?;
        let date = store::day(group.date)?;
        for (account, moved) in CHART.iter().zip(group.moved).filter(|(_, moved)| *moved != (0, 0)) {
            sums.insert((account.code, currency, group.instance.clone(), date), moved);
        }
    }
    Ok((sums, clearing))
}

/// What is owed in tax by the tax rows.
async fn read_taxes(
    tx: &mut Tx,
    proof: &mut Proof,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<BTreeMap<(Code, String, Currency), i128>, Fault> {
    let mut owed = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store::taxes(tx, after, ROWS_PER_READ_MAX).await?;
        let Some(last) = page.last() else { return Ok(owed) };
        after = Some(last.interest);
        proof.taxes += page.len() as u64;
        progress(page.len() as u64);
        for tax in page {
            let parts = [
                (INCOME_TAX_PAYABLE, tax.income_tax),
                (LOCAL_TAX_PAYABLE, tax.local_tax),
                (RURAL_TAX_PAYABLE, tax.other_tax),
            ];
            let whole = i128::from(tax.net) + parts.iter().map(|(_, part)| i128::from(*part)).sum::<i128>();
            if i128::from(tax.gross) != whole {
                proof.add(|| format!("{}: gross {} is not net and taxes, {whole}", tax.interest, tax.gross));
            }
            for (code, part) in parts {
                *owed.entry((code, tax.instance.clone(), tax.currency)).or_default() += i128::from(part);
            }
        }
    }
}
