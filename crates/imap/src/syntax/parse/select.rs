//! SELECT and EXAMINE with their CONDSTORE and QRESYNC parameters (RFC 7162).

use super::super::command::{Qresync, Select};
use super::super::set::MessageSet;
use super::{
    Cursor,
    words::{Result, mailbox},
};

pub(super) fn select(c: &mut Cursor<'_>, read_only: bool) -> Result<Select> {
    let mut select = Select { mailbox: mailbox(c)?, read_only, condstore: false, qresync: None };
    if !c.at_end() {
        c.space()?;
        c.list(|c| {
            if c.eat_word("CONDSTORE") {
                select.condstore = true;
                Ok(())
            } else if c.eat_word("QRESYNC") {
                select.qresync = Some(qresync(c)?);
                Ok(())
            } else {
                c.expected("CONDSTORE or QRESYNC")
            }
        })?;
    }
    Ok(select)
}

fn qresync(c: &mut Cursor<'_>) -> Result<Qresync> {
    c.space()?;
    c.open()?;
    let uid_validity = c.nz_number()?;
    c.space()?;
    let modseq = c.number64()?;
    let mut q = Qresync { uid_validity, modseq, known_uids: None, sequence_match: None };
    if c.eat(b' ') && c.peek() != Some(b'(') {
        q.known_uids = Some(MessageSet::read(c)?);
        c.eat(b' ');
    }
    if c.eat(b'(') {
        let numbers = MessageSet::read(c)?;
        c.space()?;
        q.sequence_match = Some((numbers, MessageSet::read(c)?));
        c.close()?;
    }
    c.close()?;
    Ok(q)
}
