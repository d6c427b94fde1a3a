//! Up to where messages are recent for nobody any more, in memory.

use std::collections::HashMap;

use parking_lot::Mutex;
use store::RealmId;

use crate::MailboxId;

/// Lines that are ahead of what is written down.
#[derive(Default)]
pub(crate) struct Lines {
    pub lines: Mutex<HashMap<(RealmId, MailboxId), u32>>,
}
