//! `holdfast standby`: follows another machine until it is stopped or made the primary, and then serves.

pub mod alarms;
mod pages;
mod tripwires;

use std::{sync::Arc, time::Duration};

use continuity::standby::{Ended, Rules, Standby, StandbyOptions, StoreOptionsMaker, was_promoted};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use tripwires::tripwires;

use crate::{
    admin,
    cli::{AdminCommand, StandbyArgs},
    config::Config,
    maintenance,
    parts::invariants,
    serve,
    services::store_options,
    start,
    supervisor::{Phase, Supervisor},
    verifying::Verifying,
};

/// Between two words to systemd that this process lives.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Between two lines about a copy under way.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Follows until stopped, or until promoted: then it serves.
///
/// # Errors
/// It can't follow, or an essential task failed.
pub async fn run(config: Config, args: StandbyArgs) -> anyhow::Result<()> {
    // Whatever starts this after a reboot need not know that the machine was promoted.
    if args.primary.is_none() && args.code.is_none() && !args.rejoin && was_promoted(&config.data_dir) {
        println!("this machine was promoted to primary: starting the service");
        return start::run(config).await.map(drop);
    }
    // Before a code is used up.
    let listeners = pages::bind(&config)?;
    let metrics = serve::metrics()?;
    let standby = open(&config, &args).await?;
    let socket = admin::socket::bind(&config.data_dir)?;
    let verifying = Verifying::open(&config);
    let mut supervisor = Supervisor::new(Arc::default());
    let (dir, executor) = (config.data_dir.clone(), executor(&standby, &config, &verifying));
    supervisor.essential(Phase::Commands, "admin socket", |stop| admin::socket::serve(socket, dir, executor, stop));
    println!("running as a standby, data folder {}", config.data_dir.display());
    println!("ready");
    serve::notify::ready();
    // Also through a promotion, which may have much to write before anything is served.
    tokio::spawn(async {
        loop {
            serve::notify::alive();
            tokio::time::sleep(ALIVE_EVERY).await;
        }
    });
    pages::serve(listeners, standby.clone(), Arc::new(config.clone()), metrics.clone(), &mut supervisor);
    start_work(&standby, &verifying, &mut supervisor);

    let shutdown = CancellationToken::new();
    cancel_on_signal(&shutdown)?;
    let (ended, failure) = {
        let following = standby.run(&shutdown);
        tokio::pin!(following);
        tokio::select! {
            ended = &mut following => (ended, None),
            failure = supervisor.failure() => {
                shutdown.cancel();
                (following.await, Some(failure))
            }
        }
    };
    // The command that promoted is answered before the socket goes.
    if matches!(ended, Ok(Ended::Promoted(_))) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let was_stopped = shutdown.is_cancelled();
    // They hold the store, and the service that starts next may use the same addresses.
    supervisor.stop(|_| Duration::MAX).await;
    if let Some(failure) = failure {
        return Err(failure);
    }
    match ended? {
        Ended::Promoted(promotion) if !was_stopped => {
            println!("promoted to primary: epoch {}, after commit {}", promotion.epoch, promotion.seq);
            drop(standby);
            serve::run_measured(config, metrics).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Opens the folder, and pairs or rejoins first where that was asked for.
async fn open(config: &Config, args: &StandbyArgs) -> anyhow::Result<Arc<Standby>> {
    let options = StandbyOptions {
        dir: config.data_dir.clone(),
        store: StoreOptionsMaker(Arc::new({
            let config = config.clone();
            move || store_options(&config)
        })),
        name: args.name.clone().unwrap_or_else(|| config.hostname.clone()),
        apply_delay: config.standby.apply_delay.0,
        tripwires: tripwires(config),
        rules: Rules(invariants().to_vec()),
    };
    let (standby, rejoined) =
        Standby::open(options, args.primary.as_deref(), args.code.as_deref(), args.rejoin).await?;
    if let Some(rejoined) = rejoined {
        match &rejoined.folder {
            None => println!("both machines have commit {}; this machine has no other data", rejoined.common),
            Some(folder) => println!(
                "{} commits with {} messages existed only on this machine: they were saved in {}, a Maildir for each account; \
                 to import them, copy that folder to the primary and run there: holdfast salvage {} --scratch DIR",
                rejoined.unshared,
                rejoined.messages,
                folder.display(),
                folder.file_name().unwrap_or_default().display()
            ),
        }
    }
    Ok(standby)
}

/// Runs the commands of the admin socket.
fn executor(standby: &Arc<Standby>, config: &Config, verifying: &Arc<Verifying>) -> Arc<admin::socket::Executor> {
    let (standby, config, verifying) = (standby.clone(), Arc::new(config.clone()), verifying.clone());
    Arc::new(move |command, output| {
        let (standby, config, verifying) = (standby.clone(), config.clone(), verifying.clone());
        Box::pin(async move {
            match command {
                AdminCommand::Verify { repair } => admin::verify_standby(&standby, &verifying, repair, &output).await,
                command => admin::on_standby(&standby, &config, command, &output).await,
            }
        })
    })
}

/// Starts what is done beside following.
fn start_work(standby: &Arc<Standby>, verifying: &Arc<Verifying>, supervisor: &mut Supervisor) {
    let of = standby.clone();
    supervisor.kept_up(Phase::Work, "activity", move |stop| tell(of.clone(), stop));
    let of = standby.clone();
    supervisor.kept_up(Phase::Work, "maintenance", move |stop| maintain(of.clone(), stop));
    // Who promotes works on the store alone.
    let (of, verifying) = (standby.clone(), verifying.clone());
    supervisor.kept_up(Phase::Work, "verify", move |stop| {
        let (standby, verifying) = (of.clone(), verifying.clone());
        async move {
            tokio::select! {
                () = standby.following_is_over() => {}
                () = stop.cancelled() => {}
            }
            verifying.end().await;
            Ok(())
        }
    });
}

fn cancel_on_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let stopping = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A renewed certificate is for those who serve; the signal must not end this process.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => tracing::info!("reload requested, but a standby has no certificate"),
            }
        }
        stopping.cancel();
    });
    Ok(())
}

