//! Writing answers: pure functions onto a byte buffer.

pub(crate) mod code;
pub(crate) mod envelope;
pub(crate) mod mailbox_name;
pub(crate) mod structure;
pub(crate) mod text;

pub(crate) use code::Code;
