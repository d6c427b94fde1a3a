//! IMAP from the client's side (RFC 3501, RFC 9051).

pub(crate) mod client;
pub(crate) mod names;
pub mod response;
