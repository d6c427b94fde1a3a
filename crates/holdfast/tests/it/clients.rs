//! Real clients do their rounds: what people connect with, against a running service.

use std::{path::Path, process::Command};

use crate::support::{PASSWORD, Server, has, imap::Imap, limited, smtp::Smtp, wait_for};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";

fn service() -> (tempfile::TempDir, Server) {
    Server::with_accounts(&[ANNA, BERT])
}

/// Runs a client to its end and gives what it said; it must end well.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    said
}

fn deliver(server: &Server, subject: &str) {
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    let message =
        format!("From: someone@example.net\r\nTo: {ANNA}\r\nSubject: {subject}\r\n\r\nBody of {subject}.\r\n");
    let reply = smtp.send("someone@example.net", &[ANNA], &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

/// The subjects in a mailbox, by IMAP.
fn subjects(server: &Server, user: &str, mailbox: &str) -> String {
    let mut imap = Imap::login(server.address("imap"), user).unwrap();
    imap.command(&format!("EXAMINE {mailbox}")).unwrap().ok();
    let answer = imap.command("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
    answer.untagged.join("\n")
}

#[test]
fn python_sends_reads_moves_and_fetches() {
    if !has("python3") {
        return;
    }
    let (dir, server) = service();
    let script = dir.path().join("round.py");
    std::fs::write(&script, include_str!("clients/round.py")).unwrap();
    let port = |door: &str| server.address(door).port().to_string();
    let said = run(limited("python3").arg(&script).args([
        port("smtp"),
        port("submission"),
        port("submissions"),
        port("imap"),
        port("imaps"),
        port("pop3"),
        port("pop3s"),
        ANNA.to_owned(),
        BERT.to_owned(),
        PASSWORD.to_owned(),
    ]));
    assert!(said.contains("round done"), "{said}");
    server.stop();
}

#[test]
fn mbsync_mirrors_both_ways() {
    if !has("mbsync") {
        return;
    }
    let (dir, server) = service();
    deliver(&server, "first");
    deliver(&server, "second");
    let maildir = dir.path().join("mail");
    std::fs::create_dir(&maildir).unwrap();
    let config = dir.path().join("mbsyncrc");
    let text = format!(
        "IMAPAccount hf\nHost 127.0.0.1\nPort {}\nUser {ANNA}\nPass \"{PASSWORD}\"\n{}\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount hf\n\nMaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        server.address("imap").port(),
        if mbsync_is_old() { "SSLType None" } else { "TLSType None" },
        mail = maildir.display()
    );
    std::fs::write(&config, text).unwrap();
    let sync = || run(limited("mbsync").arg("--config").arg(&config).arg("--all"));
    sync();
    let inbox = maildir.join("INBOX");
    let files = |dir: &Path| -> Vec<std::path::PathBuf> {
        ["new", "cur"]
            .iter()
            .flat_map(|part| std::fs::read_dir(dir.join(part)).into_iter().flatten())
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    assert_eq!(files(&inbox).len(), 2);
    assert!(maildir.join("Sent").is_dir(), "the standard mailboxes come along");

    // One goes here, one comes here: both must arrive there.
    std::fs::remove_file(&files(&inbox)[0]).unwrap();
    std::fs::write(inbox.join("new/1.local.test"), "Subject: written here\n\nBody\n").unwrap();
    sync();
    let there = subjects(&server, ANNA, "INBOX");
    assert!(there.contains("written here"), "{there}");
    assert_eq!(there.matches("Subject:").count(), 2, "{there}");
    sync();
    assert_eq!(files(&inbox).len(), 2, "a sync with nothing to do changes nothing");
    server.stop();
}

fn mbsync_is_old() -> bool {
    let version = run(limited("mbsync").arg("--version"));
    let number = version.split_whitespace().last().unwrap_or_default().to_owned();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) < (Some(1), Some(5))
}

#[test]
fn msmtp_submits_with_a_login() {
    if !has("msmtp") {
        return;
    }
    let (dir, server) = service();
    let message = dir.path().join("message");
    std::fs::write(&message, format!("From: {ANNA}\nTo: {BERT}\nSubject: by msmtp\n\n.leading dot\n")).unwrap();
    run(limited("msmtp")
        .args(["--host=127.0.0.1", &format!("--port={}", server.address("submission").port())])
        .args(["--tls=on", "--tls-starttls=on", "--tls-certcheck=off", "--auth=on", &format!("--user={ANNA}")])
        .arg(format!("--passwordeval=echo '{PASSWORD}'"))
        .args([&format!("--from={ANNA}"), BERT])
        .stdin(std::fs::File::open(&message).unwrap()));
    wait_for("the message in bert's INBOX", || subjects(&server, BERT, "INBOX").contains("by msmtp"));
    server.stop();
}

#[test]
fn swaks_gets_every_answer_it_wants() {
    if !has("swaks") {
        return;
    }
    let (_dir, server) = service();
    let swaks = |door: &str, more: &[&str]| {
        let mut command = limited("swaks");
        command.args(["--server", "127.0.0.1", "--port", &server.address(door).port().to_string()]).args(more);
        command.output().unwrap()
    };
    let plain = swaks("smtp", &["--to", ANNA, "--from", "x@example.net", "--header", "Subject: by swaks"]);
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stdout));
    let relay = swaks("smtp", &["--to", "someone@elsewhere.example", "--from", "x@example.net"]);
    assert_eq!(
        relay.status.code(),
        Some(24),
        "relaying is refused at RCPT: {}",
        String::from_utf8_lossy(&relay.stdout)
    );
    let unknown = swaks("smtp", &["--to", "nobody@example.org", "--from", "x@example.net"]);
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("550 5.1.1"));
    let login = swaks(
        "submission",
        &["--to", BERT, "--from", ANNA, "--auth", "LOGIN", "--auth-user", ANNA, "--auth-password", PASSWORD],
    );
    assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stdout));
    let wrong = swaks(
        "submission",
        &["--to", BERT, "--from", ANNA, "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "wrong password"],
    );
    assert_eq!(wrong.status.code(), Some(28), "{}", String::from_utf8_lossy(&wrong.stdout));
    let lmtp = swaks("lmtp", &["--to", ANNA, "--from", "x@example.net", "--protocol", "LMTP"]);
    assert!(lmtp.status.success(), "{}", String::from_utf8_lossy(&lmtp.stdout));
    server.stop();
}

