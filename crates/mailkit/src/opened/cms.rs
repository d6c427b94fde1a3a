//! Cryptographic Message Syntax (RFC 5652), as far as it can be read without a key: signed content is not encrypted.

use super::found::Opened;

/// 1.2.840.113549.1.7.2
const SIGNED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2];
/// 1.2.840.113549.1.7.3
const ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
/// 1.2.840.113549.1.9.16.1.23
const AUTH_ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23];

const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xA0;

/// Deepest nesting of values.
const MAX_DEPTH: usize = 12;

/// Reads a `ContentInfo`.
pub(super) fn read(bytes: &[u8]) -> Option<Opened> {
    let (SEQUENCE, info, _) = value(bytes)? else { return None };
    let (OID, kind, rest) = value(info)? else { return None };
    if kind == ENVELOPED || kind == AUTH_ENVELOPED {
        return Some(Opened::Encrypted);
    }
    if kind != SIGNED {
        return None;
    }
    let (CONTEXT_0, content, _) = value(rest)? else { return None };
    let (SEQUENCE, mut signed, _) = value(content)? else { return None };
    // Version and digest algorithms stand before what was signed.
    loop {
        let (tag, inner, rest) = value(signed)?;
        signed = rest;
        if tag == SEQUENCE {
            let (OID, _, inner) = value(inner)? else { return None };
            let (CONTEXT_0, inner, _) = value(inner)? else { return None };
            let (tag, octets, _) = value(inner)?;
            let mut out = Vec::new();
            collect(tag, octets, 0, &mut out)?;
            return Some(Opened::Message(out));
        }
    }
}

/// An octet string, which may come in pieces.
fn collect(tag: u8, content: &[u8], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    if tag == OCTETS {
        out.extend_from_slice(content);
        return Some(());
    }
    if tag != OCTETS | CONSTRUCTED || depth > MAX_DEPTH {
        return None;
    }
    let mut rest = content;
    while !rest.is_empty() {
        let (tag, piece, after) = value(rest)?;
        collect(tag, piece, depth + 1, out)?;
        rest = after;
    }
    Some(())
}

/// Tag, content and what follows of the first value, by BER: lengths may be left open.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, header, length) = head(bytes)?;
    match length {
        Some(length) => {
            let (content, rest) = bytes[header..].split_at_checked(length)?;
            Some((tag, content, rest))
        }
        None => {
            let length = open_length(&bytes[header..], 0)?;
            let (content, rest) = bytes[header..].split_at(length);
            Some((tag, content, &rest[2..]))
        }
    }
}

/// Tag, bytes of tag and length, and the length if it is given.
fn head(bytes: &[u8]) -> Option<(u8, usize, Option<usize>)> {
    let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
    if tag & 0x1F == 0x1F {
        return None;
    }
    match first {
        0x80 => Some((tag, 2, None)),
        0..0x80 => Some((tag, 2, Some(usize::from(first)))),
        _ => {
            let count = usize::from(first & 0x7F);
            let digits = bytes.get(2..2 + count).filter(|_| count <= 4)?;
            let length = digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit));
            Some((tag, 2 + count, Some(length)))
        }
    }
}

/// How long content of open length is, its end mark left out.
fn open_length(bytes: &[u8], depth: usize) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        if rest.starts_with(&[0, 0]) {
            return Some(at);
        }
        let (_, header, length) = head(rest)?;
        at += header;
        at = match length {
            Some(length) => at.checked_add(length).filter(|at| *at <= bytes.len())?,
            None if depth < MAX_DEPTH => at + open_length(&bytes[at..], depth + 1)? + 2,
            None => return None,
        };
    }
}
