//! `holdfast spam`.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use directory::AccountId;
use filter::spam::{By, Entry, Grams, Judgement, Kind, Learned, Level, MAX_EMPTIED_AFTER_DAYS, Origin, features};
use inbound::spam::{ListState, Recipient, SpamJudge};

use super::who::find;
use crate::{cli::SpamCommand, output::Output, services::Services};

/// Largest message that is read from a file, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Runs the command.
pub async fn run(services: &Services, command: SpamCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        SpamCommand::Show { address } => show(services, &address, output).await,
        SpamCommand::Level { address, level } => {
            let account = find(services, &address).await?.id;
            let level: Level = level.parse()?;
            services.spam.change_settings(account.realm(), move |settings| settings.level = level).await?;
            output.line(format!("level: {level}")).await;
            Ok(())
        }
        SpamCommand::Allow { address, sender } => list(services, &address, &sender, Some(true), output).await,
        SpamCommand::Block { address, sender } => list(services, &address, &sender, Some(false), output).await,
        SpamCommand::Unlist { address, sender } => list(services, &address, &sender, None, output).await,
        SpamCommand::EmptyAfter { address, days } => {
            let account = find(services, &address).await?.id;
            let after = match days.as_str() {
                "never" => None,
                number => Some(number.parse::<u32>().with_context(|| format!("{number} is not a number of days"))?),
            };
            let is_right = after.is_none_or(|days| (1..=MAX_EMPTIED_AFTER_DAYS).contains(&days));
            ensure!(is_right, "1 to {MAX_EMPTIED_AFTER_DAYS} days, or never");
            services.spam.change_settings(account.realm(), move |settings| settings.emptied_after_days = after).await?;
            output.line(format!("mail in Spam is deleted after: {}", days_in_words(after))).await;
            Ok(())
        }
        SpamCommand::Train { address, spam, files, .. } => {
            let account = find(services, &address).await?.id;
            let kind = if spam { Kind::Spam } else { Kind::Wanted };
            let (total, mut learned) = (files.len(), 0);
            for file in files {
                let lesson = tokio::task::spawn_blocking(move || lesson(&file, kind)).await??;
                learned += u64::from(services.spam.learn(account.realm(), lesson).await?);
            }
            output.line(format!("{learned} messages learned, {} known already", total as u64 - learned)).await;
            Ok(())
        }
        SpamCommand::Reset { address } => {
            let account = find(services, &address).await?.id;
            let gone = services.spam.reset(account.realm()).await?;
            output.line(format!("{gone} messages forgotten")).await;
            Ok(())
        }
        SpamCommand::Share { address, share } => {
            let account = find(services, &address).await?.id.realm();
            let shares = share == "on";
            services.spam.change_settings(account, move |settings| settings.shares = shares).await?;
            output.line(format!("shares what it teaches: {share}")).await;
            Ok(())
        }
        SpamCommand::DnsLists => dns_lists(services, output).await,
        SpamCommand::Explain { address, file } => {
            let account = find(services, &address).await?.id;
            explain(services, account, (&address, &file), output).await
        }
    }
}

fn days_in_words(days: Option<u32>) -> String {
    days.map_or_else(|| "never".to_owned(), |days| format!("{days} days"))
}

async fn show(services: &Services, address: &str, output: &Output) -> anyhow::Result<()> {
    if let Some(common) = domain_of(services, address)? {
        return show_lists(services, common.domain.as_deref(), output).await;
    }
    let account = find(services, address).await?.id.realm();
    let settings = services.spam.settings(account)?;
    let spam = services.spam.clone();
    let taught = tokio::task::spawn_blocking(move || spam.taught(account)).await??;
    let of = |allowed: bool| patterns(&settings.entries, allowed);
    if output.json() {
        let object = serde_json::json!({
            "level": settings.level.name(),
            "allowed": of(true),
            "blocked": of(false),
            "emptied_after_days": settings.emptied_after_days,
            "shares": settings.shares,
            "learned_spam": taught.spam,
            "learned_wanted": taught.wanted,
            "learned_kept": taught.kept,
        });
        output.object(object).await;
        return Ok(());
    }
    output.line(format!("level: {}", settings.level)).await;
    output.line(format!("mail in Spam is deleted after: {}", days_in_words(settings.emptied_after_days))).await;
    output.line(format!("learned: {} spam, {} not spam, {} kept", taught.spam, taught.wanted, taught.kept)).await;
    output.line(format!("shares what it teaches: {}", if settings.shares { "on" } else { "off" })).await;
    for (what, allowed) in [("allowed", true), ("blocked", false)] {
        for sender in of(allowed) {
            output.line(format!("{what}: {sender}")).await;
        }
    }
    Ok(())
}

/// Lists that are no account's: those of a domain, or, without one, of the service.
struct Common {
    domain: Option<String>,
}

/// The domain that `@example.org` names, or the service (`@`); `None` if it is an account's address.
fn domain_of(services: &Services, address: &str) -> anyhow::Result<Option<Common>> {
    let Some(domain) = address.strip_prefix('@') else { return Ok(None) };
    if domain.is_empty() {
        return Ok(Some(Common { domain: None }));
    }
    let domain = mailkit::address::normal_domain(domain)?;
    let hosted = services.directory.domains()?;
    ensure!(hosted.iter().any(|known| known.name == domain), "{domain} is not a domain of this service");
    Ok(Some(Common { domain: Some(domain) }))
}

fn patterns(entries: &[Entry], allowed: bool) -> Vec<String> {
    entries.iter().filter(|entry| entry.allowed == allowed).map(|entry| entry.pattern.to_string()).collect()
}

