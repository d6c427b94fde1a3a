//! A run by IMAP: mailbox by mailbox, from the lowest UID that is not done.

use std::collections::BTreeMap;

use store::Read as _;

use super::{BATCH_BYTES, BATCH_MESSAGES, Run, flags_of};
use crate::Trouble;
use crate::filing::{self, Fetched, Note, Place};
use crate::imap::client::{Client, Meta, Text};
use crate::imap::names::{Theirs, to_fetch};
use crate::schema::{Mark, RemoteRecord, remote_key, seen_key};

/// Messages that are asked about at once.
const LOOKED_AT: usize = 200;
/// A message at which the connection has broken so often is left out.
const MAX_STUCK: u32 = 5;

/// What is left of a mailbox.
struct Course {
    uid_validity: u32,
    total: u64,
    left: u64,
    /// The connection broke at this one.
    stuck_uid: u32,
}

impl Run<'_> {
    pub(super) async fn imap(&self, password: &str) -> Result<(), Trouble> {
        let mut client = Client::open(self.target(), self.means()).await?;
        client.sign_in(&self.settings.user, password).await?;
        let listed = client.list().await?;
        for theirs in to_fetch(&listed, self.settings.inbox_only) {
            self.tell(&theirs.name);
            self.mailbox(&mut client, theirs).await?;
        }
        client.log_out().await;
        Ok(())
    }

    async fn mailbox(&self, client: &mut Client, theirs: Theirs) -> Result<(), Trouble> {
        let Some(selected) = client.select(&theirs.raw, !self.settings.delete).await? else {
            tracing::info!(account = self.account.0, source = self.id, "a mailbox of a source can't be opened");
            return Ok(());
        };
        let store = self.fetching.store();
        let place = self.place(theirs.raw, theirs.name, theirs.to, theirs.is_all);
        let before: Option<RemoteRecord> =
            filing::load(&store.snapshot(), self.account.realm(), &remote_key(self.id, &place.raw))?;
        let before = before.filter(|record| record.uid_validity == selected.uid_validity).unwrap_or_default();
        if !before.to_delete.is_empty() {
            // They were filed; then the connection or the service ended.
            client.delete(&before.to_delete).await?;
        }
        let last = before.last_uid;
        let uids = if selected.exists == 0 { Vec::new() } else { client.uids_above(last).await? };
        let (total, left) = (u64::from(selected.exists), uids.len() as u64);
        let note = Note { uid_validity: selected.uid_validity, total, left, ..Note::default() };
        let record = filing::looked_at(store, &place, note).await?;
        let mut course = Course { uid_validity: selected.uid_validity, total, left, stuck_uid: record.stuck_uid };
        for chunk in uids.chunks(LOOKED_AT) {
            self.chunk(client, &place, chunk, &mut course).await?;
        }
        Ok(())
    }

    async fn chunk(
        &self,
        client: &mut Client,
        place: &Place,
        uids: &[u32],
        course: &mut Course,
    ) -> Result<(), Trouble> {
        let metas = client.metas(uids).await?;
        let mut batch = Batch::default();
        let mut at = uids.iter().copied();
        for meta in metas {
            // Those before it that the server did not tell are gone.
            batch.passed += at.by_ref().take_while(|uid| *uid != meta.uid).count() as u64;
            batch.through = meta.uid;
            if self.was_fetched(place, &meta)? {
                batch.known += 1;
                continue;
            }
            let most = self.fetching.policy().max_message_bytes;
            if meta.size > most {
                batch.left_out.push(too_large(meta.uid, meta.size, most));
                continue;
            }
            batch.bytes += meta.size;
            batch.wanted.push(meta);
            let is_careful = batch.wanted.iter().any(|meta| meta.uid == course.stuck_uid);
            if batch.wanted.len() >= BATCH_MESSAGES || batch.bytes >= BATCH_BYTES || is_careful {
                self.batch(client, place, std::mem::take(&mut batch), course).await?;
            }
        }
        batch.passed += at.count() as u64;
        batch.through = uids.last().copied().unwrap_or(batch.through);
        self.batch(client, place, batch, course).await
    }

    /// Gmail has each message once, and tells it in several mailboxes: of All Mail only what is nowhere else is fetched.
    fn was_fetched(&self, place: &Place, meta: &Meta) -> Result<bool, Trouble> {
        let Some(number) = meta.gmail.filter(|_| place.anywhere) else { return Ok(false) };
        let key = seen_key(self.id, Mark::Gmail(number));
        Ok(self.fetching.store().snapshot().get(self.account.realm(), &key)?.is_some())
    }

    async fn batch(
        &self,
        client: &mut Client,
        place: &Place,
        mut batch: Batch,
        course: &mut Course,
    ) -> Result<(), Trouble> {
        let uids: Vec<u32> = batch.wanted.iter().map(|meta| meta.uid).collect();
        let mut got = BTreeMap::new();
        if !uids.is_empty()
            && let Err(error) = self.texts(client, &batch.wanted, &mut got, &mut batch.left_out).await
        {
            return Err(self.broken_off(place, &uids, got, batch.left_out, (course, error)).await);
        }
        let missing: Vec<u32> = uids.iter().copied().filter(|uid| !got.contains_key(uid)).collect();
        let unsent = if missing.is_empty() { Vec::new() } else { client.metas(&missing).await? };
        let told = |meta: &Meta| batch.left_out.iter().any(|why| why.starts_with(&format!("message {}:", meta.uid)));
        let unsent: Vec<String> = unsent
            .iter()
            .filter(|meta| !told(meta))
            .map(|meta| format!("message {}: the server did not send it", meta.uid))
            .collect();
        batch.left_out.extend(unsent);
        let done = uids.len() as u64 + batch.passed + batch.known + batch.before_wanted();
        course.left = course.left.saturating_sub(done);
        let to_delete: Vec<u32> = if self.settings.delete { got.keys().copied().collect() } else { Vec::new() };
        let note = Note {
            uid_validity: course.uid_validity,
            through: batch.through,
            total: course.total,
            left: course.left,
            known: batch.known,
            left_out: batch.left_out,
            to_delete: to_delete.clone(),
            ..Note::default()
        };
        self.file(place, got.into_iter().collect(), note).await?;
        if !to_delete.is_empty() {
            client.delete(&to_delete).await?;
            course.total = course.total.saturating_sub(to_delete.len() as u64);
        }
        Ok(())
    }

    /// Fetches the texts of messages. If the server refuses all together, one by one.
    async fn texts(
        &self,
        client: &mut Client,
        wanted: &[Meta],
        got: &mut BTreeMap<u32, Fetched>,
        left_out: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        match self.some_texts(client, wanted, got, left_out).await {
            Err(Trouble::Busy(_)) if wanted.len() > 1 => {}
            Err(Trouble::Busy(why)) => {
                left_out.push(format!("message {}: the server refused it: {why}", wanted[0].uid));
                return Ok(());
            }
            other => return other,
        }
        for one in wanted {
            if got.contains_key(&one.uid) {
                continue;
            }
            match self.some_texts(client, std::slice::from_ref(one), got, left_out).await {
                Err(Trouble::Busy(why)) => left_out.push(format!("message {}: the server refused it: {why}", one.uid)),
                other => other?,
            }
        }
        Ok(())
    }

    async fn some_texts(
        &self,
        client: &mut Client,
        wanted: &[Meta],
        got: &mut BTreeMap<u32, Fetched>,
        left_out: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let uids: Vec<u32> = wanted.iter().map(|meta| meta.uid).collect();
        let mut asked = client.ask_texts(&uids).await?;
        while let Some((uid, text)) = client.next_text(&mut asked).await? {
            let uid = if uid == 0 && uids.len() == 1 { uids[0] } else { uid };
            let Some(meta) = wanted.iter().find(|meta| meta.uid == uid) else { continue };
            if got.contains_key(&uid) {
                continue;
            }
            match text {
                Text::Whole(bytes) => {
                    let date_ms = date_of(&meta.internal_date);
                    let fetched = self.staged(bytes, flags_of(&meta.flags), date_ms).await?;
                    got.insert(uid, Fetched { gmail: meta.gmail, ..fetched });
                }
                Text::Passed(size) => {
                    left_out.push(too_large(uid, size, self.fetching.policy().max_message_bytes));
                }
                Text::Nothing => left_out.push(format!("message {uid}: the server has no text of it")),
            }
        }
        Ok(())
    }

    /// The connection broke within a batch: what came before is filed, and where it broke is noted.
    async fn broken_off(
        &self,
        place: &Place,
        uids: &[u32],
        mut got: BTreeMap<u32, Fetched>,
        mut left_out: Vec<String>,
        (course, error): (&mut Course, Trouble),
    ) -> Trouble {
        if !matches!(error, Trouble::Lost(_) | Trouble::Protocol(_)) {
            return error;
        }
        let Some(first) = uids.iter().copied().find(|uid| !got.contains_key(uid)) else { return error };
        let store = self.fetching.store();
        let stuck = match filing::stuck_at(store, place, first).await {
            Ok(stuck) => stuck,
            Err(other) => return other,
        };
        let is_hopeless = stuck >= MAX_STUCK;
        let rest = got.split_off(&first);
        drop(rest);
        if got.is_empty() && !is_hopeless {
            return error;
        }
        // What was left out before the break is told again by the next run.
        left_out.clear();
        if is_hopeless {
            left_out.push(format!("message {first}: the connection broke {stuck} times when it was fetched"));
        }
        let done = got.len() as u64 + u64::from(is_hopeless);
        let note = Note {
            uid_validity: course.uid_validity,
            through: if is_hopeless { first } else { got.keys().last().copied().unwrap_or_default() },
            total: course.total,
            left: course.left.saturating_sub(done),
            left_out,
            // The connection is gone: the next run deletes them.
            to_delete: if self.settings.delete { got.keys().copied().collect() } else { Vec::new() },
            ..Note::default()
        };
        match self.file(place, got.into_iter().collect(), note).await {
            Ok(()) => error,
            Err(other) => other,
        }
    }
}

/// Messages that are fetched and filed together, and those between them that are not.
#[derive(Default)]
struct Batch {
    wanted: Vec<Meta>,
    bytes: u64,
    /// All up to this UID are done with it.
    through: u32,
    known: u64,
    /// Those that are gone.
    passed: u64,
    left_out: Vec<String>,
}

impl Batch {
    /// Messages that were left out before any text was asked for.
    fn before_wanted(&self) -> u64 {
        let asked = |why: &&String| !self.wanted.iter().any(|meta| why.starts_with(&format!("message {}:", meta.uid)));
        self.left_out.iter().filter(asked).count() as u64
    }
}

fn too_large(uid: u32, size: u64, most: u64) -> String {
    format!("message {uid}: it has {size} bytes, and {most} are allowed here")
}

/// INTERNALDATE: `17-Jul-1996 02:44:25 -0700`.
fn date_of(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, time) = text.split_once(' ')?;
    mailkit::date::parse(&format!("{} {time}", date.replace('-', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, ms) in [
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665_000)),
            (" 1-Jan-1970 00:00:01 +0000", Some(1_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(date_of(text), ms, "{text}");
        }
    }
}
