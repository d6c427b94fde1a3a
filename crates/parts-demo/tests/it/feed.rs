//! The change feed against a model: what a follower knows by the feed alone is what there is, from wherever it began and
//! however small the pages are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use mailstore::{Children, FlagChange, Flags, MailStore, MailboxId, MailboxName, MessageEntry, NewMessage, SystemFlag};
use people::{Card, People};
use realm::feed::{Change, Changes, Id, Kind, Position, Since, changes_since, position};
use store::{Read as _, RealmId, Store, StoreOptions};

use crate::parts;

const ALL: [Kind; 6] =
    [mailstore::EMAIL, mailstore::MAILBOX, mailstore::THREAD, people::CONTACT, people::GROUP, parts_demo::NOTE];

/// All things of an account, each with what a follower would see of it.
type State = BTreeMap<(Kind, Id), String>;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    mail: MailStore,
    people: People,
    account: RealmId,
}

impl World {
    fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    fn with(options: StoreOptions) -> Self {
        Self::at(tempfile::tempdir().unwrap(), options)
    }

    fn at(dir: tempfile::TempDir, options: StoreOptions) -> Self {
        let options = StoreOptions { derive: Some(parts().derive()), ..options };
        let store = Store::open(dir.path(), options).unwrap();
        let (mail, people) = (MailStore::new(store.clone()), People::new(store.clone()));
        Self { _dir: dir, store, mail, people, account: RealmId::account(1) }
    }

    /// Read from the records, not from the feed.
    fn state(&self) -> State {
        let (mut state, snapshot) = (State::new(), self.store.snapshot());
        let mut threads: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        let mut emails: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for mailbox in self.mail.mailboxes(self.account).unwrap() {
            let (total, unread) = (mailbox.total, mailbox.unread);
            let told = format!("{} {total} {unread}", mailbox.name);
            state.insert((mailstore::MAILBOX, u64::from(mailbox.id.0).into()), told);
            for entry in self.entries(mailbox.id) {
                let told = format!("{} {:?}", mailbox.id, entry.flags);
                emails.entry(entry.email_id.0).or_default().insert(told);
                threads.entry(entry.thread_id.0).or_default().insert(entry.email_id.0);
            }
        }
        state.extend(emails.into_iter().map(|(id, told)| ((mailstore::EMAIL, id.into()), format!("{told:?}"))));
        state.extend(threads.into_iter().map(|(id, told)| ((mailstore::THREAD, id.into()), format!("{told:?}"))));
        let book = self.people.book(self.account).unwrap();
        state.extend(book.contacts.iter().map(|(id, card)| ((people::CONTACT, id.0.into()), format!("{card:?}"))));
        state.extend(book.groups.iter().map(|(id, group)| ((people::GROUP, id.0.into()), format!("{group:?}"))));
        for row in snapshot.prefix(self.account, &parts_demo::note(0)[..1], store::Order::Ascending).unwrap() {
            let (key, text) = row.unwrap();
            state.insert((parts_demo::NOTE, u64::from(key[1]).into()), format!("{text:?}"));
        }
        state
    }

    fn entries(&self, mailbox: MailboxId) -> Vec<MessageEntry> {
        let uids: Vec<_> = self.mail.view(self.account, mailbox).unwrap().uids().to_vec();
        self.mail.entries(self.account, mailbox, &uids).unwrap()
    }

    fn position(&self) -> Position {
        position(&self.store.snapshot(), self.account).unwrap()
    }

    /// All changes since a position, in pages.
    fn since(&self, mut at: Position, page: &mut dyn FnMut() -> usize) -> Vec<Changes> {
        let (snapshot, mut pages) = (self.store.snapshot(), Vec::new());
        loop {
            let max = page();
            let Since::Changes(changes) = changes_since(&snapshot, self.account, at, &ALL, max).unwrap() else {
                panic!("{at} can't be told")
            };
            assert!(changes.changes.len() <= max);
            assert!(!changes.has_more || changes.until != at, "a page goes on");
            at = changes.until;
            // Clients keep it as text.
            assert_eq!(at.to_string().parse(), Ok(at));
            let has_more = changes.has_more;
            pages.push(changes);
            if !has_more {
                return pages;
            }
        }
    }

