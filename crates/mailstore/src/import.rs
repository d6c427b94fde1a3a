//! Importing mail from files: mbox and Maildir.
//!
//! An import can be stopped at any time and started again: each message has a delivery key made from its bytes and its
//! target, so nothing is filed twice; the key is remembered for [`IMPORT_KEY_DAYS`] days. A message that was deleted in
//! the meantime is not imported again, unless [`ImportOptions::again`] is set.

mod from_line;
mod gmail;
mod maildir;
pub mod mbox;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use store::{Read, RealmId};

use crate::schema::{IMPORT_KEY_DAYS, key};
use crate::{Flags, MailError, MailStore, MailboxId, MailboxName, NewMessage};
use gmail::Target;

pub use from_line::from_line;
pub(crate) use maildir::{LETTERS, NAME_FILE};

/// Largest message that is imported.
pub const MAX_IMPORTED_BYTES: u64 = 256 * 1024 * 1024;
/// Skipped messages that are told by name; further ones are counted only.
pub const MAX_SKIPS_TOLD: usize = 1_000;
/// Messages filed by one commit.
const BATCH_MESSAGES: usize = 64;
/// Bytes filed by one commit, unless a single message has more.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// What to do with line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// Every byte stays.
    #[default]
    Keep,
    /// A message whose lines all end with LF alone, as Unix programs write their files, gets CRLF: what it had on its
    /// way through the network and what IMAP clients expect. Other messages stay.
    Network,
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions<'a> {
    /// What to do with line ends.
    pub line_ends: LineEnds,
    /// Import messages again although an earlier import did.
    pub again: bool,
    /// File it even if the quota is used up.
    pub ignore_quota: bool,
    /// Of an mbox file by Gmail's export: file each message where its labels say that it lay.
    pub follow_labels: bool,
    /// Set it to stop: the import ends with [`MailError::Cancelled`], what was filed stays.
    pub cancel: Option<&'a AtomicBool>,
}

/// How far an import or export has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read or written of the sources' `total_bytes`.
    pub bytes: u64,
    /// How many there are in all, if that is known.
    pub total_bytes: u64,
    /// Messages done.
    pub messages: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages filed.
    pub filed: u64,
    /// Messages that an earlier import had filed.
    pub known: u64,
    /// Messages left out since their owner had deleted them: Thunderbird keeps them in the file until it compacts it.
    pub deleted: u64,
    /// Labels and keywords of messages that could not be kept: no name of a mailbox or keyword, or too many.
    pub lost_labels: u64,
    /// Folders filed under another name than their own, which can't be a mailbox's; at most [`MAX_SKIPS_TOLD`].
    pub renamed: Vec<(PathBuf, MailboxName)>,
    /// Messages and folders left out, and why; at most [`MAX_SKIPS_TOLD`] of them are told.
    pub skipped: u64,
    /// Where those were, and what was wrong.
    pub skips: Vec<(PathBuf, String)>,
}

/// Why an import or export ended early. What was done until then stays done; begin again to go on.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A file or folder can not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {reason}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What was expected.
        reason: &'static str,
    },
    /// The mail could not be filed or read.
    #[error(transparent)]
    Mail(#[from] MailError),
}

impl From<store::StoreError> for TransferError {
    fn from(error: store::StoreError) -> Self {
        Self::Mail(error.into())
    }
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> TransferError {
    let path = path.to_owned();
    move |source| TransferError::File { path, source }
}

/// A message found in a source.
struct Found {
    bytes: Vec<u8>,
    flags: Flags,
    internal_date_ms: i64,
    /// Tells apart what has the same bytes.
    label: Vec<u8>,
    /// For telling where it was.
    at: PathBuf,
}

/// Files messages in batches.
struct Filing<'a> {
    mail: &'a MailStore,
    account: RealmId,
    options: ImportOptions<'a>,
    report: Imported,
    batch: Vec<(MailboxId, NewMessage)>,
    batch_bytes: u64,
    /// Mailboxes that labels named.
    targets: HashMap<Target, MailboxId>,
    progress: Progress,
    tell: &'a mut dyn FnMut(&Progress),
}

