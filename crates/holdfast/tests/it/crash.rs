//! kill -9 at random moments under mixed load: nothing acknowledged is lost, nothing is filed twice.
//!
//! Every message carries an identity of its own. A client notes what it asked for before it asks and what was
//! acknowledged after; whatever was in flight when the process died may have happened or not, but never twice.
//! `HOLDFAST_CRASH_ROUNDS` sets the number of rounds (default 50), `HOLDFAST_CRASH_SEED` repeats a run's moments.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::support::{Server, imap::Imap, smtp::Smtp, web::Web};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const READER: &str = "reader@example.org";
const WRITER: &str = "writer@example.org";
const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];

/// What is acknowledged before the kill, in every other round.
const ENOUGH: u64 = 12;

/// Where a message may be: each alternative is a mailbox, or nowhere.
type Alternatives = Vec<Option<&'static str>>;

/// What all clients have been told, by message identity.
#[derive(Default)]
struct Ledger {
    expected: Mutex<HashMap<String, Alternatives>>,
    next: AtomicU64,
    acknowledged: AtomicU64,
    submitted: Mutex<Vec<String>>,
}

impl Ledger {
    fn new_identity(&self, kind: &str) -> String {
        format!("{kind}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn expect(&self, identity: &str, alternatives: &[Option<&'static str>]) {
        self.expected.lock().unwrap().insert(identity.to_owned(), alternatives.to_vec());
    }

    /// A web submission waits its time for Undo before it is filed: it may not be there yet, but once it is, only once.
    fn acknowledge_submission(&self, identity: &str) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.submitted.lock().unwrap().push(identity.to_owned());
    }

    /// Nothing waits any more: from here on every acknowledged submission must be there.
    fn demand_submissions(&self) {
        for identity in self.submitted.lock().unwrap().iter() {
            self.expect(identity, &[Some("INBOX")]);
        }
    }

    fn acknowledge(&self, identity: &str, place: Option<&'static str>) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.expect(identity, &[place]);
    }
}

fn message(identity: &str, size: usize) -> String {
    let body = "All work and no play makes the mail server a dull boy.\r\n".repeat(size / 56 + 1);
    format!(
        "From: <{WRITER}>\r\nTo: <{READER}>\r\nSubject: {identity}\r\nMessage-ID: <{identity}@crash.example>\r\n\r\n{body}"
    )
}

fn smtp_load(server: &Server, ledger: &Ledger, stop: &AtomicBool, seed: u64) -> std::io::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut smtp = Smtp::connect(server.address("smtp"))?;
    while !stop.load(Ordering::Relaxed) {
        let identity = ledger.new_identity("smtp");
        ledger.expect(&identity, &[None, Some("INBOX")]);
        let reply = smtp.send("someone@example.net", &[READER], &message(&identity, random.random_range(0..20_000)))?;
        assert!(reply.starts_with("250"), "refused: {reply}");
        ledger.acknowledge(&identity, Some("INBOX"));
    }
    Ok(())
}

