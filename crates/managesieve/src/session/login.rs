//! Logging in: AUTHENTICATE (RFC 5804 §2.1).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use directory::{AccountId, Login};
use doorkit::sasl::{Exchange, Mechanism, SaslError, ScramKeys, Step};

use super::{Effect, Session, State};
use crate::{
    frame::Word,
    reply::{self, Code, Refusal},
};

/// An AUTHENTICATE in progress.
pub(super) struct Dialogue {
    exchange: Exchange,
    /// SCRAM: what each of the login's passwords lets in, if it is known.
    found: Vec<Login>,
    /// SCRAM: the proof was right, by this one of the passwords; the client has yet to accept ours.
    proved: Option<usize>,
}

const MALFORMED: &str = "Malformed authentication response";

impl Session {
    /// The mechanisms that may be used now. Clients choose; one that takes the first whatever it is knows PLAIN.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let all = [Mechanism::Plain, Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Login];
        let (may_log_in, can_bind) = (self.channel.may_log_in && !self.is_logged_in(), self.channel.exporter.is_some());
        let no_scram = self.channel.no_scram;
        all.into_iter().filter(move |mechanism| {
            may_log_in
                && match mechanism {
                    Mechanism::ScramSha256Plus => can_bind && !no_scram,
                    Mechanism::ScramSha256 => !no_scram,
                    Mechanism::Plain | Mechanism::Login => true,
                }
        })
    }

    pub(super) fn authenticate(&mut self, mechanism: &str, initial: Option<&str>, out: &mut Vec<u8>) -> Effect {
        if !self.channel.may_log_in {
            let why = Refusal::new(Code::EncryptNeeded, "TLS required for login: use STARTTLS first");
            return self.refuse_login(&why, out);
        }
        let known = Mechanism::from_name(mechanism).filter(|wanted| self.mechanisms().any(|known| known == *wanted));
        let Some(mechanism) = known else {
            return self.wrong(&Refusal::plain("Unsupported authentication mechanism"), out);
        };
        let exchange = Exchange::new(mechanism, self.channel.exporter);
        let first = exchange.first_challenge();
        self.state = State::Sasl(Box::new(Dialogue { exchange, found: Vec::new(), proved: None }));
        match initial {
            None => challenge(&first, out),
            Some(text) => self.sasl_text(text, out),
        }
    }

    /// The client's answer to a challenge: one string.
    pub(super) fn sasl_words(&mut self, words: &[Word], out: &mut Vec<u8>) -> Effect {
        match words {
            [Word::Text(text)] if text == "*" => self.refuse_login(&Refusal::plain("Authentication cancelled"), out),
            [Word::Text(text)] => self.sasl_text(text, out),
            _ => self.wrong(&Refusal::plain(MALFORMED), out),
        }
    }

    fn sasl_text(&mut self, text: &str, out: &mut Vec<u8>) -> Effect {
        let Ok(message) = BASE64.decode(text) else { return self.wrong(&Refusal::plain(MALFORMED), out) };
        let State::Sasl(dialogue) = &mut self.state else { return self.wrong(&Refusal::plain(MALFORMED), out) };
        if let Some(which) = dialogue.proved.take() {
            return match dialogue.found.get(which) {
                Some(&found) if message.is_empty() => Effect::ScramProved(found),
                _ => self.wrong(&Refusal::plain(MALFORMED), out),
            };
        }
        let step = dialogue.exchange.step(&message);
        self.sasl_step(step, out)
    }

    /// Goes on with what was found of [`Effect::ScramLookup`]'s login; without secrets it fails at the end.
    pub(crate) fn scram_keys(&mut self, found: Vec<Login>, keys: ScramKeys, out: &mut Vec<u8>) -> Effect {
        let State::Sasl(dialogue) = &mut self.state else { return self.wrong(&Refusal::plain(MALFORMED), out) };
        dialogue.found = found;
        let step = dialogue.exchange.scram_keys(keys);
        self.sasl_step(step, out)
    }

    fn sasl_step(&mut self, step: Result<Step, SaslError>, out: &mut Vec<u8>) -> Effect {
        let State::Sasl(dialogue) = &mut self.state else { return self.wrong(&Refusal::plain(MALFORMED), out) };
        match step {
            Ok(Step::Challenge(text)) => challenge(&text, out),
            Ok(Step::Password(password)) if password.authzid.is_empty() || password.authzid == password.authcid => {
                Effect::Login(password)
            }
            Ok(Step::Password(_)) => self.refuse_login(&Refusal::plain("Acting as another user is not supported"), out),
            Ok(Step::ScramLogin(login)) => Effect::ScramLookup(login),
            // It could go with the success, as a response code, but then there are clients that fail.
            Ok(Step::Proved { which, last, .. }) => {
                dialogue.proved = Some(which);
                challenge(&last, out)
            }
            Err(SaslError::Malformed) => self.wrong(&Refusal::plain(MALFORMED), out),
            Err(SaslError::Failed) => Effect::ScramFailed,
        }
    }

    /// An AUTHENTICATE that is under way has ended.
    pub(super) fn leave_sasl(&mut self) {
        if matches!(self.state, State::Sasl(_)) {
            self.state = State::Before;
        }
    }

    /// A login failed.
    pub(crate) fn refuse_login(&mut self, why: &Refusal, out: &mut Vec<u8>) -> Effect {
        self.state = State::Before;
        self.failed_logins += 1;
        if self.failed_logins >= self.options.max_failed_logins {
            why.bye(out);
            return Effect::Close;
        }
        why.no(out);
        Effect::Next
    }

    /// A login succeeded. The capabilities are not told again: no mechanism here makes a layer of its own.
    pub(crate) fn let_in(&mut self, account: AccountId, address: String, out: &mut Vec<u8>) {
        self.state = State::In { account, address };
        reply::ok("Logged in", out);
    }
}

fn challenge(text: &[u8], out: &mut Vec<u8>) -> Effect {
    reply::string(&BASE64.encode(text), out);
    out.extend_from_slice(b"\r\n");
    Effect::Next
}
