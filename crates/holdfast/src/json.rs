//! The shape of JSON that commands print with `--json`: see `docs/monitoring.md`.
//!
//! A result is one object, a list is one object a line, on standard output. Sizes are whole numbers of bytes (`…_bytes`),
//! spans are seconds (`…_seconds`). A moment is there twice: as RFC 3339 text in UTC (`…_at`), and in milliseconds since
//! 1970 (`…_ms`).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// The same object with each moment as text beside its number.
pub fn shaped(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut all = Map::new();
            for (name, value) in fields {
                if let Some((text_name, text)) = moment_of(&name, &value) {
                    all.entry(text_name).or_insert(text);
                }
                all.insert(name, shaped(value));
            }
            Value::Object(all)
        }
        Value::Array(items) => items.into_iter().map(shaped).collect(),
        other => other,
    }
}

/// The name and the text of a moment that is given as a number; no moment stays none.
fn moment_of(name: &str, value: &Value) -> Option<(String, Value)> {
    let (stem, moment): (&str, fn(i64) -> Option<Timestamp>) =
        match (name.strip_suffix("_ms"), name.strip_suffix("_timestamp")) {
            (Some(stem), _) => (stem, |ms| Timestamp::from_millisecond(ms).ok()),
            (None, Some(stem)) => (stem, |seconds| Timestamp::from_second(seconds).ok()),
            (None, None) => return None,
        };
    let name = if stem == "at" { "at".to_owned() } else { format!("{stem}_at") };
    let text = value.as_i64().and_then(moment).map_or(Value::Null, |at| at.to_string().into());
    Some((name, text))
}

/// As the output of commands has it.
///
/// # Errors
/// What can't be JSON.
pub fn value(of: &impl Serialize) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(of)?)
}

/// Prints one object on standard output, for commands that run without a service.
pub fn print(object: Value) {
    println!("{}", shaped(object));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_moment_is_there_as_text_and_as_a_number() {
        let given = json!({
            "made_ms": 1_764_950_400_123_i64,
            "expires_timestamp": 1_764_950_400,
            "at_ms": 0,
            "never_ms": null,
            "size_bytes": 5,
            "list": [{ "ended_ms": -1 }],
            "kept_ms": i64::MAX,
        });
        let expected = json!({
            "made_at": "2025-12-05T16:00:00.123Z", "made_ms": 1_764_950_400_123_i64,
            "expires_at": "2025-12-05T16:00:00Z", "expires_timestamp": 1_764_950_400,
            "at": "1970-01-01T00:00:00Z", "at_ms": 0,
            "never_at": null, "never_ms": null,
            "size_bytes": 5,
            "list": [{ "ended_at": "1969-12-31T23:59:59.999Z", "ended_ms": -1 }],
            "kept_at": null, "kept_ms": i64::MAX,
        });
        assert_eq!(shaped(given), expected);
    }
}
