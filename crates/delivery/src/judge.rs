//! Judges: what looks at a message between its last byte and its commit, and decides about each recipient.
//!
//! A [`Judge`] is asked when a message is about to come ([`Judge::begin`]) and gives a [`Hearing`], which sees the bytes
//! as they come, so that slow work (DNS) runs at the same time, and which states a [`Verdict`] for each recipient at the end.
//! Judges are asked in their order, each knows what the ones before it decided, and each has its share of
//! [`crate::DeliveryOptions::verdict_time`]. One that is too slow, fails or panics is as if it had its [`Fallback`]
//! said: no message is lost by it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::{Flags, MailboxName, Role, Snooze};
use store::{BodyId, Store, StoreError, Tx};

use crate::along::Along;
use crate::changed::{MAX_VERSIONS, Version};
use crate::schema::{ChangedForwardRecord, FurtherRecord, MarkRecord, RefusalRecord, ReplyRecord, VerdictRecord};
use crate::{Envelope, QueueId, Refusal};

/// Most bytes of what is decided about one recipient: header lines, flags, mailbox and reason together.
pub const MAX_VERDICT_BYTES: usize = 24 * 1024;
/// Most addresses that one message is sent on to in one account's name: no more than a leg may have recipients here.
pub const MAX_FORWARDS: usize = 32;
/// Most characters of a judge's reason.
pub const MAX_REASON_CHARS: usize = 200;
/// Most bytes of a judge's findings.
pub const MAX_FINDINGS_BYTES: usize = 64 * 1024;

/// What is known of a message when it is about to come.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its future queue id.
    pub id: QueueId,
    /// Sender, recipients, and where it comes from: client address, HELO name, TLS, login.
    pub envelope: Envelope,
    /// For each recipient of the envelope the account it goes to here; `None` for one elsewhere.
    pub accounts: Vec<Option<AccountId>>,
    /// When it began to come, milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// What stands in for a judge that gave no verdict in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The message is taken as if the judge had not been asked.
    Accept,
    /// The message is refused for now, for all recipients: the client tries again.
    Defer,
}

/// Decides about messages.
pub trait Judge: Send + Sync + 'static {
    /// A short name for metrics, logs and the queue: `spam`.
    fn name(&self) -> &'static str;

    /// How long its verdict may take when all goes slowly. The time for all judges is shared out in this proportion.
    fn needs(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// What happens when it gives no verdict.
    fn fallback(&self) -> Fallback {
        Fallback::Accept
    }

    /// A message is about to come. `None`: nothing will be said about it. Must not block; longer work is spawned.
    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>>;
}

/// One message before one judge.
#[async_trait::async_trait]
pub trait Hearing: Send + 'static {
    /// Bytes of the message as they come, without what is put above it here: before fields in our name are taken out, so
    /// that signatures can be checked. [`Spooled`] is what is stored. Must be quick and must not block.
    fn bytes(&mut self, _bytes: &[u8]) {}

    /// How long it has for its verdicts, said just before it is asked for them: what takes longer counts as no verdict.
    fn allot(&mut self, _time: Duration) {}

    /// The message is whole: one verdict for each recipient of the envelope, in its order. `so_far` is what the judges
    /// before decided.
    async fn verdicts(self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError>;
}

/// Why a judge gave no verdict.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JudgeError(pub String);

/// A message that has come whole and is not accepted yet, by reference. Cheap to clone.
#[derive(Clone)]
pub struct Spooled(Held);

#[derive(Clone)]
enum Held {
    Memory(Bytes),
    Disk { store: Store, id: BodyId, len: u64 },
}

impl Spooled {
    pub(crate) fn in_memory(bytes: Bytes) -> Self {
        Self(Held::Memory(bytes))
    }

