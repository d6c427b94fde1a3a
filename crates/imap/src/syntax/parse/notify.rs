//! NOTIFY (RFC 5465).

use super::super::command::{Notify, NotifyEvents, NotifyFilter, NotifyGroup};
use super::super::{MAX_LIST_ITEMS, MAX_NOTIFY_GROUPS};
use super::{Cursor, fetch, words::Result};

/// `NONE`, or `SET [STATUS] (filter events) ...`.
pub(super) fn notify(c: &mut Cursor<'_>) -> Result<Option<Notify>> {
    c.space()?;
    if c.eat_word("NONE") {
        return Ok(None);
    }
    if !c.eat_word("SET") {
        return c.expected("SET or NONE");
    }
    c.space()?;
    let mut notify = Notify { status: c.eat_word("STATUS"), groups: Vec::new() };
    if notify.status {
        c.space()?;
    }
    loop {
        if notify.groups.len() == MAX_NOTIFY_GROUPS {
            return c.expected("fewer groups of events");
        }
        notify.groups.push(group(c)?);
        if c.at_end() {
            return Ok(Some(notify));
        }
        c.space()?;
    }
}

fn group(c: &mut Cursor<'_>) -> Result<NotifyGroup> {
    c.open()?;
    let at = c.position();
    let filter = match c.keyword("a filter such as SELECTED or PERSONAL")?.as_str() {
        "SELECTED" => NotifyFilter::Selected,
        "SELECTED-DELAYED" => NotifyFilter::SelectedDelayed,
        "INBOXES" => NotifyFilter::Inboxes,
        "PERSONAL" => NotifyFilter::Personal,
        "SUBSCRIBED" => NotifyFilter::Subscribed,
        "SUBTREE" => NotifyFilter::Subtree(mailboxes(c)?),
        "MAILBOXES" => NotifyFilter::Mailboxes(mailboxes(c)?),
        _ => {
            let want = "SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES";
            return c.expected_at(at, want);
        }
    };
    c.space()?;
    let at = c.position();
    let events = if c.eat_word("NONE") { NotifyEvents::default() } else { events(c)? };
    c.close()?;
    let is_selected = matches!(filter, NotifyFilter::Selected | NotifyFilter::SelectedDelayed);
    if events.message_new != events.message_expunge || (events.flag_change && !events.message_new) {
        return c.expected_at(at, "MessageNew and MessageExpunge together, and FlagChange with both");
    }
    if is_selected && events.of_mailboxes() {
        return c.expected_at(at, "only events of messages for the selected mailbox");
    }
    if !is_selected && !events.fetch.is_empty() {
        return c.expected_at(at, "items to fetch for the selected mailbox only");
    }
    Ok(NotifyGroup { filter, events })
}

/// A space, and one mailbox name or a list of them.
pub(super) fn mailboxes(c: &mut Cursor<'_>) -> Result<Vec<String>> {
    c.space()?;
    let mut names = Vec::new();
    if c.peek() == Some(b'(') {
        c.list(|c| {
            names.push(c.astring("a mailbox name")?);
            Ok(())
        })?;
    } else {
        names.push(c.astring("a mailbox name")?);
    }
    if names.is_empty() { c.expected("at least one mailbox name") } else { Ok(names) }
}

fn events(c: &mut Cursor<'_>) -> Result<NotifyEvents> {
    let mut events = NotifyEvents::default();
    c.open()?;
    loop {
        match c.keyword("an event such as MessageNew")?.as_str() {
            "MESSAGENEW" => {
                events.message_new = true;
                if c.eat_text(" (") {
                    loop {
                        if events.fetch.len() == MAX_LIST_ITEMS {
                            return c.expected("fewer items");
                        }
                        events.fetch.push(fetch::item(c)?);
                        if c.eat(b')') {
                            break;
                        }
                        c.space()?;
                    }
                }
            }
            "MESSAGEEXPUNGE" => events.message_expunge = true,
            "FLAGCHANGE" => events.flag_change = true,
            "MAILBOXNAME" => events.mailbox_name = true,
            "SUBSCRIPTIONCHANGE" => events.subscription_change = true,
            "MAILBOXMETADATACHANGE" => events.mailbox_metadata_change = true,
            "SERVERMETADATACHANGE" => events.server_metadata_change = true,
            _ => events.unknown = true,
        }
        if c.eat(b')') {
            return Ok(events);
        }
        c.space()?;
    }
}
