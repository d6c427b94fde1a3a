//! The judges of incoming mail: each gathers the facts about a message, asks `filter`, and answers [`delivery::Judge`].
//!
//! [`sender`] finds out who really sent a message, says so above it, and does what the owner of the author's domain wants.
//!
//! [`hooks`] asks programs of others: rspamd, ClamAV, milters.
//!
//! [`rules`] runs accounts' Sieve scripts.
//!
//! [`spam`] tells wanted mail from unwanted, and learns from what users do with it.
//!
//! [`address`] files by the address that mail came to.
//!
//! [`forwarding`] sends mail on to where its recipients want it.
//!
//! [`reports`] files what others report about domains here, and reports to others.
//!
//! A judge changes nothing: the client may send the message again.

pub mod address;
pub mod forwarding;
pub mod hooks;
pub mod reports;
pub mod rules;
pub mod sender;
pub mod spam;
