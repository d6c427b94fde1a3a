//! Attached documents: whatever they are, reading them ends, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::documents::{MAX_DOCUMENTS_TEXT_BYTES, texts};

fuzz_target!(|bytes: &[u8]| {
    for name in ["x.pdf", "x.docx", "x.html"] {
        let mut raw =
            format!("Content-Type: application/octet-stream; name={name}\r\nContent-Transfer-Encoding: binary\r\n\r\n")
                .into_bytes();
        raw.extend_from_slice(bytes);
        let found = texts(&raw, &mailkit::parse(&raw));
        assert!(found.text.len() <= MAX_DOCUMENTS_TEXT_BYTES + 1);
        assert!(found.unread <= 1);
    }
});
