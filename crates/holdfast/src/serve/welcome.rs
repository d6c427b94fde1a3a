//! What a person who typed `holdfast serve` sees: where the doors are, and what to do next. Programs can read it too:
//! each door on a line of its own, its name and address first, and `ready` at the end.

use std::io::Write as _;

use continuity::stage::{Progress, Stage};

use super::doors::Bound;
use crate::{owner, services::Services};

/// Before the doors are served.
pub fn doors(services: &Services, bound: &Bound) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Holdfast {} on {}", env!("CARGO_PKG_VERSION"), services.config.data_dir.display())?;
    for door in &bound.doors {
        writeln!(out, "  {:<12} {:<21} {}", door.kind.name(), door.address.to_string(), door.kind.purpose())?;
    }
    if services.config.tls.certificate.is_none() {
        writeln!(out, "The certificate is self-signed: mail programs ask once whether to trust it.")?;
    }
    match (&bound.setup_token, bound.web_url()) {
        (Some(token), Some(url)) => {
            writeln!(out, "\nNobody has an account yet. Make the first one here:\n\n  {url}/setup?token={token}\n")?;
        }
        (Some(_), None) => {
            writeln!(out, "\nNobody has an account yet, and the webmail has no listener. Make the first one with:")?;
            writeln!(out, "  holdfast domain add example.org && holdfast account add --admin you@example.org")?;
        }
        (None, Some(url)) => writeln!(out, "Webmail: {url}/")?,
        (None, None) => {}
    }
    out.flush()?;
    Ok(())
}

/// In the log: what is allowed and seldom meant.
pub fn doubts(services: &Services) {
    let config = &services.config;
    for doubt in config.doubts(jiff::Timestamp::now().as_second()) {
        // Trying it out in a folder of one's own is nothing to be warned of.
        if doubt.key != "data_dir" {
            tracing::warn!("{} {}; {}", doubt.key, doubt.message, doubt.remedy);
        }
    }
    if let Some(why) = owner::too_open(&config.data_dir) {
        tracing::warn!("{why}");
    }
}

/// Once what is to be on is on, or why it is not.
pub fn ready(services: &Services) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let now = services.stages.now();
    if now.stage < Stage::Open {
        writeln!(out, "Stage {}: {}", now.stage, now.stage.works())?;
        if let Some(progress) = services.stages.progress()
            && progress != Progress::Done
        {
            writeln!(out, "{progress}")?;
        }
        writeln!(out, "Move on with: holdfast stage set open")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    Ok(())
}
