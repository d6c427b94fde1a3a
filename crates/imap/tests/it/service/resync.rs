//! What a client knows after it was cut off: it comes back with the mod-sequence it was told last (RFC 7162) and must
//! arrive at what the server has, wherever the line was cut and whatever others did meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use crate::service::client::{Answer, Client};
use crate::service::numbers::Chance;
use crate::service::server::{MESSAGE, Server};

/// A client that keeps a mailbox, and takes its tokens as the RFC says: `HIGHESTMODSEQ` counts at once, the `MODSEQ` of
/// a message once the command has ended.
struct Keeper {
    client: Option<Client>,
    validity: u64,
    token: u64,
    /// The highest `MODSEQ` of a message since the last tagged answer.
    seen: u64,
    /// UIDs by message number, where they were told.
    uids: Vec<Option<u32>>,
    flags: BTreeMap<u32, BTreeSet<String>>,
    log: Vec<String>,
}

/// What a command does to flags without the server telling.
#[derive(Clone)]
struct Silent {
    sign: char,
    flag: String,
}

fn number(text: &str, after: &str) -> Option<u64> {
    let (_, rest) = text.split_once(after)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn set(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (a, b) = part.split_once(':').unwrap_or((part, part));
        a.parse::<u32>().expect("a UID")..=b.parse().expect("a UID")
    };
    text.split(',').flat_map(range).collect()
}

impl Keeper {
    fn new() -> Self {
        Self { client: None, validity: 0, token: 0, seen: 0, uids: Vec::new(), flags: BTreeMap::new(), log: Vec::new() }
    }

    /// Cut off: message numbers are gone, the rest is kept.
    fn cut(&mut self) {
        self.log.push("-- cut off".to_owned());
        self.client = None;
        self.seen = 0;
    }

    fn code(&mut self, line: &str) {
        if let Some(token) = number(line, "[HIGHESTMODSEQ ") {
            self.token = token;
            self.seen = 0;
        }
    }

    fn forget(&mut self, uid: u32) {
        self.uids.retain(|known| *known != Some(uid));
        self.flags.remove(&uid);
    }

    fn note(&mut self, line: &str, silent: Option<&Silent>) {
        self.log.push(format!("S: {line}"));
        self.code(line);
        if let Some(validity) = number(line, "[UIDVALIDITY ") {
            self.validity = validity;
        }
        if let Some(gone) = line.strip_prefix("VANISHED (EARLIER) ") {
            for uid in set(gone) {
                self.forget(uid);
            }
        } else if let Some(gone) = line.strip_prefix("VANISHED ") {
            for uid in set(gone) {
                // If it was not told which number it has, it stands after those with smaller UIDs.
                let at = self.uids.iter().position(|known| *known == Some(uid)).unwrap_or_else(|| {
                    self.uids.iter().rposition(|known| known.is_some_and(|known| known < uid)).map_or(0, |at| at + 1)
                });
                let went = self.uids.get(at).copied();
                assert!(went.is_some_and(|went| went.is_none_or(|went| went == uid)), "{uid} was not there, {went:?}");
                self.uids.remove(at);
                self.flags.remove(&uid);
            }
        } else if let Some(count) = line.strip_suffix(" EXISTS") {
            let count: usize = count.parse().expect("a number");
            assert!(count >= self.uids.len(), "EXISTS takes none away");
            self.uids.resize(count, None);
        } else if line.contains(" FETCH (") {
            self.note_fetch(line, silent);
        }
        assert!(!line.ends_with(" EXPUNGE"), "an EXPUNGE where VANISHED was asked for");
    }

    fn note_fetch(&mut self, line: &str, silent: Option<&Silent>) {
        let at: usize = line.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        let uid = u32::try_from(number(line, "UID ").expect("every FETCH tells the UID")).expect("a UID");
        let place = &mut self.uids[at - 1];
        let log = self.log.join("\n");
        assert!(place.is_none_or(|known| known == uid), "{line}: the number meant {place:?}\n{log}");
        *place = Some(uid);
        if let Some((_, rest)) = line.split_once("FLAGS (") {
            let flags = rest.split(')').next().unwrap_or_default();
            self.flags.insert(uid, flags.split(' ').filter(|flag| !flag.is_empty()).map(str::to_owned).collect());
        } else if let (Some(silent), Some(flags)) = (silent, self.flags.get_mut(&uid)) {
            match silent.sign {
                '+' => drop(flags.insert(silent.flag.clone())),
                _ => drop(flags.remove(&silent.flag)),
            }
        }
        self.seen = self.seen.max(number(line, "MODSEQ (").unwrap_or_default());
    }

