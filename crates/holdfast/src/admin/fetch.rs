//! `holdfast account fetch`.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use anyhow::Context as _;
use directory::AccountId;
use fetching::{FetchError, Protocol, Security, Settings, Source};
use serde_json::{Value, json};

use super::who::{WHO, find};
use crate::cli::{FetchAddArgs, FetchCommand, FetchProtocol, FetchSecurity};
use crate::failure::Code;
use crate::told::moment;
use crate::{output::Output, services::Services};

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Runs a command.
pub async fn run(services: &Services, command: FetchCommand, output: &Output) -> anyhow::Result<()> {
    let fetching = &services.fetching;
    match command {
        FetchCommand::Add(args) => add(services, args, output).await,
        FetchCommand::List { address } => {
            let account = find(services, &address).await?.id;
            list(services, account, &address, output).await
        }
        FetchCommand::Run { address, id } => {
            let account = find(services, &address).await?.id;
            fetch(services, account, id, output).await
        }
        FetchCommand::Pause { address, id } => {
            let account = find(services, &address).await?.id;
            fetching.pause(account, id).await.map_err(known)?;
            noted(services, account, "paused fetching", id).await?;
            output.line(format!("paused {id}")).await;
            Ok(())
        }
        FetchCommand::Resume { address, id } => {
            let account = find(services, &address).await?.id;
            fetching.resume(account, id).await.map_err(known)?;
            noted(services, account, "resumed fetching", id).await?;
            output.line(format!("{id} is fetched again")).await;
            Ok(())
        }
        FetchCommand::Passwd { address, id, password } => {
            let account = find(services, &address).await?.id;
            let settings = fetching.source(account, id).map_err(known)?.settings;
            fetching.change(account, id, settings, Some(&password)).await.map_err(known)?;
            noted(services, account, "changed the password for fetching", id).await?;
            output.line(format!("changed the password of {id}; it is fetched again")).await;
            Ok(())
        }
        FetchCommand::Remove { address, id } => {
            let account = find(services, &address).await?.id;
            let source = fetching.source(account, id).map_err(known)?;
            fetching.remove(account, id).await.map_err(known)?;
            let what = format!("stopped fetching from {} at {}", source.settings.user, source.settings.host);
            services.directory.audit(Some(account), WHO, &what, "").await?;
            output.line(format!("{what}; mail that was fetched stays")).await;
            Ok(())
        }
    }
}

/// An error with the code that programs go by.
fn known(error: FetchError) -> anyhow::Error {
    match error {
        FetchError::NoSuchSource => Code::NotFound.error(format!("{error}; `holdfast account fetch list` lists them")),
        other => other.into(),
    }
}

async fn noted(services: &Services, account: AccountId, what: &str, id: u64) -> anyhow::Result<()> {
    let source = services.fetching.source(account, id).map_err(known)?;
    let what = format!("{what} from {} at {}", source.settings.user, source.settings.host);
    Ok(services.directory.audit(Some(account), WHO, &what, "").await?)
}

async fn add(services: &Services, args: FetchAddArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?.id;
    let guess = match &args.host {
        Some(_) => None,
        None => services.fetching.guess(&args.user).await,
    };
    let host = args.host.clone().or_else(|| guess.as_ref().map(|guess| guess.host.clone()));
    let host = host.with_context(|| format!("can't find the server of {}: name it with --host", args.user))?;
    let protocol = match args.protocol {
        Some(FetchProtocol::Imap) => Protocol::Imap,
        Some(FetchProtocol::Pop3) => Protocol::Pop3,
        None => guess.as_ref().map_or(Protocol::Imap, |guess| guess.protocol),
    };
    let guess = guess.filter(|guess| guess.protocol == protocol);
    let security = match args.security {
        Some(FetchSecurity::Tls) => Security::Tls,
        Some(FetchSecurity::Starttls) => Security::StartTls,
        Some(FetchSecurity::Plain) => Security::Plain,
        None => match (args.port, &guess) {
            (None, Some(guess)) => guess.security,
            (Some(143 | 110), _) => Security::StartTls,
            _ => Security::Tls,
        },
    };
    let guess = guess.filter(|guess| guess.security == security);
    let port = args.port.or_else(|| guess.map(|guess| guess.port)).unwrap_or_else(|| protocol.port(security));
    let settings = Settings {
        protocol,
        host,
        port,
        security,
        user: args.user,
        keeps_on: args.keep,
        inbox_only: args.inbox_only,
        rules: args.rules,
        delete: args.delete,
    };
    let id = services.fetching.add(account, settings.clone(), &args.password).await.map_err(known)?;
    noted(services, account, "began to fetch", id).await?;
    output.field("id", id);
    output.field("host", settings.host.clone());
    output.field("port", settings.port);
    output.line(format!("{id}: mail of {} at {}:{} is fetched", settings.user, settings.host, settings.port)).await;
    Ok(())
}

