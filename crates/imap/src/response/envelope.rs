//! ENVELOPE (RFC 9051 section 7.5.2).

use mailkit::parsed::{Address, Envelope};

use super::text;

/// Writes an envelope.
pub(crate) fn write(out: &mut Vec<u8>, envelope: &Envelope, utf8: bool) {
    out.push(b'(');
    text::nstring(out, envelope.date.as_deref(), utf8);
    out.push(b' ');
    text::nstring(out, envelope.subject.as_deref(), utf8);
    for list in [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        addresses(out, list, utf8);
    }
    out.push(b' ');
    text::nstring(out, envelope.in_reply_to.as_deref(), utf8);
    out.push(b' ');
    text::nstring(out, envelope.message_id.as_deref(), utf8);
    out.push(b')');
}

/// Writes what stands for a message whose envelope is not known.
pub(crate) fn write_unknown(out: &mut Vec<u8>) {
    out.extend_from_slice(b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
}

fn addresses(out: &mut Vec<u8>, list: &[Address], utf8: bool) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        for (i, field) in [&address.name, &address.route, &address.mailbox, &address.host].into_iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            text::nstring(out, field.as_deref(), utf8);
        }
        out.push(b')');
    }
    out.push(b')');
}
