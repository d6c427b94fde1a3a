//! `holdfast audit`: who did what, newest first.

use anyhow::Context as _;
use directory::{AccountId, AuditEntry, AuditFilter};
use mailkit::EmailAddress;

use crate::{cli::AuditArgs, failure::Code, moment::parse_moment, output::Output, services::Services, told::moment};

/// Entries read at a time.
const PAGE: usize = 200;

pub async fn run(services: &Services, args: AuditArgs, output: &Output) -> anyhow::Result<()> {
    let at = |text: &Option<String>| text.as_deref().map(parse_moment).transpose();
    let mut filter = AuditFilter {
        account: args.address.as_deref().map(|address| account(services, address)).transpose()?,
        since_ms: at(&args.since)?,
        before_ms: at(&args.until)?,
        who: args.by.unwrap_or_default(),
        what: args.what.unwrap_or_default(),
    };
    let mut left = args.limit;
    while left > 0 {
        let page = services.directory.audit_search(&filter, left.min(PAGE))?;
        let Some(last) = page.last() else { break };
        filter.before_ms = Some(last.at_ms);
        left = left.saturating_sub(page.len());
        for entry in &page {
            if output.json() {
                output.object(json_of(entry)).await;
            } else {
                output.line(line_of(entry)).await;
            }
        }
    }
    Ok(())
}

/// The account that has an address, or the last one that was deleted with it.
fn account(services: &Services, address: &str) -> anyhow::Result<AccountId> {
    let parsed = EmailAddress::parse(address).with_context(|| address.to_owned())?;
    if let Some(account) = services.directory.account_by_address(&parsed)? {
        return Ok(account.id);
    }
    let deleted = services.directory.deleted_account(&parsed)?.map(|(id, _)| id);
    deleted.ok_or_else(|| {
        Code::NotFound.error(format!("there is no account {address}; `holdfast account list` shows those there are"))
    })
}

fn line_of(entry: &AuditEntry) -> String {
    let from = if entry.peer.is_empty() { String::new() } else { format!(" from {}", entry.peer) };
    let about = entry.about.as_ref().map_or_else(String::new, |about| format!(" [{about}]"));
    format!("{}  {}{from}: {}{about}", moment(entry.at_ms), entry.who, entry.what)
}

fn json_of(entry: &AuditEntry) -> serde_json::Value {
    let about = entry.about.as_ref();
    serde_json::json!({
        "at_ms": entry.at_ms,
        "who": entry.who,
        "what": entry.what,
        "peer": entry.peer,
        "account": about.map(|about| about.account.0),
        "address": about.map(|about| about.then.clone()),
        "address_now": about.and_then(|about| about.now.clone()),
    })
}