/// The daily maintenance of a standby, so that its data is checked regularly too.
async fn maintain(standby: Arc<Standby>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let stop = shutdown.child_token();
    {
        let (standby, stop) = (standby.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = standby.following_is_over() => stop.cancel(),
                () = stop.cancelled() => {}
            }
        });
    }
    let mut due = maintenance::first_time();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(due) => {}
        }
        due += maintenance::EVERY;
        let Some(store) = standby.store() else { continue };
        let say = |line: String| tracing::info!("{line}");
        if let Err(error) = maintenance::keep_sound(&store, &stop, say).await
            && !stop.is_cancelled()
        {
            tracing::error!(%error, "maintenance");
        }
    }
}

/// Prints the current activity when it changes.
async fn tell(standby: Arc<Standby>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut said = String::new();
    loop {
        let doing = standby.status().doing;
        if doing != said {
            println!("{doing}");
            said = doing;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    /// The settings in a unit's `[Service]` section, without those that must differ.
    fn settings(unit: &str) -> Vec<&str> {
        let service = unit.split("[Service]").nth(1).and_then(|rest| rest.split("[Install]").next()).unwrap();
        service
            .lines()
            .filter(|line| line.contains('=') && !line.starts_with(['#']) && !line.starts_with("ExecStart="))
            .collect()
    }

    #[test]
    fn a_standby_is_started_as_the_service_is_that_it_may_become() {
        let service = settings(include_str!("../../../packaging/holdfast.service"));
        let standby = settings(include_str!("../../../packaging/holdfast-standby.service"));
        assert!(service.len() > 30, "{service:?}");
        assert_eq!(standby, service);
    }
}
