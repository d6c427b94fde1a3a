//! Strings, numbers and dates as RFC 9051 section 9 writes them.

use std::io::Write;

/// Longest string written in quotes; longer ones go as literals, which clients read faster.
const MAX_QUOTED: usize = 1_000;

/// Writes a number.
pub(crate) fn number(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes `string`: in quotes where that is allowed, else as a literal. NUL, which neither may hold, becomes a space.
/// With `utf8`, quotes may hold UTF-8 (IMAP4rev2, RFC 6855).
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8], utf8: bool) {
    let plain = |b: u8| (b' '..0x7F).contains(&b) || b == b'\t';
    let ascii = bytes.iter().all(|&b| plain(b));
    let quotable = bytes.len() <= MAX_QUOTED
        && (ascii || (utf8 && bytes.iter().all(|&b| plain(b) || b >= 0x80) && std::str::from_utf8(bytes).is_ok()));
    if quotable {
        out.push(b'"');
        if bytes.iter().any(|b| matches!(b, b'"' | b'\\')) {
            for &b in bytes {
                if matches!(b, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(b);
            }
        } else {
            out.extend_from_slice(bytes);
        }
        out.push(b'"');
    } else {
        literal_header(out, bytes.len() as u64, false);
        let start = out.len();
        out.extend_from_slice(bytes);
        for b in &mut out[start..] {
            if *b == 0 {
                *b = b' ';
            }
        }
    }
}

/// Writes `nstring`.
pub(crate) fn nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>, utf8: bool) {
    match bytes {
        Some(bytes) => string(out, bytes, utf8),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Writes `{n}` or `~{n}` and CRLF.
pub(crate) fn literal_header(out: &mut Vec<u8>, len: u64, binary: bool) {
    if binary {
        out.push(b'~');
    }
    out.push(b'{');
    number(out, len);
    out.extend_from_slice(b"}\r\n");
}

/// Writes free text for people: no control characters, one line, ASCII; and no double quotes, which clients that read
/// all answers by one grammar would want closed.
pub(crate) fn human(out: &mut Vec<u8>, text: &str) {
    out.extend(text.chars().map(|c| match c {
        '"' | '\u{201c}' | '\u{201d}' => b'\'',
        ' '..='~' => c as u8,
        _ => b'?',
    }));
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes `"17-Jul-1996 02:44:25 +0000"`, in UTC. Years outside 0-9999 are drawn to the nearest that can be written.
pub(crate) fn internal_date(out: &mut Vec<u8>, ms: i64) {
    const FIRST: i64 = -62_167_219_200;
    const LAST: i64 = 253_402_300_799;
    let seconds = ms.div_euclid(1000).clamp(FIRST, LAST);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let month = MONTHS[month as usize - 1];
    // Writing to a Vec can not fail.
    let _ =
        write!(out, "\"{day:02}-{month}-{year:04} {:02}:{:02}:{:02} +0000\"", rest / 3600, rest / 60 % 60, rest % 60);
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years begin in March
/// here, so that the leap day comes last; 719,468 days lie between 0000-03-01 and the epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8], utf8: bool) -> String {
        let mut out = Vec::new();
        string(&mut out, bytes, utf8);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn strings_take_the_form_that_can_hold_them() {
        assert_eq!(written(b"", false), "\"\"");
        assert_eq!(written(b"a \"b\" \\", false), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(written("d\u{e9}".as_bytes(), false), "{3}\r\nd\u{e9}");
        assert_eq!(written("d\u{e9}".as_bytes(), true), "\"d\u{e9}\"");
        assert_eq!(written(b"a\r\nb\0", true), "{5}\r\na\r\nb ");
    }

    #[test]
    fn internal_dates_agree_with_the_calendar() {
        for seconds in [0i64, -1, 837_596_665, 951_782_400, 951_868_799, 4_102_444_800, -62_167_219_200] {
            let mut out = Vec::new();
            internal_date(&mut out, seconds * 1000);
            let stamp = jiff::Timestamp::from_second(seconds).unwrap();
            let want = stamp.strftime("\"%d-%b-%Y %H:%M:%S +0000\"").to_string();
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let mut out = Vec::new();
        internal_date(&mut out, i64::MAX);
        assert_eq!(out, b"\"31-Dec-9999 23:59:59 +0000\"");
    }
}
