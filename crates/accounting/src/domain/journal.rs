//! From a posting to journals: balanced lines on accounts of the general ledger.
//!
//! Figures are taken from the posting, never worked out again. What is checked is that they agree with each other.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{ExchangeId, JournalId};
use jangbu_kernel::money::Currency;
use smallvec::SmallVec;

use super::chart::{
    CUSTOMER_DEPOSITS, Code, INCOME_TAX_PAYABLE, INTEREST_EXPENSE, LOCAL_TAX_PAYABLE, RURAL_TAX_PAYABLE, Side,
    TAX_SUSPENSE, by_code,
};

/// Lines of one journal at most: packed they fit their column.
pub const LINES_MAX: usize = 16;

/// One line of a journal. Minor units, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The account.
    pub code: Code,
    /// Debit or credit.
    pub side: Side,
    /// How much.
    pub amount: i64,
}

/// The lines of a journal.
pub type Lines = SmallVec<[Line; 4]>;

/// What an interest payment is made of, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Special tax for rural development.
    pub other_tax: i64,
    /// Credited to the customer.
    pub net: i64,
}

/// Why a posting can't be journaled. It is the posting that is wrong, so trying again would not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Debits and credits differ.
    #[error("debits are {debits}, credits are {credits}")]
    Unbalanced {
        /// Sum of debits.
        debits: i128,
        /// Sum of credits.
        credits: i128,
    },
    /// A line without a positive amount.
    #[error("a line of {0} minor units")]
    NotPositive(i64),
    /// More lines than a journal has.
    #[error("{0} lines")]
    TooManyLines(usize),
    /// Money moves, but the posting says nowhere.
    #[error("a posting of kind {0} without entries")]
    NoEntries(String),
    /// A part of an interest payment is negative, or the parts are not the whole.
    #[error("gross {gross} is not net {net} and taxes {taxes}")]
    TaxesDiffer {
        /// Before tax.
        gross: i64,
        /// After tax.
        net: i64,
        /// All taxes.
        taxes: i128,
    },
    /// An interest payment and its entries say different things.
    #[error("{what}: the payment says {paid}, the entries say {entered}")]
    EntriesDiffer {
        /// Which part.
        what: &'static str,
        /// What the payment says.
        paid: i128,
        /// What the entries say.
        entered: i128,
    },
    /// Interest without its figures, or figures without interest.
    #[error("a posting of kind {kind} {has}")]
    Misfit {
        /// Kind of the posting.
        kind: String,
        /// What is odd about it.
        has: &'static str,
    },
}

fn sum(lines: &[Line], of: impl Fn(&Line) -> bool) -> i128 {
    lines.iter().filter(|line| of(line)).map(|line| i128::from(line.amount)).sum()
}

/// Whether lines are a journal: positive, and debits equal credits.
///
/// # Errors
/// They are not.
pub fn check(lines: &[Line]) -> Result<(), Broken> {
    if lines.len() > LINES_MAX {
        return Err(Broken::TooManyLines(lines.len()));
    }
    if let Some(line) = lines.iter().find(|line| line.amount <= 0) {
        return Err(Broken::NotPositive(line.amount));
    }
    let (debits, credits) = (sum(lines, |l| l.side == Side::Debit), sum(lines, |l| l.side == Side::Credit));
    if debits == credits { Ok(()) } else { Err(Broken::Unbalanced { debits, credits }) }
}

impl Interest {
    fn taxes(&self) -> i128 {
        [self.income_tax, self.local_tax, self.other_tax].map(i128::from).iter().sum()
    }

    fn check(&self) -> Result<(), Broken> {
        let Interest { gross, income_tax, local_tax, other_tax, net } = *self;
        let taxes = self.taxes();
        let negative = [gross, income_tax, local_tax, other_tax, net].iter().any(|part| *part < 0);
        if negative || i128::from(gross) != i128::from(net) + taxes {
            return Err(Broken::TaxesDiffer { gross, net, taxes });
        }
        Ok(())
    }

