//! Errors of a standby.

use std::io;

use store::StoreError;

use crate::link::NotACode;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network, or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The input is not a pairing code.
    #[error(transparent)]
    Code(#[from] NotACode),
    /// The primary says no.
    #[error("the primary refused the connection: {0}")]
    Refused(String),
    /// The primary's log and ours are two since some commit.
    #[error("the primary has a different log: {0}")]
    Diverged(String),
    /// The primary has already dropped the log we need.
    #[error("the primary's log does not reach back far enough: {why}")]
    TooOld {
        /// The primary's explanation.
        why: String,
        /// The last commit of our epoch that the primary followed before it was promoted; 0 when it does not know.
        promoted_after: u64,
        /// The log's chain there.
        promoted_chain: Vec<u8>,
    },
    /// It can't be done now.
    #[error("{0}")]
    NotNow(String),
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}
