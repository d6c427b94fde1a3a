//! What relay and primary say to each other, in frames of [`continuity::link::frame`].

use std::io;

use continuity::link::frame;
use delivery::{Envelope, Origin, Recipient, Refusal};
use mailkit::EmailAddress;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

/// The protocol version.
pub const VERSION: u32 = 1;
/// The largest frame of a stranger.
pub const MAX_GREETING_BYTES: usize = 16 << 10;
/// The largest frame of a relay: a piece of a message, or its envelope with a thousand recipients.
pub const MAX_GIVEN_BYTES: usize = 4 << 20;
/// The largest frame of the primary: the list of recipients, of some million addresses.
pub const MAX_TOLD_BYTES: usize = 32 << 20;
/// How large a piece of a message is.
pub const PIECE_BYTES: usize = 256 << 10;
/// The longest trace of a relay: one Received line.
pub const MAX_TRACE_BYTES: usize = 8 << 10;
/// Ids that are offered in one frame.
pub const OFFERED_AT_ONCE: usize = 50_000;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// Which.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 16, 17, 18, 19, 20, 21, 22, 23")]
    pub kind: Option<Kind>,
}

/// The messages: those below 16 come from the relay.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// First contact.
    #[prost(message, tag = "1")]
    Pair(Pair),
    /// A connection begins.
    #[prost(message, tag = "2")]
    Hello(Hello),
    /// A message begins; pieces follow until all of its bytes came.
    #[prost(message, tag = "3")]
    Letter(Letter),
    /// A piece of the message that was begun.
    #[prost(bytes, tag = "4")]
    Piece(Vec<u8>),
    /// Messages that were given before: which of them are lacking?
    #[prost(message, tag = "5")]
    Offer(Ids),
    /// How the relay is.
    #[prost(message, tag = "6")]
    State(State),
    /// From now on it is known.
    #[prost(message, tag = "16")]
    Paired(Paired),
    /// No.
    #[prost(message, tag = "17")]
    Refused(Refused),
    /// The answer to [`Hello`].
    #[prost(message, tag = "18")]
    Welcome(Welcome),
    /// The recipients.
    #[prost(message, tag = "19")]
    List(SignedList),
    /// How much may be on its way at once.
    #[prost(message, tag = "20")]
    Grant(Grant),
    /// What became of a message.
    #[prost(message, tag = "21")]
    Done(Done),
    /// Of those that were offered.
    #[prost(message, tag = "22")]
    Lacking(Ids),
    /// Still here.
    #[prost(message, tag = "23")]
    Beat(Beat),
}

/// Asks to be known from now on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pair {
    /// The secret of the code.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// What the relay calls itself.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// Who begins, and where it believes that the primary's log is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// What the relay calls itself.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The last point of the primary's log that it was told of; 0 if none.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// The chain there.
    #[prost(bytes = "vec", tag = "4")]
    pub chain: Vec<u8>,
    /// The least id that it still has; what is before will not be given again.
    #[prost(uint64, tag = "5")]
    pub oldest: u64,
    /// The revision of its list; 0 if none.
    #[prost(uint64, tag = "6")]
    pub revision: u64,
}

