//! `holdfast restore --list-moments`: what there is to choose from, before anything is restored.

use std::process::ExitCode;

use continuity::archive::{
    catalog::{Catalog, Listed},
    restore::{Deletion, Life, Moments, lives, moments},
};
use directory::{AccountId, account_in_record, account_record_key, is_account_record};

use super::wish::wish;
use crate::{cli::RestoreArgs, config::Config, json, told::moment};

/// The days before a line's last commit in which deletions are looked for.
const DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;
/// Deletions that are listed of each line.
const SHOWN: usize = 20;

/// Lists.
pub async fn list(config: &Config, args: &RestoreArgs, json: bool) -> anyhow::Result<ExitCode> {
    let wish = wish(config, args).await?;
    let mut catalog = Catalog::read(&wish.target).await?;
    if !wish.signed_by.is_empty() {
        catalog.adopt(&wish.target, &wish.signed_by).await?;
        catalog.trust_only(&wish.signed_by);
    }
    for note in catalog.notes.iter().filter(|_| !json) {
        println!("NOTE: {note}");
    }
    for life in lives(&wish.target, &catalog, &wish.identities).await? {
        let line = &life.line;
        if args.line.as_ref().is_some_and(|wanted| *wanted != line.line) {
            continue;
        }
        let mut found = Vec::new();
        let of_line = match life.times_ms {
            None => None,
            Some((_, ended)) => {
                let since = ended - DAYS * DAY_MS;
                Some(moments(&wish.target, &catalog, &wish.identities, line, since, &is_account_record).await?)
            }
        };
        if let Some(of_line) = &of_line {
            found = of_line.deletions.clone();
            found.sort_by_key(|deletion| std::cmp::Reverse(deletion.count));
            found.truncate(SHOWN);
            found.sort_by_key(|deletion| deletion.first);
        }
        let deletions: Vec<(Deletion, String)> = of_line
            .iter()
            .flat_map(|of_line| found.iter().map(|deletion| (*deletion, whose(of_line, deletion))))
            .collect();
        let snapshots: Vec<&Listed> =
            catalog.snapshots.iter().filter(|listed| listed.name.line == line.line && listed.good).collect();
        if json {
            json::print(json_of(&life, &snapshots, &deletions));
        } else {
            print(&life, &snapshots, &deletions);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn json_of(life: &Life, snapshots: &[&Listed], deletions: &[(Deletion, String)]) -> serde_json::Value {
    let parent = life.line.parent.as_ref();
    let snapshots = snapshots
        .iter()
        .map(|listed| serde_json::json!({ "commit": listed.name.seq.0, "made_ms": listed.name.made_ms }));
    let deletions = deletions.iter().map(|(deletion, whose)| {
        serde_json::json!({
            "at_ms": deletion.at_ms,
            "account": whose,
            "messages": deletion.count,
            "commit_before": deletion.first.0.saturating_sub(1),
        })
    });
    serde_json::json!({
        "line": life.line.line,
        "parent": parent.map(|parent| serde_json::json!({ "line": parent.line, "commit": parent.seq })),
        "counts": life.counts,
        "first_commit": life.own.map(|(first, _)| first.0),
        "last_commit": life.own.map(|(_, last)| last.0),
        "begun_ms": life.times_ms.map(|(begun, _)| begun),
        "ended_ms": life.times_ms.map(|(_, ended)| ended),
        "snapshots": snapshots.collect::<Vec<_>>(),
        "deletions": deletions.collect::<Vec<_>>(),
    })
}

fn print(life: &Life, snapshots: &[&Listed], deletions: &[(Deletion, String)]) {
    let line = &life.line;
    let from = line.parent.as_ref().map_or_else(
        || "from its first commit".to_owned(),
        |parent| format!("from commit {} of line {}", parent.seq, parent.line),
    );
    let counts = if life.counts { "" } else { ": only commits made by a restore" };
    println!("line {}, {from}{counts}", line.line);
    if let (Some((first, last)), Some((begun, ended))) = (life.own, life.times_ms) {
        println!("  commits {first} to {last}, made {} to {}", moment(begun), moment(ended));
    }
    for listed in snapshots {
        println!("  snapshot of commit {}, {}", listed.name.seq, moment(listed.name.made_ms));
    }
    for (Deletion { at_ms, first, count, .. }, whose) in deletions {
        let messages = if *count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
        println!(
            "  {} {whose}: {messages} deleted; the commit before is {}",
            moment(*at_ms),
            first.0.saturating_sub(1)
        );
    }
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
