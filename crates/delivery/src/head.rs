//! The header section of a message on its way in: gathered until it is complete, then looked at and completed.

use mailkit::{EmailAddress, compose, headers, typed};

/// Longest header section that is looked at as a whole; in a longer one the rest counts as body. From someone who is signed
/// in none that is longer is taken.
pub const MAX_HEADER_BYTES: usize = 512 << 10;

/// Gathers the header section.
#[derive(Default)]
pub struct Gatherer {
    bytes: Vec<u8>,
    searched: usize,
}

impl Gatherer {
    /// Take bytes; true once the section is complete, or has `max_bytes`. What follows it may be at the end of
    /// [`Self::into_bytes`].
    pub fn push(&mut self, bytes: &[u8], max_bytes: usize) -> bool {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= max_bytes || self.bytes.starts_with(b"\r\n") || self.bytes.starts_with(b"\n") {
            return true;
        }
        let from = self.searched.saturating_sub(2);
        self.searched = self.bytes.len();
        let area = &self.bytes[from..];
        area.windows(2).any(|w| w == b"\n\n") || area.windows(3).any(|w| w == b"\n\r\n")
    }

    /// Whether the end of the section is among what was taken, and no farther than that.
    pub fn is_whole(&self, max_bytes: usize) -> bool {
        let section = &self.bytes[headers::header_range(&self.bytes)];
        if section.len() > max_bytes {
            return false;
        }
        section.ends_with(b"\n\r\n") || section.ends_with(b"\n\n") || matches!(section, b"\r\n" | b"\n")
    }

    /// Bytes taken so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Everything taken so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The parts of the header section that matter for delivery.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many `Received:` lines there are.
    pub hops: usize,
    /// How many of them were written by this host.
    pub own_hops: usize,
    /// There is a `Date:`.
    pub has_date: bool,
    /// There is a `Message-ID:`.
    pub has_message_id: bool,
    /// There is a `From:`.
    pub has_from: bool,
    /// The addresses in `From:`, if there is one such field and it is wholly understood.
    pub from: Vec<EmailAddress>,
    /// Why it isn't.
    pub from_problem: Option<String>,
    /// It has bytes above 127.
    pub eight_bit: bool,
    /// How many `TLS-Required:` fields there are, and whether the last says No (RFC 8689).
    tls_required: (usize, bool),
}

impl Head {
    /// Read the header section at the start of `bytes`.
    pub fn read(bytes: &[u8], hostname: &str) -> Self {
        let mut head = Self::default();
        let by_us = format!("by {} ", hostname.to_ascii_lowercase());
        for field in headers::fields(bytes) {
            head.eight_bit |= !field.raw.is_ascii();
            let is = |name: &str| field.name.eq_ignore_ascii_case(name.as_bytes());
            if is("received") {
                head.hops += 1;
                let value = String::from_utf8_lossy(&headers::unfold(field.value)).to_ascii_lowercase();
                let words: Vec<&str> = value.split_ascii_whitespace().collect();
                head.own_hops += usize::from(format!("{} ", words.join(" ")).contains(&by_us));
            } else if is("date") {
                head.has_date = true;
            } else if is("message-id") {
                head.has_message_id = true;
            } else if is("tls-required") {
                let says_no = headers::unfold(field.value).trim_ascii().eq_ignore_ascii_case(b"no");
                head.tls_required = (head.tls_required.0 + 1, says_no);
            } else if is("from") {
                let authors = typed::authors(&headers::unfold(field.value));
                match authors {
                    _ if head.has_from => head.from_problem = Some("it has several From fields".to_owned()),
                    Ok(authors) => head.from = authors,
                    Err(problem) => head.from_problem = Some(problem.to_string()),
                }
                head.has_from = true;
            }
        }
        head
    }

    /// The sender would rather have the message arrive than be kept secret: exactly one `TLS-Required: No`.
    pub fn tls_is_optional(&self) -> bool {
        self.tls_required == (1, true)
    }
}

/// The header section without `Bcc:` lines, so that recipients of blind copies stay unknown to the others (RFC 5322
/// §3.6.3). The lines in which a draft stores them are removed too. Everything after the section is unchanged.
pub fn without_bcc(bytes: Vec<u8>) -> Vec<u8> {
    let secret = |name: &[u8]| {
        let mut names = ["bcc", "resent-bcc"].into_iter().chain(compose::TYPED_FIELDS).chain([compose::DRAFT_OF_FIELD]);
        names.any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
    };
    if !headers::fields(&bytes).any(|field| secret(field.name)) {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let start = bytes.as_ptr() as usize;
    let mut copied = 0;
    for field in headers::fields(&bytes) {
        let at = field.raw.as_ptr() as usize - start;
        if secret(field.name) {
            out.extend_from_slice(&bytes[copied..at]);
            copied = at + field.raw.len();
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_section_is_complete_at_its_empty_line_however_it_is_cut() {
        let message = b"A: b\r\nC: d\r\n\r\nbody";
        for cut in 1..4 {
            let mut gatherer = Gatherer::default();
            let complete = message.chunks(cut).position(|piece| gatherer.push(piece, MAX_HEADER_BYTES));
            let taken = gatherer.into_bytes();
            assert!(complete.is_some());
            assert!(taken.len() >= 14 && taken.len() <= 14 + cut, "{cut}");
        }
        assert!(Gatherer::default().push(b"\r\nbody", MAX_HEADER_BYTES));
        assert!(Gatherer::default().push(b"A: b\n\nbody", MAX_HEADER_BYTES));
        assert!(!Gatherer::default().push(b"A: b\r\n", MAX_HEADER_BYTES));
    }

    #[test]
    fn a_section_without_its_end_is_not_whole() {
        for (bytes, whole) in [
            (&b"A: b\r\n\r\nbody"[..], true),
            (b"A: b\n\nbody", true),
            (b"\r\nbody", true),
            (b"A: b\r\nC: d\r\n", false),
            (b"", false),
        ] {
            let mut gatherer = Gatherer::default();
            gatherer.push(bytes, MAX_HEADER_BYTES);
            assert!(!gatherer.is_whole(1));
            assert_eq!(gatherer.is_whole(MAX_HEADER_BYTES), whole, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn hops_are_counted_and_our_own_among_them() {
        let message =
            b"Received: from a by mx.example with SMTP; x\r\nReceived: from b\r\n\tby MX.example\r\n\twith X\r\n\
            Received: by other.example; y\r\nFrom: A <a@x.example>\r\n\r\nReceived: in the body\r\n";
        let head = Head::read(message, "mx.example");
        assert_eq!((head.hops, head.own_hops), (3, 2));
        assert!(head.has_from && !head.has_date && !head.has_message_id);
        assert_eq!(head.from.len(), 1);
    }

    #[test]
    fn blind_copies_stay_blind() {
        let message = b"To: a@x\r\nBCC: secret@x,\r\n other@x\r\nSubject: s\r\n\r\nBcc: text\r\n".to_vec();
        assert_eq!(without_bcc(message), b"To: a@x\r\nSubject: s\r\n\r\nBcc: text\r\n");
        let draft = b"Holdfast-Typed-Bcc:\r\n c2VjcmV0QHg=\r\nTo: a@x\r\nResent-Bcc : b@x\r\n\r\n".to_vec();
        assert_eq!(without_bcc(draft), b"To: a@x\r\n\r\n");
        let clean = b"To: a@x\r\n\r\nBcc: text\r\n".to_vec();
        assert_eq!(without_bcc(clean.clone()), clean);
    }
}
