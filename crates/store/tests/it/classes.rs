//! What kind an error is: damage of stored data, a peer's fault, a full disk and a system that refuses are four things,
//! and only the first is ever listed as damage.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use store::{
    Cause, Damaged, ErrorClass, Part, PeerFault, RealmId, Seq, Store, StoreError, StoreOptions,
    disk::{Disk, File, RealDisk},
    log::{RunWriter, read_run},
    verify,
};

use crate::common::{files, run, scratch};

const ANNA: RealmId = RealmId::account(1);

fn put(store: &Store, key: &str) -> Result<(), StoreError> {
    let key = key.as_bytes().to_vec();
    store
        .transact(move |tx| {
            tx.put(ANNA, key.clone(), vec![7; 50]);
            Ok::<_, StoreError>(())
        })
        .wait()
}

/// Keeps a body that its realm refers to.
fn put_body(store: &Store, text: &[u8]) -> Result<(), StoreError> {
    let staged = store.put_body(text)?;
    store
        .transact(move |tx| {
            tx.ref_body(ANNA, &staged.id(), b"1");
            Ok::<_, StoreError>(())
        })
        .wait()
}

#[test]
fn what_the_system_says_is_damage_in_no_case_and_a_full_disk_is_told_as_such() {
    for (kind, class) in [
        (io::ErrorKind::StorageFull, ErrorClass::Full),
        (io::ErrorKind::QuotaExceeded, ErrorClass::Full),
        (io::ErrorKind::FileTooLarge, ErrorClass::Full),
        (io::ErrorKind::PermissionDenied, ErrorClass::Io),
        (io::ErrorKind::NotFound, ErrorClass::Io),
        (io::ErrorKind::ReadOnlyFilesystem, ErrorClass::Io),
        (io::ErrorKind::Interrupted, ErrorClass::Io),
        (io::ErrorKind::OutOfMemory, ErrorClass::Io),
        (io::ErrorKind::TimedOut, ErrorClass::Io),
        (io::ErrorKind::Other, ErrorClass::Io),
    ] {
        let error = StoreError::io("a file")(kind.into());
        assert_eq!((error.class(), error.is_damage()), (class, false), "{kind:?}");
    }
}

#[test]
fn the_errors_of_a_store_have_one_class_each() {
    let damage = || Box::new(Damaged::new(Part::Segment, Cause::Checksum));
    let id = store::BodyId::of(b"a");
    for (error, class) in [
        (StoreError::Damaged(damage()), ErrorClass::Damage),
        (StoreError::BodyDamaged { id, damage: damage() }, ErrorClass::Damage),
        (StoreError::BodyMissing { id }, ErrorClass::Damage),
        (StoreError::Quarantined { realm: ANNA, damage: damage() }, ErrorClass::Damage),
        (StoreError::Damaged(damage()).of_peer(), ErrorClass::Peer),
        (StoreError::Peer(PeerFault::Incomplete), ErrorClass::Peer),
        (StoreError::Full, ErrorClass::Full),
        (StoreError::Full.of_peer(), ErrorClass::Full),
        (StoreError::refused("the quota is full"), ErrorClass::Refused),
        (StoreError::Stopped { reason: String::new() }, ErrorClass::Stopped),
        (StoreError::Unknown { reason: String::new() }, ErrorClass::Stopped),
        (StoreError::NotRetained { asked: Seq(1), first: Seq(2) }, ErrorClass::Refused),
        (StoreError::Panicked(String::new()), ErrorClass::Internal),
    ] {
        assert_eq!((error.class(), error.is_damage()), (class, class == ErrorClass::Damage), "{error}");
    }
}

/// What is done to a folder, and what must be found in it.
type Harm = (&'static str, fn(&Path), Part, &'static [Cause]);

fn first_in(dir: &Path, folder: &str) -> std::path::PathBuf {
    files(&dir.join(folder)).remove(0)
}

