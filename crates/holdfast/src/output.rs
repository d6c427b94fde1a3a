//! What a command says, on its way to the one who typed it: this process's terminal, or a client of the admin socket.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What a command says while it runs, and how it ended.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A line for standard output.
    Out(String),
    /// The reason why the command waits.
    Waits(String),
    /// How far a long command is.
    Progress {
        /// The current operation.
        what: String,
        /// Units done.
        done: u64,
        /// Units in all, 0 when not known.
        total: u64,
    },
    /// The end: nothing, or what went wrong.
    Done(Option<String>),
}

/// The output of a command: to a client of the admin socket, or to this process's terminal.
#[derive(Clone)]
pub struct Output {
    replies: mpsc::Sender<Reply>,
}

impl Output {
    pub(super) fn new(replies: mpsc::Sender<Reply>) -> Self {
        Self { replies }
    }

    /// A line for standard output.
    pub async fn line(&self, text: impl Into<String>) {
        // A command continues if its client disconnects.
        let _ = self.replies.send(Reply::Out(text.into())).await;
    }

    /// How far a long command is. Never waits: from blocking code, and skipped when the client is slow.
    pub fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = self.replies.try_send(Reply::Progress { what: what.to_owned(), done, total });
    }

    /// Why a command waits.
    pub async fn waits(&self, what: &str) {
        let _ = self.replies.send(Reply::Waits(what.to_owned())).await;
    }

    /// The end of the command.
    pub async fn done(&self, error: Option<String>) {
        let _ = self.replies.send(Reply::Done(error)).await;
    }
}
