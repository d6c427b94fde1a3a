//! The names and records in an archive. `docs/archive-format.md` documents them for other readers.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use store::{Cause, Seq, log::Chain};

use super::{ArchiveError, Result, codec};

/// The version of the format. Before 2, which no release wrote, runs were not signed.
pub const FORMAT: u32 = 2;
/// The object that says that here is an archive.
pub const ARCHIVE: &str = "archive.json";
/// Hexadecimal digits of the hashes in names: 128 bits.
const HASH_DIGITS: usize = 32;
const MANIFEST_MAGIC: &[u8; 8] = b"HFMANI\0\x01";
const RUN_MAGIC: &[u8; 8] = b"HFRUN\0\0\x01";
const SIGNATURE_BYTES: usize = 64;
/// The largest manifest, unpacked: some 60 bytes for each object of an archive, so four millions of them.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;
/// The largest chunk, unpacked: they are cut at 1 MiB of keys and values, behind a record of another at most; the rest is
/// what frames small records.
pub const MAX_CHUNK_BYTES: u64 = 16 << 20;
/// The largest index of a pack, unpacked: some 50 bytes for each body, so five millions of them.
pub const MAX_INDEX_BYTES: u64 = 256 << 20;
/// The largest run, unpacked: it is closed once it has some MiB, and the last commit in it may be as large as any.
pub const MAX_RUN_BYTES: u64 = 256 << 20;

/// `archive.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Archive {
    /// [`FORMAT`].
    pub format: u32,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Archive {
    /// # Errors
    /// [`ArchiveError::Setting`] when this version does not read and write the format of an archive.
    pub fn check_format(&self, target: &str) -> Result<()> {
        let remedy = match self.format.cmp(&FORMAT) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => "use a newer holdfast",
            std::cmp::Ordering::Less => "start a new archive at another URL",
        };
        let format = self.format;
        Err(ArchiveError::Setting(format!(
            "archive {target} has format {format}, this version's is {FORMAT}: {remedy}"
        )))
    }
}

/// The hash in names: the first 128 bits of the BLAKE3.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..HASH_DIGITS].to_owned()
}

/// Whether an object's bytes are those that its name says: the last part of the name, before the ending, is their hash.
pub fn check(object: &str, bytes: &[u8]) -> Result<()> {
    let stem = object.rsplit_once('.').map_or(object, |(stem, _)| stem);
    let stated = stem.rsplit(['-', '/']).next().unwrap_or_default();
    if stated == hash(bytes) {
        Ok(())
    } else {
        Err(ArchiveError::damaged(Cause::Checksum, object, "its bytes do not match the hash in its name"))
    }
}

/// A run of commits: `log/LINE/FIRST-LAST-CHAIN-HASH.run`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunName {
    /// The line.
    pub line: String,
    /// The first commit.
    pub first: Seq,
    /// The last commit.
    pub last: Seq,
    /// The log's chain after the last.
    pub chain: Chain,
    /// Of the stored bytes.
    pub hash: String,
}

impl RunName {
    /// What a run's signature is over: that these sealed bytes are those commits of that line.
    fn signed(line: &str, first: Seq, last: Seq, chain: &Chain, sealed: &[u8]) -> Vec<u8> {
        let what = format!("holdfast archive run {line} {} {} {}\n", first.0, last.0, hex::encode(chain));
        [what.as_bytes(), blake3::hash(sealed).as_bytes()].concat()
    }

    /// A run as it is stored: magic, signature, the sealed segment; and its name.
    pub fn to_stored(
        line: &str,
        (first, last): (Seq, Seq),
        chain: Chain,
        sealed: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    ) -> (Self, Bytes) {
        let signature = sign(&Self::signed(line, first, last, &chain, sealed));
        let stored = Bytes::from([&RUN_MAGIC[..], &signature, sealed].concat());
        (Self { line: line.to_owned(), first, last, chain, hash: hash(&stored) }, stored)
    }

    /// The sealed segment of a stored run, checked against its line's public key.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn sealed<'a>(&self, stored: &'a [u8], public_key: &[u8]) -> Result<&'a [u8]> {
        let damaged = |cause, what: &str| ArchiveError::damaged(cause, self.to_string(), what);
        let signed =
            stored.strip_prefix(RUN_MAGIC).ok_or_else(|| damaged(Cause::Decoding, "it does not start like a run"))?;
        let (signature, sealed) =
            signed.split_at_checked(SIGNATURE_BYTES).ok_or_else(|| damaged(Cause::CutOff, "it is cut off"))?;
        let over = Self::signed(&self.line, self.first, self.last, &self.chain, sealed);
        check_signature(public_key, &over, signature)
            .map_err(|()| damaged(Cause::Checksum, "it is not signed by the key of its line"))?;
        Ok(sealed)
    }
}

