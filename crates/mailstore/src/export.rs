//! Writing mail to files: mbox and Maildir, every message byte for byte.

mod maildir;
mod mbox;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use store::{RealmId, StoreError};

use crate::import::{Progress, TransferError, file_error, from_line};
use crate::name::shortened;
use crate::{MAX_ROWS_PER_COMMIT, MailError, MailStore, Mailbox, MailboxId, MailboxName, MessageEntry};

pub use mbox::FromQuoter;

/// Mailboxes and messages left out that are told by name; further ones are counted only.
pub const MAX_SKIPS_TOLD: usize = 1_000;

/// What an export did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Messages written, or there already.
    pub written: u64,
    /// Mailboxes that stand under a shorter name than their own, and where.
    pub shortened: Vec<(MailboxName, PathBuf)>,
    /// Messages and mailboxes left out.
    pub skipped: u64,
    /// Which, and why; at most [`MAX_SKIPS_TOLD`] of them.
    pub skips: Vec<(String, String)>,
}

impl Exported {
    fn skip(&mut self, what: String, why: &impl ToString) {
        self.skipped += 1;
        if self.skips.len() < MAX_SKIPS_TOLD {
            self.skips.push((what, why.to_string()));
        }
    }
}

/// An export under way.
struct Exporting<'a> {
    mail: &'a MailStore,
    account: RealmId,
    cancel: Option<&'a AtomicBool>,
    progress: Progress,
    report: Exported,
    tell: &'a mut dyn FnMut(&Progress),
}

/// Longest name of a file or folder that we make, in bytes: file systems take 255, and ` .partial` and the like must
/// still fit.
const MAX_FILE_NAME: usize = 200;

/// `name`, if a file can have it; else its beginning and a hash of the whole, so that two names stay two.
fn file_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_FILE_NAME {
        return Cow::Borrowed(name);
    }
    Cow::Owned(shortened(name, MAX_FILE_NAME, 12))
}

/// Whether what went wrong with one mailbox goes wrong with all of them.
fn is_of_all(error: &TransferError) -> bool {
    match error {
        TransferError::File { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
        ),
        TransferError::Mail(MailError::Cancelled | MailError::Store(_)) => !is_unreadable(error),
        TransferError::Mail(_) | TransferError::Format { .. } => false,
    }
}

/// Whether an error is about the bytes of one message.
fn is_unreadable(error: &TransferError) -> bool {
    use StoreError::{BodyDamaged, BodyMissing, Damaged};
    let TransferError::Mail(error) = error else { return false };
    matches!(
        error,
        MailError::Damaged(_)
            | MailError::NoSuchEmail(_)
            | MailError::Store(BodyMissing { .. } | BodyDamaged { .. } | Damaged { .. })
    )
}