fn change(path: &Path, with: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    with(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_says_what_where_and_why() {
    let harms: [Harm; 9] = [
        (
            "a bit of a record",
            |dir| change(&first_in(dir, "log"), |bytes| bytes[150] ^= 1),
            Part::Segment,
            &[Cause::Checksum],
        ),
        (
            "a record's length",
            |dir| change(&first_in(dir, "log"), |bytes| bytes[55] = 0x7f),
            Part::Segment,
            &[Cause::Length],
        ),
        (
            "a segment's header",
            |dir| change(&first_in(dir, "log"), |bytes| bytes[9] ^= 1),
            Part::Segment,
            &[Cause::Checksum],
        ),
        (
            "a segment's end",
            |dir| change(&first_in(dir, "log"), |bytes| bytes.truncate(bytes.len() - 56)),
            Part::Segment,
            &[Cause::CutOff],
        ),
        ("a segment", |dir| fs::remove_file(first_in(dir, "log")).unwrap(), Part::Log, &[Cause::Missing]),
        (
            "a checkpoint's block",
            |dir| {
                change(&first_in(dir, "checkpoints"), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                });
            },
            Part::Checkpoint,
            &[Cause::Checksum, Cause::Decoding],
        ),
        (
            "a checkpoint's end",
            |dir| change(&first_in(dir, "checkpoints"), |bytes| bytes.truncate(bytes.len() - 5)),
            Part::Checkpoint,
            &[Cause::CutOff],
        ),
        (
            "a body",
            |dir| {
                change(&first_in(dir, "packs"), |bytes| {
                    let last = bytes.len() - 3;
                    bytes[last] ^= 1;
                });
            },
            Part::Body,
            &[Cause::Checksum, Cause::Decoding],
        ),
        ("the mark of the format", |dir| fs::write(dir.join("format"), "x").unwrap(), Part::Mark, &[Cause::Decoding]),
    ];
    for (what, harm, part, causes) in harms {
        let dir = scratch();
        let options = || StoreOptions { segment_bytes: 400, ..StoreOptions::default() };
        let store = Store::open(dir.path(), options()).unwrap();
        put_body(&store, b"the one body").unwrap();
        (0..20).for_each(|number| put(&store, &number.to_string()).unwrap());
        store.checkpoint(&|| true).unwrap();
        store.close();
        drop(store);
        harm(dir.path());
        let damage = verify(dir.path(), options(), &[], |_, _, _| ()).unwrap().damage;
        let found = damage.iter().find(|found| found.part == part).unwrap_or_else(|| panic!("{what}: {damage:?}"));
        assert!(causes.contains(&found.cause), "{what}: {found:?}");
        match part {
            Part::Log => assert_eq!(found.commit, Some(Seq(1)), "{what}: {found:?}"),
            Part::Body => assert!(found.body.is_some() && found.realm == Some(ANNA), "{what}: {found:?}"),
            _ => assert!(found.file.is_some(), "{what}: {found:?}"),
        }
    }
}

#[test]
fn a_peer_that_sends_nonsense_is_told_so_and_nothing_here_counts_as_damaged() {
    let (dir, other) = (scratch(), scratch());
    let primary = Store::open(dir.path(), StoreOptions::default()).unwrap();
    (0..5).for_each(|number| put(&primary, &number.to_string()).unwrap());
    let store = Store::open(other.path(), StoreOptions::default()).unwrap();
    store.mark_replica("primary").unwrap();
    store.close();
    drop(store);
    let standby = Store::open_replica(other.path(), StoreOptions::default()).unwrap();
    let (commits, after) = run(&primary, Seq(1));
    // Another order, one left out, one twice, another chain.
    let nonsense = [
        commits.iter().rev().cloned().collect::<Vec<_>>(),
        commits[1..].to_vec(),
        [&commits[..1], &commits[..1]].concat(),
        [&commits[..2], &commits[3..]].concat(),
    ];
    for commits in nonsense {
        let error = standby.receive(commits, after).unwrap_err();
        assert!(matches!(error, StoreError::Peer(PeerFault::WrongCommit { .. })), "{error}");
    }
    let error = standby.receive(commits.clone(), [7; 32]).unwrap_err();
    assert!(matches!(error, StoreError::Peer(PeerFault::OtherLog { last: Seq(5) })), "{error}");
    // A run in which any one byte differs, and one that is cut off anywhere.
    let mut writer = RunWriter::new(Seq(1), [0; 32]);
    for commit in &commits {
        writer.push(commit).unwrap();
    }
    let whole = writer.finish();
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    for bytes in cut.chain(flipped) {
        let error = read_run(bytes, |_, _| Ok(())).unwrap_err().of_peer();
        let StoreError::Peer(PeerFault::Malformed(what)) = &error else { panic!("{error:?}") };
        assert!(what.part == Part::Run && what.file.is_none() && error.class() == ErrorClass::Peer, "{what:?}");
    }
    let error = standby.mend_body(&store::BodyId::of(b"a"), b"b").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Peer);
    assert!(standby.damage().is_none() && standby.stopped().is_none());
    standby.receive(commits, after).unwrap();
}

