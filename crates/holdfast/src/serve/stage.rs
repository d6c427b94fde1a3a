//! The effects of the stage: which listeners and pages respond, and whether the queue runs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use continuity::{
    down_page::DownPage,
    stage::{Feature, Health, Plan, Progress, Situation, Stage},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{down_page, gates::Gates, restoring::Restoring, running::Running, services::Services, told::moment};

/// Between two looks at how far a restore is, for the line above every page.
const RESTORE_LINE_EVERY: Duration = Duration::from_secs(2);

/// After an unclean shutdown: runs the checks, then continues to the chosen stage if they pass. Returns the reason if not.
pub async fn climb(running: &Arc<Running>, shutdown: &CancellationToken) -> anyhow::Result<Option<String>> {
    let services = &running.services;
    running.serving.store(true, Ordering::SeqCst);
    let stages = &services.stages;
    let chosen = stages.chosen();
    if services.store.was_closed_in_order() || chosen <= Stage::Checks {
        return Ok(None);
    }
    if services.store.is_partial() {
        // Each realm is checked when it is restored.
        return Ok(None);
    }
    tracing::warn!("the service was not shut down cleanly: checking the data first");
    let ends = stages.next_plan();
    let health: Arc<dyn Health> = Arc::new(Gates::new(running.clone()));
    let plan = Plan::after_unclean_stop(chosen);
    let ended = tokio::select! {
        ended = stages.follow(&plan, &health, false, &ends) => ended?,
        () = shutdown.cancelled() => return Ok(None),
    };
    Ok(match ended {
        Progress::Stopped { why, .. } => Some(why),
        _ => None,
    })
}

/// Runs the queue while the stage includes it.
pub async fn queue(services: Arc<Services>, shutdown: CancellationToken) -> anyhow::Result<()> {
    while_queues_run(&services, &shutdown, |rest| services.delivery.run(rest)).await
}

/// Fetches from accounts elsewhere while the queue runs, once everything is restored.
pub async fn fetching(services: Arc<Services>, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = services.until_open() => {}
    }
    while_queues_run(&services, &shutdown, |rest| services.fetching.run(rest)).await
}

/// Runs what belongs to the queues: it begins when the stage reaches them, and is told to end when the stage is lowered.
async fn while_queues_run<R, E>(
    services: &Services,
    shutdown: &CancellationToken,
    run: impl Fn(CancellationToken) -> R,
) -> anyhow::Result<()>
where
    R: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let mut now = services.stages.watch();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            reached = now.wait_for(|now| now.stage >= Stage::Queues) => drop(reached?),
        }
        let rest = shutdown.child_token();
        let run = run(rest.clone());
        tokio::pin!(run);
        let lowered = tokio::select! {
            ended = &mut run => return ended.map_err(Into::into),
            lowered = now.wait_for(|now| now.stage < Stage::Queues) => lowered.map(drop),
        };
        rest.cancel();
        run.await.map_err(Into::into)?;
        lowered?;
    }
}

/// Keeps the announcement on every page up to date.
pub async fn announce(running: Arc<Running>, line: watch::Sender<String>, shutdown: CancellationToken) {
    let mut now = running.services.stages.watch();
    let restoring = running.restoring.get();
    let mut restored = restoring.map(Restoring::watch);
    loop {
        let parts = [now.borrow_and_update().line(), restoring.and_then(Restoring::announcement)];
        line.send_replace(parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        let more_restored = async {
            let Some(progress) = &mut restored else { return std::future::pending().await };
            tokio::time::sleep(RESTORE_LINE_EVERY).await;
            if progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = now.changed() => if changed.is_err() { return },
            () = more_restored => {}
        }
    }
}

/// The feature of a request.
fn feature_of(method: &Method, path: &str) -> Option<Feature> {
    let under = |place: &str| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if under("/setup") {
        Some(Feature::SignUp)
    } else if under("/settings") {
        Some(Feature::Options)
    } else if under("/admin") {
        Some(Feature::Administration)
    } else if under("/search") {
        Some(Feature::Search)
    } else if under("/people") {
        Some(Feature::AddressBook)
    } else if under("/compose") && method == Method::POST {
        Some(Feature::Sending)
    } else if under("/rewind") {
        Some(Feature::Rewind)
    } else {
        None
    }
}

fn whole_service(now: &Situation) -> DownPage {
    let mut text = now.stage.works().to_owned();
    if !now.say.is_empty() {
        text = format!("{text} {}", now.say);
    }
    DownPage { text, next: now.stage.next().to_owned(), ..DownPage::default() }
}

fn one_feature(feature: Feature, now: &Situation) -> DownPage {
    let what = match feature {
        Feature::SignUp => "Creating accounts is",
        Feature::Options => "Changing settings is",
        Feature::Administration => "Administration is",
        Feature::Search => "Search is",
        Feature::Sending => "Sending mail is",
        Feature::Rewind => "Rewind is",
        Feature::AddressBook => "The address book is",
    };
    let mut text = format!("{what} turned off for now.");
    if let Some(why) = now.why_off.get(&feature) {
        if !why.reason.is_empty() {
            text = format!("{text} Reason: {}.", why.reason.trim_end_matches('.'));
        }
        if let Some(until_ms) = why.until_ms {
            text = format!("{text} It is expected back at {}.", moment(until_ms));
        }
    }
    if !now.say.is_empty() {
        text = format!("{text} {}", now.say);
    }
    DownPage { title: "Not available right now", text, stays: true, ..DownPage::default() }
}

/// Disabled pages return the "service unavailable" page, which is never cached and keeps a submitted form.
pub async fn pages(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    let now = services.stages.now();
    let path = request.uri().path();
    if path == "/health" || path == "/metrics" {
        return next.run(request).await;
    }
    if now.stage < Stage::Web {
        return down_page::answer(whole_service(&now), request).await;
    }
    match feature_of(request.method(), path) {
        Some(feature) if !now.has(feature) => down_page::answer(one_feature(feature, &now), request).await,
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_belong_to_features() {
        assert_eq!(feature_of(&Method::GET, "/settings/security"), Some(Feature::Options));
        assert_eq!(feature_of(&Method::GET, "/settingsx"), None);
        assert_eq!(feature_of(&Method::POST, "/rewind/run"), Some(Feature::Rewind));
        assert_eq!(feature_of(&Method::POST, "/compose"), Some(Feature::Sending));
        assert_eq!(feature_of(&Method::GET, "/compose"), None, "what was written can still be looked at");
    }
}