fn check_signature(public_key: &[u8], signed: &[u8], signature: &[u8]) -> Result<(), ()> {
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public_key);
    key.verify(signed, signature).map_err(|_| ())
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, first, last, chain, hash } = self;
        write!(f, "log/{line}/{:020}-{:020}-{}-{hash}.run", first.0, last.0, hex::encode(chain))
    }
}

impl FromStr for RunName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (line, rest) = name.strip_prefix("log/").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let parts: Vec<&str> = rest.strip_suffix(".run").ok_or(())?.split('-').collect();
        let [first, last, chain, hash] = parts[..] else { return Err(()) };
        let chain = hex::decode(chain).map_err(|_| ())?.try_into().map_err(|_| ())?;
        let (first, last) = (number(first)?, number(last)?);
        if first == Seq(0) || last < first {
            return Err(());
        }
        Ok(Self { line: line.to_owned(), first, last, chain, hash: hash.to_owned() })
    }
}

/// Where a clock that had been ahead was put right: `clock/LINE/SEQ-STATED-CLOCK.put-right`. From commit SEQ on commits
/// state a later time (STATED) than the clock said (CLOCK at first). The object holds nothing more than its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRight {
    /// The line.
    pub line: String,
    /// The first commit that was made after that.
    pub seq: Seq,
    /// The stated time, in milliseconds since 1970.
    pub stated_ms: i64,
    /// The real clock time, in milliseconds since 1970.
    pub clock_ms: i64,
}

impl fmt::Display for PutRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, seq, stated_ms, clock_ms } = self;
        write!(f, "clock/{line}/{:020}-{:013}-{:013}.put-right", seq.0, (*stated_ms).max(0), (*clock_ms).max(0))
    }
}

impl FromStr for PutRight {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (line, rest) = name.strip_prefix("clock/").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let parts: Vec<&str> = rest.strip_suffix(".put-right").ok_or(())?.split('-').collect();
        let [seq, stated, clock] = parts[..] else { return Err(()) };
        Ok(Self {
            line: line.to_owned(),
            seq: number(seq)?,
            stated_ms: stated.parse().map_err(|_| ())?,
            clock_ms: clock.parse().map_err(|_| ())?,
        })
    }
}

/// A commit's number, as names say it: there is one after each.
fn number(text: &str) -> Result<Seq, ()> {
    text.parse().map_err(|_| ()).and_then(|number| if number < u64::MAX { Ok(Seq(number)) } else { Err(()) })
}

/// A snapshot: `snapshots/LINE/SEQ-MADE-HASH.manifest`, and the same with `.good` once it was read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// The line.
    pub line: String,
    /// The last commit in it.
    pub seq: Seq,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
    /// Of the manifest's bytes.
    pub hash: String,
}

impl SnapshotName {
    /// The object that holds the manifest.
    pub fn manifest(&self) -> String {
        format!("{self}.manifest")
    }

    /// The object that says that it was read back.
    pub fn good(&self) -> String {
        format!("{self}.good")
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, seq, made_ms, hash } = self;
        write!(f, "snapshots/{line}/{:020}-{made_ms:013}-{hash}", seq.0)
    }
}

impl FromStr for SnapshotName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (line, rest) = name.strip_prefix("snapshots/").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let stem = rest.strip_suffix(".manifest").or_else(|| rest.strip_suffix(".good")).ok_or(())?;
        let parts: Vec<&str> = stem.split('-').collect();
        let [seq, made, hash] = parts[..] else { return Err(()) };
        Ok(Self {
            line: line.to_owned(),
            seq: number(seq)?,
            made_ms: made.parse().map_err(|_| ())?,
            hash: hash.to_owned(),
        })
    }
}

/// `chunks/ID-HASH.chunk`: records of a realm. The id depends on the records alone (and a key), so that the same
/// records need not be stored again; the hash is of the stored bytes.
pub fn chunk_name(id: &str, stored: &[u8]) -> String {
    format!("chunks/{id}-{}.chunk", hash(stored))
}

/// The id in a chunk's name.
pub fn chunk_id(name: &str) -> Option<&str> {
    Some(name.strip_prefix("chunks/")?.strip_suffix(".chunk")?.split_once('-')?.0)
}

/// `bodies/HASH.pack`.
pub fn pack_name(pack: &str) -> String {
    format!("bodies/{pack}.pack")
}

/// Whether a name is a pack's.
pub fn is_pack(name: &str) -> bool {
    !hash_of_pack(name).is_empty()
}

/// The hash in a pack's name; empty when it is not a pack's.
pub fn hash_of_pack(name: &str) -> &str {
    name.strip_prefix("bodies/").and_then(|name| name.strip_suffix(".pack")).unwrap_or_default()
}

