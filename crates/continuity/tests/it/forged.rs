//! What someone can do to an archive who can write there, and even knows who reads it; and what they can't.

use crate::world::{World, account, all, busy, write};
use continuity::archive::{
    ArchiveError, Event,
    catalog::Catalog,
    format::{self, Chunk, Manifest, RunName},
    line::{Line, LineRecord, Parent},
    restore::{At, Wish, restore},
    ship::Shipper,
    target::{Target, TargetOptions},
};
use parking_lot::Mutex;
use store::log::RunWriter;

fn put(world: &World, name: &str, bytes: &[u8]) {
    let path = world.path("target").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_the_line_has_not_signed_are_not_taken() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    let expected = all(&store);
    let (last, chain) = (store.seq(), store.log_point(store.seq()).unwrap().0);
    let line = Line::open(store.dir(), 0).unwrap();

    // One more commit, as it would be, sealed for the reader: made on a copy of the store, which the intruder has too.
    write(&store, account(1), "m000", "forged", None).await;
    let commit = store.follow(store::Seq(last.0 + 1)).unwrap().next().await.unwrap();
    let mut run = RunWriter::new(commit.seq(), chain);
    run.push(&commit).unwrap();
    let after = run.chain();
    let sealed = world.recipients.seal(&run.finish()).unwrap();
    let by_another_key = |bytes: &[u8]| {
        let signing = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        signing.sign(bytes).as_ref().try_into().unwrap()
    };
    let (name, stored) = RunName::to_stored(line.name(), (commit.seq(), commit.seq()), after, &sealed, by_another_key);
    put(&world, &name.to_string(), &stored);
    // The same without a signature, as archives had it once.
    let bare = RunName { hash: format::hash(&sealed), ..name.clone() };
    put(&world, &bare.to_string(), &sealed);

    let said = Mutex::new(Vec::new());
    let wish = Wish { at: At::Moment(i64::MAX), ..world.wish("second") };
    let say = |event| {
        if let Event::Line(line) = event {
            said.lock().push(line);
        }
    };
    let restored = restore(&wish, &say).await.unwrap();
    assert_eq!(all(&restored.store), expected, "what was signed, and nothing more");
    let said = said.into_inner().join("\n");
    assert!(said.contains("not signed by the key of its line") && said.contains("does not start like a run"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_another_objects_place_does_not_take_a_lines_key_away() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    let line = Line::open(store.dir(), 0).unwrap();
    // Created, not overwritten: what credentials can do that may not change what is there.
    let forged = LineRecord { public_key: "00".repeat(32), ..line.record.clone() };
    put(&world, "lines/zzzz.json", &serde_json::to_vec(&forged).unwrap());
    let catalog = Catalog::read(&world.target()).await.unwrap();
    assert_eq!(catalog.lines[line.name()], line.record);
    let restored = world.restore("second", None).await;
    assert_eq!(all(&restored.store), all(&store));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_another_key_that_claims_to_go_on_is_passed_over_when_keys_are_named() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    world.snapshot(&store).await;
    let mine = Line::open(store.dir(), 0).unwrap();
    let (seq, chain) = (store.seq(), store.log_point(store.seq()).unwrap().0);
    let parent = Parent { line: mine.name().to_owned(), seq: seq.0, chain: hex::encode(chain) };
    let theirs = Line::begin(&world.path("intruder"), 1, parent).unwrap();
    put(&world, &LineRecord::object(theirs.name()), &serde_json::to_vec(&theirs.record).unwrap());
    let keys = vec![mine.record.public_key.clone()];
    let wish = Wish { signed_by: keys.clone(), ..world.wish("second") };
    let restored = restore(&wish, &|_| {}).await.unwrap();
    assert_eq!((restored.parent.line.as_str(), all(&restored.store)), (mine.name(), all(&store)));
    let nobody = Wish { signed_by: vec!["11".repeat(32)], ..world.wish("third") };
    assert!(matches!(restore(&nobody, &|_| {}).await, Err(ArchiveError::Nothing(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_grow_without_end_is_refused_before_it_does() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    let taken = world.snapshot(&store).await;
    // A manifest that unpacks to more than any, from few bytes.
    let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for _ in 0..257 {
        std::io::Write::write_all(&mut packed, &vec![0; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    let signing = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let key = aws_lc_rs::signature::KeyPair::public_key(&signing).as_ref().to_vec();
    let stored = [b"HFMANI\0\x01".as_slice(), signing.sign(&packed).as_ref(), &packed].concat();
    assert!(stored.len() < 1 << 20, "{}", stored.len());
    let name = format::SnapshotName { seq: store::Seq(1), hash: format::hash(&stored), ..taken.name.clone() };
    let refused = Manifest::from_stored(&name, &stored, &key).unwrap_err().to_string();
    assert!(refused.contains("limit of 268435456 bytes"), "{refused}");
    // Bodies that lie where no pack reaches.
    let body = format::PackedBody { id: vec![1; 32], offset: u64::MAX - 5, stored: 100, plain: 1 };
    assert_eq!(body.end(), None);
    // Settings that are none, and names that lead out of the folder.
    put(&world, "lines/aaaa.json", &vec![b' '; 2 << 20]);
    assert!(matches!(Catalog::read(&world.target()).await, Err(ArchiveError::Damaged { .. })));
    std::fs::write(world.path("secret"), b"not in the archive").unwrap();
    assert!(world.target().get("../secret").await.is_err());
    let chunk = world.recipients.seal(&prost::Message::encode_to_vec(&Chunk::default())).unwrap();
    assert!(format::check("chunks/../../secret-00.chunk", &chunk).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_goes_on_closes_the_gap_of_a_target_that_was_behind() {
    let world = World::new();
    let store = busy(&world).await;
    let second = || {
        let url = format!("file://{}", world.path("second-target").display());
        Target::open(&TargetOptions { name: "second".into(), url, ..TargetOptions::default() }).unwrap()
    };
    let ship = async |line: &Line, target: Target| {
        let (recipients, every) = (world.recipients.clone(), std::time::Duration::from_millis(1));
        Shipper::new(store.clone(), target, recipients, line.clone(), every).catch_up().await.unwrap()
    };
    let before = Line::open(store.dir(), 0).unwrap();
    ship(&before, second()).await;
    write(&store, account(1), "late", "yes", Some("only in the first target")).await;
    ship(&before, world.target()).await;
    // Another machine took over, and goes on from what the first target has.
    std::fs::remove_dir_all(store.dir().join("archive")).unwrap();
    let line = Line::of(&store, &world.target()).await.unwrap();
    assert_eq!(line.record.parent.as_ref().unwrap().seq, store.seq().0);
    write(&store, account(2), "later", "yes", Some("of the new line")).await;
    ship(&line, world.target()).await;
    ship(&line, second()).await;
    for (number, target) in [world.target(), second()].into_iter().enumerate() {
        let wish = Wish { target, ..world.wish(&format!("restored-{number}")) };
        let restored = restore(&wish, &|_| {}).await.unwrap();
        assert_eq!(all(&restored.store), all(&store), "target {number}");
        assert!(restored.lost.is_empty() && restored.fallbacks.is_empty());
    }
}
