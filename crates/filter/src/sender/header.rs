//! The header section of a message that is examined.

use std::collections::HashMap;

use mailkit::headers::{Field, fields};

/// The fields of a header section, found by their names.
pub struct Header<'a> {
    by_name: HashMap<String, Vec<Field<'a>>>,
}

impl<'a> Header<'a> {
    /// Of the bytes of a header section.
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut by_name: HashMap<String, Vec<Field<'a>>> = HashMap::new();
        for field in fields(bytes) {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            by_name.entry(name).or_default().push(field);
        }
        Self { by_name }
    }

    /// The fields of that name, in any case, from the top down.
    pub fn named(&self, name: &str) -> &[Field<'a>] {
        self.by_name.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }
}
