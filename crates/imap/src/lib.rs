//! The IMAP4rev2 and IMAP4rev1 server.
//!
//! It translates between the protocol (RFC 9051, RFC 3501 and extensions) and [`mailstore`] and [`directory`]; it stores
//! no mail and decides nothing about it. What it must never do: hold a whole message in memory for a slow client,
//! shift message numbers during a command, acknowledge data that is not durable.
//!
//! Besides the base protocols it supports LITERAL+, SASL-IR, ID, ENABLE, IDLE, UIDPLUS, MOVE, UNSELECT, NAMESPACE, CHILDREN,
//! SPECIAL-USE and CREATE-SPECIAL-USE, LIST-EXTENDED, LIST-STATUS, STATUS=SIZE, ESEARCH, SEARCHRES, WITHIN, PARTIAL, SORT,
//! ESORT, SEARCH=FUZZY, THREAD, CONDSTORE, QRESYNC, NOTIFY, BINARY, MULTIAPPEND, OBJECTID, PREVIEW, APPENDLIMIT, UTF8=ACCEPT, QUOTA,
//! UIDONLY, INPROGRESS, UNAUTHENTICATE, SAVEDATE, REPLACE, CATENATE, MULTISEARCH, METADATA, LIST-METADATA,
//! CONTEXT=SEARCH, CONTEXT=SORT and COMPRESS=DEFLATE; STARTTLS, and PLAIN, LOGIN and SCRAM-SHA-256 under it.
//!
//! Start reading at [`ImapDoor::serve_connection`], then `session` for the loop of one connection. [`syntax`] reads
//! commands, `response` writes answers, `failure` is where errors become response codes.

mod door;
mod failure;
mod options;
mod response;
mod session;
pub mod syntax;

pub use door::ImapDoor;
pub use options::ImapOptions;
