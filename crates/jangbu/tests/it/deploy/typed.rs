//! YAML held against the types of whoever takes it.

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use serde_norway::Value as Yaml;

/// The documents of a file, with what `<<` merges in. A key that stands twice is an error.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let document = |read: serde_norway::Deserializer| {
        let mut document = Yaml::deserialize(read).map_err(|e| e.to_string())?;
        document.apply_merge().map_err(|e| e.to_string())?;
        serde_json::to_value(document).map_err(|e| e.to_string())
    };
    serde_norway::Deserializer::from_str(text).map(document).collect()
}

/// Reads a document as a `T` and writes it again. What a type does not know is dropped by that, and what it must have and has
/// not appears: so whatever differs does not fit.
pub fn fits<T: Serialize + DeserializeOwned>(document: &Value) -> Result<(), String> {
    let read: T = serde_path_to_error::deserialize(document).map_err(|e| e.to_string())?;
    let back = serde_json::to_value(read).map_err(|e| e.to_string())?;
    difference("", document, &back).map_or(Ok(()), Err)
}

/// The first place where what was read is not what was written.
fn difference(at: &str, written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            let unknown = written.keys().find(|key| !read.contains_key(*key)).map(|key| format!("{at}/{key}: unknown"));
            let missing =
                || read.keys().find(|key| !written.contains_key(*key)).map(|key| format!("{at}/{key}: missing"));
            let inside =
                || written.iter().find_map(|(key, value)| difference(&format!("{at}/{key}"), value, &read[key]));
            unknown.or_else(missing).or_else(inside)
        }
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let mut pairs = written.iter().zip(read).enumerate();
            pairs.find_map(|(n, (written, read))| difference(&format!("{at}/{n}"), written, read))
        }
        _ => (written != read).then(|| format!("{at}: {written} was taken as {read}")),
    }
}
