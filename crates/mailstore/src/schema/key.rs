//! Builds and reads keys.

use crate::{EmailId, MailError, MailboxId, ModSeq, Result, ThreadId, Uid};

pub const STATE: u8 = 0x10;
pub const MAILBOX: u8 = 0x11;
pub const COUNTERS: u8 = 0x12;
pub const NAME: u8 = 0x13;
pub const SUBSCRIPTION: u8 = 0x14;
pub const ROLE: u8 = 0x15;
pub const DELETED: u8 = 0x16;
pub const METADATA: u8 = 0x17;
pub const ENTRY: u8 = 0x20;
pub const EMAIL: u8 = 0x21;
pub const PLACE: u8 = 0x22;
pub const BY_MODSEQ: u8 = 0x23;
pub const VANISHED: u8 = 0x24;
pub const MESSAGE_ID: u8 = 0x28;
pub const THREAD: u8 = 0x29;
pub const MEMBER: u8 = 0x2A;
pub const CONVERSATION: u8 = 0x2B;
pub const ORDER: u8 = 0x2C;
pub const DELIVERY: u8 = 0x30;
pub const CORRESPONDENT: u8 = 0x31;
pub const ACT: u8 = 0x32;
pub const REWIND: u8 = 0x33;
pub const REWIND_STEP: u8 = 0x34;
/// All of them.
pub const KINDS: [u8; 23] = [
    STATE,
    MAILBOX,
    COUNTERS,
    NAME,
    SUBSCRIPTION,
    ROLE,
    DELETED,
    METADATA,
    ENTRY,
    EMAIL,
    PLACE,
    BY_MODSEQ,
    VANISHED,
    MESSAGE_ID,
    THREAD,
    MEMBER,
    CONVERSATION,
    ORDER,
    DELIVERY,
    CORRESPONDENT,
    ACT,
    REWIND,
    REWIND_STEP,
];

fn build(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    key.push(kind);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// A date so that byte order is date order.
fn ordered(date_ms: i64) -> u64 {
    date_ms.cast_unsigned() ^ (1 << 63)
}

fn date(ordered: u64) -> i64 {
    (ordered ^ (1 << 63)).cast_signed()
}

pub fn state() -> Vec<u8> {
    vec![STATE]
}
pub fn mailbox(id: MailboxId) -> Vec<u8> {
    build(MAILBOX, &[&id.0.to_be_bytes()])
}
pub fn counters(id: MailboxId) -> Vec<u8> {
    build(COUNTERS, &[&id.0.to_be_bytes()])
}
pub fn name(name: &str) -> Vec<u8> {
    build(NAME, &[name.as_bytes()])
}
pub fn subscription(name: &str) -> Vec<u8> {
    build(SUBSCRIPTION, &[name.as_bytes()])
}
pub fn role(role: u8) -> Vec<u8> {
    vec![ROLE, role]
}
pub fn deleted(id: MailboxId) -> Vec<u8> {
    build(DELETED, &[&id.0.to_be_bytes()])
}
pub fn metadata_of(id: MailboxId) -> Vec<u8> {
    build(METADATA, &[&id.0.to_be_bytes()])
}
/// `entry` in lower case.
pub fn metadata(id: MailboxId, entry: &str) -> Vec<u8> {
    build(METADATA, &[&id.0.to_be_bytes(), entry.as_bytes()])
}
pub fn entries(id: MailboxId) -> Vec<u8> {
    build(ENTRY, &[&id.0.to_be_bytes()])
}
pub fn entry(id: MailboxId, uid: Uid) -> Vec<u8> {
    build(ENTRY, &[&id.0.to_be_bytes(), &uid.0.to_be_bytes()])
}
pub fn email(id: EmailId) -> Vec<u8> {
    build(EMAIL, &[&id.0.to_be_bytes()])
}
pub fn places(id: EmailId) -> Vec<u8> {
    build(PLACE, &[&id.0.to_be_bytes()])
}
pub fn place(id: EmailId, mailbox: MailboxId, uid: Uid) -> Vec<u8> {
    build(PLACE, &[&id.0.to_be_bytes(), &mailbox.0.to_be_bytes(), &uid.0.to_be_bytes()])
}
pub fn by_modseqs(id: MailboxId) -> Vec<u8> {
    build(BY_MODSEQ, &[&id.0.to_be_bytes()])
}
pub fn by_modseq(id: MailboxId, modseq: ModSeq, uid: Uid) -> Vec<u8> {
    build(BY_MODSEQ, &[&id.0.to_be_bytes(), &modseq.0.to_be_bytes(), &uid.0.to_be_bytes()])
}
pub fn vanisheds(id: MailboxId) -> Vec<u8> {
    build(VANISHED, &[&id.0.to_be_bytes()])
}
pub fn vanished(id: MailboxId, modseq: ModSeq) -> Vec<u8> {
    build(VANISHED, &[&id.0.to_be_bytes(), &modseq.0.to_be_bytes()])
}
pub fn message_id(hash: &[u8]) -> Vec<u8> {
    build(MESSAGE_ID, &[hash])
}
pub fn thread(id: ThreadId) -> Vec<u8> {
    build(THREAD, &[&id.0.to_be_bytes()])
}
pub fn members(id: ThreadId) -> Vec<u8> {
    build(MEMBER, &[&id.0.to_be_bytes()])
}
pub fn member(id: ThreadId, date_ms: i64, mailbox: MailboxId, uid: Uid) -> Vec<u8> {
    let date = ordered(date_ms).to_be_bytes();
    build(MEMBER, &[&id.0.to_be_bytes(), &date, &mailbox.0.to_be_bytes(), &uid.0.to_be_bytes()])
}
pub fn conversation(mailbox: MailboxId, thread: ThreadId) -> Vec<u8> {
    build(CONVERSATION, &[&mailbox.0.to_be_bytes(), &thread.0.to_be_bytes()])
}
pub fn orders(mailbox: MailboxId) -> Vec<u8> {
    build(ORDER, &[&mailbox.0.to_be_bytes()])
}
pub fn order(mailbox: MailboxId, date_ms: i64, thread: ThreadId) -> Vec<u8> {
    let date = (!ordered(date_ms)).to_be_bytes();
    build(ORDER, &[&mailbox.0.to_be_bytes(), &date, &thread.0.to_be_bytes()])
}
pub fn delivery(hash: &[u8; 32]) -> Vec<u8> {
    build(DELIVERY, &[hash])
}
pub fn act(hash: &[u8; 32]) -> Vec<u8> {
    build(ACT, &[hash])
}
pub fn rewind(hash: &[u8; 32]) -> Vec<u8> {
    build(REWIND, &[hash])
}
pub fn rewind_steps(hash: &[u8; 32]) -> Vec<u8> {
    build(REWIND_STEP, &[hash])
}
pub fn rewind_step(hash: &[u8; 32], number: u32) -> Vec<u8> {
    build(REWIND_STEP, &[hash, &number.to_be_bytes()])
}
pub fn correspondent(address: &str) -> Vec<u8> {
    build(CORRESPONDENT, &[address.as_bytes()])
}

/// The first key after all that begin with `prefix`.
pub fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&0xFF) {
        prefix.pop();
    }
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

