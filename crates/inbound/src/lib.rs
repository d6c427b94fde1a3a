//! The judges of incoming mail: each gathers the facts about a message, asks `filter`, and answers [`delivery::Judge`].
//!
//! [`sender`] finds out who really sent a message, says so above it, and does what the owner of the author's domain wants.
//!
//! [`hooks`] asks programs of others: rspamd, ClamAV, milters.
//!
//! [`spam`] tells wanted mail from unwanted, and learns from what users do with it.
//!
//! A judge changes nothing: the client may send the message again.

pub mod hooks;
pub mod sender;
pub mod spam;
