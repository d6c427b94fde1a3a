//! Response codes (RFC 9051 section 7.1, and those of the extensions).

use crate::syntax::Ranges;

use super::text;

/// The bracketed code of a status response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Code {
    /// A code that is one word: see the constants.
    Word(&'static str),
    /// `BADCHARSET`: the charsets that are known.
    BadCharset,
    /// `APPENDUID`: UIDVALIDITY and UIDs.
    AppendUid(u32, Ranges),
    /// `COPYUID`: UIDVALIDITY, source UIDs, target UIDs.
    CopyUid(u32, Ranges, Ranges),
    /// `HIGHESTMODSEQ`.
    HighestModSeq(u64),
    /// `MODIFIED`: the messages that a conditional STORE left alone.
    Modified(Ranges),
    /// `MAILBOXID`.
    MailboxId(String),
    /// `BADURL`: a URL of a CATENATE that names nothing.
    BadUrl(String),
    /// `INPROGRESS`: the tag of a command that is still being obeyed.
    InProgress(String),
    /// `NOUPDATE`: the tag of a search whose result is not kept up to date.
    NoUpdate(String),
    /// `METADATA LONGENTRIES`: the length of the longest value that was left out.
    MetadataLongEntries(u64),
    /// `METADATA MAXSIZE`: the longest value that is taken.
    MetadataMaxSize(u64),
    /// `CAPABILITY`: what can be used now.
    Capability(String),
}

impl Code {
    pub(crate) const ALREADY_EXISTS: Self = Self::Word("ALREADYEXISTS");
    pub(crate) const AUTHENTICATION_FAILED: Self = Self::Word("AUTHENTICATIONFAILED");
    pub(crate) const AUTHORIZATION_FAILED: Self = Self::Word("AUTHORIZATIONFAILED");
    pub(crate) const CANNOT: Self = Self::Word("CANNOT");
    pub(crate) const CLIENT_BUG: Self = Self::Word("CLIENTBUG");
    pub(crate) const CLOSED: Self = Self::Word("CLOSED");
    pub(crate) const CORRUPTION: Self = Self::Word("CORRUPTION");
    pub(crate) const COMPRESSION_ACTIVE: Self = Self::Word("COMPRESSIONACTIVE");
    pub(crate) const CONTACT_ADMIN: Self = Self::Word("CONTACTADMIN");
    pub(crate) const EXPUNGE_ISSUED: Self = Self::Word("EXPUNGEISSUED");
    pub(crate) const IN_USE: Self = Self::Word("INUSE");
    pub(crate) const LIMIT: Self = Self::Word("LIMIT");
    pub(crate) const METADATA_TOO_MANY: Self = Self::Word("METADATA TOOMANY");
    pub(crate) const NONEXISTENT: Self = Self::Word("NONEXISTENT");
    pub(crate) const NO_PERM: Self = Self::Word("NOPERM");
    pub(crate) const OVER_QUOTA: Self = Self::Word("OVERQUOTA");
    pub(crate) const PRIVACY_REQUIRED: Self = Self::Word("PRIVACYREQUIRED");
    pub(crate) const READ_ONLY: Self = Self::Word("READ-ONLY");
    pub(crate) const READ_WRITE: Self = Self::Word("READ-WRITE");
    pub(crate) const SERVER_BUG: Self = Self::Word("SERVERBUG");
    pub(crate) const TOO_BIG: Self = Self::Word("TOOBIG");
    pub(crate) const TRY_CREATE: Self = Self::Word("TRYCREATE");
    pub(crate) const UID_REQUIRED: Self = Self::Word("UIDREQUIRED");
    pub(crate) const UNAVAILABLE: Self = Self::Word("UNAVAILABLE");
    pub(crate) const UNKNOWN_CTE: Self = Self::Word("UNKNOWN-CTE");
    pub(crate) const USE_ATTR: Self = Self::Word("USEATTR");

    /// Writes `[code] ` with the space.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        match self {
            Self::Word(word) => out.extend_from_slice(word.as_bytes()),
            Self::BadCharset => out.extend_from_slice(b"BADCHARSET (US-ASCII UTF-8)"),
            Self::AppendUid(validity, uids) => {
                out.extend_from_slice(b"APPENDUID ");
                text::number(out, u64::from(*validity));
                out.push(b' ');
                uids.write(out);
            }
            Self::CopyUid(validity, from, to) => {
                out.extend_from_slice(b"COPYUID ");
                text::number(out, u64::from(*validity));
                out.push(b' ');
                from.write(out);
                out.push(b' ');
                to.write(out);
            }
            Self::HighestModSeq(modseq) => {
                out.extend_from_slice(b"HIGHESTMODSEQ ");
                text::number(out, *modseq);
            }
            Self::Modified(set) => {
                out.extend_from_slice(b"MODIFIED ");
                set.write(out);
            }
            Self::BadUrl(url) => {
                /// Longest part of it that is told.
                const MOST: usize = 200;
                out.extend_from_slice(b"BADURL ");
                let plain = |b: u8| if b.is_ascii_graphic() && b != b']' { b } else { b'?' };
                out.extend(url.bytes().take(MOST).map(plain));
            }
            Self::InProgress(tag) => {
                out.extend_from_slice(b"INPROGRESS (");
                text::string(out, tag.as_bytes(), false);
                out.extend_from_slice(b" NIL NIL)");
            }
            Self::NoUpdate(tag) => {
                out.extend_from_slice(b"NOUPDATE ");
                text::string(out, tag.as_bytes(), false);
            }
            Self::MetadataLongEntries(size) => {
                out.extend_from_slice(b"METADATA LONGENTRIES ");
                text::number(out, *size);
            }
            Self::MetadataMaxSize(size) => {
                out.extend_from_slice(b"METADATA MAXSIZE ");
                text::number(out, *size);
            }
            Self::Capability(all) => {
                out.extend_from_slice(b"CAPABILITY ");
                out.extend_from_slice(all.as_bytes());
            }
            Self::MailboxId(id) => {
                out.extend_from_slice(b"MAILBOXID (");
                out.extend_from_slice(id.as_bytes());
                out.push(b')');
            }
        }
        out.extend_from_slice(b"] ");
    }
}
