//! Pigeonhole's `sieve-test` (Debian's dovecot-sieve) as an oracle: generated scripts over mails must come to the same actions.
//!
//! A script has many tests, each of which files the message in a mailbox of its own if it holds, so that one run compares all
//! of them. What fails names the seed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sieve::{Action, Envelope, Host, Message, compile, run};

/// Scripts that are tried.
const SCRIPTS: u64 = 60;
/// Tests in each.
const TESTS: usize = 28;

struct Plain;

impl Host for Plain {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }

    fn mailbox_exists(&mut self, _: &str) -> bool {
        true
    }
}

const MAILS: &[&str] = &[
    "From: Anna Berg <anna+work@Here.Example>\r\nTo: bert@there.example, \"C, D\" <carl+x+y@there.example>\r\n\
     Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= from   the\r\n  mountains\r\nDate: Mon, 30 Nov 2026 23:30:00 -0300\r\nX-Prio: 10\r\n\
     X-Prio: 9\r\nMessage-ID: <1@here.example>\r\n\r\nHello Bert,\r\nsee you at 10.\r\n",
    "From: nobody@y.example\r\nTo: x.y@z.example (z)\r\nSubject:\r\nX-Prio: abc\r\nX-Empty:\r\n\r\n\r\n",
    "From: =?iso-8859-1?Q?J=F6rg?= <jorg@x.example>\r\nSender: list@lists.example\r\nTo: Team: anna@here.example,\r\n \
     bert@there.example; \r\nCc: \"quoted \\\"name\\\"\" <q@q.example> (a comment)\r\nSubject: [ticket #123] Re: *stars* and ?marks?\r\n\
     Received: from a by b; Tue, 1 Dec 2026 01:02:03 +0000\r\nReceived: from c by d; Mon, 30 Nov 2026 22:00:00 +0000\r\n\
     MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\npreamble\r\n--xx\r\nContent-Type: text/plain\r\n\r\n\
     plain words here\r\n--xx\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n\
     PHA+aGlkZGVuIHdvcmRzPC9wPg==\r\n--xx--\r\nepilogue\r\n",
    "From: a@b.example\r\nFrom: second@b.example\r\nTo: x@y.example\r\nSubject: 42\r\nX-Prio: 0042\r\nX-List: one\r\nX-List: two\r\n\
     X-List: three\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nsoft=\r\n line =3D end\r\n",
];

/// A generator of numbers that are the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn list(&mut self, choices: &[&str]) -> String {
        if self.below(3) > 0 {
            return format!("\"{}\"", self.of(choices));
        }
        let items: Vec<String> = (0..=self.below(3)).map(|_| format!("\"{}\"", self.of(choices))).collect();
        format!("[{}]", items.join(", "))
    }

    /// How it is compared, and with what.
    fn matching(&mut self) -> (String, String) {
        let comparator = self.of(&["", "", ":comparator \"i;octet\" ", ":comparator \"i;ascii-casemap\" "]);
        match self.below(8) {
            0 => (format!("{comparator}:is"), self.list(WORDS)),
            1 | 2 => (format!("{comparator}:contains"), self.list(WORDS)),
            3 | 4 => (format!("{comparator}:matches"), self.list(GLOBS)),
            5 => (format!("{comparator}:regex"), self.list(REGEXES)),
            6 => {
                let how = format!(":count \"{}\" :comparator \"i;ascii-numeric\"", self.of(RELATIONS));
                (how, self.list(&["0", "1", "2", "3"]))
            }
            _ => {
                let numeric = self.of(&["i;ascii-numeric", "i;ascii-casemap", "i;octet"]);
                let how = format!(":value \"{}\" :comparator \"{numeric}\"", self.of(RELATIONS));
                (how, self.list(&["9", "10", "abc", "42", ""]))
            }
        }
    }

    /// Names of fields.
    fn fields(&mut self, names: &[&str], how: &str) -> (&'static str, String) {
        if how.contains(":count") {
            return ("", self.list(names));
        }
        let index = self.of(&["", "", "", ":index 1 ", ":index 2 ", ":index 1 :last ", ":index 2 :last "]);
        let fields = if index.is_empty() { self.list(names) } else { format!("\"{}\"", self.of(names)) };
        (index, fields)
    }

    /// A part of an address. How often there is one that is missing is counted in more than one way.
    fn part(&mut self, how: &str) -> &'static str {
        let parts = ["", ":all ", ":localpart ", ":domain ", ":user ", ":detail "];
        self.of(if how.contains(":count") { &parts[..5] } else { &parts })
    }

    fn test(&mut self, depth: usize) -> String {
        match self.below(if depth > 0 { 12 } else { 9 }) {
            0..=2 => {
                let (how, keys) = self.matching();
                let (index, fields) = self.fields(FIELDS, &how);
                format!("header {index}{how} {fields} {keys}")
            }
            3 | 4 => {
                let (how, keys) = self.matching();
                let (index, fields) = self.fields(ADDRESS_FIELDS, &how);
                format!("address {index}{}{how} {fields} {keys}", self.part(&how))
            }
            5 => {
                let (how, keys) = self.matching();
                format!("envelope {}{how} {} {keys}", self.part(&how), self.list(&["from", "to"]))
            }
            6 => format!("exists {}", self.list(FIELDS)),
            7 => format!("size {} {}", self.of(&[":over", ":under"]), self.of(&["10", "100", "300", "1K", "1M"])),
            8 => {
                let how = self.of(&[":contains", ":matches"]);
                let transform = self.of(&[":raw", ":text", ":content \"text\""]);
                let keys = if how == ":contains" { self.list(WORDS) } else { self.list(GLOBS) };
                format!("body {transform} {how} {keys}")
            }
            9 => format!("not {}", self.test(depth - 1)),
            kind => {
                let tests: Vec<String> = (0..=self.below(2)).map(|_| self.test(depth - 1)).collect();
                format!("{} ({})", if kind == 10 { "anyof" } else { "allof" }, tests.join(", "))
            }
        }
    }
}

