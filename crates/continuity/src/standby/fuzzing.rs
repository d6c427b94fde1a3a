//! Parses messages between primary and standby, as the real code does.

use futures_util::FutureExt as _;
use realm::Parts;
use store::{Digest, Op, RealmId, body_of_key, log::read_run};

use super::{
    primary::bodies_of,
    promote::loses,
    tripwire::{Tripwires, Watch},
    wire::{self, Kind},
};

/// The largest frames that are read from whom.
pub const LIMITS: [usize; 3] = [wire::MAX_GREETING_BYTES, wire::MAX_ASKING_BYTES, wire::MAX_FRAME_BYTES];

fn parts() -> Parts {
    Parts::new(&[&mailstore::MailPart])
}

/// Reads frames until one is none; gives what they were.
pub fn frames(mut bytes: &[u8], limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(Ok(kind)) = wire::read_at_most(&mut bytes, limit).now_or_never() {
        names.push(kind.name());
        let mut again = Vec::new();
        wire::write(&mut again, kind.clone()).now_or_never().expect("memory is ready").expect("it came in a frame");
        let read = wire::read(&mut again.as_slice()).now_or_never().expect("memory is ready");
        assert_eq!(read.expect("it was just written"), kind);
        look_into(kind);
    }
    names
}

fn look_into(kind: Kind) {
    let told = |text: &str| {
        let text = wire::plain(text);
        assert!(!text.contains(char::is_control) && text.chars().count() <= wire::MAX_TEXT_CHARS);
    };
    match kind {
        Kind::Run(run) => commits(run.bytes),
        Kind::Ack(ack) => {
            told(&ack.wire);
            ack.held.iter().for_each(|held| told(&held.reason));
        }
        Kind::Refused(no) => told(&no.why),
        Kind::BodyPiece(piece) => told(&piece.damaged),
        Kind::RealmBegin(begin) => {
            told(&begin.damaged);
            let _ = (RealmId::from_raw(begin.realm).to_string(), Digest::from_bytes(&begin.digest));
        }
        Kind::Records(some) => {
            for record in some.records {
                let _ = (body_of_key(&record.key), parts().loss(&Op { key: record.key, value: None }));
            }
        }
        _ => {}
    }
}

/// Reads a run of commits, and looks at each as a standby does.
pub fn commits(run: Vec<u8>) {
    let mut all = Vec::new();
    let Ok(run) = read_run(run, |commit, _| {
        all.push(commit);
        Ok(())
    }) else {
        return;
    };
    assert_eq!(run.last.0 - run.first.0 + 1, all.len() as u64);
    let (wires, mut watch) = (Tripwires::new(parts()), Watch::default());
    for commit in &all {
        let _ = bodies_of(commit).count();
        for part in &commit.realms {
            let _ = (loses(&wires.parts, part), part.digest(), part.realm().to_string());
        }
        let tripped = watch.count(commit, &wires, &|_, _| false);
        assert!(tripped.is_none_or(|tripped| tripped.seq == commit.seq()));
    }
}
