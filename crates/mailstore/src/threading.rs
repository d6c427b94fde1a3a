//! Threads for IMAP's THREAD (RFC 5256 section 3): a tree of replies, computed for each command.
//!
//! These are not the stored conversations ([`crate::ThreadId`]): the RFC defines the algorithms, they see one mailbox,
//! and they show who replied to whom. Nothing here recurses, because a sender decides how deep a thread is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use store::RealmId;

use crate::{EncodedRow, MailError, MailStore, MailboxId, Result, Uid};

/// How threads are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// By base subject alone.
    OrderedSubject,
    /// By message-ids, then by base subject.
    References,
    /// By message-ids alone; threads in the order of their newest message.
    Refs,
}

/// A message in its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadNode {
    /// Which message; `None` for one that is missing, whose replies belong together.
    pub uid: Option<Uid>,
    /// The replies, as indexes into [`ThreadForest::nodes`].
    pub children: Vec<usize>,
}

/// All threads of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadForest {
    /// Where the threads begin, as indexes into [`Self::nodes`], in their order.
    pub roots: Vec<usize>,
    /// Messages, and stand-ins for those that are missing.
    pub nodes: Vec<ThreadNode>,
}

/// What the algorithms look at.
#[derive(Clone, Debug, Default)]
struct Letter {
    uid: Uid,
    date_ms: i64,
    internal_date_ms: i64,
    subject: String,
    is_reply: bool,
    id: String,
    ancestors: Vec<String>,
}

/// Messages whose records are read together, some KB each.
const TOGETHER: usize = 256;

/// How far up a link is followed to see whether it would make a circle; one that leads further is not made.
const MAX_WALK: usize = 10_000;

impl MailStore {
    /// The messages `uids` of a mailbox, ascending, as threads. Those that are gone are left out. Reads every one of
    /// them: call it from a blocking thread.
    ///
    /// # Errors
    /// [`MailError::Cancelled`] once `cancel` is set.
    pub fn thread_uids(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
        algorithm: ThreadAlgorithm,
        cancel: &AtomicBool,
    ) -> Result<(ThreadForest, Vec<Uid>)> {
        let mut all_damaged = Vec::new();
        let mut letters = Vec::with_capacity(uids.len());
        for uids in uids.chunks(TOGETHER) {
            if cancel.load(Relaxed) {
                return Err(MailError::Cancelled);
            }
            let (rows, damaged) = self.readable_rows(account, mailbox, uids)?;
            all_damaged.extend(damaged);
            for row in rows {
                match letter(&row, algorithm) {
                    Err(error) if error.is_damage() => all_damaged.push(row.entry.uid),
                    letter => letters.push(letter?),
                }
            }
        }
        let forest = match algorithm {
            ThreadAlgorithm::OrderedSubject => by_subject(&letters),
            ThreadAlgorithm::References => by_references(&letters, true),
            ThreadAlgorithm::Refs => by_references(&letters, false),
        };
        Ok((forest, all_damaged))
    }
}

fn letter(row: &EncodedRow, algorithm: ThreadAlgorithm) -> Result<Letter> {
    let parsed = row.ordering()?;
    let by_ids = algorithm != ThreadAlgorithm::OrderedSubject;
    let mut ancestors = if by_ids { parsed.ancestors() } else { Vec::new() };
    ancestors.retain(|id| *id != parsed.message_id);
    Ok(Letter {
        uid: row.entry.uid,
        date_ms: parsed.date_ms.unwrap_or(row.entry.internal_date_ms),
        internal_date_ms: row.entry.internal_date_ms,
        is_reply: by_ids && parsed.is_reply_by_subject(),
        ancestors,
        subject: parsed.base_subject,
        id: parsed.message_id,
    })
}