    pub(crate) fn on_disk(store: &Store, id: BodyId, len: u64) -> Self {
        Self(Held::Disk { store: store.clone(), id, len })
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Held::Memory(bytes) => bytes.len() as u64,
            Held::Disk { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes. Blocks where the message is on disk.
    ///
    /// # Errors
    /// As [`Self::read_range`].
    pub fn read_all(&self) -> io::Result<Bytes> {
        self.read_range(0, usize::try_from(self.len()).unwrap_or(usize::MAX))
    }

    /// Up to `len` bytes from `offset`; fewer at the end. Blocks where the message is on disk.
    ///
    /// # Errors
    /// What was spooled can't be read.
    pub fn read_range(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match &self.0 {
            Held::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..start.saturating_add(len).min(bytes.len())))
            }
            Held::Disk { store, id, .. } => {
                let read = store.body(id).and_then(|mut body| body.read_range(offset, len));
                read.map_err(|error: StoreError| io::Error::other(error))
            }
        }
    }
}

/// Where a verdict files a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileInto {
    /// The account's mailbox of that role, made if there is none.
    Role(Role),
    /// The mailbox of that name; INBOX if there is none.
    Named(MailboxName),
}

/// A further copy of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct FurtherCopy {
    /// Where it is filed.
    pub into: FileInto,
    /// Its flags.
    pub flags: Flags,
    /// Which of [`Verdict::versions`] it is, counted from 1; 0 is the message as it came.
    pub version: usize,
    /// It lies among the snoozed messages: when it returns.
    pub snooze: Option<Snooze>,
}

/// What an account remembers: a key of its rules, and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The whole key, in the range of [`crate::MARK_KEYS`].
    pub key: Vec<u8>,
    /// Milliseconds since 1970 UTC.
    pub until_ms: i64,
}

/// A message that an account's rules send: from the null sender, so that no report ever comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// To whom.
    pub to: Vec<EmailAddress>,
    /// The address of its From field, whose domain signs it.
    pub author: EmailAddress,
    /// The message.
    pub message: Vec<u8>,
    /// It is sent only if this is not remembered, and then it is.
    pub once: Option<Mark>,
    /// A copy of it is filed in the account if it is sent, and whether its mailbox is made if it is missing.
    pub copy: Option<(FurtherCopy, bool)>,
}

/// What is decided about one recipient of a message. The default decides nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The message is not taken for this recipient. What follows where
    /// other recipients take it is told at [`crate::Incoming::finish`].
    pub refusal: Option<Refusal>,
    /// Where it is filed instead of INBOX.
    pub mailbox: Option<FileInto>,
    /// The flags it gets.
    pub flags: Flags,
    /// The message is sent on to these addresses too, unchanged, in the recipient's name and in the commit that files it: at
    /// most [`MAX_FORWARDS`].
    pub forwards: Vec<EmailAddress>,
    /// The message as the account's rules changed it, at most [`MAX_VERSIONS`] times.
    pub versions: Vec<Version>,
    /// Which of them is filed, counted from 1; 0 is the message as it came.
    pub version: usize,
    /// It lies among the snoozed messages: when it returns.
    pub snooze: Option<Snooze>,
    /// Changed messages that are sent on: to whom, and which of `versions`, counted from 1.
    pub changed_forwards: Vec<(EmailAddress, usize)>,
    /// No copy is filed. If the message can't be sent on as `forwards` says, there is one all the same.
    pub no_copy: bool,
    /// Further copies, each in a mailbox of its own.
    pub copies: Vec<FurtherCopy>,
    /// A mailbox that is named and missing is made, instead of INBOX taking its copy.
    pub create: bool,
    /// Messages that are sent in the commit that files it.
    pub replies: Vec<Reply>,
    /// What the account remembers from that commit on.
    pub marks: Vec<Mark>,
    /// One line for the log and the queue: why.
    pub reason: String,
    /// On a relay: what the judge found out about the message, for the judge of the same kind on the machine that delivers
    /// it, in a form that the two know. It travels with the message.
    pub findings: Bytes,
    /// Malware was found in the message. For the judges that follow; it is not kept.
    pub found_malware: bool,
    headers: String,
    along: Vec<Along>,
}

