//! Pairing and connecting to the primary, and the stored connection data.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    error::Error,
    wire::{self, Kind, plain},
};
use crate::{
    durable,
    link::{self, Connection as Link, Fingerprint, Keys, PairingCode, Pin, REACH_TIMEOUT},
};

/// How long a machine may take to be reached where it must learn of something as soon as it can be.
const REACH_SOON_TIMEOUT: Duration = Duration::from_secs(1);
/// And how long it may take to answer then.
const ANSWER_SOON_TIMEOUT: Duration = Duration::from_secs(4);
/// The primary, as the standby knows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub address: String,
    pub fingerprint: Fingerprint,
    /// It acknowledges nothing that we do not have.
    #[serde(default)]
    pub waits_for_us: bool,
}

pub(super) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("standby")
}

pub(super) fn known_file(dir: &Path) -> PathBuf {
    state_dir(dir).join("primary.json")
}

pub(super) fn known(dir: &Path) -> io::Result<Option<Known>> {
    read_json(&known_file(dir))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn write_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    durable::replace(file, &serde_json::to_vec_pretty(value)?)
}

/// A connection to the primary.
pub(super) type Connection = Link;

pub(super) async fn connect(keys: &Keys, address: &str, pin: Pin) -> Result<Connection, Error> {
    Ok(link::connect(keys, address, pin, REACH_TIMEOUT).await?)
}

/// What `ask` makes of a connection to a machine that answers soon.
pub(super) async fn ask_soon<T>(
    keys: &Keys,
    known: &Known,
    ask: impl AsyncFnOnce(Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{} does not respond", known.address));
    let asking = async {
        let pin = Pin::Whole(known.fingerprint);
        ask(link::connect(keys, &known.address, pin, REACH_SOON_TIMEOUT).await?).await
    };
    tokio::time::timeout(ANSWER_SOON_TIMEOUT, asking).await.map_err(late)?
}

/// Whether somebody listens at an address.
pub(super) async fn reach_soon(address: &str) -> io::Result<()> {
    tokio::time::timeout(REACH_SOON_TIMEOUT, TcpStream::connect(address)).await?.map(drop)
}

pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    wire::write(stream, kind).await?;
    stream.flush().await
}

pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Result<Kind, Error> {
    match wire::read(stream).await? {
        Kind::Refused(no) if no.diverged => Err(Error::Diverged(plain(&no.why))),
        Kind::Refused(no) if no.retained_from > 0 => Err(Error::TooOld {
            why: plain(&no.why),
            promoted_after: no.promoted_after,
            promoted_chain: no.promoted_chain,
        }),
        Kind::Refused(no) => Err(Error::Refused(plain(&no.why))),
        other => Ok(other),
    }
}

/// Makes primary and standby know each other by a code.
pub(super) async fn pair(keys: &Keys, address: &str, code: &PairingCode, name: &str) -> Result<Known, Error> {
    let mut stream = connect(keys, address, Pin::Code(code.clone())).await?;
    let fingerprint = link::peer_of(&stream)?;
    say(&mut stream, Kind::Pair(wire::Pair { secret: code.secret().to_vec(), name: name.to_owned() })).await?;
    match hear(&mut stream).await? {
        Kind::Paired(_) => Ok(Known { address: address.to_owned(), fingerprint, waits_for_us: false }),
        other => Err(Error::NotNow(format!("unexpected reply from the primary: {}", other.name()))),
    }
}