    fn end(&mut self, tagged: &str) {
        self.log.push(format!("S: tag {tagged}"));
        self.token = self.token.max(std::mem::take(&mut self.seen));
        self.code(tagged);
    }

    /// Runs a command of which at most `lines` lines arrive.
    async fn run(&mut self, command: &str, silent: Option<&Silent>, lines: usize) -> Option<Answer> {
        self.log.push(format!("C: {command}"));
        let client = self.client.as_mut().expect("connected");
        let answer = match command.strip_prefix("APPEND ") {
            Some(words) => client.append(words, MESSAGE).await,
            None => client.run(command).await,
        };
        for line in answer.untagged.iter().take(lines) {
            self.note(line, silent);
        }
        if lines <= answer.untagged.len() {
            self.cut();
            return None;
        }
        self.end(&answer.tagged);
        Some(answer)
    }

    /// Connects, asks for what it has missed, and checks it against what is there.
    async fn come_back(&mut self, server: &Server, lines: usize) {
        let mut client = server.login().await;
        client.run("ENABLE QRESYNC").await.ok();
        self.client = Some(client);
        self.uids = self.flags.keys().copied().map(Some).collect();
        let known = if self.token > 0 {
            format!("SELECT box (QRESYNC ({} {}))", self.validity, self.token)
        } else {
            "SELECT box".to_owned()
        };
        // Before they are told to be fewer, there may be as many as were known.
        let before = std::mem::take(&mut self.uids);
        self.log.push(format!("C: {known}"));
        let answer = self.client.as_mut().expect("connected").run(known).await.ok();
        let exists = answer.untagged.iter().find_map(|line| line.strip_suffix(" EXISTS")).expect("EXISTS");
        let exists: usize = exists.parse().expect("a number");
        let gone = answer.untagged.iter().find_map(|line| line.strip_prefix("VANISHED (EARLIER) ")).map(set);
        let gone = gone.unwrap_or_default();
        self.uids = before.into_iter().filter(|uid| !gone.contains(&uid.expect("known"))).collect();
        assert!(self.uids.len() <= exists, "{} of {exists} known, {answer:?}", self.uids.len());
        self.uids.resize(exists, None);
        let is_known_whole = self.uids.iter().all(Option::is_some);
        if !is_known_whole {
            // Which numbers the known ones have is told by what follows.
            self.uids.fill(None);
        }
        // The first EXISTS is what the mailbox was opened with; another tells what came at the same time.
        let first = answer.untagged.iter().position(|line| line.ends_with(" EXISTS"));
        let others = answer.untagged.iter().enumerate().filter(|(at, _)| Some(*at) != first);
        for (_, line) in others.take(lines) {
            self.note(line, None);
        }
        if lines < answer.untagged.len() {
            return self.cut();
        }
        self.end(&answer.tagged);
        // What it never knew it asks for; what it knows must be right without.
        let answer = self.client.as_mut().expect("connected").run("UID FETCH 1:* (FLAGS)").await.ok();
        let flags = std::mem::take(&mut self.flags);
        for line in &answer.untagged {
            self.note(line, None);
        }
        self.end(&answer.tagged);
        for (uid, flags) in flags {
            assert_eq!(self.flags.get(&uid), Some(&flags), "UID {uid} after\n{}", self.log.join("\n"));
        }
        self.log.clear();
    }
}

