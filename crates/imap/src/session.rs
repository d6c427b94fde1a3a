//! One client's connection: reading commands, obeying them one after another, telling what changed.

mod append;
mod capability;
mod catenate;
mod contexts;
mod copy;
mod fetch;
mod idle;
mod kept;
mod list;
mod login;
mod mailboxes;
mod metadata;
mod multisearch;
mod notified;
mod notify;
mod outcome;
mod progress;
mod quota;
mod replace;
mod search;
mod select;
mod selected;
mod shown;
mod sort;
mod store;
mod telling;
mod token;
mod uid_only;
mod unauthenticate;

use std::sync::Arc;
use std::time::Duration;

use directory::{AccountRealm, Login};
use doorkit::Wire;
use doorkit::wire::{AtEnd, LineEnds, LineTime, WireOptions};
use mailstore::{MAX_METADATA_VALUE_BYTES, MailboxName};
use tokio::time::Instant;

use crate::door::Door;
use crate::failure::{Failure, metadata_too_long};
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{self, AppendHead, Command, Frame, LiteralHeader, Progress, StatusItem, Tagged};

use notified::Notified;
use outcome::{Done, Enabled, Outcome};
use selected::Selected;

/// What came from the client.
enum Event {
    /// A whole command.
    Command,
    /// An APPEND whose message follows as this literal.
    Append(AppendHead, LiteralHeader),
    /// The client is gone.
    Gone,
}

/// A connection and what it has come to.
pub(crate) struct Session {
    door: Arc<Door>,
    wire: Wire,
    frame: Frame,
    enabled: Enabled,
    /// The realm of the account that has logged in.
    user: Option<AccountRealm>,
    /// What the client calls itself, and what it has logged in with: for the owner's list of sign-ins.
    program: String,
    login: Option<Login>,
    selected: Option<Box<Selected>>,
    /// What is told without being asked (RFC 5465).
    notified: Option<Box<Notified>>,
    mistakes: u32,
    failed_logins: u32,
    /// When it must have logged in.
    login_deadline: Instant,
    closing: bool,
}

impl Session {
    pub(crate) fn new(door: Arc<Door>, conn: doorkit::Conn) -> Self {
        let options = WireOptions {
            write_timeout: door.options.write_timeout,
            // Commands are framed by `syntax`, since they have literals.
            line_ends: LineEnds::Tolerant,
            line_time: LineTime::EachRead,
            at_end: AtEnd::Drop,
        };
        let wire = Wire::new(conn, options);
        let frame = Frame::new(door.options.max_command_before_login_bytes);
        let login_deadline = Instant::now() + door.options.login_timeout;
        Self {
            door,
            wire,
            frame,
            enabled: Enabled::default(),
            user: None,
            program: String::new(),
            login: None,
            selected: None,
            notified: None,
            mistakes: 0,
            failed_logins: 0,
            login_deadline,
            closing: false,
        }
    }

    /// Serves the client until it leaves or must go.
    pub(crate) async fn run(mut self) {
        if let Err(failure) = self.serve().await {
            self.fail(None, failure);
        }
        self.leave_mailbox();
        self.wire.shut_down().await;
    }

    /// Forgets the selected mailbox, and gives it. What it had that is `\\Recent` for nobody any more is written down
    /// meanwhile.
    fn leave_mailbox(&mut self) -> Option<Box<Selected>> {
        let selected = self.selected.take()?;
        if let (Some(realm), false) = (self.user, selected.recent.is_empty() || selected.read_only) {
            let (mailstore, mailbox) = (self.door.mailstore.clone(), selected.mailbox);
            tokio::spawn(async move {
                // At worst these messages are recent once more after a restart.
                if let Err(error) = mailstore.keep_recent(realm, mailbox).await {
                    tracing::debug!(%error, "could not store the \\Recent state");
                }
            });
        }
        Some(selected)
    }

