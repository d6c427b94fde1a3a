//! Messages as large as the service takes, of any bytes, through every door: they come out as they went in, one byte
//! more is refused, and a connection that carries one costs little memory.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Barrier,
};

use crate::support::{PASSWORD, Server, holdfast, imap::Imap, smtp::Smtp, wait_for, web::Web};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";
/// The default of `limits.message_size`.
const LIMIT: usize = 50 << 20;

fn service() -> (tempfile::TempDir, Server) {
    Server::with_accounts(&[ANNA, BERT])
}

/// Bytes that look random: splitmix64 from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn head(subject: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "From: {ANNA}\r\nTo: {BERT}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@example.org>\r\n\
         Subject: {subject}\r\n\r\n"
    )
    .into_bytes()
}

/// A message of `size` bytes in all, any byte in it, NUL and CR and LF alone among them.
fn wild(subject: &str, size: usize) -> Vec<u8> {
    let mut message = head(subject);
    message.extend(noise(7, size - message.len()));
    for byte in [0, b'\r', b'\n', 0xFF] {
        assert!(message.contains(&byte));
    }
    message
}

/// A message of `size` bytes in all as SMTP takes it: any byte but NUL in its lines, and CRLF after each.
fn lines(subject: &str, size: usize) -> Vec<u8> {
    let mut message = wild(subject, size);
    let start = head(subject).len();
    for byte in &mut message[start..] {
        if matches!(byte, 0 | b'\r' | b'\n') {
            *byte = b'.';
        }
    }
    let mut at = start;
    while at + 1_000 < size {
        message[at..at + 3].copy_from_slice(b"\r\n.");
        at += 997;
    }
    message[size - 2..].copy_from_slice(b"\r\n");
    message
}

/// Whether bytes are the same, without printing 50 MB when they are not.
#[track_caller]
fn assert_same(got: &[u8], wanted: &[u8], what: &str) {
    let differs = got.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(
        got.len() == wanted.len() && differs.is_none(),
        "{what}: {} bytes for {}, the first difference at {differs:?}",
        got.len(),
        wanted.len()
    );
}

/// The newest message of a mailbox, whole.
fn newest(server: &Server, user: &str, mailbox: &str) -> Vec<u8> {
    let mut imap = Imap::login(server.address("imap"), user).unwrap();
    imap.command(&format!("EXAMINE {mailbox}")).unwrap().ok();
    imap.literal("FETCH * BODY.PEEK[]").unwrap()
}

/// Asserts that what was filed is what was sent, below the trace header of this server.
#[track_caller]
fn assert_filed(server: &Server, user: &str, sent: &[u8], what: &str) {
    let got = newest(server, user, "INBOX");
    let trace = got.len().checked_sub(sent.len()).unwrap_or_else(|| panic!("{what}: {} bytes", got.len()));
    assert!(got.starts_with(b"Return-Path: <") && trace < 1_000, "{what}: {trace} bytes of trace");
    assert_same(&got[trace..], sent, what);
}

#[test]
fn smtp_takes_messages_up_to_the_limit_and_keeps_every_byte() {
    let (_dir, server) = service();
    let exact = lines("exactly the limit", LIMIT);
    let over = lines("one byte over", LIMIT + 1);

    let mut mx = Smtp::connect(server.address("smtp")).unwrap();
    assert!(mx.send_bytes("x@example.net", BERT, &exact).unwrap().starts_with("250"));
    assert_filed(&server, BERT, &exact, "DATA");
    assert!(mx.send_chunks("x@example.net", BERT, &exact, 7_000_001).unwrap().starts_with("250"));
    assert_filed(&server, BERT, &exact, "BDAT");
    for reply in [
        mx.send_bytes("x@example.net", BERT, &over).unwrap(),
        mx.send_chunks("x@example.net", BERT, &over, 9 << 20).unwrap(),
    ] {
        assert!(reply.starts_with("552 5.3.4"), "{reply}");
    }
    assert!(mx.command(&format!("MAIL FROM:<x@example.net> SIZE={}", LIMIT + 1)).unwrap().starts_with("552 5.3.4"));
    assert!(mx.command(&format!("MAIL FROM:<x@example.net> SIZE={LIMIT}")).unwrap().starts_with("250"));
    assert!(mx.command("QUIT").unwrap().starts_with("221"), "the connection was in a known state all along");

    let mut submission = Smtp::connect(server.address("submission")).unwrap();
    submission.auth(ANNA).unwrap();
    assert!(submission.send_bytes(ANNA, BERT, &exact).unwrap().starts_with("250"));
    assert_filed(&server, BERT, &exact, "submission");

    let mut lmtp = Smtp::connect_lmtp(server.address("lmtp")).unwrap();
    assert!(lmtp.send_chunks("x@example.net", BERT, &exact, LIMIT).unwrap().starts_with("250"));
    assert_filed(&server, BERT, &exact, "LMTP");

    // CR or LF alone is no line end of SMTP (RFC 5321 section 2.3.8): refused, however it comes, never changed.
    let bare = wild("bare line ends", 1 << 20);
    let reply = mx_connection(&server).send_chunks("x@example.net", BERT, &bare, 1 << 18).unwrap();
    assert!(reply.starts_with("554 5.6.0"), "{reply}");
    server.stop();
}

