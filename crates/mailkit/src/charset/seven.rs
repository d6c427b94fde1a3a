//! Character sets in seven bits, which shift between alphabets: HZ (RFC 1843), ISO-2022-KR (RFC 1557), ISO-2022-CN (RFC
//! 1922).

use encoding_rs::{EUC_KR, GB18030};

/// HZ: what stands between `~{` and `~}` is GB 2312 without its high bits.
pub(super) fn decode_hz(bytes: &[u8]) -> String {
    let mut eight = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest {
            [b'~', b'{', ..] if !shifted => shifted = true,
            [b'~', b'}', ..] if shifted => shifted = false,
            [b'~', b'~', ..] if !shifted => eight.push(b'~'),
            [b'~', b'\n', ..] if !shifted => {}
            [b'\r' | b'\n', ..] => {
                // A shift does not outlast its line.
                shifted = false;
                eight.push(rest[0]);
                at += 1;
                continue;
            }
            [first @ 0x21..=0x7E, second @ 0x21..=0x7E, ..] if shifted => eight.extend([first | 0x80, second | 0x80]),
            _ => {
                eight.push(rest[0]);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    GB18030.decode_without_bom_handling(&eight).0.into_owned()
}

/// The two that shift by SO and SI, the alphabet being named by an escape sequence.
pub(super) fn decode_iso_2022(bytes: &[u8], korean: bool) -> String {
    const SO: u8 = 0x0E;
    const SI: u8 = 0x0F;
    const ESC: u8 = 0x1B;
    let mut eight = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    // Of ISO-2022-CN: GB 2312, not one of the sets of Taiwan, for which we have no table.
    let mut mainland = true;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let used = match rest {
            [ESC, b'$', b')' | b'*' | b'+', set, ..] => {
                mainland = *set == b'A';
                4
            }
            [ESC, b'N' | b'O', _, _, ..] if !korean => {
                eight.push(0xFF);
                4
            }
            [SO, ..] => {
                shifted = true;
                1
            }
            [SI, ..] => {
                shifted = false;
                1
            }
            [first @ 0x21..=0x7E, second @ 0x21..=0x7E, ..] if shifted => {
                if korean || mainland {
                    eight.extend([first | 0x80, second | 0x80]);
                } else {
                    // No character of either set, so that it becomes U+FFFD.
                    eight.push(0xFF);
                }
                2
            }
            [byte, ..] => {
                // A shift does not outlast its line.
                shifted &= !matches!(byte, b'\r' | b'\n');
                eight.push(*byte);
                1
            }
            [] => break,
        };
        at += used;
    }
    let set = if korean { EUC_KR } else { GB18030 };
    set.decode_without_bom_handling(&eight).0.into_owned()
}

/// The seven-bit set that escape sequences in the bytes tell of, if any does.
pub(super) fn by_escapes(bytes: &[u8]) -> Option<Seven> {
    let find = |sequence: &[u8]| memchr::memmem::find(bytes, sequence).is_some();
    memchr::memchr(0x1B, bytes)?;
    if find(b"\x1b$)C") {
        return Some(Seven::Korean);
    }
    if find(b"\x1b$)A") || find(b"\x1b$)G") {
        return Some(Seven::Chinese);
    }
    [&b"\x1b$B"[..], b"\x1b$@", b"\x1b(J", b"\x1b$(D"].into_iter().any(find).then_some(Seven::Japanese)
}

/// A family of sets that escape sequences tell of.
pub(super) enum Seven {
    Korean,
    Chinese,
    Japanese,
}
