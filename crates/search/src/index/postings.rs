//! Which messages have a term, and where in them.
//!
//! ```text
//! postings of one   = delta
//! postings of more  = usual(u8) (delta << 1 | differs [fields(u8)])*
//! ```
//! `delta` is from the message before, for the first one from the segment's first; `usual` are the fields of most.

use super::varint;

/// Where in a message a term stands: bits.
pub type Fields = u8;
/// `Subject:`.
pub const SUBJECT: Fields = 1;
/// `From:`.
pub const FROM: Fields = 2;
/// `To:`, `Cc:`, `Bcc:`.
pub const TO: Fields = 4;
/// Any header field, and names of fields.
pub const HEADER: Fields = 8;
/// The text of the body.
pub const BODY: Fields = 16;
/// The name of a file.
pub const FILE: Fields = 32;
/// What an attached document says.
pub const DOCUMENT: Fields = 64;
/// Anywhere but in documents.
pub const ANY: Fields = 63;

/// A message, and where in it.
pub type Posting = (u64, Fields);

/// Appends postings, ascending. `base` is at most the first.
pub fn encode(out: &mut Vec<u8>, base: u64, postings: &[Posting]) {
    if let [(id, _)] = postings {
        return varint::put(out, id - base);
    }
    let mut counts = [0usize; 256];
    for (_, fields) in postings {
        counts[usize::from(*fields)] += 1;
    }
    let usual = (0..=255u8).max_by_key(|fields| counts[usize::from(*fields)]).unwrap_or(0);
    out.push(usual);
    let mut before = base;
    for (id, fields) in postings {
        let differs = *fields != usual;
        varint::put(out, (id - before) << 1 | u64::from(differs));
        if differs {
            out.push(*fields);
        }
        before = *id;
    }
}

/// Reads postings of a term of which there are `count`, whose fields together are `all`; `None` if they can't be read.
pub fn decode(mut bytes: &[u8], base: u64, count: u64, all: Fields, mut visit: impl FnMut(Posting)) -> Option<()> {
    if count == 1 {
        visit((base.checked_add(varint::take(&mut bytes)?)?, all));
        return bytes.is_empty().then_some(());
    }
    let usual = varint::take_bytes(&mut bytes, 1)?[0];
    let mut id = base;
    for _ in 0..count {
        let number = varint::take(&mut bytes)?;
        id = id.checked_add(number >> 1)?;
        let fields = if number & 1 == 1 { varint::take_bytes(&mut bytes, 1)?[0] } else { usual };
        visit((id, fields));
    }
    bytes.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ids in prop::collection::btree_map(0u64..1 << 40, 1u8..64, 1..50), base in 0u64..9) {
            let postings: Vec<Posting> = ids.into_iter().map(|(id, fields)| (id + base, fields)).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, base, &postings);
            let all = postings.iter().fold(0, |all, posting| all | posting.1);
            let mut read = Vec::new();
            prop_assert!(decode(&bytes, base, postings.len() as u64, all, |posting| read.push(posting)).is_some());
            prop_assert_eq!(read, postings);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0u64..40) {
            let _ = decode(&bytes, 0, count, 1, |_| {});
        }
    }
}
