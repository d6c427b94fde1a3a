//! Writing mail to files: mbox and Maildir, every message byte for byte.

mod maildir;
mod mbox;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use store::RealmId;

use crate::import::{Progress, TransferError, file_error, from_line};
use crate::{MAX_ROWS_PER_COMMIT, MailError, MailStore, MailboxId, MessageEntry};

pub use mbox::FromQuoter;

/// An export under way.
struct Exporting<'a> {
    mail: &'a MailStore,
    account: RealmId,
    cancel: Option<&'a AtomicBool>,
    progress: Progress,
    tell: &'a mut dyn FnMut(&Progress),
}

impl MailStore {
    /// Write a mailbox to an mbox file (mboxrd: lines that look like `From ` lines are quoted so that they can be
    /// unquoted without loss). Flags are not kept: they would have to stand in the messages. The file is complete or
    /// not there: it is written beside and renamed. Gives the number of messages.
    ///
    /// # Errors
    /// If the file can not be written or a message not be read; [`MailError::Cancelled`].
    pub fn export_mbox(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        target: &Path,
        cancel: Option<&AtomicBool>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<u64, TransferError> {
        let mut exporting = Exporting { mail: self, account, cancel, progress: Progress::default(), tell };
        exporting.expect(mailbox)?;
        let partial = target.with_added_extension("partial");
        let file = fs::File::create(&partial).map_err(file_error(&partial))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        exporting.each(mailbox, |exporting, entry| {
            let wrong = || file_error(&partial);
            writeln!(out, "{}", from_line(entry.internal_date_ms)).map_err(wrong())?;
            let mut quoter = FromQuoter::new(&mut out);
            exporting.copy(entry, &mut quoter, &partial)?;
            quoter.finish().map_err(wrong())?;
            out.write_all(b"\n").map_err(wrong())
        })?;
        let file = out.into_inner().map_err(|e| file_error(&partial)(e.into_error()))?;
        file.sync_all().map_err(file_error(&partial))?;
        fs::rename(&partial, target).map_err(file_error(target))?;
        Ok(exporting.progress.messages)
    }

    /// Write all mailboxes to a Maildir with Maildir++ subfolders: INBOX to the folder itself, `a/b` to `.a.b`. Flags
    /// stand in the file names, keywords in `dovecot-keywords`, internal dates are the files' dates. Files that are
    /// there already are kept, so that an export can be resumed or brought up to date. Gives the number of messages.
    ///
    /// # Errors
    /// If a file can not be written or a message not be read; [`MailError::Cancelled`].
    pub fn export_maildir(
        &self,
        account: RealmId,
        target: &Path,
        cancel: Option<&AtomicBool>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<u64, TransferError> {
        let mut exporting = Exporting { mail: self, account, cancel, progress: Progress::default(), tell };
        let mailboxes = self.mailboxes(account)?;
        for mailbox in &mailboxes {
            exporting.progress.total_bytes += mailbox.size;
        }
        for mailbox in mailboxes {
            let mut folder = maildir::Folder::create(target, &mailbox)?;
            exporting.each(mailbox.id, |exporting, entry| folder.write(exporting, entry))?;
            folder.finish()?;
        }
        Ok(exporting.progress.messages)
    }
}

impl Exporting<'_> {
    fn expect(&mut self, mailbox: MailboxId) -> Result<(), TransferError> {
        let mailbox = self.mail.mailbox(self.account, mailbox)?.ok_or(MailError::MailboxGone(mailbox))?;
        self.progress.total_bytes += mailbox.size;
        Ok(())
    }

    /// Visit the messages of a mailbox by UID. Those that are expunged meanwhile are left out.
    fn each(
        &mut self,
        mailbox: MailboxId,
        mut visit: impl FnMut(&mut Self, &MessageEntry) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let view = self.mail.view(self.account, mailbox)?;
        for uids in view.uids().chunks(MAX_ROWS_PER_COMMIT) {
            for entry in self.mail.entries(self.account, mailbox, uids)? {
                if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                    return Err(MailError::Cancelled.into());
                }
                visit(self, &entry)?;
                self.progress.bytes += entry.size;
                self.progress.messages += 1;
                (self.tell)(&self.progress);
            }
        }
        Ok(())
    }

    /// Write the bytes of a message.
    fn copy(&self, entry: &MessageEntry, out: &mut impl Write, path: &Path) -> Result<(), TransferError> {
        let mut body = self.mail.body(self.account, entry.email_id)?;
        let written = io::copy(&mut body, out).map_err(file_error(path))?;
        if written != entry.size {
            let what = format!("message {} has {written} bytes instead of {}", entry.email_id, entry.size);
            return Err(MailError::Damaged(what).into());
        }
        Ok(())
    }
}
