//! CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267): results that a client keeps, and is told how they change.

use std::fmt::Write as _;

use crate::service::client::{Answer, Client};
use crate::service::damaged::{damage, message};
use crate::service::server::{MESSAGE, Server};

/// A result as a client keeps it.
struct Kept {
    /// What was asked, without tag and `RETURN`.
    command: &'static str,
    tag: String,
    uid: bool,
    sorted: bool,
    list: Vec<u32>,
}

/// `1:3,7` as numbers, in the order written.
fn numbers(set: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<u32>().expect("a number")..=last.parse().expect("a number")
    };
    set.split(',').filter(|range| !range.is_empty()).flat_map(range).collect()
}

/// What follows `ALL` in the answer to a search.
fn all(answer: &Answer) -> Vec<u32> {
    let line = answer.find("ESEARCH");
    line.split_once(" ALL ").map_or(Vec::new(), |(_, set)| numbers(set.split(' ').next().unwrap_or_default()))
}

/// `command` with return options: `UID SORT (DATE) UTF-8 ALL` becomes `UID SORT RETURN (ALL) (DATE) UTF-8 ALL`.
fn with_return(command: &str, options: &str) -> String {
    let name = ["UID SEARCH", "UID SORT", "SEARCH", "SORT"].into_iter().find(|name| command.starts_with(name));
    let name = name.expect("a search");
    format!("{name} RETURN ({options}){}", &command[name.len()..])
}

impl Kept {
    async fn begin(c: &mut Client, command: &'static str) -> Self {
        let tag = c.start(with_return(command, "ALL UPDATE")).await;
        let answer = c.finish(&tag).await.ok();
        answer.lacks("NO").check_kept(command, tag)
    }

    /// Follows one response, as RFC 5267 section 4.3 has clients do it.
    fn hear(&mut self, line: &str) {
        let expunged = line.strip_suffix(" EXPUNGE").map(|number| number.parse::<u32>().expect("a number"));
        if let Some(number) = expunged.filter(|_| !self.uid) {
            assert!(!self.list.contains(&number), "{line}: still in {:?}", self.list);
            self.list.iter_mut().filter(|have| **have > number).for_each(|have| *have -= 1);
        }
        let Some(rest) = line.strip_prefix(&format!("ESEARCH (TAG \"{}\")", self.tag)) else { return };
        assert_eq!(rest.starts_with(" UID"), self.uid, "{line}");
        for (item, adds) in [(" REMOVEFROM (", false), (" ADDTO (", true)] {
            let Some((_, rest)) = rest.split_once(item) else { continue };
            let words: Vec<&str> = rest.trim_end_matches(')').split(' ').collect();
            for pair in words.chunks(2) {
                let position: usize = pair[0].parse().expect("a position");
                assert_eq!(position > 0, self.sorted, "{line}");
                let set = numbers(pair[1]);
                assert!(!set.is_empty(), "{line}");
                if adds { self.add(position, &set) } else { self.remove(position, &set) }
            }
        }
    }

    fn add(&mut self, position: usize, set: &[u32]) {
        assert!(set.iter().all(|number| !self.list.contains(number)), "{set:?} twice in {:?}", self.list);
        if position > 0 {
            self.list.splice(position - 1..position - 1, set.iter().copied());
        } else {
            self.list.extend(set);
            self.list.sort_unstable();
        }
    }

    fn remove(&mut self, position: usize, set: &[u32]) {
        if position > 0 {
            let gone: Vec<u32> = self.list.drain(position - 1..position - 1 + set.len()).collect();
            assert_eq!(gone, set, "not at {position}");
        } else {
            assert!(set.iter().all(|number| self.list.contains(number)), "{set:?} not in {:?}", self.list);
            self.list.retain(|number| !set.contains(number));
        }
    }
}

fn hear_all<'a>(kept: &mut [Kept], lines: impl IntoIterator<Item = &'a String>) {
    for line in lines {
        for kept in kept.iter_mut() {
            kept.hear(line);
        }
    }
}

