//! What can be read elsewhere is merged into a service that runs: real processes, real damage.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{
    Server, holdfast,
    imap::Imap,
    port,
    standby::{Standby, deliver, has_all, primary, run, said, status, subjects},
    wait_for,
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";

/// A message as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    mailbox: String,
    /// Flags and INTERNALDATE.
    about: String,
    bytes: Vec<u8>,
}

impl Seen {
    fn subject(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
    }
}

fn mail(address: SocketAddr, user: &str, mailboxes: &[&str]) -> Vec<Seen> {
    let mut imap = Imap::login(address, user).unwrap();
    // It knows no \Recent, which depends on who came first.
    imap.command("ENABLE IMAP4rev2").unwrap().ok();
    let mut seen = Vec::new();
    for mailbox in mailboxes {
        if !imap.command(&format!("EXAMINE {mailbox}")).unwrap().tagged.starts_with("OK") {
            continue;
        }
        let about = imap.command("FETCH 1:* (FLAGS INTERNALDATE)").unwrap().untagged;
        let about = about.iter().filter_map(|line| Some(line.split_once("FETCH ")?.1.to_owned())).collect::<Vec<_>>();
        for (number, about) in about.into_iter().enumerate() {
            let bytes = imap.literal(&format!("FETCH {} BODY.PEEK[]", number + 1)).unwrap();
            seen.push(Seen { mailbox: (*mailbox).to_owned(), about, bytes });
        }
    }
    seen.sort();
    seen
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_none_or(|name| name != "admin.sock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn flip(path: &Path, part: f64) {
    let mut bytes = fs::read(path).unwrap();
    let at = (bytes.len() as f64 * part) as usize;
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn only_file(dir: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.into_iter().next().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn contacts(dir: &Path) -> BTreeSet<String> {
    let file = dir.join("people.vcf");
    let _ = fs::remove_file(&file);
    said(dir, &["people", "export", ANNA, file.to_str().unwrap()]);
    let text = fs::read_to_string(&file).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("FN:")).map(|name| name.trim().to_owned()).collect()
}

fn add_contacts(server: &Server, dir: &Path, names: &[&str]) {
    let card = |name: &&str| {
        format!(
            "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:x:{name}\r\nFN:{name}\r\nEMAIL:{name}@example.net\r\nEND:VCARD\r\n"
        )
    };
    let file = dir.join("in.vcf");
    fs::write(&file, names.iter().map(card).collect::<String>()).unwrap();
    let output = server.command(&["people", "import", ANNA, file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
}

/// A service with mail, flags, mailboxes and contacts; killed.
struct Old {
    dir: tempfile::TempDir,
    anna: Vec<Seen>,
    bert: Vec<Seen>,
}

const MAILBOXES: [&str; 3] = ["INBOX", "Work/Plans", "Sent"];

fn old() -> Old {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    server.add_account(BERT);
    add_contacts(&server, dir.path(), &["carl", "dora"]);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("CREATE Work/Plans").unwrap().ok();
    imap.append("Work/Plans", "Subject: a plan\r\n\r\nPlan.\r\n").unwrap().ok();
    for number in 0..6 {
        deliver(server.address("smtp"), BERT, &format!("to bert {number}")).unwrap();
    }
    for number in 0..20 {
        deliver(server.address("smtp"), ANNA, &format!("to anna {number}")).unwrap();
    }
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 2,5 +FLAGS (\\Seen \\Flagged $Important)").unwrap().ok();
    imap.command("COPY 3 Work/Plans").unwrap().ok();
    let anna = mail(server.address("imap"), ANNA, &MAILBOXES);
    let bert = mail(server.address("imap"), BERT, &MAILBOXES);
    assert_eq!((anna.len(), bert.len()), (22, 6));
    server.kill();
    Old { dir, anna, bert }
}

#[test]
fn a_damaged_service_is_merged_into_a_new_one_each_message_once_and_what_is_lost_is_named() {
    let Old { dir: old, anna, bert } = old();
    let data = old.path().join("data");
    for path in files(&data.join("index")).into_keys() {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    flip(&only_file(&data.join("log")), 0.7);
    flip(&only_file(&data.join("packs")), 0.5);
    let before = files(&data);

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.add_account(ANNA);
    add_contacts(&server, dir.path(), &["dora", "emil"]);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    let both: Vec<&Seen> = anna.iter().filter(|seen| seen.mailbox == "INBOX").take(4).collect();
    for seen in &both {
        imap.append("INBOX", &seen.bytes).unwrap().ok();
    }
    imap.append("INBOX", "Subject: new\r\n\r\nNew.\r\n").unwrap().ok();
    let earlier = mail(server.address("imap"), ANNA, &MAILBOXES);

    let scratch = dir.path().join("scratch");
    let orphans = dir.path().join("orphans");
    let args = ["salvage", data.to_str().unwrap(), "--scratch", scratch.to_str().unwrap()];
    let preview = server.command(&[&args[..], &["--preview"]].concat());
    assert!(!preview.status.success());
    assert_eq!(mail(server.address("imap"), ANNA, &MAILBOXES), earlier, "a preview changes nothing");
    assert_eq!(contacts(dir.path()), ["dora", "emil"].map(str::to_owned).into());

    let first = server.command(&[&args[..], &["--orphans", orphans.to_str().unwrap()]].concat());
    let report = text(&first);
    println!("{report}");
    assert_eq!(first.status.code(), Some(1), "{report}");
    assert!(report.contains("bert@example.org: ") && report.contains("account add bert@example.org"), "{report}");
    assert!(!scratch.exists(), "the scratch folder is gone");
    server.add_account(BERT);
    let again = server.command(&args);
    let unreadable: BTreeSet<String> = [&report, &text(&again)]
        .iter()
        .flat_map(|report| report.lines().filter_map(|line| line.split("UNREADABLE: \u{201c}").nth(1)))
        .map(|rest| rest.split('\u{201d}').next().unwrap().to_owned())
        .collect();
    assert_eq!(unreadable.len(), 1, "one body was hit: {report}{}", text(&again));
    let orphaned: Vec<Vec<u8>> = files(&orphans).into_values().collect();

    let now = mail(server.address("imap"), ANNA, &MAILBOXES);
    let now_bert = mail(server.address("imap"), BERT, &MAILBOXES);
    for (all, now) in [(&anna, &now), (&bert, &now_bert)] {
        for seen in all {
            let times = now.iter().filter(|one| one.bytes == seen.bytes && one.mailbox == seen.mailbox).count();
            if unreadable.contains(&seen.subject()) {
                assert_eq!(times, 0);
            } else if orphaned.iter().any(|body| seen.bytes.ends_with(body)) {
                // The commit that filed it is what was hit in the log, and with it what stood above its body.
                assert_eq!(times, 0);
            } else if both.iter().any(|one| one.bytes == seen.bytes) && seen.mailbox != "INBOX" {
                assert_eq!(times, 0, "it was here before, elsewhere");
            } else {
                assert_eq!(times, 1, "{} in {}", seen.subject(), seen.mailbox);
            }
        }
    }
    assert!(orphaned.len() <= 1, "one record was hit");
    assert!(now.iter().any(|seen| seen.subject() == "new"));
    assert!(now.len() >= 20, "{} are there", now.len());
    // As it was: flags, keywords, dates.
    let flagged = anna.iter().filter(|seen| seen.about.contains("\\Flagged") && !both.contains(seen));
    for seen in flagged.filter(|seen| now.iter().any(|one| one.bytes == seen.bytes)) {
        assert!(now.contains(seen), "{seen:?}");
    }
    assert_eq!(contacts(dir.path()), ["carl", "dora", "emil"].map(str::to_owned).into());

    let second = server.command(&args);
    assert_eq!(mail(server.address("imap"), ANNA, &MAILBOXES), now, "a second run changes nothing");
    assert_eq!(mail(server.address("imap"), BERT, &MAILBOXES), now_bert);
    assert_eq!(contacts(dir.path()), ["carl", "dora", "emil"].map(str::to_owned).into());
    assert!(text(&second).contains("  0 messages merged"), "{}", text(&second));
    // What is deleted here stays deleted.
    let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1 +FLAGS (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    server.command(&args);
    assert_eq!(mail(server.address("imap"), BERT, &MAILBOXES).len(), now_bert.len() - 1);
    assert!(files(&data) == before, "the damaged folder has changed");
    server.stop();
    let verify = holdfast(dir.path(), &["verify"], "");
    assert!(verify.status.success(), "{}", text(&verify));
}

#[test]
fn a_service_that_is_whole_is_merged_as_a_whole_and_says_so_also_without_a_running_service() {
    let Old { dir: old, anna, bert } = old();
    let (dir, server) = Server::with_accounts(&[ANNA, BERT]);
    server.stop();
    let scratch = tempfile::tempdir().unwrap();
    let data = old.path().join("data");
    let args = ["salvage", data.to_str().unwrap(), "--scratch", scratch.path().to_str().unwrap()];
    let one = run(dir.path(), &[&args[..], &["--account", ANNA]].concat());
    assert!(one.status.success() && !text(&one).contains(BERT), "{}", text(&one));
    let wrong = run(dir.path(), &[&args[..], &["--account", "nobody@example.org"]].concat());
    assert!(text(&wrong).contains("has no data of nobody@example.org"), "{}", text(&wrong));
    said(dir.path(), &args);
    let own = dir.path().join("data");
    let itself = run(dir.path(), &["salvage", own.to_str().unwrap(), "--scratch", scratch.path().to_str().unwrap()]);
    assert!(text(&itself).contains("is the data folder of this service"), "{}", text(&itself));
    let server = Server::start(dir.path());
    assert_eq!(mail(server.address("imap"), ANNA, &MAILBOXES), anna);
    assert_eq!(mail(server.address("imap"), BERT, &MAILBOXES), bert);
    assert_eq!(contacts(dir.path()), ["carl", "dora"].map(str::to_owned).into());
    // One that is in use is left alone.
    let used = Server::start(old.path());
    let refused = server.command(&args);
    assert!(!refused.status.success() && text(&refused).contains("in use"), "{}", text(&refused));
    used.stop();
    server.stop();
}

#[test]
fn what_only_an_old_primary_had_is_merged_where_it_was() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = primary(dirs[0].path(), "");
    for address in [ANNA, BERT] {
        first.server.add_account(address);
    }
    let mut imap = Imap::login(first.server.address("imap"), ANNA).unwrap();
    imap.command("CREATE Work").unwrap().ok();
    add_contacts(&first.server, dirs[0].path(), &["carl"]);
    let standby = Standby::pair(dirs[1].path(), &first, "");
    standby.line("following");
    deliver(first.server.address("smtp"), ANNA, "shared").unwrap();
    wait_for("the standby has all", || has_all(&first, &standby));
    standby.kill();
    // Only the old primary has these.
    deliver(first.server.address("smtp"), ANNA, "only there").unwrap();
    deliver(first.server.address("smtp"), ANNA, "deleted there").unwrap();
    imap.append("Work (\\Seen $Important)", "Subject: filed there\r\n\r\nText.\r\n").unwrap().ok();
    imap.command("CREATE New").unwrap().ok();
    imap.append("New", "Subject: in a new mailbox\r\n\r\nText.\r\n").unwrap().ok();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 3 +FLAGS (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    add_contacts(&first.server, dirs[0].path(), &["dora"]);
    let address = first.address;
    first.server.kill();
    said(dirs[1].path(), &["promote"]);
    let second = SocketAddr::from(([127, 0, 0, 1], port()));
    let server = Server::start_with_env(dirs[1].path(), "", &[("HOLDFAST_LISTEN__STANDBY", second.to_string())]);
    let new = crate::support::standby::Primary { server, address: second };
    deliver(new.server.address("smtp"), ANNA, "new epoch").unwrap();
    add_contacts(&new.server, dirs[1].path(), &["emil"]);
    // Told that it is one no more, it rejoins.
    let old = Server::start_with_env(dirs[0].path(), "", &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    let fenced = || deliver(old.address("smtp"), BERT, "split").is_ok_and(|reply| reply.starts_with('4'));
    wait_for("the old one is fenced", fenced);
    old.kill();
    let code = said(dirs[1].path(), &["standby", "code"]);
    let code = code.lines().next().unwrap();
    let back = Standby::spawn(dirs[0].path(), &["--primary", &new.address.to_string(), "--code", code, "--rejoin"]);
    wait_for("it has all", || has_all(&new, &back));
    let kept = fs::read_dir(dirs[0].path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let folder = kept.into_iter().find(|path| path.to_string_lossy().contains("unshared-after-")).unwrap();

    let scratch = dirs[1].path().join("scratch");
    let args = ["salvage", folder.to_str().unwrap(), "--scratch", scratch.to_str().unwrap()];
    let mut seen = Vec::new();
    for _ in 0..2 {
        let said = said(dirs[1].path(), &args);
        println!("{said}");
        let mut inbox = subjects(new.server.address("imap"), ANNA);
        inbox.retain(|subject| subject != "split");
        inbox.sort();
        assert_eq!(inbox, ["new epoch", "only there", "shared"]);
        let others = mail(new.server.address("imap"), ANNA, &["Work", "New"]);
        let subjects: Vec<_> = others.iter().map(|seen| (seen.mailbox.as_str(), seen.subject())).collect();
        assert_eq!(subjects, [("New", "in a new mailbox".to_owned()), ("Work", "filed there".to_owned())]);
        assert!(others[1].about.contains("\\Seen") && others[1].about.contains("$Important"), "{others:?}");
        assert_eq!(contacts(dirs[1].path()), ["carl", "dora", "emil"].map(str::to_owned).into());
        seen.push(others);
    }
    assert_eq!(seen[0], seen[1]);
    new.server.stop();
}

#[test]
fn a_salvage_that_is_killed_at_any_moment_is_completed_by_the_next_run_without_duplicates() {
    let Old { dir: old, anna, bert } = old();
    let (dir, server) = Server::with_accounts(&[ANNA, BERT]);
    server.stop();
    let scratch = tempfile::tempdir().unwrap();
    let data = old.path().join("data");
    let config = dir.path().join("holdfast.toml");
    let mut killed = 0;
    for round in 1..40 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["--config", config.to_str().unwrap(), "salvage", data.to_str().unwrap()])
            .args(["--scratch", scratch.path().to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The moment to be killed is what this is about; whether it had ended by then does not matter.
        std::thread::sleep(std::time::Duration::from_millis(15 * round));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
    said(dir.path(), &["salvage", data.to_str().unwrap(), "--scratch", scratch.path().to_str().unwrap()]);
    let server = Server::start(dir.path());
    assert_eq!(mail(server.address("imap"), ANNA, &MAILBOXES), anna);
    assert_eq!(mail(server.address("imap"), BERT, &MAILBOXES), bert);
    assert_eq!(contacts(dir.path()), ["carl", "dora"].map(str::to_owned).into());
    server.stop();
    assert!(fs::read_dir(scratch.path()).unwrap().next().is_none(), "nothing is left in the scratch folder");
}

#[test]
fn what_came_in_during_what_a_promotion_left_out_is_merged_for_those_who_were_taken_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = primary(dirs[0].path(), "");
    for address in [ANNA, BERT] {
        first.server.add_account(address);
    }
    let standby = Standby::pair(dirs[1].path(), &first, "[standby]\ntripwire_account_messages = 20\n");
    standby.line("following");
    for number in 0..30 {
        deliver(first.server.address("smtp"), ANNA, &format!("m{number}")).unwrap();
    }
    wait_for("the standby has all", || has_all(&first, &standby));
    let before = subjects(first.server.address("imap"), ANNA);
    let mut imap = Imap::login(first.server.address("imap"), ANNA).unwrap();
    imap.command("SELECT INBOX").unwrap().ok();
    imap.command("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    wait_for("the wire", || standby.status().contains("ALARM"));
    deliver(first.server.address("smtp"), ANNA, "stays").unwrap();
    deliver(first.server.address("smtp"), ANNA, "wiped too").unwrap();
    imap.command("NOOP").unwrap().ok();
    imap.command("STORE 2 +FLAGS.SILENT (\\Deleted)").unwrap().ok();
    imap.command("EXPUNGE").unwrap().ok();
    deliver(first.server.address("smtp"), BERT, "to bert").unwrap();
    let end = status(dirs[0].path());
    let end: u64 = end.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    wait_for("all is received", || crate::support::standby::numbers(&standby.status()).unwrap().0 == end);
    first.server.kill();
    said(dirs[1].path(), &["promote", "--discard", "--nothing-lost"]);
    let imap = standby.promoted();
    assert_eq!(subjects(imap, ANNA), before);
    let kept = fs::read_dir(dirs[1].path().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let folder = kept.into_iter().find(|path| path.to_string_lossy().contains("discarded-after-")).unwrap();
    let scratch = dirs[1].path().join("scratch");
    for _ in 0..2 {
        let said = said(dirs[1].path(), &["salvage", folder.to_str().unwrap(), "--scratch", scratch.to_str().unwrap()]);
        println!("{said}");
        assert!(!said.contains(BERT), "nobody else is concerned: {said}");
        let mut there = subjects(imap, ANNA);
        assert_eq!(there.len(), 32, "{there:?}");
        there.retain(|subject| !subject.starts_with('m'));
        there.sort();
        assert_eq!(there, ["stays", "wiped too"]);
    }
    // They are not about to be expunged again.
    let merged: Vec<Seen> =
        mail(imap, ANNA, &["INBOX"]).into_iter().filter(|seen| !seen.subject().starts_with('m')).collect();
    assert!(merged.iter().all(|seen| !seen.about.contains("\\Deleted")));
}

#[test]
fn what_waited_to_be_sent_comes_into_the_queue_held_and_once() {
    let (old_dir, old) = Server::with_accounts(&[ANNA, BERT]);
    let mut web = crate::support::web::Web::sign_in(old.address("http"), ANNA).unwrap();
    let form = web.compose(BERT, "Waits for its seconds", "Text.").unwrap();
    assert_eq!(web.post_compose(&form, None).unwrap().status, 303);
    let listed = run(old_dir.path(), &["queue", "list"]);
    let id = text(&listed).split_whitespace().next().unwrap().to_owned();
    old.kill();

    let (dir, server) = Server::with_accounts(&[ANNA, BERT]);
    let scratch = tempfile::tempdir().unwrap();
    let from = old_dir.path().join("data");
    let args = ["salvage", from.to_str().unwrap(), "--scratch", scratch.path().to_str().unwrap()];
    let named = text(&run(dir.path(), &args));
    assert!(
        named.contains(&id) && named.contains("Waits for its seconds") && named.contains("--queue hold"),
        "{named}"
    );
    assert!(text(&run(dir.path(), &["queue", "list"])).contains("0 messages"));
    let hold: Vec<&str> = args.iter().copied().chain(["--queue", "hold"]).collect();
    let preview: Vec<&str> = hold.iter().copied().chain(["--preview"]).collect();
    assert!(text(&run(dir.path(), &preview)).contains("1 would be added to the queue here"));
    for (held, known) in [(1, 0), (0, 1)] {
        let told = text(&run(dir.path(), &hold));
        assert!(
            told.contains(&format!("{held} were added to the queue here, on hold; {known} were already known")),
            "{told}"
        );
        let listed = text(&run(dir.path(), &["queue", "list"]));
        assert!(listed.contains(&id) && listed.contains("on hold") && listed.contains("1 message for"), "{listed}");
    }
    assert!(text(&run(dir.path(), &["queue", "show", &id])).contains(BERT));
    assert!(subjects(server.address("imap"), BERT).is_empty(), "nothing leaves before it is released");
    let released = text(&run(dir.path(), &["queue", "release", "all"]));
    assert!(released.contains(&format!("released {id}")) && released.contains("1 message released"), "{released}");
    wait_for("it arrives", || subjects(server.address("imap"), BERT) == ["Waits for its seconds"]);
    assert!(text(&run(dir.path(), &["queue", "release", "all"])).contains("0 messages released"));
    // It has left, and comes in no second time; nor does pressing Send again send it.
    let told = text(&run(dir.path(), &hold));
    assert!(told.contains("0 were added to the queue here, on hold; 1 were already known"), "{told}");
    let mut again = crate::support::web::Web::sign_in(server.address("http"), ANNA).unwrap();
    let csrf = again.get("/compose").unwrap().input("csrf").unwrap();
    let mut pressed = form.clone();
    pressed.iter_mut().filter(|(name, _)| name == "csrf").for_each(|(_, value)| value.clone_from(&csrf));
    pressed.iter_mut().filter(|(name, _)| name == "draft").for_each(|(_, value)| value.clear());
    assert_eq!(again.post_compose(&pressed, None).unwrap().status, 303);
    assert!(text(&run(dir.path(), &["queue", "list"])).contains("0 messages"));
    assert_eq!(subjects(server.address("imap"), BERT), ["Waits for its seconds"]);
    server.stop();
    let verified = run(dir.path(), &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified));
}