fn imap_load(server: &Server, ledger: &Ledger, stop: &AtomicBool, seed: u64) -> std::io::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut imap = Imap::login(server.address("imap"), READER)?;
    imap.command("SELECT INBOX")?.ok();
    while !stop.load(Ordering::Relaxed) {
        let identity = ledger.new_identity("imap");
        ledger.expect(&identity, &[None, Some("INBOX")]);
        let answer = imap.append("INBOX", message(&identity, random.random_range(0..5_000)))?.ok();
        ledger.acknowledge(&identity, Some("INBOX"));
        let uid = answer.tagged.split("APPENDUID ").nth(1).and_then(|rest| rest.split([' ', ']']).nth(1)).unwrap();
        match random.random_range(0..3) {
            0 => {
                ledger.expect(&identity, &[Some("INBOX"), Some("Archive")]);
                imap.command(&format!("UID MOVE {uid} Archive"))?.ok();
                ledger.acknowledge(&identity, Some("Archive"));
            }
            1 => {
                imap.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?.ok();
                ledger.expect(&identity, &[Some("INBOX"), None]);
                imap.command(&format!("UID EXPUNGE {uid}"))?.ok();
                ledger.acknowledge(&identity, None);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A browser that stays open, and the forms whose answer never came.
#[derive(Default)]
struct Browser {
    web: Option<Web>,
    doubtful: Vec<(String, Vec<(String, String)>)>,
}

/// Sends by the web, remembering the forms whose answer never came: they are posted again after the restart.
fn web_load(server: &Server, ledger: &Ledger, stop: &AtomicBool, browser: &Mutex<Browser>) -> std::io::Result<()> {
    let mut browser = browser.lock().unwrap();
    let Browser { web, doubtful } = &mut *browser;
    let web = match web {
        // The browser was left open: it is signed in still.
        Some(web) => web,
        None => web.insert(Web::sign_in(server.address("http"), WRITER)?),
    };
    web.move_to(server.address("http"));
    while let Some((identity, form)) = doubtful.last() {
        web.post_send(form)?;
        ledger.acknowledge_submission(identity);
        doubtful.pop();
    }
    while !stop.load(Ordering::Relaxed) {
        let identity = ledger.new_identity("web");
        let form = web.compose(READER, &identity, "Sent by the web.")?;
        ledger.expect(&identity, &[None, Some("INBOX")]);
        doubtful.push((identity.clone(), form.clone()));
        web.post_send(&form)?;
        // A second press of the same button must change nothing.
        web.post_send(&form)?;
        doubtful.pop();
        ledger.acknowledge_submission(&identity);
    }
    Ok(())
}

/// Compares what is in the mailboxes with what was acknowledged, and settles what was in doubt.
fn check(server: &Server, ledger: &Ledger, round: usize) {
    let mut imap = Imap::login(server.address("imap"), READER).unwrap();
    let mut found: HashMap<String, Vec<&'static str>> = HashMap::new();
    for mailbox in MAILBOXES {
        let selected = imap.command(&format!("EXAMINE {mailbox}")).unwrap().ok();
        if selected.untagged.iter().any(|line| line == "* 0 EXISTS") {
            continue;
        }
        let answer = imap.command("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap().ok();
        for line in &answer.untagged {
            if let Some(subject) = line.split("Subject: ").nth(1) {
                let identity = subject.split(['\r', '\n']).next().unwrap().to_owned();
                found.entry(identity).or_default().push(mailbox);
            }
        }
    }
    let mut wrong = Vec::new();
    let mut expected = ledger.expected.lock().unwrap();
    for (identity, alternatives) in expected.iter_mut() {
        let places = found.remove(identity).unwrap_or_default();
        let fits = match places.as_slice() {
            [] => alternatives.contains(&None),
            [one] => alternatives.contains(&Some(*one)),
            _ => false,
        };
        if fits {
            // Web forms in doubt are posted again, so 'nowhere' stays open for them until that has happened.
            if !identity.starts_with("web") || !places.is_empty() {
                *alternatives = vec![places.first().copied()];
            }
        } else {
            wrong.push(format!("{identity}: in {places:?}, acknowledged as {alternatives:?}"));
        }
    }
    wrong.extend(found.keys().map(|identity| format!("{identity}: nobody sent it")));
    assert!(wrong.is_empty(), "after kill {round}:\n{}", wrong.join("\n"));
}

#[test]
fn kill_dash_nine_under_load_loses_nothing_and_files_nothing_twice() {
    let rounds = std::env::var("HOLDFAST_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let seed = std::env::var("HOLDFAST_CRASH_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("HOLDFAST_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    let browser = Mutex::new(Browser::default());

    let server = Server::start(dir.path());
    server.add_account(READER);
    server.add_account(WRITER);
    server.stop();

    for round in 1..=rounds {
        let server = Server::start(dir.path());
        check(&server, &ledger, round - 1);
        let stop = AtomicBool::new(false);
        let before = ledger.acknowledged.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            let clients = [
                scope.spawn(|| smtp_load(&server, &ledger, &stop, seed ^ round as u64)),
                scope.spawn(|| smtp_load(&server, &ledger, &stop, seed ^ (round as u64) << 16)),
                scope.spawn(|| imap_load(&server, &ledger, &stop, seed ^ (round as u64) << 32)),
                scope.spawn(|| imap_load(&server, &ledger, &stop, seed ^ (round as u64) << 48)),
                scope.spawn(|| web_load(&server, &ledger, &stop, &browser)),
            ];
            // The moment of death is the point of the test, not a wait for anything.
            std::thread::park_timeout(Duration::from_millis(random.random_range(150..900)));
            if round % 2 == 0 {
                // However busy the machine is, in every other round there is something that can be lost.
                crate::support::comes_about(|| ledger.acknowledged.load(Ordering::Relaxed) >= before + ENOUGH);
            }
            kill_by_pid(server.pid());
            stop.store(true, Ordering::Relaxed);
            for client in clients {
                // Clients end when the connection does; anything else they note panics.
                let _ = client.join().expect("a client saw something wrong");
            }
        });
        server.kill();
    }

    let server = Server::start(dir.path());
    // Nothing is in flight now: whatever is still in doubt on the web side is posted again, then all must agree.
    let stop = AtomicBool::new(true);
    web_load(&server, &ledger, &stop, &browser).unwrap();
    wait_for_empty_queue(&server);
    ledger.demand_submissions();
    check(&server, &ledger, rounds);
    server.stop();
    let verify = crate::support::holdfast(dir.path(), &["verify"], "");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    let acknowledged = ledger.acknowledged.load(Ordering::Relaxed);
    assert!(
        acknowledged >= rounds as u64 / 2 * ENOUGH,
        "too little load to prove anything: {acknowledged} acknowledgements"
    );
    crate::support::proved(
        "kill -9 under load",
        &format!("0 of {acknowledged} acknowledged, 0 twice"),
        &format!("{rounds} kills"),
    );
}

fn wait_for_empty_queue(server: &Server) {
    let begun = std::time::Instant::now();
    loop {
        let listed = server.command(&["queue", "list", "--json"]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        if listed.stdout.is_empty() {
            return;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE * 2, "{}", String::from_utf8_lossy(&listed.stdout));
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn kill_by_pid(pid: u32) {
    let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}
