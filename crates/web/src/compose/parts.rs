//! Parts of a message that is being written.

use mailkit::compose::NewAttachment;
use mailkit::parsed::{DisplayAddress, Parsed};
use mailkit::visible::settled;
use mailkit::{EmailAddress, NamedAddress, headers};
use mailstore::{Email, EmailId, MessageRow, Role};

use crate::{caller::Caller, error::Result, forms::PostedFile, templates::File, time::size};

/// Who wrote what is forwarded, when, to whom.
pub fn forwarded_header(caller: &Caller, email: &Email) -> String {
    let parsed = &email.parsed;
    let when = caller.calendar().when(mailkit::date::sent_ms(parsed.date_ms, email.filed_ms)).full;
    let mut header =
        format!("From: {}\nDate: {when}\nSubject: {}\nTo: {}\n", list(&parsed.from), parsed.subject, list(&parsed.to));
    if !parsed.cc.is_empty() {
        header.push_str(&format!("Cc: {}\n", list(&parsed.cc)));
    }
    settled(&header).into_owned()
}

/// A file of the message being written.
#[derive(Clone)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Attached {
    /// As it goes into a message.
    pub(crate) fn as_new(&self) -> NewAttachment {
        NewAttachment {
            name: self.name.clone(),
            content_type: self.content_type.clone(),
            content: self.content.clone(),
            inline_id: None,
        }
    }

    /// As the page lists it.
    pub fn shown(&self) -> File {
        let size = size(self.content.len() as u64);
        File { name: self.name.clone(), size, href: String::new(), picture: None }
    }
}

impl From<PostedFile> for Attached {
    fn from(file: PostedFile) -> Self {
        Self { name: file.name, content_type: file.content_type, content: file.content }
    }
}

/// Addresses as a person would type them. Those that no mail would reach are left out, unless there is no other.
pub(crate) fn list(people: &[DisplayAddress]) -> String {
    let typed = |who: &DisplayAddress| match EmailAddress::parse(&who.address) {
        Ok(address) => NamedAddress::new(&who.name, address).to_string(),
        Err(_) => who.address.clone(),
    };
    let all = || people.iter().filter(|who| !who.address.is_empty());
    let usable: Vec<String> = all().filter(|who| is_sendable(who)).map(typed).collect();
    if usable.is_empty() { all().map(typed).collect::<Vec<_>>().join(", ") } else { usable.join(", ") }
}

pub(crate) fn is_sendable(who: &DisplayAddress) -> bool {
    EmailAddress::parse(&who.address).is_ok()
}

/// The header as it is read today: what was kept of a message when it came may be what an earlier version made of it.
pub fn read_again(raw: &[u8]) -> Parsed {
    mailkit::parse(&raw[headers::header_range(raw)])
}

/// The message with the Message-ID of `header`, found by its conversation, that `fits`. Drafts are no messages yet.
pub fn kept(caller: &Caller, header: &Parsed, fits: impl Fn(&Parsed) -> bool) -> Result<Option<EmailId>> {
    let mail = &caller.site.mailstore;
    let Some(thread) = mail.thread_of(caller.realm, header)? else { return Ok(None) };
    let drafts = mail.mailbox_by_role(caller.realm, Role::Drafts)?.map(|drafts| drafts.id);
    let rows = mail.thread(caller.realm, thread)?;
    let is_it = |row: &&MessageRow| {
        row.parsed.message_id == header.message_id && Some(row.mailbox) != drafts && fits(&row.parsed)
    };
    Ok(rows.iter().find(is_it).map(|row| row.email_id))
}
