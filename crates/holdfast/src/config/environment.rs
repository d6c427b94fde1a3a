//! Keys from the environment, which go before the file: `HOLDFAST_LISTEN__SMTP=127.0.0.1:2525` sets `listen.smtp`.

use super::{Config, ConfigError, diagnose};

/// The prefix of environment variables that override keys.
pub const PREFIX: &str = "HOLDFAST_";

/// Applies the environment's keys to `table`; returns which dotted keys came from which variable.
///
/// # Errors
/// Names the variable whose name or value is wrong.
pub fn overlay(
    table: &mut toml::Table,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let defaults = toml::Table::try_from(Config::default()).expect("the defaults are representable");
    let mut set = Vec::new();
    for (name, value) in env {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let keys: Vec<&str> = path.split("__").collect();
        let wrong = |message: String| ConfigError::Environment { name: name.clone(), message };
        if !defaults.contains_key(keys[0]) {
            // Other programs' variables (HOLDFAST_URL of a test, say) are not ours to refuse: only `A__B` surely is one.
            if keys.len() == 1 {
                continue;
            }
            let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
            let meant = diagnose::nearest(keys[0], &known).map_or_else(String::new, |near| {
                format!(
                    "; did you mean {PREFIX}{}__{}?",
                    near.to_ascii_uppercase(),
                    keys[1..].join("__").to_ascii_uppercase()
                )
            });
            return Err(wrong(format!("there is no section `{}`{meant}", keys[0])));
        }
        insert(table, &defaults, &keys, &value).map_err(&wrong)?;
        table.clone().try_into::<Config>().map_err(|error| wrong(explained(&keys, error.message())))?;
        set.push((keys.join("."), name.clone()));
    }
    Ok(set)
}

/// The error of a variable, and the remedy.
fn explained(keys: &[&str], message: &str) -> String {
    let meant = diagnose::unknown(message).and_then(|(found, known)| diagnose::nearest(found, &known));
    let Some(meant) = meant.filter(|_| message.starts_with("unknown field")) else {
        let (message, remedy) = diagnose::advice(message);
        return format!("{message}\n  remedy: {remedy}");
    };
    let before = keys[..keys.len() - 1].iter().chain([&meant]);
    let name = before.map(|key| key.to_ascii_uppercase()).collect::<Vec<_>>().join("__");
    format!("there is no key `{}`; did you mean {PREFIX}{name}?", keys.join("."))
}

/// Sets one key. Values are TOML where they parse as TOML, else plain strings; a key that is a list takes `a,b`.
fn insert(table: &mut toml::Table, defaults: &toml::Table, keys: &[&str], value: &str) -> Result<(), String> {
    let is_list = keys.len() == 2
        && defaults[keys[0]].as_table().and_then(|section| section.get(keys[1])).is_some_and(toml::Value::is_array);
    let parsed = if is_list && !value.trim_start().starts_with('[') {
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect())
    } else {
        format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()))
    };
    let mut at = table;
    for key in &keys[..keys.len() - 1] {
        at = at
            .entry((*key).to_owned())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("`{key}` is not a section"))?;
    }
    at.insert(keys[keys.len() - 1].to_owned(), parsed);
    Ok(())
}
