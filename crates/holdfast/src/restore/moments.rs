//! `holdfast restore --list-moments`: what there is to choose from, before anything is restored.

use std::{collections::HashMap, process::ExitCode};

use continuity::archive::{
    catalog::Catalog,
    restore::{Deletion, deletions, lives},
};

use super::wish;
use crate::{archive::moment, cli::RestoreArgs, config::Config};

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
        let counts = if life.counts { "" } else { ": nothing but a restore's own commits" };
        println!("line {}, {from}{counts}", line.line);
        if let (Some((first, last)), Some((begun, ended))) = (life.own, life.times_ms) {
            println!("  commits {first} to {last}, made {} to {}", moment(begun), moment(ended));
        }
        for listed in catalog.snapshots.iter().filter(|listed| listed.name.line == line.line && listed.good) {
            println!("  snapshot of commit {}, {}", listed.name.seq, moment(listed.name.made_ms));
        }
        let Some((_, ended)) = life.times_ms else { continue };
        let mut found = deletions(&wish.target, &catalog, &wish.identities, line, ended - DAYS * DAY_MS).await?;
        found.sort_by_key(|deletion| std::cmp::Reverse(deletion.count));
        found.truncate(SHOWN);
        found.sort_by_key(|deletion| deletion.first);
        let names: HashMap<u64, String> = HashMap::new();
        for Deletion { at_ms, first, realm, count } in found {
            let who = names.get(&realm.raw()).cloned().unwrap_or_else(|| realm.to_string());
            println!(
                "  {} {who}: {count} messages deleted; the commit before is {}",
                moment(at_ms),
                first.0.saturating_sub(1)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
