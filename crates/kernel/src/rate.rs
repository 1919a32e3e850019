//! Exact decimal rates.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::ratio::Ratio;

/// A decimal number as written: `0.02` is two per cent. Up to 12 digits after the point.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    digits: i64,
    scale: u32,
}

const SCALE_MAX: usize = 12;

impl Rate {
    /// Zero.
    pub const ZERO: Rate = Rate { digits: 0, scale: 0 };
    /// `digits / 10^scale`.
    ///
    /// # Errors
    /// More than 12 digits after the point.
    pub fn new(digits: i64, scale: u32) -> Result<Rate, Invalid> {
        if scale as usize > SCALE_MAX {
            return Err(Invalid::new("rate", "has more than 12 digits after the point"));
        }
        Ok(Rate { digits, scale })
    }
    /// As a fraction.
    #[must_use]
    pub fn as_ratio(self) -> Ratio {
        Ratio::new(i128::from(self.digits), 10i128.pow(self.scale)).unwrap_or(Ratio::ZERO)
    }
}

impl FromStr for Rate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("rate", "must be a decimal number like 0.02");
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |d| (-1, d));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let dangling = digits.ends_with('.') || whole.is_empty();
        if dangling || !plain(whole) || !plain(fraction) || fraction.len() > SCALE_MAX {
            return Err(bad());
        }
        let number: i64 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
        Rate::new(sign * number, u32::try_from(fraction.len()).map_err(|_| bad())?)
    }
}
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, n) = (if self.digits < 0 { "-" } else { "" }, self.digits.unsigned_abs());
        let unit = 10u64.pow(self.scale);
        if self.scale == 0 {
            return write!(f, "{sign}{n}");
        }
        write!(f, "{sign}{}.{:0width$}", n / unit, n % unit, width = self.scale as usize)
    }
}
impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
crate::text_serde!(Rate);
