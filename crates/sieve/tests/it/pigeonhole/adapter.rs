//! A host that has mailboxes and a way out in memory, and the commands of the suite.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sieve::vacation::{self, Writer};
use sieve::{
    Action, Done, Envelope, Host, Location, Mailbox, Mailto, Message, Node, Outcome, RunError, Script, State, Step,
    Syntax, Taken, compile_with, run_with,
};

use super::words::DIALECT;

/// One test of a file: its name, and why it failed.
type Verdict = (String, Result<(), String>);

/// A message in a mailbox: its flags, and its bytes.
type Filed = (Vec<String>, Arc<[u8]>);

pub struct Tester {
    folder: PathBuf,
    mailboxes: BTreeMap<String, Vec<Filed>>,
    sent: Vec<(Envelope, Arc<[u8]>)>,
    config: HashMap<String, String>,
    metadata: HashMap<(Option<String>, String), String>,
    seen: HashSet<String>,
    script: Option<Script>,
    errors: Vec<String>,
    test: Option<String>,
    failed: Option<String>,
    verdicts: Vec<Verdict>,
}

fn all_tests(nodes: &[Node], out: &mut Vec<String>) {
    for node in nodes {
        if node.name == "test"
            && let Some(sieve::Literal::Text(name)) = node.arguments.first().map(|argument| &argument.value)
        {
            out.push(name.clone());
        }
        if node.name == "if" && node.tests[0].name == "false" {
            continue;
        }
        all_tests(node.block.as_deref().unwrap_or_default(), out);
    }
}

impl Tester {
    /// The names of a file's tests.
    pub fn names(file: &Path) -> Vec<String> {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let mut names = Vec::new();
        all_tests(&Syntax::read(&text).map(|syntax| syntax.commands).unwrap_or_default(), &mut names);
        names
    }

    /// Runs a file.
    pub fn run(file: &Path) -> Vec<Verdict> {
        let folder = file.parent().unwrap().to_owned();
        let text =
            String::from_utf8_lossy(&std::fs::read(file).unwrap()).replace("${tst.path}", &folder.to_string_lossy());
        let names = Self::names(file);
        let mut tester = Self {
            folder,
            mailboxes: BTreeMap::from([("INBOX".to_owned(), Vec::new())]),
            sent: Vec::new(),
            config: HashMap::new(),
            metadata: HashMap::new(),
            seen: HashSet::new(),
            script: None,
            errors: Vec::new(),
            test: None,
            failed: None,
            verdicts: Vec::new(),
        };
        let why = match compile_with(&text, Some(&DIALECT)) {
            Err(problems) => format!("the file: {problems}"),
            Ok(script) => {
                let message = Message::new(&b"\r\n"[..]);
                let envelope = Envelope {
                    from: "sender@example.com".into(),
                    to: "recipient@example.com".into(),
                    ..Envelope::default()
                };
                match run_with(&script, message, envelope, &mut tester, Some(&DIALECT)) {
                    Ok(_) => "it was not run".to_owned(),
                    Err(why) => why.to_string(),
                }
            }
        };
        // A test that ended the run, and those behind it.
        for name in &names[tester.verdicts.len().min(names.len())..] {
            tester.verdicts.push((name.clone(), Err(why.clone())));
        }
        tester.verdicts
    }

