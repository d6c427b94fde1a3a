//! The protocol without sockets: takes lines and literals, writes replies, returns effects for the caller.
//!
//! The caller answers each [`Effect`] that needs an answer with the method named in its documentation, before it passes
//! the next line.

mod login;

use directory::{AccountId, Login};
use doorkit::sasl::{Mechanism, Password};
use sieve::limits::MAX_REDIRECTS;

use self::login::Dialogue;

use crate::{
    frame::{Follows, Frame, Word},
    options::ManageSieveOptions,
    reply::{self, Code, Refusal},
    request::{Command, Misunderstood, Request, has_script},
};

/// The properties of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel {
    pub(crate) is_tls: bool,
    /// Logins may be made.
    pub(crate) may_log_in: bool,
    /// TLS can be begun by STARTTLS.
    pub(crate) offers_tls: bool,
    /// For channel binding.
    pub(crate) exporter: Option<[u8; 32]>,
    /// SCRAM logins can't be checked at the moment.
    pub(crate) no_scram: bool,
}

/// The work of the caller after a line.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Go on with the next line.
    Next,
    /// Read so many bytes, then [`Session::literal`].
    Literal(u64),
    /// Read over so many bytes, then go on with the next line.
    Skip(u64),
    /// Check it, then [`Session::let_in`] or [`Session::refuse_login`].
    Login(Password),
    /// Look the keys up, then [`Session::scram_keys`] or [`Session::refuse_login`].
    ScramLookup(String),
    /// Note that this SCRAM login failed, then [`Session::refuse_login`].
    ScramFailed,
    /// Note that this SCRAM login is proved, then [`Session::let_in`] or [`Session::refuse_login`].
    ScramProved(Login),
    /// Send the replies and begin TLS, then [`Session::secured`].
    StartTls,
    /// Do it for the account, and say how it went.
    Scripts(AccountId, Request),
    /// The account is left.
    Unauthenticated,
    /// Send the replies and close.
    Close,
}

enum State {
    /// Before the login.
    Before,
    /// Within AUTHENTICATE.
    Sasl(Box<Dialogue>),
    In {
        account: AccountId,
        address: String,
    },
}

/// A client's session.
pub(crate) struct Session {
    options: ManageSieveOptions,
    channel: Channel,
    frame: Frame,
    state: State,
    errors: u32,
    failed_logins: u32,
}

impl Session {
    pub(crate) fn new(options: ManageSieveOptions, channel: Channel) -> Self {
        Self { options, channel, frame: Frame::default(), state: State::Before, errors: 0, failed_logins: 0 }
    }

    /// The capabilities are the greeting (RFC 5804 §1.7).
    pub(crate) fn greet(&self, out: &mut Vec<u8>) {
        self.capabilities(out);
        reply::ok(&format!("{} Holdfast ManageSieve", self.options.hostname), out);
    }

    /// TLS has started: earlier state is discarded, and the capabilities are told again (RFC 5804 §2.2). `name` is which of our
    /// names the client came by.
    pub(crate) fn secured(&mut self, channel: Channel, name: Option<&str>, out: &mut Vec<u8>) {
        if let Some(name) = name {
            name.clone_into(&mut self.options.hostname);
        }
        self.channel = channel;
        self.state = State::Before;
        self.capabilities(out);
        reply::ok(&format!("{} Holdfast ManageSieve, TLS is active", self.options.hostname), out);
    }

    pub(crate) const fn is_logged_in(&self) -> bool {
        matches!(self.state, State::In { .. })
    }

    /// Takes a line, without its line end.
    pub(crate) fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Effect {
        match self.frame.line(line) {
            Follows::Literal(length) => self.literal_follows(length, out),
            Follows::End => match (self.frame.take(), &self.state) {
                (Err(why), _) => self.wrong(&why, out),
                (Ok(words), State::Sasl(_)) => self.sasl_words(&words, out),
                (Ok(words), _) => self.command(words, out),
            },
        }
    }

    /// Takes the bytes that [`Effect::Literal`] asked for.
    pub(crate) fn literal(&mut self, bytes: Vec<u8>) {
        self.frame.literal(bytes);
    }

    /// A line was longer than allowed. Where the next command begins is not known, since the line could have announced a
    /// literal: what is a script must not be taken for commands.
    #[expect(clippy::unused_self, reason = "what follows is decided here, as for every line")]
    pub(crate) fn line_too_long(&self, out: &mut Vec<u8>) -> Effect {
        Refusal::plain("Line too long").bye(out);
        Effect::Close
    }

