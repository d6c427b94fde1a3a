//! Groups and books, for choosing.

use people::{GroupId, ShelfId};

use crate::caller::Caller;
use crate::error::Result;

/// A group, for choosing.
#[derive(Clone)]
pub struct Choice {
    pub id: GroupId,
    pub name: String,
    pub members: usize,
    pub chosen: bool,
}

/// All groups, with those that are chosen.
pub fn groups(caller: &Caller, chosen: &[GroupId]) -> Result<Vec<Choice>> {
    let all = caller.site.people.groups(caller.realm)?.into_iter().map(|group| Choice {
        chosen: chosen.contains(&group.id),
        id: group.id,
        name: group.name,
        members: group.members.len(),
    });
    Ok(all.collect())
}

/// A book, for choosing.
#[derive(Clone)]
pub struct Book {
    /// `first`, or an id.
    pub id: String,
    pub name: String,
    pub chosen: bool,
}

/// The books, the first one first.
#[expect(clippy::option_option, reason = "without a book none is meant; without an id it is the first")]
pub fn books(caller: &Caller, chosen: Option<Option<ShelfId>>) -> Result<Vec<Book>> {
    let first = Book { id: "first".to_owned(), name: people::FIRST.to_owned(), chosen: chosen == Some(None) };
    let others = caller.site.people.shelves(caller.realm)?.into_iter().map(|shelf| Book {
        id: shelf.id.to_string(),
        name: shelf.name,
        chosen: chosen == Some(Some(shelf.id)),
    });
    Ok(std::iter::once(first).chain(others).collect())
}