    async fn serve(&mut self) -> Outcome<()> {
        self.greet()?;
        while !self.closing {
            match self.next_event().await? {
                Event::Gone => return Ok(()),
                Event::Command => {
                    let parsed = syntax::parse(self.frame.bytes());
                    self.frame.reset();
                    match parsed {
                        // Commands are boxed, so that a quiet connection keeps only this small loop.
                        Ok(tagged) => Box::pin(self.obey(tagged)).await?,
                        Err(error) => {
                            let tag = error.tag.clone();
                            self.answer(tag, Err(error.into()))?;
                        }
                    }
                }
                Event::Append(head, literal) => Box::pin(self.obey_append(head, literal)).await?,
            }
            self.wire.flush_if_full().await?;
        }
        self.wire.flush().await?;
        Ok(())
    }

    /// Gathers the next command. Sends what is waiting before it waits itself.
    async fn next_event(&mut self) -> Outcome<Event> {
        if self.user.is_some() {
            // A command that puts messages together has had more.
            self.frame.set_limit(self.door.options.max_command_bytes);
        }
        loop {
            let (used, progress) = match self.frame.feed(self.wire.buffered()) {
                Ok(step) => step,
                Err(error) => {
                    let tag = syntax::tag_of(self.frame.bytes()).map(str::to_owned);
                    self.fail(tag.as_deref(), Failure::Bad(Some(Code::LIMIT), error.to_string().into()));
                    return Err(Failure::bye("Command too long"));
                }
            };
            self.wire.consume(used);
            match progress {
                Progress::Complete => return Ok(Event::Command),
                Progress::Literal(literal) => {
                    if let Some(event) = self.literal(literal)? {
                        return Ok(event);
                    }
                }
                Progress::More => {
                    self.wire.flush().await?;
                    let read = if self.frame.is_empty() && self.notified.is_some() {
                        Box::pin(self.fill_telling()).await?
                    } else {
                        self.fill().await?
                    };
                    if read == 0 {
                        return Ok(Event::Gone);
                    }
                }
            }
        }
    }

    /// Waits for bytes; says BYE when the client was silent for too long, or the server stops.
    async fn fill(&mut self) -> Outcome<usize> {
        // A client that has not logged in keeps nobody waiting by sending a little now and then.
        let patience = match self.user {
            Some(_) => self.door.options.idle_timeout,
            None => self.login_deadline.saturating_duration_since(Instant::now()),
        };
        self.fill_within(patience).await
    }

    /// Waits for a command, and tells meanwhile what NOTIFY asked for.
    async fn fill_telling(&mut self) -> Outcome<usize> {
        let deadline = Instant::now() + self.door.options.idle_timeout;
        loop {
            let Self { notified: Some(notified), .. } = self else { return self.fill().await };
            let mut changes = notified.changes();
            tokio::select! {
                read = self.fill_within(deadline.saturating_duration_since(Instant::now())) => return read,
                () = notified::changed(&mut changes) => {
                    self.tell_notified().await?;
                    self.wire.flush().await?;
                }
            }
        }
    }

    async fn fill_within(&mut self, patience: Duration) -> Outcome<usize> {
        let stop = self.door.options.shutdown.clone();
        tokio::select! {
            read = tokio::time::timeout(patience, self.wire.fill()) => match read {
                Ok(read) => Ok(read?),
                Err(_) if self.user.is_none() => Err(Failure::bye("Autologout: login time limit reached")),
                Err(_) => Err(Failure::bye("Autologout: idle for too long")),
            },
            () = stop.cancelled() => Err(Failure::Bye(Some(Code::UNAVAILABLE), "Server shutting down".into())),
        }
    }