    /// The journal that moves the withheld tax from suspense to what is owed; none when nothing was withheld.
    #[must_use]
    pub fn tax_lines(&self) -> Option<Lines> {
        let taxes = i64::try_from(self.taxes()).ok().filter(|taxes| *taxes > 0)?;
        let parts = [
            (INCOME_TAX_PAYABLE, self.income_tax),
            (LOCAL_TAX_PAYABLE, self.local_tax),
            (RURAL_TAX_PAYABLE, self.other_tax),
        ];
        let mut lines = Lines::new();
        lines.push(Line { code: TAX_SUSPENSE, side: Side::Debit, amount: taxes });
        for (code, amount) in parts.into_iter().filter(|(_, amount)| *amount > 0) {
            lines.push(Line { code, side: Side::Credit, amount });
        }
        Some(lines)
    }
}

/// Checks the journal of a posting of this kind; `false` when it is none, since no money moved.
///
/// # Errors
/// The posting doesn't agree with itself.
pub fn check_posting(kind: &str, lines: &[Line], interest: Option<&Interest>) -> Result<bool, Broken> {
    let misfit = |has| Err(Broken::Misfit { kind: kind.to_owned(), has });
    match (kind == "interest", interest) {
        (true, None) => return misfit("without the figures of a payment"),
        (false, Some(_)) => return misfit("with the figures of a payment"),
        (false, None) if lines.iter().any(|l| l.code == TAX_SUSPENSE) => return misfit("that withholds tax"),
        (true | false, _) => {}
    }
    if lines.is_empty() {
        return if matches!(kind, "hold" | "release") { Ok(false) } else { Err(Broken::NoEntries(kind.to_owned())) };
    }
    check(lines)?;
    if let Some(interest) = interest {
        interest.check()?;
        let parts = [
            ("gross", INTEREST_EXPENSE, Side::Debit, i128::from(interest.gross)),
            ("net", CUSTOMER_DEPOSITS, Side::Credit, i128::from(interest.net)),
            ("tax", TAX_SUSPENSE, Side::Credit, interest.taxes()),
        ];
        for (what, code, side, paid) in parts {
            let entered = sum(lines, |l| l.code == code && l.side == side);
            if entered != paid {
                return Err(Broken::EntriesDiffer { what, paid, entered });
            }
        }
    }
    Ok(true)
}

/// The bit that tells an exchange's journal in the currency from the one in won.
const FOREIGN_BIT: u128 = 1 << 79;
/// What ids of journals that value a position have above currency and day: no posting has it.
const REVALUATION_TAG: u128 = 0xffff << 64;

/// Ids of the journals of an exchange: in won under its own id, in the currency under the same but for one bit.
#[must_use]
pub fn exchange_journals(exchange: ExchangeId) -> [JournalId; 2] {
    let id = u128::from_be_bytes(exchange.to_bytes());
    [id, id ^ FOREIGN_BIT].map(|id| JournalId::from_bytes(id.to_be_bytes()))
}

/// The exchange of a journal of its.
#[must_use]
pub fn exchange_of(journal: JournalId, in_won: bool) -> ExchangeId {
    let id = u128::from_be_bytes(journal.to_bytes());
    ExchangeId::from_bytes((if in_won { id } else { id ^ FOREIGN_BIT }).to_be_bytes())
}

/// The id of the journal that values a position on a day.
#[must_use]
pub fn revaluation_journal(currency: Currency, date: BusinessDate) -> JournalId {
    let code = currency.code().bytes().fold(0u128, |code, byte| (code << 8) | u128::from(byte));
    let days = u64::try_from(date.days()).unwrap_or(0);
    JournalId::from_parts(days * 86_400_000, REVALUATION_TAG | code)
}

/// Lines as the store keeps them: `2010D5000 1010C5000`.
#[must_use]
pub fn pack(lines: &[Line]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(lines.len() * 16);
    for line in lines {
        let side = if line.side == Side::Debit { 'D' } else { 'C' };
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{}{side}{}", line.code, line.amount); // writing to a string can't fail
    }
    text
}

/// Lines as they were packed; none when the text was not packed here.
#[must_use]
pub fn unpack(text: &str) -> Option<Lines> {
    let line = |part: &str| {
        let (code, rest) = part.split_at_checked(4)?;
        let (side, amount) = rest.split_at_checked(1)?;
        let side = match side {
            "D" => Side::Debit,
            "C" => Side::Credit,
            _ => return None,
        };
        let code = by_code(Code(code.parse().ok()?))?.code;
        Some(Line { code, side, amount: amount.parse().ok()? })
    };
    text.split(' ').map(line).collect()
}
