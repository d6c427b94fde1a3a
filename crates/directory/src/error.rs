//! Errors.

use std::time::Duration;

use mailkit::{AddressError, dkim::DkimError};
use store::{Cause, Damaged, Part, StoreError};

use crate::{AccountId, Service};

/// The result of directory calls.
pub type Result<T, E = DirectoryError> = std::result::Result<T, E>;

/// Why the directory did not do it. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// The address is in use.
    #[error("the address {0} already exists")]
    AddressTaken(String),
    /// There is no such account.
    #[error("there is no account {0}")]
    NoSuchAccount(String),
    /// The domain is not one of ours.
    #[error("the domain {0} is not one of this service; add it first: holdfast domain add {0}")]
    NoSuchDomain(String),
    /// A name that no other server can deliver to.
    #[error(
        "no mail can come to \u{201c}{0}\u{201d} from the Internet; write a whole domain, such as example.org (for a trial \
         any will do)"
    )]
    NotPublic(String),
    /// The domain exists.
    #[error("the domain {0} already exists")]
    DomainTaken(String),
    /// The domain has addresses.
    #[error("the domain {domain} still has addresses, for example {address}; remove them first")]
    DomainInUse {
        /// The domain.
        domain: String,
        /// One of its addresses.
        address: String,
    },
    /// An address can't be understood.
    #[error("{0}")]
    BadAddress(#[from] AddressError),
    /// The password is not acceptable.
    #[error("{0}")]
    BadPassword(String),
    /// A name or text is too long.
    #[error("{what} is too long: the limit is {limit} bytes")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// There are as many as there may be.
    #[error("too many {what}: the limit is {limit}; remove one first")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The address that was to be removed is the account's login.
    #[error("the address {0} is the account's login and can't be removed")]
    LoginAddress(String),
    /// Only an administrator may give this address to an account.
    #[error("the address {0} can only be given by an administrator")]
    Reserved(String),
    /// The service would be left without anyone to administer it.
    #[error("this is the only administrator; create another one first")]
    LastAdmin,
    /// The code does not fit.
    #[error("the code is wrong or was already used; wait for the next one")]
    WrongCode,
    /// The account has this passkey already.
    #[error("this passkey was already added")]
    PasskeyKnown,
    /// Two-step sign-in would have nothing left to ask for.
    #[error("this is the only passkey of two-step sign-in; add another one first, or turn two-step sign-in off")]
    LastSecondStep,
    /// A key could not be made.
    #[error("DKIM: {0}")]
    Dkim(String),
    /// It would have to be sealed, or opened, and the key is not at hand.
    #[error(
        "the service's secrets key isn't available: {0}; an administrator can see what is missing with `holdfast secrets status`"
    )]
    NoSecretsKey(String),
    /// A stored record can't be understood.
    #[error("damaged: {0}; run `holdfast verify`")]
    Damaged(Box<Damaged>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DkimError> for DirectoryError {
    fn from(error: DkimError) -> Self {
        Self::Dkim(error.to_string())
    }
}

impl DirectoryError {
    /// A stored record does not make sense.
    pub(crate) fn damaged(cause: Cause, what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Record, cause).because(what)))
    }

    pub(crate) fn no_account(id: AccountId) -> Self {
        Self::NoSuchAccount(format!("number {}", id.0))
    }
}

/// Why a login was refused. Does not distinguish an unknown login from a wrong password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Login or password is wrong.
    #[error("wrong login or password")]
    Invalid,
    /// Too many failures from this address or for this login.
    #[error("too many failed logins; try again in {} seconds", retry_after.as_secs().max(1))]
    Throttled {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// The password is right, and the account is disabled.
    #[error("this account is disabled")]
    Disabled,
    /// The app password is right, and its owner has not allowed it this protocol.
    #[error("this app password isn't allowed to use {}", service.title())]
    NotAllowed {
        /// The protocol.
        service: Service,
    },
    /// The password is right, and a code is wanted: by the web with the code, elsewhere with an app password.
    #[error("this account uses two-step sign-in")]
    TotpRequired,
    /// The password is right, and the code can't be checked: the service lacks its secrets key. Recovery codes work.
    #[error("codes can't be checked at the moment: this is a fault of the service; use a recovery code")]
    CodeUnavailable,
    /// Can't be checked now.
    #[error("logins can't be checked at the moment; try again soon")]
    Unavailable,
}

/// That a login can't be checked, and why: for the log.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> AuthError {
    tracing::error!(%error, "could not check a login");
    AuthError::Unavailable
}
