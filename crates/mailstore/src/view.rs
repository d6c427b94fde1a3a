//! The state a session works on: the UIDs, flags and MODSEQs of a mailbox at one commit, shared by all sessions.

mod current;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use store::RealmId;

use crate::UidSet;
use crate::{Flags, MailboxId, ModSeq, Uid};

/// A mailbox at one moment: immutable, 16 bytes a message, one for all sessions that see the same.
#[derive(Debug)]
pub struct MailboxView {
    mailbox: MailboxId,
    uid_validity: u32,
    uid_next: Uid,
    highest_modseq: ModSeq,
    uids: Vec<Uid>,
    modseqs: Vec<ModSeq>,
    /// Indexes into `flag_sets`.
    flags: Vec<u32>,
    flag_sets: Vec<Flags>,
}

/// What a newer view has that an older one had not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewDiff {
    /// Messages that are no more: sequence number in the OLD view, and UID; ascending. Tell them from the last to the
    /// first, or count down as RFC 9051 §7.5.1 tells.
    pub vanished: Vec<(u32, Uid)>,
    /// Messages in both whose flags changed: index in the NEW view.
    pub changed: Vec<usize>,
    /// Messages that came: indexes in the NEW view from here to its end.
    pub first_new: usize,
}

impl MailboxView {
    /// Which mailbox.
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }
    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }
    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.uid_next
    }
    /// HIGHESTMODSEQ.
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq
    }
    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.uids.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }
    /// All UIDs, ascending. Index 0 is sequence number 1.
    pub fn uids(&self) -> &[Uid] {
        &self.uids
    }
    /// Index of a UID. O(log n).
    pub fn index_of(&self, uid: Uid) -> Option<usize> {
        self.uids.binary_search(&uid).ok()
    }
    /// Flags of the message at `index`.
    pub fn flags(&self, index: usize) -> &Flags {
        &self.flag_sets[self.flags[index] as usize]
    }
    /// MODSEQ of the message at `index`.
    pub fn modseq(&self, index: usize) -> ModSeq {
        self.modseqs[index]
    }
    /// Index of the first message that is not `\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        (0..self.len()).find(|&i| !self.flags(i).seen())
    }
    /// The different flag sets that messages have: for the FLAGS response.
    pub fn flag_sets(&self) -> &[Flags] {
        &self.flag_sets
    }
    /// What `newer` has that this view has not. O(n).
    pub fn diff(&self, newer: &MailboxView) -> ViewDiff {
        let mut diff = ViewDiff::default();
        let mut new = 0;
        for (old, uid) in self.uids.iter().enumerate() {
            if newer.uids.get(new) == Some(uid) {
                if newer.modseqs[new] != self.modseqs[old] && newer.flags(new) != self.flags(old) {
                    diff.changed.push(new);
                }
                new += 1;
            } else {
                diff.vanished.push((old as u32 + 1, *uid));
            }
        }
        diff.first_new = new;
        diff
    }

    /// This view with changes since its `highest_modseq` applied.
    fn updated(&self, changes: &Changes) -> Self {
        let mut builder = Builder::new(self.mailbox, self.uid_validity, self.len() + changes.changed.len());
        let mut changed = changes.changed.iter().peekable();
        for (i, uid) in self.uids.iter().enumerate() {
            if let Some((_, flags, modseq)) = changed.next_if(|(changed, ..)| changed == uid) {
                let flags = builder.flag_set(flags);
                builder.push(*uid, *modseq, flags);
            } else if !changes.vanished.contains(*uid) {
                let flags = builder.flag_set(self.flags(i));
                builder.push(*uid, self.modseqs[i], flags);
            }
        }
        for (uid, flags, modseq) in changed {
            let flags = builder.flag_set(flags);
            builder.push(*uid, *modseq, flags);
        }
        builder.finish(changes.uid_next, changes.highest_modseq)
    }

    /// How many bytes it takes, about.
    pub fn memory_bytes(&self) -> usize {
        let row = size_of::<Uid>() + size_of::<ModSeq>() + size_of::<u32>();
        size_of::<Self>() + self.uids.capacity() * row + self.flag_sets.len() * (size_of::<Flags>() + 64)
    }
}

/// Gathers rows by ascending UID.
struct Builder {
    view: MailboxView,
    known: HashMap<Flags, u32>,
}

impl Builder {
    fn new(mailbox: MailboxId, uid_validity: u32, capacity: usize) -> Self {
        let view = MailboxView {
            mailbox,
            uid_validity,
            uid_next: Uid(1),
            highest_modseq: ModSeq(0),
            uids: Vec::with_capacity(capacity),
            modseqs: Vec::with_capacity(capacity),
            flags: Vec::with_capacity(capacity),
            flag_sets: Vec::new(),
        };
        Self { view, known: HashMap::new() }
    }

    fn flag_set(&mut self, flags: &Flags) -> u32 {
        if let Some(index) = self.known.get(flags) {
            return *index;
        }
        let index = self.view.flag_sets.len() as u32;
        self.view.flag_sets.push(flags.clone());
        self.known.insert(flags.clone(), index);
        index
    }

    fn push(&mut self, uid: Uid, modseq: ModSeq, flags: u32) {
        self.view.uids.push(uid);
        self.view.modseqs.push(modseq);
        self.view.flags.push(flags);
    }

    fn finish(mut self, uid_next: Uid, highest_modseq: ModSeq) -> MailboxView {
        self.view.uid_next = uid_next;
        self.view.highest_modseq = highest_modseq;
        self.view
    }
}

/// The views that someone holds, and the newest of each mailbox.
#[derive(Default)]
pub(crate) struct Cache {
    views: Mutex<HashMap<(RealmId, MailboxId), Weak<MailboxView>>>,
}

impl Cache {
    fn get(&self, account: RealmId, mailbox: MailboxId) -> Option<Arc<MailboxView>> {
        self.views.lock().get(&(account, mailbox)).and_then(Weak::upgrade)
    }

    /// Keep `view` as the newest, unless another is newer; gives the newest.
    fn put(&self, account: RealmId, view: MailboxView) -> Arc<MailboxView> {
        let mut views = self.views.lock();
        let place = (account, view.mailbox);
        if let Some(other) = views.get(&place).and_then(Weak::upgrade)
            && other.highest_modseq >= view.highest_modseq
        {
            return other;
        }
        // Now and then forget the mailboxes that nobody looks at any more.
        if views.len() == views.capacity() {
            views.retain(|_, view| view.strong_count() > 0);
        }
        let view = Arc::new(view);
        views.insert(place, Arc::downgrade(&view));
        view
    }
}

/// What happened to a mailbox after some MODSEQ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages that came or whose flags changed, by UID, with what is true now.
    pub changed: Vec<(Uid, Flags, ModSeq)>,
    /// UIDs that were expunged. If `exact` is false: all UIDs below UIDNEXT that don't exist, whenever they were expunged.
    pub vanished: UidSet,
    /// Whether the expunge history reaches back far enough for `vanished` to hold recent ones only.
    pub exact: bool,
    /// HIGHESTMODSEQ to which this brings the asker.
    pub highest_modseq: ModSeq,
    /// UIDNEXT at that moment.
    pub uid_next: Uid,
}
