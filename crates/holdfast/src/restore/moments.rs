//! `holdfast restore --list-moments`: what there is to choose from, before anything is restored.

use std::process::ExitCode;

use continuity::archive::{
    catalog::Catalog,
    restore::{Deletion, Moments, lives, moments},
};
use directory::{AccountId, account_in_record, account_record_key, is_account_record};

use super::wish::wish;
use crate::{cli::RestoreArgs, config::Config, told::moment};

/// The days before a line's last commit in which deletions are looked for.
const DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;
/// Deletions that are listed of each line.
const SHOWN: usize = 20;

/// Lists.
pub async fn list(config: &Config, args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let wish = wish(config, args).await?;
    let mut catalog = Catalog::read(&wish.target).await?;
    if !wish.signed_by.is_empty() {
        catalog.adopt(&wish.target, &wish.signed_by).await?;
        catalog.trust_only(&wish.signed_by);
    }
    for note in &catalog.notes {
        println!("NOTE: {note}");
    }
    for life in lives(&wish.target, &catalog, &wish.identities).await? {
        let line = &life.line;
        if args.line.as_ref().is_some_and(|wanted| *wanted != line.line) {
            continue;
        }
        let from = line.parent.as_ref().map_or_else(
            || "from its first commit".to_owned(),
            |parent| format!("from commit {} of line {}", parent.seq, parent.line),
        );
        let counts = if life.counts { "" } else { ": only commits made by a restore" };
        println!("line {}, {from}{counts}", line.line);
        if let (Some((first, last)), Some((begun, ended))) = (life.own, life.times_ms) {
            println!("  commits {first} to {last}, made {} to {}", moment(begun), moment(ended));
        }
        for listed in catalog.snapshots.iter().filter(|listed| listed.name.line == line.line && listed.good) {
            println!("  snapshot of commit {}, {}", listed.name.seq, moment(listed.name.made_ms));
        }
        let Some((_, ended)) = life.times_ms else { continue };
        let since = ended - DAYS * DAY_MS;
        let of_line = moments(&wish.target, &catalog, &wish.identities, line, since, &is_account_record).await?;
        let mut found = of_line.deletions.clone();
        found.sort_by_key(|deletion| std::cmp::Reverse(deletion.count));
        found.truncate(SHOWN);
        found.sort_by_key(|deletion| deletion.first);
        for deletion in found {
            let Deletion { at_ms, first, count, .. } = deletion;
            let messages = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
            println!(
                "  {} {}: {messages} deleted; the commit before is {}",
                moment(at_ms),
                whose(&of_line, &deletion),
                first.0.saturating_sub(1)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose messages went, by the address of that moment.
fn whose(found: &Moments, deletion: &Deletion) -> String {
    let account = deletion.realm.account_number().map(AccountId);
    let record = account.and_then(|account| found.record_before(&account_record_key(account), deletion.first));
    match record.and_then(account_in_record) {
        Some(known) if known.is_deleted => {
            format!("{} (deleted before)", known.address.unwrap_or_else(|| deletion.realm.to_string()))
        }
        Some(known) => known.address.unwrap_or_else(|| deletion.realm.to_string()),
        None => deletion.realm.to_string(),
    }
}