    /// A literal is announced: no memory is taken for one that is not allowed.
    fn literal_follows(&mut self, length: u64, out: &mut Vec<u8>) -> Effect {
        let is_script = self.is_logged_in() && self.frame.name().is_some_and(has_script);
        let limit = if is_script { self.options.max_script_bytes } else { self.options.max_literal_bytes };
        if length <= limit && !self.frame.is_refused() {
            return Effect::Literal(length);
        }
        let too_long = if is_script {
            Refusal::new(Code::MaxSize, format!("A script can have {limit} bytes"))
        } else {
            Refusal::plain(format!("A text can have {limit} bytes here"))
        };
        let skipped = if self.is_logged_in() { self.options.max_skipped_bytes } else { self.options.max_literal_bytes };
        if length > skipped {
            too_long.bye(out);
            return Effect::Close;
        }
        self.frame.refuse(too_long);
        Effect::Skip(length)
    }

    fn command(&mut self, words: Vec<Word>, out: &mut Vec<u8>) -> Effect {
        let command = match Command::read(words) {
            Ok(command) => command,
            Err(Misunderstood(why)) => return self.wrong(&Refusal::plain(why), out),
        };
        metrics::counter!("holdfast_managesieve_commands_total", "command" => command.name()).increment(1);
        match command {
            Command::Capability => {
                self.capabilities(out);
                reply::ok("Capabilities are complete", out);
                Effect::Next
            }
            Command::Noop(tag) => {
                match tag {
                    Some(tag) => reply::ok_with("TAG", &tag, "Done", out),
                    None => reply::ok("Done", out),
                }
                Effect::Next
            }
            Command::Logout => {
                reply::ok("Bye", out);
                Effect::Close
            }
            Command::StartTls => self.start_tls(out),
            Command::Authenticate { .. } if self.is_logged_in() => {
                self.wrong(&Refusal::plain("Already logged in"), out)
            }
            Command::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial.as_deref(), out),
            Command::Unauthenticate if self.is_logged_in() => {
                self.state = State::Before;
                reply::ok("Logged out; log in again", out);
                Effect::Unauthenticated
            }
            Command::Scripts(request) if let State::In { account, .. } = self.state => {
                Effect::Scripts(account, request)
            }
            Command::Unauthenticate | Command::Scripts(_) => self.wrong(&Refusal::plain("Log in first"), out),
        }
    }

    fn start_tls(&mut self, out: &mut Vec<u8>) -> Effect {
        let why = match () {
            () if self.channel.is_tls => "TLS is already active",
            () if !self.channel.offers_tls => "TLS is not available",
            () if self.is_logged_in() => "STARTTLS is not allowed after the login",
            () => {
                reply::ok("Begin TLS negotiation", out);
                return Effect::StartTls;
            }
        };
        self.wrong(&Refusal::plain(why), out)
    }

    /// Refuses what the client should have known better; closes when there is too much of it.
    fn wrong(&mut self, why: &Refusal, out: &mut Vec<u8>) -> Effect {
        self.leave_sasl();
        self.errors += 1;
        if self.errors >= self.options.max_errors {
            Refusal::plain("Too many invalid commands").bye(out);
            return Effect::Close;
        }
        why.no(out);
        Effect::Next
    }

    /// RFC 5804 §1.7. Mechanisms are listed where they can be used: an empty list would have clients give up, or go on
    /// without a login, and one that can't be used would have them send a password.
    fn capabilities(&self, out: &mut Vec<u8>) {
        let mut line = |name: &str, value: Option<&str>| {
            reply::string(name, out);
            if let Some(value) = value {
                out.push(b' ');
                reply::string(value, out);
            }
            out.extend_from_slice(b"\r\n");
        };
        line("IMPLEMENTATION", Some("Holdfast"));
        let mechanisms: Vec<&str> = self.mechanisms().map(Mechanism::name).collect();
        if !mechanisms.is_empty() {
            line("SASL", Some(&mechanisms.join(" ")));
        }
        let extensions: Vec<&str> = rules::capabilities().collect();
        line("SIEVE", Some(&extensions.join(" ")));
        if self.channel.offers_tls && !self.channel.is_tls && !self.is_logged_in() {
            line("STARTTLS", None);
        }
        if extensions.contains(&"enotify") {
            line("NOTIFY", Some("mailto"));
        }
        line("MAXREDIRECTS", Some(&MAX_REDIRECTS.to_string()));
        line("UNAUTHENTICATE", None);
        if let State::In { address, .. } = &self.state {
            line("OWNER", Some(address));
        }
        line("VERSION", Some("1.0"));
    }
}

#[cfg(test)]
mod tests;