    /// Decides about a literal that was announced: take it, refuse it, or hand it over as the message of an APPEND.
    fn literal(&mut self, literal: LiteralHeader) -> Outcome<Option<Event>> {
        if self.user.is_some() && syntax::is_catenate(self.frame.bytes()) {
            let options = &self.door.options;
            self.frame.set_limit(options.max_command_bytes.saturating_add(options.max_catenate_text_bytes));
        }
        let refused: Failure = match syntax::append_head(self.frame.bytes()) {
            Some(Ok(head)) if self.user.is_some() => return Ok(Some(Event::Append(head, literal))),
            Some(Ok(_)) => Failure::bad("Log in first"),
            Some(Err(error)) => error.into(),
            None if syntax::is_set_metadata(self.frame.bytes()) && literal.len > MAX_METADATA_VALUE_BYTES as u64 => {
                metadata_too_long()
            }
            None if literal.len <= self.frame.room() as u64 => {
                self.frame.accept_literal(literal);
                if literal.synchronizing {
                    self.wire.out.extend_from_slice(b"+ OK\r\n");
                }
                return Ok(None);
            }
            None => Failure::no(Code::TOO_BIG, "Literal too large"),
        };
        let tag = syntax::tag_of(self.frame.bytes()).map(str::to_owned);
        self.refuse_literal(tag, literal, refused)?;
        Ok(None)
    }

    /// Answers a command that ends at a literal we do not want. A client that waits for `+` sends nothing more of it;
    /// one that does not wait has its bytes thrown away, if they are not too many.
    fn refuse_literal(&mut self, tag: Option<String>, literal: LiteralHeader, failure: Failure) -> Outcome<()> {
        if literal.synchronizing {
            self.frame.reset();
            return self.answer(tag, Err(failure));
        }
        self.fail(tag.as_deref(), failure);
        if literal.len > self.door.options.max_discarded_bytes {
            return Err(Failure::Bye(Some(Code::TOO_BIG), "Literal far too large".into()));
        }
        self.frame.discard(literal);
        self.mistake()
    }

    /// One more wrong command.
    fn mistake(&mut self) -> Outcome<()> {
        self.mistakes += 1;
        if self.mistakes >= self.door.options.max_mistakes {
            return Err(Failure::Bye(Some(Code::CLIENT_BUG), "Too many invalid commands".into()));
        }
        Ok(())
    }

    /// Obeys one command and answers it.
    async fn obey(&mut self, Tagged { tag, command }: Tagged) -> Outcome<()> {
        self.wire.check_end()?;
        let (name, begun) = (command.name(), Instant::now());
        metrics::counter!("holdfast_imap_commands_total", "command" => name).increment(1);
        let obeyed = self.obey_one(tag, command).await;
        // IDLE takes as long as nothing happens.
        if name != "idle" {
            metrics::histogram!("holdfast_imap_command_seconds", "command" => name)
                .record(begun.elapsed().as_secs_f64());
        }
        obeyed
    }

    async fn obey_one(&mut self, tag: String, command: Command) -> Outcome<()> {
        match command {
            Command::StartTls => return self.start_tls(&tag).await,
            Command::Compress(mechanism) => return self.compress(tag, &mechanism).await,
            _ => {}
        }
        let expunges = may_tell_expunges(&command);
        if self.selected.is_some() && resolves_numbers(&command) {
            self.tell_changes(false).await?;
        }
        let may_be_newer = may_be_newer(&command);
        let outcome = match self.may_use_numbers(&command) {
            Ok(()) => self.dispatch(&tag, command).await,
            Err(failure) => Err(failure),
        };
        if may_be_newer {
            self.is_behind();
        }
        // After LOGOUT a client is sent nothing more.
        if self.selected.is_some() && !self.closing {
            self.tell_changes(expunges).await?;
        }
        if self.notified.is_some() {
            self.tell_others()?;
            self.fetch_new().await?;
        }
        self.answer(Some(tag), outcome)?;
        if self.user.is_none() && self.failed_logins >= self.door.options.max_failed_logins {
            return Err(Failure::bye("Too many failed logins"));
        }
        Ok(())
    }

    async fn dispatch(&mut self, tag: &str, command: Command) -> Outcome {
        match command {
            Command::Capability => self.capability(),
            Command::Noop => Ok(Done::text("NOOP completed")),
            Command::Logout => {
                self.wire.out.extend_from_slice(b"* BYE Goodbye\r\n");
                self.closing = true;
                Ok(Done::text("LOGOUT completed"))
            }
            Command::Id(fields) => Ok(self.id(&fields)),
            Command::StartTls | Command::Compress(_) => Err(Failure::bad("Command not allowed in this state")),
            Command::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            Command::Login { user, password } => self.login(user, password).await,
            command => {
                if self.user.is_none() {
                    return Err(Failure::bad("Log in first"));
                }
                self.dispatch_authenticated(tag, command).await
            }
        }
    }

