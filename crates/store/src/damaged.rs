//! Damage as a value: what is damaged, where, and what shows it. Text is made of it where a person reads it.

use prost::Message as _;

use crate::{BodyId, Digest, RealmId, Seq};

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Part {
    /// Something that an older version has recorded as text.
    Unknown = 0,
    /// The log as a whole.
    Log = 1,
    /// A segment of the log.
    Segment = 2,
    /// One commit.
    Commit = 3,
    /// Commits in the form of a segment, from outside of the log.
    Run = 4,
    /// A pack of bodies.
    Pack = 5,
    /// One body.
    Body = 6,
    /// The files of the index.
    Index = 7,
    /// What the index states about the store.
    IndexEntry = 8,
    /// One record of a realm.
    Record = 9,
    /// The records of a realm together.
    Realm = 10,
    /// A checkpoint.
    Checkpoint = 11,
    /// The file that states how far the log was seen to reach.
    Witness = 12,
    /// A small file that marks the folder: its format, a restore under way.
    Mark = 13,
    /// An object of an archive.
    Object = 14,
    /// The data folder as a whole.
    Folder = 15,
}

/// What shows that something is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Cause {
    /// An older version has recorded it as text.
    Unknown = 0,
    /// The bytes do not match their checksum, seal or hash.
    Checksum = 1,
    /// A length or size that can't be.
    Length = 2,
    /// It ends too early.
    CutOff = 3,
    /// The bytes are not of the form that they should have.
    Decoding = 4,
    /// It does not follow what stands before it.
    Chain = 5,
    /// Another one is there than the one that should be.
    Order = 6,
    /// It is not there.
    Missing = 7,
    /// The records together are not what was stated of them.
    Digest = 8,
    /// It refers to something that is not there.
    Reference = 9,
    /// A rule that always holds between records does not.
    Invariant = 10,
    /// The index engine reports it.
    Engine = 11,
    /// The disk could not read it.
    Unreadable = 12,
    /// It was removed or replaced while the service was running.
    Replaced = 13,
    /// A copy of it was begun and has not ended.
    Copying = 14,
    /// No copy of it could be had for a restore.
    NotRestored = 15,
}

impl Part {
    /// A name that programs can rely on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Log => "log",
            Self::Segment => "segment",
            Self::Commit => "commit",
            Self::Run => "run",
            Self::Pack => "pack",
            Self::Body => "body",
            Self::Index => "index",
            Self::IndexEntry => "index-entry",
            Self::Record => "record",
            Self::Realm => "realm",
            Self::Checkpoint => "checkpoint",
            Self::Witness => "witness",
            Self::Mark => "mark",
            Self::Object => "object",
            Self::Folder => "folder",
        }
    }
}

impl Cause {
    /// A name that programs can rely on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Checksum => "checksum",
            Self::Length => "length",
            Self::CutOff => "cut-off",
            Self::Decoding => "decoding",
            Self::Chain => "chain",
            Self::Order => "order",
            Self::Missing => "missing",
            Self::Digest => "digest",
            Self::Reference => "reference",
            Self::Invariant => "invariant",
            Self::Engine => "engine",
            Self::Unreadable => "unreadable",
            Self::Replaced => "replaced",
            Self::Copying => "copying",
            Self::NotRestored => "not-restored",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            // What rule is broken is in the detail.
            Self::Unknown | Self::Invariant => "",
            Self::Checksum => "it does not match its checksum",
            Self::Length => "its length is impossible",
            Self::CutOff => "it is cut off",
            Self::Decoding => "it can't be decoded",
            Self::Chain => "it does not follow what stands before it",
            Self::Order => "it is not the expected one",
            Self::Missing => "it is missing",
            Self::Digest => "its records do not add up to the stated digest",
            Self::Reference => "it refers to something that does not exist",
            Self::Engine => "the index engine can't read it",
            Self::Unreadable => "the disk can't read it",
            Self::Replaced => "it was removed or replaced while the service was running",
            Self::Copying => "it is being copied again",
            Self::NotRestored => "it could not be restored",
        }
    }
}

