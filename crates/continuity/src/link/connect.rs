//! Connecting to a paired machine.

use std::{io, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Fingerprint, Keys, Limit, Patient, Pin};

/// How long a connection may take to be made.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a machine may take to be reached at all. What the network loses is sent again after one second, two, four and
/// so on: one long attempt sleeps through the network's return.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// A primary that sends nothing for this long is gone: it sends something every two seconds.
pub const SILENCE: Duration = Duration::from_secs(15);

/// A connection to the primary. Waiting for something on it ends with an error once nothing has moved for [`SILENCE`].
pub type Connection = tokio_rustls::client::TlsStream<Patient<TcpStream>>;

/// Connects to the machine of that pin at `address`, which may take `reach` to be reached.
///
/// # Errors
/// It can't be reached, does not respond, or is another machine.
pub async fn connect(keys: &Keys, address: &str, pin: Pin, reach: Duration) -> io::Result<Connection> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not respond"));
    let config = keys.client(pin).map_err(io::Error::other)?;
    let reach = async {
        let stream = tokio::time::timeout(reach, TcpStream::connect(address))
            .await
            .map_err(late)?
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        stream.set_nodelay(true)?;
        let stream = Patient::new(stream, Some(SILENCE), Limit::new(SILENCE));
        // Machines are known by their keys, not by names.
        let name = rustls_pki_types::ServerName::try_from("holdfast-standby").expect("it is a name");
        TlsConnector::from(config).connect(name, stream).await
    };
    tokio::time::timeout(ANSWER_TIMEOUT, reach).await.map_err(late)?
}

/// Who is at the other end.
///
/// # Errors
/// It has no certificate.
pub fn peer_of(connection: &Connection) -> io::Result<Fingerprint> {
    let certificate = connection.get_ref().1.peer_certificates().and_then(<[_]>::first).map(Fingerprint::of);
    certificate.ok_or_else(|| io::Error::other("the other machine has no certificate"))
}
