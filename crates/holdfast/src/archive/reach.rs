//! How far an archive can be restored, for people.

use std::path::Path;

use continuity::archive::{
    catalog::Catalog,
    codec::Identities,
    line::{Line, Noted},
    restorable::{self, Restorable},
    target::Target,
};

use crate::told::moment;

/// How far an archive alone can be restored: its newest line, or the one that this data folder ships. `broken`: objects
/// that were read and are damaged.
pub async fn restorable_of(
    target: &Target,
    catalog: &Catalog,
    data_dir: &Path,
    identities: Option<&Identities>,
    broken: &std::collections::BTreeSet<String>,
) -> Result<Vec<Restorable>, continuity::archive::ArchiveError> {
    let noted = Noted::read(data_dir, target.name());
    let mine = Line::name_in(data_dir).filter(|line| catalog.lines.contains_key(line));
    let lines: Vec<_> = match &mine {
        Some(line) => vec![catalog.line(Some(line))?.clone()],
        None => catalog.newest_lines().into_iter().cloned().collect(),
    };
    let mut all = Vec::new();
    for line in lines {
        let noted = noted.as_ref().filter(|noted| noted.line == line.line);
        let due = noted.map_or_else(store::Seq::default, |noted| store::Seq(noted.seq));
        let mut found = restorable::with_identity(target, catalog, &line, due, identities, broken).await?;
        if let Some(noted) = noted.filter(|noted| noted.seq == found.seq.0 && noted.time_ms.is_some()) {
            found.time_ms = noted.time_ms;
        }
        all.push(found);
    }
    Ok(all)
}

/// How far an archive can be restored, for people.
pub fn described(found: &Restorable) -> String {
    let at = found.time_ms.map_or_else(String::new, |at| format!(", at {}", moment(at)));
    let mut text = match found.seq.0 {
        0 => "nothing can be restored".to_owned(),
        seq => format!("restorable up to commit {seq}{at}"),
    };
    if found.seq < found.due {
        text += &format!(", but not up to commit {}", found.due);
    }
    match (found.missing_count, found.missing.first()) {
        (0, _) | (_, None) => {}
        (1, Some(what)) => text += &format!(": {what}"),
        (count, Some(first)) => text += &format!(": {count} objects are missing, the first: {first}"),
    }
    text
}
