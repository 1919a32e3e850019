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
        DIGITS.iter().find(|(codes, _)| codes.split_whitespace().any(|c| c == self.code())).map_or(2, |(_, d)| *d)
    }
}

impl FromStr for Currency {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = DIGITS.iter().any(|(codes, _)| codes.split_whitespace().any(|c| c == text));
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if known => Ok(Currency(letters)),
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
