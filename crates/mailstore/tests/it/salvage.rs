//! Promises about salvaged mail: what the account lacks is filed where it was, once, however often it is cut off.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::world::{World, text};
use mailstore::salvage::{SalvageReading, SalvagedMail, salvaged_mail};
use mailstore::{FlagChange, Flags, MailboxName, Role, SystemFlag};
use store::{BodyId, Order, Read, RealmId, RealmSeq, Rows, StoreError};

/// Mail in which some kinds of keys can't be read.
struct Without<'a> {
    snapshot: store::Snapshot,
    kinds: &'a [u8],
}

impl Read for Without<'_> {
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        self.snapshot.get(realm, key)
    }

    fn range(
        &self,
        realm: RealmId,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        order: Order,
    ) -> Result<Rows<'_>, StoreError> {
        // Bounds that hold nothing stand for rows that are gone.
        let none = (Bound::Included(vec![0]), Bound::Excluded(vec![0]));
        let first = match &range.0 {
            Bound::Included(key) => key.first().copied(),
            _ => None,
        };
        let is_gone = first.is_some_and(|first| self.kinds.contains(&first));
        self.snapshot.range(realm, if is_gone { none } else { range }, order)
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        self.snapshot.realm_seq(realm)
    }
}

fn read(world: &World, kinds: &[u8], keeps_deleted: bool) -> SalvagedMail {
    let reading = SalvageReading { names: &|_| None, keeps_deleted };
    salvaged_mail(&Without { snapshot: world.store.snapshot(), kinds }, world.account, reading).unwrap()
}

async fn filled() -> World {
    let world = World::new().await;
    let inbox = world.inbox();
    let work = world.create("Work/Plans").await;
    for number in 0..5 {
        let mut message = world.message(&text(&format!("{number}@x"), "", &format!("s{number}"), "body"));
        message.internal_date_ms += i64::from(number);
        message.flags = Flags::parse(["\\Flagged", "$Important"]).unwrap();
        world.mail.append(world.account, inbox, message).await.unwrap();
    }
    let uids = world.mail.view(world.account, inbox).unwrap().uids().to_vec();
    world.mail.copy(world.account, inbox, &uids[..1], work).await.unwrap();
    world
}

type Seen = BTreeMap<(String, i64), (String, Vec<String>, bool)>;

/// Mailbox and date, subject, keywords, whether it is flagged.
fn seen(world: &World) -> Seen {
    let mut seen = Seen::new();
    for mailbox in world.mail.mailboxes(world.account).unwrap() {
        let uids = world.mail.view(world.account, mailbox.id).unwrap().uids().to_vec();
        for row in world.mail.rows(world.account, mailbox.id, &uids).unwrap() {
            let keywords = row.flags.keywords().iter().map(ToString::to_string).collect();
            let about = (row.parsed.subject.clone(), keywords, row.flags.flagged());
            let before = seen.insert((mailbox.name.to_string(), row.internal_date_ms), about);
            assert!(before.is_none(), "{:?} is there twice", row.parsed.subject);
        }
    }
    seen
}

