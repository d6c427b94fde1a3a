//! The audit trail as a file, to be kept or searched with other tools.

use axum::extract::Query;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use directory::{AuditEntry, AuditFilter};
use serde::Deserialize;

use super::frame::admin;
use super::trail::{self, Asked};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::wrong::Wrong;

/// Entries of one file, the newest ones.
const MAX_ENTRIES: usize = 100_000;
/// Entries read at a time.
const AT_ONCE: usize = 1_000;

/// The format.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Csv,
    Json,
}

/// What a file is asked to be.
#[derive(Deserialize)]
pub struct Wish {
    #[serde(default)]
    format: Format,
}

/// `GET /admin/audit/export`
pub async fn file(caller: Caller, Query(asked): Query<Asked>, Query(wish): Query<Wish>) -> Result<Response> {
    admin(caller)?
        .blocking(move |caller| {
            let calendar = caller.calendar();
            let mut wrong = Wrong::default();
            let filter = trail::filter(caller, &asked, &calendar, &mut wrong)?;
            if !wrong.is_empty() {
                let text = "The filter is wrong: correct it on the page of the audit trail, then export again.";
                return Err(Fault::Bad(text.to_owned()));
            }
            let entries = all(caller, filter)?;
            let (kind, ending, body) = match wish.format {
                Format::Csv => ("text/csv; charset=utf-8", "csv", csv(&entries)),
                Format::Json => {
                    let all: Vec<_> = entries.iter().map(object).collect();
                    ("application/json", "json", serde_json::to_string_pretty(&all).map_err(Fault::internal)?)
                }
            };
            let name = format!("attachment; filename=\"audit-{}.{ending}\"", calendar.today());
            Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name.as_str())], body).into_response())
        })
        .await
}

fn all(caller: &Caller, mut filter: AuditFilter) -> Result<Vec<AuditEntry>> {
    let mut entries: Vec<AuditEntry> = Vec::new();
    while entries.len() < MAX_ENTRIES {
        caller.awaited()?;
        let page = caller.site.directory.audit_search(&filter, AT_ONCE)?;
        let Some(last) = page.last() else { break };
        filter.before_ms = Some(last.at_ms);
        entries.extend(page);
    }
    entries.truncate(MAX_ENTRIES);
    Ok(entries)
}

/// The columns, called as `holdfast audit --json` calls them.
const COLUMNS: [&str; 7] = ["at", "who", "what", "peer", "account", "address", "address_now"];

fn at(entry: &AuditEntry) -> String {
    jiff::Timestamp::from_millisecond(entry.at_ms).map_or_else(|_| String::new(), |at| at.to_string())
}

fn object(entry: &AuditEntry) -> serde_json::Value {
    let about = entry.about.as_ref();
    serde_json::json!({
        "at": at(entry),
        "at_ms": entry.at_ms,
        "who": entry.who,
        "what": entry.what,
        "peer": entry.peer,
        "account": about.map(|about| about.account.0),
        "address": about.map(|about| &about.then),
        "address_now": about.and_then(|about| about.now.as_ref()),
    })
}

fn csv(entries: &[AuditEntry]) -> String {
    let mut text = COLUMNS.join(",");
    text.push_str("\r\n");
    for entry in entries {
        let about = entry.about.as_ref();
        let cells = [
            at(entry),
            entry.who.clone(),
            entry.what.clone(),
            entry.peer.clone(),
            about.map_or_else(String::new, |about| about.account.to_string()),
            about.map_or_else(String::new, |about| about.then.clone()),
            about.and_then(|about| about.now.clone()).unwrap_or_default(),
        ];
        text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell (RFC 4180 section 2). What a spreadsheet would take for a formula begins with an apostrophe: names in the trail
/// were typed by people.
fn quoted(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_are_quoted_and_no_formula_begins_one() {
        assert_eq!(quoted("plain"), "\"plain\"");
        assert_eq!(quoted("say \"yes\", twice\r\n"), "\"say \"\"yes\"\", twice\r\n\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert!(quoted(formula).starts_with("\"'"), "{formula}");
        }
        assert_eq!(quoted(""), "\"\"");
    }
}
