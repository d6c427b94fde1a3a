//! Learning from what users do with their mail, through whatever door.
//!
//! It follows the change feed of each account: what a message is follows from where it lies and how it is marked, so no
//! door has to tell. Looking at a message twice changes nothing, so a crash costs nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use filter::spam::{Before, By, FIELD, Grams, Kind, Learned, Marks, Score, Spam, features};
use mailstore::{EMAIL, Email, EmailId, MailStore, Mailbox, MailboxId, MessageEntry, Role, SystemFlag};
use parking_lot::Mutex;
use realm::feed::{self, Change, Id, Position, Since};
use store::{RealmId, Store};
use tokio::sync::Notify;

use super::checked::Checked;

/// Changes that are looked at together.
const TOGETHER: usize = 200;
/// Changes after which the place is written down, where nothing was learned.
const WRITE_DOWN_AFTER: usize = 200;
/// Newest messages of a mailbox of an account that are looked at when it is first met.
const FIRST_LOOK: usize = 300;
/// Largest message that is learned, in bytes.
const MAX_LEARNED_BYTES: u64 = 4 * 1024 * 1024;
/// First byte of the keys that say where a message lies, and with which flags.
const ENTRY_KEY: u8 = 0x20;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// Learns in the background.
pub struct Training {
    store: Store,
    mailstore: MailStore,
    spam: Spam,
    changed: Arc<Changed>,
    places: Mutex<HashMap<RealmId, (Position, usize)>>,
}

/// Accounts with changes that were not looked at.
#[derive(Default)]
struct Changed {
    accounts: Mutex<BTreeSet<RealmId>>,
    wake: Notify,
}

impl Training {
    /// Of the accounts in that store.
    pub fn new(store: Store, mailstore: MailStore, spam: Spam) -> Arc<Self> {
        let changed = Arc::new(Changed::default());
        let told = Arc::clone(&changed);
        store.on_commit(Arc::new(move |commit| {
            for part in &commit.realms {
                let concerns = part.realm().account_number().is_some()
                    && part.ops.iter().any(|op| op.value.is_some() && op.key.first() == Some(&ENTRY_KEY));
                if concerns && told.accounts.lock().insert(part.realm()) {
                    told.wake.notify_one();
                }
            }
        }));
        Arc::new(Self { store, mailstore, spam, changed, places: Mutex::default() })
    }

    /// Learns until it is dropped. All accounts are looked at first.
    pub async fn run(self: Arc<Self>) {
        let all = self.store.realms().into_iter().filter(|realm| realm.account_number().is_some());
        self.changed.accounts.lock().extend(all);
        loop {
            let next = self.changed.accounts.lock().pop_first();
            match next {
                Some(account) => {
                    if let Err(error) = self.look(account).await {
                        tracing::warn!(account = ?account.account_number(), %error, "nothing was learned of the mail");
                    }
                }
                None => self.changed.wake.notified().await,
            }
        }
    }

