//! MULTISEARCH (RFC 7377): one search over several mailboxes, none of which has to be selected.
//!
//! At most as many mailboxes are searched as an account can have, and each only once, even if it is named several
//! times. Mailboxes that don't exist or have no matches are omitted silently.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use directory::AccountRealm;
use mailstore::{MailError, MailStore, Mailbox, MailboxId, MailboxName, Scores, SearchQuery, UidSet, UidsFound};

use super::search::{CancelOnDrop, Hits, Meant, asks_for_modseq, query, scores, shortened};
use super::selected::recent_of;
use super::{
    Session,
    outcome::{Done, Outcome},
};
use crate::response::{Code, mailbox_name, text};
use crate::syntax::{Flag, MultiSearch, SearchKey, SearchReturn, SearchSource};

impl Session {
    pub(super) async fn multisearch(&mut self, tag: &str, multi: MultiSearch) -> Outcome {
        self.may_name_charset(&multi.search)?;
        if multi.is_of_selected_alone() {
            return self.search_selected(tag, multi).await;
        }
        let MultiSearch { sources, search } = multi;
        search.knows_charset()?;
        self.refuse_update(tag, search.returns);
        let by_modseq = asks_for_modseq(&search.key);
        if by_modseq {
            self.enable_condstore();
        }
        let chosen = self.chosen(sources)?;
        let realm = self.realm()?;
        let mailstore = self.door.mailstore.clone();
        let mut mailboxes = mailstore.mailboxes(realm)?;
        mailboxes.retain(|mailbox| chosen.contains(mailbox));
        let cancel = CancelOnDrop::default();
        let job = Job {
            mailstore,
            realm,
            key: search.key,
            is_scored: search.returns.is_some_and(|returns| returns.relevancy),
            selected: self.selected.as_deref().map(|selected| (selected.mailbox, Meant::of(selected))),
            rev2: self.enabled.rev2,
            cancel: cancel.flag(),
        };
        let work = super::blocking(move || job.run(mailboxes));
        let found = self.patiently(tag, work).await??;
        drop(cancel);
        let wanted = search.returns.unwrap_or(SearchReturn::ALL);
        let mut damaged = Vec::new();
        for FoundIn { mailbox, hits, lost } in found {
            self.write_found(tag, &mailbox, &hits, wanted, by_modseq);
            damaged.extend(lost.map(|lost| format!("{lost} in {}", mailbox.name)));
        }
        if damaged.is_empty() {
            return Ok(Done::text(COMPLETED));
        }
        let list = shortened(damaged.join(", "));
        let text = format!("Skipped damaged messages: {list}");
        Ok(Done::code(Code::CORRUPTION, text))
    }

    /// Where the selected mailbox alone is meant this is a UID SEARCH, answered in another form.
    async fn search_selected(&mut self, tag: &str, multi: MultiSearch) -> Outcome {
        let search = multi.search;
        let by_modseq = asks_for_modseq(&search.key);
        let id = self.selected()?.mailbox;
        let hits = self.hits(tag, &search, by_modseq, |found, _, _| Ok((found, Vec::new()))).await?;
        self.refuse_update(tag, search.returns);
        let wanted = search.returns.unwrap_or(SearchReturn::ALL);
        if !wanted.saves_only() && !hits.is_empty() {
            let Some(mailbox) = self.door.mailstore.mailbox(self.realm()?, id)? else {
                return Err(MailError::MailboxGone(id).into());
            };
            self.write_found(tag, &mailbox, &hits, wanted, by_modseq);
        }
        Ok(hits.completed(COMPLETED))
    }

    /// Results that name mailboxes are not kept up to date; all else that was asked for is answered.
    fn refuse_update(&mut self, tag: &str, returns: Option<SearchReturn>) {
        if returns.is_some_and(|returns| returns.update) {
            self.no_update(tag, "ESEARCH does not support updates; use SEARCH or UID SEARCH");
        }
    }

    /// `* ESEARCH (TAG "a" MAILBOX "b" UIDVALIDITY 1) UID ALL 2,84`, if there is anything.
    fn write_found(&mut self, tag: &str, mailbox: &Mailbox, hits: &Hits, wanted: SearchReturn, by_modseq: bool) {
        if hits.is_empty() {
            return;
        }
        if by_modseq && let Some(selected) = self.selected.as_mut().filter(|selected| selected.mailbox == mailbox.id) {
            selected.shows_modseq();
        }
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(b"* ESEARCH (TAG ");
        text::string(out, tag.as_bytes(), false);
        out.extend_from_slice(b" MAILBOX ");
        mailbox_name::write(out, mailbox.name.as_str(), utf8);
        out.extend_from_slice(b" UIDVALIDITY ");
        text::number(out, u64::from(mailbox.uid_validity));
        hits.write_results(out, wanted, by_modseq);
    }

    fn chosen(&self, sources: Vec<SearchSource>) -> Outcome<Chosen> {
        let mut chosen = Chosen::default();
        for source in sources {
            match source {
                SearchSource::Selected => chosen.selected = Some(self.selected()?.mailbox),
                SearchSource::Inboxes => chosen.inbox = true,
                SearchSource::Personal => chosen.all = true,
                SearchSource::Subscribed => chosen.subscribed = true,
                SearchSource::Mailboxes(names) => chosen.named.extend(self.possible(&names)),
                SearchSource::Subtree(names) => {
                    chosen.all |= names.iter().any(String::is_empty);
                    chosen.subtrees.extend(self.possible(&names));
                }
                SearchSource::SubtreeOne(names) => {
                    chosen.outermost |= names.iter().any(String::is_empty);
                    let tops: Vec<MailboxName> = self.possible(&names).collect();
                    chosen.named.extend(tops.iter().cloned());
                    chosen.parents.extend(tops);
                }
            }
        }
        Ok(chosen)
    }