    fn configured(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    fn compile(&mut self, name: &str) -> bool {
        self.script = None;
        self.errors.clear();
        let Ok(text) = std::fs::read(self.folder.join(name)) else {
            self.errors.push(format!("there is no {name}"));
            return false;
        };
        match compile_with(&String::from_utf8_lossy(&text), Some(&DIALECT)) {
            Ok(script) => {
                self.script = Some(script);
                true
            }
            Err(problems) => {
                self.errors = problems.0.into_iter().map(|problem| problem.text).collect();
                // Pigeonhole counts the line that says how many there were.
                self.errors.push("validation failed".to_owned());
                false
            }
        }
    }

    fn run_script(&mut self, state: &mut State, append: bool) -> bool {
        let Some(script) = self.script.clone() else { return false };
        self.errors.clear();
        let result = run_with(&script, state.message.clone(), state.envelope.clone(), self, Some(&DIALECT));
        if !append {
            state.reset();
        }
        state.implicit_keep = false;
        match result {
            Ok(outcome) => {
                for taken in outcome.actions {
                    if !state.actions.iter().any(|other| other.action == taken.action) {
                        state.actions.push(taken);
                    }
                }
                true
            }
            Err(why) => {
                self.errors.push(why.text);
                false
            }
        }
    }

    fn store(&mut self, mailbox: &Mailbox, taken: &Taken, message: &Message) -> bool {
        let name = if mailbox.name.eq_ignore_ascii_case("inbox") { "INBOX" } else { &mailbox.name };
        if mailbox.create {
            self.mailboxes.entry(name.to_owned()).or_default();
        }
        let bytes = taken.message.as_ref().unwrap_or(message).bytes();
        match self.mailboxes.get_mut(name) {
            Some(messages) => messages.push((taken.flags.clone(), bytes)),
            None => {
                self.errors.push(format!("failed to store into mailbox '{name}': it does not exist"));
                return false;
            }
        }
        true
    }

    fn execute(&mut self, outcome: &Outcome, state: &State) -> bool {
        self.errors.clear();
        let is_sound = outcome.actions.iter().all(|taken| self.act(taken, state));
        if !is_sound {
            let keep = Taken { at: sieve::Position::default(), action: Action::Keep, flags: Vec::new(), message: None };
            self.act(&keep, state);
        }
        is_sound
    }

    fn act(&mut self, taken: &Taken, state: &State) -> bool {
        let envelope = &state.envelope;
        let inbox = Mailbox { name: "INBOX".to_owned(), ..Mailbox::default() };
        let from = if envelope.original_to.is_empty() { &envelope.to } else { &envelope.original_to };
        let from = from.clone();
        let writer = Writer { own: &[], from: &from, now_ms: self.now_ms(), message_id: "id@example.org" };
        let original = taken.message.as_ref().unwrap_or(&state.message).bytes();
        match &taken.action {
            Action::Keep => return self.store(&inbox, taken, &state.message),
            Action::FileInto(mailbox) => return self.store(mailbox, taken, &state.message),
            // No test of the suite asks for it.
            Action::Snooze(_) => return false,
            Action::Redirect(to) | Action::RedirectList(to) => {
                self.sent.push((Envelope { to: to.clone(), ..envelope.clone() }, original));
            }
            Action::Reject { reason, .. } => {
                if !envelope.from.is_empty() {
                    let text = format!(
                        "From: Postmaster <postmaster@example.org>\r\nTo: <{}>\r\n\r\n{reason}\r\n",
                        envelope.from
                    );
                    self.sent.push((
                        Envelope { to: envelope.from.clone(), ..Envelope::default() },
                        text.into_bytes().into(),
                    ));
                }
            }
            Action::Vacation(reply) => {
                let mut own = Vec::new();
                if self.configured("sieve_vacation_dont_check_recipient") == Some("yes") {
                    own.extend(state.message.header("To").map(ToOwned::to_owned));
                }
                if vacation::no_reply(reply, &state.message, envelope, &own).is_none() {
                    let bytes = vacation::reply(reply, &state.message, envelope, &writer);
                    self.file_fcc(reply.fcc.as_ref(), &bytes);
                    self.sent.push((Envelope { to: envelope.from.clone(), ..Envelope::default() }, bytes.into()));
                }
            }
            Action::Notify(notification) => {
                let Some(bytes) = vacation::notification(notification, &state.message, &writer) else { return true };
                self.file_fcc(notification.fcc.as_ref(), &bytes);
                let from = if envelope.from.is_empty() { String::new() } else { from.clone() };
                let uri = Mailto::read(&notification.method).unwrap();
                for to in uri.to.iter().chain(&uri.cc) {
                    let to = to.to_string();
                    self.sent.push((Envelope { from: from.clone(), to, ..Envelope::default() }, bytes.clone().into()));
                }
            }
        }
        true
    }

    fn file_fcc(&mut self, fcc: Option<&(Mailbox, Vec<String>)>, bytes: &[u8]) {
        if let Some((mailbox, flags)) = fcc {
            self.mailboxes.entry(mailbox.name.clone()).or_default().push((flags.clone(), bytes.into()));
        }
    }

    fn load(&mut self, step: &Step, state: &mut State) -> bool {
        let sieve::Value::Number(index) = step.place(0) else { return false };
        let index = *index as usize;
        if step.has("smtp") {
            let Some((envelope, bytes)) = self.sent.get(index) else { return false };
            state.envelope = envelope.clone();
            state.message = Message::new(Arc::clone(bytes));
            return true;
        }
        let name = state.tag_texts(step, "folder").unwrap_or_default().remove(0);
        let Some((flags, bytes)) = self.mailboxes.get(&name).and_then(|messages| messages.get(index)) else {
            return false;
        };
        state.message = Message::new(Arc::clone(bytes));
        state.set_flags(flags);
        true
    }

    fn end_test(&mut self) {
        if let Some(name) = self.test.take() {
            let failed = self.failed.take();
            self.verdicts.push((name, failed.map_or(Ok(()), Err)));
        }
    }

    fn set(name: &str, value: String, state: &mut State) {
        let address = value.trim_matches(['<', '>']).to_owned();
        match name {
            "message" => {
                state.message = Message::new(value.into_bytes());
                state.set_flags(&[]);
                // The suite's envelope is that of the message until it is set.
                let address = |name: &str, other: &str| {
                    let parsed = state.message.header(name).unwrap_or_default().to_owned();
                    let bare = parsed.split(',').next().unwrap_or_default().rsplit('<').next().unwrap_or_default();
                    let bare = bare.trim_end_matches('>').trim().to_owned();
                    if bare.contains('@') { bare } else { other.to_owned() }
                };
                state.envelope.from = address("From", "sender@example.com");
                state.envelope.to = address("To", "recipient@example.com");
            }
            "envelope.from" => state.envelope.from = address,
            "envelope.to" => state.envelope.to = address,
            "envelope.orig_to" => state.envelope.original_to = address,
            "envelope.auth" => state.envelope.auth = value,
            other => panic!("test_set {other}"),
        }
    }
}

/// The names that the suite has for actions.
fn action_name(taken: &Taken) -> String {
    match taken.action {
        Action::Keep if taken.at == sieve::Position::default() => "keep",
        Action::Keep => "keep",
        Action::FileInto(_) => "store",
        Action::Redirect(_) | Action::RedirectList(_) => "redirect",
        Action::Reject { .. } => "reject",
        Action::Vacation(_) => "vacation",
        Action::Notify(_) => "notify",
        Action::Snooze(_) => "snooze",
    }
    .to_owned()
}

fn at(list: &[String], index: Option<u64>) -> Vec<String> {
    match index {
        None => list.to_vec(),
        Some(index) => list.get((index as usize).wrapping_sub(1)).cloned().into_iter().collect(),
    }
}

impl Host for Tester {
    fn now_ms(&self) -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn mailbox_exists(&mut self, name: &str) -> bool {
        self.mailboxes.contains_key(name) || name.eq_ignore_ascii_case("inbox")
    }

