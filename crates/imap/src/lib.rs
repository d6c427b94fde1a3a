//! The IMAP4rev2 and IMAP4rev1 door.
pub mod syntax;
