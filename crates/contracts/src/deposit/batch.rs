//! Batches as they come: cut into commands first, and each read on its own.
//!
//! Nearly all commands are simple and right. Those are read in one pass, without the detour that a tagged or flattened
//! type takes through a tree of values; the rest take the detour, which knows how to say what is wrong.

use std::borrow::Cow;

use jangbu_kernel::id::AccountId;
use jangbu_kernel::money::Amount;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Command, KeyedCommand};

/// [`super::Batch`] with its commands as text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchText {
    /// One text per command.
    pub commands: Vec<Box<RawValue>>,
}

/// A command of a batch, read.
#[derive(Debug)]
pub enum Read {
    /// Key and command.
    Simple(String, Command),
    /// Key, and the command as it was sent.
    Other(KeyedCommand),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    account: Option<AccountId>,
    #[serde(default, deserialize_with = "present")]
    from: Option<AccountId>,
    #[serde(default, deserialize_with = "present")]
    to: Option<AccountId>,
    #[serde(default, deserialize_with = "present")]
    amount: Option<Amount>,
    #[serde(default, deserialize_with = "present")]
    source: Option<String>,
    #[serde(default, deserialize_with = "present")]
    target: Option<String>,
    memo: Option<String>,
}

/// A field that is there is not null: what is null goes the strict way.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// Reads one command's text; none when it is not even a command with a key.
#[must_use]
pub fn read(text: &RawValue) -> Option<Read> {
    let simple = serde_json::from_str::<Flat<'_>>(text.get()).ok().and_then(simple);
    simple.or_else(|| serde_json::from_str(text.get()).ok().map(Read::Other))
}

fn simple(flat: Flat<'_>) -> Option<Read> {
    let Flat { key, kind, account, from, to, amount, source, target, memo } = flat;
    let amount = amount?;
    let command = match (&*kind, account, from, to, source, target) {
        ("credit", Some(account), None, None, Some(source), None) => Command::Credit { account, amount, source, memo },
        ("debit", Some(account), None, None, None, Some(target)) => Command::Debit { account, amount, target, memo },
        ("transfer", None, Some(from), Some(to), None, None) => Command::Transfer { from, to, amount, memo },
        _ => return None,
    };
    Some(Read::Simple(key.into_owned(), command))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "acc_00000000000000000000000001";
    const B: &str = "acc_00000000000000000000000002";

    /// Whether the quick way reads it; both ways must agree on what they read.
    fn is_simple(body: &str) -> bool {
        let raw = RawValue::from_string(body.to_owned()).unwrap();
        match read(&raw) {
            Some(Read::Simple(key, command)) => {
                let slow: KeyedCommand = serde_json::from_str(body).unwrap();
                assert_eq!((key, command), (slow.key, Command::deserialize(slow.command).unwrap()));
                true
            }
            Some(Read::Other(_)) | None => false,
        }
    }

    #[test]
    fn the_quick_way_reads_what_the_strict_one_reads() {
        assert!(is_simple(&format!(r#"{{"key":"k","kind":"credit","account":"{A}","amount":5,"source":"cash"}}"#)));
        assert!(is_simple(&format!(r#"{{"kind":"debit","account":"{A}","amount":5,"target":"cash","key":"\u006b"}}"#)));
        let transfer = format!(r#"{{"key":"k","kind":"transfer","from":"{A}","to":"{B}","amount":5,"memo":"m"}}"#);
        assert!(is_simple(&transfer));
        for other in [
            transfer.replace("\"amount\":5", "\"amount\":0"),
            transfer.replace("\"amount\":5", "\"amount\":null"),
            transfer.replace("\"memo\"", "\"mem\""),
            transfer.replace("\"memo\":\"m\"", "\"source\":\"cash\""),
            transfer.replace("\"memo\":\"m\"", "\"source\":null"),
            transfer.replace("transfer", "gift"),
            transfer.replace("\"kind\":\"transfer\",", ""),
            format!(r#"{{"key":"k","kind":"hold","account":"{A}","amount":5}}"#),
        ] {
            assert!(!is_simple(&other), "{other}");
        }
        assert!(read(&RawValue::from_string("[1]".to_owned()).unwrap()).is_none());
    }
}
