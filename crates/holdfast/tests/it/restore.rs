//! An empty machine serves within moments, while the accounts and messages of an archive come behind.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::support::{
    Server,
    archive::{archive, shipped},
    comes_about, holdfast,
    imap::Imap,
    smtp::Smtp,
    wait_for,
    web::Web,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const READERS: [&str; 3] = ["one@example.org", "two@example.org", "three@example.org"];

fn ok(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// A second machine: an empty folder.
fn machine(dir: &Path, name: &str) -> PathBuf {
    let dir = dir.join(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}

fn deliver(server: &Server, to: &str, subject: &str, size: usize) {
    // Nothing that compresses well.
    let mut random = StdRng::seed_from_u64(size as u64);
    let body: String = (0..size / 66).map(|_| format!("{:064x}\r\n", random.random::<u128>())).collect();
    let message = format!("From: <a@example.net>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\r\n{body}");
    let told = |error: std::io::Error| -> ! {
        panic!("{error}: {}", std::fs::read_to_string(server.dir().join("stderr.log")).unwrap_or_default())
    };
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap_or_else(|error| told(error));
    let reply = smtp.send("a@example.net", &[to], &message).unwrap_or_else(|error| told(error));
    assert!(reply.starts_with("250"), "{reply}");
}

/// What a mail program has of an account, byte for byte.
fn mailbox(server: &Server, user: &str) -> Vec<String> {
    let mut imap = Imap::login(server.address("imap"), user).unwrap_or_else(|error| {
        panic!("{error}: {}", std::fs::read_to_string(server.dir().join("stderr.log")).unwrap_or_default())
    });
    // It knows no \Recent, which depends on who came first.
    imap.command("ENABLE IMAP4rev2").unwrap().ok();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])").unwrap().ok().untagged
}

fn is_whole(dir: &Path) -> bool {
    !dir.join("data/restoring").exists()
}

/// A service with mail before and after its snapshot, whose machine is gone; gives what its accounts held.
fn burnt(dir: &Path, more: &str, messages: usize, size: usize) -> Vec<Vec<String>> {
    let server = Server::start_with(dir, more);
    for reader in READERS {
        server.add_account(reader);
    }
    for number in 0..messages {
        deliver(&server, READERS[number % 3], &format!("before {number}"), size);
    }
    ok(&server.command(&["archive", "snapshot"]));
    // An account that is in the log only.
    server.add_account("four@example.org");
    deliver(&server, "four@example.org", "to the new one", size);
    for number in 0..messages / 2 {
        deliver(&server, READERS[number % 2], &format!("after {number}"), size);
    }
    let mut imap = Imap::login(server.address("imap"), READERS[0]).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1 +FLAGS (\\Flagged \\Seen)").unwrap().ok();
    drop(imap);
    let held: Vec<_> = READERS.iter().chain(&["four@example.org"]).map(|reader| mailbox(&server, reader)).collect();
    shipped(server.dir());
    server.kill();
    std::fs::remove_dir_all(dir.join("data")).unwrap();
    held
}

#[test]
fn an_empty_machine_serves_at_once_and_everything_comes_behind() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let held = burnt(dir.path(), &more, 30, 8_000);
    let second = machine(dir.path(), "second");
    let begun = Instant::now();
    let server = Server::start_as(&second, &more, &["restore", "--from", "here"], &[]);
    assert_eq!(mailbox(&server, READERS[0]), held[0]);
    let took = begun.elapsed();
    for (reader, before) in READERS.iter().chain(&["four@example.org"]).zip(&held) {
        assert_eq!(&mailbox(&server, reader), before, "{reader}");
    }
    let mut web = Web::sign_in(server.address("http"), READERS[1]).unwrap();
    assert!(web.get("/mail/inbox").unwrap().body.contains("before 1"));
    deliver(&server, READERS[2], "on the new machine", 100);
    wait_for("everything restored", || is_whole(&second));
    wait_for("the service says so", || !ok(&server.command(&["stage", "show"])).contains("restoring"));
    ok(&server.command(&["archive", "snapshot"]));
    ok(&server.command(&["maintain"]));
    server.stop();
    assert!(ok(&holdfast(&second, &["verify"], "")).contains("ok: no damage found"));
    let server = Server::start_with(&second, &more);
    assert_eq!(mailbox(&server, READERS[2]).len(), held[2].len() + 1);
    // The next machine is made from what this one has archived.
    shipped(server.dir());
    server.kill();
    let third = machine(dir.path(), "third");
    let server = Server::start_as(&third, &more, &["restore", "--from", "here"], &[]);
    assert_eq!(mailbox(&server, READERS[2]).len(), held[2].len() + 1);
    assert_eq!(mailbox(&server, READERS[0]), held[0]);
    crate::support::proved(
        "both burn, restored behind open doors",
        &format!("0 of {} messages, byte for byte", held.iter().map(Vec::len).sum::<usize>()),
        &format!("{} to a mailbox read", crate::support::ms(took)),
    );
}