fn command(keeper: &Keeper, chance: &mut Chance) -> (String, Option<Silent>) {
    let count = keeper.uids.len();
    let one = 1 + chance.below(count.max(1));
    let other = 1 + chance.below(count.max(1));
    let (first, last) = (one.min(other), one.max(other));
    let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][chance.below(4)];
    let sign = ["+", "-"][chance.below(2)];
    let uid = keeper.uids.get(one - 1).copied().flatten().unwrap_or(1);
    let kind = if count == 0 { 0 } else { chance.below(24) };
    let text = match kind {
        0 | 1 => "APPEND box".to_owned(),
        2 | 3 => format!("STORE {one} {sign}FLAGS ({flag})"),
        4 => format!("STORE {first}:{last} {sign}FLAGS ({flag})"),
        5 | 6 => format!("STORE {first}:{last} {sign}FLAGS.SILENT ({flag})"),
        7 => format!("UID STORE {uid} {sign}FLAGS ({flag})"),
        8 => format!("UID STORE {uid}:* {sign}FLAGS.SILENT ({flag})"),
        9 => format!("STORE {one} (UNCHANGEDSINCE {}) {sign}FLAGS ({flag})", keeper.token),
        10 => format!("FETCH {first}:{last} (FLAGS)"),
        11 => format!("FETCH {one} (BODY[TEXT])"),
        12 => "UID FETCH 1:* (FLAGS)".to_owned(),
        13 => format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {} VANISHED)", keeper.token.max(1)),
        14 => "EXPUNGE".to_owned(),
        15 => format!("UID EXPUNGE {uid}"),
        16 => "CLOSE".to_owned(),
        17 => format!("COPY {one} box"),
        18 => format!("MOVE {one} other"),
        19 => format!("SEARCH MODSEQ {} ALL", keeper.token.max(1)),
        20 => "STATUS box (MESSAGES HIGHESTMODSEQ)".to_owned(),
        21 => "UNSELECT".to_owned(),
        22 => format!("UID MOVE {uid} box"),
        _ => "NOOP".to_owned(),
    };
    let silent = text.contains("SILENT").then(|| {
        let sign = if text.contains("-FLAGS") { '-' } else { '+' };
        Silent { sign, flag: flag.to_owned() }
    });
    (text, silent)
}

