//! Reports that mail servers send each other about a domain: DMARC aggregate reports (RFC 9990, RFC 7489) and TLS reports
//! (RFC 8460), read, kept, gathered and written.
//!
//! A report is a stranger's word: [`unpack`], [`dmarc::DmarcReport::read`] and [`tls::TlsReport::read`] take any bytes, within
//! named limits, in linear time. [`Reports`] keeps what came for each domain, bounded by day and by reporter, and what was found
//! out here about others' mail until it is reported to them. [`summary`] makes of it what an owner understands.
//!
//! This crate asks no DNS and sends nothing. It must never believe who a report says it is from: the judge that files one says
//! whose mail it came in ([`Reporter`]).
//!
//! Start reading at [`Reports`] (`kept.rs`), then `schema.rs` for what is stored.

pub mod dmarc;
mod kept;
mod number;
mod observed;
mod read;
mod reporter;
mod schema;
pub mod summary;
pub mod tls;
mod unpack;
mod xml;

pub use kept::{
    Filed, Filing, KEPT_DAYS, Kept, MAX_A_DAY, MAX_OF_REPORTER, ReportInvariants, Reports, ReportsError, Says, day_of,
};
pub use observed::{DAYS_KEPT, MAX_OBSERVED_ROWS, Observation, Observed, Over};
pub use read::{Report, read};
pub use reporter::{Reporter, organisation_of};
pub use unpack::{MAX_EXPANDED_BYTES, MAX_PACKED_BYTES, MAX_RATIO, NotReadable, unpack};
