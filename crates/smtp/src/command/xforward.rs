//! XFORWARD: a server that kept our mail (a backup MX) says from whom it has a message. Postfix's extension; Postfix
//! sends it where the reply to EHLO offers it and `smtp_send_xforward_command` is on.

use std::net::IpAddr;

use super::{Result, name, syntax, xtext};

/// The attributes that are offered. Those that are of no use here are taken and dropped.
pub const OFFERED: &str = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE";

/// The client of the server that forwards. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// ADDR: its address.
    pub addr: Option<IpAddr>,
    /// HELO: how it greeted.
    pub helo: Option<String>,
}

impl Forwarded {
    /// Adds what another command says: a client may send several.
    pub fn merge(&mut self, more: Self) {
        self.addr = more.addr.or(self.addr);
        self.helo = more.helo.or_else(|| self.helo.take());
    }
}

/// The arguments: `ATTRIBUTE=value` in xtext, one or more.
pub(super) fn parse(rest: &str) -> Result<Forwarded> {
    let mut forwarded = Forwarded::default();
    if rest.is_empty() {
        return syntax("Syntax: XFORWARD attribute=value...");
    }
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let Some((attribute, value)) = word.split_once('=') else {
            return syntax("Syntax: XFORWARD attribute=value...");
        };
        let value = xtext(value)?;
        let is_known = !value.eq_ignore_ascii_case("[UNAVAILABLE]") && !value.eq_ignore_ascii_case("[TEMPUNAVAIL]");
        match attribute.to_ascii_uppercase().as_str() {
            "ADDR" if is_known => forwarded.addr = Some(address(&value)?),
            "HELO" if is_known => forwarded.helo = Some(name(&value)?),
            "ADDR" | "HELO" | "PROTO" | "NAME" | "PORT" | "IDENT" | "SOURCE" => {}
            _ => return syntax("Unknown XFORWARD attribute"),
        }
    }
    Ok(forwarded)
}

fn address(text: &str) -> Result<IpAddr> {
    let bare = match text.get(..5) {
        Some(prefix) if prefix.eq_ignore_ascii_case("IPV6:") => &text[5..],
        _ => text,
    };
    bare.parse().or_else(|_| syntax("Malformed XFORWARD ADDR"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_client_that_is_told_of_is_understood() {
        let said =
            parse("NAME=mail.example.net ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=mail.example.net SOURCE=REMOTE");
        let expected =
            Forwarded { addr: Some("192.0.2.7".parse().unwrap()), helo: Some("mail.example.net".to_owned()) };
        assert_eq!(said.unwrap(), expected);
        for (text, addr, helo) in [
            ("addr=IPv6:2001:db8::1", Some("2001:db8::1"), None),
            ("ADDR=2001:db8::1 IDENT=4BzX1", Some("2001:db8::1"), None),
            ("ADDR=[UNAVAILABLE] HELO=[TEMPUNAVAIL]", None, None),
            ("HELO=+5B192.0.2.9+5D PROTO=SMTP", None, Some("[192.0.2.9]")),
        ] {
            let said = parse(text).unwrap();
            assert_eq!((said.addr, said.helo.as_deref()), (addr.map(|addr| addr.parse().unwrap()), helo), "{text}");
        }
        for text in ["", "ADDR", "ADDR=nowhere", "ADDR=192.0.2.7:25", "LOGIN=anna", "HELO=a+20b", "HELO=a+2", "HELO="] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_second_command_says_is_added() {
        let mut all = parse("ADDR=192.0.2.7 HELO=one.example").unwrap();
        all.merge(parse("HELO=two.example PROTO=SMTP").unwrap());
        let expected = Forwarded { addr: Some("192.0.2.7".parse().unwrap()), helo: Some("two.example".to_owned()) };
        assert_eq!(all, expected);
    }

    proptest! {
        #[test]
        fn no_argument_makes_the_parser_panic(rest in "((ADDR|HELO|PROTO|X)=?\\PC{0,20} ?){0,4}") {
            let _ = parse(&rest);
        }
    }
}