#[test]
fn curl_lists_fetches_appends_and_sends() {
    if !has("curl") {
        return;
    }
    let (dir, server) = service();
    deliver(&server, "for curl");
    let user = format!("{ANNA}:{PASSWORD}");
    let curl = |args: &[&str]| {
        run(limited("curl").args(["--silent", "--show-error", "--insecure", "--user", &user]).args(args))
    };
    let imaps = format!("imaps://127.0.0.1:{}", server.address("imaps").port());
    assert!(curl(&[&format!("{imaps}/")]).contains("INBOX"));
    assert!(curl(&[&format!("{imaps}/INBOX;MAILINDEX=1")]).contains("Body of for curl."));
    let message = dir.path().join("message");
    std::fs::write(&message, "Subject: appended by curl\r\n\r\nBody\r\n").unwrap();
    curl(&["--upload-file", message.to_str().unwrap(), &format!("{imaps}/Archive")]);
    assert!(subjects(&server, ANNA, "Archive").contains("appended by curl"));
    let pop3s = format!("pop3s://127.0.0.1:{}/1", server.address("pop3s").port());
    assert!(curl(&[&pop3s]).contains("Body of for curl."));
    let smtps = format!("smtps://127.0.0.1:{}", server.address("submissions").port());
    curl(&["--mail-from", ANNA, "--mail-rcpt", BERT, "--upload-file", message.to_str().unwrap(), &smtps]);
    assert!(subjects(&server, BERT, "INBOX").contains("appended by curl"));
    let http = format!("http://{}/health", server.address("http"));
    assert!(run(limited("curl").args(["--silent", "--fail", &http])).contains("\"ok\""));
    server.stop();
}

