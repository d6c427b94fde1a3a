//! A message of any bytes: structure, record, showing, searching, sections.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::display::{self, ReadOptions};
use mailkit::{Parsed, Part, headers, parse, trace};

fuzz_target!(|raw: &[u8]| {
    let parsed = parse(raw);
    assert_eq!(parsed.root.header_start, 0);
    assert_eq!(parsed.root.body_end, raw.len() as u64);
    check(&parsed.root, raw.len() as u64);
    let stored = parsed.to_bytes();
    assert!(stored.len() < 1024 * 1024);
    assert_eq!(Parsed::from_bytes(&stored).expect("its own record"), parsed);
    let options = ReadOptions { remote_images: false, inline_url: &|part| format!("/part/{part}") };
    let shown = display::show(raw, &parsed, &options);
    for attachment in &shown.attachments {
        assert!(display::part_content(raw, &parsed, &attachment.part).is_some());
        assert!(!attachment.name.contains(['/', '\\', '\n', '\r', '\0']));
    }
    display::search_text(raw, &parsed);
    let header = headers::header_range(raw);
    assert_eq!(header.end as u64, parsed.root.body_start);
    headers::select(&raw[header], &["subject", "to"], true);
    trace::hops(raw);
});

/// Every part lies inside its parent, in order.
fn check(part: &Part, end: u64) {
    assert!(part.header_start <= part.body_start && part.body_start <= part.body_end && part.body_end <= end);
    assert!(!part.is_multipart() || !part.parts.is_empty());
    let mut from = part.body_start;
    for child in &part.parts {
        assert!(child.header_start >= from);
        check(child, part.body_end);
        from = child.body_end;
    }
}