fn mx_connection(server: &Server) -> Smtp {
    Smtp::connect(server.address("smtp")).unwrap()
}

#[test]
fn imap_and_pop3_give_back_what_append_took_byte_for_byte() {
    let (_dir, server) = service();
    let message = wild("any byte", LIMIT);
    let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
    let refused = imap.append("INBOX", wild("over", LIMIT + 1)).unwrap();
    assert!(refused.tagged.starts_with("NO [TOOBIG]"), "{refused:?}");
    let refused = imap.append_at_once("INBOX", &wild("over", LIMIT + 1)).unwrap();
    assert!(refused.tagged.starts_with("NO [TOOBIG]"), "{refused:?}");
    imap.append("INBOX", &message).unwrap().ok();
    imap.append_at_once("INBOX", &message).unwrap().ok();
    imap.command("SELECT INBOX").unwrap().ok();
    for number in [1, 2] {
        assert_same(&imap.literal(&format!("FETCH {number} BODY.PEEK[]")).unwrap(), &message, "FETCH");
    }
    let start = head("any byte").len();
    assert_same(&imap.literal("FETCH 1 BODY.PEEK[TEXT]").unwrap(), &message[start..], "FETCH of the text");
    for (offset, count) in [(0, 1), (LIMIT - 10, 100), (33_333_333, 5_000_000)] {
        let got = imap.literal(&format!("FETCH 1 BODY.PEEK[]<{offset}.{count}>")).unwrap();
        assert_same(&got, &message[offset..LIMIT.min(offset + count)], "partial FETCH");
    }
    assert_same(&retrieve(&server, BERT, 2), &message, "RETR");
    server.stop();
}

