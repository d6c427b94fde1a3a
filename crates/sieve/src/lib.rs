//! The Sieve language (RFC 5228): scripts are parsed, checked and run over a message.
//!
//! [`compile`] reads a script and tells all that is wrong with it, with line and column; [`run()`] runs it over a
//! [`Message`] and gives an [`Outcome`], a list of actions that the host does. What a script can ask about the world
//! (mailboxes, lists, the time, what was seen before) it asks through the trait [`Host`]. [`vacation`] decides whether an
//! automatic reply may be sent at all, and writes it. [`Syntax`] is for those who show and change scripts: it is read and
//! written without losing comments.
//!
//! Start reading at `spec/table.rs` (the words), then `check.rs` and `run.rs`. All limits are in [`limits`].
//!
//! This crate must never touch a mailbox, a queue, a clock or a socket, and never spend more than its limits say on a script.

mod action;
mod address;
mod check;
mod compare;
mod error;
mod host;
mod lexer;
pub mod limits;
mod message;
mod notify;
mod pieces;
mod run;
mod snooze;
mod spec;
mod syntax;
mod template;
mod tree;
pub mod vacation;
mod write;

pub use action::{Action, Mailbox, Notification, Outcome, Taken, Vacation};
pub use check::{CAPABILITIES, Dialect, compile, compile_with};
pub use compare::{Comparator, MatchType, Matcher, Relation};
pub use error::{Position, Problem, Problems, RunError};
pub use host::{Done, Envelope, Host, Location};
pub use message::Message;
pub use notify::Mailto;
pub use pieces::Stretch;
pub use run::{State, run, run_with};
pub use snooze::{MAX_TIMES, Snooze};
pub use spec::{Kind, Optional, Place, Spec, TagSpec, Tests, Word, flag, tag};
pub use syntax::{Argument, Literal, Node, Piece, Syntax};
pub use template::Template;
pub use tree::{AddressPart, Script, Step, Value};