async fn fetch(services: &Services, account: AccountId, id: Option<u64>, output: &Output) -> anyhow::Result<()> {
    let fetching = &services.fetching;
    let all = fetching.list(account)?;
    let chosen: Vec<u64> = match id {
        Some(id) => vec![fetching.source(account, id).map_err(known)?.id],
        None => all.iter().filter(|source| source.state == fetching::State::Active).map(|source| source.id).collect(),
    };
    let mut early = Vec::new();
    for id in chosen {
        // Named by its number: whatever its state.
        if fetching.source(account, id).map_err(known)?.state != fetching::State::Active {
            fetching.resume(account, id).await.map_err(known)?;
        }
        let mut running = std::pin::pin!(fetching.fetch(account, id));
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended?,
                () = tokio::time::sleep(SHOW_EVERY) => {
                    let (done, total) = fetching.source(account, id).map_err(known)?.progress();
                    output.progress("messages fetched", done, total);
                }
            }
        };
        if output.json() {
            output.object(object(&ended.source)).await;
        } else {
            let (done, total) = ended.source.progress();
            let (filed, left_out) = (ended.source.filed(), ended.source.left_out());
            let said = format!("{id}: {done} of {total} messages done, {filed} filed here, {left_out} left out");
            output.line(said).await;
        }
        early.extend(ended.trouble.map(|trouble| format!("{id}: {}", trouble.for_people())));
    }
    anyhow::ensure!(early.is_empty(), "{}", early.join("; "));
    Ok(())
}

fn object(source: &Source) -> Value {
    let settings = &source.settings;
    let (done, total) = source.progress();
    let mailbox = |one: &fetching::Remote| {
        json!({
            "name": one.name, "total": one.total, "left": one.left, "filed": one.filed,
            "known": one.known, "left_out": one.left_out, "reasons": one.reasons,
        })
    };
    let error = source.error.as_ref();
    json!({
        "id": source.id,
        "protocol": settings.protocol.name(),
        "host": settings.host,
        "port": settings.port,
        "security": settings.security.name(),
        "user": settings.user,
        "keep": settings.keeps_on,
        "inbox_only": settings.inbox_only,
        "rules": settings.rules,
        "delete": settings.delete,
        "state": source.state.name(),
        "now": source.now,
        "done": done,
        "total": total,
        "filed": source.filed(),
        "left_out": source.left_out(),
        "error": error.map(|(why, _)| why),
        "error_ms": error.map(|(_, at)| at),
        "due_ms": (source.state == fetching::State::Active).then_some(source.due_ms),
        "complete_ms": (source.complete_ms > 0).then_some(source.complete_ms),
        "added_ms": source.added_ms,
        "mailboxes": source.mailboxes.iter().map(mailbox).collect::<Vec<_>>(),
    })
}

async fn list(services: &Services, account: AccountId, address: &str, output: &Output) -> anyhow::Result<()> {
    let sources = services.fetching.list(account)?;
    if sources.is_empty() {
        output.line(format!("{address} fetches from no other account")).await;
    }
    for source in sources {
        output.object(object(&source)).await;
        if output.json() {
            continue;
        }
        let settings = &source.settings;
        let (done, total) = source.progress();
        let how = if settings.keeps_on { "again and again" } else { "once" };
        let (user, host, port) = (&settings.user, &settings.host, settings.port);
        let protocol = settings.protocol.name();
        output
            .line(format!("{}  {user} at {host}:{port} ({protocol}), {how}: {}", source.id, source.state.name()))
            .await;
        output.line(format!("    {done} of {total} messages done, {} left out", source.left_out())).await;
        if let Some((why, at_ms)) = &source.error {
            output.line(format!("    {}: {why}", moment(*at_ms))).await;
        }
        for mailbox in &source.mailboxes {
            let done = mailbox.total.saturating_sub(mailbox.left);
            output.line(format!("    {}: {done} of {}", mailbox.name, mailbox.total)).await;
            for why in &mailbox.reasons {
                output.line(format!("        left out: {why}")).await;
            }
        }
    }
    Ok(())
}

/// Asks for the password of an account elsewhere.
pub fn ask_password(command: &mut FetchCommand) -> anyhow::Result<()> {
    let (user, password) = match command {
        FetchCommand::Add(args) => (args.user.clone(), &mut args.password),
        FetchCommand::Passwd { id, password, .. } => (format!("{id}"), password),
        _ => return Ok(()),
    };
    if std::io::stdin().is_terminal() {
        *password = rpassword::prompt_password(format!("Password of {user} there: "))?;
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).clone_into(password);
    }
    Ok(())
}
