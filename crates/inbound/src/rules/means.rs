//! What the rules of accounts need of the service.

use directory::Directory;
use mailstore::{MailStore, Role};
use people::People;
use rules::Rules;

/// What scripts ask and what their decisions are made with.
#[derive(Clone)]
pub(super) struct Means {
    pub rules: Rules,
    pub directory: Directory,
    pub mailstore: MailStore,
    pub people: People,
    pub hostname: String,
}

/// The role of a special-use flag.
pub(super) fn role_of(flag: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role.attribute().is_some_and(|name| name.eq_ignore_ascii_case(flag)))
}
