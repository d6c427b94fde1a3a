//! The frame of every page: mailboxes with their counts, the account, the storage used.

use mailstore::{Mailbox, MailboxId, Role};

use crate::caller::Caller;
use crate::error::Result;
use crate::language::texts;
use crate::templates::{MailboxItem, Shell, Space};
use crate::text::avatar;
use crate::time::size;

/// The surroundings of a page for `caller`.
pub fn build(caller: &Caller, view: &'static str, current: Option<MailboxId>) -> Result<Shell> {
    let mail = &caller.site.mailstore;
    // Read before the lists: live update repeats what changes in between, so no change is missed.
    let state = mail.state(caller.realm);
    let mut mailboxes = mail.mailboxes(caller.realm)?;
    let place = |role| Role::ALL.iter().position(|known| *known == role);
    mailboxes.sort_by_key(|mailbox| mailbox.role.and_then(place).unwrap_or(usize::MAX));
    let boxes = mailboxes.iter().map(|mailbox| item(mailbox, &mailboxes, current)).collect();
    let (me_initial, me_hue) = avatar(&caller.name, &caller.address);
    Ok(Shell {
        view,
        current,
        state,
        boxes,
        searches: saved(caller)?,
        recent: caller.site.saved.recent(caller.realm)?,
        query: String::new(),
        me_name: if caller.name.is_empty() { caller.address.clone() } else { caller.name.clone() },
        me_address: caller.address.clone(),
        me_initial,
        me_hue,
        stopped: caller.site.directory.sending(caller.account)?.and_then(|sending| sending.stopped).map(|now| now.why),
        vacation: crate::away::answers_now(caller)?.then(crate::view::fresh_key),
        admin: caller.admin,
        space: space(caller)?,
        snooze: crate::snooze::choices(&caller.calendar()),
        notice: None,
    })
}

/// The saved searches of the side bar.
fn saved(caller: &Caller) -> Result<Vec<(String, String, bool)>> {
    let all = caller.site.saved.list(caller.realm)?;
    let link = |query: &str| format!("/search?q={}", crate::error::form_urlencoded(query));
    Ok(all.into_iter().map(|search| (link(&search.query), search.name, false)).collect())
}

fn item(mailbox: &Mailbox, all: &[Mailbox], current: Option<MailboxId>) -> MailboxItem {
    let above = mailbox.name.ancestors().filter(|name| all.iter().any(|m| m.name == *name && m.role.is_none())).count();
    let nested = above > 0 && mailbox.role.is_none();
    MailboxItem {
        id: mailbox.id,
        name: if nested { mailbox.name.leaf().to_owned() } else { label(mailbox) },
        full: label(mailbox),
        icon: mailbox.role.map_or("folder", role_name),
        depth: ["", "d1", "d2", "d3"][if nested { above.min(3) } else { 0 }],
        count: if mailbox.role == Some(Role::Drafts) { mailbox.total } else { mailbox.unread },
        total: mailbox.total,
        unread: mailbox.unread,
        standard: mailbox.role.is_some(),
        current: current == Some(mailbox.id),
    }
}

/// What people call a mailbox.
pub fn label(mailbox: &Mailbox) -> String {
    let t = texts();
    match (mailbox.role, mailbox.name.as_str()) {
        (Some(Role::Inbox), _) => t.inbox().into_owned(),
        (Some(Role::Drafts), "Drafts") => t.drafts().into_owned(),
        (Some(Role::Sent), "Sent") => t.sent().into_owned(),
        (Some(Role::Archive), "Archive") => t.archive().into_owned(),
        (Some(Role::Junk), "Junk") => t.spam().into_owned(),
        (Some(Role::Trash), "Trash") => t.trash().into_owned(),
        (_, name) => name.to_owned(),
    }
}

/// A role in addresses and as the name of its icon.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Inbox => "inbox",
        Role::Drafts => "drafts",
        Role::Sent => "sent",
        Role::Archive => "archive",
        Role::Junk => "junk",
        Role::Trash => "trash",
        Role::Snoozed => "snoozed",
    }
}

fn space(caller: &Caller) -> Result<Option<Space>> {
    let quota = caller.site.mailstore.quota(caller.realm)?;
    Ok(quota.limit_bytes.filter(|limit| *limit > 0).map(|limit| Space {
        percent: (quota.used_bytes.saturating_mul(100) / limit).min(100),
        text: texts().storage(size(limit), size(quota.used_bytes)).into_owned(),
    }))
}