impl MailStore {
    /// Import an mbox file into a mailbox, or a file that holds one message (`.eml`). Understands the mboxrd and mboxo
    /// ways of quoting `From ` lines; flags come from the fields in which mutt, Dovecot, Thunderbird and Gmail keep them.
    /// Blocks: call it on a blocking thread, never within a task. `tell` is called after each message.
    ///
    /// # Errors
    /// If the file can't be read or holds no message, if the mail can't be filed, [`MailError::OverQuota`] among it.
    pub fn import_mbox(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        source: &Path,
        options: ImportOptions<'_>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Imported, TransferError> {
        let mut filing = Filing::new(self, account, options, tell);
        let name = filing.name_of(mailbox)?;
        let file = fs::File::open(source).map_err(file_error(source))?;
        filing.progress.total_bytes = file.metadata().map_err(file_error(source))?.len();
        let mut reader = mbox::Reader::new(io::BufReader::with_capacity(1 << 16, file), MAX_IMPORTED_BYTES);
        // Messages that are the same byte for byte are told apart by their number.
        let mut seen: HashMap<blake3::Hash, u64> = HashMap::new();
        loop {
            let message = match reader.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(mbox::Error::NoFromLine) => single(source)?,
                Err(mbox::Error::TooLarge { offset }) => {
                    let why = format!("the message at byte {offset} is larger than {MAX_IMPORTED_BYTES} bytes");
                    filing.skip(source.to_owned(), why);
                    continue;
                }
                Err(mbox::Error::Io(error)) => return Err(file_error(source)(error)),
            };
            filing.progress.bytes = message.end;
            let kept = mbox::kept_of(&message.bytes);
            filing.report.lost_labels += kept.lost;
            if kept.deleted {
                filing.report.deleted += 1;
                continue;
            }
            let nth = seen.entry(blake3::hash(&message.bytes)).or_default();
            let label = [b"mbox\0".as_slice(), name.as_str().as_bytes(), &nth.to_be_bytes()].concat();
            *nth += 1;
            let date = message.date_ms.or_else(|| mbox::date_of(&message.bytes));
            let internal_date_ms = date.unwrap_or_else(|| self.store().clock().now_ms());
            let target = match kept.target {
                Some(target) if options.follow_labels => filing.target(target, mailbox)?,
                _ => mailbox,
            };
            let at = source.to_owned();
            filing.file(target, Found { bytes: message.bytes, flags: kept.flags, internal_date_ms, label, at })?;
        }
        filing.finish()
    }

    /// Import a Maildir with its subfolders, of Maildir++ (`.a.b`) or as plain folders (`a/b`). The folder itself goes to
    /// `into` (INBOX, if `None`), a subfolder to the mailbox `a/b`, made if need be, below `into` if that is given; a name
    /// that can't be a mailbox's becomes a near one ([`MailboxName::near`]). Flags come from the file names, or else from
    /// the fields in which Thunderbird keeps them; keywords from `dovecot-keywords` files, dates from the files. A folder
    /// or message that can't be read is left out and told. Blocks: call it on a blocking thread, never within a task.
    /// `tell` is called after each message.
    ///
    /// # Errors
    /// If it is no Maildir, if the mail can't be filed, [`MailError::OverQuota`] among it.
    pub fn import_maildir(
        &self,
        account: RealmId,
        into: Option<&MailboxName>,
        source: &Path,
        options: ImportOptions<'_>,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<Imported, TransferError> {
        let mut filing = Filing::new(self, account, options, tell);
        let maildir::Maildir { folders, unreadable } = maildir::read(source)?;
        for (path, why) in unreadable {
            filing.skip(path, why);
        }
        for folder in &folders {
            filing.progress.total_bytes += folder.bytes;
        }
        for folder in folders {
            let (name, as_it_is) = folder.mailbox(into);
            let mailbox = match filing.mailbox(&name) {
                Ok(mailbox) => mailbox,
                Err(TransferError::Mail(error)) if is_of_one_folder(&error) => {
                    filing.skip(folder.path, error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !as_it_is && filing.report.renamed.len() < MAX_SKIPS_TOLD {
                filing.report.renamed.push((folder.path.clone(), name.clone()));
            }
            for file in &folder.files {
                filing.progress.bytes += file.size;
                if file.size > MAX_IMPORTED_BYTES {
                    filing.skip(file.path.clone(), format!("it is larger than {MAX_IMPORTED_BYTES} bytes"));
                    continue;
                }
                let bytes = match fs::read(&file.path) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        filing.skip(file.path.clone(), error.to_string());
                        continue;
                    }
                };
                let label = [b"maildir\0", name.as_str().as_bytes(), b"\0", file.base.as_bytes()].concat();
                let flags = match &file.flags {
                    Some(flags) => flags.clone(),
                    // Thunderbird's Maildirs say nothing in the names.
                    None => {
                        let kept = mbox::kept_of(&bytes);
                        if kept.deleted {
                            filing.report.deleted += 1;
                            continue;
                        }
                        filing.report.lost_labels += kept.lost;
                        kept.flags
                    }
                };
                let (internal_date_ms, at) = (file.date_ms, file.path.clone());
                filing.file(mailbox, Found { bytes, flags, internal_date_ms, label, at })?;
            }
        }
        filing.finish()
    }
}

