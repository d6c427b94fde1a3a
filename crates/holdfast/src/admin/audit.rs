//! `holdfast audit`: who did what, newest first.

use directory::AuditEntry;

use super::{Output, accounts};
use crate::{archive::moment, cli::AuditArgs, services::Services};

/// Entries read at a time.
const PAGE: usize = 200;

pub async fn run(services: &Services, args: AuditArgs, output: &Output) -> anyhow::Result<()> {
    let account = match &args.address {
        Some(address) => Some(accounts::find(services, address).await?.id),
        None => None,
    };
    let (mut left, mut before) = (args.limit, None);
    while left > 0 {
        let page = services.directory.audit_trail(account, before, left.min(PAGE))?;
        let Some(last) = page.last() else { break };
        before = Some(last.at_ms);
        left -= page.len();
        for entry in &page {
            output.line(if args.json { json_of(entry) } else { line_of(entry) }).await;
        }
    }
    Ok(())
}

fn line_of(entry: &AuditEntry) -> String {
    let from = if entry.peer.is_empty() { String::new() } else { format!(" from {}", entry.peer) };
    format!("{}  {}{from}: {}", moment(entry.at_ms), entry.who, entry.what)
}

fn json_of(entry: &AuditEntry) -> String {
    serde_json::json!({ "at_ms": entry.at_ms, "who": entry.who, "what": entry.what, "peer": entry.peer }).to_string()
}