/// RETR, its dots unstuffed at the start of each line, which is what follows a LF. POP3 has no other way to end a message
/// than CRLF: one is added where it is missing.
fn retrieve(server: &Server, user: &str, number: u32) -> Vec<u8> {
    let mut stream = BufReader::new(TcpStream::connect(server.address("pop3")).unwrap());
    stream.get_ref().set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut line = Vec::new();
    let say = |stream: &mut BufReader<TcpStream>, command: &str| {
        stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
    };
    say(&mut stream, &format!("USER {user}\r\nPASS {PASSWORD}\r\nRETR {number}"));
    for _ in 0..4 {
        line.clear();
        stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&line));
    }
    let mut message = Vec::new();
    loop {
        line.clear();
        assert!(stream.read_until(b'\n', &mut line).unwrap() > 0, "cut off");
        if line == b".\r\n" {
            break;
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
    message.truncate(message.len() - 2);
    message
}

#[test]
fn import_and_export_keep_every_byte() {
    let (dir, server) = service();
    let message = wild("from a file", LIMIT);
    // Unix line ends alone would be made CRLF without `--line-ends keep`.
    let unix = b"From: a@example.net\nSubject: unix\n\nBody\n".to_vec();
    let maildir = dir.path().join("in");
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(maildir.join(part)).unwrap();
    }
    std::fs::write(maildir.join("cur/1.a:2,S"), &message).unwrap();
    std::fs::write(maildir.join("cur/2.b:2,S"), &unix).unwrap();
    let said = |args: &[&str]| {
        let output = holdfast(dir.path(), args, "");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let import = ["import", BERT, maildir.to_str().unwrap(), "--line-ends", "keep"];
    assert!(said(&import).contains("2 messages imported"));
    assert!(said(&import).contains("2 already existed"), "a second run files nothing");

    let out = dir.path().join("out");
    said(&["export", BERT, out.to_str().unwrap()]);
    let exported = files(&out.join("cur"));
    let content = |wanted: &[u8]| exported.iter().any(|path| std::fs::read(path).unwrap() == wanted);
    assert!(content(&message) && content(&unix), "the Maildir holds both as they came: {exported:?}");

    // And back in from an mbox file, which is the harder form: it quotes.
    let boxes = dir.path().join("boxes");
    said(&["export", BERT, boxes.to_str().unwrap(), "--format", "mbox", "--mailbox", "INBOX"]);
    let mbox = boxes.join("INBOX.mbox");
    said(&["import", ANNA, mbox.to_str().unwrap(), "--line-ends", "keep"]);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("EXAMINE INBOX").unwrap().ok();
    let both = [1, 2].map(|number| imap.literal(&format!("FETCH {number} BODY.PEEK[]")).unwrap());
    assert!(both.contains(&message) && both.contains(&unix), "{:?}", both.map(|bytes| bytes.len()));

    // Without it, the message that has nothing but LF gets CRLF, so that every client reads it.
    said(&["import", ANNA, maildir.to_str().unwrap(), "--mailbox", "Archive"]);
    let mut imap = Imap::login(server.address("imap"), ANNA).unwrap();
    imap.command("EXAMINE Archive").unwrap().ok();
    let found = imap.command("SEARCH SUBJECT unix").unwrap().ok().numbers();
    let got = imap.literal(&format!("FETCH {} BODY.PEEK[]", found[0])).unwrap();
    assert_eq!(got, b"From: a@example.net\r\nSubject: unix\r\n\r\nBody\r\n");
    server.stop();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn an_attachment_goes_up_and_comes_down_by_the_web() {
    let (_dir, server) = service();
    // As base64 this is just below 50 MiB.
    let content = noise(11, 36_000_000);
    let mut anna = Web::sign_in(server.address("http"), ANNA).unwrap();
    let form = anna.compose(BERT, "with a file", "see the file").unwrap();
    let too_much = noise(12, 39_000_000);
    let page = anna.post_compose(&form, Some(("more.bin", &too_much))).unwrap();
    assert_eq!(page.status, 413, "{}", page.body);
    let page = anna.post_compose(&form, Some(("noise.bin", &content))).unwrap();
    assert_eq!(page.status, 303, "{}", page.body);

    // It is held for a moment, in which it can be taken back.
    let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
    wait_for("the message", || {
        imap.command("STATUS INBOX (MESSAGES)").unwrap().ok().untagged.concat().contains("MESSAGES 1")
    });
    let mut bert = Web::sign_in(server.address("http"), BERT).unwrap();
    let list = bert.get("/mail/inbox").unwrap();
    let list = match list.header("location") {
        Some(to) => bert.get(to).unwrap(),
        None => list,
    };
    let row = link(&list.body, "class=\"open\" href=\"");
    let page = bert.get(&row).unwrap();
    let file = link(&page.body, "class=\"file\" href=\"");
    let down = bert.get(&file).unwrap();
    assert_eq!(down.status, 200);
    assert_same(&down.content, &content, "the attachment");
    let id = file.split('/').nth(2).unwrap();
    let whole = bert.get(&format!("/message/{id}/download")).unwrap();
    assert_same(&whole.content, &newest(&server, BERT, "INBOX"), "the message");
    server.stop();
}

/// The address that follows a mark in a page.
fn link(page: &str, mark: &str) -> String {
    let start = page.find(mark).unwrap_or_else(|| panic!("no {mark} in {page}")) + mark.len();
    let end = start + page[start..].find('"').unwrap();
    page[start..end].replace("&#38;", "&").replace("&amp;", "&")
}

/// A figure of the service process in KiB: `VmRSS` or `VmHWM`.
fn memory(server: &Server, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// The most memory that the process takes in while `act` runs, above what it had before, in MiB.
fn growth(server: &Server, act: impl FnOnce()) -> u64 {
    // Makes VmHWM begin anew (proc(5)).
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    let before = memory(server, "VmRSS:");
    act();
    memory(server, "VmHWM:").saturating_sub(before) >> 10
}

#[test]
fn twenty_readers_of_a_large_message_do_not_cost_twenty_times_its_size() {
    const READERS: usize = 20;
    let (_dir, server) = service();
    let message = wild("read by many", LIMIT);
    Imap::login(server.address("imap"), BERT).unwrap().append("INBOX", &message).unwrap().ok();

    let all_have_begun = Barrier::new(READERS);
    let read_slowly = |read: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(read);
            }
        });
    };
    let imap = growth(&server, || {
        read_slowly(&|| {
            let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
            imap.command("EXAMINE INBOX").unwrap().ok();
            imap.send("FETCH 1 BODY.PEEK[]").unwrap();
            let mut literal = imap.open_literal().unwrap();
            literal.take(1 << 20, &mut std::io::sink()).unwrap();
            // Now all of them are within the message, and what the server holds for them is held at once.
            all_have_begun.wait();
            literal.take(u64::MAX, &mut std::io::sink()).unwrap();
            assert_eq!(literal.left, 0);
        });
    });
    let pop3 = growth(&server, || {
        // POP3 allows an account few sessions at once; ten of them, one after the other, must not add up either.
        for _ in 0..2 {
            assert_eq!(retrieve(&server, BERT, 1).len(), LIMIT);
        }
    });
    let web = growth(&server, || {
        let mut bert = Web::sign_in(server.address("http"), BERT).unwrap();
        let list = bert.get("/mail/inbox").unwrap();
        let list = match list.header("location") {
            Some(to) => bert.get(to).unwrap(),
            None => list,
        };
        let conversation = bert.get(&link(&list.body, "class=\"open\" href=\"")).unwrap();
        let download = conversation.body.split('"').find(|word| word.ends_with("/download")).unwrap().to_owned();
        read_slowly(&|| {
            let mut stream = bert.open(&download).unwrap();
            let mut some = vec![0; 1 << 20];
            stream.read_exact(&mut some).unwrap();
            all_have_begun.wait();
            assert!(std::io::copy(&mut stream, &mut std::io::sink()).unwrap() > (LIMIT - (1 << 20)) as u64);
        });
    });
    println!("MiB above the quiet service: {READERS} FETCHes {imap}, RETR {pop3}, {READERS} downloads {web}");
    for (door, grown) in [("IMAP", imap), ("POP3", pop3), ("the web", web)] {
        assert!(grown < 300, "{door}: {grown} MiB for {READERS} readers of a message of 50 MiB");
    }
    server.stop();
}

