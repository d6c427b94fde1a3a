//! Reading Maildirs: folders, files, flags.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{TransferError, file_error};
use crate::{Flags, Keyword, MailError, MailboxName, SystemFlag};

/// Largest `dovecot-keywords` file that is read.
const MAX_KEYWORDS_FILE: u64 = 64 * 1024;

/// A folder of a Maildir++.
pub(super) struct Folder {
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
    pub flags: Flags,
    pub date_ms: i64,
    pub size: u64,
}

impl Folder {
    /// The mailbox that it becomes.
    pub fn mailbox(&self, into: Option<&MailboxName>) -> Result<MailboxName, MailError> {
        if self.parts.is_empty() {
            return Ok(into.cloned().unwrap_or_else(MailboxName::inbox));
        }
        // What can not stand in a name becomes a low line.
        let clean = |part: &String| {
            let part = part.replace(['/', '%', '*'], "_");
            part.chars().map(|c| if c.is_control() { '_' } else { c }).collect::<String>().trim().to_owned()
        };
        let parts: Vec<String> = into.iter().map(ToString::to_string).chain(self.parts.iter().map(clean)).collect();
        MailboxName::new(&parts.join("/"))
    }
}

/// All folders of a Maildir, itself first, then those below it by name.
pub(super) fn folders(root: &Path) -> Result<Vec<Folder>, TransferError> {
    if !root.join("cur").is_dir() && !root.join("new").is_dir() {
        let reason = "a Maildir has the folders \u{201c}cur\u{201d} and \u{201c}new\u{201d}";
        return Err(TransferError::Format { path: root.to_owned(), reason });
    }
    let mut found = BTreeMap::from([(Vec::new(), root.to_owned())]);
    for item in fs::read_dir(root).map_err(file_error(root))? {
        let path = item.map_err(file_error(root))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_prefix('.').filter(|name| !name.is_empty() && *name != ".") else { continue };
        if path.join("cur").is_dir() || path.join("new").is_dir() {
            found.insert(name.split('.').map(decode_part).collect(), path);
        }
    }
    found.into_iter().map(|(parts, path)| folder(&path, parts)).collect()
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

fn folder(path: &Path, parts: Vec<String>) -> Result<Folder, TransferError> {
    let keywords = keywords(path);
    let mut files = Vec::new();
    for (part, seen) in [("cur", true), ("new", false)] {
        let path = path.join(part);
        if !path.is_dir() {
            continue;
        }
        for item in fs::read_dir(&path).map_err(file_error(&path))? {
            let item = item.map_err(file_error(&path))?;
            let name = item.file_name().to_string_lossy().into_owned();
            let Ok(metadata) = item.metadata() else { continue };
            if name.starts_with('.') || !metadata.is_file() {
                continue;
            }
            let (base, flags) = name.split_once(":2,").unwrap_or((&name, ""));
            let flags = if seen { read_flags(flags, &keywords) } else { Flags::NONE };
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let date_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
            files.push(MessageFile { path: item.path(), base: base.to_owned(), flags, date_ms, size: metadata.len() });
        }
    }
    files.sort_by(|a, b| (a.date_ms, &a.base).cmp(&(b.date_ms, &b.base)));
    let bytes = files.iter().map(|file| file.size).sum();
    Ok(Folder { parts, files, bytes })
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
