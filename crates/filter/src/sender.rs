//! Who really sent a message: SPF (RFC 7208), DKIM (RFC 6376, 8463), ARC (RFC 8617), DMARC (RFC 9989, 7489) and the name of
//! the client's address (RFC 8601 section 3).
//!
//! [`Reading`] takes a message as it comes: it keeps the header section and hashes the body, so the message need not be in
//! memory. [`spf::check`] and [`iprev::check`] need only the client and its words, and can run before the message is there.
//! [`Read::dkim`], [`Read::arc`] and [`dmarc::check`] do the rest; [`Findings`] holds all results, and [`Findings::field`]
//! writes them down.
//!
//! Everything has a limit ([`Lookups`] for the DNS, [`dkim::MAX_SIGNATURES`], [`MAX_HEADER_BYTES`], …), and no result is
//! `fail` because the DNS was silent.

pub mod arc;
mod author;
mod canon;
mod carried;
pub mod dkim;
pub mod dmarc;
mod findings;
mod header;
pub mod iprev;
mod lookups;
pub mod names;
mod outcome;
mod reading;
mod seal;
mod signature;
pub mod spf;
mod tags;

pub use author::Author;
pub use carried::MAX_CARRIED_BYTES;
pub use dkim::SignatureResult;
pub use findings::Findings;
pub use lookups::{Lookups, MAX_QUESTIONS};
pub use outcome::Outcome;
pub use reading::{Keys, MAX_HEADER_BYTES, Read, Reading};
pub use seal::{NotSealed, Sealer};
pub use signature::{Algorithm, Flaw};
