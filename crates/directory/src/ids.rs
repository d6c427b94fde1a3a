//! Names of accounts and of what opens them.

use store::RealmId;

/// An account's number, never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

/// What the crates that keep an account's mail, contacts and so on know it by.
pub type AccountRealm = RealmId;

impl AccountId {
    /// The realm with all data of the account.
    pub const fn realm(self) -> AccountRealm {
        RealmId::account(self.0)
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Has mail.
    #[default]
    User,
    /// Has mail, and manages the service by the web.
    Admin,
}

/// A session's name within its account: a hash of its token, so that a list of sessions opens none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 32]);

/// A passkey's name within its account: a hash of what browsers know it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PasskeyId(pub [u8; 16]);

/// An app password's number within its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppPasswordId(pub u32);
