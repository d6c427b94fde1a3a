//! Machines die at random moments, in every role, while mail comes in: what was acknowledged in mode sync is there in the
//! end, once, on whichever machine is the primary by then.
//!
//! `HOLDFAST_SOAK_ROUNDS` sets the number of rounds (default 8; 100 for a night), `HOLDFAST_SOAK_SEED` repeats a run's
//! choices.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::support::{
    Server, port,
    standby::{Standby, deliver, said, subjects},
    wait_for,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const ANNA: &str = "anna@example.org";
const SYNC: &str = "[standby]\nmode = \"sync\"\nwhen_away = \"wait\"\n";
const SENDERS: usize = 3;

/// One machine: its folder and where standbys reach it.
struct Machine {
    dir: PathBuf,
    address: SocketAddr,
}

impl Machine {
    fn serve(&self) -> Server {
        Server::start_with_env(&self.dir, SYNC, &self.env())
    }

    fn env(&self) -> [(&'static str, String); 1] {
        [("HOLDFAST_LISTEN__STANDBY", self.address.to_string())]
    }

    /// Follows another one. The configuration has to be there before.
    fn follow(&self, args: &[&str]) -> Standby {
        Standby::spawn_with_env(&self.dir, args, &self.env())
    }
}

/// Mail that comes in, wherever the primary is.
struct Load {
    to: Arc<Mutex<Option<SocketAddr>>>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin() -> Self {
        let to = Arc::new(Mutex::new(None::<SocketAddr>));
        let acknowledged = Arc::new(Mutex::new(Vec::<String>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let senders = (0..SENDERS)
            .map(|sender| {
                let (to, acknowledged, stop) = (Arc::clone(&to), Arc::clone(&acknowledged), Arc::clone(&stop));
                std::thread::spawn(move || {
                    for number in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        let place = *to.lock().unwrap();
                        let subject = format!("{sender}-{number}");
                        match place.map(|place| deliver(place, ANNA, &subject)) {
                            Some(Ok(reply)) if reply.starts_with("250") => acknowledged.lock().unwrap().push(subject),
                            _ => std::thread::park_timeout(Duration::from_millis(20)),
                        }
                    }
                })
            })
            .collect();
        Self { to, acknowledged, stop, senders }
    }

    fn at(&self, place: Option<SocketAddr>) {
        *self.to.lock().unwrap() = place;
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        for sender in self.senders {
            sender.join().unwrap();
        }
        Arc::try_unwrap(self.acknowledged).unwrap().into_inner().unwrap()
    }
}

fn machine(dir: &Path) -> Machine {
    Machine { dir: dir.to_owned(), address: SocketAddr::from(([127, 0, 0, 1], port())) }
}

fn code_of(primary: &Machine) -> String {
    said(&primary.dir, &["standby", "code"]).lines().next().unwrap().to_owned()
}

#[test]
fn nothing_acknowledged_is_lost_whichever_machine_dies_when() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("HOLDFAST_SOAK_ROUNDS").unwrap_or(8);
    let seed = number("HOLDFAST_SOAK_SEED").unwrap_or_else(rand::random);
    println!("HOLDFAST_SOAK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Accounts are made before commits wait for a standby.
    let first = Server::start(dirs[0].path());
    first.add_account(ANNA);
    first.stop();
    let (mut primary, mut other) = (machine(dirs[0].path()), machine(dirs[1].path()));
    crate::support::write_config(&other.dir, SYNC);
    let mut server = primary.serve();
    let mut standby = Some(other.follow(&["--primary", &primary.address.to_string(), "--code", &code_of(&primary)]));
    let load = Load::begin();
    let mut promotions = Vec::new();
    for round in 1..=rounds {
        load.at(Some(server.address("smtp")));
        let seen = load.acknowledged.lock().unwrap().len();
        wait_for("mail goes on", || load.acknowledged.lock().unwrap().len() > seen);
        std::thread::park_timeout(Duration::from_millis(random.random_range(50..600)));
        let what = random.random_range(0..3);
        println!("round {round}: {}", ["the standby dies", "the primary dies", "the primary burns"][what]);
        match what {
            0 => {
                standby.take().unwrap().kill();
                std::thread::park_timeout(Duration::from_millis(random.random_range(0..300)));
                standby = Some(other.follow(&[]));
            }
            1 => {
                load.at(None);
                server.kill();
                server = primary.serve();
            }
            _ => {
                load.at(None);
                server.kill();
                let begun = Instant::now();
                said(&other.dir, &["promote", "--wait"]);
                let promoted = standby.take().unwrap();
                promoted.line("ready");
                promotions.push(begun.elapsed());
                // As a service that the tests know: its process is started again.
                promoted.kill();
                std::mem::swap(&mut primary, &mut other);
                server = primary.serve();
                let code = code_of(&primary);
                let address = primary.address.to_string();
                standby = Some(other.follow(&["--primary", &address, "--code", &code, "--rejoin"]));
            }
        }
    }
    load.at(Some(server.address("smtp")));
    let seen = load.acknowledged.lock().unwrap().len();
    wait_for("mail goes on", || load.acknowledged.lock().unwrap().len() > seen);
    let acknowledged = load.end();
    wait_for("both are the same", || {
        let compared = crate::support::holdfast(&other.dir, &["compare"], "");
        compared.status.success()
    });
    let there = subjects(server.address("imap"), ANNA);
    for subject in &acknowledged {
        assert_eq!(there.iter().filter(|found| *found == subject).count(), 1, "{subject}");
    }
    drop(standby);
    server.kill();
    for machine in [&primary, &other] {
        let verify = crate::support::holdfast(&machine.dir, &["verify"], "");
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    }
    promotions.sort();
    let slowest = promotions.last().copied().map_or_else(String::new, |slowest| {
        format!(", {} promotions, doors open after {} at most", promotions.len(), crate::support::ms(slowest))
    });
    let lost = format!("0 of {} acknowledged, 0 twice", acknowledged.len());
    crate::support::proved("machines die at random, in every role", &lost, &format!("{rounds} rounds{slowest}"));
}
