//! Message numbers under everything at once: three sessions change a mailbox at random; what each was told of it must
//! always fit what is there.

use std::collections::BTreeMap;

use crate::service::client::{Answer, Client};
use crate::service::server::{MESSAGE, Server};

/// A client that keeps book of the mailbox as it was told.
struct Bookkeeper {
    client: Client,
    /// UIDs by message number, where they were told.
    uids: Vec<Option<u32>>,
    flags: BTreeMap<u32, String>,
}

impl Bookkeeper {
    async fn new(server: &Server) -> Self {
        let mut keeper = Self { client: server.login().await, uids: Vec::new(), flags: BTreeMap::new() };
        keeper.run("SELECT INBOX").await;
        keeper
    }

    async fn run(&mut self, command: &str) -> Answer {
        let answer = self.client.run(command).await;
        for line in &answer.untagged {
            self.note(line, command);
        }
        answer
    }

    fn note(&mut self, line: &str, command: &str) {
        let mut words = line.split(' ');
        let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else { return };
        match words.next() {
            Some("EXISTS") => {
                assert!(number >= self.uids.len(), "EXISTS takes none away: {line}");
                self.uids.resize(number, None);
            }
            Some("EXPUNGE") => {
                let by_number = ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name));
                assert!(!by_number, "an EXPUNGE during {command}");
                let gone = self.uids.remove(number - 1);
                gone.and_then(|uid| self.flags.remove(&uid));
            }
            Some("FETCH") => {
                let after = |word: &str| line.split_once(word).map(|(_, rest)| rest);
                let uid = after("UID ").and_then(|rest| rest.split([' ', ')']).next()).and_then(|uid| uid.parse().ok());
                let uid: u32 = uid.expect("every FETCH here tells the UID");
                let place = &mut self.uids[number - 1];
                assert!(place.is_none_or(|known| known == uid), "{line} after {command}: the number meant {place:?}");
                *place = Some(uid);
                if let Some(flags) = after("FLAGS (").and_then(|rest| rest.split(')').next()) {
                    self.flags.insert(uid, flags.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Asks for whatever was not told by itself, without asking again for what was.
    async fn complete(&mut self) {
        self.run("NOOP").await.ok();
        let unknown: Vec<String> =
            (1..=self.uids.len()).filter(|n| self.uids[n - 1].is_none()).map(|n| n.to_string()).collect();
        if !unknown.is_empty() {
            self.run(&format!("FETCH {} (UID FLAGS)", unknown.join(","))).await.ok();
        }
    }
}

/// A small generator (Knuth's constants), so that a failure repeats itself by its seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

async fn step(keeper: &mut Bookkeeper, chance: &mut Chance) {
    let count = keeper.uids.len();
    let number = 1 + chance.below(count.max(1));
    let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][chance.below(4)];
    let command = match chance.below(12) {
        0..=2 => {
            let answer = keeper.client.append("INBOX", MESSAGE).await.ok();
            for line in &answer.untagged {
                keeper.note(line, "APPEND");
            }
            return;
        }
        3 => "EXPUNGE".to_owned(),
        4 => "NOOP".to_owned(),
        5 => "SEARCH UNDELETED".to_owned(),
        _ if count == 0 => return,
        6 => format!("STORE {number} +FLAGS ({flag})"),
        7 => format!("UID STORE {number} -FLAGS ({flag})"),
        8 => format!("FETCH {number} (UID FLAGS)"),
        9 => "UID FETCH 1:* (FLAGS)".to_owned(),
        10 => format!("MOVE {number} Trash"),
        _ => format!("COPY {number} INBOX"),
    };
    let answer = keeper.run(&command).await;
    // What others took away meanwhile may be missed, but no command here is wrong.
    assert!(
        answer.tagged.starts_with("OK") || answer.tagged.starts_with("NO [EXPUNGEISSUED]"),
        "{command}: {answer:?}"
    );
}

/// Whether all were told the same in the end, and that it is what is there.
async fn all_agree(server: &Server, keepers: Vec<Bookkeeper>, run: &str) {
    let mut fresh = Bookkeeper::new(server).await;
    fresh.complete().await;
    for mut keeper in keepers {
        keeper.complete().await;
        assert_eq!(keeper.uids, fresh.uids, "{run}");
        assert_eq!(keeper.flags, fresh.flags, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_always_mean_what_the_client_was_told() {
    for seed in 1..=3 {
        let server = Server::start().await;
        let mut chance = Chance(seed);
        let mut keepers = Vec::new();
        for _ in 0..3 {
            keepers.push(Bookkeeper::new(&server).await);
        }
        for _ in 0..200 {
            let who = chance.below(keepers.len());
            step(&mut keepers[who], &mut chance).await;
        }
        all_agree(&server, keepers, &format!("seed {seed}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_hold_when_all_act_at_once() {
    let server = Server::start().await;
    let mut acting = Vec::new();
    for seed in 1..=3 {
        let mut keeper = Bookkeeper::new(&server).await;
        acting.push(tokio::spawn(async move {
            let mut chance = Chance(seed);
            for _ in 0..150 {
                step(&mut keeper, &mut chance).await;
            }
            keeper
        }));
    }
    let mut keepers = Vec::new();
    for one in acting {
        keepers.push(one.await.expect("no session breaks"));
    }
    all_agree(&server, keepers, "at once").await;
}
