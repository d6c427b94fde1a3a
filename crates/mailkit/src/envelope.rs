//! Reading the envelope fields of one message header.

use crate::addrlist;
use crate::headers::{self, unfold};
use crate::parsed::{Address, Envelope};
use crate::scan::Budget;

/// Most addresses kept of one kind of field.
pub const MAX_ADDRESSES: usize = 2_000;

/// What a record spends on an address beside its text.
const ADDRESS_OVERHEAD: usize = 8;

/// Reads the envelope of a header. Several fields of one kind: addresses are joined (so that none hides), of other
/// fields the first counts.
pub(crate) fn read(header: &[u8], budget: &mut Budget) -> Envelope {
    let mut envelope = Envelope::default();
    for field in headers::fields(header) {
        let Some(kind) = FIELDS.iter().position(|name| field.is(name)) else {
            continue;
        };
        let value = unfold(field.value);
        match kind {
            0 => first(&mut envelope.date, value, budget),
            1 => first(&mut envelope.subject, value, budget),
            2 => first(&mut envelope.in_reply_to, value, budget),
            3 => first(&mut envelope.message_id, value, budget),
            4 => addresses(&mut envelope.from, &value, budget),
            5 => addresses(&mut envelope.sender, &value, budget),
            6 => addresses(&mut envelope.reply_to, &value, budget),
            7 => addresses(&mut envelope.to, &value, budget),
            8 => addresses(&mut envelope.cc, &value, budget),
            _ => addresses(&mut envelope.bcc, &value, budget),
        }
    }
    if envelope.sender.is_empty() {
        envelope.sender.clone_from(&envelope.from);
    }
    if envelope.reply_to.is_empty() {
        envelope.reply_to.clone_from(&envelope.from);
    }
    envelope
}

/// Names of the fields; their places are used in [`read`].
const FIELDS: [&str; 10] =
    ["date", "subject", "in-reply-to", "message-id", "from", "sender", "reply-to", "to", "cc", "bcc"];

fn first(slot: &mut Option<Vec<u8>>, value: Vec<u8>, budget: &mut Budget) {
    if slot.is_none() {
        *slot = Some(budget.keep(value));
    }
}

fn addresses(list: &mut Vec<Address>, value: &[u8], budget: &mut Budget) {
    let before = list.len();
    if !addrlist::read(value, list, MAX_ADDRESSES) {
        budget.exceeded = true;
    }
    for at in before..list.len() {
        let address = &mut list[at];
        let texts = [&mut address.name, &mut address.route, &mut address.mailbox, &mut address.host];
        if !budget.charge(ADDRESS_OVERHEAD) {
            list.truncate(at);
            break;
        }
        for text in texts.into_iter().flatten() {
            *text = budget.keep(std::mem::take(text));
        }
    }
}
