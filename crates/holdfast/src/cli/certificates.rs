//! `holdfast certificate`: the certificates that are obtained from an authority.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// `holdfast certificate …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum CertificateCommand {
    /// List the certificates: names, issuer, days left, next try, last error. Exits with 1 if one needs a person.
    List,
    /// Obtain new certificates now: for a name or a hosted domain, or for everything. Waits for the result.
    Renew {
        /// A name, or a hosted domain. Default: everything.
        name: Option<String>,
    },
    /// Check by the DNS whether the names lead to this service. Exits with 1 if a name of the service itself does not.
    Check,
}
