//! GETMETADATA and SETMETADATA (RFC 5464), and the metadata in LIST and NOTIFY responses.
//!
//! An account shares nothing with others, so its values below `/shared` of its mailboxes are its own. The operator sets
//! the values below `/shared` of the server; accounts only read them.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailstore::{
    EntryName, MAX_METADATA_VALUE_BYTES, MailError, MailboxId, MetadataDepth, MetadataMarks, MetadataValue,
    SPECIAL_USE_ENTRY,
};

use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::failure::metadata_too_long;
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{GetMetadata, is_astring_char};

/// Where the operator is reached (RFC 5464 section 6.2.1).
const ADMIN_ENTRY: &str = "/shared/admin";

impl Session {
    pub(super) fn get_metadata(&mut self, get: &GetMetadata) -> Outcome {
        let (of, name) = self.metadata_owner(&get.mailbox)?;
        let mut values = self.metadata_values(of, &get.entries, get.depth)?;
        let mut longest = 0;
        if let Some(max) = get.max_size {
            values.retain(|(_, value)| {
                let size = value.as_ref().map_or(0, Bytes::len) as u64;
                let fits = size <= u64::from(max);
                longest = longest.max(if fits { 0 } else { size });
                fits
            });
        }
        self.write_metadata(&name, &values);
        if longest > 0 {
            return Ok(Done::code(Code::MetadataLongEntries(longest), "GETMETADATA completed"));
        }
        Ok(Done::text("GETMETADATA completed"))
    }

    pub(super) async fn set_metadata(&mut self, name: &str, changes: Vec<(EntryName, Option<Bytes>)>) -> Outcome {
        let realm = self.realm()?;
        let (of, _) = self.metadata_owner(name)?;
        if of.is_none() && changes.iter().any(|(entry, _)| entry.is_shared()) {
            return Err(Failure::no(Code::NO_PERM, "Only the operator can set shared server annotations"));
        }
        if changes.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > MAX_METADATA_VALUE_BYTES)) {
            return Err(metadata_too_long());
        }
        let names: BTreeSet<String> = changes.iter().map(|(entry, _)| entry.as_str().to_ascii_lowercase()).collect();
        self.door.mailstore.set_metadata(realm, of, changes).await?;
        self.knows_metadata(of, &names)?;
        Ok(Done::text("SETMETADATA completed"))
    }

    /// Whose metadata is meant: a mailbox's, or by the empty name the server's; with the name as it is told.
    fn metadata_owner(&self, name: &str) -> Outcome<(Option<MailboxId>, String)> {
        if name.is_empty() {
            return Ok((None, String::new()));
        }
        let name = self.mailbox_name(name)?;
        match self.door.mailstore.mailbox_by_name(self.realm()?, &name)? {
            Some(mailbox) => Ok((Some(mailbox.id), name.to_string())),
            None => Err(MailError::NoSuchMailbox(name.to_string()).into()),
        }
    }

    fn metadata_values(
        &self,
        of: Option<MailboxId>,
        entries: &[EntryName],
        depth: MetadataDepth,
    ) -> Outcome<Vec<MetadataValue>> {
        let mut values = self.door.mailstore.metadata(self.realm()?, of, entries, depth)?;
        let told = entries.iter().find_map(|entry| entry.reaches(ADMIN_ENTRY, depth)).filter(|_| of.is_none());
        if let Some(name) = told
            && let Some(contact) = self.contact()
        {
            values.retain(|(other, _)| !other.eq_ignore_ascii_case(ADMIN_ENTRY));
            values.push((name, Some(contact.into())));
        }
        Ok(values)
    }

    /// The postmaster of the account's own domain, whom every domain has (RFC 5321 section 4.5.1).
    fn contact(&self) -> Option<String> {
        let id = directory::AccountId(self.user?.account_number()?);
        match self.door.directory.account(id) {
            Ok(account) => account.map(|account| format!("mailto:postmaster@{}", account.address.domain())),
            Err(error) => {
                tracing::warn!(%error, "could not read an account");
                None
            }
        }
    }

    /// What RETURN (METADATA ...) asked for of a mailbox that LIST shows (RFC 9590).
    pub(super) fn list_metadata(&mut self, mailbox: &mailstore::Mailbox, entries: &[EntryName]) -> Outcome<()> {
        match self.metadata_values(Some(mailbox.id), entries, MetadataDepth::Zero) {
            Ok(values) => self.write_metadata(mailbox.name.as_str(), &values),
            // Deleted since the list was made.
            Err(Failure::No(Some(code), _)) if code == Code::NONEXISTENT => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// `* METADATA name (entry value ...)`; nothing if there is nothing to tell.
    fn write_metadata(&mut self, name: &str, values: &[MetadataValue]) {
        if values.is_empty() {
            return;
        }
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* METADATA ");
        mailbox_name::write(out, name, utf8);
        for (i, (entry, value)) in values.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b" (" } else { b" " });
            write_entry(out, entry);
            out.push(b' ');
            match value {
                Some(value) if value.contains(&0) => {
                    text::literal_header(out, value.len() as u64, true);
                    out.extend_from_slice(value);
                }
                value => text::nstring(out, value.as_deref(), utf8),
            }
        }
        out.extend_from_slice(b")\r\n");
    }

    /// `* METADATA name entry ...`: these have changed (RFC 5465 sections 5.6 and 5.7).
    pub(super) fn write_metadata_changed(&mut self, name: &str, entries: &BTreeSet<String>) {
        if entries.is_empty() {
            return;
        }
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* METADATA ");
        mailbox_name::write(out, name, utf8);
        for entry in entries {
            out.push(b' ');
            write_entry(out, entry);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Which entries of `of` differ between two moments.
pub(super) fn changed_entries(old: &MetadataMarks, new: &MetadataMarks, of: Option<MailboxId>) -> BTreeSet<String> {
    let of_it = |marks: &MetadataMarks| -> BTreeSet<(String, u64)> {
        let range = (of, String::new())..;
        let rows = marks.range(range).take_while(|((owner, _), _)| *owner == of);
        rows.map(|((_, name), revision)| (name.clone(), *revision)).collect()
    };
    of_it(old).symmetric_difference(&of_it(new)).map(|(name, _)| name.clone()).collect()
}

/// What NOTIFY looks at for the special use, which lies elsewhere.
pub(super) fn special_use_changed(old: Option<&mailstore::Mailbox>, new: &mailstore::Mailbox) -> Option<String> {
    old.filter(|old| old.role != new.role).map(|_| SPECIAL_USE_ENTRY.to_owned())
}

/// Writes the name of an entry as an atom, if it can be one.
fn write_entry(out: &mut Vec<u8>, entry: &str) {
    if entry.bytes().all(is_astring_char) {
        out.extend_from_slice(entry.as_bytes());
    } else {
        text::string(out, entry.as_bytes(), false);
    }
}