/// `bodies/PACK-HASH.index`: where the bodies are in a pack.
pub fn index_name(pack: &str, stored: &[u8]) -> String {
    format!("bodies/{pack}-{}.index", hash(stored))
}

/// The pack that an index's name says it is of.
pub fn pack_of_index(name: &str) -> Option<&str> {
    Some(name.strip_prefix("bodies/")?.strip_suffix(".index")?.split_once('-')?.0)
}

/// The records in a chunk.
#[derive(Clone, PartialEq, Message)]
pub struct Chunk {
    /// The realm's number.
    #[prost(uint64, tag = "1")]
    pub realm: u64,
    /// In order of their keys.
    #[prost(message, repeated, tag = "2")]
    pub records: Vec<Record>,
}

/// A record of a realm.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Record {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// The index of a body pack.
#[derive(Clone, PartialEq, Message)]
pub struct PackIndex {
    /// In order of their offsets.
    #[prost(message, repeated, tag = "1")]
    pub bodies: Vec<PackedBody>,
}

/// No pack is larger: one is closed once it has 16 MiB, and the last body in it may be as large as any.
pub const MAX_PACK_BYTES: u64 = 2 << 30;

/// A body in a pack: age(zstd(bytes)) at `offset`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PackedBody {
    /// Its name: the BLAKE3 of its bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its offset.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// How many bytes it is there.
    #[prost(uint64, tag = "3")]
    pub stored: u64,
    /// How many bytes it is.
    #[prost(uint64, tag = "4")]
    pub plain: u64,
}

/// The identity of a snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    /// The line.
    #[prost(string, tag = "1")]
    pub line: String,
    /// The last commit in it.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The log's chain after that.
    #[prost(bytes = "vec", tag = "3")]
    pub chain: Vec<u8>,
    /// That commit's epoch.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// That commit's time, in milliseconds since 1970; when it is not known, when the snapshot was made.
    #[prost(int64, tag = "5")]
    pub time_ms: i64,
    /// When the snapshot was made, in milliseconds since 1970.
    #[prost(int64, tag = "6")]
    pub made_ms: i64,
    /// All realms.
    #[prost(message, repeated, tag = "7")]
    pub realms: Vec<RealmPart>,
    /// All objects that the realms' chunks and bodies lie in.
    #[prost(message, repeated, tag = "8")]
    pub objects: Vec<Needed>,
    /// Bodies that the records refer to, each counted once for each realm.
    #[prost(uint64, tag = "9")]
    pub bodies: u64,
    /// The line's record once more, as its own object has it: for when that one is gone.
    #[prost(bytes = "vec", tag = "10")]
    pub line_record: Vec<u8>,
}

impl PackedBody {
    /// Its end; `None` if the location is impossible.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.stored).filter(|end| *end <= MAX_PACK_BYTES)
    }
}

/// A realm in a snapshot.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RealmPart {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub realm: u64,
    /// Its last commit.
    #[prost(uint64, tag = "2")]
    pub realm_seq: u64,
    /// The digest of its records.
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    /// The store-wide commit that the chunks are of: the snapshot's, or an earlier one when the realm could not be read;
    /// the log from there on belongs to it then.
    #[prost(uint64, tag = "4")]
    pub at: u64,
    /// Records in it.
    #[prost(uint64, tag = "5")]
    pub records: u64,
    /// Its chunks in order, as places in [`Manifest::objects`].
    #[prost(uint32, repeated, tag = "6")]
    pub chunks: Vec<u32>,
    /// The packs of its bodies, as places in [`Manifest::objects`].
    #[prost(uint32, repeated, tag = "7")]
    pub packs: Vec<u32>,
    /// Bodies that it refers to.
    #[prost(uint64, tag = "8")]
    pub bodies: u64,
}

/// An object that a snapshot needs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Needed {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its size.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

/// A manifest as it is stored, of its packed record.
pub(super) fn manifest_object(packed: &[u8], sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES]) -> Bytes {
    [&MANIFEST_MAGIC[..], &sign(packed), packed].concat().into()
}