/// A disk that refuses to write, or to read packs, while it is told to.
struct Refusing {
    writes: AtomicBool,
    reads: AtomicBool,
    how: Mutex<fn() -> io::Error>,
}

struct RefusingDisk(Arc<Refusing>);

struct RefusingFile(Arc<dyn File>, Arc<Refusing>);

impl Refusing {
    fn write(&self) -> io::Result<()> {
        if self.writes.load(Ordering::SeqCst) { Err((self.how.lock())()) } else { Ok(()) }
    }

    fn read(&self) -> io::Result<()> {
        if self.reads.load(Ordering::SeqCst) { Err((self.how.lock())()) } else { Ok(()) }
    }
}

impl Disk for RefusingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.write()?;
        Ok(Arc::new(RefusingFile(RealDisk.create(path)?, self.0.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RefusingFile(RealDisk.open(path)?, self.0.clone())))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }
}

impl File for RefusingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.read()?;
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.write()?;
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.0.is_at(path)
    }
}

fn errno(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}

#[test]
fn a_disk_that_is_full_or_refuses_is_not_damaged_and_works_again_afterwards() {
    use rustix::io::Errno;
    let dir = scratch();
    let refusing = Arc::new(Refusing {
        writes: AtomicBool::new(false),
        reads: AtomicBool::new(false),
        how: Mutex::new(|| errno(Errno::NOSPC)),
    });
    let options = StoreOptions { disk: Arc::new(RefusingDisk(refusing.clone())), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    put_body(&store, b"a body").unwrap();
    let hows: [(fn() -> io::Error, ErrorClass); 5] = [
        (|| errno(Errno::NOSPC), ErrorClass::Full),
        (|| errno(Errno::DQUOT), ErrorClass::Full),
        (|| errno(Errno::ACCESS), ErrorClass::Io),
        (|| errno(Errno::ROFS), ErrorClass::Io),
        (|| errno(Errno::IO), ErrorClass::Io),
    ];
    for (how, class) in hows {
        *refusing.how.lock() = how;
        refusing.writes.store(true, Ordering::SeqCst);
        for error in [put(&store, "key").unwrap_err(), put_body(&store, b"another").unwrap_err()] {
            assert_eq!(error.class(), class, "{error}");
        }
        assert_eq!(store.checkpoint(&|| true).unwrap_err().class(), class);
        refusing.writes.store(false, Ordering::SeqCst);
        assert!(store.damage().is_none() && store.stopped().is_none(), "{class:?}: {:?}", store.damage());
        put(&store, "key").unwrap();
    }
    // Reading: a system that refuses says nothing of the bytes, a disk that has lost them does.
    let id = store::BodyId::of(b"a body");
    let refusals: [fn() -> io::Error; 4] =
        [|| errno(Errno::ACCESS), || errno(Errno::MFILE), || errno(Errno::NOMEM), || errno(Errno::PERM)];
    for how in refusals {
        *refusing.how.lock() = how;
        refusing.reads.store(true, Ordering::SeqCst);
        let error = store.body(&id).and_then(|mut body| body.read_all()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Io, "{error}");
        assert!(store.scrub_bodies(0, 1, &|| true).is_err(), "it can't say that all is well");
        refusing.reads.store(false, Ordering::SeqCst);
        assert!(store.damage().is_none(), "{error}: {:?}", store.damage());
    }
    *refusing.how.lock() = || errno(Errno::IO);
    refusing.reads.store(true, Ordering::SeqCst);
    assert!(store.body(&id).and_then(|mut body| body.read_all()).is_err());
    refusing.reads.store(false, Ordering::SeqCst);
    let damage = store.damage();
    assert_eq!((damage.count(), damage.bodies[0].1.cause), (1, Cause::Unreadable));
    assert!(store.scrub_bodies(0, 1, &|| true).unwrap().is_sound() && store.damage().is_none(), "it can be read again");
}