/// ORDEREDSUBJECT: the first of each subject, and all others under it.
fn by_subject(letters: &[Letter]) -> ThreadForest {
    let mut order: Vec<usize> = (0..letters.len()).collect();
    order.sort_by_key(|&at| (&letters[at].subject, letters[at].date_ms, at));
    let nodes = letters.iter().map(|letter| ThreadNode { uid: Some(letter.uid), children: Vec::new() });
    let mut forest = ThreadForest { roots: Vec::new(), nodes: nodes.collect() };
    for thread in order.chunk_by(|a, b| letters[*a].subject == letters[*b].subject) {
        forest.roots.push(thread[0]);
        forest.nodes[thread[0]].children = thread[1..].to_vec();
    }
    forest.roots.sort_by_key(|&at| (letters[at].date_ms, at));
    forest
}

/// REFERENCES, steps 1 to 6, or REFS: without step 5, and the threads in the order of their newest messages.
fn by_references(letters: &[Letter], join_subjects: bool) -> ThreadForest {
    let parents = parents(letters);
    let mut forest = pruned(letters, &parents);
    let date = |forest: &ThreadForest, at: usize| {
        let first = forest.nodes[at].uid.map_or_else(|| forest.nodes[at].children[0], |_| at);
        (letters[first].date_ms, first)
    };
    // Only roots can be missing messages by now, and their children have dates of their own.
    let sort_siblings = |forest: &mut ThreadForest| {
        for at in 0..forest.nodes.len() {
            let mut children = std::mem::take(&mut forest.nodes[at].children);
            children.sort_by_key(|&child| date(forest, child));
            forest.nodes[at].children = children;
        }
        let mut roots = std::mem::take(&mut forest.roots);
        roots.sort_by_key(|&root| date(forest, root));
        forest.roots = roots;
    };
    sort_siblings(&mut forest);
    if join_subjects {
        gather_subjects(&mut forest, letters);
        sort_siblings(&mut forest);
    } else {
        let mut newest: HashMap<usize, i64> = HashMap::new();
        for &root in &forest.roots {
            let mut left = vec![root];
            let mut latest = i64::MIN;
            while let Some(at) = left.pop() {
                latest = latest.max(forest.nodes[at].uid.map_or(i64::MIN, |_| letters[at].internal_date_ms));
                left.extend_from_slice(&forest.nodes[at].children);
            }
            newest.insert(root, latest);
        }
        forest.roots.sort_by_key(|root| newest.get(root).copied());
    }
    forest
}

/// Step 1: each message's parent, and that of each one which is only referred to. Those have numbers from
/// `letters.len()` on.
fn parents(letters: &[Letter]) -> Vec<Option<usize>> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (at, letter) in letters.iter().enumerate().filter(|(_, letter)| !letter.id.is_empty()) {
        // Of several with the same id, the first is the one that is meant.
        numbers.entry(&letter.id).or_insert(at);
    }
    let mut links = Links { parent: vec![None; letters.len()], children: vec![0; letters.len()] };
    for (at, letter) in letters.iter().enumerate() {
        let mut last = None;
        for id in &letter.ancestors {
            let next = links.parent.len();
            let ancestor = *numbers.entry(id).or_insert(next);
            if ancestor == next {
                links.parent.push(None);
                links.children.push(0);
            }
            if let Some(last) = last
                && links.parent[ancestor].is_none()
            {
                links.join(last, ancestor);
            }
            last = Some(ancestor);
        }
        // What was assumed by others' references gives way to what the message says itself.
        links.cut(at);
        if let Some(last) = last {
            links.join(last, at);
        }
    }
    links.parent
}

struct Links {
    parent: Vec<Option<usize>>,
    /// How many children each has.
    children: Vec<u32>,
}

impl Links {
    fn cut(&mut self, child: usize) {
        if let Some(parent) = self.parent[child].take() {
            self.children[parent] -= 1;
        }
    }

    /// Links two, unless that would make a circle.
    fn join(&mut self, parent: usize, child: usize) {
        if parent == child || (self.children[child] > 0 && self.is_above(child, parent)) {
            return;
        }
        self.parent[child] = Some(parent);
        self.children[parent] += 1;
    }