    async fn dispatch_authenticated(&mut self, tag: &str, command: Command) -> Outcome {
        match command {
            Command::Unauthenticate => self.unauthenticate(),
            Command::Enable(names) => Ok(self.enable(&names)),
            Command::Select(select) => self.select(select).await,
            Command::Create { mailbox, special_use } => self.create(&mailbox, &special_use).await,
            Command::Delete(name) => self.delete(&name).await,
            Command::Rename { from, to } => self.rename(&from, &to).await,
            Command::Subscribe(name) => self.subscribe(&name, true).await,
            Command::Unsubscribe(name) => self.subscribe(&name, false).await,
            Command::List(list) => self.list(&list),
            Command::Lsub { reference, pattern } => self.lsub(&reference, &pattern),
            Command::Namespace => {
                self.wire.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
                Ok(Done::text("NAMESPACE completed"))
            }
            Command::Status { mailbox, items } => self.status(&mailbox, &items).await,
            Command::Catenate(catenate) => self.catenate(catenate).await,
            Command::MultiSearch(search) => self.multisearch(tag, search).await,
            Command::Idle => self.idle().await,
            Command::Notify(wanted) => self.notify(wanted),
            Command::GetQuota(root) => self.get_quota(&root),
            Command::GetQuotaRoot(name) => self.get_quota_root(&name),
            Command::GetMetadata(get) => self.get_metadata(&get),
            Command::SetMetadata { mailbox, changes } => self.set_metadata(&mailbox, changes).await,
            Command::SetQuota => Err(Failure::no(Code::NO_PERM, "Only the operator can set quotas")),
            command => {
                if self.selected.is_none() {
                    return Err(Failure::bad("No mailbox selected"));
                }
                self.dispatch_selected(tag, command).await
            }
        }
    }

    async fn dispatch_selected(&mut self, tag: &str, command: Command) -> Outcome {
        match command {
            Command::Check => Ok(Done::text("CHECK completed")),
            Command::Close => self.close().await,
            Command::Unselect => {
                self.leave_mailbox();
                Ok(Done::text("UNSELECT completed"))
            }
            Command::Expunge => self.expunge(tag, None).await,
            Command::UidExpunge(set) => self.expunge(tag, Some(&set)).await,
            Command::Search(search) => self.search(tag, search).await,
            Command::Sort(sort) => self.sort(tag, sort).await,
            Command::Thread(thread) => self.thread(tag, thread).await,
            Command::CancelUpdate(tags) => self.cancel_update(&tags),
            Command::Fetch(fetch) => self.fetch(fetch).await,
            Command::Store(store) => self.store(tag, store).await,
            Command::Copy { uid, set, mailbox } => self.copy(tag, uid, &set, &mailbox).await,
            Command::Move { uid, set, mailbox } => self.move_(tag, uid, &set, &mailbox).await,
            // All others were taken before.
            _ => Err(Failure::bad("Command not allowed in this state")),
        }
    }

    /// Writes the tagged answer. Only what ends the connection comes back as an error.
    fn answer(&mut self, tag: Option<String>, mut outcome: Outcome) -> Outcome<()> {
        self.say_token(&mut outcome);
        match outcome {
            Ok(done) => {
                self.mistakes = 0;
                self.status_line(tag.as_deref(), b"OK ", done.code.as_ref(), &done.text);
                Ok(())
            }
            Err(failure @ Failure::No(..)) => {
                self.fail(tag.as_deref(), failure);
                Ok(())
            }
            Err(failure @ Failure::Bad(..)) => {
                self.fail(tag.as_deref(), failure);
                self.mistake()
            }
            Err(failure) => Err(failure),
        }
    }