fn damaged(key: &[u8]) -> MailError {
    MailError::damaged_at(store::Cause::Decoding, key, "a key of unexpected form")
}

fn u32_at(key: &[u8], at: usize) -> Result<u32> {
    let bytes = key.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or_else(|| damaged(key))
}

fn u64_at(key: &[u8], at: usize) -> Result<u64> {
    let bytes = key.get(at..at + 8).and_then(|b| b.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or_else(|| damaged(key))
}

/// The mailbox of a key that has it right after the kind.
pub fn mailbox_of(key: &[u8]) -> Result<MailboxId> {
    u32_at(key, 1).map(MailboxId)
}
/// The name of a metadata entry in its key.
pub fn metadata_name(key: &[u8]) -> &[u8] {
    key.get(5..).unwrap_or_default()
}
/// The UID of an entry's key.
pub fn entry_uid(key: &[u8]) -> Result<Uid> {
    u32_at(key, 5).map(Uid)
}
/// The place in a place's key.
pub fn place_of(key: &[u8]) -> Result<(MailboxId, Uid)> {
    Ok((MailboxId(u32_at(key, 9)?), Uid(u32_at(key, 13)?)))
}
/// MODSEQ and UID of a key by MODSEQ.
pub fn modseq_and_uid(key: &[u8]) -> Result<(ModSeq, Uid)> {
    Ok((ModSeq(u64_at(key, 5)?), Uid(u32_at(key, 13)?)))
}
/// MODSEQ of the key of an expunge.
pub fn vanished_modseq(key: &[u8]) -> Result<ModSeq> {
    u64_at(key, 5).map(ModSeq)
}
/// Date and place in the key of a member.
pub fn member_of(key: &[u8]) -> Result<(i64, MailboxId, Uid)> {
    Ok((date(u64_at(key, 9)?), MailboxId(u32_at(key, 17)?), Uid(u32_at(key, 21)?)))
}
/// The id right after the kind: email or thread.
pub fn long_id(key: &[u8]) -> Result<u64> {
    u64_at(key, 1)
}
/// The thread of a conversation's key.
pub fn conversation_thread(key: &[u8]) -> Result<ThreadId> {
    u64_at(key, 5).map(ThreadId)
}
/// Date and thread in the order of a list.
pub fn order_of(key: &[u8]) -> Result<(i64, ThreadId)> {
    Ok((date(!u64_at(key, 5)?), ThreadId(u64_at(key, 13)?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn byte_order_of_keys_is_the_order_of_what_they_hold(a: (i64, u64), b: (i64, u64)) {
            let m = MailboxId(7);
            let key = |x: (i64, u64)| order(m, x.0, ThreadId(x.1));
            prop_assert_eq!(key(a).cmp(&key(b)), b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            prop_assert_eq!(order_of(&key(a)).unwrap(), (a.0, ThreadId(a.1)));
            let key = |x: (i64, u64)| member(ThreadId(1), x.0, m, Uid(x.1 as u32));
            prop_assert_eq!(key(a).cmp(&key(b)), a.0.cmp(&b.0).then((a.1 as u32).cmp(&(b.1 as u32))));
            prop_assert_eq!(member_of(&key(a)).unwrap(), (a.0, m, Uid(a.1 as u32)));
        }
    }

    #[test]
    fn the_key_after_a_prefix_follows_all_that_begin_with_it() {
        assert_eq!(after(vec![1, 2]), [1, 3]);
        assert_eq!(after(vec![1, 0xFF, 0xFF]), [2]);
    }
}
