//! Why a message lies where it does: what the spam filter said when it came.

use filter::spam::{FIELD, Score};
use mailstore::{Mailbox, MessageRow, Role};

use crate::language::texts;
use crate::templates::Why;

/// Whether a mailbox is Spam, or lies below it.
pub fn is_junk(mailbox: &Mailbox, all: &[Mailbox]) -> bool {
    let junk = all.iter().find(|mailbox| mailbox.role == Some(Role::Junk));
    junk.is_some_and(|junk| mailbox.id == junk.id || mailbox.name.is_below(&junk.name))
}

/// What the filter said of a message that came, and what has become of that. Only what was put above the message here
/// counts: a sender can write anything below.
pub fn of(row: &MessageRow, is_junk: bool) -> Option<Why> {
    let value = mailkit::headers::value(row.body.prefix(), FIELD);
    let judged = value.and_then(|value| Score::from_field(&String::from_utf8_lossy(&value)));
    let Some((was_spam, limit, score)) = judged else {
        return is_junk.then(|| plain("moved", &texts().why_was_moved()));
    };
    let reasons = score.reasons().iter().map(|reason| (reason.points.to_string(), reason.line.clone())).collect();
    let (code, line) = match (is_junk, was_spam) {
        (true, false) => ("moved", texts().why_moved().into_owned()),
        (false, true) => ("rescued", texts().why_rescued().into_owned()),
        _ => match score.main(was_spam) {
            Some(reason) => (reason.code.as_str(), format!("{}.", reason.line.trim_end_matches('.'))),
            None => ("nothing", texts().why_nothing().into_owned()),
        },
    };
    Some(Why {
        code: code.to_owned(),
        line,
        reasons,
        total: score.total().to_string(),
        limit: limit.map(|limit| limit.to_string()),
    })
}

fn plain(code: &str, line: &str) -> Why {
    Why { code: code.to_owned(), line: line.to_owned(), reasons: Vec::new(), total: String::new(), limit: None }
}