/// A message with its envelope, as the relay took it. It is stored so, and sent so.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Letter {
    /// The relay's id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The reverse-path; empty is the null sender.
    #[prost(string, tag = "2")]
    pub from: String,
    /// The forward-paths.
    #[prost(string, repeated, tag = "3")]
    pub recipients: Vec<String>,
    /// BODY=8BITMIME.
    #[prost(bool, tag = "4")]
    pub body_8bit: bool,
    /// SMTPUTF8.
    #[prost(bool, tag = "5")]
    pub smtputf8: bool,
    /// The client's address.
    #[prost(string, tag = "6")]
    pub peer: String,
    /// The client's name in HELO or EHLO.
    #[prost(string, optional, tag = "7")]
    pub helo: Option<String>,
    /// TLS version and cipher.
    #[prost(string, optional, tag = "8")]
    pub tls: Option<String>,
    /// EHLO.
    #[prost(bool, tag = "9")]
    pub esmtp: bool,
    /// When it came to the relay, milliseconds since 1970 UTC.
    #[prost(int64, tag = "10")]
    pub at_ms: i64,
    /// The relay's Received line.
    #[prost(bytes = "vec", tag = "11")]
    pub trace: Vec<u8>,
    /// The BLAKE3 of its bytes.
    #[prost(bytes = "vec", tag = "12")]
    pub body: Vec<u8>,
    /// How many bytes it has.
    #[prost(uint64, tag = "13")]
    pub bytes: u64,
    /// Whose the first recipient is, by the list's number.
    #[prost(uint32, tag = "14")]
    pub account: u32,
    /// What the relay's checks found out about it; empty if they were not made.
    #[prost(bytes = "vec", tag = "15")]
    pub findings: Vec<u8>,
    /// Recipients of whom a primary of another make has said no for good, while others still wait.
    #[prost(message, repeated, tag = "16")]
    pub refused: Vec<RefusedRecipient>,
    /// Somebody of the primary's sends it, and has signed in here.
    #[prost(message, optional, tag = "17")]
    pub submitter: Option<Submitter>,
}

/// Who sends a message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Submitter {
    /// The account's number on the primary.
    #[prost(uint32, tag = "1")]
    pub account: u32,
    /// The fingerprint of the app password.
    #[prost(bytes = "vec", tag = "2")]
    pub fingerprint: Vec<u8>,
}

/// A recipient that the primary refused.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefusedRecipient {
    /// The forward-path.
    #[prost(string, tag = "1")]
    pub address: String,
    /// The primary's words.
    #[prost(string, tag = "2")]
    pub why: String,
}

/// Ids of messages of the relay.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ids {
    /// Ascending or not.
    #[prost(fixed64, repeated, tag = "1")]
    pub ids: Vec<u64>,
}

/// How a relay is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct State {
    /// Messages that wait for the primary.
    #[prost(uint64, tag = "1")]
    pub waiting: u64,
    /// Their bytes.
    #[prost(uint64, tag = "2")]
    pub waiting_bytes: u64,
    /// When the oldest of them came, milliseconds since 1970; 0 if none.
    #[prost(int64, tag = "3")]
    pub oldest_ms: i64,
    /// Messages that the primary refused for good and that are kept.
    #[prost(uint64, tag = "4")]
    pub refused: u64,
    /// Its disk is full.
    #[prost(bool, tag = "5")]
    pub full: bool,
    /// Messages given since the backlog began to shrink.
    #[prost(uint64, tag = "6")]
    pub given: u64,
    /// Milliseconds until it is empty, at the present pace; 0 if that is not known.
    #[prost(uint64, tag = "7")]
    pub left_ms: u64,
    /// The revision of its list.
    #[prost(uint64, tag = "8")]
    pub revision: u64,
    /// Messages that were given before and that it keeps.
    #[prost(uint64, tag = "9")]
    pub kept: u64,
}

/// What the relay has to know of the primary.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Paired {
    /// The key that signs lists, Ed25519.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// The connection ends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// For people.
    #[prost(string, tag = "1")]
    pub why: String,
}

/// The primary's answer to a hello.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    /// The point that the relay named is in the primary's log. If not, the primary was restored to an earlier moment or is
    /// another machine: all that the relay has is to be offered.
    #[prost(bool, tag = "1")]
    pub same_log: bool,
}

/// The list of recipients, and who says so.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignedList {
    /// [`crate::list::ListRecord`].
    #[prost(bytes = "vec", tag = "1")]
    pub record: Vec<u8>,
    /// Ed25519 over it.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// What may be on its way at once.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Grant {
    /// Messages; 0 is none for now.
    #[prost(uint32, tag = "1")]
    pub streams: u32,
    /// Bytes; one message may always go.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// Messages a second; 0 is any number.
    #[prost(uint32, tag = "3")]
    pub per_second: u32,
}

