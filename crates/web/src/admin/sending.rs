//! What an account may send: shown on its page, changed by its form.

use delivery::{Counted, Window};
use directory::{AccountId, OwnLimits};

use super::account::{Done, Refused};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::Posted;

/// A row of the table.
pub struct Row {
    /// Its field.
    name: &'static str,
    pub label: &'static str,
    pub used: u32,
    /// What the account may now.
    pub limit: String,
    /// Its own limit, as it is typed; empty if it has none.
    pub own: String,
}

/// What the page of an account shows.
pub struct Shown {
    pub rows: Vec<Row>,
    /// Why its sending is stopped, and since when.
    pub stopped: Option<(String, String)>,
}

const FIELDS: [(&str, &str); 6] = [
    ("messages-hour", "Messages an hour"),
    ("messages-day", "Messages a day"),
    ("recipients-hour", "Recipients an hour"),
    ("recipients-day", "Recipients a day"),
    ("new-hour", "New recipients an hour"),
    ("new-day", "New recipients a day"),
];

const fn place(counted: Counted, window: Window) -> usize {
    let first = match counted {
        Counted::Messages => 0,
        Counted::Recipients => 2,
        Counted::New => 4,
    };
    match window {
        Window::Hour => first,
        Window::Day => first + 1,
    }
}

const fn listed(own: &OwnLimits) -> [Option<u32>; 6] {
    let (messages, recipients) =
        ((own.messages_per_hour, own.messages_per_day), (own.recipients_per_hour, own.recipients_per_day));
    [messages.0, messages.1, recipients.0, recipients.1, own.new_per_hour, own.new_per_day]
}

const fn unlisted(all: [Option<u32>; 6]) -> OwnLimits {
    let [messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day, new_per_hour, new_per_day] = all;
    OwnLimits {
        messages_per_hour,
        messages_per_day,
        recipients_per_hour,
        recipients_per_day,
        new_per_hour,
        new_per_day,
    }
}

impl Row {
    /// What its field is called.
    pub fn field(&self) -> &'static str {
        self.name
    }
}

/// What is shown of an account.
pub fn shown(caller: &Caller, id: AccountId) -> Result<Shown> {
    let sending = caller.site.directory.sending(id)?;
    let own = sending.as_ref().map(|sending| listed(&sending.limits)).unwrap_or_default();
    let rows = caller.site.delivery.sending_use(id).unwrap_or_default().into_iter().map(|row| {
        let at = place(row.counted, row.window);
        let (name, label) = FIELDS[at];
        let limit = if row.limit == 0 { "unlimited".to_owned() } else { row.limit.to_string() };
        Row { name, label, used: row.used, limit, own: own[at].map(|own| own.to_string()).unwrap_or_default() }
    });
    let stopped = sending.and_then(|sending| sending.stopped);
    Ok(Shown {
        rows: rows.collect(),
        stopped: stopped.map(|stopped| (stopped.why, caller.calendar().when(stopped.at_ms).full)),
    })
}

/// The limits as they were typed, or what is wrong with them.
pub fn typed(form: &Posted) -> Result<OwnLimits, (&'static str, String)> {
    let mut all = [None; 6];
    for ((field, label), limit) in FIELDS.into_iter().zip(&mut all) {
        *limit = match form.get(field).trim() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                let what = label.to_lowercase();
                ("limits", format!("Write {what} as a number, 0 for unlimited, or leave the field empty."))
            })?),
        };
    }
    Ok(unlisted(all))
}

/// Sets an account's own limits.
pub async fn save(caller: &Caller, id: AccountId, limits: OwnLimits) -> Result<Done, Refused> {
    caller.site.directory.set_sending_limits(id, limits).await.map_err(|error| ("limits", error))?;
    let all = FIELDS.into_iter().zip(listed(&limits));
    let set: Vec<String> =
        all.filter_map(|((_, label), limit)| Some(format!("{} {}", label.to_lowercase(), limit?))).collect();
    Ok(Done::new(if set.is_empty() {
        "removed its own sending limits".to_owned()
    } else {
        format!("set its sending limits: {}", set.join(", "))
    }))
}

/// Stops an account's sending, or allows it again. The first writes its own line into the audit trail.
pub async fn switch(caller: &Caller, id: AccountId, allow: bool) -> Result<Done> {
    let delivery = &caller.site.delivery;
    if allow {
        let (stopped, released) = delivery.allow_sending(id).await?;
        let audited =
            if stopped.is_some() || released > 0 { vec!["allowed sending again".to_owned()] } else { Vec::new() };
        return Ok(Done { audited, notice: "sendingallowed", ..Done::new("") });
    }
    let peer = caller.peer.addr.to_string();
    delivery.stop_sending(id, &caller.address, "an administrator stopped it", &peer).await?;
    Ok(Done { audited: Vec::new(), notice: "sendingstopped", ..Done::new("") })
}
