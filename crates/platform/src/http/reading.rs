//! Strict reading of JSON bodies: whatever is wrong gets its own code and, where it can be known, its field.

use jangbu_contracts::codes::Code;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Refused;

/// Deepest nesting of a body.
pub const JSON_DEPTH_MAX: usize = 32;
/// Longest text of a detail that quotes what was sent.
const DETAIL_CHARS_MAX: usize = 240;
/// The field by which variants of our wire types are told apart.
const TAG: &str = "kind";
/// Up to this many bytes the field of an error is looked for by trial where the reader does not tell it.
const SEARCHED_BYTES_MAX: usize = 16 * 1_024;

/// Reads JSON strictly: unknown fields, missing fields and wrong types each get their code.
///
/// # Errors
/// The problem, with the field where it can be known.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    check_depth(bytes)?;
    if matches!(bytes.trim_ascii_start().first(), Some(first) if *first != b'{') {
        // The reader would take an array for a record, field by field; that is nobody's contract.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| explain::<Value>(bytes, &e))?;
        return Err(Refused::new(Code::InvalidField, "the body is not a JSON object"));
    }
    // The quick reader doesn't know where in the body it stands; the slow one runs only when something is wrong.
    serde_json::from_slice::<T>(bytes).map_err(|error| explain::<T>(bytes, &error))
}

/// Before anything is built from it: readers of nested bodies recurse.
fn check_depth(bytes: &[u8]) -> Result<(), Refused> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        if in_string {
            (in_string, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            let why = format!("the body is nested deeper than {JSON_DEPTH_MAX} levels");
            return Err(Refused::new(Code::MalformedJson, why));
        }
    }
    Ok(())
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Refused {
    let text: String = error.to_string().chars().take(DETAIL_CHARS_MAX).collect();
    if !error.is_data() {
        let why = if std::str::from_utf8(bytes).is_err() { "the body is not UTF-8".to_owned() } else { text };
        return Refused::new(Code::MalformedJson, why);
    }
    let field = field_of::<T>(bytes, &text);
    let leaf = field.as_deref().and_then(|field| field.rsplit('.').next()).unwrap_or("");
    let code = if text.starts_with("unknown field") {
        Code::UnknownField
    } else if text.starts_with("missing field") {
        Code::MissingField
    } else if text.starts_with("amount:") || (leaf == "amount" && text.starts_with("invalid ")) {
        Code::InvalidAmount
    } else if text.starts_with("id:") {
        Code::InvalidId
    } else {
        Code::InvalidField
    };
    match field {
        Some(field) => Refused::field(code, field, text),
        None => Refused::new(code, text),
    }
}

/// The path of the field that an error is about, like `commands[3].amount`.
fn field_of<T: DeserializeOwned>(bytes: &[u8], text: &str) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let path = serde_path_to_error::deserialize::<_, T>(&mut reader).err()?.path().to_string();
    let path = if path == "." { String::new() } else { path };
    let named = ["unknown field", "missing field", "duplicate field"].iter().any(|start| text.starts_with(start));
    let leaf = if named { text.split('`').nth(1).map(str::to_owned) } else { search::<T>(bytes, &path) };
    match leaf {
        Some(leaf) if path.is_empty() => Some(leaf),
        Some(leaf) if path == leaf || path.ends_with(&format!(".{leaf}")) => Some(path),
        Some(leaf) => Some(format!("{path}.{leaf}")),
        None if path.is_empty() => None,
        None => Some(path),
    }
}

