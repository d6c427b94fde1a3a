//! What primary and standby say to each other: frames of a length and one message.
//!
//! ```text
//! frame = length(u32, little-endian) Frame          protobuf; at most MAX_FRAME_BYTES
//! ```

use std::io;

use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::link::frame;

/// The largest frame: a run of commits, the largest of which has 64 MiB.
pub const MAX_FRAME_BYTES: usize = 80 << 20;
/// The largest frame that is no run of commits: what many accounts add up to. A frame may become some thirty times as large
/// in memory as it was on the way.
pub const MAX_OTHER_BYTES: usize = 32 << 20;
/// How a frame with a run of commits begins: the key of field 22.
const RUN_KEY: [u8; 2] = [0xB2, 0x01];
/// The largest first frame of someone who may be anyone.
pub const MAX_GREETING_BYTES: usize = 16 << 10;
/// The largest frame of a standby that is known: names of bodies.
pub const MAX_ASKING_BYTES: usize = 4 << 20;
/// Bodies that are asked for in one frame.
pub const MAX_ASKED_FOR: usize = 50_000;
/// The protocol version.
pub const VERSION: u32 = 2;
/// Characters of a text that the other side wrote for people.
pub const MAX_TEXT_CHARS: usize = 500;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26")]
    pub kind: Option<Kind>,
}

/// The messages: those below 16 come from the standby. Over a connection that begins with [`Lend`] it is the primary that
/// asks for bodies and commits, and the standby that gives them.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    #[prost(message, tag = "1")]
    Pair(Pair),
    #[prost(message, tag = "2")]
    Hello(Hello),
    #[prost(message, tag = "3")]
    Ack(Ack),
    #[prost(message, tag = "4")]
    WantBodies(WantBodies),
    #[prost(message, tag = "5")]
    WantRealm(WantRealm),
    #[prost(message, tag = "6")]
    WantSummary(WantSummary),
    #[prost(message, tag = "7")]
    Promoted(Promoted),
    #[prost(message, tag = "8")]
    Lend(Lend),
    #[prost(message, tag = "9")]
    WantLog(WantLog),
    #[prost(message, tag = "16")]
    Welcome(Welcome),
    #[prost(message, tag = "17")]
    Refused(Refused),
    #[prost(message, tag = "18")]
    CopyBegin(CopyBegin),
    #[prost(message, tag = "19")]
    RealmBegin(RealmBegin),
    #[prost(message, tag = "20")]
    Records(Records),
    #[prost(message, tag = "21")]
    CopyEnd(CopyEnd),
    #[prost(message, tag = "22")]
    Run(Run),
    #[prost(message, tag = "23")]
    BodyPiece(BodyPiece),
    #[prost(message, tag = "24")]
    Beat(Beat),
    #[prost(message, tag = "25")]
    Summary(Summary),
    #[prost(message, tag = "26")]
    Paired(Paired),
}

/// Asks to be known from now on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pair {
    /// The secret of the code.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// What the standby calls itself.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The standby's position.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The commit it needs next.
    #[prost(uint64, tag = "2")]
    pub next: u64,
    /// Its log's chain before that.
    #[prost(bytes = "vec", tag = "3")]
    pub chain: Vec<u8>,
    /// The epoch it has followed so far.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// It has nothing yet: everything is to be copied.
    #[prost(bool, tag = "5")]
    pub copy: bool,
}

/// How far the standby is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ack {
    /// Durable there.
    #[prost(uint64, tag = "1")]
    pub received: u64,
    /// Applied there.
    #[prost(uint64, tag = "2")]
    pub applied: u64,
    /// Realms that it does not apply, and why.
    #[prost(message, repeated, tag = "3")]
    pub held: Vec<HeldRealm>,
    /// Why it applies nothing at the moment; empty if it does.
    #[prost(string, tag = "4")]
    pub wire: String,
    /// Damaged bodies there that are not repaired yet.
    #[prost(uint64, tag = "5")]
    pub damaged: u64,
    /// Bodies repaired there since it was started.
    #[prost(uint64, tag = "6")]
    pub mended: u64,
    /// Its disk is full: it receives nothing.
    #[prost(bool, tag = "7")]
    pub full: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct HeldRealm {
    #[prost(uint64, tag = "1")]
    pub realm: u64,
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// Bodies that the standby lacks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WantBodies {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub ids: Vec<Vec<u8>>,
    /// How many it will ask for after these, as far as it knows; 0 also when it does not say.
    #[prost(uint64, tag = "2")]
    pub more: u64,
}

/// A realm to copy again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WantRealm {
    #[prost(uint64, tag = "1")]
    pub realm: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WantSummary {}

/// A standby was promoted: the receiver must no longer write.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Promoted {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The last commit that both have.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// What the new primary calls itself.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// A standby offers bodies that are damaged on the primary.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lend {}