impl Verdict {
    /// The message is refused.
    pub fn refuse(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    /// The message is filed there.
    pub fn file(mailbox: FileInto) -> Self {
        Self { mailbox: Some(mailbox), ..Self::default() }
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Puts a header field above the recipient's copy of the message, below those added before.
    ///
    /// # Errors
    /// A name or value that [`mailkit::trace::added_field`] does not allow.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), JudgeError> {
        let field = mailkit::trace::added_field(name, value);
        let field = field.ok_or_else(|| JudgeError(format!("the field {name:?} can't be added to a message")))?;
        self.headers.push_str(&field);
        Ok(())
    }

    /// Has that written in the commit that accepts the message, so that it is done exactly if the message is taken, for
    /// whichever recipient. It may run several times until a commit is made; an error keeps the message from being
    /// accepted.
    pub fn write_along(&mut self, write: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + Sync + 'static) {
        self.along.push(Along::new(write));
    }

    /// What is to be written along by any of these, each once.
    pub(crate) fn all_along(verdicts: &[Self]) -> Vec<Along> {
        let mut all: Vec<Along> = Vec::new();
        for along in verdicts.iter().flat_map(|verdict| &verdict.along) {
            if !all.contains(along) {
                all.push(along.clone());
            }
        }
        all
    }

    /// The added header fields, as lines.
    pub fn headers(&self) -> &str {
        &self.headers
    }

    /// Whether nothing is decided.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What a later judge decides comes on top: the first refusal and the last mailbox count, flags, header
    /// fields and addresses that it is sent on to add up.
    pub(crate) fn join(mut self, later: Self) -> Result<Self, JudgeError> {
        self.refusal = self.refusal.or(later.refusal);
        self.mailbox = later.mailbox.or(self.mailbox);
        self.no_copy |= later.no_copy;
        self.create |= later.create;
        let before = self.versions.len();
        let shifted = |version: usize| if version == 0 { 0 } else { version + before };
        self.versions.extend(later.versions);
        self.snooze = later.snooze.or(self.snooze);
        if later.version > 0 {
            self.version = shifted(later.version);
        }
        self.changed_forwards.extend(later.changed_forwards.into_iter().map(|(to, version)| (to, shifted(version))));
        let shift = |copy: FurtherCopy| FurtherCopy { version: shifted(copy.version), ..copy };
        self.copies.extend(later.copies.into_iter().map(shift));
        self.replies.extend(later.replies);
        self.marks.extend(later.marks);
        for address in later.forwards {
            if !self.forwards.contains(&address) {
                self.forwards.push(address);
            }
        }
        self.found_malware |= later.found_malware;
        for flag in later.flags.system() {
            self.flags.insert(flag);
        }
        for keyword in later.flags.keywords() {
            self.flags.insert_keyword(keyword.clone()).map_err(|error| JudgeError(error.to_string()))?;
        }
        if !self.reason.is_empty() && !later.reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(&later.reason);
        if self.findings.is_empty() {
            self.findings = later.findings;
        }
        self.headers.push_str(&later.headers);
        self.along.extend(later.along);
        Ok(self)
    }

    /// What a judge of that name said, checked: codes that belong together, a reason of one short line that begins with
    /// the name, and at most as many bytes as fit.
    pub(crate) fn checked(mut self, judge: &str) -> Result<Self, JudgeError> {
        if let Some(refusal) = &self.refusal
            && (!(400..600).contains(&refusal.code) || u16::from(refusal.enhanced.0) != refusal.code / 100)
        {
            return Err(JudgeError(format!("a refusal with the codes {refusal}")));
        }
        if self.flags.contains(mailstore::SystemFlag::Deleted) {
            return Err(JudgeError("a message can't be filed as deleted".to_owned()));
        }
        if !self.is_nothing() {
            let reason: String =
                self.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect();
            self.reason = if reason.is_empty() { judge.to_owned() } else { format!("{judge}: {reason}") };
        }
        self.fits()
    }

    /// This, unless it is too large to be kept.
    ///
    /// # Errors
    /// Which limit it is over.
    pub fn fits(self) -> Result<Self, JudgeError> {
        let bytes = prost::Message::encoded_len(&VerdictRecord::from(&self));
        let forwards = self.forwards.len() + self.changed_forwards.len();
        if forwards > MAX_FORWARDS {
            return Err(JudgeError(format!("sent on to {forwards} addresses: the limit is {MAX_FORWARDS}")));
        }
        if self.versions.len() > MAX_VERSIONS {
            return Err(JudgeError(format!("changed {} times: the limit is {MAX_VERSIONS}", self.versions.len())));
        }
        if bytes > MAX_VERDICT_BYTES {
            return Err(JudgeError(format!("a verdict of {bytes} bytes: the limit is {MAX_VERDICT_BYTES}")));
        }
        if self.findings.len() > MAX_FINDINGS_BYTES {
            let bytes = self.findings.len();
            return Err(JudgeError(format!("findings of {bytes} bytes: the limit is {MAX_FINDINGS_BYTES}")));
        }
        Ok(self)
    }
}

impl From<&Verdict> for VerdictRecord {
    fn from(verdict: &Verdict) -> Self {
        let (role, mailbox) = verdict.mailbox.as_ref().map(FileInto::stored).unwrap_or_default();
        Self {
            counted: false,
            role,
            mailbox,
            flags: verdict.flags.names().map(ToOwned::to_owned).collect(),
            headers: verdict.headers.clone(),
            refusal: verdict.refusal.as_ref().map(RefusalRecord::from),
            reason: verdict.reason.clone(),
            forwards: verdict.forwards.iter().map(ToString::to_string).collect(),
            no_copy: verdict.no_copy,
            copies: verdict.copies.iter().map(FurtherRecord::from).collect(),
            replies: verdict.replies.iter().map(ReplyRecord::from).collect(),
            marks: verdict.marks.iter().map(MarkRecord::from).collect(),
            create: verdict.create,
            versions: verdict.versions.iter().map(Into::into).collect(),
            version: verdict.version as u32,
            snooze: verdict.snooze.clone(),
            changed_forwards: verdict.changed_forwards.iter().map(ChangedForwardRecord::from).collect(),
        }
    }
}

impl From<&(EmailAddress, usize)> for ChangedForwardRecord {
    fn from((to, version): &(EmailAddress, usize)) -> Self {
        Self { address: to.to_string(), version: *version as u32 }
    }
}

impl FileInto {
    /// As it is stored: a role, or a name.
    fn stored(&self) -> (String, String) {
        match self {
            Self::Role(role) => (role.standard_name().to_owned(), String::new()),
            Self::Named(name) => (String::new(), name.as_str().to_owned()),
        }
    }