/// Damage of stored data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// What is damaged.
    pub part: Part,
    /// What shows it.
    pub cause: Cause,
    /// The file, or the archive's object.
    pub file: Option<String>,
    /// The place in the file, in bytes.
    pub offset: Option<u64>,
    /// The first commit concerned.
    pub commit: Option<Seq>,
    /// The realm.
    pub realm: Option<RealmId>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The body.
    pub body: Option<BodyId>,
    /// More, for people; may be empty.
    pub detail: String,
}

impl Damaged {
    /// Damage of which nothing more is known yet.
    pub const fn new(part: Part, cause: Cause) -> Self {
        Self {
            part,
            cause,
            file: None,
            offset: None,
            commit: None,
            realm: None,
            key: None,
            body: None,
            detail: String::new(),
        }
    }

    /// Records that do not add up to the digest that was stated of them.
    pub fn wrong_digest(realm: RealmId, found: Digest, stated: Digest) -> Self {
        Self::new(Part::Realm, Cause::Digest).realm(realm).because(format_args!("{found}, not {stated}"))
    }

    /// In which file.
    #[must_use]
    pub fn file(mut self, name: impl ToString) -> Self {
        self.file = Some(name.to_string());
        self
    }

    /// At which byte of it.
    #[must_use]
    pub const fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The first commit concerned.
    #[must_use]
    pub const fn commit(mut self, seq: Seq) -> Self {
        self.commit = Some(seq);
        self
    }

    /// Whose.
    #[must_use]
    pub const fn realm(mut self, realm: RealmId) -> Self {
        self.realm = Some(realm);
        self
    }

    /// The record's key.
    #[must_use]
    pub fn key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    /// The body.
    #[must_use]
    pub const fn body(mut self, id: BodyId) -> Self {
        self.body = Some(id);
        self
    }

    /// More about it, for people; added to what is said already.
    #[must_use]
    pub fn because(mut self, detail: impl std::fmt::Display) -> Self {
        if !self.detail.is_empty() {
            self.detail.push_str("; ");
        }
        self.detail.push_str(&detail.to_string());
        self
    }

    /// As a note kept beside the index.
    pub(crate) fn to_note(&self) -> Vec<u8> {
        let note = Note {
            part: self.part.into(),
            cause: self.cause.into(),
            file: self.file.clone(),
            offset: self.offset,
            commit: self.commit.map(|seq| seq.0),
            realm: self.realm.map(RealmId::raw),
            key: self.key.clone(),
            body: self.body.map(|id| id.as_bytes().to_vec()),
            detail: self.detail.clone(),
        };
        let mut bytes = vec![NOTE_MARK];
        note.encode(&mut bytes).expect("a Vec has room");
        bytes
    }

    /// From such a note, or from the plain text that older versions have written.
    pub(crate) fn from_note(bytes: &[u8]) -> Self {
        let note =
            bytes.split_first().filter(|(mark, _)| **mark == NOTE_MARK).and_then(|(_, rest)| Note::decode(rest).ok());
        let Some(note) = note else {
            return Self::new(Part::Unknown, Cause::Unknown).because(String::from_utf8_lossy(bytes));
        };
        Self {
            part: note.part(),
            cause: note.cause(),
            file: note.file,
            offset: note.offset,
            commit: note.commit.map(Seq),
            realm: note.realm.map(RealmId::from_raw),
            key: note.key,
            body: note.body.and_then(|id| Some(BodyId::from_bytes(id.try_into().ok()?))),
            detail: note.detail,
        }
    }
}

/// The first byte of a note in this form. No text begins with it.
const NOTE_MARK: u8 = 0;

#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(enumeration = "Part", tag = "1")]
    part: i32,
    #[prost(enumeration = "Cause", tag = "2")]
    cause: i32,
    #[prost(string, optional, tag = "3")]
    file: Option<String>,
    #[prost(uint64, optional, tag = "4")]
    offset: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    commit: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    realm: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "7")]
    key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    body: Option<Vec<u8>>,
    #[prost(string, tag = "9")]
    detail: String,
}

