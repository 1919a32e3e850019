//! Account numbers that people read to each other, with a digit that catches a slip.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// Product prefix (4 digits), serial (7 to 9), check digit by Luhn's rule; kept without hyphens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccountNumber(String);

fn luhn(digits: &str) -> u8 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let d = u32::from(b - b'0');
            if i % 2 == 0 { if d > 4 { d * 2 - 9 } else { d * 2 } } else { d }
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or(0)
}

impl AccountNumber {
    /// The number with that prefix (below 10,000) and serial (below 10^9).
    ///
    /// # Errors
    /// Prefix or serial is too large.
    pub fn make(prefix: u32, serial: u64) -> Result<Self, Invalid> {
        if prefix > 9_999 || serial > 999_999_999 {
            return Err(Invalid::new("account number", "all numbers of this prefix are taken"));
        }
        let digits = format!("{prefix:04}{serial:07}");
        let check = luhn(&digits);
        Ok(Self(format!("{digits}{check}")))
    }
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// What may be shown to others: first and last four digits.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}-****-{}", &self.0[..4], &self.0[self.0.len() - 4..])
    }
}

impl FromStr for AccountNumber {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let plain = (12..=14).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain || luhn(&digits[..digits.len() - 1]) != digits.as_bytes()[digits.len() - 1] - b'0' {
            return Err(Invalid::new("account number", "the check digit doesn't fit"));
        }
        Ok(Self(digits))
    }
}
impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
