//! What containers hold.

/// Files given of one container.
pub(crate) const MAX_FILES: usize = 200;

/// A file within a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InnerFile {
    /// As it stands there, not to be trusted.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// What a container holds.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A message or part of its own, raw, that stands in the container's place.
    Message(Vec<u8>),
    /// Files, and perhaps the text of the message.
    Files { text: String, html: Option<String>, files: Vec<InnerFile> },
    /// It can be read with a key only.
    Encrypted,
}