/// Commits of the log, from one on, that the asker lacks. The answer is a [`Run`], which is empty when that one is not there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WantLog {
    #[prost(uint64, tag = "1")]
    pub from: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Paired {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Nothing is acknowledged that no standby has.
    #[prost(bool, tag = "3")]
    pub waits_for_you: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    #[prost(string, tag = "1")]
    pub why: String,
    /// The first commit still in the log, if the needed ones were dropped; 0 if that is not the reason.
    #[prost(uint64, tag = "2")]
    pub retained_from: u64,
    /// Its log is another one.
    #[prost(bool, tag = "3")]
    pub diverged: bool,
    /// With `retained_from`: the last commit of the epochs up to the asker's that this machine followed before it was made
    /// the primary; 0 when it does not know.
    #[prost(uint64, tag = "4")]
    pub promoted_after: u64,
    /// The log's chain there.
    #[prost(bytes = "vec", tag = "5")]
    pub promoted_chain: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CopyBegin {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub chain: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    #[prost(uint64, tag = "4")]
    pub realms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RealmBegin {
    #[prost(uint64, tag = "1")]
    pub realm: u64,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    /// Damaged there: not copied.
    #[prost(string, tag = "4")]
    pub damaged: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Records {
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
    /// The last of its realm.
    #[prost(bool, tag = "2")]
    pub last: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CopyEnd {}

/// Commits, in the form of a log segment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
}

/// A piece of a body; pieces of one body follow each other.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BodyPiece {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
    #[prost(bool, tag = "3")]
    pub last: bool,
    /// It can't be had: why.
    #[prost(string, tag = "4")]
    pub damaged: String,
}

/// Nothing new, and still here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Beat {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The primary's clock, in milliseconds since 1970; 0 is not said.
    #[prost(int64, tag = "2")]
    pub now_ms: i64,
}

/// The digests of all realms at one commit, computed from their records.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(message, repeated, tag = "2")]
    pub realms: Vec<RealmSum>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RealmSum {
    #[prost(uint64, tag = "1")]
    pub realm: u64,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The digest of its records.
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    /// The expected digest.
    #[prost(bytes = "vec", tag = "4")]
    pub stated: Vec<u8>,
}

impl Kind {
    /// The kind of message as text.
    pub fn name(&self) -> String {
        format!("{self:?}").split('(').next().unwrap_or_default().to_owned()
    }
}

/// A text that the other side wrote for people: one line, not too long, and nothing that a terminal obeys.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_CHARS).collect()
}

/// Writes one message. Call `flush` when nothing follows.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    frame::write(to, &Frame { kind: Some(kind) }, MAX_FRAME_BYTES).await
}

/// Reads one message. Not cancel-safe: a partial message is lost.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Kind> {
    read_at_most(from, MAX_FRAME_BYTES).await
}

/// The same with a limit of its own.
pub async fn read_at_most(from: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Kind> {
    let bytes = frame::read(from, limit).await?;
    let length = bytes.len();
    if length > MAX_OTHER_BYTES && !bytes.starts_with(&RUN_KEY) {
        return Err(frame::invalid(format!("invalid frame length: {length} bytes and not a run of commits")));
    }
    let frame = Frame::decode(bytes.as_slice()).map_err(|error| frame::invalid(error.to_string()))?;
    frame.kind.ok_or_else(|| frame::invalid("a message that this version does not know"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_side_wrote_for_people_can_do_nothing_to_a_terminal() {
        assert_eq!(plain("gone:\n\u{1b}[31mred\u{7}"), "gone:[31mred");
        assert_eq!(plain(&"é".repeat(10_000)).chars().count(), MAX_TEXT_CHARS);
    }

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written_and_nothing_that_is_too_large_or_cut_off() {
        let ack = Kind::Ack(Ack { received: 7, applied: 5, ..Ack::default() });
        let mut bytes = Vec::new();
        write(&mut bytes, ack.clone()).await.unwrap();
        assert_eq!(read(&mut bytes.as_slice()).await.unwrap(), ack);
        assert_eq!(ack.name(), "Ack");
        for end in 0..bytes.len() {
            assert!(read(&mut &bytes[..end]).await.is_err(), "{end}");
        }
        // A length that was only said takes no memory.
        let mut huge = u32::MAX.to_le_bytes().to_vec();
        huge.extend_from_slice(&[0; 64]);
        assert_eq!(read(&mut huge.as_slice()).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read_at_most(&mut bytes.as_slice(), 3).await.is_err());
        // Only a run of commits may be very large.
        for (kind, is_run) in [
            (Kind::Run(Run { bytes: vec![0; MAX_OTHER_BYTES] }), true),
            (Kind::BodyPiece(BodyPiece { bytes: vec![0; MAX_OTHER_BYTES], ..BodyPiece::default() }), false),
        ] {
            let mut large = Vec::new();
            write(&mut large, kind).await.unwrap();
            assert_eq!(read(&mut large.as_slice()).await.is_ok(), is_run);
        }
        // A message of a later version.
        let unknown = [3_u32.to_le_bytes().as_slice(), &[0xFA, 0x06, 0x00]].concat();
        assert!(read(&mut unknown.as_slice()).await.unwrap_err().to_string().contains("does not know"));
    }
}
