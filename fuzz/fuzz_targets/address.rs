//! Addresses and lists of them: what is taken has one spelling and can not break a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::{EmailAddress, date, headers, read_typed, typed};

fuzz_target!(|text: &str| {
    if let Ok(address) = EmailAddress::parse(text) {
        let written = address.to_string();
        assert!(!written.contains(|c: char| c.is_control()));
        assert_eq!(EmailAddress::parse(&written).as_ref(), Ok(&address));
        EmailAddress::parse(&address.canonical()).expect("the canonical form is an address");
    }
    for named in read_typed(text).people {
        let written = named.to_string();
        assert!(!written.contains(|c: char| c.is_control()));
        assert_eq!(read_typed(&written).people[0].address, named.address);
    }
    if let Ok(authors) = typed::authors(text.as_bytes()) {
        assert!(!authors.is_empty());
    }
    let _ = date::parse(text);
    headers::decode_text(text.as_bytes());
});
