//! Takes mail from relays.

use std::sync::Arc;

use continuity::stage::Stage;
use relay::{Receiver, ReceiverOptions};
use tokio::net::TcpListener;

use crate::{
    config::Config,
    listeners::Kind,
    running::Running,
    supervisor::{Phase, Supervisor},
};

/// Binds the configured addresses.
pub async fn bind(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let row = Kind::Relay.row();
    let mut listeners = Vec::new();
    for &address in config.listen.of(row.kind) {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?;
        println!("{}", row.line(listener.local_addr()?));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Relays may connect in every stage, for the list; mail comes once the stage includes mail from other servers.
pub fn serve(running: &Running, listeners: Vec<TcpListener>, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let services = &running.services;
    let settings = &services.config.relay;
    let options = ReceiverOptions {
        streams: settings.streams,
        per_second: settings.messages_per_second,
        senders: Some(crate::relaying::senders::policy(&services.config)),
        submissions: settings.submissions,
    };
    let dir = services.config.data_dir.join("relays");
    std::fs::create_dir_all(&dir)?;
    let stages = services.clone();
    let gate: relay::Gate = Arc::new(move || stages.stages.now().stage >= Stage::Queues);
    let on =
        (services.store.clone(), services.directory.clone(), services.mailstore.clone(), services.delivery.clone());
    let receiver = Receiver::open(on, &dir, options, gate)?;
    for listener in listeners {
        let receiver = receiver.clone();
        supervisor.essential(Phase::Sessions, "relays", move |stop| async move {
            receiver.serve(listener, stop).await.map_err(Into::into)
        });
    }
    let attending = receiver.clone();
    supervisor.kept_up(Phase::Work, "relay list", move |stop| {
        let receiver = attending.clone();
        async move {
            receiver.attend(stop).await;
            Ok(())
        }
    });
    let _ = running.relays.set(receiver);
    Ok(())
}