    fn is_above(&self, ancestor: usize, mut at: usize) -> bool {
        for _ in 0..MAX_WALK {
            match self.parent[at] {
                Some(above) if above == ancestor => return true,
                Some(above) => at = above,
                None => return false,
            }
        }
        true
    }
}

/// Steps 2 and 3: missing messages go, and their children take their place; but at the root one with several children
/// stays, since they belong together.
fn pruned(letters: &[Letter], parents: &[Option<usize>]) -> ThreadForest {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    let mut tops = Vec::new();
    for (at, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => below[*parent].push(at),
            None => tops.push(at),
        }
    }
    let is_missing = |at: usize| at >= letters.len();
    let nearest = |at: usize| {
        let mut found = Vec::new();
        let mut left = below[at].clone();
        while let Some(at) = left.pop() {
            if is_missing(at) {
                left.extend_from_slice(&below[at]);
            } else {
                found.push(at);
            }
        }
        found
    };
    let node = |at: usize| {
        let uid = letters.get(at).map(|letter| letter.uid);
        // A missing message below another message is nobody's child any more, and needs none.
        let is_shown = uid.is_some() || parents[at].is_none();
        ThreadNode { uid, children: if is_shown { nearest(at) } else { Vec::new() } }
    };
    let nodes: Vec<ThreadNode> = (0..parents.len()).map(node).collect();
    let mut roots = Vec::new();
    for top in tops {
        match nodes[top].children.as_slice() {
            [] if is_missing(top) => {}
            [only] if is_missing(top) => roots.push(*only),
            _ => roots.push(top),
        }
    }
    ThreadForest { roots, nodes }
}

/// Step 5: threads with the same base subject become one.
fn gather_subjects(forest: &mut ThreadForest, letters: &[Letter]) {
    let first = |forest: &ThreadForest, at: usize| match forest.nodes[at].uid {
        Some(_) => at,
        None => forest.nodes[at].children[0],
    };
    let is_missing = |forest: &ThreadForest, at: usize| forest.nodes[at].uid.is_none();
    let is_reply = |forest: &ThreadForest, at: usize| forest.nodes[at].uid.is_some() && letters[at].is_reply;
    let mut table: HashMap<&str, usize> = HashMap::new();
    for &root in &forest.roots {
        let subject = letters[first(forest, root)].subject.as_str();
        if subject.is_empty() {
            continue;
        }
        let held = *table.entry(subject).or_insert(root);
        if !is_missing(forest, held)
            && (is_missing(forest, root) || (is_reply(forest, held) && !is_reply(forest, root)))
        {
            table.insert(subject, root);
        }
    }
    let mut kept: Vec<usize> = Vec::with_capacity(forest.roots.len());
    // Where a thread stands now that has been put under another.
    let mut replaced: HashMap<usize, usize> = HashMap::new();
    for root in std::mem::take(&mut forest.roots) {
        if replaced.contains_key(&root) {
            continue;
        }
        let subject = letters[first(forest, root)].subject.as_str();
        let Some(&held) = table.get(subject).filter(|_| !subject.is_empty()) else {
            kept.push(root);
            continue;
        };
        if held == root {
            kept.push(root);
        } else if is_missing(forest, held) {
            if is_missing(forest, root) {
                let children = std::mem::take(&mut forest.nodes[root].children);
                forest.nodes[held].children.extend(children);
            } else {
                forest.nodes[held].children.push(root);
            }
        } else if is_reply(forest, root) && !is_reply(forest, held) {
            forest.nodes[held].children.push(root);
        } else {
            let both = forest.nodes.len();
            forest.nodes.push(ThreadNode { uid: None, children: vec![held, root] });
            replaced.insert(held, both);
            table.insert(subject, both);
        }
    }
    // The one in the table may have stood before or after those that joined it.
    let mut roots: Vec<usize> = kept.into_iter().filter(|root| !replaced.contains_key(root)).collect();
    roots.extend(replaced.into_values());
    forest.roots = roots;
}

#[cfg(test)]
mod tests;
