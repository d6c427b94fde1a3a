//! Writing Maildir++ folders.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::{Exporting, file_name};
use crate::import::{LETTERS, NAME_FILE, TransferError, file_error};
use crate::{Flags, Keyword, Mailbox, MessageEntry};

/// A folder being written.
pub(super) struct Folder {
    path: PathBuf,
    /// Its name stands in a file, since the directory's is shorter.
    shortened: bool,
    uid_validity: u32,
    /// Letters given to keywords: `a` for the first.
    keywords: Vec<Keyword>,
    /// Files that are there already, by their name without flags.
    there: BTreeMap<String, PathBuf>,
}

impl Folder {
    /// Make the folder of a mailbox, if it is not there yet.
    pub fn create(root: &Path, mailbox: &Mailbox) -> Result<Self, TransferError> {
        let (path, shortened) = if mailbox.name.is_inbox() {
            (root.to_owned(), false)
        } else {
            let part = |part: &str| mailkit::charset::encode_mutf7(part).replace('.', "&AC4-");
            let parts: Vec<String> = mailbox.name.as_str().split('/').map(part).collect();
            let plain = format!(".{}", parts.join("."));
            let name = file_name(&plain);
            (root.join(name.as_ref()), name != plain)
        };
        for part in ["tmp", "new", "cur"] {
            let path = path.join(part);
            fs::create_dir_all(&path).map_err(file_error(&path))?;
        }
        if !mailbox.name.is_inbox() {
            let mark = path.join("maildirfolder");
            File::create(&mark).map_err(file_error(&mark))?;
        }
        if shortened {
            let own = path.join(NAME_FILE);
            fs::write(&own, format!("{}\n", mailbox.name)).map_err(file_error(&own))?;
        }
        let mut there = BTreeMap::new();
        let cur = path.join("cur");
        for item in fs::read_dir(&cur).map_err(file_error(&cur))? {
            let item = item.map_err(file_error(&cur))?;
            if let Ok(name) = item.file_name().into_string() {
                there.insert(name.split(":2,").next().unwrap_or(&name).to_owned(), item.path());
            }
        }
        Ok(Self { path, shortened, uid_validity: mailbox.uid_validity, keywords: Vec::new(), there })
    }

    /// Whether the directory has a shorter name than the mailbox.
    pub fn is_shortened(&self) -> bool {
        self.shortened
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Write a message: beside first, then into its place, so that a file that is there is whole.
    pub fn write(&mut self, exporting: &Exporting<'_>, entry: &MessageEntry) -> Result<(), TransferError> {
        let seconds = entry.internal_date_ms.div_euclid(1000);
        let base = format!("{seconds}.V{}U{}.holdfast,S={}", self.uid_validity, entry.uid, entry.size);
        let target = self.path.join("cur").join(format!("{base}:2,{}", self.letters(&entry.flags)));
        if let Some(there) = self.there.get(&base) {
            if *there != target {
                fs::rename(there, &target).map_err(file_error(&target))?;
            }
            return Ok(());
        }
        let partial = self.path.join("tmp").join(&base);
        let mut out = BufWriter::new(File::create(&partial).map_err(file_error(&partial))?);
        exporting.copy(entry, &mut out, &partial)?;
        let file = out.into_inner().map_err(|e| file_error(&partial)(e.into_error()))?;
        let since = Duration::from_millis(entry.internal_date_ms.max(0).cast_unsigned());
        file.set_modified(UNIX_EPOCH + since).map_err(file_error(&partial))?;
        fs::rename(&partial, &target).map_err(file_error(&target))
    }

    /// Write what the letters of keywords mean.
    pub fn finish(self) -> Result<(), TransferError> {
        if self.keywords.is_empty() {
            return Ok(());
        }
        let path = self.path.join("dovecot-keywords");
        let mut text = Vec::new();
        for (number, keyword) in self.keywords.iter().enumerate() {
            writeln!(text, "{number} {keyword}").map_err(file_error(&path))?;
        }
        fs::write(&path, text).map_err(file_error(&path))
    }

    /// The letters of flags, sorted as the format wants it. The 27th keyword of a folder and later ones have none.
    fn letters(&mut self, flags: &Flags) -> String {
        let mut letters: Vec<char> =
            LETTERS.iter().filter(|(_, flag)| flags.contains(*flag)).map(|(letter, _)| *letter).collect();
        for keyword in flags.keywords() {
            if keyword.as_str() == "$Forwarded" {
                letters.push('P');
                continue;
            }
            let known = self.keywords.iter().position(|known| known == keyword);
            let number = known.unwrap_or_else(|| {
                if self.keywords.len() < 26 {
                    self.keywords.push(keyword.clone());
                }
                self.keywords.iter().position(|known| known == keyword).unwrap_or(26)
            });
            if number < 26 {
                letters.push(char::from(b'a' + number as u8));
            }
        }
        letters.sort_unstable();
        letters.into_iter().collect()
    }
}
