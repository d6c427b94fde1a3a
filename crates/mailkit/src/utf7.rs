//! UTF-7: the character set of old mail (RFC 2152) and the modified form of IMAP mailbox names (RFC 3501 section 5.1.3).

/// A mailbox name to the modified UTF-7 of RFC 3501 section 5.1.3.
pub fn encode_mutf7(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted = String::new();
    for c in name.chars() {
        if is_direct(c) {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.push(c);
        }
    }
    flush(&mut shifted, &mut out);
    out
}

fn is_direct(c: char) -> bool {
    matches!(c, ' '..='~')
}

fn flush(shifted: &mut String, out: &mut String) {
    if shifted.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut have) = (0u32, 0u32);
    for unit in shifted.encode_utf16() {
        bits = (bits << 16) | u32::from(unit);
        have += 16;
        while have >= 6 {
            have -= 6;
            out.push(char::from(ALPHABET[(bits >> have) as usize & 63]));
            bits &= (1 << have) - 1;
        }
    }
    if have > 0 {
        out.push(char::from(ALPHABET[(bits << (6 - have)) as usize & 63]));
    }
    out.push('-');
    shifted.clear();
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Modified UTF-7 to a mailbox name; `None` if it is not well-formed.
///
/// Every name has one encoding only, so two names can not mean the same mailbox: needless shifts, wrong padding and
/// lone surrogates are refused.
pub fn decode_mutf7(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    let mut after_shift = false;
    while let Some(c) = rest.chars().next() {
        if !is_direct(c) {
            return None;
        }
        rest = &rest[c.len_utf8()..];
        if c != '&' {
            out.push(c);
            after_shift = false;
            continue;
        }
        let (run, tail) = rest.split_once('-')?;
        rest = tail;
        if run.is_empty() {
            out.push('&');
            after_shift = false;
            continue;
        }
        // Two runs side by side should have been one.
        if after_shift {
            return None;
        }
        after_shift = true;
        let text = decode_run(run, |b| ALPHABET.iter().position(|a| *a == b))?;
        if text.chars().any(is_direct) {
            return None;
        }
        out.push_str(&text);
    }
    Some(out)
}

/// A strict base64 run of UTF-16BE.
fn decode_run(run: &str, value: impl Fn(u8) -> Option<usize>) -> Option<String> {
    let mut units = Vec::with_capacity(run.len() / 2);
    let (mut bits, mut have) = (0u32, 0u32);
    for byte in run.bytes() {
        bits = (bits << 6) | value(byte)? as u32;
        have += 6;
        if have >= 16 {
            have -= 16;
            units.push((bits >> have) as u16);
            bits &= (1 << have) - 1;
        }
    }
    // What is left over is less than one character, and zero.
    if have >= 6 || bits != 0 {
        return None;
    }
    String::from_utf16(&units).ok()
}

/// UTF-7 (RFC 2152) to text, leniently: what is broken becomes U+FFFD.
pub(crate) fn decode_utf7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'+' {
            out.push(if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' });
            continue;
        }
        let run_len = rest.iter().position(|b| standard_value(*b).is_none()).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(run_len);
        let explicit_end = tail.first() == Some(&b'-');
        rest = if explicit_end { &tail[1..] } else { tail };
        if run.is_empty() {
            out.push(if explicit_end { '+' } else { '\u{fffd}' });
            continue;
        }
        let (mut bits, mut have) = (0u32, 0u32);
        let mut units = Vec::with_capacity(run_len / 2);
        for value in run.iter().filter_map(|b| standard_value(*b)) {
            bits = (bits << 6) | value;
            have += 6;
            if have >= 16 {
                have -= 16;
                units.push((bits >> have) as u16);
                bits &= (1 << have) - 1;
            }
        }
        out.push_str(&String::from_utf16_lossy(&units));
    }
    out
}

fn standard_value(byte: u8) -> Option<u32> {
    match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mutf7_examples_of_rfc_3501() {
        for (name, encoded) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Tom & Jerry", "Tom &- Jerry"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encode_mutf7(name), encoded);
            assert_eq!(decode_mutf7(encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn names_with_more_than_one_encoding_are_refused() {
        for bad in ["&", "&U,BTFw", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "ü", "&APx-", "&A-", "a\u{7f}", "&*-"] {
            assert_eq!(decode_mutf7(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn mutf7_round_trips(name: String) {
            prop_assert_eq!(decode_mutf7(&encode_mutf7(&name)), Some(name));
        }

        #[test]
        fn whatever_decodes_encodes_back_to_the_same(name in "[&A-Za-z0-9+,\\-]{0,24}") {
            if let Some(decoded) = decode_mutf7(&name) {
                prop_assert_eq!(encode_mutf7(&decoded), name);
            }
        }

        #[test]
        fn utf7_never_panics(bytes: Vec<u8>) {
            decode_utf7(&bytes);
        }
    }
}
