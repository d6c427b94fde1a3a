//! Verification of passkeys (Web Authentication, level 3): what a browser answers when a passkey is made or used is read
//! within named limits and proved.
//!
//! Signatures may be ES256, EdDSA (Ed25519) and RS256. No attestation is asked for; what an authenticator says of its maker
//! all the same is not believed, except that a self attestation must be right.
//!
//! What this crate must never do: keep anything, ask for the time, or know accounts. Which challenge was given to whom, and
//! which passkeys there are, is told to it.
//!
//! Start reading at [`register`] and [`assert`].

mod authenticator;
mod cbor;
mod ceremony;
mod client;
mod expected;
mod key;

pub use ceremony::{Answer, Asserted, Credential, Registered, assert, register};
pub use expected::Expected;
pub use key::ALGORITHMS;

/// The most bytes of `clientDataJSON`.
pub const MAX_CLIENT_DATA_BYTES: usize = 4_096;
/// The most bytes of an attestation object, or of authenticator data.
pub const MAX_AUTHENTICATOR_BYTES: usize = 16_384;
/// The most bytes of a credential's id (section 6.5.1).
pub const MAX_ID_BYTES: usize = 1_023;
/// The most bytes of a signature: RSA with 8,192 bits.
pub const MAX_SIGNATURE_BYTES: usize = 1_024;

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A part is larger than it may be.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// How much it may be.
        limit: usize,
    },
    /// Something can't be read.
    #[error("{0} can't be read")]
    Unreadable(&'static str),
    /// It is the answer to another question.
    #[error("the answer is of the wrong type")]
    Type,
    /// The challenge is another one.
    #[error("the challenge is not the one that was given")]
    Challenge,
    /// The page that asked was not ours.
    #[error("the origin {0} is not allowed")]
    Origin(String),
    /// The page was in a frame of another site.
    #[error("the page was in a frame of another site")]
    Framed,
    /// It is of another site.
    #[error("the relying party is another one")]
    RelyingParty,
    /// Nobody touched the authenticator.
    #[error("the user was not present")]
    NotPresent,
    /// The authenticator did not ask for a PIN, a finger or the like.
    #[error("the user was not verified")]
    NotVerified,
    /// A key of a kind that we did not ask for.
    #[error("keys with algorithm {0} are not supported")]
    Algorithm(i64),
    /// A key that is none.
    #[error("the public key is not valid")]
    Key,
    /// The signature does not fit.
    #[error("the signature is wrong")]
    Signature,
    /// The counter did not go up: the passkey may have been copied.
    #[error("the signature counter went from {from} to {to}")]
    Counter {
        /// What it was.
        from: u32,
        /// What came.
        to: u32,
    },
}
