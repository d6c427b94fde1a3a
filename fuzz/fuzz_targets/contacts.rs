//! Address books that people upload: vCard and CSV of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use people::{
    ContactId, csv,
    import::{MAX_PROBLEMS, read},
    merge::Book,
    vcard::{self, Version},
};

fuzz_target!(|file: &[u8]| {
    let incoming = read(file);
    assert!(incoming.problems.len() <= MAX_PROBLEMS);
    let mut book = Book::default();
    for (number, incoming) in incoming.cards.into_iter().enumerate() {
        let mut card = incoming.card;
        // Fields that are read and written again say the same.
        let further = card.further();
        card.set_further(&further);
        assert_eq!(card.further(), further);
        book.contacts.insert(ContactId(number as u64), card);
    }
    // What was taken can be given back.
    for version in [Version::V3, Version::V4] {
        let written = vcard::write_as(&book, version);
        assert!(written.lines().all(|line| line.len() <= 75));
        assert_eq!(vcard::read(written.as_bytes()).cards.len(), book.contacts.len());
    }
    csv::guesses(file);
    csv::read(&csv::write(&book));
});
