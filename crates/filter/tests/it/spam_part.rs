//! What accounts taught the spam filter, as a part of their realms: salvaged and merged, shared, and taken back exactly.

use std::path::Path;

use filter::spam::{By, Entry, Grams, Kind, Learned, Level, Origin, Spam, SpamPart};
use realm::{Merging, RealmPart as _, SalvageFrom};
use store::{RealmId, Salvaged, Store, StoreOptions};

const ANNA: RealmId = RealmId::account(1);

fn open(dir: &Path) -> (Store, Spam) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let spam = Spam::new(store.clone());
    (store, spam)
}

fn lesson(number: u8, kind: Kind, features: &[u32]) -> Learned {
    Learned {
        name: [number; 32],
        kind,
        by: By::User,
        features: features.to_vec(),
        grams: Grams::default(),
        origin: Origin::default(),
        sender: format!("s{number}@example.net"),
        marks: None,
    }
}

#[tokio::test]
async fn training_and_settings_are_salvaged_and_merged_once_and_what_is_there_stays() {
    let (old, new, scratch) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (then, spam) = open(old.path());
    spam.learn(ANNA, lesson(1, Kind::Spam, &[1, 2])).await.unwrap();
    spam.learn(ANNA, lesson(2, Kind::Spam, &[2, 3])).await.unwrap();
    let block = Entry::new("bad.example", false).unwrap();
    spam.change_settings(ANNA, move |settings| {
        settings.level = Level::Strict;
        settings.list(block);
    })
    .await
    .unwrap();
    then.close();
    drop((then, spam));

    let (here, spam) = open(new.path());
    spam.learn(ANNA, lesson(2, Kind::Wanted, &[2, 3])).await.unwrap();
    assert_eq!(spam.model(ANNA).unwrap().counts.totals().spam, 0);
    let (old, scratch, store) = (old.path().to_owned(), scratch.path().join("work"), here.clone());
    let work = tokio::task::spawn_blocking(move || {
        let salvaged = Salvaged::open(&old, &scratch, &StoreOptions::default(), &mut |_, _, _| {}).unwrap();
        let source = SalvageFrom {
            read: &salvaged,
            realm: ANNA,
            same_ids: None,
            is_part: false,
            keeps_deleted: false,
            store: &store,
        };
        let found = SpamPart.salvage(&source).unwrap().unwrap();
        assert!(!found.is_empty() && found.unreadable().is_empty());
        let before = store.seq();
        for (preview, writes) in [(true, false), (false, true), (false, false)] {
            let at = store.seq();
            let body = |id: &store::BodyId| salvaged.body(id);
            let mut progress = |_: &str, _, _| {};
            let mut into = Merging { store: &store, account: ANNA, preview, body: &body, progress: &mut progress };
            assert!(found.merge(&mut into).unwrap().is_all);
            assert_eq!(store.seq() > at, writes, "preview {preview}");
        }
        assert!(store.seq() > before);
    });
    work.await.unwrap();
    let model = spam.model(ANNA).unwrap();
    assert_eq!((model.counts.totals().spam, model.counts.totals().ham), (1, 1), "the model is read again");
    assert_eq!(model.word(&[2; 32]), Some(Kind::Wanted), "what the user says here stays");
    assert_eq!(model.word(&[1; 32]), Some(Kind::Spam));
    let settings = spam.settings(ANNA).unwrap();
    assert_eq!((settings.level, settings.entries.len()), (Level::Strict, 1));
    let snapshot = here.snapshot();
    assert_eq!(SpamPart.check(ANNA, &snapshot).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn the_base_has_what_several_accounts_that_share_taught_and_no_account_can_turn_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, spam) = open(dir.path());
    let account = RealmId::account;
    // Feature 7 is in everybody's spam, 100 + n in that of account n alone.
    for number in 1..=5u32 {
        spam.learn(account(number), lesson(number as u8, Kind::Spam, &[7, 100 + number])).await.unwrap();
        spam.learn(account(number), lesson(number as u8 + 100, Kind::Wanted, &[8])).await.unwrap();
    }
    spam.change_settings(account(3), |settings| settings.shares = false).await.unwrap();
    spam.gather_base().unwrap();
    let base = &spam.base().counts;
    assert_eq!((base.totals().spam, base.totals().ham), (4, 4), "account 3 keeps its own to itself");
    assert_eq!((base.of(7).spam, base.of(8).ham), (4, 4));
    assert_eq!((1..=5).map(|number| base.of(100 + number).spam).sum::<u32>(), 0, "what one account has is not shared");
    // One account says of all its mail that what others want is spam.
    for number in 10..90 {
        spam.learn(account(1), lesson(number, Kind::Spam, &[8])).await.unwrap();
    }
    spam.gather_base().unwrap();
    let base = &spam.base().counts;
    assert!(base.of(8).spam <= 5, "{:?}", base.of(8));
    assert!(filter::spam::bayes::evidence(base, &[7]) > 0.0, "what the others taught holds");
    for number in [1, 2, 4] {
        spam.change_settings(account(number), |settings| settings.shares = false).await.unwrap();
    }
    spam.gather_base().unwrap();
    assert_eq!(spam.base().counts.len(), 0, "one account alone is no base");
}

