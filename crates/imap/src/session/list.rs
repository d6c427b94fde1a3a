//! LIST and LSUB (RFC 9051 section 6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 9590).

use std::collections::{BTreeMap, BTreeSet};

use mailstore::Mailbox;

use super::{
    Session, asks_for_modseq,
    outcome::{Done, Outcome},
};
use crate::failure::Failure;
use crate::response::{Code, mailbox_name};
use crate::syntax::List;

/// Most patterns in one LIST.
const MAX_PATTERNS: usize = 16;
/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 500;

/// A name in the tree: a mailbox, a level above one, or something subscribed to.
#[derive(Default)]
struct Node {
    mailbox: Option<usize>,
    has_children: bool,
    subscribed: bool,
}

/// All names of an account.
struct Tree {
    mailboxes: Vec<Mailbox>,
    nodes: BTreeMap<String, Node>,
}

impl Session {
    pub(super) fn list(&mut self, list: &List) -> Outcome {
        if asks_for_modseq(&list.return_status) {
            self.enable_condstore();
        }
        if !list.extended && list.patterns.iter().all(String::is_empty) {
            // Asks for the delimiter only.
            self.wire.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
            return Ok(Done::text("LIST completed"));
        }
        let patterns = self.patterns(&list.reference, &list.patterns)?;
        let tree = self.tree()?;
        for (name, node) in &tree.nodes {
            if !patterns.iter().any(|pattern| pattern.matches(name)) {
                continue;
            }
            let mailbox = node.mailbox.map(|at| &tree.mailboxes[at]);
            let special = mailbox.and_then(|mailbox| mailbox.role).and_then(|role| role.attribute());
            let child_subscribed = list.recursive_match && tree.has_hidden_subscription(name, &patterns);
            let wanted = if list.select_subscribed {
                node.subscribed || child_subscribed
            } else {
                mailbox.is_some() || node.has_children
            };
            if !wanted || (list.select_special_use && special.is_none()) {
                continue;
            }
            let mut attributes = Vec::new();
            if mailbox.is_none() {
                attributes.push("\\NonExistent");
                // Implied by the other, which only clients of LIST-EXTENDED know (RFC 5258 section 3).
                if !list.extended {
                    attributes.push("\\Noselect");
                }
            }
            if node.subscribed && (list.select_subscribed || list.return_subscribed) {
                attributes.push("\\Subscribed");
            }
            attributes.push(if node.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
            attributes.extend(special);
            self.write_list(b"* LIST (", &attributes, name, child_subscribed);
            if let Some(mailbox) = mailbox.filter(|_| !list.return_status.is_empty()) {
                self.write_status(mailbox, &list.return_status)?;
            }
            if let Some(mailbox) = mailbox.filter(|_| !list.return_metadata.is_empty()) {
                self.list_metadata(mailbox, &list.return_metadata)?;
            }
        }
        Ok(Done::text("LIST completed"))
    }

    /// RFC 3501 section 6.3.9. With `%`, a level above a subscribed name is shown though it is not subscribed itself.
    pub(super) fn lsub(&mut self, reference: &str, pattern: &str) -> Outcome {
        let patterns = self.patterns(reference, std::slice::from_ref(&pattern.to_owned()))?;
        let tree = self.tree()?;
        let mut shown: BTreeMap<&str, bool> = BTreeMap::new();
        for (name, _) in tree.nodes.iter().filter(|(_, node)| node.subscribed) {
            let matches = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
            if matches(name) {
                shown.insert(name, true);
            } else if pattern.ends_with('%')
                && let Some((end, _)) = name.rmatch_indices('/').find(|(end, _)| matches(&name[..*end]))
            {
                shown.entry(&name[..end]).or_insert(false);
            }
        }
        for (name, subscribed) in shown {
            let attributes: &[&str] = if subscribed { &[] } else { &["\\Noselect"] };
            self.write_list(b"* LSUB (", attributes, name, false);
        }
        Ok(Done::text("LSUB completed"))
    }

    fn write_list(&mut self, start: &[u8], attributes: &[&str], name: &str, child_subscribed: bool) {
        let utf8 = self.enabled.utf8;
        let out = &mut self.wire.out;
        out.extend_from_slice(start);
        out.extend_from_slice(attributes.join(" ").as_bytes());
        out.extend_from_slice(b") \"/\" ");
        mailbox_name::write(out, name, utf8);
        if child_subscribed {
            out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn patterns(&self, reference: &str, patterns: &[String]) -> Outcome<Vec<Pattern>> {
        if patterns.len() > MAX_PATTERNS {
            return Err(Failure::no(Code::LIMIT, format!("Too many patterns: the limit is {MAX_PATTERNS}")));
        }
        // What is no modified UTF-7 is no mailbox's name: it matches nothing, unless its wildcards do.
        let decoded = |text: &str| {
            let name = if self.enabled.utf8 { None } else { mailbox_name::decode(text) };
            name.unwrap_or_else(|| text.to_owned())
        };
        let reference = decoded(reference);
        let mut all = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let whole = format!("{reference}{}", decoded(pattern));
            if whole.len() > MAX_PATTERN_BYTES {
                return Err(Failure::no(
                    Code::LIMIT,
                    format!("Pattern too long: the limit is {MAX_PATTERN_BYTES} bytes"),
                ));
            }
            all.push(Pattern(whole));
        }
        Ok(all)
    }

    fn tree(&self) -> Outcome<Tree> {
        let realm = self.realm()?;
        let mailboxes = self.door.mailstore.mailboxes(realm)?;
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        for (at, mailbox) in mailboxes.iter().enumerate() {
            nodes.entry(mailbox.name.as_str().to_owned()).or_default().mailbox = Some(at);
            for above in mailbox.name.ancestors() {
                nodes.entry(above.as_str().to_owned()).or_default().has_children = true;
            }
        }
        for name in self.door.mailstore.subscriptions(realm)? {
            nodes.entry(name.as_str().to_owned()).or_default().subscribed = true;
            // A level that exists only above a subscription is shown for RECURSIVEMATCH alone.
            for above in name.ancestors() {
                nodes.entry(above.as_str().to_owned()).or_default();
            }
        }
        Ok(Tree { mailboxes, nodes })
    }
}

impl Tree {
    /// Whether a name below `name` is subscribed to and is not itself shown by the patterns.
    fn has_hidden_subscription(&self, name: &str, patterns: &[Pattern]) -> bool {
        let start = format!("{name}/");
        self.nodes
            .range(start.clone()..)
            .take_while(|(below, _)| below.starts_with(&start))
            .any(|(below, node)| node.subscribed && !patterns.iter().any(|pattern| pattern.matches(below)))
    }
}

/// A mailbox pattern: `*` stands for anything, `%` for anything within a level.
struct Pattern(String);

impl Pattern {
    /// Follows all ways through the pattern at once, so that no pattern takes long.
    fn matches(&self, name: &str) -> bool {
        let pattern = self.0.as_bytes();
        // INBOX in any case is the inbox (RFC 9051 section 5.1).
        let inbox = name == "INBOX" || name.starts_with("INBOX/");
        let mut places = BTreeSet::from([0]);
        skip_wildcards(pattern, &mut places);
        for (i, &byte) in name.as_bytes().iter().enumerate() {
            let mut next = BTreeSet::new();
            for place in places {
                match pattern.get(place) {
                    Some(b'*') => {
                        next.insert(place);
                    }
                    Some(b'%') if byte != b'/' => {
                        next.insert(place);
                    }
                    Some(&want) if want == byte || (inbox && i < 5 && want.eq_ignore_ascii_case(&byte)) => {
                        next.insert(place + 1);
                    }
                    _ => {}
                }
            }
            skip_wildcards(pattern, &mut next);
            if next.is_empty() {
                return false;
            }
            places = next;
        }
        places.contains(&pattern.len())
    }
}

/// A wildcard may stand for nothing: the places behind it are reached, too.
fn skip_wildcards(pattern: &[u8], places: &mut BTreeSet<usize>) {
    for mut place in places.clone() {
        while matches!(pattern.get(place), Some(b'*' | b'%')) {
            place += 1;
            if !places.insert(place) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern(pattern.to_owned()).matches(name)
    }

    #[test]
    fn wildcards_follow_the_levels() {
        assert!(matches("*", "a/b/c"));
        assert!(matches("%", "a"));
        assert!(!matches("%", "a/b"));
        assert!(matches("a/%", "a/b"));
        assert!(!matches("a/%", "a"));
        assert!(matches("%/%", "a/b"));
        assert!(matches("*b", "a/b"));
        assert!(matches("a*%c", "a/b/c"));
        assert!(!matches("%b", "a/b"));
        assert!(matches("inbox", "INBOX"));
        assert!(matches("InBox/*", "INBOX/Lists"));
        assert!(!matches("inbox", "INBOXES"));
        assert!(!matches("work", "Work"));
        assert!(matches("%*%", ""));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_a_kind_one() {
        assert!(!matches(&"%a".repeat(200), &"a".repeat(399)[..150]));
    }
}
