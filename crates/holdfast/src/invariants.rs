//! The consistency rules that stored data is checked by.

use delivery::QueueInvariants;
use directory::DirectoryInvariants;
use mailstore::invariants::MailInvariants;
use people::invariants::PeopleInvariants;
use store::Invariants;

/// The consistency rules of all crates.
pub const INVARIANTS: [&dyn Invariants; 4] =
    [&DirectoryInvariants, &MailInvariants, &QueueInvariants, &PeopleInvariants];