/// A lesson with runs of characters and with a place that it came from.
fn mail(number: u8, kind: Kind, text: &str) -> Learned {
    let raw = format!("From: a@s{}.example\r\nSubject: {text} {number}\r\n\r\n{text}, {number} times.\r\n", number % 3);
    let parsed = mailkit::parse(raw.as_bytes());
    Learned {
        features: filter::spam::features(raw.as_bytes(), &parsed, false).hashes,
        grams: Grams::of(raw.as_bytes(), &parsed),
        origin: Origin { network: Some(format!("203.0.{number}.0/24")), ..Origin::default() },
        sender: format!("a@s{}.example", number % 3),
        ..lesson(number, kind, &[])
    }
}

const SPAM_TEXT: &str = "Order cheap pills now without prescription";
const WANTED_TEXT: &str = "The minutes of our meeting on Tuesday are attached";

#[tokio::test]
async fn a_model_that_followed_each_word_says_what_one_made_of_the_records_says() {
    let dir = tempfile::tempdir().unwrap();
    let (store, spam) = open(dir.path());
    for number in 0..20 {
        let (kind, text) = if number % 2 == 0 { (Kind::Spam, SPAM_TEXT) } else { (Kind::Wanted, WANTED_TEXT) };
        spam.learn(ANNA, mail(number, kind, text)).await.unwrap();
        spam.model(ANNA).unwrap();
    }
    let (offer, minutes) = (mail(77, Kind::Spam, SPAM_TEXT), mail(78, Kind::Wanted, WANTED_TEXT));
    let fresh = Spam::new(store.clone());
    for spam in [&spam, &fresh] {
        let model = spam.model(ANNA).unwrap();
        assert!(model.wording.evidence(&offer.grams) > 5.0 && model.wording.evidence(&minutes.grams) < -5.0);
        assert_eq!((model.counts.totals().spam, model.counts.totals().ham), (10, 10));
        assert_eq!(model.reputation.len(), 3 + 20);
    }
    assert_eq!(SpamPart.check(ANNA, &store.snapshot()).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_word_that_is_taken_back_leaves_no_wording_and_no_reputation_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, spam) = open(dir.path());
    for number in 0..6 {
        spam.learn(ANNA, mail(number, Kind::Spam, SPAM_TEXT)).await.unwrap();
        spam.learn(ANNA, mail(number + 100, Kind::Wanted, WANTED_TEXT)).await.unwrap();
    }
    assert!(spam.model(ANNA).unwrap().wording.evidence(&mail(77, Kind::Spam, SPAM_TEXT).grams) > 2.0);
    // All of it is moved back.
    for number in 0..6 {
        spam.learn(ANNA, mail(number, Kind::Wanted, SPAM_TEXT)).await.unwrap();
        spam.learn(ANNA, mail(number + 100, Kind::Spam, WANTED_TEXT)).await.unwrap();
    }
    let fresh = Spam::new(store);
    for spam in [&spam, &fresh] {
        let wording = &spam.model(ANNA).unwrap().wording;
        assert!(wording.evidence(&mail(77, Kind::Spam, SPAM_TEXT).grams) < -2.0);
        assert!(wording.evidence(&mail(78, Kind::Wanted, WANTED_TEXT).grams) > 2.0);
    }
    spam.reset(ANNA).await.unwrap();
    let model = spam.model(ANNA).unwrap();
    assert!(model.reputation.is_empty() && model.wording.evidence(&mail(77, Kind::Spam, SPAM_TEXT).grams).abs() < f64::EPSILON);
}

#[tokio::test]
async fn each_word_counts_once_and_is_taken_back_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, spam) = open(dir.path());
    for _ in 0..3 {
        spam.learn(ANNA, lesson(1, Kind::Spam, &[1, 2])).await.unwrap();
    }
    assert_eq!(spam.model(ANNA).unwrap().counts.of(1).spam, 1);
    assert!(spam.learn(ANNA, lesson(1, Kind::Wanted, &[1, 2])).await.unwrap());
    let counts = &spam.model(ANNA).unwrap().counts;
    assert_eq!((counts.of(1).spam, counts.of(1).ham, counts.totals().spam), (0, 1, 0));
    let conduct = Learned { by: By::Conduct, ..lesson(1, Kind::Spam, &[1, 2]) };
    assert!(!spam.learn(ANNA, conduct).await.unwrap(), "the user's word stays");
}