fn file(
    to: &World,
    mail: &SalvagedMail,
    from: &World,
    only: u32,
) -> Result<mailstore::salvage::SalvageFiled, mailstore::MailError> {
    let left = Cell::new(only);
    let bytes_of = |id: &BodyId| {
        if left.get() == 0 {
            return Err(StoreError::Stopped { reason: "cut off".to_owned() });
        }
        left.set(left.get() - 1);
        Ok(Some(from.store.body(id)?.read_all()?))
    };
    tokio::task::block_in_place(|| to.mail.file_salvaged(to.account, &mail.messages, false, &bytes_of, &mut |_| {}))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filed_is_as_it_was_and_a_second_run_files_nothing() {
    let (from, to) = (filled().await, World::new().await);
    let mail = read(&from, &[], false);
    assert_eq!(mail.messages.len(), 5);
    assert_eq!(mail.messages[0].subject.as_deref(), Some("s0"));
    let filed = file(&to, &mail, &from, 100).unwrap();
    assert_eq!((filed.filed, filed.known, filed.made), (5, 0, vec![MailboxName::new("Work/Plans").unwrap()]));
    assert_eq!(seen(&to), seen(&from));
    assert_eq!(seen(&to).len(), 6);
    let again = file(&to, &mail, &from, 0).unwrap();
    assert_eq!((again.filed, again.known), (0, 5));
    assert_eq!(seen(&to), seen(&from));
    to.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_anywhere_is_completed_by_the_next() {
    let from = filled().await;
    let mail = read(&from, &[], false);
    for cut in 0..5 {
        let to = World::new().await;
        // What was filed before it was cut off.
        let some = SalvagedMail { messages: mail.messages[..cut].to_vec(), ..SalvagedMail::default() };
        file(&to, &some, &from, 100).unwrap();
        assert!(file(&to, &mail, &from, 1).is_err() || cut == 4);
        file(&to, &mail, &from, 100).unwrap();
        assert_eq!(seen(&to), seen(&from), "cut off after {cut}");
        to.assert_in_order();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_has_anywhere_or_had_from_an_earlier_run_is_not_filed_again() {
    let (from, to) = (filled().await, World::new().await);
    let mail = read(&from, &[], false);
    let archive = to.mailbox(Role::Archive).id;
    to.append(archive, &text("2@x", "", "s2", "body")).await;
    let filed = file(&to, &mail, &from, 100).unwrap();
    assert_eq!((filed.filed, filed.known), (4, 1));
    let inbox = to.inbox();
    let uids = to.mail.view(to.account, inbox).unwrap().uids().to_vec();
    to.mail.expunge(to.account, inbox, &uids[1..2]).await.unwrap();
    let before = seen(&to);
    let again = file(&to, &mail, &from, 100).unwrap();
    assert_eq!((again.filed, again.known), (0, 5), "what was deleted stays deleted");
    assert_eq!(seen(&to), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_record_may_be_missing() {
    let from = filled().await;
    // Names stand in two records, bodies in two; without entries everything is in INBOX.
    for (kinds, mailboxes, subjects) in [
        (&[0x11_u8][..], 2, true),
        (&[0x13], 2, true),
        (&[0x21], 2, false),
        (&[0xFF], 2, true),
        (&[0x11, 0x13], 1, true),
        (&[0x20], 1, true),
        (&[0x10, 0x12, 0x22, 0x23, 0x28, 0x29, 0x2A, 0x2B, 0x2C], 2, true),
    ] {
        let mail = read(&from, kinds, false);
        assert_eq!(mail.messages.len(), 5, "without {kinds:02x?}");
        assert_eq!(mail.messages.iter().all(|message| message.subject.is_some()), subjects);
        let names: BTreeSet<_> =
            mail.messages.iter().flat_map(|message| message.places.iter().map(|place| &place.mailbox)).collect();
        assert_eq!(names.len(), mailboxes, "without {kinds:02x?}");
        let to = World::new().await;
        assert_eq!(file(&to, &mail, &from, 100).unwrap().filed, 5);
        to.assert_in_order();
    }
    let mail = read(&from, &[0x21, 0xFF], false);
    assert_eq!((mail.messages.len(), mail.nothing_known.len()), (0, 6), "what is only an entry is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_deletions_do_not_count_a_message_is_where_it_was_put_last() {
    let from = filled().await;
    let inbox = from.inbox();
    let uids = from.mail.view(from.account, inbox).unwrap().uids().to_vec();
    let change = FlagChange::Add(Flags::of(&[SystemFlag::Deleted]));
    from.mail.set_flags(from.account, inbox, &uids[1..2], change, None).await.unwrap();
    let mail = read(&from, &[], true);
    assert!(mail.messages.iter().all(|message| message.places.len() == 1));
    assert_eq!(mail.messages.iter().filter(|m| m.places[0].mailbox.as_str() == "Work/Plans").count(), 1);
    assert!(mail.messages.iter().all(|message| !message.places[0].flags.deleted()));
}
