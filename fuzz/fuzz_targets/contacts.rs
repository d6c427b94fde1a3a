//! Address books that people upload: vCard and CSV of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use people::{
    ContactId, csv,
    import::{MAX_PROBLEMS, read},
    merge::Book,
    vcard,
};

fuzz_target!(|file: &[u8]| {
    let incoming = read(file);
    assert!(incoming.problems.len() <= MAX_PROBLEMS);
    let mut book = Book::default();
    for (number, incoming) in incoming.cards.into_iter().enumerate() {
        book.contacts.insert(ContactId(number as u64), incoming.card);
    }
    // What was taken can be given back.
    let written = vcard::write(&book);
    assert!(written.lines().all(|line| line.len() <= 75));
    assert_eq!(vcard::read(written.as_bytes()).cards.len(), book.contacts.len());
    csv::read(&csv::write(&book));
});
