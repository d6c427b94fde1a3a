//! The protocol without sockets: takes lines, writes replies, returns effects for the caller.
//!
//! The caller answers each [`Effect`] that needs an answer with the method named in its documentation, before it passes
//! the next line.

mod login;

use directory::AccountRealm;
use directory::Login;
use doorkit::sasl::{Mechanism, Password};

use self::login::Dialogue;

use crate::{
    command::{Command, Misunderstood, Number},
    maildrop::{Maildrop, Message, Update},
    options::Pop3Options,
    reply::{self, Refusal},
};

/// The properties of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel {
    pub(crate) is_tls: bool,
    /// Logins may be made.
    pub(crate) may_log_in: bool,
    /// TLS can be begun by STLS.
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
    /// Send a message, or its header and some lines, after its `+OK`, then [`Session::note_retrieved`]; or say why not.
    Send { number: Number, message: Message, lines: Option<u64> },
    /// Do it, say how it went, and close.
    Update(Update),
    /// Send the replies and close.
    Close,
}

enum State {
    /// After the greeting, and perhaps a USER.
    Authorization {
        user: Option<String>,
    },
    /// Within AUTH.
    Sasl(Box<Dialogue>),
    Transaction(Maildrop),
}

/// A client's session.
pub(crate) struct Session {
    options: Pop3Options,
    channel: Channel,
    state: State,
    utf8: bool,
    errors: u32,
    failed_logins: u32,
}

const NOT_NOW: Misunderstood = Misunderstood("Command not allowed in this state");
const NO_SUCH_MESSAGE: &str = "No such message";

impl Session {
    pub(crate) const fn new(options: Pop3Options, channel: Channel) -> Self {
        let state = State::Authorization { user: None };
        Self { options, channel, state, utf8: false, errors: 0, failed_logins: 0 }
    }

    pub(crate) fn greet(&self, out: &mut Vec<u8>) {
        reply::ok(out, &format!("{} Holdfast POP3", self.options.hostname));
    }

    /// TLS has started: earlier state is discarded (RFC 2595 §4).
    pub(crate) fn secured(&mut self, channel: Channel) {
        self.channel = channel;
        self.state = State::Authorization { user: None };
    }

