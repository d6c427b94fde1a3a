//! `holdfast people import` and `holdfast people export`.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use people::import::MAX_IMPORT_BYTES;

use super::accounts::find;
use crate::{
    cli::{PeopleArgs, PeopleCommand},
    output::Output,
    services::Services,
};

/// Runs the command.
pub async fn run(services: &Services, command: PeopleCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        PeopleCommand::Import(args) => import(services, args, output).await,
        PeopleCommand::Export(args) => export(services, args, output).await,
    }
}

async fn import(services: &Services, args: PeopleArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
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
    let done = services.people.import(account, incoming, &mut tell).await?;
    output.line(format!("{} contacts added, {} updated, {} unchanged", done.added, done.changed, done.known)).await;
    for problem in &done.problems {
        output.line(problem.to_string()).await;
    }
    let any = done.added + done.changed + done.known > 0;
    ensure!(any || done.problems.is_empty(), "no contact could be read");
    Ok(())
}

async fn export(services: &Services, args: PeopleArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id.realm();
    let people = services.people.clone();
    let count = tokio::task::spawn_blocking(move || {
        let book = people.book(account)?;
        let table = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let content = if table { people::csv::write(&book) } else { people::vcard::write(&book).into_bytes() };
        // Never overwrite an existing file.
        let file = std::fs::File::create_new(&args.file);
        let written = file.and_then(|mut file| file.write_all(&content).and_then(|()| file.sync_all()));
        written.with_context(|| args.file.display().to_string())?;
        anyhow::Ok(book.contacts.len())
    })
    .await??;
    output.line(format!("{count} contacts exported")).await;
    Ok(())
}
