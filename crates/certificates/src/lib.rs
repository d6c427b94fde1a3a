//! Certificates from an authority that speaks ACME (RFC 8555): ordered when one is missing, renewed in time, kept in the store,
//! put in place without a restart.
//!
//! Names are ordered in groups ([`Group`]), each with a certificate of its own, so that one name that an authority refuses costs
//! no other name its certificate. Whatever fails is tried again with patience ([`patience`]); the old certificate is presented
//! for as long as there is no newer one, and the self-signed one until there is a first.
//!
//! What this crate must never do: throw away a certificate that is in use; ask an authority more often than its limits allow;
//! write a private key anywhere but into the directory's sealed records.
//!
//! Start reading at [`Certificates::run`], then `attempt.rs` for one order.

mod attempt;
mod client;
mod hook;
mod keep;
mod names;
pub mod patience;
mod reach;
mod run;
mod shown;
mod state;
mod trouble;

use std::{path::PathBuf, sync::Arc};

pub use names::{Group, OF_A_DOMAIN, groups};
pub use run::Certificates;
pub use shown::{Shown, ShownName};
pub use trouble::Trouble;
use zeroize::Zeroizing;

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// What an authority's questions about a web server begin with (RFC 8555 section 8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

/// How an authority makes sure that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By a file on port 80.
    Http01,
    /// By a handshake on port 443.
    TlsAlpn01,
    /// By a record in the DNS, which a command of the operator makes.
    Dns01,
}

impl Proof {
    /// Its name in RFC 8555 and RFC 8737.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// The key by which an authority knows a customer (RFC 8555 section 7.3.4).
#[derive(Clone)]
pub struct ExternalAccount {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub key: Zeroizing<Vec<u8>>,
}

/// Gives the time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What to order, where, and how to prove that it is ours.
#[derive(Clone)]
pub struct Options {
    /// The authority's directory.
    pub authority: String,
    /// Where the authority writes to, as `mailto:` addresses.
    pub contact: Vec<String>,
    /// PEM file with the roots that the authority's own server is checked against, besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// The customer's key.
    pub external_account: Option<ExternalAccount>,
    /// The proofs that can be given, the preferred one first; not empty.
    pub proofs: Vec<Proof>,
    /// The command that makes and removes DNS records, for [`Proof::Dns01`].
    pub dns_hook: Option<PathBuf>,
    /// The service's own names, the host name first.
    pub own_names: Vec<String>,
    /// The time. Default: the system's.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authority: LETS_ENCRYPT.to_owned(),
            contact: Vec::new(),
            ca_file: None,
            external_account: None,
            proofs: vec![Proof::Http01],
            dns_hook: None,
            own_names: Vec::new(),
            clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
        }
    }
}