impl MailStore {
    /// Write mailboxes to mbox files (mboxrd: lines that look like `From ` lines are quoted so that they can be unquoted
    /// without loss), each to `NAME.mbox` in the folder `target`, levels joined by dots; `only` one of them, if asked.
    /// Flags are not kept: they would have to stand in the messages. A file is complete or not there: it is written
    /// beside and renamed. What can't be read or written is left out and told; all else is written.
    ///
    /// # Errors
    /// If nothing more can be written at all; [`MailError::Cancelled`].
    pub fn export_mboxes(
        &self,
        account: RealmId,
        target: &Path,
        only: Option<MailboxId>,
        cancel: Option<&AtomicBool>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Exported, TransferError> {
        let mut exporting = Exporting::new(self, account, cancel, tell);
        let mut mailboxes = self.mailboxes(account)?;
        mailboxes.retain(|mailbox| only.is_none_or(|only| mailbox.id == only));
        // `a/b` and `a.b` are two mailboxes and would be one file; so would `A` and `a` where case does not count.
        let mut taken = HashSet::new();
        exporting.all(&mailboxes, |exporting, mailbox| {
            let plain = mailbox.name.as_str().replace('/', ".");
            let mut name = file_name(&plain);
            if !taken.insert(name.to_lowercase()) {
                name = Cow::Owned(format!("{name}~{}", mailbox.id));
                taken.insert(name.to_lowercase());
            }
            let file = target.join(format!("{name}.mbox"));
            exporting.mbox(mailbox, &file)?;
            if name != plain {
                exporting.report.shortened.push((mailbox.name.clone(), file));
            }
            Ok(())
        })?;
        Ok(exporting.report)
    }

    /// Write all mailboxes to a Maildir with Maildir++ subfolders: INBOX to the folder itself, `a/b` to `.a.b`. Flags
    /// stand in the file names, keywords in `dovecot-keywords`, internal dates are the files' dates. A name that is too
    /// long for a folder is shortened, and stands whole in a file `holdfast-mailbox` in it, which an import reads. Files
    /// that are there already are kept, so that an export can be resumed or brought up to date. What can't be read or
    /// written is left out and told; all else is written.
    ///
    /// # Errors
    /// If nothing more can be written at all; [`MailError::Cancelled`].
    pub fn export_maildir(
        &self,
        account: RealmId,
        target: &Path,
        cancel: Option<&AtomicBool>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Exported, TransferError> {
        let mut exporting = Exporting::new(self, account, cancel, tell);
        let mailboxes = self.mailboxes(account)?;
        exporting.all(&mailboxes, |exporting, mailbox| {
            let mut folder = maildir::Folder::create(target, mailbox)?;
            if folder.is_shortened() {
                exporting.report.shortened.push((mailbox.name.clone(), folder.path().to_owned()));
            }
            exporting.each(mailbox, |exporting, entry| folder.write(exporting, entry))?;
            folder.finish()
        })?;
        Ok(exporting.report)
    }
}

impl<'a> Exporting<'a> {
    fn new(
        mail: &'a MailStore,
        account: RealmId,
        cancel: Option<&'a AtomicBool>,
        tell: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        Self { mail, account, cancel, progress: Progress::default(), report: Exported::default(), tell }
    }

    /// Visit mailboxes; one that can't be written is left out and told.
    fn all(
        &mut self,
        mailboxes: &[Mailbox],
        mut visit: impl FnMut(&mut Self, &Mailbox) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        self.progress.total_bytes = mailboxes.iter().map(|mailbox| mailbox.size).sum();
        for mailbox in mailboxes {
            let before = self.report.written;
            match visit(self, mailbox) {
                Err(error) if is_of_all(&error) => return Err(error),
                Err(error) => {
                    self.report.written = before;
                    self.report.skip(format!("mailbox {}", mailbox.name), &error);
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn mbox(&mut self, mailbox: &Mailbox, target: &Path) -> Result<(), TransferError> {
        let partial = target.with_added_extension("partial");
        let file = fs::File::create(&partial).map_err(file_error(&partial))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        self.each(mailbox, |exporting, entry| {
            let wrong = || file_error(&partial);
            let start = out.stream_position().map_err(wrong())?;
            let written = exporting.mbox_message(entry, &mut out, &partial);
            if written.is_err() {
                // No half of a message stays.
                out.seek(io::SeekFrom::Start(start)).map_err(wrong())?;
                out.get_ref().set_len(start).map_err(wrong())?;
            }
            written
        })?;
        let file = out.into_inner().map_err(|e| file_error(&partial)(e.into_error()))?;
        file.sync_all().map_err(file_error(&partial))?;
        fs::rename(&partial, target).map_err(|error| {
            // Best effort: what is left behind is not mistaken for the whole.
            _ = fs::remove_file(&partial);
            file_error(target)(error)
        })
    }

    /// Visit the messages of a mailbox by UID. Those that are expunged meanwhile are left out; so is one that can't be
    /// read, which is told.
    fn each(
        &mut self,
        mailbox: &Mailbox,
        mut visit: impl FnMut(&mut Self, &MessageEntry) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let view = self.mail.view(self.account, mailbox.id)?;
        for uids in view.uids().chunks(MAX_ROWS_PER_COMMIT) {
            for entry in self.mail.entries(self.account, mailbox.id, uids)? {
                if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                    return Err(MailError::Cancelled.into());
                }
                match visit(self, &entry) {
                    Ok(()) => self.report.written += 1,
                    Err(error) if is_unreadable(&error) => {
                        self.report.skip(format!("mailbox {}, message {}", mailbox.name, entry.uid), &error);
                    }
                    Err(error) => return Err(error),
                }
                self.progress.bytes += entry.size;
                self.progress.messages += 1;
                (self.tell)(&self.progress);
            }
        }
        Ok(())
    }

    fn mbox_message(&self, entry: &MessageEntry, out: &mut impl Write, path: &Path) -> Result<(), TransferError> {
        let wrong = || file_error(path);
        writeln!(out, "{}", from_line(entry.internal_date_ms)).map_err(wrong())?;
        let mut quoter = FromQuoter::new(&mut *out);
        self.copy(entry, &mut quoter, path)?;
        quoter.finish().map_err(wrong())?;
        out.write_all(b"\n").map_err(wrong())
    }

    /// Write the bytes of a message.
    fn copy(&self, entry: &MessageEntry, out: &mut impl Write, path: &Path) -> Result<(), TransferError> {
        let mut body = self.mail.body(self.account, entry.email_id)?;
        let (mut written, mut piece) = (0, vec![0; 1 << 16]);
        loop {
            let read = body.read(&mut piece).map_err(|error| match error.downcast::<StoreError>() {
                Ok(error) => TransferError::from(error),
                Err(error) => file_error(path)(error),
            })?;
            if read == 0 {
                break;
            }
            out.write_all(&piece[..read]).map_err(file_error(path))?;
            written += read as u64;
        }
        if written != entry.size {
            let what = format!("message {} has {written} bytes instead of {}", entry.email_id, entry.size);
            return Err(MailError::damaged(store::Cause::Length, what).into());
        }
        Ok(())
    }
}
