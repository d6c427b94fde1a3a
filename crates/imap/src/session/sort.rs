//! SORT and THREAD (RFC 5256, RFC 5267 for SORT with `RETURN`): the results of a search, in an order or as a tree.

use std::collections::HashMap;
use std::sync::Arc;

use mailstore::{MailboxView, ModSeq, ThreadForest, Uid};

use super::search::asks_for_modseq;
use super::{Session, outcome::Outcome};
use crate::response::text;
use crate::syntax::{Sort, Thread};

impl Session {
    pub(super) async fn sort(&mut self, tag: &str, sort: Sort) -> Outcome {
        let Sort { keys, search } = sort;
        self.may_keep(tag, search.returns)?;
        let order = keys.clone();
        let realm = self.realm()?;
        let mailbox = self.selected()?.mailbox;
        let mailstore = self.door.mailstore.clone();
        let by_modseq = asks_for_modseq(&search.key);
        let hits = self
            .hits(tag, &search, by_modseq, move |found, scores, cancel| {
                let uids: Vec<Uid> = found.iter().map(|found| found.0).collect();
                let modseqs: HashMap<Uid, ModSeq> = found.into_iter().collect();
                let (sorted, damaged) = mailstore.sort_scored((realm, mailbox), &uids, (&keys, scores), cancel)?;
                let with_modseq = |uid| modseqs.get(&uid).map(|modseq| (uid, *modseq));
                Ok((sorted.into_iter().filter_map(with_modseq).collect(), damaged))
            })
            .await?;
        match search.returns {
            Some(wanted) if wanted.saves_only() => {}
            Some(wanted) => hits.write_esearch(&mut self.wire.out, tag, wanted, by_modseq),
            None => hits.write_search(&mut self.wire.out, b"* SORT", by_modseq),
        }
        self.keep_updated(tag, search, Some(order), &hits);
        Ok(hits.completed("SORT completed"))
    }

    pub(super) async fn thread(&mut self, tag: &str, thread: Thread) -> Outcome {
        let Thread { algorithm, search } = thread;
        let realm = self.realm()?;
        let selected = self.selected()?;
        let (mailbox, view) = (selected.mailbox, Arc::clone(&selected.known));
        let mailstore = self.door.mailstore.clone();
        let (forest, told) = tokio::sync::oneshot::channel();
        let known = Arc::clone(&view);
        let hits = self.hits(tag, &search, false, move |found, _, cancel| {
            // What came since the client was told of the mailbox has no number yet.
            let uids: Vec<Uid> =
                found.iter().map(|found| found.0).filter(|uid| known.index_of(*uid).is_some()).collect();
            let (threads, damaged) = mailstore.thread_uids(realm, mailbox, &uids, algorithm, cancel)?;
            // Nobody waits for it if the session is gone.
            let _ = forest.send(threads);
            Ok((Vec::new(), damaged))
        });
        let hits = hits.await?;
        let forest = told.await.unwrap_or_default();
        self.wire.out.extend_from_slice(b"* THREAD");
        if !forest.roots.is_empty() {
            self.wire.out.push(b' ');
        }
        write_forest(&mut self.wire.out, &forest, &view, search.uid);
        self.wire.out.extend_from_slice(b"\r\n");
        Ok(hits.completed("THREAD completed"))
    }
}

/// What is still to be written of a tree.
enum Left {
    Thread(usize),
    Close,
}

/// Writes `(2)(3 6 (4 23)(44 7 96))`: a chain of single replies is a list of numbers, several replies are lists of their
/// own. Does not recurse: a stranger decides how deep a thread is.
fn write_forest(out: &mut Vec<u8>, forest: &ThreadForest, view: &MailboxView, uid: bool) {
    let number = |at: Uid| if uid { Some(at.0) } else { view.index_of(at).map(|index| index as u32 + 1) };
    let mut left: Vec<Left> = forest.roots.iter().rev().map(|root| Left::Thread(*root)).collect();
    while let Some(next) = left.pop() {
        let Left::Thread(mut at) = next else {
            out.push(b')');
            continue;
        };
        out.push(b'(');
        left.push(Left::Close);
        loop {
            let node = &forest.nodes[at];
            if let Some(number) = node.uid.and_then(number) {
                text::number(out, u64::from(number));
                if !node.children.is_empty() {
                    out.push(b' ');
                }
            }
            match node.children.as_slice() {
                [only] => at = *only,
                several => {
                    left.extend(several.iter().rev().map(|child| Left::Thread(*child)));
                    break;
                }
            }
        }
    }
}
