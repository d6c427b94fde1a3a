//! Reading Maildirs: folders, files, flags.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{TransferError, file_error};
use crate::{Flags, Keyword, MailboxName, SystemFlag};

/// Largest `dovecot-keywords` file that is read.
const MAX_KEYWORDS_FILE: u64 = 64 * 1024;

/// Deepest plain folder that is looked into.
const MAX_DEPTH: usize = 32;
/// A folder's own name, where the name of the directory had to be shortened: written by an export.
pub(crate) const NAME_FILE: &str = "holdfast-mailbox";
/// Largest such file that is read.
const MAX_NAME_FILE: u64 = 4 * 1024;

/// What a Maildir holds.
pub(super) struct Maildir {
    /// Itself first, then its folders by name.
    pub folders: Vec<Folder>,
    /// What could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// A folder of a Maildir.
pub(super) struct Folder {
    pub path: PathBuf,
    /// Parts of its name, decoded; none for the Maildir itself.
    parts: Vec<String>,
    /// Its messages, oldest first.
    pub files: Vec<MessageFile>,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// A message in a Maildir.
pub(super) struct MessageFile {
    pub path: PathBuf,
    /// Its unique name, without flags.
    pub base: String,
    /// What its name says; `None` if it says nothing.
    pub flags: Option<Flags>,
    pub date_ms: i64,
    pub size: u64,
}

impl Folder {
    /// The mailbox that it becomes, and whether that has the folder's very name.
    pub fn mailbox(&self, into: Option<&MailboxName>) -> (MailboxName, bool) {
        if self.parts.is_empty() {
            return (into.cloned().unwrap_or_else(MailboxName::inbox), true);
        }
        let above = into.map_or("", MailboxName::as_str).split('/').filter(|part| !part.is_empty());
        let name = MailboxName::near(above.chain(self.parts.iter().map(String::as_str)));
        let name = name.unwrap_or_else(MailboxName::inbox);
        let leaf = self.parts.join("/");
        let as_it_is = MailboxName::new(&leaf).is_ok_and(|own| match into {
            Some(into) => name.as_str() == format!("{into}/{leaf}"),
            None => own == name,
        });
        (name, as_it_is)
    }
}

/// Look at all of a Maildir: itself, its `.a.b` folders, and plain folders below it.
///
/// # Errors
/// If it is none, or can't be read at all.
pub(super) fn read(root: &Path) -> Result<Maildir, TransferError> {
    let mut found = BTreeMap::new();
    let mut maildir = Maildir { folders: Vec::new(), unreadable: Vec::new() };
    if is_folder(root) {
        found.insert(Vec::new(), root.to_owned());
    }
    let items = fs::read_dir(root).map_err(file_error(root))?;
    maildir.look(items, &[], &mut found);
    if found.is_empty() {
        let reason = "a Maildir has the folders \u{201c}cur\u{201d} and \u{201c}new\u{201d}";
        return Err(TransferError::Format { path: root.to_owned(), reason });
    }
    for (parts, path) in found {
        let folder = maildir.folder(&path, parts);
        maildir.folders.push(folder);
    }
    Ok(maildir)
}

fn is_folder(path: &Path) -> bool {
    path.join("cur").is_dir() || path.join("new").is_dir()
}

impl Maildir {
    fn skip(&mut self, path: &Path, why: impl ToString) {
        self.unreadable.push((path.to_owned(), why.to_string()));
    }

    /// Collects the folders among `items`, whose own name is `above`.
    fn look(&mut self, items: fs::ReadDir, above: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
        for item in items.flatten() {
            let path = item.path();
            // A link could lead round in a circle, or out of here.
            if !item.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = item.file_name().to_string_lossy().into_owned();
            if above.is_empty()
                && let Some(name) = name.strip_prefix('.')
            {
                if is_folder(&path) {
                    let parts = own_name(&path).unwrap_or_else(|| name.split('.').map(decode_part).collect());
                    found.insert(parts, path);
                }
                continue;
            }
            if matches!(&*name, "cur" | "new" | "tmp") || name.starts_with('.') {
                continue;
            }
            // Thunderbird keeps what is below `a` in `a.sbd`.
            let part = decode_part(name.strip_suffix(".sbd").unwrap_or(&name));
            let parts = own_name(&path).unwrap_or_else(|| [above, &[part]].concat());
            if is_folder(&path) {
                found.insert(parts.clone(), path.clone());
            }
            if parts.len() >= MAX_DEPTH {
                self.skip(&path, format!("it is more than {MAX_DEPTH} folders deep"));
                continue;
            }
            match fs::read_dir(&path) {
                Ok(items) => self.look(items, &parts, found),
                Err(error) => self.skip(&path, error),
            }
        }
    }

