//! Frames come as they went, or not at all.

use proptest::prelude::*;

use super::*;
use crate::fuzzing::{LIMITS, frames};

fn letter() -> impl Strategy<Value = Letter> {
    let envelope = (any::<u64>(), ".{0,30}", prop::collection::vec(".{0,20}", 0..4), any::<[bool; 3]>());
    let origin = (".{0,20}", prop::option::of(".{0,20}"), prop::option::of(".{0,20}"), any::<i64>());
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let refused = prop::collection::vec((".{0,20}", ".{0,20}"), 0..3);
    let submitter = prop::option::of((any::<u32>(), bytes()));
    (envelope, origin, bytes(), bytes(), any::<(u64, u32)>(), bytes(), (refused, submitter)).prop_map(
        |(
            (id, from, recipients, is),
            (peer, helo, tls, at_ms),
            trace,
            body,
            (bytes, account),
            findings,
            (refused, submitter),
        )| {
            let refused = refused.into_iter().map(|(address, why)| RefusedRecipient { address, why }).collect();
            let submitter = submitter.map(|(account, fingerprint)| Submitter { account, fingerprint });
            let [body_8bit, smtputf8, esmtp] = is;
            Letter {
                id,
                from,
                recipients,
                body_8bit,
                smtputf8,
                peer,
                helo,
                tls,
                esmtp,
                at_ms,
                trace,
                body,
                bytes,
                account,
                findings,
                refused,
                submitter,
            }
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let ids = || prop::collection::vec(any::<u64>(), 0..20).prop_map(|ids| Ids { ids });
    prop_oneof![
        (bytes(), ".{0,20}").prop_map(|(secret, name)| Kind::Pair(Pair { secret, name })),
        (any::<u32>(), ".{0,20}", any::<[u64; 3]>(), bytes()).prop_map(
            |(version, name, [seq, oldest, revision], chain)| {
                Kind::Hello(Hello { version, name, seq, chain, oldest, revision })
            }
        ),
        letter().prop_map(Kind::Letter),
        bytes().prop_map(Kind::Piece),
        ids().prop_map(Kind::Offer),
        ids().prop_map(Kind::Lacking),
        any::<([u64; 7], i64, bool)>().prop_map(
            |([waiting, waiting_bytes, refused, given, left_ms, revision, kept], oldest_ms, full)| {
                Kind::State(State { waiting, waiting_bytes, oldest_ms, refused, full, given, left_ms, revision, kept })
            }
        ),
        bytes().prop_map(|key| Kind::Paired(Paired { key })),
        ".{0,40}".prop_map(|why| Kind::Refused(Refused { why })),
        any::<bool>().prop_map(|same_log| Kind::Welcome(Welcome { same_log })),
        (bytes(), bytes()).prop_map(|(record, signature)| Kind::List(SignedList { record, signature })),
        any::<(u32, u64, u32)>().prop_map(|(streams, bytes, per_second)| Kind::Grant(Grant {
            streams,
            bytes,
            per_second
        })),
        (any::<(u64, u32, u64)>(), ".{0,40}").prop_map(|((id, outcome, seq), why)| Kind::Done(Done {
            id,
            outcome,
            why,
            seq
        })),
        (any::<[u64; 2]>(), bytes()).prop_map(|([seq, revision], chain)| Kind::Beat(Beat { seq, chain, revision })),
    ]
}

async fn written(kinds: &[Kind]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for kind in kinds {
        write(&mut bytes, kind.clone()).await.unwrap();
    }
    bytes
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_come_as_they_went_and_one_that_is_cut_off_is_none(kinds in prop::collection::vec(kind(), 1..4)) {
        runtime().block_on(async {
            let bytes = written(&kinds).await;
            let mut from = bytes.as_slice();
            for kind in &kinds {
                assert_eq!(&read(&mut from, MAX_TOLD_BYTES).await.unwrap(), kind);
            }
            assert!(from.is_empty());
            let last = bytes.len() - written(&kinds[kinds.len() - 1..]).await.len();
            for end in last..bytes.len() {
                let mut from = &bytes[..end];
                for _ in 1..kinds.len() {
                    read(&mut from, MAX_TOLD_BYTES).await.unwrap();
                }
                let error = read(&mut from, MAX_TOLD_BYTES).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
            }
        });
    }

    #[test]
    fn garbage_is_refused_or_is_a_frame(bytes in prop::collection::vec(any::<u8>(), 0..300), length in 0_u32..400) {
        for limit in LIMITS {
            frames(&bytes, limit);
            // With a length that may be true.
            frames(&[&length.to_le_bytes()[..], &bytes].concat(), limit);
        }
    }

    #[test]
    fn a_frame_with_a_changed_byte_is_refused_or_another_frame(kind in kind(), at in any::<prop::sample::Index>(), by in 1_u8..) {
        let mut bytes = runtime().block_on(written(&[kind]));
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        for limit in LIMITS {
            frames(&bytes, limit);
        }
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_before_it_comes() {
    for limit in LIMITS {
        let length = u32::try_from(limit + 1).unwrap();
        // Only its length is there: what waits for the rest would end otherwise.
        let error = read(&mut &length.to_le_bytes()[..], limit).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = read(&mut &(length - 1).to_le_bytes()[..], limit).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    let error = write(&mut Vec::new(), Kind::Piece(vec![0; MAX_TOLD_BYTES + 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // The smallest frames that are none: nothing, and a message of a newer version.
    for bytes in [&[0, 0, 0, 0][..], &[3, 0, 0, 0, 0xfa, 0x06, 0]] {
        assert_eq!(read(&mut &*bytes, MAX_TOLD_BYTES).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn what_fuzzing_begins_with_is_understood() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/relay_frames");
    let mut names = Vec::new();
    for seed in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(seed.unwrap().path()).unwrap();
        match LIMITS.get(usize::from(bytes[0])) {
            Some(limit) => names.extend(frames(&bytes[1..], *limit)),
            None => crate::fuzzing::recipients(&bytes[1..]),
        }
    }
    // Where fuzzing has run there is more than it began with.
    for kind in ["Beat", "Done", "Grant", "Hello", "Letter", "List", "Offer", "Pair", "Piece", "State", "Welcome"] {
        assert!(names.iter().any(|name| *name == kind), "{kind}");
    }
}
