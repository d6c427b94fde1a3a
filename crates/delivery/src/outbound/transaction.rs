//! One mail transaction with another server, without sockets: what to send next, and what each reply means for each
//! recipient (RFC 5321 §3.3, RFC 2920, RFC 3461).

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::Reply;
use crate::{Notify, Ret};

/// Longest parameter value that is passed on (RFC 3461 §4.2 allows ORCPT 500 characters).
const MAX_PARAMETER_BYTES: usize = 500;

/// A server's announced capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Commands may be sent without waiting (RFC 2920).
    pub pipelining: bool,
    /// Largest message, if it says so and it is not unlimited (RFC 1870).
    pub size: Option<u64>,
    /// It knows the `SIZE` parameter.
    pub knows_size: bool,
    /// RFC 6152.
    pub eight_bit: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 8689.
    pub requiretls: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// SASL mechanisms, upper case.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// From a positive reply to EHLO; its first line greets, the others are keywords.
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => {
                    found.knows_size = true;
                    found.size = words.next().and_then(|w| w.parse().ok()).filter(|&n| n > 0);
                }
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.requiretls = true,
                "STARTTLS" => found.starttls = true,
                "AUTH" => found.auth.extend(words.map(str::to_ascii_uppercase)),
                // Written so by old servers.
                _ if keyword.starts_with("AUTH=") => {
                    found.auth.push(keyword["AUTH=".len()..].to_owned());
                    found.auth.extend(words.map(str::to_ascii_uppercase));
                }
                _ => {}
            }
        }
        found
    }
}

/// What the sender wishes about the security of the way (RFC 8689).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsWish {
    /// What the receiving domain demands.
    #[default]
    Usual,
    /// TLS with a true certificate, and servers that promise the same of the way on: `REQUIRETLS`.
    Required,
    /// That it arrives, whatever the receiving domain demands: `TLS-Required: No`.
    Optional,
}

/// A message for one server.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Reverse-path without brackets; empty is the null sender.
    pub from: String,
    /// The recipients; not empty.
    pub recipients: Vec<MailRecipient>,
    /// Bytes of the message.
    pub size: u64,
    /// The message has bytes above 127: a server without 8BITMIME gets it converted, as far as its body has them.
    pub eight_bit: bool,
    /// It has lines of more than 998 octets: it is sent converted.
    pub long_lines: bool,
    /// Addresses or headers are internationalised.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
    /// What the sender wishes about the security of the way.
    pub tls: TlsWish,
}

/// A recipient of a [`Mail`].
#[derive(Clone, Debug)]
pub struct MailRecipient {
    /// Forward-path without brackets.
    pub address: String,
    /// `NOTIFY=`.
    pub notify: Notify,
    /// `ORCPT=` as given.
    pub orcpt: Option<String>,
}

/// The result for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server took it.
    Delivered(Reply),
    /// It will never take it.
    Failed(Reply),
    /// It may take it later.
    Deferred(Reply),
}

impl Fate {
    /// What a refusal means: for good, or for now.
    pub fn refused(reply: &Reply) -> Self {
        // RFC 5321 §4.5.3.1.10: "too many recipients" is temporary, whatever the first digit says.
        let too_many = reply.code == 552 && reply.enhanced() == Some((5, 5, 3));
        if reply.is_permanent() && !too_many { Self::Failed(reply.clone()) } else { Self::Deferred(reply.clone()) }
    }
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Send(Vec<u8>),
    /// Write the message, encoded for DATA and ended with the dot. From here on a lost connection leaves open whether
    /// the server took it.
    SendMessage,
    /// Read one reply, waiting this long, and give it to [`Transaction::reply`].
    Read(Wait),
    /// It is over.
    Done,
}

/// Which timeout applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// An ordinary command.
    Command,
    /// DATA.
    Data,
    /// The end of the message.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Mail,
    Rcpt(usize),
    Data,
    End,
    /// The end of an empty message that was only sent because the server insisted on getting one.
    EmptyEnd,
    Reset,
}

/// A transaction. Ask [`Self::next`], do it, repeat.
#[derive(Debug)]
pub struct Transaction {
    mail: Mail,
    fates: Vec<Option<Fate>>,
    accepted: Vec<bool>,
    /// Steps decided on but not yet taken.
    steps: VecDeque<Step>,
    /// Replies that are still to come, in order.
    expected: VecDeque<Expect>,
    pipelining: bool,
    capabilities: Capabilities,
    closing: bool,
    message_sent: bool,
}