    /// One random change, or several.
    async fn act(&self, random: &mut impl FnMut(u64) -> u64, number: u64) {
        let (mail, people, account, key) = (&self.mail, &self.people, self.account, number.to_be_bytes());
        let mailboxes = mail.mailboxes(account).unwrap();
        let name = MailboxName::new(&format!("M{}", random(4))).unwrap();
        let other = MailboxName::new(&format!("M{}", random(4))).unwrap();
        let some = |random: &mut dyn FnMut(u64) -> u64| -> Option<(MailboxId, Vec<MessageEntry>, MailboxId)> {
            let from = mailboxes.get(random(mailboxes.len().max(1) as u64) as usize)?.id;
            let to = mailboxes.get(random(mailboxes.len() as u64) as usize)?.id;
            Some((from, self.entries(from), to))
        };
        let book = people.book(account).unwrap();
        let contact = book.contacts.keys().nth(random(6) as usize).copied();
        let group = book.groups.keys().nth(random(3) as usize).copied();
        // What is refused changes nothing, and the feed must not say that it did.
        match random(15) {
            0 => drop(mail.create_mailbox(account, name, None).await),
            1 => drop(mail.delete_mailbox(account, name, Children::Keep).await),
            2 => drop(mail.rename_mailbox(account, name, other).await),
            3 => drop(mail.subscribe(account, name, random(2) == 0).await),
            4..=7 => {
                let Some((_, _, to)) = some(random) else { return };
                let (id, parent) = (random(40), random(40));
                let raw = format!(
                    "From: a@x.example\r\nMessage-ID: <{id}@x>\r\nIn-Reply-To: <{parent}@x>\r\n\
                     Subject: s{}\r\n\r\n{number}\r\n",
                    random(3)
                );
                let message = NewMessage {
                    body: mail.stage(raw.as_bytes()).unwrap(),
                    parsed: Arc::new(mailkit::parse(raw.as_bytes())),
                    flags: Flags::NONE,
                    internal_date_ms: i64::try_from(number).unwrap(),
                    delivery_key: None,
                    ignore_quota: false,
                };
                mail.append(account, to, message).await.unwrap();
            }
            8..=11 => {
                let Some((from, entries, to)) = some(random) else { return };
                let uids: Vec<_> = entries.iter().filter(|_| random(3) == 0).map(|entry| entry.uid).collect();
                match random(5) {
                    0 => drop(mail.copy(account, from, &uids, to).await),
                    1 => drop(mail.move_(account, from, &uids, to).await),
                    2 => drop(mail.expunge(account, from, &uids).await),
                    _ => {
                        let flag = [SystemFlag::Seen, SystemFlag::Flagged, SystemFlag::Deleted][random(3) as usize];
                        let change = FlagChange::Add(Flags::of(&[flag]));
                        drop(mail.set_flags(account, from, &uids, change, None).await);
                    }
                }
            }
            12 => {
                let card = Card::of(&format!("N{}", random(5)), &format!("a{}@x.example", random(9)));
                drop(people.save(account, &key, contact, card, group.map(|group| vec![group])).await);
            }
            13 => match (contact, group, random(4)) {
                (Some(contact), _, 0) => drop(people.delete(account, &key, vec![contact]).await),
                (Some(contact), Some(group), 1) => drop(people.set_members(account, group, vec![contact], true).await),
                (_, Some(group), 2) => drop(people.delete_group(account, &key, group).await),
                _ => drop(people.create_group(account, &key, &format!("G{}", random(4))).await),
            },
            _ => {
                // Of an act before: what was deleted has the same id when it comes back.
                drop(people.undo(account, &(number.saturating_sub(1 + random(4))).to_be_bytes()).await);
                let number = random(3) as u8;
                let text = [Some(&b"x"[..]), Some(b"y"), None][random(3) as usize];
                super::write(&self.store, account, &[(parts_demo::note(number), text)]).await;
            }
        }
    }
}

/// What a follower knows that had `then` and is told `changes` of `now`, page by page.
fn replayed(then: &State, pages: &[Changes], now: &State) -> State {
    let mut known = then.clone();
    for (kind, id, change) in pages.iter().flat_map(|page| &page.changes) {
        let at = (*kind, id.clone());
        match change {
            Change::Destroyed => drop(known.remove(&at)),
            // It reads what is there now. What a later page destroys is there no more.
            Change::Created | Change::Updated => {
                known.insert(at.clone(), now.get(&at).cloned().unwrap_or_default());
            }
        }
    }
    known
}