#[test]
fn kill_9_while_restoring_behind_open_doors_loses_nothing_that_was_acknowledged() {
    let seed =
        std::env::var("HOLDFAST_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let rounds: usize = std::env::var("HOLDFAST_RESTORE_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    println!("HOLDFAST_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let held = burnt(dir.path(), &more, 60, 300_000);
    let second = machine(dir.path(), "second");
    let mut new = [0_usize; 3];
    let mut unfinished = 0;
    for round in 0..rounds {
        // Whoever typed `serve` means the same.
        let command: &[&str] = match (second.join("data/restoring").exists(), new == [0; 3]) {
            (_, true) => &["restore", "--from", "here"],
            (true, false) if round % 2 == 0 => &["restore", "--from", "here"],
            _ => &["serve"],
        };
        let server = Server::start_as(&second, &more, command, &[]);
        let until = Instant::now() + Duration::from_millis(random.random_range(0..120));
        loop {
            let reader = random.random_range(0..3);
            deliver(&server, READERS[reader], &format!("new {round}"), 500);
            new[reader] += 1;
            if Instant::now() >= until {
                break;
            }
        }
        unfinished += usize::from(!is_whole(&second));
        server.kill();
    }
    let server = Server::start_with(&second, &more);
    wait_for("everything restored", || {
        let said = server.command(&["stage", "show"]);
        eprintln!("{}", String::from_utf8_lossy(&said.stdout).lines().last().unwrap_or_default());
        is_whole(&second)
    });
    for (number, reader) in READERS.iter().enumerate() {
        let now = mailbox(&server, reader);
        let waiting = server.command(&["queue", "list"]);
        assert_eq!(now.len(), held[number].len() + new[number], "seed {seed}, {reader}: {waiting:?}");
        assert_eq!(now[..held[number].len()], held[number], "seed {seed}, {reader}");
    }
    server.stop();
    assert!(ok(&holdfast(&second, &["verify"], "")).contains("ok: no damage found"), "seed {seed}");
    let all = held.iter().map(Vec::len).sum::<usize>() + new.iter().sum::<usize>();
    crate::support::proved(
        "kill -9 of a restore that serves",
        &format!("0 of {all} messages, 0 twice"),
        &format!("{rounds} kills, {unfinished} before all was restored"),
    );
}

#[test]
fn what_the_archive_has_lost_is_named_and_everything_else_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let held = burnt(dir.path(), &more, 6, 2_000);
    let damage = |folder: &str, ending: &str| {
        for entry in std::fs::read_dir(dir.path().join("target").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(ending) {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.iter_mut().step_by(50).for_each(|byte| *byte ^= 1);
                std::fs::write(path, bytes).unwrap();
            }
        }
    };
    damage("bodies", ".pack");
    let second = machine(dir.path(), "second");
    let server = Server::start_as(&second, &more, &["restore", "--from", "here"], &[]);
    let mut imap = Imap::login(server.address("imap"), READERS[0]).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    let envelopes = imap.command("FETCH 1:* (ENVELOPE)").unwrap().ok();
    assert_eq!(envelopes.untagged.len(), held[0].len(), "lists need no bodies");
    let refused = imap.command("FETCH 1 (BODY.PEEK[])").unwrap();
    assert!(refused.tagged.contains(" NO ") || refused.tagged.starts_with("NO"), "{}", refused.tagged);
    deliver(&server, READERS[0], "goes on", 100);
    wait_for("the losses", || ok(&server.command(&["stage", "show"])).contains("lost items"));
    let maintained = server.command(&["maintain"]);
    assert!(!maintained.status.success(), "what is not whole is not tidied");
    server.kill();
    // Only when asked, and for good.
    let server = Server::start_as(&second, &more, &["restore", "--from", "here", "--without-damaged"], &[]);
    wait_for("the rest", || is_whole(&second));
    let mut imap = Imap::login(server.address("imap"), READERS[0]).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    let new = imap.command(&format!("FETCH {} (BODY.PEEK[])", held[0].len() + 1)).unwrap().ok();
    assert!(new.untagged.concat().contains("goes on"));
}

/// Makes a contact by the pages, as people do.
fn add_contact(web: &mut Web, name: &str) -> std::io::Result<()> {
    let form = web.get("/people/new")?;
    let (csrf, key) = (form.input("csrf").unwrap_or_default(), form.input("key").unwrap_or_default());
    let made = web.post("/people/new", &[("csrf", &csrf), ("key", &key), ("name", name)])?;
    if matches!(made.status, 200 | 303) { Ok(()) } else { Err(std::io::Error::other(made.body)) }
}

/// Messages and contacts of an account.
fn counts(server: &Server, user: &str) -> (usize, usize) {
    let file = server.dir().join("contacts.vcf");
    let _ = std::fs::remove_file(&file);
    ok(&server.command(&["people", "export", user, file.to_str().unwrap()]));
    let contacts = std::fs::read_to_string(&file).unwrap().matches("BEGIN:VCARD").count();
    let mut imap = Imap::login(server.address("imap"), user).unwrap();
    let status = imap.command("STATUS INBOX (MESSAGES)").unwrap().ok().untagged.concat();
    let messages = status.split("MESSAGES ").nth(1).unwrap().trim_end_matches(')').parse().unwrap();
    (messages, contacts)
}

#[test]
fn mail_and_address_book_of_an_account_come_back_from_one_moment_whichever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let more = archive(dir.path());
    let server = Server::start_with(dir.path(), &more);
    for reader in READERS {
        server.add_account(reader);
    }
    // Everyone gets a message, writes down its sender, gets the next: at no moment is one more than one ahead.
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut moments, mut goes_on) = (Vec::new(), true);
    std::thread::scope(|scope| {
        for reader in READERS {
            let (server, stop, written) = (&server, &stop, &written);
            scope.spawn(move || {
                let mut web = Web::sign_in(server.address("http"), reader).unwrap();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    deliver(server, reader, &format!("message {number}"), 2_000);
                    add_contact(&mut web, &format!("Sender {number}")).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..4 {
            let before = written.load(Ordering::Relaxed);
            goes_on &= comes_about(|| written.load(Ordering::Relaxed) >= before + 5);
            moments.push(jiff::Timestamp::now());
            if number == 1 {
                // In the middle of it all.
                ok(&server.command(&["archive", "snapshot"]));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(goes_on, "nothing is written any more");
    let last: Vec<_> = READERS.iter().map(|reader| counts(&server, reader)).collect();
    shipped(server.dir());
    server.kill();
    let mut seen = Vec::new();
    for (number, at) in moments.iter().map(ToString::to_string).chain([String::new()]).enumerate() {
        let machine = machine(dir.path(), &format!("machine-{number}"));
        // It is only looked at: it ships nothing.
        let target = format!("file://{}/target", dir.path().display());
        let identity = dir.path().join("identity").display().to_string();
        let mut command = vec!["restore", "--from", &target, "--identity", &identity];
        if !at.is_empty() {
            command.extend(["--at", &at]);
        }
        let restored = Server::start_as(&machine, "", &command, &[]);
        let now: Vec<_> = READERS.iter().map(|reader| counts(&restored, reader)).collect();
        for (messages, contacts) in &now {
            assert!(*contacts <= *messages && *messages <= *contacts + 1, "{at}: {now:?}");
        }
        if at.is_empty() {
            assert_eq!(now, last);
        }
        seen.push(now);
        restored.kill();
    }
    println!("messages and contacts at {} moments: {seen:?}", seen.len());
    let accounts = seen.len() * READERS.len();
    crate::support::proved(
        "tables agree",
        "mail and address book of one moment",
        &format!("{accounts} of {accounts} accounts"),
    );
    assert!(seen[0] != seen[4], "nothing happened in between");
}