impl<'a> Filing<'a> {
    fn new(
        mail: &'a MailStore,
        account: RealmId,
        options: ImportOptions<'a>,
        tell: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        Self {
            mail,
            account,
            options,
            report: Imported::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            targets: HashMap::new(),
            progress: Progress::default(),
            tell,
        }
    }

    fn name_of(&self, mailbox: MailboxId) -> Result<MailboxName, TransferError> {
        Ok(self.mail.mailbox(self.account, mailbox)?.ok_or(MailError::MailboxGone(mailbox))?.name)
    }

    /// The mailbox of that name, made if need be.
    fn mailbox(&self, name: &MailboxName) -> Result<MailboxId, TransferError> {
        let (mail, account, name) = (self.mail.clone(), self.account, name.clone());
        let found: crate::Result<MailboxId> = self
            .mail
            .store()
            .transact(move |tx| match mail.mailbox_by_name_in(tx, account, &name)? {
                Some(mailbox) => Ok(mailbox.id),
                None => mail.create_mailbox_in(tx, account, &name, None),
            })
            .wait();
        Ok(found?)
    }

    /// The mailbox where labels say that a message lay; `otherwise`, if the account has none of that role.
    fn target(&mut self, target: Target, otherwise: MailboxId) -> Result<MailboxId, TransferError> {
        if let Some(known) = self.targets.get(&target) {
            return Ok(*known);
        }
        let mailbox = match &target {
            Target::Role(role) => {
                let mailboxes = self.mail.mailboxes(self.account)?;
                mailboxes.iter().find(|mailbox| mailbox.role == Some(*role)).map_or(otherwise, |mailbox| mailbox.id)
            }
            Target::Named(name) => match self.mailbox(name) {
                Ok(mailbox) => mailbox,
                Err(TransferError::Mail(error)) if is_of_one_folder(&error) => {
                    self.report.lost_labels += 1;
                    otherwise
                }
                Err(error) => return Err(error),
            },
        };
        self.targets.insert(target, mailbox);
        Ok(mailbox)
    }

    fn skip(&mut self, at: PathBuf, why: String) {
        self.report.skipped += 1;
        if self.report.skips.len() < MAX_SKIPS_TOLD {
            self.report.skips.push((at, why));
        }
    }

