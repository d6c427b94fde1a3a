//! Promises about messages with a prefix: all readers see the prefix and the body as one run of bytes.

use std::io::Read as _;
use std::sync::Arc;

use crate::world::{World, text};
use mailkit::SectionText;
use mailstore::salvage::{SalvageReading, salvaged_mail};
use mailstore::{MAX_PREFIX_BYTES, MailError, MailboxId, NewMessage, Role, SearchQuery};
use proptest::prelude::*;
use prost::Message as _;
use store::{BodyId, Read as _};

/// A message whose body is staged once, under some prefix.
fn under(world: &World, prefix: &[u8], body: &[u8]) -> NewMessage {
    let plain = world.message(body);
    let whole = [prefix, body].concat();
    NewMessage {
        body: plain.body.under(prefix.to_vec().into()).unwrap(),
        parsed: Arc::new(mailkit::parse(&whole)),
        ..plain
    }
}

/// All messages of a mailbox, as they are read.
fn read(world: &World, mailbox: MailboxId) -> Vec<Vec<u8>> {
    let uids = world.mail.view(world.account, mailbox).unwrap().uids().to_vec();
    let rows = world.mail.rows(world.account, mailbox, &uids).unwrap();
    rows.iter()
        .map(|row| {
            let bytes = world.mail.body_of(&row.body).unwrap().read_all().unwrap();
            assert_eq!(bytes.len() as u64, row.size);
            assert_eq!(row.parsed.size, row.size);
            assert_eq!(bytes, world.mail.body(world.account, row.email_id).unwrap().read_all().unwrap());
            bytes.to_vec()
        })
        .collect()
}

const RETURN_PATH: &[u8] = b"Return-Path: <ann@example.org>\r\nX-Delivered-By: the test\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn copies_under_several_prefixes_share_one_body_and_count_their_own_bytes() {
    let world = World::new().await;
    let body = text("one@x", "", "shared", "the words");
    let (inbox, sent) = (world.inbox(), world.mailbox(Role::Sent).id);
    let prefixes = [&b""[..], RETURN_PATH, b"X-Other: z\r\n"];
    for (mailbox, prefix) in [inbox, inbox, sent].into_iter().zip(prefixes) {
        world.mail.append(world.account, mailbox, under(&world, prefix, &body)).await.unwrap();
    }
    let whole = |prefix: &[u8]| [prefix, &body].concat();
    assert_eq!(read(&world, inbox), [whole(prefixes[0]), whole(prefixes[1])]);
    assert_eq!(read(&world, sent), [whole(prefixes[2])]);
    let used: usize = prefixes.iter().map(|prefix| prefix.len() + body.len()).sum();
    assert_eq!(world.mail.quota(world.account).unwrap().used_bytes, used as u64);
    let id = BodyId::of(&body);
    assert_eq!(world.store.body(&id).unwrap().read_all().unwrap(), body);
    assert!(world.store.body(&BodyId::of(&whole(prefixes[1]))).is_err(), "only the body is kept as one");
    world.assert_in_order();

    // Searching and exporting see both.
    let query = SearchQuery::Header { name: "X-Delivered-By".into(), contains: "the test".into() };
    let found = world.mail.search_uids(world.account, inbox, &query, None).unwrap();
    assert_eq!(found.hits.len(), 1);
    let out = tempfile::tempdir().unwrap();
    world.mail.export_maildir(world.account, out.path(), None, &mut |_| {}).unwrap();
    let mut exported = files(out.path());
    exported.sort();
    let mut expected: Vec<_> = prefixes.iter().map(|prefix| whole(prefix)).collect();
    expected.sort();
    assert_eq!(exported, expected);
}

