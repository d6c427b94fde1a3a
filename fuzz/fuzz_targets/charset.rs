//! Transfer encodings, character sets, mailbox names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::charset::{decode_charset, decode_mutf7, decode_transfer, encode_mutf7};

const ENCODINGS: [&str; 4] = ["7bit", "base64", "quoted-printable", "x-unknown"];
const CHARSETS: [&str; 8] =
    ["utf-8", "us-ascii", "utf-7", "iso-2022-jp", "gb18030", "utf-16", "iso-2022-kr", "windows-1252"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (encoding, charset, bytes) = input;
    let decoded = decode_transfer(ENCODINGS[usize::from(encoding) % ENCODINGS.len()], bytes);
    decode_charset(Some(CHARSETS[usize::from(charset) % CHARSETS.len()]), decoded.as_deref().unwrap_or(bytes));
    decode_charset(None, bytes);
    if let Ok(name) = std::str::from_utf8(bytes) {
        assert_eq!(decode_mutf7(&encode_mutf7(name)).as_deref(), Some(name));
        if let Some(decoded) = decode_mutf7(name) {
            assert_eq!(encode_mutf7(&decoded), name);
        }
    }
});