impl std::fmt::Display for Damaged {
    /// One line: the thing, the place, what shows it, and more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.part == Part::Unknown && self.cause == Cause::Unknown {
            return f.write_str(&self.detail);
        }
        if let Some(realm) = self.realm.filter(|_| self.part != Part::Realm) {
            write!(f, "{realm}: ")?;
        }
        match (self.part, &self.file, self.realm, self.commit, self.body) {
            (Part::Realm, _, Some(realm), ..) => write!(f, "{realm}")?,
            (Part::Commit, _, _, Some(seq), _) => write!(f, "commit {seq}")?,
            (Part::Body, _, _, _, Some(id)) => write!(f, "body {id}")?,
            (part, ..) => f.write_str(match part {
                Part::Unknown => "something",
                Part::Log => "the log",
                Part::Segment => "the log segment",
                Part::Commit => "a commit",
                Part::Run => "a run of commits",
                Part::Pack => "the pack",
                Part::Body => "a body",
                Part::Index => "the index",
                Part::IndexEntry => "an entry of the index",
                Part::Record => "the record",
                Part::Realm => "a realm",
                Part::Checkpoint => "the checkpoint",
                Part::Witness => "the witness file",
                Part::Mark => "the file",
                Part::Object => "the object",
                Part::Folder => "the folder",
            })?,
        }
        if let Some(key) = &self.key {
            write!(f, " at key {}", hex(key))?;
        }
        if let Some(file) = &self.file {
            let is_in = matches!(self.part, Part::Commit | Part::Body | Part::Record | Part::Realm | Part::IndexEntry);
            write!(f, "{}{file}", if is_in { " in " } else { " " })?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(seq) = self.commit.filter(|_| self.part != Part::Commit) {
            write!(f, " at commit {seq}")?;
        }
        match self.cause.text() {
            "" => {}
            text => write!(f, ": {text}")?,
        }
        if self.detail.is_empty() || self.detail == self.cause.text() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String has room");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Damaged> {
        let id = BodyId::of(b"a");
        vec![
            Damaged::new(Part::Segment, Cause::Checksum).file("/d/log/1.log").at(52).commit(Seq(7)),
            Damaged::new(Part::Record, Cause::Checksum).realm(RealmId::DIRECTORY).key(&[1, 255]),
            Damaged::new(Part::Realm, Cause::Digest).realm(RealmId::DIRECTORY),
            Damaged::new(Part::Body, Cause::CutOff).body(id).file("/d/packs/1.pack").at(8).because("its last chunk"),
            Damaged::new(Part::Log, Cause::Missing).commit(Seq(0)).because("commits 0 to 5"),
            Damaged::new(Part::Object, Cause::Decoding).file("a/b"),
        ]
    }

    #[test]
    fn a_note_gives_back_what_was_noted() {
        for damage in examples() {
            assert_eq!(Damaged::from_note(&damage.to_note()), damage);
        }
    }

    #[test]
    fn the_text_that_older_versions_have_noted_is_told_as_it_is() {
        for text in ["", "a hole", "account 1: seven is not eight", "\u{1}\u{2}"] {
            let damage = Damaged::from_note(text.as_bytes());
            assert_eq!((damage.to_string().as_str(), damage.part, damage.cause), (text, Part::Unknown, Cause::Unknown));
        }
    }

    #[test]
    fn the_text_names_the_thing_the_place_and_the_cause() {
        let texts: Vec<String> = examples().iter().map(Damaged::to_string).collect();
        assert_eq!(texts[0], "the log segment /d/log/1.log at byte 52 at commit 7: it does not match its checksum");
        for (damage, text) in examples().iter().zip(&texts) {
            let places =
                [damage.file.clone(), damage.key.as_deref().map(hex), damage.realm.map(|realm| realm.to_string())];
            for place in places.into_iter().flatten().chain([damage.cause.text().to_owned(), damage.detail.clone()]) {
                assert!(text.contains(&place), "{text}: {place}");
            }
        }
    }

    #[test]
    fn every_part_and_cause_has_a_code_of_its_own() {
        let parts: std::collections::BTreeSet<_> =
            (0..=15).filter_map(|n| Some(Part::try_from(n).ok()?.code())).collect();
        let causes: std::collections::BTreeSet<_> =
            (0..=15).filter_map(|n| Some(Cause::try_from(n).ok()?.code())).collect();
        assert_eq!((parts.len(), causes.len()), (16, 16));
    }
}
