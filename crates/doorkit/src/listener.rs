//! Accepting connections, within limits.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    Conn, PATIENCE, Tls, network_of,
    span::{ConnId, span},
};

/// How connections start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In plain text; STARTTLS may be offered.
    Plain,
    /// With a TLS handshake.
    Tls,
}

/// Limits and options of one listener.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// The listener's name in log events. Default: `door`.
    pub name: &'static str,
    /// How connections begin. Default: plain.
    pub security: Security,
    /// Connections at once. Default 4,000.
    pub max_connections: usize,
    /// Connections at once from one network (see [`network_of`]). Default 100.
    pub max_per_network: usize,
    /// Addresses that this does not hold for, such as those of proxies. Default: none.
    pub uncounted: Vec<IpAddr>,
    /// Sent to a client over a limit before its connection is closed; nothing is sent on a TLS listener. Default: nothing.
    pub busy: &'static [u8],
    /// How long connections may continue after the shutdown. Default 10 seconds.
    pub grace: Duration,
    /// Whether new connections yield to busy open ones: for protocols with long sessions that all reconnect at once. Not for
    /// protocols whose work is in new connections. Default: no.
    pub gives_way: bool,
    /// How long a client may read nothing. Default [`PATIENCE`], a minute.
    pub patience: Duration,
    /// Clamp of the maximum segment size in bytes, against path MTU black holes. Default: the system's.
    pub max_segment: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            name: "door",
            security: Security::Plain,
            max_connections: 4_000,
            max_per_network: 100,
            uncounted: Vec::new(),
            busy: b"",
            grace: Duration::from_secs(10),
            gives_way: false,
            patience: PATIENCE,
            max_segment: None,
        }
    }
}

/// The length of the system's queue of connections; it may allow fewer (`net.core.somaxconn`). Connections beyond it are
/// dropped silently: their clients wait for a greeting that never arrives.
const BACKLOG: i32 = 16_384;
/// After a failed accept (out of files, say) the loop rests.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The service is late from here on, in microseconds.
const CROWDED_US: u64 = 5_000;
/// All that is ready has had its turn within so long, or the service is busy.
const TURN: Duration = Duration::from_micros(200);
/// Between two connections of a listener while the service is late or busy.
const HOLD: Duration = Duration::from_millis(1);
/// A client that is gone without a word is noticed after three probes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(300)).with_interval(Duration::from_secs(60));

/// A bound address.
pub struct Listener {
    listener: TcpListener,
    options: ListenOptions,
    slots: Arc<Slots>,
}

impl Listener {
    /// Binds an address. Port 0 lets the system choose; see [`Listener::local_addr`].
    ///
    /// # Errors
    /// Those of the system: the address is in use, or its port needs a privilege.
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // So that 0.0.0.0 and [::] can be given side by side.
            socket.set_only_v6(true)?;
        }
        if let Some(bytes) = options.max_segment {
            socket.set_tcp_mss(bytes)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let slots = Arc::new(Slots {
            max_connections: options.max_connections,
            max_per_network: options.max_per_network,
            uncounted: options.uncounted.iter().map(|address| network_of(*address)).collect(),
            taken: Mutex::default(),
        });
        Ok(Self { listener, options, slots })
    }

    /// The address in use.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Tells how many connections there are, for as long as anybody asks.
    pub fn connections(&self) -> Connections {
        Connections(self.slots.clone())
    }

    /// Accepts connections and runs `serve` for each until shut down; then lets those that are open finish within the
    /// grace time and drops the rest. A panic in one connection ends that connection only.
    pub async fn serve<F, Fut>(self, tls: Tls, shutdown: CancellationToken, serve: F)
    where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.run(Some(tls), shutdown, serve).await;
    }

    /// The same where there is no certificate: all connections are in plain text, whatever the options say.
    pub async fn serve_plain<F, Fut>(self, shutdown: CancellationToken, serve: F)
    where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.run(None, shutdown, serve).await;
    }

    async fn run<F, Fut>(self, tls: Option<Tls>, shutdown: CancellationToken, serve: F)
    where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let tls = tls.filter(|_| self.options.security == Security::Tls);
        let serve = Arc::new(serve);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => note_panic(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.admit(stream, peer, tls.as_ref(), &serve, &mut connections);
                        self.give_way().await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_BACKOFF).await;
                    }
                },
            }
        }
        drop(self.listener);
        let drain = async {
            while let Some(ended) = connections.join_next().await {
                note_panic(ended);
            }
        };
        if tokio::time::timeout(self.options.grace, drain).await.is_err() {
            connections.shutdown().await;
        }
    }

    /// Yields to all ready tasks before accepting the next connection: otherwise a hundred new connections would be accepted
    /// in one turn, and their greetings and logins would delay everyone.
    async fn give_way(&self) {
        let is_busy = self.options.gives_way && {
            let begun = Instant::now();
            tokio::task::yield_now().await;
            begun.elapsed() > TURN
        };
        if is_busy || LATE_US.load(Ordering::Relaxed) > CROWDED_US {
            metrics::counter!("holdfast_doorkit_held_back_total").increment(1);
            tokio::time::sleep(HOLD).await;
        }
    }

    fn admit<F, Fut>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&Tls>,
        serve: &Arc<F>,
        connections: &mut JoinSet<()>,
    ) where
        F: Fn(Conn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let socket = SockRef::from(&stream);
        // Neither is needed to go on.
        let _ = stream.set_nodelay(true);
        let _ = socket.set_tcp_keepalive(&KEEPALIVE);
        let Some(slot) = self.slots.take(peer.ip()) else {
            metrics::counter!("holdfast_doorkit_refused_total").increment(1);
            if tls.is_none() && !self.options.busy.is_empty() {
                let busy = self.options.busy;
                connections.spawn(async move {
                    let mut stream = stream;
                    // A client that does not listen is closed all the same.
                    let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(busy)).await;
                });
            }
            return;
        };
        let conn = match Conn::counted(stream, peer, slot, self.options.patience) {
            Ok(conn) => conn,
            Err(error) => return tracing::debug!(%peer, %error, "the client disconnected before the session started"),
        };
        let span = span(self.options.name, peer, ConnId::new());
        let Some(tls) = tls else {
            connections.spawn(serve(conn).instrument(span));
            return;
        };
        let (tls, serve) = (tls.clone(), serve.clone());
        let served = async move {
            match conn.starttls(&tls).await {
                Ok(conn) => serve(conn).await,
                Err(error) => tracing::debug!(%error, "TLS handshake"),
            }
        };
        connections.spawn(served.instrument(span));
    }
}

