//! UIDONLY (RFC 9586): once it is enabled, messages have no numbers, neither in commands nor in answers.

use super::{Session, outcome::Outcome};
use crate::failure::Failure;
use crate::response::Code;
use crate::syntax::{Command, MessageSet, SearchKey};

impl Session {
    /// Refuses a command that names messages by number where they have none.
    pub(super) fn may_use_numbers(&self, command: &Command) -> Outcome<()> {
        if self.enabled.uid_only && uses_numbers(command) {
            let text = "UIDONLY is enabled: use UIDs, not message sequence numbers";
            return Err(Failure::Bad(Some(Code::UID_REQUIRED), text.into()));
        }
        Ok(())
    }
}

fn uses_numbers(command: &Command) -> bool {
    match command {
        Command::Fetch(fetch) => !fetch.uid,
        Command::Store(store) => !store.uid,
        Command::Copy { uid, .. } | Command::Move { uid, .. } => !uid,
        Command::Search(search) => !search.uid || names_numbers(&search.key),
        Command::MultiSearch(multi) => names_numbers(&multi.search.key),
        Command::Sort(sort) => !sort.search.uid || names_numbers(&sort.search.key),
        Command::Thread(thread) => !thread.search.uid || names_numbers(&thread.search.key),
        Command::Select(select) => select.qresync.as_ref().is_some_and(|known| known.sequence_match.is_some()),
        _ => false,
    }
}

/// Whether a search program has message numbers. `$` has none.
fn names_numbers(key: &SearchKey) -> bool {
    key.has(&|key| matches!(key, SearchKey::Sequence(set) if *set != MessageSet::Saved))
}