/// The lists of a domain, or of the service.
async fn show_lists(services: &Services, domain: Option<&str>, output: &Output) -> anyhow::Result<()> {
    let entries = services.spam.lists_of(domain)?;
    if output.json() {
        let object = serde_json::json!({
            "domain": domain, "allowed": patterns(&entries, true), "blocked": patterns(&entries, false),
        });
        output.object(object).await;
        return Ok(());
    }
    for (what, allowed) in [("allowed", true), ("blocked", false)] {
        for sender in patterns(&entries, allowed) {
            output.line(format!("{what}: {sender}")).await;
        }
    }
    Ok(())
}

/// The DNS lists, and whether they are asked.
async fn dns_lists(services: &Services, output: &Output) -> anyhow::Result<()> {
    let states = services.dns_lists.states();
    if output.json() {
        let lists = states.iter().map(|(list, state)| {
            let (state, why) = match state {
                ListState::New => ("new", None),
                ListState::Works => ("works", None),
                ListState::Off(why) => ("off", Some(why)),
            };
            serde_json::json!({ "list": list, "state": state, "why": why })
        });
        output.object(serde_json::json!({ "dns_lists": lists.collect::<Vec<_>>() })).await;
        return Ok(());
    }
    if states.is_empty() {
        output.line("no DNS list is configured (dns_lists in [spam])").await;
    }
    for (list, state) in states {
        let state = match state {
            ListState::New => "not tried out yet".to_owned(),
            ListState::Works => "works".to_owned(),
            ListState::Off(why) => format!("switched off: {why}"),
        };
        output.line(format!("{list}: {state}")).await;
    }
    Ok(())
}

/// Puts a sender on a list, or takes it off both.
async fn list(
    services: &Services,
    address: &str,
    sender: &str,
    allowed: Option<bool>,
    output: &Output,
) -> anyhow::Result<()> {
    let entry = Entry::new(sender, allowed.unwrap_or_default())?;
    let pattern = entry.pattern.clone();
    let common = domain_of(services, address)?;
    let account = match common {
        Some(_) => None,
        None => Some(find(services, address).await?.id.realm()),
    };
    let before = match (&common, account) {
        (Some(common), _) => services.spam.lists_of(common.domain.as_deref())?,
        (None, Some(account)) => services.spam.settings(account)?.entries,
        (None, None) => Vec::new(),
    };
    if allowed.is_none() && !before.iter().any(|entry| entry.pattern == pattern) {
        bail!("{pattern} is on no list");
    }
    let change = move |settings: &mut filter::spam::Settings| match allowed {
        Some(_) => settings.list(entry),
        None => settings.entries.retain(|known| known.pattern != entry.pattern),
    };
    match account {
        Some(account) => drop(services.spam.change_settings(account, change).await?),
        None => services.spam.change_lists(common.and_then(|common| common.domain).as_deref(), change).await?,
    }
    let what = match allowed {
        Some(true) => "allowed",
        Some(false) => "blocked",
        None => "on no list",
    };
    output.line(format!("{pattern}: {what}")).await;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    ensure!(length <= MAX_FILE_BYTES, "{}: larger than {} MiB", file.display(), MAX_FILE_BYTES >> 20);
    let raw = std::fs::read(file).with_context(|| file.display().to_string())?;
    // The line before a message in an mbox file is none of the message.
    Ok(match raw.strip_prefix(b"From ") {
        Some(rest) => rest.iter().position(|byte| *byte == b'\n').map_or_else(Vec::new, |at| rest[at + 1..].to_vec()),
        None => raw,
    })
}

fn lesson(file: &Path, kind: Kind) -> anyhow::Result<Learned> {
    let raw = read(file)?;
    let parsed = mailkit::parse(&raw);
    Ok(Learned {
        name: store::BodyId::of(&raw).as_bytes().to_owned(),
        kind,
        by: By::User,
        features: features(&raw, &parsed, false).hashes,
        grams: Grams::of(&raw, &parsed),
        origin: Origin::default(),
        sender: parsed.from.first().map(|from| from.address.to_lowercase()).unwrap_or_default(),
        marks: None,
    })
}

async fn explain(
    services: &Services,
    account: AccountId,
    (address, file): (&str, &Path),
    output: &Output,
) -> anyhow::Result<()> {
    let judge = SpamJudge::new(services.spam.clone(), services.mailstore.clone(), services.people.clone());
    let file = file.to_owned();
    let domain = mailkit::EmailAddress::parse(address).map(|address| address.domain().to_owned()).unwrap_or_default();
    let judged = tokio::task::spawn_blocking(move || {
        judge
            .explain(Recipient { account, domain: &domain }, &read(&file)?)
            .map_err(|error| anyhow::anyhow!(error.to_string()))
    });
    let Judgement { is_spam, score, limit, .. } = judged.await??;
    if output.json() {
        let reasons = score.reasons().iter().map(|reason| {
            serde_json::json!({ "code": reason.code, "points": reason.points.to_string(), "reason": reason.line })
        });
        let limit = limit.map(|limit| limit.to_string());
        let object = serde_json::json!({
            "spam": is_spam, "score": score.total().to_string(), "limit": limit, "reasons": reasons.collect::<Vec<_>>(),
        });
        output.object(object).await;
        return Ok(());
    }
    for reason in score.reasons() {
        output.line(format!("{:>7}  {}  ({})", reason.points.to_string(), reason.line, reason.code)).await;
    }
    let limit = limit.map_or_else(|| "no score is spam".to_owned(), |limit| format!("spam from {limit} on"));
    let verdict = if is_spam { "spam" } else { "not spam" };
    output.line(format!("{:>7}  {verdict} ({limit})", score.total().to_string())).await;
    Ok(())
}
