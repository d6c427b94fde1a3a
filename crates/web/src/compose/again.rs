//! Writing again to those whom a message did not reach: what a delivery report offers.
//!
//! A report is written by strangers. It names people and a message; both are believed only where they agree with what the
//! account itself sent, so that a forged report can't lead one's mail to somebody else.

use bytes::Bytes;
use mailkit::parsed::{DisplayAddress, Parsed};
use mailkit::{bounce, charset, display};
use mailstore::EmailId;

use super::parts::{Attached, kept};
use crate::caller::Caller;
use crate::error::Result;
use crate::message;

/// A message that did not reach everybody.
pub struct Failed {
    /// Those whom it did not reach, as the message names them.
    pub to: Vec<DisplayAddress>,
    /// What was written.
    pub parsed: Parsed,
    /// The whole message.
    pub raw: Bytes,
}

impl Failed {
    /// Its files.
    pub fn files(&self) -> Vec<Attached> {
        let files = display::files(&self.raw, &self.parsed).into_iter().filter_map(|file| {
            let content = display::part_content(&self.raw, &self.parsed, &file.part)?;
            Some(Attached { name: file.name, content_type: file.content_type, content })
        });
        files.collect()
    }
}

/// Whether a message is a report about one of the account's own, of which some recipients were not reached.
pub fn is_offered(caller: &Caller, id: EmailId, parsed: &Parsed) -> Result<bool> {
    Ok(bounce::status_part(parsed).is_some() && of(caller, id, parsed)?.is_some())
}

/// The message that the report `id` is about.
pub fn of_report(caller: &Caller, id: &str) -> Result<Option<Failed>> {
    let (email, _) = message::load(caller, id)?;
    of(caller, email.id, &email.parsed)
}

fn of(caller: &Caller, id: EmailId, report: &Parsed) -> Result<Option<Failed>> {
    let Some(part) = bounce::status_part(report) else { return Ok(None) };
    let mut body = caller.site.mailstore.body(caller.realm, id)?;
    let bytes = part.body_end.saturating_sub(part.body_start).min(bounce::MAX_STATUS_BYTES);
    let status = body.read_range(part.body_start, bytes as usize)?;
    let status = charset::decode_transfer(&part.encoding, &status).map_or(status.to_vec(), |text| text.into_owned());
    let failed = bounce::undelivered(&status);
    if failed.is_empty() {
        return Ok(None);
    }
    let Some((parsed, raw)) = sent(caller, id, report)? else { return Ok(None) };
    let is_failed = |who: &&DisplayAddress| {
        let known = mailkit::EmailAddress::parse(&who.address);
        known.is_ok_and(|known| failed.iter().flatten().any(|name| name.canonical() == known.canonical()))
    };
    let to: Vec<_> = parsed.to.iter().chain(&parsed.cc).chain(&parsed.bcc).filter(is_failed).cloned().collect();
    Ok((!to.is_empty()).then_some(Failed { to, parsed, raw }))
}

/// The account's own message that a report is about: its copy here, or else what the report returns of it.
fn sent(caller: &Caller, id: EmailId, report: &Parsed) -> Result<Option<(Parsed, Bytes)>> {
    let mail = &caller.site.mailstore;
    let Some(part) = bounce::returned_part(report) else { return Ok(None) };
    let length = part.body_end.saturating_sub(part.body_start) as usize;
    let returned = mail.body(caller.realm, id)?.read_range(part.body_start, length)?;
    let returned = match charset::decode_transfer(&part.encoding, &returned) {
        Some(std::borrow::Cow::Owned(decoded)) => decoded.into(),
        _ => returned,
    };
    let header = mailkit::parse(&returned);
    let of_own = |parsed: &Parsed| parsed.from.iter().any(|from| caller.is_me(&from.address));
    if !of_own(&header) {
        return Ok(None);
    }
    if let Some(id) = kept(caller, &header, of_own)? {
        let raw = mail.body(caller.realm, id)?.read_all()?;
        return Ok(Some((mailkit::parse(&raw), raw)));
    }
    Ok(part.is_message().then_some((header, returned)))
}