    fn of_stored(role: &str, mailbox: &str) -> Option<Self> {
        if !role.is_empty() {
            return Role::ALL.into_iter().find(|known| known.standard_name() == role).map(Self::Role);
        }
        if mailbox.is_empty() { None } else { MailboxName::new(mailbox).ok().map(Self::Named) }
    }
}

impl From<&FurtherCopy> for FurtherRecord {
    fn from(copy: &FurtherCopy) -> Self {
        let (role, mailbox) = copy.into.stored();
        let flags = copy.flags.names().map(ToOwned::to_owned).collect();
        Self { role, mailbox, flags, version: copy.version as u32, snooze: copy.snooze.clone() }
    }
}

impl FurtherRecord {
    /// Where the copy is filed.
    pub(crate) fn file_into(&self) -> Option<FileInto> {
        FileInto::of_stored(&self.role, &self.mailbox)
    }
}

impl From<&Mark> for MarkRecord {
    fn from(mark: &Mark) -> Self {
        Self { key: mark.key.clone(), until_ms: mark.until_ms }
    }
}

impl From<&Reply> for ReplyRecord {
    fn from(reply: &Reply) -> Self {
        Self {
            to: reply.to.iter().map(ToString::to_string).collect(),
            author: reply.author.to_string(),
            message: reply.message.clone(),
            once: reply.once.as_ref().map(MarkRecord::from),
            copy: reply.copy.as_ref().map(|(copy, _)| copy.into()),
            create: reply.copy.as_ref().is_some_and(|(_, create)| *create),
        }
    }
}

impl VerdictRecord {
    /// Where the message is filed.
    pub(crate) fn file_into(&self) -> Option<FileInto> {
        FileInto::of_stored(&self.role, &self.mailbox)
    }