impl Manifest {
    /// The manifest as it is stored: magic, signature, zstd of the record.
    pub fn to_stored(&self, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES]) -> Result<Bytes> {
        let packed = zstd::bulk::compress(&self.encode_to_vec(), 3)
            .map_err(|error| ArchiveError::Setting(format!("compressing a manifest: {error}")))?;
        Ok(manifest_object(&packed, sign))
    }

    /// Reads a stored manifest, checking it against its name and its line's public key.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn from_stored(name: &SnapshotName, stored: &[u8], public_key: &[u8]) -> Result<Self> {
        let object = name.manifest();
        check(&object, stored)?;
        let damaged = |cause, what: &str| ArchiveError::damaged(cause, object.clone(), what);
        let signed = stored
            .strip_prefix(MANIFEST_MAGIC)
            .ok_or_else(|| damaged(Cause::Decoding, "it does not start like a manifest"))?;
        let (signature, packed) =
            signed.split_at_checked(SIGNATURE_BYTES).ok_or_else(|| damaged(Cause::CutOff, "it is cut off"))?;
        check_signature(public_key, packed, signature)
            .map_err(|()| damaged(Cause::Checksum, "it is not signed by the key of its line"))?;
        let plain = codec::unpack(&object, packed, MAX_MANIFEST_BYTES)?;
        let manifest = Self::decode(plain.as_slice()).map_err(|error| damaged(Cause::Decoding, &error.to_string()))?;
        if manifest.line != name.line || manifest.seq != name.seq.0 {
            return Err(damaged(Cause::Order, "it is of another commit than its name says"));
        }
        Ok(manifest)
    }

    /// The line's record that a stored manifest repeats, checked with the key that it names itself: as good as the object
    /// `lines/LINE.json`, which nothing signs. None: it is of a version that did not repeat it.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn line_record_in(name: &SnapshotName, stored: &[u8]) -> Result<Option<LineRecord>> {
        let object = name.manifest();
        let damaged = |cause, what: &str| ArchiveError::damaged(cause, object.clone(), what);
        let packed = stored
            .get(MANIFEST_MAGIC.len() + SIGNATURE_BYTES..)
            .ok_or_else(|| damaged(Cause::CutOff, "it is cut off"))?;
        let plain = codec::unpack(&object, packed, MAX_MANIFEST_BYTES)?;
        let manifest = Self::decode(plain.as_slice()).map_err(|error| damaged(Cause::Decoding, &error.to_string()))?;
        if manifest.line_record.is_empty() {
            return Ok(None);
        }
        let record: LineRecord = serde_json::from_slice(&manifest.line_record)
            .map_err(|error| damaged(Cause::Decoding, &format!("its line's record: {error}")))?;
        if record.line != name.line {
            return Err(damaged(Cause::Order, "it repeats another line's record"));
        }
        Self::from_stored(name, stored, &record.key()?)?;
        Ok(Some(record))
    }

    /// The log's chain after its last commit.
    pub fn chain(&self) -> Option<Chain> {
        self.chain.as_slice().try_into().ok()
    }

    /// The objects at some places.
    pub fn at<'a>(&'a self, places: &'a [u32]) -> impl Iterator<Item = &'a Needed> {
        places.iter().filter_map(|place| self.objects.get(*place as usize))
    }
}

/// `lines/LINE.json`: what an archive knows of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRecord {
    /// The format of what the line's objects hold.
    pub format: u32,
    /// Its name: 16 hexadecimal digits.
    pub line: String,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: i64,
    /// The parent commit; none if it started with the first commit.
    pub parent: Option<Parent>,
    /// The key that signs its manifests: Ed25519, 64 hexadecimal digits.
    pub public_key: String,
}

/// The commit that a line continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The line before.
    pub line: String,
    /// The last commit of it that belongs to this one too.
    pub seq: u64,
    /// The log's chain there, 64 hexadecimal digits.
    pub chain: String,
}

impl LineRecord {
    /// The object that contains it.
    pub fn object(line: &str) -> String {
        format!("lines/{line}.json")
    }

    /// The key that signs its manifests.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn key(&self) -> Result<Vec<u8>> {
        hex::decode(&self.public_key)
            .map_err(|error| ArchiveError::damaged(Cause::Decoding, Self::object(&self.line), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_what_they_say() {
        let run = RunName { line: "ab12".into(), first: Seq(1), last: Seq(7), chain: [5; 32], hash: hash(b"x") };
        assert_eq!(run.to_string().parse(), Ok(run));
        let snapshot = SnapshotName { line: "ab12".into(), seq: Seq(9), made_ms: 1_700_000_000_000, hash: hash(b"y") };
        assert_eq!(snapshot.manifest().parse(), Ok(snapshot.clone()));
        assert_eq!(snapshot.good().parse(), Ok(snapshot));
        let index = index_name("0011", b"index");
        assert_eq!(pack_of_index(&index), Some("0011"));
        check(&index, b"index").unwrap();
        check(&pack_name(&hash(b"pack")), b"pack").unwrap();
        assert!(check(&index, b"other").is_err());
        assert_eq!(chunk_id(&chunk_name("0022", b"chunk")), Some("0022"));
        for text in ["log/x/1-2.run", "log/x", "snapshots/x/1-2-3.other", "other/x", "log/x/a-b-c-d.run"] {
            assert!(text.parse::<RunName>().is_err() && text.parse::<SnapshotName>().is_err(), "{text}");
        }
    }
}
