//! What an act did.

use crate::ContactId;

/// The result of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// In words.
    pub note: String,
    /// The contact it made or changed.
    pub contact: Option<ContactId>,
    /// Whether [`People::undo`] can take it back.
    pub undoable: bool,
    /// Whether that was done.
    pub undone: bool,
    /// An earlier call did it.
    pub repeated: bool,
}