fn random(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_feed_from_anywhere_knows_what_is_there() {
    for seed in [88_172_645_463_325_252, 1_181_783_497_276_652_981] {
        let (world, mut random) = (World::new(), random(seed));
        world.mail.create_mailbox(world.account, MailboxName::inbox(), None).await.unwrap();
        let mut points = vec![(Position { validity: 0, seq: store::RealmSeq(0), taken: 0 }, State::new())];
        for number in 0..120 {
            world.act(&mut random, number).await;
            points.push((world.position(), world.state()));
        }
        let now = world.state();
        for (at, then) in &points {
            let whole = world.since(*at, &mut || 10_000);
            let small = world.since(*at, &mut || 1 + random(4) as usize);
            for pages in [&whole, &small] {
                assert_eq!(replayed(then, pages, &now), now, "seed {seed}, from {at}");
                assert_eq!(pages.last().unwrap().until, world.position());
            }
            // In one answer each thing is what became of it in all.
            let [whole] = &whole[..] else { panic!("one page") };
            for (kind, id, change) in &whole.changes {
                let at = (*kind, id.clone());
                let (was, is) = (then.contains_key(&at), now.contains_key(&at));
                let due = match change {
                    Change::Created => (false, true),
                    Change::Updated => (true, true),
                    Change::Destroyed => (true, false),
                };
                assert_eq!((was, is), due, "seed {seed}: {at:?} {change:?}");
            }
        }
        assert!(parts().iter().all(|part| part.check(world.account, &world.store.snapshot()).unwrap().is_empty()));
        assert!(parts().unknown_keys(world.account, &world.store.snapshot()).unwrap().is_empty());
    }
}

impl World {
    /// What is told of notes since a position; `None` if it can't be told.
    fn notes_since(&self, since: Position) -> Option<Vec<(Id, Change)>> {
        match changes_since(&self.store.snapshot(), self.account, since, &[parts_demo::NOTE], 100).unwrap() {
            Since::CantTell => None,
            Since::Changes(changes) => Some(changes.changes.into_iter().map(|(_, id, change)| (id, change)).collect()),
        }
    }

    async fn note(&self, number: u8, text: Option<&[u8]>) -> Position {
        super::write(&self.store, self.account, &[(parts_demo::note(number), text)]).await;
        self.position()
    }
}

fn at(seq: u64) -> Position {
    Position { validity: 0, seq: store::RealmSeq(seq), taken: 0 }
}

#[tokio::test]
async fn each_thing_is_told_once_as_what_became_of_it() {
    let world = World::new();
    let (one, two) = (Id::Number(1), Id::Number(2));
    let begin = world.position();
    let made = world.note(1, Some(b"x")).await;
    let changed = world.note(1, Some(b"y")).await;
    let gone = world.note(1, None).await;
    let again = world.note(1, Some(b"z")).await;
    for (since, due) in [
        (begin, vec![(one.clone(), Change::Created)]),
        (made, vec![(one.clone(), Change::Updated)]),
        (changed, vec![(one.clone(), Change::Updated)]),
        (gone, vec![(one.clone(), Change::Created)]),
        (again, vec![]),
    ] {
        assert_eq!(world.notes_since(since), Some(due), "since {since}");
    }
    let gone_again = world.note(1, None).await;
    assert_eq!(world.notes_since(begin), Some(vec![]), "created and destroyed in between");
    assert_eq!(world.notes_since(made), Some(vec![(one.clone(), Change::Destroyed)]));
    // What is deleted and was not there, and what is no thing, is no change.
    assert_eq!(world.note(9, None).await, gone_again);
    super::write(&world.store, world.account, &[(vec![0x04], Some(b""))]).await;
    let notes = [(parts_demo::note(1), Some(&b"a"[..])), (parts_demo::note(2), Some(b"b"))];
    super::write(&world.store, world.account, &notes).await;
    assert_eq!(world.notes_since(gone_again), Some(vec![(one, Change::Created), (two, Change::Created)]));
    // Other kinds are another feed.
    let others = changes_since(&world.store.snapshot(), world.account, begin, &[people::CONTACT], 100).unwrap();
    assert!(matches!(others, Since::Changes(changes) if changes.changes.is_empty() && !changes.has_more));
}

#[tokio::test]
async fn a_page_ends_anywhere_and_the_next_goes_on_there() {
    let world = World::new();
    let begin = world.position();
    let some = |from: u8| (from..from + 5).map(|n| (parts_demo::note(n), Some(&b"x"[..]))).collect::<Vec<_>>();
    for from in [0, 5, 10] {
        super::write(&world.store, world.account, &some(from)).await;
    }
    for max in 1..20 {
        let (mut since, mut seen) = (begin, Vec::new());
        loop {
            let told = changes_since(&world.store.snapshot(), world.account, since, &ALL, max).unwrap();
            let Since::Changes(page) = told else { panic!("{since} can't be told") };
            assert!(page.changes.len() == max || !page.has_more, "full pages of {max}");
            since = page.until;
            seen.extend(page.changes.into_iter().map(|(_, id, _)| id));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, (0..15).map(Id::Number).collect::<Vec<_>>(), "pages of {max}");
        assert_eq!(since, world.position());
    }
}

#[tokio::test]
async fn what_is_no_position_of_this_feed_or_too_long_ago_can_not_be_told() {
    let world = World::new();
    world.note(1, Some(b"x")).await;
    let now = world.note(2, Some(b"y")).await;
    assert!(world.notes_since(at(0)).is_some() && world.notes_since(now).is_some());
    assert_eq!(world.notes_since(at(now.seq.0 + 1)), None, "a commit to come");
    assert_eq!(world.notes_since(Position { validity: 1, ..now }), None, "another feed's");
    // After a restore that lost the latest commits, numbers are given again.
    let account = world.account;
    let renumbered = world.store.transact(move |tx| realm::feed::renumber_in(tx, account));
    renumbered.await.unwrap();
    for lost in 0..=now.seq.0 + 5 {
        world.note(3, Some(&lost.to_be_bytes())).await;
        assert_eq!(world.notes_since(at(lost)), None);
    }
    assert_ne!(world.position().validity, 0);
    assert_eq!(world.notes_since(world.position()), Some(vec![]));
}

#[tokio::test]
async fn what_is_older_than_the_retention_time_is_forgotten_and_said_to_be() {
    let world = World::with(StoreOptions { retention: std::time::Duration::ZERO, ..StoreOptions::default() });
    let first = world.note(1, Some(b"x")).await;
    let last = world.note(2, Some(b"y")).await;
    let made_ms = world.store.clock().now_ms();
    while world.store.clock().now_ms() <= made_ms {
        std::thread::yield_now();
    }
    parts().maintain(&world.store).await;
    assert_eq!(world.notes_since(first), None);
    assert_eq!(world.notes_since(last), Some(vec![]), "nothing has happened since");
    assert_eq!(world.position(), last);
    world.note(3, Some(b"z")).await;
    assert_eq!(world.notes_since(last), Some(vec![(Id::Number(3), Change::Created)]));
    let rows = world.store.snapshot().prefix(world.account, &[0x71], store::Order::Ascending).unwrap().count();
    assert_eq!(rows, 1);
    assert!(parts().iter().all(|part| part.check(world.account, &world.store.snapshot()).unwrap().is_empty()));
}

#[tokio::test]
async fn a_folder_from_before_the_feed_begins_one_with_its_next_change() {
    let dir = tempfile::tempdir().unwrap();
    let account = RealmId::account(1);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let notes = [(parts_demo::note(1), Some(&b"x"[..])), (parts_demo::note(2), Some(b"y"))];
    super::write(&store, account, &notes[..1]).await;
    super::write(&store, account, &notes[1..]).await;
    store.close();
    drop(store);
    let world = World::at(dir, StoreOptions::default());
    let old = world.position();
    assert_eq!(old, at(2));
    assert_eq!((world.notes_since(at(0)), world.notes_since(at(1))), (None, None));
    assert_eq!(world.notes_since(old), Some(vec![]));
    world.note(1, None).await;
    world.note(3, Some(b"z")).await;
    let due = vec![(Id::Number(1), Change::Destroyed), (Id::Number(3), Change::Created)];
    assert_eq!(world.notes_since(old), Some(due));
    assert_eq!((world.notes_since(at(0)), world.notes_since(at(1))), (None, None));
}

#[tokio::test]
async fn a_commit_of_more_than_a_record_holds_makes_followers_read_all_again() {
    let world = World::new();
    let before = world.note(1, Some(b"x")).await;
    let account = world.account;
    let many = world.store.transact(move |tx| {
        // Ids that take nine bytes each.
        for number in (u64::MAX - 120_000)..u64::MAX {
            tx.put(account, [&[0x51][..], &number.to_be_bytes()].concat(), Vec::new());
        }
        Ok::<_, store::StoreError>(())
    });
    many.await.unwrap();
    assert_eq!(world.notes_since(before), None);
    let after = world.position();
    world.note(2, Some(b"y")).await;
    assert_eq!(world.notes_since(after), Some(vec![(Id::Number(2), Change::Created)]));
}

#[tokio::test]
async fn the_first_format_begins_a_feed() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/format/v1");
    let dir = tempfile::tempdir().unwrap();
    for folder in ["", "log", "packs"] {
        std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        for file in std::fs::read_dir(kept.join(folder)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), dir.path().join(folder).join(file.file_name())).unwrap();
            }
        }
    }
    store::rebuild_index(dir.path(), &StoreOptions::default(), |_, _, _| ()).unwrap();
    let world = World::at(dir, StoreOptions::default());
    let begin = world.position();
    assert_eq!(begin, at(12));
    assert!((0..12).all(|seq| world.notes_since(at(seq)).is_none()));
    world.note(1, Some(b"x")).await;
    assert_eq!(world.notes_since(begin), Some(vec![(Id::Number(1), Change::Created)]));
    assert!((0..12).all(|seq| world.notes_since(at(seq)).is_none()));
}
