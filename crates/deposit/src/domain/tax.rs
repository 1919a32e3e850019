//! Withholding tax on interest.

use jangbu_kernel::defect::planted;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;
use jangbu_kernel::round::{Rounding, truncate_to};

/// What is withheld from an interest payment, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tax {
    /// Income tax.
    pub income: i64,
    /// Local income tax.
    pub local: i64,
    /// Special tax for rural development.
    pub other: i64,
}

/// How a customer's interest is taxed. Rates are in basis points of the gross.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaxClass {
    /// Resident: 14 % and 1.4 % (Income Tax Act 129; Local Tax Act 103-13).
    #[default]
    Normal,
    /// Tax-free comprehensive savings.
    Exempt,
    /// Deposits at co-operatives, exempt phase: 1.4 % rural tax.
    Coop,
    /// The same, joined 2026 over the income limit: 5 % and 0.9 %.
    CoopOverLimit,
    /// The same, joined 2027 or later over the limit: 9 % and 0.5 %.
    CoopLater,
    /// Non-resident without treaty: 20 % and 2 %.
    NonResident,
    /// Corporation: 14 % and 1.4 %.
    Corporation,
}

impl TaxClass {
    /// Classes by their API names.
    pub const ALL: [(TaxClass, &'static str); 7] = [
        (TaxClass::Normal, "normal"),
        (TaxClass::Exempt, "exempt"),
        (TaxClass::Coop, "coop"),
        (TaxClass::CoopOverLimit, "coop_over_limit"),
        (TaxClass::CoopLater, "coop_later"),
        (TaxClass::NonResident, "non_resident"),
        (TaxClass::Corporation, "corporation"),
    ];

    /// The class of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<TaxClass> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(c, _)| *c)
    }

    fn basis_points(self) -> [i64; 3] {
        match self {
            TaxClass::Normal | TaxClass::Corporation => [1_400, 140, 0],
            TaxClass::Exempt => [0, 0, 0],
            TaxClass::Coop => [0, 0, 140],
            TaxClass::CoopOverLimit => [500, 0, 90],
            TaxClass::CoopLater => [900, 0, 50],
            TaxClass::NonResident => [2_000, 200, 0],
        }
    }

    /// What is withheld from `gross`. Each tax on its own is truncated to `unit` (10 won: National Treasury Funds
    /// Act 47). The exemption of small amounts does not hold for interest.
    #[must_use]
    pub fn withhold(self, gross: i64, unit: i64) -> Tax {
        let [income, local, other] = self.basis_points().map(|points| {
            let of = if points == 140 && planted("local-tax-of-net") { gross - gross * 1_400 / 10_000 } else { gross };
            let exact = Rate::new(points, 4).ok().and_then(|r| r.as_ratio().checked_mul(Ratio::whole(of)));
            let whole = exact.map_or(0, |r| r.round(Rounding::Down));
            truncate_to(i64::try_from(whole).unwrap_or(0), if planted("tax-to-the-won") { 1 } else { unit })
        });
        Tax { income, local, other }
    }
}