/// Tagged variants are read from a copy, and the place of an error in them is lost. The field whose removal changes
/// the error is the one that it is about.
fn search<T: DeserializeOwned>(bytes: &[u8], path: &str) -> Option<String> {
    if bytes.len() > SEARCHED_BYTES_MAX {
        return None;
    }
    let body: Value = serde_json::from_slice(bytes).ok()?;
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    let pointer = if pointer.is_empty() { pointer } else { format!("/{pointer}") };
    let error = T::deserialize(&body).err()?.to_string();
    let changes = |name: &&String| {
        let mut without = body.clone();
        let fields = without.pointer_mut(&pointer).and_then(Value::as_object_mut);
        let gone = fields.is_some_and(|fields| fields.remove(*name).is_some());
        gone && T::deserialize(&without).err().is_none_or(|other| other.to_string() != error)
    };
    let found: Vec<&String> = body.pointer(&pointer)?.as_object()?.keys().take(64).filter(changes).collect();
    // Without its tag a body is wrong in another way whatever was wrong with it.
    found.iter().find(|name| found.len() == 1 || **name != TAG).map(|name| (*name).clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jangbu_contracts::deposit::Command;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        inner: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        days: u8,
    }

    fn check<T: DeserializeOwned + std::fmt::Debug>(body: &[u8], code: &str, field: Option<&str>) {
        let problem = read_json::<T>(body).unwrap_err().0;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(problem.code, code, "{shown}: {}", problem.detail);
        assert_eq!(problem.failures.first().and_then(|f| f.field.as_deref()), field, "{shown}: {}", problem.detail);
    }

    #[test]
    fn everything_wrong_has_its_code_and_field() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("", "MALFORMED_JSON", None),
            ("{", "MALFORMED_JSON", None),
            ("{\"inner\":[]} {}", "MALFORMED_JSON", None),
            ("{\"inner\":[]}x", "MALFORMED_JSON", None),
            ("[[]]", "INVALID_FIELD", None),
            ("\"x", "MALFORMED_JSON", None),
            ("{}", "MISSING_FIELD", Some("inner")),
            ("{\"inner\":[{}]}", "MISSING_FIELD", Some("inner[0].days")),
            ("{\"inner\":[{\"days\":1},{\"days\":256}]}", "INVALID_FIELD", Some("inner[1].days")),
            ("{\"inner\":[{\"days\":1.5}]}", "INVALID_FIELD", Some("inner[0].days")),
            ("{\"inner\":[{\"days\":null}]}", "INVALID_FIELD", Some("inner[0].days")),
            ("{\"inner\":[{\"days\":1,\"days\":2}]}", "INVALID_FIELD", Some("inner[0].days")),
            ("{\"inner\":[{\"days\":1,\"Days\":2}]}", "UNKNOWN_FIELD", Some("inner[0].Days")),
            ("{\"inner\":[],\"more\":1}", "UNKNOWN_FIELD", Some("more")),
        ];
        for (body, code, field) in cases {
            check::<Outer>(body.as_bytes(), code, *field);
        }
        check::<Outer>(b"{\"inner\":[{\"d\xff\":1}]}", "MALFORMED_JSON", None);
    }

    #[test]
    fn fields_are_found_inside_tagged_commands_too() {
        let account = "acc_00000000000000000000000001";
        let command =
            |rest: &str| format!("{{\"kind\":\"credit\",\"account\":\"{account}\",\"source\":\"cash\"{rest}}}");
        for amount in ["0", "-1", "1000000000000001", "1.5", "\"5\"", "null", "99999999999999999999", "1e3", "true"] {
            let body = command(&format!(",\"amount\":{amount}"));
            check::<Command>(body.as_bytes(), "INVALID_AMOUNT", Some("amount"));
        }
        check::<Command>(command("").as_bytes(), "MISSING_FIELD", Some("amount"));
        check::<Command>(command(",\"amount\":1,\"fee\":2").as_bytes(), "UNKNOWN_FIELD", Some("fee"));
        let hold = format!("{{\"kind\":\"hold\",\"account\":\"{account}\",\"amount\":1,\"until\":\"tomorrow\"}}");
        check::<Command>(hold.as_bytes(), "INVALID_FIELD", Some("until"));
        check::<Command>(b"{\"kind\":\"gift\"}", "INVALID_FIELD", Some("kind"));
        check::<Command>(b"{\"kind\":\"release\",\"hold\":\"hld_1\"}", "INVALID_ID", Some("hold"));
        assert!(read_json::<Command>(command(",\"amount\":1").as_bytes()).is_ok());
    }

    #[test]
    fn deep_bodies_are_refused_before_they_are_read() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(read_json::<Value>(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        for n in [JSON_DEPTH_MAX + 1, 100_000] {
            check::<Value>(nested(n).as_bytes(), "MALFORMED_JSON", None);
        }
        let text = format!("{{\"a\":\"\\\"{}\\\\\"}}", "[".repeat(100));
        assert!(read_json::<Value>(text.as_bytes()).is_ok(), "brackets in text are no nesting");
    }

    #[test]
    fn details_do_not_grow_with_the_body() {
        let body = format!("{{\"inner\":\"{}\"}}", "x".repeat(100_000));
        let problem = read_json::<Outer>(body.as_bytes()).unwrap_err().0;
        assert!(problem.detail.len() < 1_000);
    }
}