/// How late the service answered of late, in microseconds: see [`answers_late`].
static LATE_US: AtomicU64 = AtomicU64::new(0);

/// Records how late the service responds, about fifty times a second. While it is late, new connections are accepted one
/// by one: after an outage all clients connect at once, and open sessions should not notice.
pub fn answers_late(late: Duration) {
    let before = LATE_US.load(Ordering::Relaxed);
    let now = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
    LATE_US.store(now.max(before - before / 32), Ordering::Relaxed);
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
        metrics::counter!("holdfast_doorkit_panics_total").increment(1);
    }
}

/// How many connections a listener has.
#[derive(Clone)]
pub struct Connections(Arc<Slots>);

impl Connections {
    /// Now.
    pub fn open(&self) -> usize {
        self.0.taken.lock().all
    }
}

/// The number of connections per client.
struct Slots {
    max_connections: usize,
    max_per_network: usize,
    uncounted: Vec<IpAddr>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Slots {
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let network = network_of(address);
        let mut taken = self.taken.lock();
        let of_network = taken.by_network.get(&network).copied().unwrap_or(0);
        let is_counted = !self.uncounted.contains(&network);
        if taken.all >= self.max_connections || (is_counted && of_network >= self.max_per_network) {
            return None;
        }
        taken.all += 1;
        taken.by_network.insert(network, of_network + 1);
        Some(Slot { slots: self.clone(), network })
    }
}

/// A connection's place in the count.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    network: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_in_has_a_turn_between_any_two_that_come() {
        const CLIENTS: usize = 50;
        let options = ListenOptions { gives_way: true, ..ListenOptions::default() };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (seen, shutdown) = (Arc::new(Mutex::new(String::new())), CancellationToken::new());
        let (comes, is_in, end) = (seen.clone(), seen.clone(), shutdown.clone());
        tokio::spawn(async move {
            while is_in.lock().matches('c').count() < CLIENTS {
                is_in.lock().push('t');
                tokio::task::yield_now().await;
            }
            end.cancel();
        });
        let serve = move |_| {
            comes.lock().push('c');
            std::future::ready(())
        };
        listener.serve_plain(shutdown, serve).await;
        assert!(!seen.lock().contains("cc"), "{}", seen.lock());
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_closed_and_one_that_reads_is_served() {
        let options = ListenOptions { patience: Duration::from_millis(200), ..ListenOptions::default() };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let address = listener.local_addr().unwrap();
        let (told, mut ends) = tokio::sync::mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(listener.serve_plain(shutdown, move |mut conn| {
            let told = told.clone();
            async move {
                // More than the buffers of the system hold.
                let piece = vec![b'x'; 1 << 20];
                let mut outcome = Ok(());
                for _ in 0..64 {
                    outcome = conn.write_all(&piece).await;
                    if outcome.is_err() {
                        break;
                    }
                }
                let _ = told.send(outcome.map_err(|error| error.kind())).await;
            }
        }));
        let deaf = TcpStream::connect(address).await.unwrap();
        assert_eq!(ends.recv().await, Some(Err(io::ErrorKind::TimedOut)));
        drop(deaf);
        let mut reads = TcpStream::connect(address).await.unwrap();
        let read = tokio::spawn(async move { tokio::io::copy(&mut reads, &mut tokio::io::sink()).await });
        assert_eq!(ends.recv().await, Some(Ok(())));
        assert_eq!(read.await.unwrap().unwrap(), 64 << 20);
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_ends_once_when_it_is_told_to_and_can_say_goodbye() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut conn = Conn::from_tcp(listener.accept().await.unwrap().0).unwrap();
        let end = CancellationToken::new();
        let ended = end.clone();
        conn.end_when(async move {
            ended.cancelled_owned().await;
            io::Error::from(io::ErrorKind::PermissionDenied)
        });
        conn.check_end().unwrap();
        conn.write_all(b"hello ").await.unwrap();
        client.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        tokio::io::AsyncReadExt::read_exact(&mut conn, &mut asked).await.unwrap();
        // While it waits for more.
        let waiting = tokio::spawn(async move {
            let mut more = [0; 1];
            let error = tokio::io::AsyncReadExt::read(&mut conn, &mut more).await.unwrap_err();
            (conn, error.kind())
        });
        tokio::task::yield_now().await;
        end.cancel();
        let (mut conn, kind) = waiting.await.unwrap();
        assert_eq!(kind, io::ErrorKind::PermissionDenied);
        conn.check_end().unwrap();
        conn.write_all(b"goodbye").await.unwrap();
        drop(conn);
        let mut said = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut client, &mut said).await.unwrap();
        assert_eq!(said, "hello goodbye");
    }
}
