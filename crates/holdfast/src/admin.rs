//! The administrative commands: what each does, whoever runs it and wherever.

mod accounts;
mod archive;
mod domains;
mod mail;
mod queue;
pub mod socket;
mod stage;
mod standby;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use standby::on_standby;

use crate::{cli::AdminCommand, config::Config, maintenance, progress::Terminal, services::Services};
use socket::Line;

/// Where a command's lines go: to a client of the admin socket, or to this process's terminal.
#[derive(Clone)]
pub struct Output {
    lines: mpsc::Sender<Line>,
}

impl Output {
    pub(super) fn new(lines: mpsc::Sender<Line>) -> Self {
        Self { lines }
    }

    /// A line for standard output.
    pub async fn line(&self, text: impl Into<String>) {
        // A client that went away does not stop what it asked for.
        let _ = self.lines.send(Line::Out(text.into())).await;
    }

    /// How far a long command is. Never waits: from blocking code, and skipped when the client is slow.
    pub fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = self.lines.try_send(Line::Progress { what: what.to_owned(), done, total });
    }

    async fn done(&self, error: Option<String>) {
        let _ = self.lines.send(Line::Done(error)).await;
    }
}

/// Runs a command on the services.
pub async fn execute(services: &Arc<Services>, command: AdminCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        AdminCommand::Account(command) => accounts::run(services, command, output).await,
        AdminCommand::Domain(command) => domains::run(services, command, output).await,
        AdminCommand::Queue(command) => queue::run(services, command, output).await,
        AdminCommand::Import(args) => mail::import(services, args, output).await,
        AdminCommand::Export(args) => mail::export(services, args, output).await,
        AdminCommand::Archive(command) => archive::run(services, command, output).await,
