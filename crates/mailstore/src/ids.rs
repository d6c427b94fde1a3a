//! The numbers things are known by. Each is a type of its own, so that mixing them up does not compile.

use std::fmt;
use std::str::FromStr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let digits = text.strip_prefix($prefix).ok_or(ParseIdError)?;
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(ParseIdError);
                }
                digits.parse().map(Self).map_err(|_| ParseIdError)
            }
        }
    };
}

/// The text given for an id does not have an id's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct ParseIdError;

id! {
    /// A mailbox within its account. Never reused, stays the same when the mailbox is renamed.
    /// As text (`m7`) it serves as IMAP MAILBOXID (RFC 8474) and in web addresses.
    MailboxId(u32), "m"
}
id! {
    /// A message's unique identifier within a mailbox (RFC 9051 §2.3.1.1): strictly ascending, never reused.
    Uid(u32), ""
}
id! {
    /// A message within its account, the same for all its copies: IMAP EMAILID (RFC 8474). As text `e42`.
    EmailId(u64), "e"
}
id! {
    /// A conversation within its account: the [`EmailId`] of the message that began it. As text `t42`.
    ThreadId(u64), "t"
}
id! {
    /// The account's change counter (RFC 7162 MODSEQ): the realm sequence number of the commit that changed a thing.
    ModSeq(u64), ""
}

impl From<store::RealmSeq> for ModSeq {
    fn from(seq: store::RealmSeq) -> Self {
        Self(seq.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        assert_eq!("m7".parse(), Ok(MailboxId(7)));
        assert_eq!(EmailId(u64::MAX).to_string().parse(), Ok(EmailId(u64::MAX)));
        assert_eq!("12".parse(), Ok(Uid(12)));
    }

    #[test]
    fn other_text_is_no_id() {
        for text in ["", "m", "7", "m-7", "m+7", "m7 ", "m4294967296", "e7"] {
            assert_eq!(text.parse::<MailboxId>(), Err(ParseIdError), "{text}");
        }
    }
}
