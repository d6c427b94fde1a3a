//! The output of `holdfast serve`: the listeners and what to do next. Programs can parse it: one line per listener with
//! its name and address first, and `ready` at the end.

use std::io::Write as _;

use continuity::stage::{Progress, Stage};

use super::doors::Bound;
use crate::{owner, services::Services};

/// Printed before the listeners are served.
pub fn doors(services: &Services, bound: &Bound) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Holdfast {} on {}", env!("CARGO_PKG_VERSION"), services.config.data_dir.display())?;
    for door in &bound.doors {
        writeln!(out, "{}", door.row.line(door.address))?;
    }
    let tls = &services.config.tls;
    if tls.acme.settings.is_some() && bound.is_self_signed() {
        let until = "The certificate is self-signed until one is obtained: see `holdfast certificate list`.";
        writeln!(out, "{until}")?;
    } else if tls.certificate.is_none() && tls.acme.settings.is_none() {
        writeln!(out, "The certificate is self-signed: mail apps ask once whether to trust it.")?;
    }
    match (&bound.setup_token, bound.web_url()) {
        (Some(token), Some(url)) => {
            writeln!(out, "\nThere is no account yet. Create the first one here:\n\n  {url}/setup?token={token}\n")?;
        }
        (Some(_), None) => {
            writeln!(
                out,
                "\nThere is no account yet, and no web listener is configured. Create the first account with:"
            )?;
            writeln!(out, "  holdfast domain add example.org && holdfast account add --admin you@example.org")?;
        }
        (None, Some(url)) => writeln!(out, "Webmail: {url}/")?,
        (None, None) => {}
    }
    out.flush()?;
    Ok(())
}

/// Logs warnings about settings that are allowed but rarely intended.
pub fn doubts(services: &Services) {
    let config = &services.config;
    for doubt in config.doubts(jiff::Timestamp::now().as_second()) {
        // A relative folder is fine for trying it out.
        if doubt.key != "data_dir" {
            tracing::warn!("{} {}; {}", doubt.key, doubt.message, doubt.remedy);
        }
    }
    if let Some(why) = owner::too_open(&config.data_dir) {
        tracing::warn!("{why}");
    }
}

/// Printed once the stage is reached, or the reason why not.
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
        writeln!(out, "To open everything, run: holdfast stage set open")?;
    }
    writeln!(out, "ready")?;
    out.flush()?;
    Ok(())
}
