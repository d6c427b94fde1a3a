//! Parses what relay and primary say to each other, as the real code does.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use delivery::Envelope;
use prost::Message as _;

use crate::{
    list::{ListRecord, Recipients},
    wire::{self, Kind},
};

/// The largest frames that are read from whom: a stranger, a relay, the primary.
pub const LIMITS: [usize; 3] = [wire::MAX_GREETING_BYTES, wire::MAX_GIVEN_BYTES, wire::MAX_TOLD_BYTES];

/// What reads from memory is ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("memory is ready"),
    }
}

/// Reads frames until one is none; gives what they were.
///
/// # Panics
/// What was read is not what is written of it.
pub fn frames(mut bytes: &[u8], limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(kind) = now(wire::read(&mut bytes, limit)) {
        names.push(kind.name().to_owned());
        let mut again = Vec::new();
        now(wire::write(&mut again, kind.clone())).expect("it came in a frame");
        let read = now(wire::read(&mut again.as_slice(), wire::MAX_TOLD_BYTES));
        assert_eq!(read.expect("it was just written"), kind);
        look_into(kind);
    }
    names
}

fn look_into(kind: Kind) {
    match kind {
        Kind::Letter(letter) => {
            let envelope: Result<Envelope, _> = wire::envelope_of(&letter);
            assert!(envelope.is_err() || letter.trace.len() <= wire::MAX_TRACE_BYTES);
        }
        Kind::List(list) => recipients(&list.record),
        Kind::Pair(pair) => assert!(continuity::link::name_of(&pair.name).chars().count() <= pair.name.chars().count()),
        _ => {}
    }
}

/// A list that a primary has signed: a relay believes it, so it must not fall over it.
pub fn recipients(record: &[u8]) {
    let Ok(record) = ListRecord::decode(record) else { return };
    let Ok(list) = Recipients::of_record(record, 1) else { return };
    for address in ["anna@a.example", "anna+x@a.example", "postmaster@a.example", "\"a b\"@xn--bcher-kva.example"] {
        let address = mailkit::EmailAddress::parse(address).expect("an address");
        let _ = list.rcpt(&address, u64::from);
    }
    let _ = (list.postmaster(), list.len(), list.senders());
}