    fn folder(&mut self, path: &Path, parts: Vec<String>) -> Folder {
        let keywords = keywords(path);
        let mut files = Vec::new();
        for part in ["cur", "new"] {
            let path = path.join(part);
            if !path.is_dir() {
                continue;
            }
            let items = match fs::read_dir(&path) {
                Ok(items) => items,
                Err(error) => {
                    self.skip(&path, error);
                    continue;
                }
            };
            for item in items {
                match item.and_then(|item| Ok((item.path(), item.file_name(), fs::metadata(item.path())?))) {
                    Ok((path, name, metadata)) => {
                        let file = message(path, &name.to_string_lossy(), &metadata, &keywords);
                        // What lies in `new` has been seen by nobody.
                        let unseen = |file| MessageFile { flags: Some(Flags::NONE), ..file };
                        files.extend(if part == "new" { file.map(unseen) } else { file });
                    }
                    Err(error) => self.skip(&path, error),
                }
            }
        }
        files.sort_by(|a, b| (a.date_ms, &a.base).cmp(&(b.date_ms, &b.base)));
        let bytes = files.iter().map(|file| file.size).sum();
        Folder { path: path.to_owned(), parts, files, bytes }
    }
}

/// The name that an export wrote into the folder, since the directory's is shorter.
fn own_name(folder: &Path) -> Option<Vec<String>> {
    let path = folder.join(NAME_FILE);
    if fs::metadata(&path).ok()?.len() > MAX_NAME_FILE {
        return None;
    }
    let name = MailboxName::new(fs::read_to_string(path).ok()?.trim_end_matches(['\r', '\n'])).ok()?;
    Some(name.as_str().split('/').map(str::to_owned).collect())
}

/// The message in a file, if it is one.
fn message(
    path: PathBuf,
    name: &str,
    metadata: &fs::Metadata,
    keywords: &BTreeMap<char, Keyword>,
) -> Option<MessageFile> {
    if name.starts_with('.') || !metadata.is_file() {
        return None;
    }
    // Where `:` can't stand in a name, programs write `!2,`, `;2,` or `-2,`.
    let info = [":2,", "!2,", ";2,", "-2,"].iter().find_map(|mark| name.split_once(mark));
    let (base, flags) = info.map_or((name, None), |(base, letters)| (base, Some(read_flags(letters, keywords))));
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let date_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Some(MessageFile { path, base: base.to_owned(), flags, date_ms, size: metadata.len() })
}

/// A part of a folder's name: modified UTF-7, with a dot written as `&AC4-`.
fn decode_part(part: &str) -> String {
    // A dot needs no encoding by itself, so a strict decoder would not take it.
    let parts: Vec<String> = part
        .split("&AC4-")
        .map(|piece| mailkit::charset::decode_mutf7(piece).unwrap_or_else(|| piece.to_owned()))
        .collect();
    parts.join(".")
}

/// Letters of the flags in a file's name.
pub(crate) const LETTERS: [(char, SystemFlag); 5] = [
    ('D', SystemFlag::Draft),
    ('F', SystemFlag::Flagged),
    ('R', SystemFlag::Answered),
    ('S', SystemFlag::Seen),
    ('T', SystemFlag::Deleted),
];

fn read_flags(letters: &str, keywords: &BTreeMap<char, Keyword>) -> Flags {
    let mut flags = Flags::NONE;
    for letter in letters.chars() {
        if let Some((_, flag)) = LETTERS.iter().find(|(known, _)| *known == letter) {
            flags.insert(*flag);
        }
        let passed = (letter == 'P').then(|| Keyword::new("$Forwarded").ok()).flatten();
        if let Some(keyword) = passed.or_else(|| keywords.get(&letter).cloned()) {
            // At most 27 can be told by letters, which is below the limit.
            _ = flags.insert_keyword(keyword);
        }
    }
    flags
}

/// What the small letters mean: lines `0 $Junk` in a file that Dovecot keeps, 0 for `a`.
fn keywords(folder: &Path) -> BTreeMap<char, Keyword> {
    let path = folder.join("dovecot-keywords");
    if fs::metadata(&path).map_or(u64::MAX, |metadata| metadata.len()) > MAX_KEYWORDS_FILE {
        return BTreeMap::new();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let line = |line: &str| {
        let (number, name) = line.split_once(' ')?;
        let letter = char::from(b'a'.checked_add(number.parse().ok().filter(|n| *n < 26)?)?);
        Some((letter, Keyword::new(name.trim()).ok()?))
    };
    text.lines().filter_map(line).collect()
}