impl Transaction {
    /// Begin. When the server can not take the message at all, the first step is already [`Step::Done`].
    pub fn new(mail: Mail, capabilities: &Capabilities) -> Self {
        let count = mail.recipients.len();
        let mut this = Self {
            mail,
            fates: vec![None; count],
            accepted: vec![false; count],
            steps: VecDeque::new(),
            expected: VecDeque::new(),
            pipelining: capabilities.pipelining,
            capabilities: capabilities.clone(),
            closing: false,
            message_sent: false,
        };
        if let Some(reply) = this.unsendable() {
            this.settle_open(&Fate::Failed(reply));
            return this;
        }
        let mut out = this.mail_command();
        this.expected.push_back(Expect::Mail);
        if this.pipelining {
            for index in 0..count {
                out.extend_from_slice(&this.rcpt_command(index));
                this.expected.push_back(Expect::Rcpt(index));
            }
            out.extend_from_slice(b"DATA\r\n");
            this.expected.push_back(Expect::Data);
        }
        this.steps.push_back(Step::Send(out));
        this
    }

    /// The next step.
    pub fn next(&mut self) -> Step {
        if let Some(step) = self.steps.pop_front() {
            self.message_sent |= step == Step::SendMessage;
            return step;
        }
        match self.expected.front() {
            None => Step::Done,
            Some(Expect::Data) => Step::Read(Wait::Data),
            Some(Expect::End | Expect::EmptyEnd) => Step::Read(Wait::Done),
            Some(Expect::Mail | Expect::Rcpt(_) | Expect::Reset) => Step::Read(Wait::Command),
        }
    }

    /// The reply that the last [`Step::Read`] asked for.
    pub fn reply(&mut self, reply: &Reply) {
        let Some(expected) = self.expected.pop_front() else { return };
        if reply.code == 421 {
            // The server hangs up (RFC 5321 §3.8): nothing more will be answered.
            self.lose(reply);
            return;
        }
        match expected {
            Expect::Mail if reply.is_positive() => {
                if !self.pipelining {
                    self.ask_rcpt(0);
                }
            }
            Expect::Mail => {
                let fate = Fate::refused(reply);
                self.settle_open(&fate);
            }
            Expect::Rcpt(index) => {
                if self.fates[index].is_none() {
                    if reply.is_positive() {
                        self.accepted[index] = true;
                    } else {
                        self.fates[index] = Some(Fate::refused(reply));
                    }
                }
                if !self.pipelining {
                    self.after_rcpt(index);
                }
            }
            Expect::Data => self.after_data(reply),
            Expect::End => {
                let fate = if reply.is_positive() { Fate::Delivered(reply.clone()) } else { Fate::refused(reply) };
                self.settle_open(&fate);
            }
            Expect::EmptyEnd | Expect::Reset => {
                if !reply.is_positive() && expected == Expect::Reset {
                    self.closing = true;
                }
            }
        }
    }

    /// The connection was lost, or `reply` ended it: unsettled recipients may be tried again.
    pub fn lose(&mut self, reply: &Reply) {
        self.closing = true;
        self.steps.clear();
        self.expected.clear();
        self.settle_open(&Fate::Deferred(reply.clone()));
    }

    /// The message itself was begun to be sent.
    pub fn message_sent(&self) -> bool {
        self.message_sent
    }

    /// Each recipient's fate, in order, and whether the connection can be used again. To be called when done.
    pub fn finish(self) -> (Vec<Fate>, bool) {
        let unsettled = Reply::new(451, "the SMTP transaction ended early");
        let fates = self.fates.into_iter().map(|f| f.unwrap_or_else(|| Fate::Deferred(unsettled.clone()))).collect();
        (fates, !self.closing)
    }

    /// A requirement that the server does not support, in the words of the sender's report.
    fn unsendable(&self) -> Option<Reply> {
        if self.mail.smtputf8 && !self.capabilities.smtputf8 {
            return Some(Reply::new(553, format!("5.6.7 {}", self.needs_utf8())));
        }
        let limit = self.capabilities.size?;
        (self.mail.size > limit).then(|| {
            let size = self.mail.size;
            Reply::new(
                552,
                format!("5.3.4 message too large: it has {size} bytes; the receiving server accepts {limit}"),
            )
        })
    }

