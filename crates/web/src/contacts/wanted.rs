//! What the address of a page of the address book asks for: which book, group or contact, and where in the list.

use people::{ContactId, Filter, PeopleError, ShelfId};

use crate::error::{Result, form_urlencoded};

/// Where in the list.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Wanted {
    #[serde(default)]
    pub q: String,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub book: String,
    #[serde(default)]
    pub after: String,
    #[serde(default)]
    pub from: String,
    pub done: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub address: String,
}

impl Wanted {
    /// The address of that place in the list.
    pub fn here(&self) -> String {
        let mut here = "/people".to_owned();
        for (name, value) in
            [("q", &self.q), ("group", &self.group), ("book", &self.book), ("from", &self.from), ("after", &self.after)]
        {
            if !value.is_empty() {
                here.push(if here.contains('?') { '&' } else { '?' });
                here.push_str(&format!("{name}={}", form_urlencoded(value)));
            }
        }
        here
    }

    /// The book or group that is meant.
    pub fn filter(&self) -> Filter {
        Filter { shelf: shelf(&self.book), group: self.group.parse().ok() }
    }

    /// The same for an address: `?book=…`.
    pub fn scope(&self) -> String {
        let all = [("group", &self.group), ("book", &self.book)].into_iter().filter(|(_, value)| !value.is_empty());
        let all: Vec<String> = all.map(|(name, value)| format!("{name}={}", form_urlencoded(value))).collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }
}

/// The book that a form or an address means; `None` for none.
#[expect(clippy::option_option, reason = "without a book none is meant; without an id it is the first")]
pub fn shelf(text: &str) -> Option<Option<ShelfId>> {
    match text {
        "" => None,
        "first" => Some(None),
        id => id.parse().ok().map(Some),
    }
}

/// The contact that an address means.
pub fn contact_id(text: &str) -> Result<ContactId> {
    text.parse().map_err(|_| PeopleError::NoSuchContact.into())
}
