//! A report as a message (RFC 9990 section 3.5.2).

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::{Compression, write::GzEncoder};
use mailkit::{EmailAddress, date};

use super::{DmarcReport, xml};

/// Characters of a line of base64.
const LINE: usize = 76;

/// Who sends a report, to whom and when.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The domain that reports.
    pub submitter: &'a str,
    /// The address of it that it comes from.
    pub from: &'a EmailAddress,
    /// Who gets it.
    pub to: &'a EmailAddress,
    /// Now, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The message, with the report packed by gzip.
pub fn mail(report: &DmarcReport, sending: Sending<'_>) -> Vec<u8> {
    let Sending { submitter, from, to, at_ms } = sending;
    let (domain, id) = (&report.published.domain, &report.id);
    let (begin, end) = report.range.unwrap_or_default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let packed = gzip.write_all(xml(report).as_bytes()).and_then(|()| gzip.finish());
    let encoded = BASE64.encode(packed.expect("writing to memory does not fail"));
    let lines: Vec<&str> =
        (0..encoded.len()).step_by(LINE).map(|at| &encoded[at..(at + LINE).min(encoded.len())]).collect();
    let (name, boundary) = (format!("{submitter}!{domain}!{begin}!{end}.xml.gz"), format!("dmarc-{begin}-{at_ms}"));
    // The same report to two addresses is two messages.
    let mark = blake3::hash(to.to_string().as_bytes()).to_hex();
    let head = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{id}>\r\n\
         Date: {}\r\nMessage-ID: <{}.{id}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n",
        date::format(at_ms),
        &mark[..8],
    );
    let text = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is a DMARC aggregate report (RFC 9990) about mail that came to {submitter}\r\n\
         in the name of {domain}. You get it because the DMARC record of {domain} asks for it.\r\n"
    );
    let file = format!(
        "--{boundary}\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n\tfilename=\"{name}\"\r\n\r\n{}\r\n--{boundary}--\r\n",
        lines.join("\r\n")
    );
    [head, text, file].concat().into_bytes()
}