/// What became of a message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Done {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// [`TAKEN`], [`REFUSED`] or [`LATER`].
    #[prost(uint32, tag = "2")]
    pub outcome: u32,
    /// Why, if it was not taken.
    #[prost(string, tag = "3")]
    pub why: String,
    /// A commit of the primary's log by which it is there.
    #[prost(uint64, tag = "4")]
    pub seq: u64,
}

/// It is durable, and the primary's.
pub const TAKEN: u32 = 1;
/// Nobody can have it, for good.
pub const REFUSED: u32 = 2;
/// Not now.
pub const LATER: u32 = 3;

/// Nothing new, and still here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Beat {
    /// A point of the primary's log: all that was done up to it is behind it.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The chain there.
    #[prost(bytes = "vec", tag = "2")]
    pub chain: Vec<u8>,
    /// The revision of the list that is right now; 0 if there is none.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
}

impl Kind {
    /// The kind of message as text.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pair(_) => "Pair",
            Self::Hello(_) => "Hello",
            Self::Letter(_) => "Letter",
            Self::Piece(_) => "Piece",
            Self::Offer(_) => "Offer",
            Self::State(_) => "State",
            Self::Paired(_) => "Paired",
            Self::Refused(_) => "Refused",
            Self::Welcome(_) => "Welcome",
            Self::List(_) => "List",
            Self::Grant(_) => "Grant",
            Self::Done(_) => "Done",
            Self::Lacking(_) => "Lacking",
            Self::Beat(_) => "Beat",
        }
    }
}

/// Writes one message. Call `flush` when nothing follows.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    frame::write(to, &Frame { kind: Some(kind) }, MAX_TOLD_BYTES).await
}

/// Writes one message, all of it.
pub async fn say(to: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    write(to, kind).await?;
    to.flush().await
}

/// Reads one message of at most `limit` bytes. Not cancel-safe.
pub async fn read(from: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Kind> {
    let bytes = frame::read(from, limit).await?;
    let frame = Frame::decode(bytes.as_slice()).map_err(|error| frame::invalid(error.to_string()))?;
    frame.kind.ok_or_else(|| frame::invalid("a message that this version does not know"))
}

/// The envelope of a message that a relay gives: what its client had said.
///
/// # Errors
/// What is refused for good: it is not what a relay of ours would give.
pub fn envelope_of(letter: &Letter) -> Result<Envelope, Refusal> {
    let address = |text: &String| {
        EmailAddress::parse(text).map_err(|error| Refusal::new(553, (5, 1, 3), format!("<{text}>: {error}")))
    };
    let recipients: Result<Vec<_>, _> = letter.recipients.iter().map(|to| address(to).map(Recipient::new)).collect();
    if letter.trace.len() > MAX_TRACE_BYTES {
        return Err(Refusal::new(554, (5, 6, 0), "the relay's trace is too long"));
    }
    if letter.findings.len() > delivery::MAX_FINDINGS_BYTES {
        return Err(Refusal::new(554, (5, 6, 0), "the relay's findings are too long"));
    }
    Ok(Envelope {
        from: if letter.from.is_empty() { None } else { Some(address(&letter.from)?) },
        recipients: recipients?,
        ret: None,
        envid: None,
        body_8bit: letter.body_8bit,
        smtputf8: letter.smtputf8,
        // The way from the relay to here is under TLS, and here the way ends.
        require_tls: false,
        origin: Origin {
            peer: letter.peer.parse().ok(),
            helo: letter.helo.clone(),
            tls: letter.tls.clone(),
            esmtp: letter.esmtp,
            ..Origin::default()
        },
    })
}

/// A message that does not fit there.
pub fn unexpected(kind: &Kind) -> io::Error {
    frame::invalid(format!("unexpected message: {}", kind.name()))
}

#[cfg(test)]
mod tests;
