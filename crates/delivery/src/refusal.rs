//! Refusals of a recipient or a message, as SMTP replies.

use std::fmt;

/// A refusal that is sent to the client unchanged: reply code, enhanced status code (RFC 3463) and text.
///
/// All refusals are made here, so that SMTP, submission and web report the same problem in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Reply code, 400..=599. 4xx: the same may succeed later. 5xx: it will not.
    pub code: u16,
    /// Class, subject, detail, as in `5.1.1`. The class equals the first digit of `code`.
    pub enhanced: (u8, u16, u16),
    /// One line for people, without codes: what happened, to what, what to do. Never holds CR or LF.
    pub text: String,
}

impl Refusal {
    /// A refusal; line breaks and control characters in `text` become spaces.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        let text: String = text.into();
        let text = if text.chars().any(char::is_control) {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        } else {
            text
        };
        Self { code, enhanced, text }
    }

    /// Trying again later makes sense.
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// Nobody has that address.
    pub fn no_such_address(address: &impl fmt::Display) -> Self {
        Self::new(550, (5, 1, 1), format!("<{address}>: Recipient address rejected: no such address here"))
    }

    /// Its domain is not ours.
    pub fn relaying_denied(address: &impl fmt::Display) -> Self {
        Self::new(550, (5, 7, 1), format!("<{address}>: Relay access denied; sign in to send mail to other domains"))
    }

    /// Whose it is has no room.
    pub fn mailbox_full(address: &impl fmt::Display) -> Self {
        Self::new(452, (4, 2, 2), format!("<{address}>: Mailbox full, try again later"))
    }

    /// A return address of forwarded mail that leads nowhere.
    pub(crate) fn bad_return_address(address: &impl fmt::Display, why: &str) -> Self {
        Self::new(550, (5, 1, 1), format!("<{address}>: Recipient address rejected: {why}"))
    }

    /// A return address of forwarded mail is not for letters.
    pub(crate) fn return_address_for_reports(address: &impl fmt::Display) -> Self {
        Self::new(
            550,
            (5, 7, 1),
            format!("<{address}>: Recipient address rejected: it takes delivery reports only, with the null sender"),
        )
    }

    pub(crate) fn address_not_usable(address: &impl fmt::Display, why: &str) -> Self {
        Self::new(553, (5, 1, 3), format!("<{address}>: {why}"))
    }

    pub(crate) fn sender_not_yours(address: &impl fmt::Display) -> Self {
        Self::new(
            550,
            (5, 7, 1),
            format!("<{address}>: Sender address rejected: it doesn't belong to the account you signed in with"),
        )
    }

    pub(crate) fn author_not_understood(why: &str) -> Self {
        Self::new(550, (5, 6, 0), format!("Message rejected: it needs exactly one From field with your address: {why}"))
    }

    pub(crate) fn header_too_long(limit: usize) -> Self {
        Self::new(550, (5, 6, 0), format!("Message header too large: the limit is {limit} bytes"))
    }

    pub(crate) fn too_many_hops(hops: usize) -> Self {
        Self::new(554, (5, 4, 6), format!("Too many hops: mail loop detected, the message has passed {hops} servers"))
    }

    /// The message is larger than is taken.
    pub fn too_large(limit: u64) -> Self {
        Self::new(552, (5, 3, 4), format!("Message size exceeds the limit of {limit} bytes"))
    }

    pub(crate) fn too_many_recipients(limit: usize) -> Self {
        Self::new(
            452,
            (4, 5, 3),
            format!("Too many recipients: the limit is {limit}; send the rest in another message"),
        )
    }

    pub(crate) fn no_recipients() -> Self {
        Self::new(554, (5, 5, 1), "No valid recipients")
    }

    /// The refusal if the store can't accept mail at the moment.
    pub fn unavailable() -> Self {
        Self::new(451, (4, 3, 0), "Temporary server error: mail can't be accepted at the moment, try again later")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, subject, detail) = self.enhanced;
        write!(f, "{} {class}.{subject}.{detail} {}", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_always_one_line() {
        let refusal = Refusal::no_such_address(&"a\r\n250 fine@b.example");
        assert_eq!(
            refusal.to_string(),
            "550 5.1.1 <a  250 fine@b.example>: Recipient address rejected: no such address here"
        );
        assert!(!refusal.is_temporary());
        assert!(Refusal::unavailable().is_temporary());
    }
}
