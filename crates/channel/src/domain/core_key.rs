//! The key under which the core is asked.

use std::fmt::Write;

use jangbu_kernel::defect::planted;
use sha2::{Digest, Sha256};

/// Longest key that the core takes, bytes.
const KEY_BYTES_MAX: usize = 64;

/// The core's key for a caller's key. The same for the same caller and key, another for every other: for the core all
/// calls of the channel have one caller, so the caller's name goes into the key.
///
/// Short ones stay readable, so that an operator can ask the core about them. A caller's name has no space, so the
/// first space ends it; and sixty-four hexadecimal digits have none, so the two forms never meet. The hash is one
/// for which nobody finds two keys that meet: customers choose their keys.
pub fn core_key(caller: &str, key: &str) -> String {
    let caller = if planted("core-key-without-caller") { "" } else { caller };
    let plain = format!("{caller} {key}");
    if plain.len() <= KEY_BYTES_MAX {
        return plain;
    }
    Sha256::digest(plain).iter().fold(String::with_capacity(KEY_BYTES_MAX), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string can't fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_callers_never_meet_and_fit() {
        let caller = "customer:cus_00000000000000000000000001";
        let long = "k".repeat(KEY_BYTES_MAX);
        assert_eq!(core_key(caller, "k1"), "customer:cus_00000000000000000000000001 k1");
        let keys = [
            core_key(caller, "k1"),
            core_key(caller, "k2"),
            core_key(caller, &long),
            core_key(caller, &long[1..]),
            core_key("customer:cus_00000000000000000000000002", &long),
            core_key("operator:a", "b c"),
            core_key("operator:ab", "c"),
            core_key("operator:a:b", "c"),
            core_key("operator:a", "b:c"),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(key.len() <= KEY_BYTES_MAX && key.bytes().all(|b| (0x20..0x7f).contains(&b)), "{key}");
            assert!(!keys[..i].contains(key), "{key}");
        }
        assert_eq!(core_key(caller, &long), core_key(caller, &long));
    }
}
