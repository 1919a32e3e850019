//! Currencies by ISO 4217 and amounts in their minor units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Invalid;

/// Largest amount of one posting, minor units.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// Codes with their decimal digits (ISO 4217, table of 2026-01-01; two digits unless said otherwise).
const DIGITS: [(&str, u8); 4] = [
    ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 0),
    (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY \
         COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR \
         ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
         MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP \
         SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR \
         ZMW ZWG",
        2,
    ),
    ("BHD IQD JOD KWD LYD OMR TND", 3),
    ("CLF UYW", 4),
];

impl Currency {
    /// Won.
    pub const KRW: Currency = Currency(*b"KRW");
    /// US dollar.
    pub const USD: Currency = Currency(*b"USD");
    /// Euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// Yen.
    pub const JPY: Currency = Currency(*b"JPY");

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// Decimal digits of the minor unit.
    #[must_use]
    pub fn exponent(self) -> u8 {
        TABLE[place(self.0)]
    }
}

/// In [`TABLE`]: no such code.
const NONE: u8 = u8::MAX;
/// Decimal digits of each code at its [`place`]: codes are read for every amount that comes in.
static TABLE: [u8; 26 * 26 * 26] = table();

const fn table() -> [u8; 26 * 26 * 26] {
    let mut table = [NONE; 26 * 26 * 26];
    let mut row = 0;
    while row < DIGITS.len() {
        let (codes, digits) = (DIGITS[row].0.as_bytes(), DIGITS[row].1);
        let mut at = 0;
        while at < codes.len() {
            table[place([codes[at], codes[at + 1], codes[at + 2]])] = digits;
            at += 4; // three letters and a space
        }
        row += 1;
    }
    table
}

/// Where three capital letters stand among all.
const fn place(letters: [u8; 3]) -> usize {
    let [a, b, c] = letters;
    ((a - b'A') as usize * 26 + (b - b'A') as usize) * 26 + (c - b'A') as usize
}

impl FromStr for Currency {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) && TABLE[place(letters)] != NONE => {
                Ok(Currency(letters))
            }
            _ => Err(Invalid::new("currency", "not a code of ISO 4217 with a minor unit")),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
crate::text_serde!(Currency);

/// How much money moves: minor units, from 1 to [`AMOUNT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Amount(i64);

impl Amount {
    /// An amount.
    ///
    /// # Errors
    /// It is not positive, or greater than [`AMOUNT_MAX`].
    pub fn new(minor: i64) -> Result<Self, Invalid> {
        if (1..=AMOUNT_MAX).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(Invalid::new("amount", format!("must be from 1 to {AMOUNT_MAX} minor units")))
        }
    }
    /// Minor units.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Amount::new(i64::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
