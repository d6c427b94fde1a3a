//! What accounts taught the spam filter, as a part of their realms: salvaged and merged, shared, and taken back exactly.

use std::path::Path;

use filter::spam::{
    By, Entry, Facts, Grams, Kind, Known, Learned, Level, Model, Origin, Sender, Settings, Spam, SpamPart, judge,
};
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
    assert!(
        model.reputation.is_empty()
            && model.wording.evidence(&mail(77, Kind::Spam, SPAM_TEXT).grams).abs() < f64::EPSILON
    );
}

/// A doubtful message of that domain: 4.5 without anything learned.
fn doubtful(domain: &str, network: &str, genuine: Option<bool>) -> Facts {
    let raw = format!("From: a@{domain}\r\nSubject: x\r\n\r\n");
    let parsed = mailkit::parse(raw.as_bytes());
    let origin = Origin { network: Some(network.to_owned()), ..Origin::default() };
    let sender = Sender { is_genuine: genuine, listed_by: vec!["list".to_owned()], origin, ..Sender::default() };
    Facts::of([200; 32], raw.as_bytes(), &parsed, sender)
}

#[tokio::test]
async fn reputation_is_a_reason_that_adds_up_and_no_word_of_the_user_yields_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, spam) = open(dir.path());
    let learned = |number: u8, kind: Kind, sender: &str, network: &str| Learned {
        sender: sender.to_owned(),
        origin: Origin { network: Some(network.to_owned()), ..Origin::default() },
        ..lesson(number, kind, &[])
    };
    for number in 0..12 {
        spam.learn(ANNA, learned(number, Kind::Spam, "x@bad.example", "203.0.113.0/24")).await.unwrap();
        spam.learn(ANNA, learned(number + 50, Kind::Wanted, "x@good.example", "198.51.100.0/24")).await.unwrap();
    }
    let model = spam.model(ANNA).unwrap();
    let nobody = Known::default();
    for (domain, network, genuine, reasons, lacks) in [
        ("bad.example", "192.0.2.0/24", None, vec![("domain", true)], vec!["network"]),
        ("bad.example", "203.0.113.0/24", None, vec![("domain", true), ("network", true)], vec![]),
        ("bad.example", "192.0.2.0/24", Some(false), vec![], vec!["domain", "network"]),
        ("good.example", "198.51.100.0/24", Some(true), vec![("domain", false), ("network", false)], vec![]),
        ("good.example", "192.0.2.0/24", None, vec![], vec!["domain", "network"]),
        ("new.example", "192.0.2.0/24", Some(true), vec![], vec!["domain", "network", "signer"]),
    ] {
        let facts = doubtful(domain, network, genuine);
        let judged = judge(&facts, &nobody, &model, &Settings::default());
        for (code, is_bad) in reasons {
            let reason = judged.score.reasons().iter().find(|reason| reason.code == code).unwrap();
            assert_eq!(reason.points.0 > 0, is_bad, "{domain} {network} {reason:?}");
        }
        for code in lacks {
            assert!(!judged.score.has(code), "{domain} {network} {code}");
        }
        let sum: i32 = judged.score.reasons().iter().map(|reason| reason.points.0).sum();
        assert_eq!(sum, judged.score.total().0);
        let allowed = Settings { entries: vec![Entry::new(domain, true).unwrap()], ..Settings::default() };
        if genuine != Some(false) {
            assert!(!judge(&facts, &nobody, &model, &allowed).is_spam, "{domain}: the list wins");
        }
    }
}

#[tokio::test]
async fn only_what_is_doubtful_and_without_history_is_suspicious() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, spam) = open(dir.path());
    let of = |facts: &Facts, known: &Known, model: &Model, level: Level| {
        judge(facts, known, model, &Settings { level, ..Settings::default() }).is_suspicious()
    };
    let (nobody, friend) = (Known::default(), Known { contact: true, ..Known::default() });
    let (facts, empty) = (doubtful("new.example", "192.0.2.0/24", None), Model::default());
    let levels = Level::ALL.map(|level| of(&facts, &nobody, &empty, level));
    assert_eq!(levels, [false, false, true, true, false], "near the limit of normal and strict");
    assert_eq!(Level::ALL.map(|level| of(&facts, &friend, &empty, level)), [false; 5]);
    let listed = Settings { entries: vec![Entry::new("new.example", false).unwrap()], ..Settings::default() };
    assert!(!judge(&facts, &nobody, &empty, &listed).is_suspicious(), "blocked is not doubtful");
    let plain = Facts::of(
        [9; 32],
        b"From: a@new.example\r\n\r\n",
        &mailkit::parse(b"From: a@new.example\r\n\r\n"),
        Sender::default(),
    );
    assert!(!of(&plain, &nobody, &empty, Level::Normal), "nothing speaks against it");
    let kept = Learned {
        by: By::Conduct,
        origin: Origin { network: Some("192.0.2.0/24".to_owned()), ..Origin::default() },
        ..lesson(1, Kind::Wanted, &[])
    };
    spam.learn(ANNA, kept).await.unwrap();
    assert!(!of(&facts, &nobody, &spam.model(ANNA).unwrap(), Level::Normal), "the network is known");
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
