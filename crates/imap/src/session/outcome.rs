//! What a command comes to, and what the client has enabled.

use std::borrow::Cow;

use mailstore::Uid;

use crate::{
    failure::Failure,
    response::{Code, text},
};

/// What a command that succeeded says in its tagged OK.
pub(crate) struct Done {
    pub code: Option<Code>,
    pub text: Cow<'static, str>,
    /// Up to where the client knows the mailbox is to be said, too.
    pub token: bool,
}

impl Done {
    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, text: text.into(), token: false }
    }

    pub(crate) fn code(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), text: text.into(), token: false }
    }

    /// With `HIGHESTMODSEQ`, as far as the client knows the mailbox by then.
    pub(crate) fn token(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, text: text.into(), token: true }
    }
}

/// What a command comes to.
pub(crate) type Outcome<T = Done> = std::result::Result<T, Failure>;

/// Extensions that change answers once the client has asked for them (RFC 9051 section 6.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// `ENABLE IMAP4REV2`.
    pub rev2: bool,
    /// `ENABLE UTF8=ACCEPT`, or rev2.
    pub utf8: bool,
    /// `ENABLE UTF8=ACCEPT`.
    pub utf8_accept: bool,
    /// `ENABLE CONDSTORE`, or any use of it.
    pub condstore: bool,
    /// `ENABLE QRESYNC`.
    pub qresync: bool,
    /// `ENABLE UIDONLY` (RFC 9586).
    pub uid_only: bool,
}

/// Writes `* n FETCH (`, or `* uid UIDFETCH (`.
pub(crate) fn write_fetch_start(out: &mut Vec<u8>, number: usize, uid: Uid, enabled: Enabled) {
    out.extend_from_slice(b"* ");
    if enabled.uid_only {
        text::number(out, u64::from(uid.0));
        out.extend_from_slice(b" UIDFETCH (");
    } else {
        text::number(out, number as u64);
        out.extend_from_slice(b" FETCH (");
    }
}