#[test]
fn mutt_submits() {
    if !has("mutt") {
        return;
    }
    let (dir, server) = service();
    let config = dir.path().join("muttrc");
    let text = format!(
        "set from={ANNA}\nset ssl_starttls=no\nset ssl_force_tls=no\nset smtp_authenticators=\"plain\"\n\
         set smtp_url=\"smtp://{}@127.0.0.1:{}/\"\nset smtp_pass=\"{PASSWORD}\"\n\
         set copy=no\n",
        ANNA.replace('@', "%40"),
        server.address("submission").port(),
    );
    std::fs::write(&config, text).unwrap();
    let body = dir.path().join("body");
    std::fs::write(&body, "Written in mutt.\n").unwrap();
    run(limited("mutt")
        .args(["-F", config.to_str().unwrap(), "-s", "by mutt", BERT])
        .env("HOME", dir.path())
        .stdin(std::fs::File::open(&body).unwrap()));
    assert!(subjects(&server, BERT, "INBOX").contains("by mutt"));
    server.stop();
}

#[test]
fn mutt_reads_saves_deletes_and_syncs() {
    if !has("mutt") || !has("script") {
        return;
    }
    let (dir, server) = service();
    for subject in ["untouched", "readthis", "savethis", "dropthis"] {
        deliver(&server, subject);
    }
    let config = dir.path().join("muttrc");
    let text = format!(
        "set from={ANNA}\nset ssl_starttls=no\nset ssl_force_tls=no\nset imap_authenticators=\"plain\"\n\
         set folder=\"imap://{}@127.0.0.1:{}/\"\nset spoolfile=+INBOX\nset imap_pass=\"{PASSWORD}\"\n\
         set delete=yes\nset quit=yes\nset move=no\nset confirmappend=no\nset confirmcreate=no\nset wait_key=no\n\
         set mark_old=no\nset timeout=1\n",
        ANNA.replace('@', "%40"),
        server.address("imap").port(),
    );
    std::fs::write(&config, text).unwrap();
    // The keys of one sitting. Each is pressed when mutt is done with the one before, and the last one ends it.
    let keys = "<search>~s readthis<enter><display-message><exit>\
                <search>~s savethis<enter><save-message><kill-line>=Archive<enter>\
                <search>~s dropthis<enter><delete-message><sync-mailbox><quit>";
    let mutt = format!("exec mutt -F '{}' -e \"push '{keys}'\"", config.display());
    // A program for people wants a terminal, and to be in its foreground; util-linux's script lends it one.
    run(limited("script")
        .args(["--quiet", "--return", "--command", &mutt, "/dev/null"])
        .env("HOME", dir.path())
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::null()));

    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("EXAMINE INBOX").unwrap().ok();
    let seen = imap.command("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap().ok();
    let flags_of = |subject: &str| seen.untagged.iter().find(|line| line.contains(subject)).cloned();
    assert!(flags_of("readthis").is_some_and(|line| line.contains("\\Seen")), "{seen:?}");
    assert!(flags_of("untouched").is_some_and(|line| !line.contains("\\Seen")), "{seen:?}");
    assert_eq!(flags_of("savethis").or(flags_of("dropthis")), None, "moved and deleted: {seen:?}");
    let archive = subjects(&server, ANNA, "Archive");
    assert!(archive.contains("savethis") && !archive.contains("dropthis"), "{archive}");
    server.stop();
}

#[test]
fn wrong_input_gets_a_clear_answer_and_the_next_command_works() {
    let (_dir, server) = service();
    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
    assert!(smtp.command("FOO").unwrap().starts_with("500 5.5.1"));
    assert!(smtp.command("MAIL FROM:<not an address>").unwrap().starts_with("501"));
    assert!(smtp.command("RCPT TO:<anna@example.org>").unwrap().starts_with("503"));
    assert!(smtp.command("NOOP").unwrap().starts_with("250"));
    let mut imap = Imap::connect(server.address("imap")).unwrap();
    assert!(imap.command("FOO").unwrap().tagged.starts_with("BAD"));
    assert!(imap.command("LOGIN anna@example.org wrong").unwrap().tagged.starts_with("NO [AUTHENTICATIONFAILED]"));
    assert!(imap.command("NOOP").unwrap().tagged.starts_with("OK"));
    server.stop();
}
