//! What a client may believe about how far it knows the selected mailbox.

/// What a client may believe about how far it knows the selected mailbox.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    /// A `MODSEQ` was written since the last tagged answer.
    pub any: bool,
    /// The last token was said because expunges were held back.
    pub lowered: bool,
}
