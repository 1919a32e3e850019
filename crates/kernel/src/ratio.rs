//! Exact fractions. Every step is checked: what doesn't fit is told, never wrapped.

use std::cmp::Ordering;
use std::fmt;

use crate::round::Rounding;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: i128,
    den: i128,
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Ratio {
    /// Zero.
    pub const ZERO: Ratio = Ratio { num: 0, den: 1 };

    /// `num / den`; `None` when `den` is zero or the fraction can't be held.
    #[must_use]
    pub fn new(num: i128, den: i128) -> Option<Ratio> {
        let divisor = i128::try_from(gcd(num.unsigned_abs(), den.unsigned_abs())).ok()?;
        if den == 0 {
            return None;
        }
        let sign = den.signum();
        Some(Ratio {
            num: num.checked_div(divisor)?.checked_mul(sign)?,
            den: den.checked_div(divisor)?.checked_mul(sign)?,
        })
    }
    /// A whole number.
    #[must_use]
    pub fn whole(n: i64) -> Ratio {
        Ratio { num: i128::from(n), den: 1 }
    }
    /// The numerator, which carries the sign.
    #[must_use]
    pub fn num(self) -> i128 {
        self.num
    }
    /// The denominator, positive.
    #[must_use]
    pub fn den(self) -> i128 {
        self.den
    }
    /// Sum.
    #[must_use]
    pub fn checked_add(self, o: Ratio) -> Option<Ratio> {
        let common = i128::try_from(gcd(self.den.unsigned_abs(), o.den.unsigned_abs())).ok()?;
        let left = self.num.checked_mul(o.den / common)?;
        let right = o.num.checked_mul(self.den / common)?;
        Ratio::new(left.checked_add(right)?, self.den.checked_mul(o.den / common)?)
    }
    /// Difference.
    #[must_use]
    pub fn checked_sub(self, o: Ratio) -> Option<Ratio> {
        self.checked_add(Ratio { num: o.num.checked_neg()?, den: o.den })
    }
    /// Product.
    #[must_use]
    pub fn checked_mul(self, o: Ratio) -> Option<Ratio> {
        // Cross-reduced first, so that what fits in lowest terms is found.
        let (a, b) = (Ratio::new(self.num, o.den)?, Ratio::new(o.num, self.den)?);
        Ratio::new(a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?)
    }
    /// Quotient; `None` also when `o` is zero.
    #[must_use]
    pub fn checked_div(self, o: Ratio) -> Option<Ratio> {
        self.checked_mul(Ratio::new(o.den, o.num)?)
    }
    /// The greatest whole number not above.
    #[must_use]
    pub fn floor(self) -> i128 {
        self.num.div_euclid(self.den)
    }
    /// A whole number, by the given mode (away from zero is up).
    #[must_use]
    pub fn round(self, mode: Rounding) -> i128 {
        let (whole, rest) = (self.num / self.den, self.num % self.den);
        let away = match mode {
            Rounding::Down => false,
            Rounding::Up => rest != 0,
            Rounding::HalfUp => rest.unsigned_abs() >= self.den.unsigned_abs().div_ceil(2) && rest != 0,
        };
        if away { whole + self.num.signum() } else { whole }
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, o: &Ratio) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Ratio {
    fn cmp(&self, o: &Ratio) -> Ordering {
        // By whole part, then by the reciprocal of what is left: never multiplies.
        let (a, b) = (self.floor(), o.floor());
        a.cmp(&b).then_with(|| {
            let (x, y) = (self.num.rem_euclid(self.den), o.num.rem_euclid(o.den));
            match (x, y) {
                (0, 0) => Ordering::Equal,
                (0, _) => Ordering::Less,
                (_, 0) => Ordering::Greater,
                _ => Ratio { num: o.den, den: y }.cmp(&Ratio { num: self.den, den: x }),
            }
        })
    }
}
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}
impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
