//! What goes astray around a restore: clocks, an archive's settings, first tries.

use continuity::archive::{
    catalog::Catalog,
    codec::{Identities, new_identity},
    line::Line,
    restore::{At, Wish, restore},
};
use store::Clock;

use super::DAY_MS;
use crate::world::{World, account, all, assert_sound, busy, write};

/// Minutes that passed, and what the clock was off by, in minutes; a snapshot is taken after the commits named.
type History = (&'static [(i64, i64)], &'static [usize]);

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_finds_what_was_committed_after_a_clock_was_ahead_and_says_which_commits_carry_wrong_times() {
    const MINUTE_MS: i64 = 60_000;
    let histories: [History; 5] = [
        (&[(0, 0), (10, 2880), (20, 0), (30, 0), (40, 0)], &[]),
        (&[(0, 0), (10, 2880), (11, 2880), (20, 0), (30, 0)], &[0]),
        (&[(0, 0), (10, 2880), (20, 0), (30, 0), (40, 0)], &[1, 2]),
        (&[(0, 2880), (10, 0), (20, 0), (30, 0)], &[0]),
        (&[(0, 0), (10, 600), (20, 0), (30, 6000), (40, 0), (50, 0)], &[0, 3]),
    ];
    for (commits, snapshots) in histories {
        let world = World::new();
        let begin = world.clock.now_ms();
        let set = |ms: i64| world.pass(ms - world.clock.now_ms());
        let store = world.open("primary");
        for (number, (minute, off)) in commits.iter().enumerate() {
            set(begin + (minute + off) * MINUTE_MS);
            write(&store, account(1), &format!("k{number}"), "v", Some(&format!("body {number}"))).await;
            world.shipper(&store).catch_up().await.unwrap();
            if snapshots.contains(&number) {
                world.snapshot(&store).await;
            }
        }
        for (number, (minute, _)) in commits.iter().enumerate().filter(|(_, (_, off))| *off == 0) {
            let what = format!("{commits:?}, snapshots {snapshots:?}, {number}");
            let restored = world.restore(&format!("restored-{number}"), Some(begin + (minute + 1) * MINUTE_MS)).await;
            let found =
                crate::world::records(&restored.store, account(1)).iter().filter(|(key, _)| key[0] == b'k').count();
            let least = number + 1;
            let most = least + commits[least..].iter().take_while(|(_, off)| *off != 0).count();
            assert!((least..=most).contains(&found), "{what}: {found}");
            let was_ahead = commits[..found].iter().any(|(at, off)| at + off > minute + 1);
            let from_log = restored.commits > 0;
            let said = restored.notes.iter().any(|note| note.contains("later times than they should"));
            assert!(said || !was_ahead || !from_log, "{what}: {:?}", restored.notes);
            assert_sound(&world, &world.path(&format!("restored-{number}")), restored.store).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_settings_are_gone_or_garbage_is_restored_all_the_same_and_written_again() {
    let mut tried = 0;
    for text in [None, Some(""), Some("{"), Some("not json"), Some("{\"format\": \"two\"}"), Some("\0\0\0\0")] {
        for (head, line) in [(true, false), (false, true), (true, true)] {
            for snapshot in [true, false] {
                let world = World::new();
                let store = world.open("primary");
                for number in 0..3 {
                    write(&store, account(number), "k", "v", Some(&format!("body {number}"))).await;
                }
                world.shipper(&store).catch_up().await.unwrap();
                if snapshot {
                    world.snapshot(&store).await;
                }
                let record = Line::open(store.dir(), 0).unwrap().record;
                let spoil = || {
                    let mut spoiled = Vec::new();
                    spoiled.extend(head.then(|| world.path("target").join("archive.json")));
                    spoiled.extend(line.then(|| world.path(&format!("target/lines/{}.json", record.line))));
                    for path in spoiled {
                        match text {
                            None => std::fs::remove_file(path).unwrap(),
                            Some(text) => std::fs::write(path, text).unwrap(),
                        }
                    }
                };
                spoil();
                let what = format!("{text:?}, head {head}, line {line}, snapshot {snapshot}");
                let plain = restore(&world.wish("plain"), &|_| {}).await.map(|restored| all(&restored.store));
                match plain {
                    Ok(found) => assert_eq!(found, all(&store), "{what}"),
                    // Nothing in the archive names the key then.
                    Err(error) => {
                        assert!(line && !snapshot && error.to_string().contains("--signed-by"), "{what}: {error}");
                    }
                }
                let wish = Wish { signed_by: vec![record.public_key.clone()], ..world.wish("signed") };
                let signed = restore(&wish, &|_| {}).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(all(&signed.store), all(&store), "{what}");
                let other = Wish { signed_by: vec!["0".repeat(64)], ..world.wish("other") };
                assert!(restore(&other, &|_| {}).await.is_err(), "{what}: a key that signed none of it");
                // The primary writes them again.
                let shipper = world.shipper(&store);
                shipper.catch_up().await.unwrap();
                let catalog = Catalog::read(&world.target()).await.unwrap();
                assert_eq!(catalog.notes, Vec::<String>::new(), "{what}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_could_not_begin_leaves_an_empty_folder_for_the_next_one() {
    let world = World::new();
    let store = busy(&world).await;
    world.shipper(&store).catch_up().await.unwrap();
    let (text, _) = new_identity();
    std::fs::write(world.path("other"), text).unwrap();
    let other = Identities::read(&world.path("other")).unwrap();
    for snapshot in [false, true] {
        if snapshot {
            world.snapshot(&store).await;
        }
        let begun = 1_767_225_600_000;
        let first_tries = [
            Wish { identities: other.clone(), ..world.wish("second") },
            Wish { at: At::Moment(begun - DAY_MS), ..world.wish("second") },
            Wish { line: Some("nothing".into()), ..world.wish("second") },
            Wish { signed_by: vec!["0".repeat(64)], ..world.wish("second") },
            Wish { identities: other.clone(), at: At::Moment(begun + 5000), ..world.wish("second") },
        ];
        for wish in first_tries {
            let refused = restore(&wish, &|_| {}).await.map(drop).unwrap_err().to_string();
            let digits = refused.split(|c: char| !c.is_ascii_digit()).any(|number| number.len() == 13);
            assert!(!digits, "no milliseconds: {refused}");
            let left = std::fs::read_dir(world.path("second")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{refused}");
        }
        world.restore("second", Some(begun + 50_000)).await;
        std::fs::remove_dir_all(world.path("second")).unwrap();
    }
}
