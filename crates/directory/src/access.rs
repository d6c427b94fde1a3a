//! Granted access, and when it ends.
//!
//! A login is checked once, but a connection or live page that it opened may last for days. An [`Access`] represents
//! such an open session: it knows its account and the credential that opened it, and ends as soon as that credential is
//! no longer valid. It learns of changes from the commits themselves, no matter who made them: each commit that touches
//! an account's credentials wakes the holders of its accesses, and they check again.

use store::Read;
use tokio::sync::watch;

use crate::proof::Proof;
use crate::{
    AccountId, Directory, Login, Result, Role, Session, SessionId, account, app_password,
    schema::{self},
};

/// Why an access has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The account was deleted.
    #[error("the account was deleted")]
    Deleted,
    /// The account was disabled.
    #[error("the account was disabled")]
    Disabled,
    /// The password is another one now.
    #[error("the password was changed")]
    PasswordChanged,
    /// Two-step sign-in was turned on.
    #[error("two-step sign-in was turned on")]
    SecondFactor,
    /// The app password was revoked.
    #[error("the app password was revoked")]
    AppPasswordRevoked,
    /// The browser was signed out, or its session is over.
    #[error("the session has ended")]
    SignedOut,
    /// The account is no longer an administrator.
    #[error("the account is no longer an administrator")]
    RoleLost,
}

/// What was given.
#[derive(Debug, Clone, Copy)]
enum Grant {
    Login(Login),
    Session { account: AccountId, id: SessionId, was_admin: bool },
}

impl Grant {
    const fn account(&self) -> AccountId {
        match self {
            Self::Login(login) => login.account,
            Self::Session { account, .. } => *account,
        }
    }
}

/// A granted access. Ends when its credential is no longer valid.
#[derive(Clone)]
pub struct Access {
    directory: Directory,
    grant: Grant,
    changes: watch::Receiver<()>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Access").field(&self.grant).finish()
    }
}

impl Access {
    /// Whose account it is.
    pub const fn account(&self) -> AccountId {
        self.grant.account()
    }

    /// Why it has ended, if it has. Quick.
    pub fn is_over(&self) -> Option<Ended> {
        match self.directory.why_ended(&self.grant) {
            Ok(ended) => ended,
            Err(error) => {
                // A read error proves nothing: it does not end the session.
                tracing::debug!(%error, account = self.account().0, "could not check whether a login is still valid");
                None
            }
        }
    }

    /// Waits until it ends, and gives the error that a connection ends with then: [`Ended`] is inside.
    pub async fn end_as_error(mut self) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::PermissionDenied, self.ended().await)
    }

    /// Waits until it ends. Safe to cancel and to call again.
    pub async fn ended(&mut self) -> Ended {
        loop {
            if let Some(why) = self.is_over() {
                metrics::counter!("holdfast_directory_accesses_ended_total").increment(1);
                return why;
            }
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Directory {
    /// The access granted by a login. If its credential was revoked since the login was checked, it ends at once.
    pub fn access(&self, login: Login) -> Access {
        self.access_of(Grant::Login(login))
    }

    /// The access of a browser that is signed in; `was_admin` when it was given to an administrator as such.
    pub fn session_access(&self, session: &Session, was_admin: bool) -> Access {
        self.access_of(Grant::Session { account: session.account, id: session.id, was_admin })
    }

    fn access_of(&self, grant: Grant) -> Access {
        // Before the first look: what is revoked in between is told.
        let changes = self.inner.watched.subscribe(grant.account());
        Access { directory: self.clone(), grant, changes }
    }

    fn why_ended(&self, grant: &Grant) -> Result<Option<Ended>> {
        let snapshot = self.store().snapshot();
        let id = grant.account();
        let Some(record) = account::record(&snapshot, id)?.filter(|record| record.deleted_ms.is_none()) else {
            return Ok(Some(Ended::Deleted));
        };
        if record.disabled {
            return Ok(Some(Ended::Disabled));
        }
        Ok(match grant {
            Grant::Session { id: session, was_admin, .. } => {
                if !self.goes_on(&snapshot, id, *session)? {
                    Some(Ended::SignedOut)
                } else if *was_admin && account::role_of(&record) != Role::Admin {
                    Some(Ended::RoleLost)
                } else {
                    None
                }
            }
            Grant::Login(Login { app_password: Some(app), proof, .. }) => {
                let found = app_password::proof_of(&snapshot, id, *app)?;
                (found != Some(*proof)).then_some(Ended::AppPasswordRevoked)
            }
            Grant::Login(Login { app_password: None, proof, with_code, .. }) => {
                let credentials = schema::credentials(&snapshot, id)?.unwrap_or_default();
                if Proof::password(&credentials) != *proof {
                    Some(Ended::PasswordChanged)
                } else if credentials.has_two_steps() && !with_code {
                    Some(Ended::SecondFactor)
                } else {
                    None
                }
            }
        })
    }

    /// Whether an account was deleted, as a transaction sees it: nothing may be added to its realm then.
    pub fn is_deleted_in(reader: &dyn Read, id: AccountId) -> bool {
        // What can't be read was not deleted.
        account::record(reader, id).ok().flatten().is_some_and(|record| record.deleted_ms.is_some())
    }
}
