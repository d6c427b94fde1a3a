//! `holdfast people list`, `import` and `export`.

use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, ensure};
use people::import::MAX_IMPORT_BYTES;
use people::vcard::Version;
use people::{FIRST, Filter, People, PeopleError, ShelfId};
use serde_json::json;
use store::RealmId;

use super::who::find;
use crate::{
    cli::{PeopleArgs, PeopleCommand, PeopleExportArgs, PeopleListArgs},
    output::Output,
    services::Services,
};

/// Runs the command.
pub async fn run(services: &Services, command: PeopleCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        PeopleCommand::List(args) => list(services, args, output).await,
        PeopleCommand::Import(args) => import(services, args, output).await,
        PeopleCommand::Export(args) => export(services, args, output).await,
    }
}

/// The book of that name; `None` is the first.
fn shelf(people: &People, account: RealmId, name: &str) -> anyhow::Result<Option<ShelfId>> {
    if name.eq_ignore_ascii_case(FIRST) {
        return Ok(None);
    }
    let shelves = people.shelves(account)?;
    let shelf = shelves.into_iter().find(|shelf| shelf.name.to_lowercase() == name.to_lowercase());
    Ok(Some(shelf.ok_or(PeopleError::NoSuchBook).with_context(|| name.to_owned())?.id))
}

fn filter(people: &People, account: RealmId, book: Option<&str>, group: Option<&str>) -> anyhow::Result<Filter> {
    let mut filter = Filter::default();
    if let Some(book) = book {
        filter.shelf = Some(shelf(people, account, book)?);
    }
    if let Some(name) = group {
        let groups = people.groups(account)?;
        let group = groups.into_iter().find(|group| group.name.to_lowercase() == name.to_lowercase());
        filter.group = Some(group.ok_or(PeopleError::NoSuchGroup).with_context(|| name.to_owned())?.id);
    }
    Ok(filter)
}

async fn list(services: &Services, args: PeopleListArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let people = services.people.clone();
    let (found, count) = tokio::task::spawn_blocking(move || {
        let filter = filter(&people, account, args.book.as_deref(), args.group.as_deref())?;
        anyhow::Ok(people.search(account, args.search.as_deref().unwrap_or_default(), filter, args.limit)?)
    })
    .await??;
    let shown = found.len();
    for contact in found {
        let addresses: Vec<&str> = contact.card.addresses.iter().map(|a| a.address.as_str()).collect();
        let phones: Vec<&str> = contact.card.phones.iter().map(|p| p.number.as_str()).collect();
        if output.json() {
            output
                .object(json!({
                    "id": contact.id.to_string(), "name": contact.card.title(), "addresses": addresses, "phones": phones,
                    "organisation": contact.card.organisation,
                }))
                .await;
        } else {
            output.line(format!("{}  {}", contact.card.title(), addresses.join(", ")).trim_end().to_owned()).await;
        }
    }
    if shown < count {
        output.line(format!("{} more: raise --limit to see them", count - shown)).await;
    }
    Ok(())
}

async fn import(services: &Services, args: PeopleArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let shelf = args.book.as_deref().map(|book| shelf(&services.people, account, book)).transpose()?.flatten();
    let name = args.file.display().to_string();
    let incoming = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&args.file)?.len();
        anyhow::ensure!(length <= MAX_IMPORT_BYTES as u64, "the file is larger than {} MiB", MAX_IMPORT_BYTES >> 20);
        Ok(people::import::read(&std::fs::read(&args.file)?))
    })
    .await?
    .with_context(|| name)?;
    let total = incoming.cards.len() as u64;
    let mut tell = |done: usize| output.progress("contacts imported", done as u64, total);
    let done = services.people.import_into(account, shelf, incoming, &mut tell).await?;
    output.line(format!("{} contacts added, {} updated, {} unchanged", done.added, done.changed, done.known)).await;
    output.field("added", done.added);
    output.field("updated", done.changed);
    output.field("unchanged", done.known);
    let problems: Vec<_> =
        done.problems.iter().map(|problem| json!({ "line": problem.line, "what": problem.what })).collect();
    output.field("problems", problems);
    output.field("more_problems", done.more_problems);
    for problem in &done.problems {
        output.line(problem.to_string()).await;
    }
    if done.more_problems > 0 {
        output.line(format!("and {} more entries that could not be read", done.more_problems)).await;
    }
    let any = done.added + done.changed + done.known > 0;
    ensure!(any || done.problems.is_empty(), "no contact could be read");
    Ok(())
}

async fn export(services: &Services, args: PeopleExportArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let people = services.people.clone();
    let count = tokio::task::spawn_blocking(move || {
        let filter = filter(&people, account, args.book.as_deref(), args.group.as_deref())?;
        // Never overwrite an existing file.
        let file = std::fs::File::create_new(&args.file).with_context(|| args.file.display().to_string())?;
        write(&people, account, filter, &args, file).with_context(|| args.file.display().to_string())
    })
    .await??;
    output.line(format!("{count} contacts exported")).await;
    output.field("exported", count);
    Ok(())
}

fn write(
    people: &People,
    account: RealmId,
    filter: Filter,
    args: &PeopleExportArgs,
    file: std::fs::File,
) -> anyhow::Result<usize> {
    let mut out = BufWriter::new(file);
    let table = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let count = if table {
        let book = people.filtered(account, filter)?;
        out.write_all(&people::csv::write(&book))?;
        book.contacts.len()
    } else {
        let version = if args.vcard == 3 { Version::V3 } else { Version::V4 };
        let mut failed = None;
        let count = people.export(account, filter, version, &mut |text| {
            failed = out.write_all(text.as_bytes()).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(count), Err)?
    };
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}
