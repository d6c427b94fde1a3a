//! SASL (RFC 4422), the server's side, sans-io: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM-SHA-256 and
//! -PLUS (RFC 5802, 7677).
//!
//! An [`Exchange`] takes the client's messages and returns the replies, until it knows what the client claims. For
//! PLAIN and LOGIN that is a password, which the caller must check; for SCRAM the caller looks up the stored keys in
//! between.

mod scram;

use std::fmt;

pub use scram::{ScramKeys, ScramSecret, ScramServer};

/// The longest client message, decoded.
pub const MAX_MESSAGE_BYTES: usize = 4_096;

/// A mechanism that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Name and password in one message. Only under TLS.
    Plain,
    /// Name and password one after the other. Only under TLS.
    Login,
    /// Proves knowledge of a password without saying it.
    ScramSha256,
    /// The same, bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// By its registered name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::ScramSha256, Self::ScramSha256Plus]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }
}

/// A name and a password that a client claims to be its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The identity to act as; empty for the login itself.
    pub authzid: String,
    /// The login.
    pub authcid: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password({:?} as {:?}, …)", self.authcid, self.authzid)
    }
}

/// The next step.
#[derive(Debug)]
pub enum Step {
    /// Send this (the protocol encodes it in base64) and pass the response in.
    Challenge(Vec<u8>),
    /// Check this password.
    Password(Password),
    /// Look up this login's SCRAM keys and call [`Exchange::scram_keys`] with them.
    ScramLogin(String),
    /// SCRAM: the proof is right. Send this as the last challenge (or with the success, if the protocol can), then the login
    /// is complete.
    Proved {
        /// The login.
        login: String,
        /// By which of [`ScramKeys::secrets`].
        which: usize,
        /// The server's own proof.
        last: Vec<u8>,
    },
}

/// Why an exchange ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The message is not of the mechanism's form, or too long.
    #[error("malformed authentication message")]
    Malformed,
    /// The proof, nonce or channel binding is wrong.
    #[error("authentication failed")]
    Failed,
}

/// A running exchange.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    Scram(Box<ScramServer>),
    Over,
}

impl Exchange {
    /// Begins. `channel` is the connection's `tls-exporter` value, where it has one.
    pub fn new(mechanism: Mechanism, channel: Option<[u8; 32]>) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::Scram(Box::new(ScramServer::new(false, channel))),
            Mechanism::ScramSha256Plus => State::Scram(Box::new(ScramServer::new(true, channel))),
        };
        Self { state }
    }

    /// The first challenge, for a client that sent no initial response.
    pub fn first_challenge(&self) -> Vec<u8> {
        match self.state {
            State::LoginName => b"Username:".to_vec(),
            _ => Vec::new(),
        }
    }

    /// Takes a message of the client, decoded.
    ///
    /// # Errors
    /// The exchange is over then.
    pub fn step(&mut self, message: &[u8]) -> Result<Step, SaslError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(SaslError::Malformed);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => plain(message).map(Step::Password),
            State::LoginName => {
                self.state = State::LoginPassword(text(message)?);
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword(authcid) => {
                Ok(Step::Password(Password { authzid: String::new(), authcid, password: text(message)? }))
            }
            State::Scram(mut scram) => {
                let step = scram.step(message)?;
                self.state = State::Scram(scram);
                Ok(step)
            }
            State::Over => Err(SaslError::Malformed),
        }
    }

    /// Gives the keys that [`Step::ScramLogin`] asked for; for an unknown login those that no password fits, and the
    /// exchange goes on as if there were one, to fail at its end as with a wrong password.
    ///
    /// # Errors
    /// When the exchange did not ask.
    pub fn scram_keys(&mut self, keys: ScramKeys) -> Result<Step, SaslError> {
        match &mut self.state {
            State::Scram(scram) => scram.keys(keys),
            _ => Err(SaslError::Malformed),
        }
    }
}

fn text(message: &[u8]) -> Result<String, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
    if text.is_empty() || text.contains('\0') { Err(SaslError::Malformed) } else { Ok(text.to_owned()) }
}

fn plain(message: &[u8]) -> Result<Password, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authzid), Some(authcid), Some(password), None) if !authcid.is_empty() && !password.is_empty() => {
            Ok(Password { authzid: authzid.to_owned(), authcid: authcid.to_owned(), password: password.to_owned() })
        }
        _ => Err(SaslError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_takes_name_and_password_and_refuses_what_lacks_one() {
        let mut exchange = Exchange::new(Mechanism::Plain, None);
        let Ok(Step::Password(password)) = exchange.step(b"\0tim\0tanstaaftanstaaf") else { panic!() };
        assert_eq!((password.authcid.as_str(), password.password.as_str()), ("tim", "tanstaaftanstaaf"));
        for wrong in [&b""[..], b"tim", b"\0tim", b"\0tim\0", b"\0\0x", b"\0tim\0x\0y", b"\0\xFF\0x"] {
            assert_eq!(Exchange::new(Mechanism::Plain, None).step(wrong).unwrap_err(), SaslError::Malformed);
        }
    }

    #[test]
    fn login_asks_for_name_then_password() {
        let mut exchange = Exchange::new(Mechanism::Login, None);
        assert_eq!(exchange.first_challenge(), b"Username:");
        assert!(matches!(exchange.step(b"tim"), Ok(Step::Challenge(text)) if text == b"Password:"));
        assert!(matches!(exchange.step(b"secret"), Ok(Step::Password(password)) if password.password == "secret"));
        assert_eq!(exchange.step(b"more").unwrap_err(), SaslError::Malformed);
    }

    #[test]
    fn an_endless_message_is_refused() {
        let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
        assert_eq!(Exchange::new(Mechanism::Login, None).step(&long).unwrap_err(), SaslError::Malformed);
    }

    #[test]
    fn a_password_is_never_printed() {
        let mut exchange = Exchange::new(Mechanism::Plain, None);
        let step = exchange.step(b"\0tim\0hunter2").unwrap();
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
