//! A connection between two machines that a test cuts, one direction at a time.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// The direction of bytes on a [`Wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the side that connects.
    There,
    /// To it.
    Back,
}

pub const BOTH: [Way; 2] = [Way::There, Way::Back];

/// In front of an address: all connections to it go through here. What is held is not lost: as with a network that is cut,
/// connections stay open, nothing arrives, and what was sent arrives once the network is back.
pub struct Wire {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    held: [bool; 2],
    delay: Duration,
    open: Vec<TcpStream>,
    /// Bytes that passed since all was cut.
    passed: u64,
}

impl Wire {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || state.connect(client, server));
            }
        });
        Self { address, state }
    }

    /// Nothing passes in these directions, and no connection ends.
    pub fn hold(&self, ways: &[Way]) {
        let mut now = self.state.now.lock();
        for way in ways {
            now.held[*way as usize] = true;
        }
    }

    /// Everything passes; what was held first.
    pub fn heal(&self) {
        let mut now = self.state.now.lock();
        now.held = [false; 2];
        now.delay = Duration::ZERO;
        drop(now);
        self.state.changed.notify_all();
    }

    /// Everything passes so much later.
    pub fn delay(&self, delay: Duration) {
        self.state.now.lock().delay = delay;
    }

    /// Ends all connections, both ends at once.
    pub fn break_all(&self) {
        let mut now = self.state.now.lock();
        now.passed = 0;
        for stream in now.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Bytes that passed from the side that connects, since all connections were ended.
    pub fn passed(&self) -> u64 {
        self.state.now.lock().passed
    }
}

impl State {
    fn connect(self: Arc<Self>, client: TcpStream, server: SocketAddr) {
        self.pass(Way::There);
        let Ok(server) = TcpStream::connect(server) else { return };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            self.now.lock().open.push(stream.try_clone().unwrap());
        }
        let (back, there) = (self.clone(), self);
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || back.pump(Way::Back, from, to));
        there.pump(Way::There, client, server);
    }

    /// Waits until something may pass.
    fn pass(&self, way: Way) {
        let mut now = self.now.lock();
        self.changed.wait_while(&mut now, |now| now.held[way as usize]);
        let delay = now.delay;
        drop(now);
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
    }

    fn pump(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 16 << 10];
        loop {
            let count = from.read(&mut bytes).unwrap_or(0);
            // An end, too, is not heard of while the wire is cut.
            self.pass(way);
            if way == Way::There {
                self.now.lock().passed += count as u64;
            }
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
                return;
            }
        }
    }
}
