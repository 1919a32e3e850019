//! The chart of accounts, as data.

use std::fmt;

/// Debit or credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// More of what the bank owns or spends.
    Debit,
    /// More of what the bank owes or earns.
    Credit,
}

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What the bank owns.
    Asset,
    /// What the bank owes.
    Liability,
    /// What it earns.
    Income,
    /// What it spends.
    Expense,
}

impl Class {
    /// The side on which accounts of this class grow.
    #[must_use]
    pub const fn normal_side(self) -> Side {
        match self {
            Class::Asset | Class::Expense => Side::Debit,
            Class::Liability | Class::Income => Side::Credit,
        }
    }

    /// The class's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Asset => "asset",
            Class::Liability => "liability",
            Class::Income => "income",
            Class::Expense => "expense",
        }
    }
}

/// An account's code: four digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An account of the general ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its code.
    pub code: Code,
    /// Its name in programs; of the bank's own accounts the one that postings carry.
    pub account: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What it counts.
    pub class: Class,
}

const fn account(code: u16, account: &'static str, name: &'static str, class: Class) -> Account {
    Account { code: Code(code), account, name, class }
}

/// What legs of exchanges left to be explained by decisions; zero, but for what the bank's people book on it by hand,
/// whenever accounting has caught up and no exchange is under way.
pub const EXCHANGE_CLEARING: Code = Code(1510);
/// What the bank's position in foreign money is worth in its books, won: of all currencies.
pub const FX_COUNTER_VALUE: Code = Code(1520);
/// The bank's position in a foreign currency: what it has more than it owes.
pub const FX_POSITION: Code = Code(2510);
/// Margin of exchanges over the base price.
pub const FX_TRADING: Code = Code(4510);
/// Gains, less losses, of valuing positions at closing rates.
pub const FX_REVALUATION: Code = Code(4520);
/// Control account of what customers have on deposit: the sum of all their balances in one currency of one instance.
pub const CUSTOMER_DEPOSITS: Code = Code(2010);
/// Tax withheld by a posting, until it stands with the tax it is; zero whenever accounting has caught up.
pub const TAX_SUSPENSE: Code = Code(2310);
/// Income tax withheld and owed to the tax office.
pub const INCOME_TAX_PAYABLE: Code = Code(2320);
/// Local income tax withheld and owed to the municipality.
pub const LOCAL_TAX_PAYABLE: Code = Code(2330);
/// Special tax for rural development, withheld and owed to the tax office.
pub const RURAL_TAX_PAYABLE: Code = Code(2340);
/// Interest paid to depositors, before tax.
pub const INTEREST_EXPENSE: Code = Code(5010);

/// All accounts, by code.
pub const CHART: [Account; 14] = [
    account(1010, "cash", "Cash", Class::Asset),
    account(1020, "nostro", "Due from banks (nostro)", Class::Asset),
    account(1510, "exchange", "Currency exchange clearing", Class::Asset),
    account(1520, "fx_counter_value", "Counter-value of foreign currency positions", Class::Asset),
    account(2010, "customer_deposits", "Customer deposits", Class::Liability),
    account(2310, "tax_suspense", "Withholding tax suspense", Class::Liability),
    account(2320, "income_tax_payable", "Withheld income tax payable", Class::Liability),
    account(2330, "local_tax_payable", "Withheld local income tax payable", Class::Liability),
    account(2340, "rural_tax_payable", "Withheld rural development tax payable", Class::Liability),
    account(2510, "fx_position", "Foreign currency position", Class::Liability),
    account(4010, "fees", "Fee income", Class::Income),
    account(4510, "fx_trading", "Trading profit of exchanges", Class::Income),
    account(4520, "fx_revaluation", "Revaluation of foreign currency positions", Class::Income),
    account(5010, "interest_expense", "Interest expense on deposits", Class::Expense),
];

/// The account of that code.
#[must_use]
pub fn by_code(code: Code) -> Option<&'static Account> {
    CHART.iter().find(|account| account.code == code)
}

/// Accounts that postings name. All others are moved by this service's own rules only.
const NAMED_BY_POSTINGS: [Code; 6] =
    [Code(1010), Code(1020), EXCHANGE_CLEARING, TAX_SUSPENSE, Code(4010), INTEREST_EXPENSE];

/// The account that a posting's leg on one of the bank's own accounts belongs to.
#[must_use]
pub fn of_bank(name: &str) -> Option<Code> {
    CHART.iter().find(|a| a.account == name).map(|a| a.code).filter(|code| NAMED_BY_POSTINGS.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_in_order_and_names_are_unique() {
        assert!(CHART.is_sorted_by(|a, b| a.code < b.code));
        for account in CHART {
            assert_eq!(CHART.iter().filter(|a| a.account == account.account || a.name == account.name).count(), 1);
            assert_eq!(account.code.to_string().len(), 4, "packed lines rely on it");
            assert_eq!(by_code(account.code), Some(&account));
        }
    }

    #[test]
    fn postings_reach_only_the_banks_own_accounts() {
        for name in ["cash", "nostro", "fees", "exchange", "interest_expense", "tax_suspense"] {
            assert!(of_bank(name).is_some(), "{name}");
        }
        for name in ["customer_deposits", "income_tax_payable", "fx_position", "fx_trading", "suspense", "Cash", ""] {
            assert_eq!(of_bank(name), None, "{name}");
        }
    }
}
