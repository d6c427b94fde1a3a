//! What programs read of commands: results and errors as JSON, by one rule.

use std::process::Output;

use serde_json::Value;

use crate::support::{Server, holdfast};

const ANNA: &str = "anna@example.org";

fn objects(bytes: &[u8], command: &str) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{command}: {error}: {line}"));
    let all: Vec<Value> = text.lines().map(parse).collect();
    assert!(all.iter().all(Value::is_object), "{command}: {text}");
    all
}

/// Each moment is there as text, too.
fn check_shape(value: &Value, command: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(stem) = name.strip_suffix("_ms") {
                    let text = fields.get(&if stem == "at" { "at".to_owned() } else { format!("{stem}_at") });
                    assert_eq!(text.map(Value::is_null), Some(value.is_null()), "{command}: {name}");
                }
                if name.ends_with("_bytes") {
                    assert!(value.is_null() || value.is_u64(), "{command}: {name} is {value}");
                }
                check_shape(value, command);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_shape(item, command)),
        _ => {}
    }
}

fn error_of(output: &Output, command: &str) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
}

#[test]
fn commands_print_json_and_errors_have_codes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    let run = |words: &str| {
        let all: Vec<String> = words.split(' ').map(|word| word.replace("ANNA", ANNA)).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        all.push("--json");
        holdfast(dir.path(), &all, "")
    };
    for (command, field) in [
        ("account list", "used_bytes"),
        ("account show ANNA", "created_at"),
        ("account set ANNA --name Anna", "messages"),
        ("account add generated@example.org --generate", "password"),
        ("domain list", "name"),
        ("domain show example.org", "value"),
        ("domain add example.com", "value"),
        ("audit", "at"),
        ("stage show", "works"),
        ("stage off search", "off"),
        ("stage on search", "off"),
        ("stage plan --print", "steps"),
        ("verify", "damage_count"),
        ("maintain", "messages"),
        ("check-config", "warnings"),
    ] {
        let output = run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let objects = objects(&output.stdout, command);
        assert!(objects.iter().all(|object| object.get(field).is_some()), "{command}: {field}: {objects:?}");
        assert!(!objects.is_empty(), "{command}");
        for object in &objects {
            check_shape(object, command);
        }
    }
    let empty = run("queue list");
    assert!(empty.status.success() && empty.stdout.is_empty(), "an empty list has no lines");
    let status = run("status");
    check_shape(&objects(&status.stdout, "status")[0], "status");
    for (command, code, exit) in [
        ("account show nobody@example.org", "not-found", 1),
        ("audit nobody@example.org", "not-found", 1),
        ("queue show 0000000000", "failed", 1),
        ("standby status", "failed", 1),
        ("account shows", "usage", 2),
        ("serve", "usage", 2),
        ("help", "usage", 2),
    ] {
        let output = run(command);
        let error = error_of(&output, command);
        assert_eq!((error["code"].as_str(), output.status.code()), (Some(code), Some(exit)), "{command}: {error}");
        assert_eq!(error["exit"], exit, "{command}");
        assert!(error["error"].as_str().is_some_and(|text| !text.is_empty()) && output.stdout.is_empty(), "{command}");
    }
    server.stop();
    let stopped = run("status");
    assert_eq!(error_of(&stopped, "status")["code"], "not-running");
    assert_eq!(objects(&stopped.stdout, "status")[0]["running"], false);
    let nowhere = dir.path().join("nowhere").display().to_string();
    let output = holdfast(dir.path(), &["--data-dir", &nowhere, "account", "list", "--json"], "");
    assert_eq!(error_of(&output, "account list")["code"], "no-data");
}