    /// Why a server without SMTPUTF8 can't take the message, and what to do.
    fn needs_utf8(&self) -> String {
        let lacks =
            "the receiving server only takes addresses of plain letters, digits and punctuation (it lacks SMTPUTF8)";
        let is_other = |address: &&str| !address.is_ascii();
        if let Some(to) = self.mail.recipients.iter().map(|to| to.address.as_str()).find(is_other) {
            format!("{lacks}, which {to} is not: ask the recipient for another address")
        } else if !self.mail.from.is_ascii() {
            format!("{lacks}, which your address {} is not: send the message from another address", self.mail.from)
        } else {
            format!("{lacks}, and an address in a header field of the message is not one: remove it")
        }
    }

    fn settle_open(&mut self, fate: &Fate) {
        for slot in self.fates.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(fate.clone());
        }
    }

    fn any_accepted(&self) -> bool {
        self.accepted.iter().zip(&self.fates).any(|(accepted, fate)| *accepted && fate.is_none())
    }

    fn ask_rcpt(&mut self, index: usize) {
        let command = self.rcpt_command(index);
        self.ask(command, Expect::Rcpt(index));
    }

    fn after_rcpt(&mut self, index: usize) {
        if index + 1 < self.mail.recipients.len() {
            self.ask_rcpt(index + 1);
        } else if self.any_accepted() {
            self.ask(b"DATA\r\n".to_vec(), Expect::Data);
        } else {
            self.reset();
        }
    }

    fn after_data(&mut self, reply: &Reply) {
        if !reply.is_intermediate() {
            let fate = if reply.is_positive() { Fate::Deferred(reply.clone()) } else { Fate::refused(reply) };
            self.settle_open(&fate);
            self.reset();
        } else if self.any_accepted() {
            self.steps.push_back(Step::SendMessage);
            self.expected.push_back(Expect::End);
        } else {
            // RFC 2920 §3.1: the server answered 354 without a recipient; it gets an empty message.
            self.ask(b".\r\n".to_vec(), Expect::EmptyEnd);
        }
    }

    fn reset(&mut self) {
        self.ask(b"RSET\r\n".to_vec(), Expect::Reset);
    }

    fn ask(&mut self, command: Vec<u8>, expect: Expect) {
        self.steps.push_back(Step::Send(command));
        self.expected.push_back(expect);
    }

    fn mail_command(&self) -> Vec<u8> {
        let mail = &self.mail;
        let mut line = format!("MAIL FROM:<{}>", mail.from);
        if self.capabilities.knows_size {
            let _ = write!(line, " SIZE={}", mail.size);
        }
        if mail.eight_bit && self.capabilities.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if mail.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if mail.tls == TlsWish::Required {
            line.push_str(" REQUIRETLS");
        }
        if self.capabilities.dsn {
            match mail.ret {
                Some(Ret::Full) => line.push_str(" RET=FULL"),
                Some(Ret::Headers) => line.push_str(" RET=HDRS"),
                None => {}
            }
            if let Some(envid) = &mail.envid {
                let _ = write!(line, " ENVID={}", xtext(envid));
            }
        }
        line.push_str("\r\n");
        line.into_bytes()
    }

    fn rcpt_command(&self, index: usize) -> Vec<u8> {
        let recipient = &self.mail.recipients[index];
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.capabilities.dsn {
            if recipient.notify.explicit {
                let _ = write!(line, " NOTIFY={}", notify_value(recipient.notify));
            }
            if let Some(orcpt) = recipient.orcpt.as_ref().filter(|orcpt| is_one_word(orcpt)) {
                let _ = write!(line, " ORCPT={orcpt}");
            }
        }
        line.push_str("\r\n");
        line.into_bytes()
    }
}

fn notify_value(notify: Notify) -> String {
    let wishes = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let wanted: Vec<&str> = wishes.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if wanted.is_empty() { "NEVER".to_owned() } else { wanted.join(",") }
}

/// Whether a parameter value can stand in a command as it is.
fn is_one_word(value: &str) -> bool {
    value.len() <= MAX_PARAMETER_BYTES && value.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// RFC 3461 §4: printable ASCII but `+` and `=` stands for itself.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b'!'..=b'~').contains(&byte) && byte != b'+' && byte != b'=' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "+{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