    /// Those of the names that a mailbox can have. No mailbox has the others, so that they mean nothing.
    fn possible(&self, names: &[String]) -> impl Iterator<Item = MailboxName> {
        names.iter().filter_map(|name| self.mailbox_name(name).ok())
    }
}

const COMPLETED: &str = "ESEARCH completed";

/// Which mailboxes are to be searched.
#[derive(Default)]
struct Chosen {
    selected: Option<MailboxId>,
    inbox: bool,
    all: bool,
    subscribed: bool,
    /// Those of the first level.
    outermost: bool,
    named: HashSet<MailboxName>,
    /// These and all below them.
    subtrees: HashSet<MailboxName>,
    /// Those one level below these.
    parents: HashSet<MailboxName>,
}

impl Chosen {
    fn contains(&self, mailbox: &Mailbox) -> bool {
        let name = &mailbox.name;
        let parent = name.parent();
        self.all
            || self.selected == Some(mailbox.id)
            || (self.inbox && name.is_inbox())
            || (self.subscribed && mailbox.subscribed)
            || (self.outermost && parent.is_none())
            || self.named.contains(name)
            || self.subtrees.contains(name)
            || parent.is_some_and(|parent| self.parents.contains(&parent))
            || (!self.subtrees.is_empty() && name.ancestors().any(|above| self.subtrees.contains(&above)))
    }
}

/// What was found in one mailbox.
struct FoundIn {
    mailbox: Mailbox,
    hits: Hits,
    /// What of it could not be read: `UID 2,7`, or `all`.
    lost: Option<String>,
}

/// A search under way, where it may block.
struct Job {
    mailstore: MailStore,
    realm: AccountRealm,
    key: SearchKey,
    /// How well messages match is to be told.
    is_scored: bool,
    /// The selected mailbox as the client knows it.
    selected: Option<(MailboxId, Meant)>,
    /// Nothing is `\Recent`.
    rev2: bool,
    cancel: Arc<AtomicBool>,
}

impl Job {
    fn run(&self, mailboxes: Vec<Mailbox>) -> Result<Vec<FoundIn>, MailError> {
        let mut all = Vec::new();
        // The same for every mailbox, unless it has numbers.
        let everywhere = (!depends_on_mailbox(&self.key)).then(|| query(&self.key, &Meant::default()));
        for mailbox in mailboxes {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(MailError::Cancelled);
            }
            match self.search(mailbox.id, everywhere.as_ref()) {
                Ok((hits, damaged)) => {
                    let lost = (!damaged.is_empty()).then(|| format!("UID {damaged}"));
                    if !hits.is_empty() || lost.is_some() {
                        all.push(FoundIn { mailbox, hits, lost });
                    }
                }
                // Deleted meanwhile: there is nothing to search.
                Err(MailError::MailboxGone(_)) => {}
                // One that is damaged hides no other.
                Err(error) if error.is_damage() => {
                    tracing::warn!(%error, mailbox = %mailbox.id, "can't search a damaged mailbox");
                    all.push(FoundIn { mailbox, hits: Hits::of_uids(&[]), lost: Some("all".to_owned()) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What is found in a mailbox, and what of it is damaged.
    fn search(&self, mailbox: MailboxId, everywhere: Option<&SearchQuery>) -> Result<(Hits, UidSet), MailError> {
        let selected = self.selected.as_ref().filter(|(id, _)| *id == mailbox).map(|(_, meant)| meant);
        let here;
        let program = match (everywhere, selected) {
            (Some(query), _) => query,
            (None, Some(meant)) => {
                here = query(&self.key, meant);
                &here
            }
            (None, None) => {
                here = query(&self.key, &self.meant_in(mailbox)?);
                &here
            }
        };
        let UidsFound { hits, damaged } =
            self.mailstore.search_uids(self.realm, mailbox, program, Some(&self.cancel))?;
        let known = selected.and_then(|meant| meant.view.clone());
        let scores = if self.is_scored && self.key.is_fuzzy() {
            let exactly = self.key.exactly();
            let exactly = match selected {
                Some(meant) => query(&exactly, meant),
                None => query(&exactly, &self.meant_in(mailbox)?),
            };
            scores(&hits, &self.mailstore.search_uids(self.realm, mailbox, &exactly, Some(&self.cancel))?.hits)
        } else {
            Scores::new()
        };
        // Of the selected mailbox nothing is told that the client does not know yet.
        let hits = match known {
            Some(known) => Hits::new(&hits, &known, true).scored(&hits, &scores, |uid| known.index_of(uid).is_some()),
            None => Hits::of_uids(&hits).scored(&hits, &scores, |_| true),
        };
        Ok((hits, damaged.into_iter().collect()))
    }

    /// What numbers mean in a mailbox that is not selected: what they would if it were. `$` has messages of the selected
    /// one alone.
    fn meant_in(&self, mailbox: MailboxId) -> Result<Meant, MailError> {
        let view = self.mailstore.view(self.realm, mailbox)?;
        let recent = if self.rev2 { UidSet::EMPTY } else { recent_of(&self.mailstore, self.realm, &view, true)? };
        Ok(Meant { view: Some(view), saved: UidSet::EMPTY, recent })
    }
}

/// Whether a program means something else in each mailbox.
fn depends_on_mailbox(key: &SearchKey) -> bool {
    key.has(&|key| matches!(key, SearchKey::Sequence(_) | SearchKey::Uid(_) | SearchKey::Flag(Flag::Recent)))
}