impl Answer {
    fn check_kept(self, command: &'static str, tag: String) -> Kept {
        let (uid, sorted) = (command.starts_with("UID"), command.contains("SORT"));
        Kept { command, tag, uid, sorted, list: all(&self) }
    }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn message(&mut self) -> Vec<u8> {
        let word = ["apple", "Pear", "plum", "fig"][self.below(4) as usize];
        let (day, size) = (1 + self.below(28), self.below(400) as usize);
        let mut text = format!("From: {word}@x.org\r\nSubject: Re: {word}\r\nDate: {day} Jan 2026 10:00:00 +0000\r\n");
        write!(text, "\r\n{word} body {}\r\n", "x".repeat(size)).expect("written");
        text.into_bytes()
    }

    /// A command that changes INBOX or moves messages into or out of it.
    async fn change(&mut self, c: &mut Client, mailbox: &str) {
        let flag = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"][self.below(4) as usize];
        let (first, len) = (1 + self.below(12), self.below(4));
        let set = format!("{first}:{}", first + len);
        match self.below(8) {
            0 | 1 => {
                let message = self.message();
                c.append(&format!("{mailbox} ({flag})"), &message).await.ok();
            }
            2 | 3 => {
                c.run(format!("UID STORE {set} +FLAGS.SILENT ({flag})")).await.ok();
            }
            4 => {
                c.run(format!("UID STORE {set} -FLAGS.SILENT ({flag})")).await.ok();
            }
            5 => {
                c.run("EXPUNGE").await.ok();
            }
            6 => {
                c.run(format!("UID MOVE {set} Other")).await.ok();
            }
            _ => {
                // Back again, as new messages.
                c.run("SELECT Other").await.ok();
                c.run(format!("UID MOVE {}:* {mailbox}", first * 3)).await.ok();
                c.run(format!("SELECT {mailbox}")).await.ok();
            }
        }
    }
}

const KINDS: [&str; 16] = [
    "SEARCH UNSEEN",
    "UID SEARCH FLAGGED",
    "SEARCH ALL",
    "UID SEARCH NOT ALL",
    "UID SEARCH OR SEEN SUBJECT apple",
    "SEARCH NOT (DELETED BODY plum) LARGER 100",
    "UID SEARCH UID 9:*",
    "SEARCH UID *",
    "UID SEARCH KEYWORD $Work SINCE 1-Jan-2020",
    "SEARCH HEADER From pear UNFLAGGED",
    "SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
    "UID SORT (SUBJECT REVERSE DATE) UTF-8 UNSEEN",
    "SORT (REVERSE SIZE) UTF-8 NOT FLAGGED",
    "UID SORT (REVERSE ARRIVAL) UTF-8 TEXT p",
    "UID SORT (FROM SIZE) US-ASCII UID 5:*",
    "SORT (DATE) UTF-8 OR SEEN DELETED",
];

