//! What a check of the configuration finds.

/// Something that is wrong, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The dotted key.
    pub key: String,
    /// Which of the `[[archive]]` tables it is in, from 0.
    pub archive: Option<usize>,
    /// The message, printed after the key.
    pub message: String,
    /// The remedy.
    pub remedy: String,
}

impl Finding {
    /// Of a key that is in no `[[archive]]` table.
    pub fn new(key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), archive: None, message: message.into(), remedy: remedy.into() }
    }
}