/// The contents of all messages of a Maildir tree.
fn files(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if dir.ends_with("cur") || dir.ends_with("new") {
            found.push(std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_is_too_long_is_refused_by_name() {
    let world = World::new().await;
    let staged = || world.mail.stage(b"x").unwrap();
    assert!(staged().under(vec![b'x'; MAX_PREFIX_BYTES].into()).is_ok());
    let refused = staged().under(vec![b'x'; MAX_PREFIX_BYTES + 1].into());
    assert!(matches!(refused, Err(MailError::TooLarge { .. })));
}

/// The record of an email as versions without prefixes wrote it.
#[derive(Clone, PartialEq, prost::Message)]
struct OldEmailRecord {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(int64, tag = "3")]
    filed_ms: i64,
    #[prost(bytes = "vec", tag = "4")]
    parsed: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_an_older_version_has_no_prefix() {
    let world = World::new().await;
    let whole = [RETURN_PATH, &text("one@x", "", "old", "the words")].concat();
    let old = world.append(world.inbox(), &whole).await;
    let (account, key) = (world.account, [&[0x21][..], &old.email_id.0.to_be_bytes()].concat());
    let value = world.store.snapshot().get(account, &key).unwrap().unwrap();
    let record = OldEmailRecord::decode(value.clone()).unwrap();
    assert_eq!(record.encode_to_vec(), value, "an empty prefix is not written");
    let (put, at) = (record.encode_to_vec(), key.clone());
    let done = world.store.transact(move |tx| {
        tx.put(account, at, put);
        Ok::<_, store::StoreError>(())
    });
    done.await.unwrap();
    assert_eq!(read(&world, world.inbox()), [whole]);
    world.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn salvage_tells_messages_of_one_body_apart_and_files_each_once() {
    let (from, to) = (World::new().await, World::new().await);
    let body = text("one@x", "", "shared", "the words");
    for (mailbox, prefix) in [(from.inbox(), RETURN_PATH), (from.mailbox(Role::Sent).id, b"")] {
        from.mail.append(from.account, mailbox, under(&from, prefix, &body)).await.unwrap();
    }
    // The account has one of the two already.
    to.mail.append(to.account, to.mailbox(Role::Sent).id, under(&to, b"", &body)).await.unwrap();
    let reading = SalvageReading { names: &|_| None, keeps_deleted: false };
    let mail = salvaged_mail(&from.store.snapshot(), from.account, reading).unwrap();
    assert_eq!(mail.messages.len(), 2);
    let bytes_of = |id: &BodyId| Ok(Some(from.store.body(id)?.read_all()?));
    let file = || {
        tokio::task::block_in_place(|| {
            to.mail.file_salvaged(to.account, &mail.messages, false, &bytes_of, &mut |_| {}).unwrap()
        })
    };
    let filed = file();
    assert_eq!((filed.filed, filed.known), (1, 1));
    assert_eq!(read(&to, to.inbox()), read(&from, from.inbox()));
    assert_eq!(read(&to, to.mailbox(Role::Sent).id), [body]);
    let again = file();
    assert_eq!((again.filed, again.known), (0, 2));
    to.assert_in_order();
}

#[tokio::test(flavor = "multi_thread")]
async fn salvage_knows_a_message_wherever_its_prefix_ends() {
    let body = text("one@x", "", "shared", "the words");
    let whole = [RETURN_PATH, &body].concat();
    let splits = [0, 5, RETURN_PATH.len()];
    for at_source in splits {
        for here in splits {
            let (from, to) = (World::new().await, World::new().await);
            for (world, split) in [(&from, at_source), (&to, here)] {
                let message = under(world, &whole[..split], &whole[split..]);
                world.mail.append(world.account, world.inbox(), message).await.unwrap();
            }
            let reading = SalvageReading { names: &|_| None, keeps_deleted: false };
            let mail = salvaged_mail(&from.store.snapshot(), from.account, reading).unwrap();
            let bytes_of = |id: &BodyId| Ok(Some(from.store.body(id)?.read_all()?));
            for only_look in [true, false] {
                let filed = tokio::task::block_in_place(|| {
                    to.mail.file_salvaged(to.account, &mail.messages, only_look, &bytes_of, &mut |_| {}).unwrap()
                });
                assert_eq!((filed.filed, filed.known), (0, 1), "{at_source} {here}");
            }
        }
    }
}

fn any_message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let field = prop::sample::select(vec!["Return-Path: <a@b>\r\n", "Received: by x\r\n\twith y\r\n", "X-A: b\r\n"]);
    let prefix = prop::collection::vec(field, 0..5).prop_map(|fields| fields.concat().into_bytes());
    let piece = prop::sample::select(vec![
        "Subject: s\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "\r\n",
        "--b\r\n",
        "--b--\r\n",
        "text and more text\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n",
    ]);
    let body = prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat().into_bytes());
    (prefix, body)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every way of reading gives what the concatenation gives.
    #[test]
    fn every_reader_sees_the_concatenation(
        messages in prop::collection::vec(any_message(), 1..6),
        ranges in prop::collection::vec((0_u64..600, 0_usize..600), 1..12),
        piece in 1_usize..90,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let inbox = world.inbox();
            for (prefix, body) in &messages {
                world.mail.append(world.account, inbox, under(&world, prefix, body)).await.unwrap();
            }
            let wholes: Vec<Vec<u8>> = messages.iter().map(|(prefix, body)| [&prefix[..], body].concat()).collect();
            assert_eq!(read(&world, inbox), wholes);
            let uids = world.mail.view(world.account, inbox).unwrap().uids().to_vec();
            for (row, whole) in world.mail.rows(world.account, inbox, &uids).unwrap().iter().zip(&wholes) {
                let mut reader = world.mail.body_of(&row.body).unwrap();
                assert_eq!(reader.len(), whole.len() as u64);
                for (offset, len) in &ranges {
                    let start = whole.len().min(*offset as usize);
                    let end = whole.len().min(start + len);
                    assert_eq!(reader.read_range(*offset, *len).unwrap(), whole[start..end]);
                }
                let (mut streamed, mut buf) = (Vec::new(), vec![0; piece]);
                loop {
                    let count = reader.read(&mut buf).unwrap();
                    if count == 0 {
                        break;
                    }
                    streamed.extend_from_slice(&buf[..count]);
                }
                assert_eq!(&streamed, whole);
                assert_eq!(*row.parsed, mailkit::parse(whole));
                let header = row.parsed.section(&[], SectionText::Header).unwrap();
                assert!(header.end >= messages[0].0.len().min(whole.len()) as u64 || header.start == 0);
            }
            let state = world.mail.quota(world.account).unwrap();
            assert_eq!(state.used_bytes, wholes.iter().map(|whole| whole.len() as u64).sum::<u64>());
            world.assert_in_order();
        });
    }
}
