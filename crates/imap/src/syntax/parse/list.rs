//! LIST in its basic and extended forms, LSUB, STATUS.

use super::super::command::{Command, List, StatusItem};
use super::{
    Cursor, metadata,
    words::{Result, mailbox},
};

pub(super) fn list(c: &mut Cursor<'_>) -> Result<List> {
    let mut list = List::default();
    c.space()?;
    if c.peek() == Some(b'(') {
        list.extended = true;
        c.list(|c| select_option(c, &mut list))?;
        c.space()?;
    }
    if list.recursive_match && !list.select_subscribed {
        return c.expected("SUBSCRIBED together with RECURSIVEMATCH");
    }
    list.reference = c.astring("a reference name")?;
    c.space()?;
    if c.peek() == Some(b'(') {
        list.extended = true;
        c.list(|c| {
            list.patterns.push(c.list_mailbox()?);
            Ok(())
        })?;
    } else {
        list.patterns.push(c.list_mailbox()?);
    }
    if !c.at_end() {
        c.space()?;
        if !c.eat_word("RETURN") {
            return c.expected("RETURN");
        }
        list.extended = true;
        c.space()?;
        c.list(|c| return_option(c, &mut list))?;
    }
    Ok(list)
}

fn select_option(c: &mut Cursor<'_>, list: &mut List) -> Result<()> {
    // RECURSIVEMATCH first: words are told apart by what follows them.
    if c.eat_word("SUBSCRIBED") {
        list.select_subscribed = true;
    } else if c.eat_word("SPECIAL-USE") {
        list.select_special_use = true;
    } else if c.eat_word("RECURSIVEMATCH") {
        list.recursive_match = true;
    } else if !c.eat_word("REMOTE") {
        return c.expected("SUBSCRIBED, SPECIAL-USE, RECURSIVEMATCH or REMOTE");
    }
    Ok(())
}

fn return_option(c: &mut Cursor<'_>, list: &mut List) -> Result<()> {
    if c.eat_word("SUBSCRIBED") {
        list.return_subscribed = true;
    } else if c.eat_word("CHILDREN") {
        list.return_children = true;
    } else if c.eat_word("SPECIAL-USE") {
        list.return_special_use = true;
    } else if c.eat_word("STATUS") {
        c.space()?;
        list.return_status = status_items(c)?;
    } else if c.eat_word("METADATA") {
        c.space()?;
        list.return_metadata = metadata::entries(c)?;
    } else {
        return c.expected("SUBSCRIBED, CHILDREN, SPECIAL-USE, STATUS or METADATA");
    }
    Ok(())
}

pub(super) fn lsub(c: &mut Cursor<'_>) -> Result<Command> {
    c.space()?;
    let reference = c.astring("a reference name")?;
    c.space()?;
    Ok(Command::Lsub { reference, pattern: c.list_mailbox()? })
}

pub(super) fn status(c: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox(c)?;
    c.space()?;
    Ok(Command::Status { mailbox, items: status_items(c)? })
}

fn status_items(c: &mut Cursor<'_>) -> Result<Vec<StatusItem>> {
    let mut items = Vec::new();
    c.list(|c| {
        let at = c.position();
        let item = match c.keyword("a status item")?.as_str() {
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            "DELETED" => StatusItem::Deleted,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            "SIZE" => StatusItem::Size,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "MAILBOXID" => StatusItem::MailboxId,
            "APPENDLIMIT" => StatusItem::AppendLimit,
            _ => {
                let want = "MESSAGES, UIDNEXT, UIDVALIDITY, UNSEEN, DELETED, DELETED-STORAGE, SIZE, RECENT, \
                            HIGHESTMODSEQ, MAILBOXID or APPENDLIMIT";
                return c.expected_at(at, want);
            }
        };
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    if items.is_empty() {
        return c.expected("at least one status item");
    }
    Ok(items)
}