const RELATIONS: &[&str] = &["gt", "ge", "lt", "le", "eq", "ne"];
const FIELDS: &[&str] =
    &["Subject", "from", "TO", "Cc", "X-Prio", "X-List", "X-Empty", "Nothing", "Received", "Message-ID", "Date"];
const ADDRESS_FIELDS: &[&str] = &["From", "to", "Cc", "Sender", "Bcc"];
const WORDS: &[&str] = &[
    "",
    "a",
    "anna",
    "Anna",
    "there.example",
    "10",
    "42",
    "Grüße",
    "Grüße from the mountains",
    "word",
    "bert@there.example",
    "X+Y",
    "two",
    "soft line",
];
const GLOBS: &[&str] =
    &["*", "?", "", "*a*", "*nna*", "*.example", "??", "*\\\\*stars*", "[[]*", "*ü*", "*\\r\\n*", "one", "*4*2*"];
const REGEXES: &[&str] =
    &["a", "^anna", "example$", "^$", "[0-9]+", "(two|three)", "^.*@", "#([0-9]{3})", "[[:alpha:]]+ [[:alpha:]]+"];

/// The mailboxes that sieve-test files into; `None` if it says that it failed.
fn oracle(folder: &Path, from: &str, to: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new("sieve-test");
    command.arg("-c").arg(folder.join("conf")).args(["-f", from, "-r", to]);
    let output =
        command.arg(folder.join("script")).arg(folder.join("mail")).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let filed = said.lines().filter_map(|line| line.trim().strip_prefix("* store message in folder: "));
    Ok(filed.map(str::to_owned).collect())
}

fn ours(script: &str, mail: &str, from: &str, to: &str) -> Vec<String> {
    let script = compile(script).unwrap_or_else(|why| panic!("{why}\n{script}"));
    let envelope = Envelope { from: from.into(), to: to.into(), ..Envelope::default() };
    let outcome = run(&script, Message::new(mail.as_bytes().to_vec()), envelope, &mut Plain).unwrap();
    let mailbox = |action: &Action| match action {
        Action::Keep => Some("INBOX".to_owned()),
        Action::FileInto(mailbox) => Some(mailbox.name.clone()),
        _ => None,
    };
    outcome.actions.iter().filter_map(|taken| mailbox(&taken.action)).collect()
}

#[test]
fn generated_scripts_do_what_pigeonhole_does() {
    if !Command::new("sieve-test").output().is_ok_and(|output| !output.stderr.is_empty()) {
        println!("NOT RUN: sieve-test is not installed (apt-get install dovecot-sieve)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // It gives up the rights of root, and must be able to read all the same.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let own =
        |option| String::from_utf8(Command::new("id").arg(option).output().unwrap().stdout).unwrap().trim().to_owned();
    let (user, group) = match own("-u").as_str() {
        "0" => ("nobody".to_owned(), "nogroup".to_owned()),
        _ => (own("-un"), own("-gn")),
    };
    let home = folder.path().display().to_string();
    let conf = format!(
        "mail_uid = {user}\nmail_gid = {group}\nfirst_valid_uid = 1\nmail_location = maildir:{home}/mail\nmail_home = {home}\n\
         log_path = /dev/stderr\nssl = no\nrecipient_delimiter = +\nplugin {{\n  sieve_max_actions = 0\n}}\n"
    );
    std::fs::write(folder.path().join("conf"), conf).unwrap();
    let mut differing = Vec::new();
    for seed in 0..SCRIPTS {
        let mut random = Random(seed);
        let tests: Vec<String> = (0..TESTS).map(|_| random.test(2)).collect();
        let rules = tests.iter().enumerate().map(|(at, test)| format!("if {test} {{ fileinto \"T{at}\"; }}\n"));
        let script = format!(
            "require [\"fileinto\", \"regex\", \"relational\", \"comparator-i;ascii-numeric\", \"envelope\", \"subaddress\", \"body\",\n\
             \"index\"];\n{}",
            rules.collect::<String>()
        );
        let mail = MAILS[usize::try_from(seed).unwrap() % MAILS.len()];
        let (from, to) = (random.of(&["anna@here.example", "bounce+7@lists.example"]), "bert+work@there.example");
        std::fs::write(folder.path().join("script"), &script).unwrap();
        std::fs::write(folder.path().join("mail"), mail).unwrap();
        let theirs = match oracle(folder.path(), from, to) {
            Ok(filed) => filed,
            Err(why) => {
                differing.push(format!("seed {seed}: {why}"));
                continue;
            }
        };
        let ours = ours(&script, mail, from, to);
        for (at, test) in tests.iter().enumerate() {
            let name = format!("T{at}");
            if theirs.contains(&name) != ours.contains(&name) {
                let there = if theirs.contains(&name) { "holds there" } else { "holds here" };
                differing.push(format!("seed {seed}, mail {}: {there}: {test}", seed % MAILS.len() as u64));
            }
        }
        assert_eq!(
            theirs.contains(&"INBOX".to_owned()),
            ours.contains(&"INBOX".to_owned()),
            "seed {seed}: the implicit keep"
        );
    }
    assert!(differing.is_empty(), "{} differ\n{}", differing.len(), differing.join("\n"));
}
