//! What a command says, on its way to the one who typed it: this process's terminal, or a client of the admin socket.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::{failure::Failure, json};

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
    Done(Option<Failure>),
}

/// The output of a command: to a client of the admin socket, or to this process's terminal.
///
/// With `--json`, what is said in words is kept for the object that ends the command, unless the command has objects of
/// its own.
#[derive(Clone)]
pub struct Output {
    replies: mpsc::Sender<Reply>,
    /// With `--json`: what the closing object will have.
    closing: Option<Arc<Mutex<Closing>>>,
}

#[derive(Default)]
struct Closing {
    fields: Map<String, Value>,
    messages: Vec<String>,
    /// The command has printed objects: these are its result.
    has_objects: bool,
}

impl Output {
    /// Into a channel; as JSON or in words.
    pub fn new(replies: mpsc::Sender<Reply>, json: bool) -> Self {
        Self { replies, closing: json.then(Arc::default) }
    }

    /// Whether programs read it.
    pub const fn json(&self) -> bool {
        self.closing.is_some()
    }

    /// A line for standard output, in words.
    pub async fn line(&self, text: impl Into<String>) {
        match &self.closing {
            Some(closing) => closing.lock().messages.push(text.into()),
            // A command continues if its client disconnects.
            None => drop(self.replies.send(Reply::Out(text.into())).await),
        }
    }

    /// With `--json`: an object of its own.
    pub async fn object(&self, object: Value) {
        if let Some(closing) = &self.closing {
            closing.lock().has_objects = true;
            let _ = self.replies.send(Reply::Out(json::shaped(object).to_string())).await;
        }
    }

    /// With `--json`: a field of the object that ends the command.
    pub fn field(&self, name: &str, value: impl Into<Value>) {
        if let Some(closing) = &self.closing {
            closing.lock().fields.insert(name.to_owned(), value.into());
        }
    }

    /// How far a long command is. Never waits: from blocking code, and skipped when the client is slow.
    pub fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = self.replies.try_send(Reply::Progress { what: what.to_owned(), done, total });
    }

    /// Why a command waits.
    pub async fn waits(&self, what: &str) {
        let _ = self.replies.send(Reply::Waits(what.to_owned())).await;
    }

    /// With `--json`: the object that ends the command, unless it had objects of its own.
    pub async fn close(&self) {
        let Some(closing) = &self.closing else { return };
        let Closing { mut fields, messages, has_objects } = std::mem::take(&mut *closing.lock());
        if has_objects || (fields.is_empty() && messages.is_empty()) {
            return;
        }
        if !messages.is_empty() {
            fields.insert("messages".to_owned(), messages.into());
        }
        let _ = self.replies.send(Reply::Out(json::shaped(fields.into()).to_string())).await;
    }

    /// The end of the command.
    pub async fn done(&self, failure: Option<Failure>) {
        self.close().await;
        let _ = self.replies.send(Reply::Done(failure)).await;
    }
}