async fn step(server: &Server, keeper: &mut Keeper, chance: &mut Chance) {
    // Mostly all lines arrive.
    let lines = if chance.below(6) == 0 { chance.below(4) } else { usize::MAX };
    if keeper.client.is_none() {
        return keeper.come_back(server, lines).await;
    }
    let (text, silent) = command(keeper, chance);
    let deleted: Vec<u32> =
        keeper.flags.iter().filter(|(_, flags)| flags.contains("\\Deleted")).map(|f| *f.0).collect();
    let Some(answer) = keeper.run(&text, silent.as_ref(), lines).await else { return };
    assert!(answer.tagged.starts_with("OK") || answer.tagged.starts_with("NO [EXPUNGEISSUED]"), "{text}: {answer:?}");
    if text == "CLOSE" {
        for uid in deleted {
            keeper.forget(uid);
        }
    }
    if text == "CLOSE" || text == "UNSELECT" {
        keeper.cut();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_cut_off_arrives_at_what_is_there() {
    // More of them on demand: RESYNC_SEEDS=100.
    let seeds = std::env::var("RESYNC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    for seed in 1..=seeds {
        let server = Server::start().await;
        let mut owner = server.login().await;
        owner.run("CREATE box").await.ok();
        owner.run("CREATE other").await.ok();
        for _ in 0..5 {
            owner.append("box", MESSAGE).await.ok();
        }
        let mut chance = Chance(seed);
        let mut keepers: Vec<Keeper> = (0..2 + seed as usize % 2).map(|_| Keeper::new()).collect();
        for _ in 0..1_000 {
            let who = chance.below(keepers.len());
            step(&server, &mut keepers[who], &mut chance).await;
        }
        for keeper in &mut keepers {
            keeper.cut();
            keeper.come_back(&server, usize::MAX).await;
        }
    }
}

/// What a client believes to know after a command, while another session's change could not be told.
async fn token_after(mine: &str, theirs: &[&str]) -> (u64, u64) {
    let server = Server::start().await;
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..5 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    a.run("ENABLE QRESYNC").await.ok();
    let selected = a.run("SELECT INBOX").await.ok();
    let mut token = number(selected.find("OK [HIGHESTMODSEQ "), "[HIGHESTMODSEQ ").expect("a token");
    if mine == "CLOSE" {
        let stored = a.run("STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
        token = number(stored.find("2 FETCH"), "MODSEQ (").expect("a mod-sequence");
    }
    b.run("SELECT INBOX").await.ok();
    for command in theirs {
        b.run(command).await.ok();
    }
    let answer = a.run(mine).await.is("OK");
    let mut seen = 0;
    for line in answer.untagged.iter().chain([&answer.tagged]) {
        seen = seen.max(number(line, "MODSEQ (").unwrap_or_default());
        if let Some(said) = number(line, "[HIGHESTMODSEQ ") {
            (token, seen) = (said, 0);
        }
    }
    let answer = b.run("STATUS INBOX (HIGHESTMODSEQ)").await.ok();
    (token.max(seen), number(answer.find("STATUS"), "(HIGHESTMODSEQ ").expect("a mod-sequence"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_covers_what_could_not_be_told() {
    const EXPUNGE: &[&str] = &["STORE 1 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 1"];
    const FLAGS: &[&str] = &["STORE 1 +FLAGS (\\Flagged)"];
    const NEW: &[&str] = &["COPY 1 INBOX"];
    for (mine, theirs) in [
        ("STORE 5 +FLAGS (\\Seen)", EXPUNGE),
        ("STORE 5 +FLAGS.SILENT (\\Seen)", EXPUNGE),
        ("STORE 2:5 FLAGS ($Work)", EXPUNGE),
        ("STORE 4 -FLAGS.SILENT (\\Seen)", EXPUNGE),
        ("FETCH 5 (BODY[])", EXPUNGE),
        ("FETCH 2:* (RFC822.TEXT)", EXPUNGE),
        ("SEARCH MODSEQ 1 ALL", EXPUNGE),
        ("SEARCH RETURN (ALL COUNT) MODSEQ 1 ALL", EXPUNGE),
        ("SORT (SUBJECT) UTF-8 MODSEQ 1 ALL", EXPUNGE),
        ("CLOSE", EXPUNGE),
        ("CLOSE", FLAGS),
        ("CLOSE", NEW),
    ] {
        let (token, highest) = token_after(mine, theirs).await;
        assert!(token < highest, "{mine} after {theirs:?}: {token} covers {highest}");
    }
    // Whatever may be told is told, and covered then.
    for mine in ["NOOP", "UID STORE 5 +FLAGS (\\Seen)", "UID FETCH 5 (BODY[])", "COPY 5 INBOX", "EXPUNGE"] {
        for theirs in [EXPUNGE, FLAGS, NEW] {
            let (token, highest) = token_after(mine, theirs).await;
            assert!(token <= highest, "{mine} after {theirs:?}: {token} of {highest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_back_is_covered_once_it_is_told() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..3 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    a.run("ENABLE QRESYNC").await.ok();
    a.run("SELECT INBOX").await.ok();
    b.run("SELECT INBOX").await.ok();
    b.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    let low = a.run("STORE 3 +FLAGS (\\Seen)").await.is("OK [HIGHESTMODSEQ ");
    let high = a.run("NOOP").await.is("OK [HIGHESTMODSEQ ").has("VANISHED 1");
    let token = |answer: &Answer| number(&answer.tagged, "[HIGHESTMODSEQ ").expect("a token");
    assert!(token(&low) < token(&high));
    a.run("NOOP").await.is("OK NOOP completed");
    // A refusal says it in a line before.
    b.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    let answer = a.run("STORE 1:2 (UNCHANGEDSINCE 1) +FLAGS (\\Flagged)").await.is("OK [MODIFIED 2]");
    answer.lacks("VANISHED");
    let answer = a.run("FETCH 1:2 (MODSEQ)").await.is("OK [EXPUNGEISSUED]");
    answer.find("OK [HIGHESTMODSEQ ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store_tells_what_the_client_can_not_work_out() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.login().await, server.login().await);
    for _ in 0..3 {
        a.append("INBOX", MESSAGE).await.ok();
    }
    a.run("SELECT INBOX").await.ok();
    b.run("SELECT INBOX").await.ok();
    // Held back by the expunge.
    b.run("STORE 3 +FLAGS (\\Flagged)").await.ok();
    b.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await.ok();
    b.run("EXPUNGE").await.ok();
    let answer = a.run("STORE 2:3 +FLAGS.SILENT (\\Seen)").await.ok();
    assert_eq!(answer.untagged, ["3 FETCH (UID 3 FLAGS (\\Flagged \\Seen))"]);
    // What was fetched of it in between and undone is told, too.
    a.run("FETCH 2 (FLAGS)").await.ok().has("2 FETCH (FLAGS (\\Seen))");
    b.run("UID STORE 2 -FLAGS (\\Seen)").await.ok();
    a.run("NOOP").await.ok().has("1 EXPUNGE").has("1 FETCH (UID 2 FLAGS ())");
}
