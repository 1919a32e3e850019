//! Whether the books of an exchange agree: its leg in won, its leg in the currency, and what was decided of it. What is
//! known may come in any order, so the same judgement is made of all there is, each time something comes.
//!
//! | class | when |
//! |---|---|
//! | `missing_left` | the leg in won is missing: of an exchange that succeeded, or of whose other leg stands |
//! | `missing_right` | the leg in the currency is missing, likewise |
//! | `undecided` | legs stand that no decision explains: none came, or it failed |
//! | `amount` | two that are there differ: in amount, currency, account, direction or posting |
//! | `duplicate` | a leg is there twice |
//! | `timing` | something is missing, and may be on its way |
//!
//! A leg that was given back does not stand.

use jangbu_kernel::id::{AccountId, PostingId};
use jangbu_kernel::money::Currency;

use super::chart::Side;

/// How long something may be on its way before it is missed, in microseconds. An exchange is carried forward for 15 s;
/// what is to be given back then is asked for after one more.
pub const TIMING_US_MAX: i64 = 30_000_000;

/// The class of what is missing and not yet missed.
pub const TIMING: &str = "timing";

/// A posting on the clearing account: a leg of an exchange, or what gives one back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The posting.
    pub posting: PostingId,
    /// The customer's account.
    pub account: AccountId,
    /// Debited is withdrawn.
    pub side: Side,
    /// Currency.
    pub currency: Currency,
    /// Minor units.
    pub amount: i64,
    /// The posting that it gives back.
    pub reverses: Option<PostingId>,
}

/// What was decided, as far as legs have to agree with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether both legs were made.
    pub succeeded: bool,
    /// Whether the customer bought foreign money.
    pub buys: bool,
    /// The foreign currency.
    pub currency: Currency,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub won: i64,
    /// Account in won, where it was told.
    pub krw_account: Option<AccountId>,
    /// Account in the currency, where it was told.
    pub fx_account: Option<AccountId>,
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
}

/// How the books of an exchange differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The leg in won is missing.
    MissingLeft,
    /// The leg in the currency is missing.
    MissingRight,
    /// Legs that no decision explains.
    Undecided,
    /// Two differ.
    Amount,
    /// A leg is there twice.
    Duplicate,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 5] =
        [Class::MissingLeft, Class::MissingRight, Class::Undecided, Class::Amount, Class::Duplicate];

    /// Its name in the store, in answers and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::MissingLeft => "missing_left",
            Class::MissingRight => "missing_right",
            Class::Undecided => "undecided",
            Class::Amount => "amount",
            Class::Duplicate => "duplicate",
        }
    }

    /// Whether what is missing may still come.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Class::MissingLeft | Class::MissingRight | Class::Undecided => true,
            Class::Amount | Class::Duplicate => false,
        }
    }
}

/// A difference, and what it is about.
pub type Open = (Class, String);

/// The two sides of an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Won,
    Foreign,
}

impl Of {
    fn missing(self) -> Class {
        match self {
            Of::Won => Class::MissingLeft,
            Of::Foreign => Class::MissingRight,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Of::Won => "the leg in won",
            Of::Foreign => "the leg in the currency",
        }
    }
    fn other(self) -> Of {
        match self {
            Of::Won => Of::Foreign,
            Of::Foreign => Of::Won,
        }
    }
}

fn of(leg: &Leg) -> Of {
    if leg.currency == Currency::KRW { Of::Won } else { Of::Foreign }
}

/// Judges an exchange by all that is known of it; none when its books agree.
#[must_use]
pub fn judge(decision: Option<&Decision>, legs: &[Leg]) -> Option<Open> {
    let undone = |leg: &Leg| legs.iter().any(|other| other.reverses == Some(leg.posting));
    let standing: Vec<&Leg> = legs.iter().filter(|leg| leg.reverses.is_none() && !undone(leg)).collect();
    let on = |side: Of| standing.iter().filter(move |leg| of(leg) == side).copied();
    for side in [Of::Won, Of::Foreign] {
        if on(side).count() > 1 {
            let twice: Vec<String> = on(side).map(|leg| leg.posting.to_string()).collect();
            return Some((Class::Duplicate, format!("{} is there as {}", side.name(), twice.join(" and "))));
        }
    }
    let (won, foreign) = (on(Of::Won).next(), on(Of::Foreign).next());
    if let (Some(won), Some(foreign)) = (won, foreign)
        && won.side == foreign.side
    {
        return Some((Class::Amount, format!("{} and {} go the same way", won.posting, foreign.posting)));
    }
    if let Some(lost) = legs.iter().find(|leg| leg.reverses.is_some_and(|id| legs.iter().all(|l| l.posting != id))) {
        return Some((of(lost).missing(), format!("{} gives back a leg that is not there", lost.posting)));
    }
    match decision {
        None => Some(undecided(won, foreign)),
        Some(decision) if decision.succeeded => succeeded(decision, won, foreign),
        Some(decision) => failed(decision, legs, won, foreign),
    }
}

fn undecided(won: Option<&Leg>, foreign: Option<&Leg>) -> Open {
    match (won, foreign) {
        (Some(leg), None) | (None, Some(leg)) => {
            let missing = of(leg).other();
            (missing.missing(), format!("{} stands alone, and nothing was decided", leg.posting))
        }
        (Some(_), Some(_)) => (Class::Undecided, "both legs stand, and nothing was decided".to_owned()),
        (None, None) => (Class::Undecided, "what was withdrawn was given back, and nothing was decided".to_owned()),
    }
}

fn succeeded(decision: &Decision, won: Option<&Leg>, foreign: Option<&Leg>) -> Option<Open> {
    let Decision { buys, currency, .. } = *decision;
    let posting = |withdraws| if withdraws { decision.withdrawal } else { decision.deposit };
    let sides = [
        (Of::Won, won, Currency::KRW, decision.won, decision.krw_account, buys),
        (Of::Foreign, foreign, currency, decision.foreign, decision.fx_account, !buys),
    ];
    let mut missing = None;
    for (side, leg, currency, amount, account, withdraws) in sides {
        let Some(leg) = leg else {
            missing = missing.or(Some((side.missing(), format!("it succeeded, and {} is not there", side.name()))));
            continue;
        };
        let wanted = if withdraws { Side::Debit } else { Side::Credit };
        let same = leg.currency == currency
            && leg.amount == amount
            && leg.side == wanted
            && account.is_none_or(|account| account == leg.account)
            && posting(withdraws) == Some(leg.posting);
        if !same {
            let (id, has, account) = (leg.posting, leg.amount, leg.account);
            let decided = format!("{amount} {currency} by {:?} was decided", posting(withdraws));
            return Some((Class::Amount, format!("{id} moved {has} {} of {account}, {decided}", leg.currency)));
        }
    }
    missing
}

fn failed(decision: &Decision, legs: &[Leg], won: Option<&Leg>, foreign: Option<&Leg>) -> Option<Open> {
    match (won, foreign) {
        (Some(leg), None) | (None, Some(leg)) => {
            let missing = of(leg).other();
            Some((missing.missing(), format!("it failed, and {} stands alone", leg.posting)))
        }
        (Some(_), Some(_)) => Some((Class::Undecided, "it failed, and both legs stand".to_owned())),
        (None, None) => {
            let withdrawal = decision.withdrawal?;
            let withdrawn = if decision.buys { Of::Won } else { Of::Foreign };
            let why = || format!("it failed, and {withdrawal}, which was given back, is not there");
            legs.iter().all(|leg| leg.posting != withdrawal).then(|| (withdrawn.missing(), why()))
        }
    }
}

#[cfg(test)]
mod tests;
