//! Lets the primary fetch what is damaged there: the standby holds a connection open over which the primary requests bodies
//! and commits. It also tries while the primary does not serve: it may be under repair.

use std::{sync::Arc, time::Duration};

use store::{BodyId, Seq, Store};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{
    connect::{hear, say},
    error::{Error, blocking},
    replica::Standby,
    wire::{self, BodyPiece, Kind},
};

/// Between two tries to reach the primary for that.
const AGAIN: Duration = Duration::from_secs(5);
/// A piece of a body.
const PIECE_BYTES: usize = 512 << 10;

impl Standby {
    /// Lends until shut down.
    pub(super) async fn lend(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            if let Err(error) = tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.cut.cancelled() => return,
                lent = self.lend_once() => lent,
            } {
                tracing::debug!(%error, "can't send anything to the primary at the moment");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.cut.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn lend_once(&self) -> Result<(), Error> {
        let mut stream = self.reach().await?;
        say(&mut stream, Kind::Lend(wire::Lend {})).await?;
        loop {
            match hear(&mut stream).await? {
                Kind::Beat(_) => {}
                Kind::WantBodies(wanted) => {
                    for id in wanted.ids {
                        let id = <[u8; 32]>::try_from(id).map_err(|_| Error::NotNow("invalid body id".to_owned()))?;
                        let Some(store) = self.store() else { return Ok(()) };
                        give(&store, BodyId::from_bytes(id), &mut stream).await?;
                    }
                    stream.flush().await?;
                }
                Kind::WantLog(wanted) => {
                    let Some(store) = self.store() else { return Ok(()) };
                    let run = blocking(move || store.log_run(Seq(wanted.from))).await;
                    let bytes = run.unwrap_or_else(|error| {
                        tracing::warn!(%error, "can't read commits that the primary requests");
                        None
                    });
                    say(&mut stream, Kind::Run(wire::Run { bytes: bytes.unwrap_or_default() })).await?;
                }
                other => return Err(Error::NotNow(format!("unexpected request from the primary: {}", other.name()))),
            }
        }
    }
}

/// One body, or why it can't be had: all of it is read and checked before any of it is sent.
async fn give(store: &Store, id: BodyId, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Error> {
    let at = store.clone();
    let read = blocking(move || at.body_as_it_is(&id)?.read_all()).await;
    let piece = |bytes: &[u8], last, damaged| {
        Kind::BodyPiece(BodyPiece { id: id.as_bytes().to_vec(), bytes: bytes.to_vec(), last, damaged })
    };
    match read {
        Err(error) => wire::write(write, piece(&[], true, error.to_string())).await?,
        Ok(bytes) if bytes.is_empty() => wire::write(write, piece(&[], true, String::new())).await?,
        Ok(bytes) => {
            let pieces = bytes.chunks(PIECE_BYTES);
            let count = pieces.len();
            for (number, bytes) in pieces.enumerate() {
                wire::write(write, piece(bytes, number + 1 == count, String::new())).await?;
            }
        }
    }
    Ok(())
}
