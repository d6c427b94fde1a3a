//! Giving contacts out: all of them, those of a book or of a group.

use store::RealmId;

use crate::find::Shelves;
use crate::merge::Book;
use crate::vcard::{Version, Writer};
use crate::{ContactId, Filter, People, Result, book, pictures};

impl People {
    /// The contacts that a filter wants, with the groups they are in. Blocks; memory grows with them, not with pictures.
    ///
    /// # Errors
    /// Those of reading.
    pub fn filtered(&self, account: RealmId, filter: Filter) -> Result<Book> {
        let snapshot = self.store.snapshot();
        let shelves = Shelves::of(&snapshot, account)?;
        let mut all = book::book_of(&snapshot, account)?;
        if filter == Filter::default() {
            return Ok(all);
        }
        let members = filter.group.map(|group| all.groups.remove(&group).unwrap_or_default());
        if let (Some(group), Some(members)) = (filter.group, &members) {
            all.groups.clear();
            all.groups.insert(group, members.clone());
        }
        let in_group = |id: &ContactId| members.as_ref().is_none_or(|group| group.members.contains(id));
        all.contacts.retain(|id, card| in_group(id) && shelves.has(filter.shelf, card));
        for group in all.groups.values_mut() {
            group.members.retain(|member| all.contacts.contains_key(member));
        }
        all.groups.retain(|_, group| !group.members.is_empty() || filter == Filter::default());
        Ok(all)
    }

    /// Writes these contacts as vCards, one text for each, as long as `put` takes them. Gives how many contacts.
    ///
    /// # Errors
    /// Those of reading.
    pub fn export(
        &self,
        account: RealmId,
        filter: Filter,
        version: Version,
        put: &mut dyn FnMut(String) -> bool,
    ) -> Result<usize> {
        let book = self.filtered(account, filter)?;
        let snapshot = self.store.snapshot();
        let writer = Writer::new(&book, version);
        let picture = |hash: &[u8]| {
            let stored = pictures::load(&snapshot, account, hash).ok().flatten().map(|record| record.content);
            stored.or_else(|| book.pictures.get(hash).cloned())
        };
        for (id, card) in &book.contacts {
            if !put(writer.card(*id, card, &picture)) {
                return Ok(0);
            }
        }
        for group in book.groups.values() {
            put(writer.group(group));
        }
        Ok(book.contacts.len())
    }
}
