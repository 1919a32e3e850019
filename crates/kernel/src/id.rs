//! Typed ids: sixteen bytes that grow with time, written as a prefix and 26 characters.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The digit of each byte; 255 for what is none.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        digits[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    digits
};

fn write_id(f: &mut fmt::Formatter<'_>, prefix: &str, id: u128) -> fmt::Result {
    let mut text = [0u8; 26];
    for (i, c) in text.iter_mut().enumerate() {
        *c = ALPHABET[((id >> (125 - 5 * i)) & 31) as usize];
    }
    f.write_str(prefix)?;
    f.write_str("_")?;
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn read_id(prefix: &'static str, text: &str) -> Result<u128, Invalid> {
    let bad = || Invalid::new("id", format!("must be {prefix}_ and 26 characters"));
    let body = text.strip_prefix(prefix).and_then(|t| t.strip_prefix('_')).ok_or_else(bad)?;
    if body.len() != 26 || body.as_bytes()[0] > b'7' {
        return Err(bad());
    }
    body.bytes().try_fold(0u128, |n, c| match DIGITS[usize::from(c)] {
        255 => Err(bad()),
        digit => Ok((n << 5) | u128::from(digit)),
    })
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident($prefix:literal);)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;
            /// From its sixteen bytes, most significant first.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { Self(u128::from_be_bytes(bytes)) }
            /// Its sixteen bytes, most significant first.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] { self.0.to_be_bytes() }
            /// From milliseconds since 1970 (48 bits) and the 80 bits below.
            #[must_use]
            pub const fn from_parts(millis: u64, rest: u128) -> Self {
                Self((((millis & 0xffff_ffff_ffff) as u128) << 80) | (rest & ((1 << 80) - 1)))
            }
            /// The 80 bits below the milliseconds.
            #[must_use]
            pub const fn rest(self) -> u128 { self.0 & ((1 << 80) - 1) }
            /// Milliseconds since 1970.
            #[must_use]
            pub const fn millis(self) -> u64 { (self.0 >> 80) as u64 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write_id(f, $prefix, self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write_id(f, $prefix, self.0) }
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> { read_id($prefix, text).map(Self) }
        }
        crate::text_serde!($name);
        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let doc = concat!($($doc),*);
                let pattern = concat!("^", $prefix, "_[0-7][0-9A-HJKMNP-TV-Z]{25}$");
                crate::schema::text(doc.trim(), pattern, concat!($prefix, "_01JGFJJZ00000000000000000A"))
            }
        }
        #[cfg(feature = "schema")]
        crate::schema::named!($name, stringify!($name));
    )*};
}

ids! {
    /// A customer's account.
    AccountId("acc");
    /// A customer.
    CustomerId("cus");
    /// A posting.
    PostingId("pst");
    /// A hold.
    HoldId("hld");
    /// An interest payment.
    InterestId("int");
    /// Something that waits for a second person.
    ApprovalId("apr");
    /// A published fact.
    EventId("evt");
    /// A general-ledger journal.
    JournalId("jrn");
    /// A parked event.
    DeadLetterId("dlt");
    /// A quote for an exchange.
    QuoteId("fxq");
    /// An exchange.
    ExchangeId("fxe");
    /// An instance of a saga.
    SagaId("sga");
}