    pub(crate) const fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Transaction(_))
    }

    /// Whose mail it is, once logged in.
    pub(crate) const fn account(&self) -> Option<AccountRealm> {
        match &self.state {
            State::Transaction(maildrop) => Some(maildrop.account()),
            _ => None,
        }
    }

    /// The longest line that may come next, in bytes.
    pub(crate) const fn max_line_bytes(&self) -> usize {
        match &self.state {
            State::Sasl(_) => self.options.max_sasl_line_bytes,
            _ => self.options.max_line_bytes,
        }
    }

    /// Takes a line, without its line end.
    pub(crate) fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Effect {
        if matches!(self.state, State::Sasl(_)) {
            return self.sasl_line(line, out);
        }
        let effect = Command::parse(line).and_then(|command| {
            metrics::counter!("holdfast_pop3_commands_total", "command" => command.name()).increment(1);
            match command {
                Command::Capa => Ok(self.capabilities(out)),
                Command::Quit => Ok(self.quit(out)),
                command if self.is_logged_in() => self.transaction(command, out),
                command => self.authorization(command, out),
            }
        });
        effect.unwrap_or_else(|why| self.misunderstood(why, out))
    }

    /// A line was longer than [`Session::max_line_bytes`].
    pub(crate) fn line_too_long(&mut self, out: &mut Vec<u8>) -> Effect {
        if matches!(self.state, State::Sasl(_)) {
            self.state = State::Authorization { user: None };
        }
        self.misunderstood(Misunderstood("Line too long"), out)
    }

    fn misunderstood(&mut self, why: Misunderstood, out: &mut Vec<u8>) -> Effect {
        self.errors += 1;
        if self.errors >= self.options.max_errors {
            Refusal::plain("Too many invalid commands").write_to(out);
            return Effect::Close;
        }
        Refusal::plain(why.0).write_to(out);
        Effect::Next
    }

    fn authorization(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Result<Effect, Misunderstood> {
        match command {
            Command::Stls if self.channel.is_tls => Err(Misunderstood("TLS is already active")),
            Command::Stls if !self.channel.offers_tls => Err(Misunderstood("TLS is not available")),
            // RFC 6856 §2.1.
            Command::Stls if self.utf8 => Err(Misunderstood("STLS is not allowed after UTF8")),
            Command::Stls => {
                reply::ok(out, "Begin TLS negotiation");
                Ok(Effect::StartTls)
            }
            Command::Utf8 => {
                self.utf8 = true;
                reply::ok(out, "UTF-8 enabled");
                Ok(Effect::Next)
            }
            Command::User(user) => Ok(self.user(user, out)),
            Command::Pass(password) => self.pass(password),
            Command::Auth { mechanism: None, .. } => {
                reply::ok(out, "mechanisms:");
                for mechanism in self.mechanisms() {
                    reply::line(out, mechanism.name());
                }
                reply::line(out, ".");
                Ok(Effect::Next)
            }
            Command::Auth { mechanism: Some(mechanism), initial } => Ok(self.auth(mechanism, initial, out)),
            _ => Err(Misunderstood("Log in first")),
        }
    }

    fn transaction(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Result<Effect, Misunderstood> {
        let State::Transaction(maildrop) = &mut self.state else { return Err(NOT_NOW) };
        match command {
            Command::Stat => {
                let (count, bytes) = maildrop.total();
                reply::ok(out, &format!("{count} {bytes}"));
            }
            Command::List(number) => list(maildrop, number, out, |message| message.size.to_string()),
            Command::Uidl(number) => list(maildrop, number, out, |message| maildrop.unique_id(message)),
            Command::Retr(number) => {
                if let Some(message) = maildrop.message(number) {
                    return Ok(Effect::Send { number, message, lines: None });
                }
                Refusal::plain(NO_SUCH_MESSAGE).write_to(out);
            }
            Command::Top(number, lines) => {
                if let Some(message) = maildrop.message(number) {
                    return Ok(Effect::Send { number, message, lines: Some(lines) });
                }
                Refusal::plain(NO_SUCH_MESSAGE).write_to(out);
            }
            Command::Dele(number) => {
                if maildrop.delete(number) {
                    reply::ok(out, "Marked for deletion at QUIT");
                } else {
                    Refusal::plain(NO_SUCH_MESSAGE).write_to(out);
                }
            }
            Command::Noop => reply::ok(out, "Ok"),
            Command::Rset => {
                maildrop.reset();
                let (count, bytes) = maildrop.total();
                reply::ok(out, &format!("{count} messages ({bytes} bytes)"));
            }
            _ => return Err(NOT_NOW),
        }
        Ok(Effect::Next)
    }

    fn quit(&self, out: &mut Vec<u8>) -> Effect {
        match &self.state {
            State::Transaction(maildrop) => Effect::Update(maildrop.update()),
            _ => {
                reply::ok(out, "Bye");
                Effect::Close
            }
        }
    }

    /// Notes that a message was sent as a whole.
    pub(crate) fn note_retrieved(&mut self, number: Number) {
        if let State::Transaction(maildrop) = &mut self.state {
            maildrop.note_retrieved(number);
        }
    }

    /// RFC 2449 §5, RFC 6856 §2.
    fn capabilities(&self, out: &mut Vec<u8>) -> Effect {
        reply::ok(out, "Capability list follows");
        for capability in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER"] {
            reply::line(out, capability);
        }
        if self.is_logged_in() {
            reply::line(out, "IMPLEMENTATION Holdfast");
        } else {
            if self.channel.offers_tls && !self.channel.is_tls {
                reply::line(out, "STLS");
            }
            if self.channel.may_log_in {
                reply::line(out, "USER");
                let mechanisms: Vec<&str> = self.mechanisms().map(Mechanism::name).collect();
                reply::line(out, &format!("SASL {}", mechanisms.join(" ")));
            }
        }
        reply::line(out, ".");
        Effect::Next
    }
}

/// LIST and UIDL: of one message, or of all.
fn list(maildrop: &Maildrop, number: Option<Number>, out: &mut Vec<u8>, what: impl Fn(&Message) -> String) {
    match number {
        None => {
            reply::ok(out, "");
            for (number, message) in maildrop.messages() {
                reply::line(out, &format!("{number} {}", what(message)));
            }
            reply::line(out, ".");
        }
        Some(number) => match maildrop.message(number) {
            Some(message) => reply::ok(out, &format!("{number} {}", what(&message))),
            None => Refusal::plain(NO_SUCH_MESSAGE).write_to(out),
        },
    }
}

#[cfg(test)]
mod tests;
