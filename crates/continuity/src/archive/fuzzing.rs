//! Reads data as if it came from a target, which may be damaged or controlled by an attacker.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use prost::Message as _;
use store::{BodyId, Digest, RealmId, Seq, log::read_run};

use super::{
    catalog::{Catalog, Listed},
    codec,
    format::{self, Chunk, LineRecord, Manifest, PackIndex, RunName, SnapshotName},
    restore::ranges_in,
    verify::place_in,
};

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed")
}

fn sign(bytes: &[u8]) -> [u8; 64] {
    key().sign(bytes).as_ref().try_into().expect("an Ed25519 signature is 64 bytes")
}

/// Names of objects.
pub fn name(text: &str) {
    if let Ok(run) = text.parse::<RunName>() {
        assert!(run.first <= run.last && run.first > Seq(0) && run.last < Seq(u64::MAX));
        assert_eq!(run.to_string().parse(), Ok(run));
    }
    if let Ok(snapshot) = text.parse::<SnapshotName>() {
        assert!(snapshot.seq < Seq(u64::MAX));
        assert_eq!(snapshot.manifest().parse(), Ok(snapshot));
    }
    if format::is_pack(text) {
        assert_eq!(format::pack_name(format::hash_of_pack(text)), text);
    }
    let _ = (format::chunk_id(text), format::pack_of_index(text), format::check(text, text.as_bytes()));
}

/// A manifest that its line's key has signed: `plain` is what is in it, or what it is packed as.
pub fn manifest(plain: &[u8], is_packed: bool) {
    let packed = if is_packed { plain.to_vec() } else { zstd::bulk::compress(plain, 1).expect("it fits") };
    let stored = format::manifest_object(&packed, sign);
    let stated = Manifest::decode(plain).unwrap_or_default();
    let name = SnapshotName { line: stated.line, seq: Seq(stated.seq), made_ms: 1, hash: format::hash(&stored) };
    let Ok(read) = Manifest::from_stored(&name, &stored, key().public_key().as_ref()) else { return };
    let _ = read.chain();
    for part in &read.realms {
        let _ = (RealmId::from_raw(part.realm).to_string(), Digest::from_bytes(&part.digest));
        assert!(read.at(&part.chunks).count() <= part.chunks.len() && read.at(&part.packs).count() <= part.packs.len());
    }
}

/// A manifest as somebody may store it.
pub fn stored_manifest(stored: &[u8]) {
    let name = SnapshotName { line: "ab12".to_owned(), seq: Seq(7), made_ms: 1, hash: format::hash(stored) };
    Manifest::from_stored(&name, stored, key().public_key().as_ref()).expect_err("nobody has signed it");
}

/// A run as it is stored, and as somebody may store it.
pub fn run(sealed: &[u8]) {
    let bounds = (Seq(1), Seq(2));
    let (name, stored) = RunName::to_stored("ab12", bounds, [5; 32], sealed, sign);
    assert_eq!(name.sealed(&stored, key().public_key().as_ref()).expect("it was just signed"), sealed);
    assert!(name.sealed(sealed, key().public_key().as_ref()).is_err(), "nobody has signed it");
    let _ = read_run(sealed.to_vec(), |_, _| Ok(()));
}

/// What is in an object once it was decrypted.
pub fn unpacked(packed: &[u8], limit: u64) {
    if let Ok(plain) = codec::unpack("it", packed, limit) {
        assert!(plain.len() as u64 <= limit);
    }
}

/// A chunk's records.
pub fn chunk(plain: &[u8]) {
    let Ok(chunk) = Chunk::decode(plain) else { return };
    let realm = RealmId::from_raw(chunk.realm);
    let mut digest = Digest::default();
    for record in &chunk.records {
        digest.add_record(realm, &record.key, &record.value);
    }
}

/// A pack's index, beside a pack of so many bytes.
pub fn index(plain: &[u8], pack_bytes: usize) {
    let Ok(index) = PackIndex::decode(plain) else { return };
    let pack = vec![0; pack_bytes];
    for body in &index.bodies {
        let there = place_in(body, &pack);
        assert!(there.is_none_or(|there| there.len() as u64 == body.stored));
        let _ = <[u8; 32]>::try_from(body.id.as_slice()).map(BodyId::from_bytes);
    }
    ranges_in(index);
}

/// An archive of these lines (JSON) and object names, one a line of text.
pub fn catalog(text: &str) {
    let mut catalog = Catalog::default();
    let mut keys = Vec::new();
    for one in text.lines() {
        if let Ok(record) = serde_json::from_str::<LineRecord>(one) {
            keys.push(record.public_key.clone());
            catalog.lines.insert(record.line.clone(), record);
        } else if let Ok(run) = one.parse::<RunName>() {
            catalog.runs.push(run);
        } else if let Ok(name) = one.parse::<SnapshotName>() {
            catalog.snapshots.push(Listed { name, good: true, stored_ms: 1 });
        }
    }
    catalog.runs.sort();
    let lines: BTreeMap<String, LineRecord> = catalog.lines.clone();
    let _ = (catalog.line(None), catalog.newest_good());
    for record in lines.values() {
        let _ = record.key();
        if let Ok(path) = catalog.path(record) {
            assert!(path.len() <= lines.len() + 1);
            assert!(path.windows(2).all(|pair| pair[1].1 <= pair[0].1), "an earlier line ends no later");
        }
        let _ = catalog.good_of(record);
    }
    keys.truncate(1);
    catalog.trust_only(&keys);
    assert!(catalog.runs.iter().all(|run| catalog.lines.contains_key(&run.line)));
}