    /// What the queue says of it: `Junk (spam: 7.1 points)`.
    pub(crate) fn summary(&self) -> String {
        let what = match (&self.refusal, self.role.as_str(), self.mailbox.as_str()) {
            (Some(refusal), ..) => format!("refused: {}", Refusal::from(refusal)),
            (None, "", "") if self.no_copy => "no copy".to_owned(),
            (None, "", "") => "accepted".to_owned(),
            (None, "", mailbox) => mailbox.to_owned(),
            (None, role, _) => role.to_owned(),
        };
        let what = match self.forwards.len() + self.changed_forwards.len() {
            0 => what,
            1 => format!("{what}, sent on to 1 address"),
            count => format!("{what}, sent on to {count} addresses"),
        };
        if self.reason.is_empty() { what } else { format!("{what} ({})", self.reason) }
    }
}

impl From<&Refusal> for RefusalRecord {
    fn from(refusal: &Refusal) -> Self {
        let (class, subject, detail) = refusal.enhanced;
        Self {
            code: u32::from(refusal.code),
            class: u32::from(class),
            subject: u32::from(subject),
            detail: u32::from(detail),
            text: refusal.text.clone(),
        }
    }
}

impl From<&RefusalRecord> for Refusal {
    fn from(record: &RefusalRecord) -> Self {
        let number = |number: u32| u16::try_from(number).unwrap_or_default();
        let class = u8::try_from(record.class).unwrap_or(5);
        Self::new(number(record.code), (class, number(record.subject), number(record.detail)), record.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, class: u8) -> Verdict {
        Verdict::refuse(Refusal::new(code, (class, 7, 1), "no"))
    }

    #[test]
    fn a_verdict_survives_storage() {
        let mut verdict = Verdict::file(FileInto::Named(MailboxName::new("Lists/A").unwrap())).because("rules: list");
        verdict.flags = Flags::parse(["\\Seen", "$Junk"]).unwrap();
        verdict.add_header("X-Spam", "no").unwrap();
        let record = VerdictRecord::from(&verdict);
        assert_eq!(record.file_into(), verdict.mailbox);
        assert_eq!(record.summary(), "Lists/A (rules: list)");
        assert_eq!(record.headers, "X-Spam: no\r\n");
        for role in Role::ALL {
            let record = VerdictRecord::from(&Verdict::file(FileInto::Role(role)));
            assert_eq!(record.file_into(), Some(FileInto::Role(role)));
        }
        let refused = VerdictRecord::from(&refusal(550, 5).because("spam: 20 points"));
        assert_eq!(refused.summary(), "refused: 550 5.7.1 no (spam: 20 points)");
    }

    #[test]
    fn verdicts_that_make_no_sense_are_not_taken() {
        assert!(Verdict::default().checked("j").unwrap().is_nothing());
        for (verdict, is_sound) in [
            (refusal(550, 5), true),
            (refusal(451, 4), true),
            (refusal(250, 2), false),
            (refusal(550, 4), false),
            (refusal(650, 6), false),
            (Verdict { flags: Flags::parse(["\\Deleted"]).unwrap(), ..Verdict::default() }, false),
            (Verdict { headers: "X: y\r\n".repeat(5_000), ..Verdict::default() }, false),
        ] {
            assert_eq!(verdict.clone().checked("j").is_ok(), is_sound, "{verdict:?}");
        }
        let said = Verdict::default().because(format!("a\r\nb{}", "x".repeat(9_999))).checked("j").unwrap();
        assert!(said.reason.starts_with("j: a  bxx") && said.reason.chars().count() == MAX_REASON_CHARS + 3);
    }

    #[test]
    fn of_several_judges_the_first_refusal_and_the_last_mailbox_count() {
        let junk = || Verdict::file(FileInto::Role(Role::Junk));
        let first = refusal(451, 4).join(junk()).unwrap();
        let both = first.join(Verdict { mailbox: Some(FileInto::Role(Role::Archive)), ..refusal(550, 5) }).unwrap();
        assert_eq!(both.refusal.unwrap().code, 451);
        assert_eq!(both.mailbox, Some(FileInto::Role(Role::Archive)));
        assert_eq!(junk().join(Verdict::default()).unwrap(), junk());
    }
}