    /// Writes a failure.
    fn fail(&mut self, tag: Option<&str>, failure: Failure) {
        match failure {
            Failure::No(code, text) => self.status_line(tag, b"NO ", code.as_ref(), &text),
            Failure::Bad(code, text) => self.status_line(tag, b"BAD ", code.as_ref(), &text),
            Failure::Bye(code, text) => self.status_line(None, b"BYE ", code.as_ref(), &text),
            Failure::Gone(error) => tracing::debug!(%error, "IMAP connection failed"),
        }
    }

    fn status_line(&mut self, tag: Option<&str>, word: &[u8], code: Option<&Code>, message: &str) {
        let out = &mut self.wire.out;
        out.extend_from_slice(tag.unwrap_or("*").as_bytes());
        out.push(b' ');
        out.extend_from_slice(word);
        if let Some(code) = code {
            code.write(out);
        }
        text::human(out, message);
        out.extend_from_slice(b"\r\n");
    }

    /// `* OK [code] text`.
    fn untagged_ok(&mut self, code: &Code, message: &str) {
        self.status_line(None, b"OK ", Some(code), message);
    }

    /// The account's realm in the store.
    fn realm(&self) -> Outcome<AccountRealm> {
        self.user.ok_or_else(|| Failure::bad("Log in first"))
    }

    /// A mailbox name as the client writes it. One trailing `/` is taken off.
    fn mailbox_name(&self, wire: &str) -> Outcome<MailboxName> {
        if self.enabled.utf8 {
            return Ok(MailboxName::new(wire)?);
        }
        match mailbox_name::decode(wire) {
            Some(name) => Ok(MailboxName::new(&name)?),
            None => Err(Failure::no(Code::CANNOT, "The mailbox name is not valid modified UTF-7")),
        }
    }

    /// Runs `job` where it may block.
    async fn blocking<T, E>(&self, job: impl FnOnce() -> Result<T, E> + Send + 'static) -> Outcome<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        Failure: From<E>,
    {
        blocking(job).await
    }
}

/// Runs `job` where it may block.
async fn blocking<T, E>(job: impl FnOnce() -> Result<T, E> + Send + 'static) -> Outcome<T>
where
    T: Send + 'static,
    E: Send + 'static,
    Failure: From<E>,
{
    match doorkit::span::spawn_blocking(job).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "an IMAP background task ended early");
            Err(Failure::lost_job())
        }
    }
}

/// EXPUNGE must not be told while a command that names messages by number is in progress (RFC 9051 section 7.5.1).
fn may_tell_expunges(command: &Command) -> bool {
    match command {
        Command::Fetch(fetch) => fetch.uid,
        Command::Store(store) => store.uid,
        Command::Search(search) => search.uid,
        Command::Sort(sort) => sort.search.uid,
        Command::Thread(thread) => thread.search.uid,
        _ => true,
    }
}

/// Commands that name messages: what came meanwhile is told before, so that they can be meant.
fn resolves_numbers(command: &Command) -> bool {
    matches!(
        command,
        Command::Fetch(_)
            | Command::Store(_)
            | Command::Search(_)
            | Command::MultiSearch(_)
            | Command::Sort(_)
            | Command::Thread(_)
            | Command::Copy { .. }
            | Command::Move { .. }
    )
}

/// Commands after which the view may be old whether or not the store has told so yet: those that write, and those whose
/// answers may show mod-sequences above the view's.
fn may_be_newer(command: &Command) -> bool {
    matches!(
        command,
        Command::Store(_)
            | Command::Fetch(_)
            | Command::Search(_)
            | Command::MultiSearch(_)
            | Command::Sort(_)
            | Command::Copy { .. }
            | Command::Move { .. }
            | Command::Expunge
            | Command::UidExpunge(_)
            | Command::Rename { .. }
            | Command::Catenate(_)
    )
}

/// Whether an item has the connection count mod-sequences from now on (RFC 7162 section 3.1).
fn asks_for_modseq(items: &[StatusItem]) -> bool {
    items.contains(&StatusItem::HighestModSeq)
}