/// Has changes made by another session (and by this one) told, and compares every kept result with a fresh search.
async fn follow(seed: u64, enable: &str, uid_only: bool) {
    let server = Server::start().await;
    let (mut c, mut other) = (server.login().await, server.login().await);
    let mut dice = Dice(seed);
    c.run("CREATE Other").await.ok();
    for _ in 0..8 {
        let message = dice.message();
        c.append("INBOX", &message).await.ok();
    }
    if !enable.is_empty() {
        c.run(format!("ENABLE {enable}")).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    other.run("SELECT INBOX").await.ok();
    let mut kept = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| !uid_only || kind.starts_with("UID")) {
        kept.push(Kept::begin(&mut c, kind).await);
    }
    for round in 0..40 {
        for _ in 0..dice.below(4) {
            dice.change(&mut other, "INBOX").await;
        }
        let first = 1 + dice.below(9);
        let command = match dice.below(6) {
            0 => format!("UID STORE {first}:* +FLAGS (\\Seen)"),
            1 => format!("UID STORE {first}:* -FLAGS (\\Seen \\Deleted)"),
            // Its answer tells no expunge, and so no update that would have to wait for one.
            2 if !uid_only => "FETCH 1:* FLAGS".to_owned(),
            3 => "IDLE\r\nDONE".to_owned(),
            4 => format!("UID EXPUNGE {first}:*"),
            _ => "NOOP".to_owned(),
        };
        // A FETCH of numbers in an empty mailbox is wrong, which is all one here.
        let answers = [c.run(command).await, c.run("NOOP").await.ok()];
        let lines = answers.iter().flat_map(|answer| &answer.untagged);
        hear_all(&mut kept, lines);
        for kept in &kept {
            let fresh = c.run(with_return(kept.command, "ALL")).await.ok();
            assert_eq!(kept.list, all(&fresh), "seed {seed}, round {round}: {}", kept.command);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_result_is_what_a_fresh_search_finds() {
    follow(0x9E37_79B9_7F4A_7C15, "", false).await;
    follow(0x1234_5678_9ABC_DEF1, "IMAP4REV2", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_result_is_right_also_where_expunges_are_told_by_uid() {
    follow(0xD1B5_4A32_D192_ED03, "QRESYNC UIDONLY", true).await;
}

async fn filled(server: &Server, messages: usize) -> Client {
    let mut c = server.login().await;
    for _ in 0..messages {
        c.append("INBOX", MESSAGE).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_is_told_before_its_number_and_what_comes_after_it() {
    let server = Server::start().await;
    let mut c = filled(&server, 4).await;
    let tag = c.start("SEARCH RETURN (UPDATE COUNT) UNDELETED").await;
    assert_eq!(c.finish(&tag).await.ok().untagged, [format!("ESEARCH (TAG \"{tag}\") COUNT 4")]);
    let answer = c.run("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await.ok();
    assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{tag}\") REMOVEFROM (0 2,4)")]);
    let mut other = server.login().await;
    other.append("INBOX", MESSAGE).await.ok();
    other.run("SELECT INBOX").await.ok();
    other.run("STORE 3 +FLAGS.SILENT (\\Deleted)").await.ok();
    other.run("EXPUNGE").await.ok();
    let want = [
        &format!("ESEARCH (TAG \"{tag}\") REMOVEFROM (0 3)"),
        "4 EXPUNGE",
        "3 EXPUNGE",
        "2 EXPUNGE",
        "2 EXISTS",
        &format!("ESEARCH (TAG \"{tag}\") ADDTO (0 2)"),
    ];
    // A command that uses message numbers may not tell them, and nothing that would come with them.
    assert_eq!(c.run("SEARCH RETURN (COUNT) ALL").await.ok().untagged.len(), 1);
    assert_eq!(c.run("NOOP").await.ok().untagged, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn sorted_results_are_told_with_their_places() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for subject in ["d", "b", "f"] {
        c.append("INBOX", format!("Subject: {subject}\r\n\r\n").as_bytes()).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    let tag = c.start("UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNSEEN").await;
    assert_eq!(c.finish(&tag).await.ok().untagged, [format!("ESEARCH (TAG \"{tag}\") UID ALL 2,1,3")]);
    for subject in ["a", "c", "e", "g"] {
        c.append("INBOX", format!("Subject: {subject}\r\n\r\n").as_bytes())
            .await
            .ok()
            .find(&format!("ESEARCH (TAG \"{tag}"));
    }
    let answer = c.run("UID STORE 1:2,7 +FLAGS.SILENT (\\Seen)").await.ok();
    // a4 b2 c5 d1 e6 f3 g7
    assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{tag}\") UID REMOVEFROM (7 7 4 1 2 2)")]);
    let answer = c.run("UID STORE 1:2,7 -FLAGS.SILENT (\\Seen)").await.ok();
    assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{tag}\") UID ADDTO (2 2 4 1 7 7)")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_at_once_to_who_waits_for_them() {
    let server = Server::start().await;
    let (mut c, mut other) = (filled(&server, 1).await, server.login().await);
    let tag = c.start("UID SEARCH RETURN (UPDATE) ALL").await;
    assert_eq!(c.finish(&tag).await.ok().untagged, [format!("ESEARCH (TAG \"{tag}\") UID")]);
    let idle = c.start("IDLE").await;
    assert_eq!(c.line().await, "+ idling");
    other.append("INBOX", MESSAGE).await.ok();
    assert_eq!(c.line().await, "* 2 EXISTS");
    assert_eq!(c.line().await, format!("* ESEARCH (TAG \"{tag}\") UID ADDTO (0 2)"));
    c.send("DONE\r\n").await;
    c.finish(&idle).await.ok();
    c.run("NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange))").await.ok();
    other.append("INBOX", MESSAGE).await.ok();
    assert_eq!(c.line().await, "* 3 EXISTS");
    assert_eq!(c.line().await, format!("* ESEARCH (TAG \"{tag}\") UID ADDTO (0 3)"));
    assert_eq!(c.line().await, "* 3 FETCH (UID 3)");
    other.run("SELECT INBOX").await.ok();
    other.run("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await.ok();
    assert_eq!(c.line().await, "* 2 FETCH (UID 2 FLAGS (\\Deleted))");
    other.run("EXPUNGE").await.ok();
    assert_eq!(c.line().await, format!("* ESEARCH (TAG \"{tag}\") UID REMOVEFROM (0 2)"));
    assert_eq!(c.line().await, "* 2 EXPUNGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_end_when_they_are_cancelled_or_the_mailbox_is_left() {
    let server = Server::start().await;
    let mut c = filled(&server, 2).await;
    let (one, two) = (c.start("SEARCH RETURN (UPDATE) SEEN").await, c.start("SEARCH RETURN (UPDATE) UNSEEN").await);
    c.finish(&one).await.ok();
    c.finish(&two).await.ok();
    c.run(format!("CANCELUPDATE \"{one}\"")).await.ok();
    let answer = c.run("STORE 1 +FLAGS.SILENT (\\Seen)").await.ok();
    assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{two}\") REMOVEFROM (0 1)")]);
    c.run(format!("CANCELUPDATE \"{one}\"")).await.is("NO ");
    c.run(format!("CANCELUPDATE \"{one}\" \"{two}\"")).await.is("NO ");
    c.run("STORE 1 -FLAGS.SILENT (\\Seen)").await.ok().lacks("ESEARCH");
    for bad in ["CANCELUPDATE", "CANCELUPDATE \"a\"x", "CANCELUPDATE (\"a\")", "CANCELUPDATE a"] {
        c.run(bad).await.is("BAD ");
    }
    for leave in ["UNSELECT", "CLOSE", "EXAMINE INBOX", "SELECT Archive"] {
        let tag = c.start("SEARCH RETURN (UPDATE) UNSEEN").await;
        c.finish(&tag).await.ok();
        c.run(leave).await.ok();
        c.run("SELECT INBOX").await.ok();
        c.run("STORE 1 +FLAGS.SILENT (\\Seen)").await.ok().lacks("ESEARCH");
        c.run("STORE 1 -FLAGS.SILENT (\\Seen)").await.ok().lacks("ESEARCH");
        c.run(format!("CANCELUPDATE \"{tag}\"")).await.is("NO ");
    }
    c.run("UNSELECT").await.ok();
    c.run("CANCELUPDATE \"a\"").await.is("BAD No mailbox selected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_a_kept_result_is_not_used_for_another() {
    let server = Server::start().await;
    let mut c = filled(&server, 1).await;
    for (command, answer) in [
        ("SEARCH RETURN (UPDATE) ALL", "OK "),
        ("SEARCH RETURN (UPDATE) ALL", "BAD "),
        ("UID SORT RETURN (UPDATE) (DATE) UTF-8 ALL", "BAD "),
        ("SEARCH RETURN (ALL) ALL", "OK "),
        ("CANCELUPDATE \"same\"", "OK "),
        ("UID SORT RETURN (UPDATE CONTEXT) (DATE) UTF-8 ALL", "OK "),
    ] {
        c.send(format!("same {command}\r\n")).await;
        c.finish("same").await.is(answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_dollar_in_a_program_mean_what_they_did_when_it_was_searched() {
    let server = Server::start().await;
    let mut c = filled(&server, 5).await;
    c.run("SEARCH RETURN (SAVE) 2:3").await.ok();
    let mut kept = Vec::new();
    for command in
        ["UID SEARCH 2:3 UNSEEN", "UID SEARCH 4:* UNSEEN", "UID SEARCH $ UNSEEN", "UID SEARCH NOT 1:3 UNSEEN"]
    {
        kept.push(Kept::begin(&mut c, command).await);
    }
    c.run("SEARCH RETURN (SAVE) 5").await.ok();
    let lines = c.append("INBOX", MESSAGE).await.ok().untagged;
    hear_all(&mut kept, &lines);
    c.run("UID STORE 1,3 +FLAGS (\\Deleted)").await.ok();
    let mut lines = c.run("EXPUNGE").await.ok().untagged;
    lines.extend(c.run("UID STORE 2,5 +FLAGS (\\Seen)").await.ok().untagged);
    lines.extend(c.run("UID STORE 2 -FLAGS (\\Seen)").await.ok().untagged);
    hear_all(&mut kept, &lines);
    let lists: Vec<&[u32]> = kept.iter().map(|kept| kept.list.as_slice()).collect();
    assert_eq!(lists, [&[2][..], &[4], &[2], &[4, 6]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_up_to_date_is_said_and_all_else_answered() {
    let server = Server::start_with(|options| {
        options.max_search_contexts = 3;
        options.max_context_numbers = 12;
    })
    .await;
    let mut c = filled(&server, 4).await;
    let long = format!("UID SEARCH RETURN (UPDATE COUNT) NOT BODY {}", "x".repeat(70_000));
    for command in [
        "SEARCH RETURN (UPDATE COUNT) YOUNGER 3600",
        "SEARCH RETURN (UPDATE COUNT) NOT (OLDER 3600 SEEN)",
        "ESEARCH RETURN (UPDATE COUNT) ALL",
        "ESEARCH IN (inboxes) RETURN (UPDATE COUNT) ALL",
        &long,
    ] {
        let tag = c.start(command).await;
        let answer = c.finish(&tag).await.ok();
        assert!(answer.find("ESEARCH").ends_with(" COUNT 4"), "{answer:?}");
        answer.find(&format!("NO [NOUPDATE \"{tag}\"] "));
        c.run("STORE 1 +FLAGS.SILENT (\\Seen)").await.ok().lacks("ESEARCH");
        c.run("STORE 1 -FLAGS.SILENT (\\Seen)").await.ok().lacks("ESEARCH");
    }
    // Six numbers, two, and then six again, which are too many.
    let first = c.start("SORT RETURN (UPDATE) (DATE) UTF-8 ALL").await;
    c.finish(&first).await.ok().lacks("NO");
    let second = c.start("SEARCH RETURN (UPDATE) ALL").await;
    c.finish(&second).await.ok().lacks("NO");
    let third = c.start("SORT RETURN (UPDATE) (DATE) UTF-8 ALL").await;
    c.finish(&third).await.ok().find(&format!("NO [NOUPDATE \"{third}\"]"));
    // One that grows too large ends, and the others go on.
    let grows = c.start("SEARCH RETURN (UPDATE) SEEN").await;
    c.finish(&grows).await.ok().lacks("NO");
    let fourth = c.start("SEARCH RETURN (UPDATE COUNT) ALL").await;
    c.finish(&fourth).await.ok().find(&format!("NO [NOUPDATE \"{fourth}\"]"));
    c.run("STORE 1,3 +FLAGS.SILENT (\\Seen)").await.ok().find(&format!("ESEARCH (TAG \"{grows}\") ADDTO (0 1,3)"));
    let answer = c.append("INBOX (\\Seen)", MESSAGE).await.ok();
    answer.find(&format!("NO [NOUPDATE \"{grows}\"]"));
    answer
        .has(&format!("ESEARCH (TAG \"{first}\") ADDTO (5 5)"))
        .has(&format!("ESEARCH (TAG \"{second}\") ADDTO (0 5)"));
    let tag = c.start("SEARCH RETURN (UPDATE) FLAGGED").await;
    c.finish(&tag).await.ok().lacks("NO");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_told_no_more_once_messages_have_none() {
    let server = Server::start().await;
    let mut c = filled(&server, 3).await;
    c.run("STORE 1 +FLAGS (\\Deleted)").await.ok();
    c.run("EXPUNGE").await.ok();
    let tag = c.start("SEARCH RETURN (UPDATE) SEEN").await;
    c.finish(&tag).await.ok();
    c.run("ENABLE UIDONLY").await.ok();
    c.run("SEARCH RETURN (UPDATE) SEEN").await.is("BAD [UIDREQUIRED]");
    c.run("SORT RETURN (UPDATE) (DATE) UTF-8 SEEN").await.is("BAD [UIDREQUIRED]");
    let answer = c.run("UID STORE 3 +FLAGS.SILENT (\\Seen)").await.ok();
    answer.has(&format!("ESEARCH (TAG \"{tag}\") UID ADDTO (0 3)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn return_options_do_not_touch_each_other() {
    let server = Server::start().await;
    let mut c = filled(&server, 4).await;
    let capabilities = c.run("CAPABILITY").await.ok();
    for name in ["CONTEXT=SEARCH", "CONTEXT=SORT", "ESORT", "PARTIAL"] {
        assert!(capabilities.find("CAPABILITY").split(' ').any(|word| word == name), "{name}");
    }
    for (options, want) in [
        ("CONTEXT", ""),
        ("UPDATE", ""),
        ("CONTEXT UPDATE COUNT", " COUNT 4"),
        ("UPDATE MIN", " MIN 1"),
        ("MAX UPDATE CONTEXT", " MAX 4"),
        ("UPDATE PARTIAL 2:3", " PARTIAL (2:3 2:3)"),
        ("UPDATE PARTIAL -1:-2 COUNT", " PARTIAL (-1:-2 3:4) COUNT 4"),
        ("SAVE UPDATE", ""),
        ("", " ALL 1:4"),
    ] {
        let tag = c.start(format!("SEARCH RETURN ({options}) ALL")).await;
        assert_eq!(c.finish(&tag).await.ok().untagged, [format!("ESEARCH (TAG \"{tag}\"){want}")], "{options}");
        let tag = c.start(format!("UID SORT RETURN ({options}) (ARRIVAL) UTF-8 ALL")).await;
        let answer = c.finish(&tag).await.ok();
        assert_eq!(answer.untagged, [format!("ESEARCH (TAG \"{tag}\") UID{want}")], "{options}");
    }
    // Whatever else was asked for, updates are about all that matches.
    let answer = c.append("INBOX", MESSAGE).await.ok();
    let told = answer.untagged.iter().filter(|line| line.contains(" ADDTO (") && line.ends_with(" 5)")).count();
    assert_eq!(told, 14, "{answer:#?}");
    for bad in
        ["UPDATE ALL PARTIAL 1:2", "PARTIAL 1", "PARTIAL 1:*", "PARTIAL *:1", "PARTIAL 0:1", "UPDATES", "UPDATE 1"]
    {
        c.run(format!("SEARCH RETURN ({bad}) ALL")).await.is("BAD ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_came_or_changed_is_looked_into() {
    let server = Server::start().await;
    let mut c = server.login().await;
    for number in 0..3 {
        c.append("INBOX", &message(number, 2_000)).await.ok();
    }
    c.run("SELECT INBOX").await.ok();
    let mut kept = Kept::begin(&mut c, "UID SEARCH NOT BODY zzz").await;
    assert_eq!(kept.list, [1, 2, 3]);
    // None of the others is read again, or two of them would be missed.
    damage(server.dir(), &message(0, 2_000), 100);
    damage(server.dir(), &message(1, 2_000), 100);
    let mut lines = c.append("INBOX", MESSAGE).await.ok().untagged;
    lines.extend(c.run("STORE 3 +FLAGS (\\Seen)").await.ok().untagged);
    hear_all(std::slice::from_mut(&mut kept), &lines);
    assert_eq!(kept.list, [1, 2, 3, 4]);
    // One that changes and can't be read is left out, as a search would.
    let lines = c.run("STORE 1 +FLAGS (\\Seen)").await.ok().untagged;
    hear_all(std::slice::from_mut(&mut kept), &lines);
    assert_eq!(kept.list, [2, 3, 4]);
    c.run("UID SEARCH RETURN (ALL) NOT BODY zzz").await.is("OK [CORRUPTION] ");
}
