//! Whether an attachment is a report, and which.

use crate::dmarc::DmarcReport;
use crate::tls::TlsReport;
use crate::{NotReadable, unpack};

/// A report of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// About mail in a domain's name.
    Dmarc(DmarcReport),
    /// About connections to a domain's servers.
    Tls(TlsReport),
}

/// Reads an attachment, by what is in it.
///
/// # Errors
/// It is no report, broken, or above a limit.
pub fn read(attachment: &[u8]) -> Result<Report, NotReadable> {
    let text = unpack(attachment)?;
    match text.trim_start_matches('\u{FEFF}').trim_start().bytes().next() {
        Some(b'{') => TlsReport::read_text(&text).map(Report::Tls),
        Some(b'<') => DmarcReport::read_text(&text).map(Report::Dmarc),
        _ => Err(NotReadable::NoReport),
    }
}
