//! The envelope: who sends, to whom, with which wishes (RFC 5321 §2.3.1, RFC 3461).

use std::net::IpAddr;

use bytes::Bytes;
use directory::AccountId;
use mailkit::EmailAddress;

/// The envelope of a message as received by SMTP.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The reverse-path; `None` is the null sender `<>` of reports, to which nothing is ever bounced.
    pub from: Option<EmailAddress>,
    /// Recipients accepted by [`crate::Delivery::rcpt`], in the order given.
    pub recipients: Vec<Recipient>,
    /// `RET=` of MAIL FROM: how much of the message a report returns.
    pub ret: Option<Ret>,
    /// `ENVID=` of MAIL FROM, decoded from xtext.
    pub envid: Option<String>,
    /// `BODY=8BITMIME` was given.
    pub body_8bit: bool,
    /// `SMTPUTF8` was given: the message may only go to servers that take it.
    pub smtputf8: bool,
    /// It goes on only under TLS, to servers that promise the same (`REQUIRETLS`, RFC 8689).
    pub require_tls: bool,
    /// Its origin.
    pub origin: Origin,
}

impl Envelope {
    /// A report goes to the claimed sender. Without authentication the claim may be forged: then there are no success
    /// reports, and no report repeats data from the envelope.
    pub(crate) fn forget_wishes_of_a_stranger(&mut self) {
        (self.ret, self.envid) = (Some(Ret::Headers), None);
        for recipient in &mut self.recipients {
            recipient.notify.success = false;
            recipient.orcpt = None;
        }
    }
}

/// One recipient of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path.
    pub address: EmailAddress,
    /// `NOTIFY=`: when reports are wanted.
    pub notify: Notify,
    /// `ORCPT=` as given, `rfc822;` or `utf-8;` and xtext, kept as it stands.
    pub orcpt: Option<String>,
}

impl Recipient {
    /// A recipient without special wishes.
    pub fn new(address: EmailAddress) -> Self {
        Self { address, notify: Notify::default(), orcpt: None }
    }
}

/// When the sender wants a report about a recipient (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// When it was delivered.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
    /// The client gave the option: it is passed on. Otherwise the values above are our defaults.
    pub explicit: bool,
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false, explicit: true };
}

impl Default for Notify {
    /// No `NOTIFY=`: failures and delays are reported.
    fn default() -> Self {
        Self { success: false, failure: true, delay: true, explicit: false }
    }
}

/// How much of the message a failure report returns (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// All of it (up to [`crate::MAX_RETURNED_BYTES`], else the headers).
    Full,
    /// The headers only.
    Headers,
}

/// The origin of a message: for trace headers, policies and logs.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address; `None` for messages made in this process.
    pub peer: Option<IpAddr>,
    /// The client's name in HELO/EHLO/LHLO.
    pub helo: Option<String>,
    /// On a relay: what proves to the primary which password let the account in.
    pub auth_proof: Bytes,
    /// The authenticated account. Its mail may be relayed, is DKIM-signed, and gets the headers a submission must have.
    pub auth: Option<AccountId>,
    /// `TLSv1.3, TLS_AES_256_GCM_SHA384` or the like; `None` for plain text.
    pub tls: Option<String>,
    /// The client used EHLO or LHLO.
    pub esmtp: bool,
    /// Received by LMTP (RFC 2033).
    pub lmtp: bool,
    /// It came to a relay of ours, which has answered the client already: a refusal reaches nobody any more.
    pub relay: Option<AtRelay>,
    /// It is a stranger's message that was sent on to an account here by another one's forwarding or rules. Who gave it to us
    /// is not known any more; what was found about the sender then is above the message.
    pub passed_on: bool,
}

/// How a message was received by a relay of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtRelay {
    /// What was found out about the sender when the message came ([`crate::Verdict::findings`]); empty if nothing was.
    pub findings: Bytes,
    /// The server that gave it to us by SMTP, where that is a backup MX of another make: [`Origin::peer`] is its client.
    pub forwarder: Option<Forwarder>,
}

/// A backup MX of another make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarder {
    /// Its address.
    pub peer: Option<IpAddr>,
    /// Its name in EHLO.
    pub helo: Option<String>,
}

impl Origin {
    /// The `with` clause of a Received line (RFC 3848, RFC 6531 §4.3).
    pub fn protocol(&self, smtputf8: bool) -> String {
        let name = match (smtputf8, self.lmtp, self.esmtp) {
            (true, true, _) => "UTF8LMTP",
            (true, false, _) => "UTF8SMTP",
            (false, true, _) => "LMTP",
            (false, false, true) => "ESMTP",
            (false, false, false) => return "SMTP".to_owned(),
        };
        let secured = if self.tls.is_some() { "S" } else { "" };
        let signed_in = if self.auth.is_some() { "A" } else { "" };
        [name, secured, signed_in].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_has_its_registered_name() {
        let origin = |esmtp, lmtp, tls: bool, auth: bool| Origin {
            esmtp,
            lmtp,
            tls: tls.then(String::new),
            auth: auth.then_some(AccountId(1)),
            ..Origin::default()
        };
        assert_eq!(origin(false, false, false, false).protocol(false), "SMTP");
        assert_eq!(origin(true, false, true, false).protocol(false), "ESMTPS");
        assert_eq!(origin(true, false, true, true).protocol(false), "ESMTPSA");
        assert_eq!(origin(true, true, false, false).protocol(false), "LMTP");
        assert_eq!(origin(true, true, true, false).protocol(false), "LMTPS");
        assert_eq!(origin(true, false, false, true).protocol(true), "UTF8SMTPA");
        assert_eq!(origin(true, true, false, false).protocol(true), "UTF8LMTP");
    }
}
