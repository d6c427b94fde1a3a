//! Packets of the milter protocol: a length, a letter, and what belongs to it.

use std::net::IpAddr;

use delivery::JudgeError;

/// The longest packet that is read.
pub const MAX_PACKET_BYTES: usize = 128 << 10;

/// What we say.
pub enum Command<'a> {
    /// Name and address of the client.
    Connect(&'a str, Option<IpAddr>),
    Helo(&'a str),
    Mail(&'a str),
    Rcpt(&'a str),
    Data,
    Header(String, String),
    EndOfHeader,
    Body(&'a [u8]),
    EndOfMessage,
    Quit,
}

impl Command<'_> {
    /// Its letter, and its bit among the steps that a milter may not want (`SMFIP_NO…`), and among those that it doesn't
    /// answer (`SMFIP_NR_…`).
    pub const fn kind(&self) -> (u8, u32, u32) {
        match self {
            Self::Connect(..) => (b'C', 0x1, 0x1000),
            Self::Helo(_) => (b'H', 0x2, 0x2000),
            Self::Mail(_) => (b'M', 0x4, 0x4000),
            Self::Rcpt(_) => (b'R', 0x8, 0x8000),
            Self::Body(_) => (b'B', 0x10, 0x8_0000),
            Self::Header(..) => (b'L', 0x20, 0x80),
            Self::EndOfHeader => (b'N', 0x40, 0x4_0000),
            Self::Data => (b'T', 0x200, 0x1_0000),
            Self::EndOfMessage => (b'E', 0, 0),
            Self::Quit => (b'Q', 0, 0),
        }
    }

    /// As it is sent. With `leading_space` a field's value is told with the space after the colon.
    pub fn packet(&self, leading_space: bool) -> Vec<u8> {
        let mut data = Vec::new();
        let mut text = |text: &str| {
            data.extend(text.bytes().filter(|&byte| byte != 0));
            data.push(0);
        };
        match self {
            Self::Connect(name, address) => {
                text(name);
                match address {
                    None => data.push(b'U'),
                    Some(address) => {
                        data.push(if address.is_ipv4() { b'4' } else { b'6' });
                        data.extend_from_slice(&0_u16.to_be_bytes());
                        let prefix = if address.is_ipv4() { "" } else { "IPv6:" };
                        data.extend_from_slice(format!("{prefix}{address}\0").as_bytes());
                    }
                }
            }
            Self::Helo(name) | Self::Mail(name) | Self::Rcpt(name) => text(name),
            Self::Header(name, value) => {
                text(name);
                text(if leading_space { value } else { value.strip_prefix(' ').unwrap_or(value) });
            }
            Self::Body(bytes) => data.extend_from_slice(bytes),
            Self::Data | Self::EndOfHeader | Self::EndOfMessage | Self::Quit => {}
        }
        packet(self.kind().0, &data)
    }
}

/// A packet.
pub fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(data.len() + 1).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    packet.push(letter);
    packet.extend_from_slice(data);
    packet
}

/// What a milter says.
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    Accept,
    Continue,
    Discard,
    Reject,
    TempFail,
    /// The reply that the client gets.
    Reply {
        code: u16,
        enhanced: (u8, u16, u16),
        text: String,
    },
    Skip,
    /// It still works.
    Progress,
    AddHeader(String, String),
    Quarantine(String),
    /// Its version, and what it wants to do and not to be told.
    Options {
        version: u32,
        actions: u32,
        steps: u32,
    },
}

impl Response {
    /// Reads one.
    pub fn read(letter: u8, data: &[u8]) -> Result<Self, JudgeError> {
        Ok(match letter {
            b'a' => Self::Accept,
            b'c' => Self::Continue,
            b'd' => Self::Discard,
            b'r' => Self::Reject,
            b't' => Self::TempFail,
            b's' => Self::Skip,
            b'p' => Self::Progress,
            b'y' => reply(&texts(data, 1)?[0])?,
            b'h' => {
                let [name, value] = two(data)?;
                Self::AddHeader(name, value)
            }
            // An index, which says where: above the message there is one place only.
            b'i' => {
                let [name, value] = two(data.get(4..).ok_or_else(|| bad("an inserted field"))?)?;
                Self::AddHeader(name, value)
            }
            b'q' => Self::Quarantine(texts(data, 1)?.swap_remove(0)),
            b'O' => {
                let number = |at: usize| {
                    let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
                    bytes.map(u32::from_be_bytes).ok_or_else(|| bad("its options"))
                };
                Self::Options { version: number(0)?, actions: number(4)?, steps: number(8)? }
            }
            other => return Err(bad(&format!("a \u{201c}{}\u{201d}", other.escape_ascii()))),
        })
    }
}

fn bad(what: &str) -> JudgeError {
    JudgeError(format!("the milter sent {what} that is not understood"))
}

/// Texts that each end with a NUL; there are `count`.
fn texts(data: &[u8], count: usize) -> Result<Vec<String>, JudgeError> {
    let Some(data) = data.strip_suffix(&[0]) else { return Err(bad("a text without an end")) };
    let texts: Vec<String> =
        data.split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    if texts.len() == count { Ok(texts) } else { Err(bad("texts")) }
}

fn two(data: &[u8]) -> Result<[String; 2], JudgeError> {
    texts(data, 2)?.try_into().map_err(|_| bad("texts"))
}

/// `550 5.7.1 text`, of which the enhanced code may be missing.
fn reply(text: &str) -> Result<Response, JudgeError> {
    let (code, rest) = text.split_at_checked(3).ok_or_else(|| bad("a reply"))?;
    let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code)).ok_or_else(|| bad("a reply"))?;
    let class = if code < 500 { 4 } else { 5 };
    let rest = rest.trim_start_matches(['-', ' ']);
    let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let numbers: Vec<u16> = first.split('.').filter_map(|part| part.parse().ok()).collect();
    let given = <[u16; 3]>::try_from(numbers).ok().filter(|given| given[0] == class && first.matches('.').count() == 2);
    let (enhanced, text) = match given {
        Some([_, subject, detail]) => ((class as u8, subject, detail), after),
        None => ((class as u8, 7, 1), rest),
    };
    // A reply of several lines begins each with its code.
    let text = text
        .split("\r\n")
        .map(|part| part.strip_prefix(&format!("{code}")).unwrap_or(part).trim_start_matches(['-', ' ']));
    Ok(Response::Reply { code, enhanced, text: super::line(&text.collect::<Vec<_>>().join(" ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_keep_their_codes() {
        for (text, code, enhanced, said) in [
            ("550 5.7.1 no", 550, (5, 7, 1), "no"),
            ("451 4.7.0 later", 451, (4, 7, 0), "later"),
            ("554 no codes here", 554, (5, 7, 1), "no codes here"),
            ("550 4.7.1 wrong class", 550, (5, 7, 1), "4.7.1 wrong class"),
            ("550-5.7.1 one\r\n550 5.7.1 two", 550, (5, 7, 1), "one 5.7.1 two"),
            ("550", 550, (5, 7, 1), ""),
        ] {
            let expected = Response::Reply { code, enhanced, text: said.to_owned() };
            assert_eq!(Response::read(b'y', format!("{text}\0").as_bytes()).unwrap(), expected, "{text}");
        }
        for wrong in ["", "55", "250 2.0.0 ok\0", "999 x\0", "\u{e9}50 x\0", "abc\0"] {
            assert!(Response::read(b'y', wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error() {
        for (letter, data) in [
            (b'h', &b"X\0"[..]),
            (b'h', b"X\0y"),
            (b'h', b""),
            (b'i', b"\0\0"),
            (b'i', b"\0\0\0\0X\0"),
            (b'q', b"why"),
            (b'O', b"\0\0\0\x06\0\0"),
            (b'b', b"another body"),
            (b'?', b""),
        ] {
            assert!(Response::read(letter, data).is_err(), "{} {}", letter.escape_ascii(), data.escape_ascii());
        }
    }
}