    /// Looks at what has changed in an account.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub async fn look(self: &Arc<Self>, account: RealmId) -> Result<()> {
        loop {
            let this = Arc::clone(self);
            let found = tokio::task::spawn_blocking(move || this.changes(account)).await??;
            let Some(found) = found else { return Ok(()) };
            let mut learned = false;
            for id in found.emails {
                let this = Arc::clone(self);
                match tokio::task::spawn_blocking(move || this.lesson(account, id)).await? {
                    Ok(Lesson::New(lesson)) => learned |= self.spam.learn(account, lesson).await?,
                    Ok(Lesson::Known(name, marks)) => self.spam.noted(account, name, marks).await?,
                    Ok(Lesson::Nothing) => {}
                    // One message that can't be read must not end the learning from all others.
                    Err(error) => tracing::debug!(%error, email = %id, "a message can't be learned"),
                }
            }
            let since = found.looked_at + self.places.lock().get(&account).map_or(0, |place| place.1);
            let writes = learned || found.is_first || since >= WRITE_DOWN_AFTER;
            self.places.lock().insert(account, (found.until, if writes { 0 } else { since }));
            if writes {
                self.spam.looked_at(account, found.until.to_string()).await?;
            }
            if !found.has_more {
                return Ok(());
            }
        }
    }

    /// The messages to look at next; `None` if there are none.
    fn changes(&self, account: RealmId) -> Result<Option<Found>> {
        let snapshot = self.store.snapshot();
        let kept = self.places.lock().get(&account).map(|place| place.0);
        let place = match kept {
            Some(place) => Some(place),
            None => self.spam.position(account)?.and_then(|text| text.parse().ok()),
        };
        if let Some(place) = place
            && let Since::Changes(found) = feed::changes_since(&snapshot, account, place, &[EMAIL], TOGETHER)?
        {
            if found.until == place {
                return Ok(None);
            }
            let there = found.changes.iter().filter(|(_, _, change)| *change != Change::Destroyed);
            let number = |id: &Id| match id {
                Id::Number(number) => Some(EmailId(*number)),
                Id::Name(_) => None,
            };
            let emails = there.filter_map(|(_, id, _)| number(id)).collect();
            let looked_at = found.changes.len();
            return Ok(Some(Found {
                emails,
                until: found.until,
                has_more: found.has_more,
                looked_at,
                is_first: false,
            }));
        }
        let until = feed::position(&snapshot, account)?;
        let emails = self.newest(account)?;
        Ok(Some(Found { looked_at: emails.len(), emails, until, has_more: false, is_first: true }))
    }

    /// The newest messages of each mailbox.
    fn newest(&self, account: RealmId) -> Result<Vec<EmailId>> {
        let mut emails = BTreeSet::new();
        for mailbox in self.mailstore.mailboxes(account)? {
            let view = self.mailstore.view(account, mailbox.id)?;
            let newest = &view.uids()[view.len().saturating_sub(FIRST_LOOK)..];
            emails.extend(self.mailstore.entries(account, mailbox.id, newest)?.iter().map(|entry| entry.email_id));
        }
        Ok(emails.into_iter().collect())
    }

    /// What is to be learned of a message.
    fn lesson(&self, account: RealmId, id: EmailId) -> Result<Lesson> {
        let Some(email) = self.mailstore.email(account, id)? else { return Ok(Lesson::Nothing) };
        if email.size > MAX_LEARNED_BYTES {
            return Ok(Lesson::Nothing);
        }
        let mailboxes = self.mailstore.mailboxes(account)?;
        let mut entries = Vec::new();
        for (mailbox, uid) in self.mailstore.places(account, id)? {
            entries.extend(self.mailstore.entries(account, mailbox, &[uid])?);
        }
        let name = *email.body.name();
        let known = self.spam.learned(account, &name)?;
        let marks = marks(&entries);
        let place = placed(&email, &entries, &mailboxes, known);
        let Some((kind, by)) = newest(place, marks, known) else { return Ok(Lesson::Nothing) };
        if let Some(known) = known {
            if known.kind == kind && known.by == by {
                let is_noted = by == By::Conduct || known.marks == Some(marks);
                return Ok(if is_noted { Lesson::Nothing } else { Lesson::Known(name, marks) });
            }
            if known.by == By::User && by == By::Conduct {
                return Ok(Lesson::Nothing);
            }
        }
        let raw = self.mailstore.body_of(&email.body)?.read_all()?;
        let raw = &raw[email.body.prefix().len().min(raw.len())..];
        let parsed = mailkit::parse(raw);
        let sender = parsed.from.first().map(|from| from.address.to_lowercase()).unwrap_or_default();
        let features = features(raw, &parsed, false).hashes;
        let grams = Grams::of(raw, &parsed);
        let origin = Checked::of(email.body.prefix()).origin;
        Ok(Lesson::New(Learned { name, kind, by, features, grams, origin, sender, marks: Some(marks) }))
    }
}

/// What follows from looking at a message.
enum Lesson {
    /// Nothing.
    Nothing,
    /// It is to be learned.
    New(Learned),
    /// It is learned; only its marks are others now.
    Known([u8; 32], Marks),
}

/// Messages to look at.
struct Found {
    emails: Vec<EmailId>,
    until: Position,
    has_more: bool,
    looked_at: usize,
    is_first: bool,
}

/// What marks a message has.
fn marks(entries: &[MessageEntry]) -> Marks {
    let has = |names: [&str; 2]| {
        let mut all = entries.iter().flat_map(|entry| entry.flags.keywords());
        all.any(|known| names.iter().any(|name| known.as_str().eq_ignore_ascii_case(name)))
    };
    let keyword = match (has(["$NotJunk", "NonJunk"]), has(["$Junk", "Junk"])) {
        (true, _) => Some(Kind::Wanted),
        (false, true) => Some(Kind::Spam),
        (false, false) => None,
    };
    Marks { keyword, placed_ms: entries.iter().filter_map(|entry| entry.saved_ms).max().unwrap_or(0) }
}

/// The user's last word. Keywords bear no time: where a keyword contradicts the mailbox, the one counts that has changed since the
/// message was learned.
fn newest(place: Option<(Kind, By)>, now: Marks, known: Option<Before>) -> Option<(Kind, By)> {
    let Some(keyword) = now.keyword else { return place };
    let place = match place {
        Some((place, By::User)) if place != keyword => place,
        _ => return Some((keyword, By::User)),
    };
    let kind = match known.filter(|known| known.by == By::User) {
        None => keyword,
        Some(Before { marks: Some(before), kind, .. }) => {
            match (now.keyword != before.keyword, now.placed_ms > before.placed_ms) {
                (true, _) => keyword,
                (false, true) => place,
                (false, false) => kind,
            }
        }
        Some(before) if now.placed_ms > before.at_ms => place,
        Some(_) => keyword,
    };
    Some((kind, By::User))
}

