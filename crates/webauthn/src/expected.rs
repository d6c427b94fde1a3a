//! What we asked, and where.

/// What must be true of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The challenge that was given.
    pub challenge: &'a [u8],
    /// The origins of our pages, as `https://mail.example.org`.
    pub origins: &'a [String],
    /// The relying party: the domain that the passkey is for.
    pub rp_id: &'a str,
    /// The authenticator must have verified its user, by a PIN, a finger or the like.
    pub verified: bool,
}
