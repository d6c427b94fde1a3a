//! What went wrong with a command, for programs: a stable code beside the text, and the exit code.

use std::{fmt, io};

use delivery::DeliveryError;
use directory::DirectoryError;
use serde::{Deserialize, Serialize};
use store::StoreError;

use crate::{config::ConfigError, told::told};

/// `EX_CONFIG` of sysexits.h: trying again does not help.
const WRONG_CONFIGURATION: u8 = 78;
/// What the command line itself is refused with.
const USAGE: u8 = 2;

/// Why a command failed. The words are stable: programs go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The checks of an account found problems.
    AccountProblems,
    /// There are alarms.
    Alarms,
    /// Something that is stored is damaged or missing.
    Damaged,
    /// The DNS gave no answer about a domain's records.
    DnsUnanswered,
    /// A domain's records have problems.
    DomainProblems,
    /// A drill found problems, or could not run.
    DrillFailed,
    /// The data folder is in use.
    InUse,
    /// The folder has no service's data.
    NoData,
    /// What a command is for does not exist: an account, a domain, a message in the queue.
    NotFound,
    /// The service is not running.
    NotRunning,
    /// The system refuses it.
    PermissionDenied,
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    WrongConfiguration,
    /// Anything else.
    Failed,
}

impl Code {
    /// All, with when they are given: the documents have the same list.
    #[cfg(test)]
    const ALL: [Self; 14] = [
        Self::AccountProblems,
        Self::Alarms,
        Self::Damaged,
        Self::DnsUnanswered,
        Self::DomainProblems,
        Self::DrillFailed,
        Self::InUse,
        Self::NoData,
        Self::NotFound,
        Self::NotRunning,
        Self::PermissionDenied,
        Self::Usage,
        Self::WrongConfiguration,
        Self::Failed,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AccountProblems => "account-problems",
            Self::Alarms => "alarms",
            Self::Damaged => "damaged",
            Self::DnsUnanswered => "dns-unanswered",
            Self::DomainProblems => "domain-problems",
            Self::DrillFailed => "drill-failed",
            Self::InUse => "in-use",
            Self::NoData => "no-data",
            Self::NotFound => "not-found",
            Self::NotRunning => "not-running",
            Self::PermissionDenied => "permission-denied",
            Self::Usage => "usage",
            Self::WrongConfiguration => "wrong-configuration",
            Self::Failed => "failed",
        }
    }

    /// An error with this code.
    pub fn error(self, text: impl Into<String>) -> anyhow::Error {
        Failure { code: self.word().to_owned(), error: text.into() }.into()
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A [`Code`]'s word.
    pub code: String,
    /// For people.
    pub error: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Of an error, with its causes.
    pub fn of(error: &anyhow::Error) -> Self {
        let given = error.chain().find_map(|cause| cause.downcast_ref::<Self>()).map(|failure| failure.code.clone());
        let code = given.unwrap_or_else(|| error.chain().find_map(code_of).unwrap_or(Code::Failed).word().to_owned());
        Self { code, error: told(error) }
    }

    /// The exit code of a command that failed so.
    pub fn exit(&self) -> u8 {
        if self.code == Code::WrongConfiguration.word() {
            WRONG_CONFIGURATION
        } else if self.code == Code::Usage.word() {
            USAGE
        } else {
            1
        }
    }

    /// Whether the system refused something to this process.
    pub fn is_permission(&self) -> bool {
        self.code == Code::PermissionDenied.word()
    }

    /// Prints it on standard error: in words, or as one object with `code`, `error` and `exit`.
    pub fn print(&self, json: bool) {
        if json {
            eprintln!("{}", serde_json::json!({ "code": self.code, "error": self.error, "exit": self.exit() }));
        } else {
            eprintln!("holdfast: {}", self.error);
        }
    }
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<Code> {
    if cause.is::<ConfigError>() {
        return Some(Code::WrongConfiguration);
    }
    match cause.downcast_ref::<StoreError>() {
        Some(StoreError::Locked { .. }) => return Some(Code::InUse),
        Some(StoreError::Damaged { .. }) => return Some(Code::Damaged),
        _ => {}
    }
    if matches!(cause.downcast_ref::<DeliveryError>(), Some(DeliveryError::NotQueued(_))) {
        return Some(Code::NotFound);
    }
    if matches!(
        cause.downcast_ref::<DirectoryError>(),
        Some(DirectoryError::NoSuchAccount(_) | DirectoryError::NoSuchDomain(_))
    ) {
        return Some(Code::NotFound);
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::PermissionDenied => Some(Code::PermissionDenied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_code_is_found_below_what_was_said_about_it_and_the_first_one_that_was_given_counts() {
        let denied = || anyhow::Error::new(io::Error::from(io::ErrorKind::PermissionDenied));
        for (error, code, exit) in [
            (denied().context("reading").context("importing"), Code::PermissionDenied, 1),
            (anyhow::anyhow!("Permission denied"), Code::Failed, 1),
            (Code::Alarms.error("2 alarms"), Code::Alarms, 1),
            (Code::NotFound.error("there is no account").context("renaming"), Code::NotFound, 1),
            (Err::<(), _>(Code::Usage.error("wrong")).context("so").unwrap_err(), Code::Usage, 2),
        ] {
            let failure = Failure::of(&error);
            assert_eq!((failure.code.as_str(), failure.exit()), (code.word(), exit), "{error:#}");
        }
        // Over the socket and back.
        let failure = Failure::of(&Code::Damaged.error("1 damaged item"));
        let text = serde_json::to_string(&failure).unwrap();
        let back: Failure = serde_json::from_str(&text).unwrap();
        assert_eq!(Failure::of(&anyhow::Error::new(back.clone()).context("verify")).code, back.code);
    }

    #[test]
    fn every_code_is_documented() {
        let documented = include_str!("../../../docs/monitoring.md");
        for code in Code::ALL {
            assert!(documented.contains(&format!("| `{}` |", code.word())), "{}", code.word());
        }
    }
}