#[test]
fn twenty_writers_of_large_messages_do_not_cost_twenty_times_their_size() {
    const WRITERS: usize = 20;
    const SIZE: usize = 20 << 20;
    let (_dir, server) = service();
    let message = lines("written by many", SIZE);
    let all_are_within = Barrier::new(WRITERS);
    let imap = growth(&server, || {
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let mut imap = Imap::login(server.address("imap"), BERT).unwrap();
                    let tag = imap.send(&format!("APPEND INBOX ~{{{SIZE}+}}")).unwrap();
                    imap.raw(&message[..SIZE - 1]).unwrap();
                    all_are_within.wait();
                    imap.raw(&message[SIZE - 1..]).unwrap();
                    imap.raw(b"\r\n").unwrap();
                    imap.finish(&tag).unwrap().ok();
                });
            }
        });
    });
    let smtp = growth(&server, || {
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let mut smtp = Smtp::connect(server.address("smtp")).unwrap();
                    let reply = smtp.send_chunks("x@example.net", BERT, &message, SIZE / 2).unwrap();
                    assert!(reply.starts_with("250"), "{reply}");
                });
            }
        });
    });
    println!("MiB above the quiet service: {WRITERS} APPENDs of 20 MiB {imap}, {WRITERS} BDATs {smtp}");
    for (door, grown) in [("IMAP", imap), ("SMTP", smtp)] {
        assert!(grown < 300, "{door}: {grown} MiB for {WRITERS} writers of a message of 20 MiB");
    }
    server.stop();
}
