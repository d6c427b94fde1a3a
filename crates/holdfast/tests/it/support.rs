//! A running `holdfast serve` of the test's own, and plain clients that see every byte the server says.

pub mod archive;
pub mod dns;
pub mod h2;
pub mod imap;
pub mod mounts;
pub mod postfix;
pub mod smtp;
pub mod standby;
pub mod web;
pub mod wire;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Prints what a scenario has proved, as one line that `cargo xtask proofs` gathers into a table: what happened, what was
/// lost, and how long it took (or what else it cost).
pub fn proved(row: &str, lost: &str, took: &str) {
    println!("proof | {row} | {lost} | {took}");
}

/// A time as a proof states it.
pub fn ms(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// How long anything here may take before the test fails; generous, because the machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The password of every account that [`Server::add_account`] makes.
pub const PASSWORD: &str = "correct horse battery staple";

/// Ports for tests.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;
static GIVEN: AtomicU32 = AtomicU32::new(0);
/// Where a test program that another one has started begins: behind this port, nobody else gives any for a while.
const FIRST_PORT: &str = "HOLDFAST_TEST_FIRST_PORT";

/// Ports for a program that this one starts, as the variable that tells it of them.
pub fn ports_for_another() -> (&'static str, String) {
    const AS_MANY: u32 = 64;
    let first = u32::from(port());
    let enough = if first + AS_MANY < FIRST + COUNT { first } else { FIRST };
    GIVEN.fetch_add(AS_MANY, Ordering::Relaxed);
    (FIRST_PORT, enough.to_string())
}

/// A port that stays free for whoever comes back to it, though nothing listens there at times: one of those that no system
/// gives to a connection that goes out, or to a listener that leaves the choice to it (from 32,768 on Linux, higher elsewhere).
pub fn port() -> u16 {
    // Test programs that run at once begin at different places, unless one has been told by another where it may.
    let told = std::env::var(FIRST_PORT).ok().and_then(|first| first.parse::<u32>().ok());
    let begin = told.map_or_else(|| std::process::id().wrapping_mul(97), |told| told - FIRST);
    loop {
        let port = FIRST + begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A service process on ports that the system chose, with its data in a folder that outlives the process.
pub struct Server {
    child: Child,
    dir: PathBuf,
    addresses: HashMap<String, SocketAddr>,
}

impl Server {
    /// Starts the service on `dir` and waits until it says that it is ready.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, "")
    }

    /// A service in a folder of its own, with these accounts.
    pub fn with_accounts(addresses: &[&str]) -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        let server = Self::start(dir.path());
        for address in addresses {
            server.add_account(address);
        }
        (dir, server)
    }

    /// Starts the service with more configuration.
    pub fn start_with(dir: &Path, more: &str) -> Self {
        Self::start_with_env(dir, more, &[])
    }

    /// The same with keys of the configuration in the environment.
    pub fn start_with_env(dir: &Path, more: &str, env: &[(&str, String)]) -> Self {
        Self::start_as(dir, more, &["serve"], env)
    }

    /// The same by another command that serves.
    pub fn start_as(dir: &Path, more: &str, command: &[&str], env: &[(&str, String)]) -> Self {
        let config = write_config(dir, more);
        let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["--config", config.to_str().unwrap()])
            .args(command)
            .envs(env.iter().map(|(name, value)| (*name, value.as_str())))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::options().create(true).append(true).open(dir.join("stderr.log")).unwrap())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut addresses = HashMap::new();
        loop {
            let line = received.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                let log = std::fs::read_to_string(dir.join("stderr.log")).unwrap_or_default();
                panic!("the service did not get ready:\n{log}")
            });
            if line == "ready" {
                break;
            }
            let mut words = line.split_whitespace();
            if let (Some(door), Some(address)) = (words.next(), words.next())
                && let Ok(address) = address.parse()
            {
                addresses.insert(door.to_owned(), address);
            }
        }
        Self { child, dir: dir.to_owned(), addresses }
    }

    /// The address of a door: `smtp`, `imap`, `http` and so on, as the configuration names them.
    pub fn address(&self, door: &str) -> SocketAddr {
        *self.addresses.get(door).unwrap_or_else(|| panic!("no address for {door} in {:?}", self.addresses))
    }

    /// Whether it listens there.
    pub fn listens(&self, door: &str) -> bool {
        self.addresses.contains_key(door)
    }

    /// A page that needs no sign-in, such as `/health`.
    pub fn page(&self, path: &str) -> String {
        web::Web::new(self.address("http")).get(path).unwrap().body
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// kill -9: the process gets no chance to do anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits until the process has ended well.
    pub fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let begun = std::time::Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "the service does not end");
            std::thread::park_timeout(Duration::from_millis(5));
        };
        assert!(status.success(), "the service ended with {status}");
    }

    /// Runs a `holdfast` command against this service's configuration.
    pub fn command(&self, args: &[&str]) -> Output {
        self.command_with_input(args, "")
    }

    /// The same with something on standard input.
    pub fn command_with_input(&self, args: &[&str], input: &str) -> Output {
        holdfast(&self.dir, args, input)
    }

    /// Makes an account with [`PASSWORD`]; its domain too.
    pub fn add_account(&self, address: &str) {
        let domain = address.rsplit_once('@').unwrap().1;
        let added = self.command(&["domain", "add", domain]);
        let said = String::from_utf8_lossy(&added.stderr);
        assert!(added.status.success() || said.contains("already"), "domain add {domain}: {said}");
        let output = self.command_with_input(&["account", "add", address, "--password-stdin"], PASSWORD);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a configuration with ports that the system chooses and the data in `dir`, and `more` at its end.
pub fn write_config(dir: &Path, more: &str) -> PathBuf {
    let config = dir.join("holdfast.toml");
    std::fs::write(
        &config,
            format!(
                "data_dir = \"{}\"\nhostname = \"mx.example.org\"\n\
                 [listen]\nsmtp = [\"127.0.0.1:0\"]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = [\"127.0.0.1:0\"]\n\
                 lmtp = [\"127.0.0.1:0\"]\nimap = [\"127.0.0.1:0\"]\nimaps = [\"127.0.0.1:0\"]\npop3 = [\"127.0.0.1:0\"]\n\
                 pop3s = [\"127.0.0.1:0\"]\nmanagesieve = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
                 [limits]\nconnections_per_address = 2000\n{more}",
                dir.join("data").display()
            ),
    )
    .unwrap();
    config
}

/// Runs a `holdfast` command on the configuration in `dir`, with or without a running service.
pub fn holdfast(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = limited(env!("CARGO_BIN_EXE_holdfast"))
        .args(["--config", dir.join("holdfast.toml").to_str().unwrap()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A program that is ended when it takes too long: one that waits for ever must fail its test, not stop all tests.
pub fn limited(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300", program]);
    command
}

/// Waits until something holds, and fails when it does not within [`PATIENCE`].
#[track_caller]
pub fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_about(holds), "{what} did not come about");
}

/// Waits until something holds; false when it does not within [`PATIENCE`]. For who has to end others before it fails.
pub fn comes_about(mut holds: impl FnMut() -> bool) -> bool {
    let begun = std::time::Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    true
}

/// Whether a program is on the PATH; tests of clients that are not there say so and pass over.
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        // `cargo xtask test` installs every client first, and says when it can't.
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed; cargo xtask test installs it");
        eprintln!("{program} is not installed: passed over");
    }
    found
}