    fn file(&mut self, mailbox: MailboxId, found: Found) -> Result<(), TransferError> {
        if self.options.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(MailError::Cancelled.into());
        }
        self.progress.messages += 1;
        (self.tell)(&self.progress);
        let hash = blake3::hash(&found.bytes);
        let mut delivery_key = [b"import\0", hash.as_bytes().as_slice(), &found.label].concat();
        if self.options.again {
            // A key that no import had before, nor any will have.
            delivery_key.extend_from_slice(&self.mail.store().clock().now_ms().to_be_bytes());
            delivery_key.extend_from_slice(&self.progress.messages.to_be_bytes());
        }
        // Looked at before staging: a second run writes nothing.
        let at = key::delivery(blake3::hash(&delivery_key).as_bytes());
        if self.mail.store().snapshot().get(self.account, &at)?.is_some() {
            self.report.known += 1;
            return Ok(());
        }
        let bytes = match self.options.line_ends {
            LineEnds::Keep => Cow::Borrowed(found.bytes.as_slice()),
            LineEnds::Network => with_network_line_ends(&found.bytes),
        };
        let body = match self.mail.stage(&bytes) {
            Ok(body) => body,
            Err(MailError::Store(store::StoreError::TooLarge { .. })) => {
                self.skip(found.at, "it is too large for the store".into());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let message = NewMessage {
            body,
            parsed: Arc::new(mailkit::parse(&bytes)),
            flags: found.flags,
            internal_date_ms: found.internal_date_ms,
            delivery_key: Some(delivery_key),
            ignore_quota: self.options.ignore_quota,
        };
        self.batch_bytes += bytes.len() as u64;
        self.batch.push((mailbox, message));
        if self.batch.len() >= BATCH_MESSAGES || self.batch_bytes >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), TransferError> {
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.batch_bytes = 0;
        let (mail, account, filing) = (self.mail.clone(), self.account, Arc::clone(&batch));
        let filed: crate::Result<u64> = self
            .mail
            .store()
            .transact(move |tx| {
                let mut filed = 0;
                for (mailbox, message) in filing.iter() {
                    let done = mail.append_keeping_key(tx, account, *mailbox, message, IMPORT_KEY_DAYS)?;
                    filed += u64::from(!done.duplicate);
                }
                Ok(filed)
            })
            .wait();
        let filed = filed?;
        self.report.filed += filed;
        self.report.known += batch.len() as u64 - filed;
        Ok(())
    }

    fn finish(mut self) -> Result<Imported, TransferError> {
        if !self.batch.is_empty() {
            self.commit()?;
        }
        (self.tell)(&self.progress);
        Ok(self.report)
    }
}

/// Whether an error is about a folder alone: what lies in others can still be filed.
fn is_of_one_folder(error: &MailError) -> bool {
    matches!(error, MailError::BadName { .. } | MailError::TooManyMailboxes(_) | MailError::Forbidden(_))
}

/// A file that is one message: it begins with a header field.
fn single(source: &Path) -> Result<mbox::MboxMessage, TransferError> {
    let reason = "it is neither an mbox file (which starts with a line \u{201c}From sender date\u{201d}) nor a message";
    let wrong = || TransferError::Format { path: source.to_owned(), reason };
    let size = fs::metadata(source).map_err(file_error(source))?.len();
    if size > MAX_IMPORTED_BYTES {
        return Err(wrong());
    }
    let bytes = fs::read(source).map_err(file_error(source))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map_or_else(|| bytes.clone(), <[u8]>::to_vec);
    if !mbox::is_field(&bytes) {
        return Err(wrong());
    }
    Ok(mbox::MboxMessage { bytes, date_ms: None, end: size })
}

/// CRLF for every LF, if there is no CR at all.
fn with_network_line_ends(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.contains(&b'\r') || !bytes.contains(&b'\n') {
        return Cow::Borrowed(bytes);
    }
    let mut with_cr = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                with_cr.extend_from_slice(text);
                with_cr.extend_from_slice(b"\r\n");
            }
            None => with_cr.extend_from_slice(line),
        }
    }
    Cow::Owned(with_cr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_with_unix_line_ends_get_network_ones() {
        assert_eq!(&*with_network_line_ends(b"a: b\n\nc"), b"a: b\r\n\r\nc");
        for kept in [b"a\r\nb\n".as_slice(), b"a\rb\n", b"no line end", b""] {
            assert_eq!(&*with_network_line_ends(kept), kept);
        }
    }
}
