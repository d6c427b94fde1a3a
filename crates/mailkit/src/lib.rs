//! Messages: parse, structure, build, sanitize HTML, addresses, DKIM, DSN.
//!
//! Everything here is pure: bytes in, values out; no sockets, no storage, no clock. Input is untrusted, so every
//! function accepts any bytes without panicking, works in linear time, and has named limits.
//!
//! Start reading at [`parse()`] and [`Parsed`], the record that is stored with each message so that lists, IMAP
//! `ENVELOPE` and `BODYSTRUCTURE` never parse it again; then [`EmailAddress`], the only form of an address in the rest
//! of the service.
//!
//! This crate must never change a message written by someone else: it reads by byte offsets into the raw message.

pub mod address;
mod addrlist;
pub mod bounce;
mod calendar;
pub mod charset;
pub mod compose;
mod css;
pub mod date;
pub mod display;
pub mod dkim;
pub mod documents;
pub mod dsn;
mod envelope;
mod files;
mod flowed;
pub mod fold;
mod glimpse;
mod ground;
pub mod headers;
mod headline;
pub mod html;
mod layout;
pub mod links;
mod meant;
mod names;
pub mod narrow;
mod opened;
mod ordering;
mod params;
pub mod parse;
pub mod parsed;
mod pictures;
pub mod results;
mod rtf;
mod scan;
pub mod srs;
pub mod stem;
mod subject;
mod tame;
mod text;
pub mod trace;
pub mod transfer;
pub mod typed;
mod utf7;
pub mod visible;
mod wording;
mod words;

pub use address::{AddressError, EmailAddress, NamedAddress};
pub use headline::Headline;
pub use ordering::{FirstAddress, Ordering};
pub use parse::parse;
pub use parsed::{Envelope, Parsed, Part, SectionText};
pub use text::decoded_text;
pub use typed::{Typed, WrongEntry, read_typed};
pub use words::decode_text;