    fn special_use_exists(&mut self, _mailbox: Option<&str>, _flags: &[String]) -> bool {
        false
    }

    fn metadata(&mut self, mailbox: Option<&str>, name: &str) -> Option<String> {
        self.metadata.get(&(mailbox.map(ToOwned::to_owned), name.to_ascii_lowercase())).cloned()
    }

    fn is_duplicate(&mut self, handle: &str, id: &str, _seconds: u64, _last: bool) -> bool {
        !self.seen.insert(format!("{handle}\n{id}"))
    }

    fn script(&mut self, location: Location, name: &str) -> Option<String> {
        let folder = match location {
            Location::Personal => "included",
            Location::Global => "included-global",
        };
        std::fs::read_to_string(self.folder.join(folder).join(format!("{name}.sieve"))).ok()
    }

    fn environment(&mut self, name: &str) -> Option<String> {
        let value = match name {
            "name" => "Pigeonhole Sieve",
            "version" => env!("CARGO_PKG_VERSION"),
            "location" => "MS",
            "phase" => "post",
            "host" => "host.example.org",
            "domain" => "example.org",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn separators(&self) -> String {
        self.configured("recipient_delimiter").unwrap_or("+").to_owned()
    }

    fn foreign(&mut self, step: &Step, state: &mut State) -> Result<Done, RunError> {
        let text = |state: &State, place| state.text(step, place);
        let holds = match step.name {
            "test" => {
                self.test = Some(text(state, 0));
                return Ok(Done::Block);
            }
            "test_fail" => {
                self.failed = Some(text(state, 0));
                return Ok(Done::Leave);
            }
            "test_set" => {
                let (name, value) = (text(state, 0), text(state, 1));
                Self::set(&name, value, state);
                true
            }
            "test_mailbox_create" => {
                self.mailboxes.entry(text(state, 0)).or_default();
                true
            }
            "test_config_set" => self.config.insert(text(state, 0), text(state, 1)).is_none(),
            "test_config_unset" => self.config.remove(&text(state, 0)).is_some(),
            "test_imap_metadata_set" => {
                let mailbox = state.tag_texts(step, "mailbox").map(|mut texts| texts.remove(0));
                self.metadata.insert((mailbox, text(state, 0).to_ascii_lowercase()), text(state, 1));
                true
            }
            // What is compiled stays in memory.
            "test_config_reload" | "test_binary_load" | "test_binary_save" | "test_result_print" => true,
            "test_message" => self.load(step, state),
            "test_result_reset" => {
                state.reset();
                self.sent.clear();
                true
            }
            "test_result_execute" => {
                let outcome = state.outcome();
                self.execute(&outcome, state)
            }
            "test_result_action" => {
                let names: Vec<String> = state.outcome().actions.iter().map(action_name).collect();
                state.matches(step, &at(&names, step.number("index")))
            }
            "test_error" => state.matches(step, &at(&self.errors, step.number("index"))),
            "test_script_compile" => self.compile(&text(state, 0)),
            "test_script_run" => self.run_script(state, step.has("append_result")),
            "test_multiscript" => {
                let mut sound = true;
                for (index, name) in state.texts(step, 0).into_iter().enumerate() {
                    sound &= self.compile(&name) && self.run_script(state, index > 0);
                }
                let outcome = state.outcome();
                sound && self.execute(&outcome, state)
            }
            other => panic!("{other}"),
        };
        if !step.is_test() && step.name == "test_message" && !holds {
            self.failed = Some(format!("there is no such message ({})", step.at));
            return Ok(Done::Leave);
        }
        Ok(Done::With(holds))
    }

    fn foreign_block_ended(&mut self, _step: &Step, _state: &mut State) {
        self.end_test();
    }
}
