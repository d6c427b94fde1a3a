//! Trace fields that the service writes on top of a message.

use std::net::IpAddr;

use crate::EmailAddress;

/// A `Received:` field (RFC 5321 section 4.4).
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub helo: &'a str,
    /// Where it connected from; `None` for mail made by the service itself (web).
    pub peer: Option<IpAddr>,
    /// Our name.
    pub by: &'a str,
    /// Protocol by RFC 3848/6531: `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPSA`, `UTF8SMTPS`, `HTTPS` …
    pub with: &'a str,
    /// TLS version and cipher, as a comment.
    pub tls: Option<&'a str>,
    /// Our id of this transaction.
    pub id: &'a str,
    /// The recipient, if there is one only (several: left out so that none learns of the others).
    pub recipient: Option<&'a EmailAddress>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
}

impl Received<'_> {
    /// The field with folds and final CRLF. Whatever the client sent can not break out of it.
    pub fn to_header(&self) -> String {
        todo!()
    }
}

/// `Return-Path: <...>` CRLF; `None` is the null path `<>`.
pub fn return_path(_from: Option<&EmailAddress>) -> String {
    todo!()
}

/// `Authentication-Results:` (RFC 8601) with CRLF; each result a method clause such as `auth=pass smtp.auth=...`.
pub fn authentication_results(_by: &str, _results: &[String]) -> String {
    todo!()
}

/// Number of `Received:` fields on top of a raw message: the loop detector's measure.
pub fn hops(_raw: &[u8]) -> usize {
    todo!()
}