/// What the user says of a message by where it lies.
fn placed(email: &Email, entries: &[MessageEntry], mailboxes: &[Mailbox], known: Option<Before>) -> Option<(Kind, By)> {
    let of = |id: MailboxId| mailboxes.iter().find(|mailbox| mailbox.id == id);
    let junk = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Junk));
    let is_junk = |entry: &&MessageEntry| {
        let (Some(mailbox), Some(junk)) = (of(entry.mailbox), junk) else { return false };
        mailbox.id == junk.id || mailbox.name.is_below(&junk.name)
    };
    // Where a delivery put it: it was filed and saved by one commit.
    let is_untouched = |entry: &MessageEntry| !email.body.prefix().is_empty() && entry.saved_ms == Some(email.filed_ms);
    if let Some(entry) = entries.iter().find(is_junk) {
        return (!is_untouched(entry)).then_some((Kind::Spam, By::User));
    }
    let kept = entries.iter().find(|entry| {
        let mailbox = of(entry.mailbox);
        mailbox.is_some_and(|found| !matches!(found.role, Some(Role::Trash | Role::Drafts | Role::Sent)))
    })?;
    if known.is_some_and(|known| known.kind == Kind::Spam) || (was_judged_spam(email) && !is_untouched(kept)) {
        return Some((Kind::Wanted, By::User));
    }
    let flags = &kept.flags;
    let was_used = flags.seen() || flags.contains(SystemFlag::Answered) || flags.contains(SystemFlag::Flagged);
    was_used.then_some((Kind::Wanted, By::Conduct))
}

/// Whether the message was filed as spam when it came.
fn was_judged_spam(email: &Email) -> bool {
    let value = mailkit::headers::value(email.body.prefix(), FIELD);
    value.is_some_and(|value| Score::from_field(&String::from_utf8_lossy(&value)).is_some_and(|judged| judged.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(keyword: Option<Kind>, placed_ms: i64) -> Marks {
        Marks { keyword, placed_ms }
    }

    fn before(kind: Kind, by: By, at_ms: i64, marks: Option<Marks>) -> Before {
        Before { kind, by, at_ms, marks }
    }

    #[test]
    fn of_a_keyword_and_a_mailbox_that_contradict_each_other_the_one_counts_that_changed_last() {
        for (keyword, other) in [(Kind::Wanted, Kind::Spam), (Kind::Spam, Kind::Wanted)] {
            let place = Some((other, By::User));
            let now = marks(Some(keyword), 200);
            let said = |known| newest(place, now, known).unwrap();
            assert_eq!(said(None), (keyword, By::User), "nothing is known of before");
            // The keyword was there already; then the message was moved.
            let moved = before(keyword, By::User, 150, Some(marks(Some(keyword), 100)));
            assert_eq!(said(Some(moved)), (other, By::User));
            // It had been moved already; then the keyword was set.
            let marked = before(other, By::User, 250, Some(marks(None, 200)));
            assert_eq!(said(Some(marked)), (keyword, By::User));
            // Nothing of the kind has changed since, such as when it was read.
            for kind in [keyword, other] {
                assert_eq!(said(Some(before(kind, By::User, 250, Some(now)))), (kind, By::User));
            }
            // Records that don't say by which marks: a move is later if it came after them.
            assert_eq!(said(Some(before(keyword, By::User, 150, None))), (other, By::User));
            assert_eq!(said(Some(before(other, By::User, 250, None))), (keyword, By::User));
            // What only follows from conduct decides nothing.
            assert_eq!(said(Some(before(Kind::Wanted, By::Conduct, 300, Some(now)))), (keyword, By::User));
        }
    }

    #[test]
    fn marks_that_agree_or_stand_alone_say_what_they_say() {
        let (spam, wanted) = (Some((Kind::Spam, By::User)), Some((Kind::Wanted, By::Conduct)));
        assert_eq!(newest(spam, marks(None, 1), None), spam);
        assert_eq!(newest(wanted, marks(None, 1), None), wanted);
        assert_eq!(newest(None, marks(None, 1), None), None);
        assert_eq!(newest(spam, marks(Some(Kind::Spam), 1), None), spam);
        assert_eq!(newest(wanted, marks(Some(Kind::Spam), 1), None), spam, "conduct is no word");
    }
}
