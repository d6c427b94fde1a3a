//! What several commands have in common.

use jiff::{
    civil::{Date, DateTime},
    tz::Offset,
};

use crate::syntax::{
    command::{AppendMessage, Flag},
    cursor::{Cursor, SyntaxError},
    set::MessageSet,
};

pub(super) type Result<T> = std::result::Result<T, SyntaxError>;

/// Flags and date before a message, and the space after them.
pub(super) fn append_words(c: &mut Cursor<'_>) -> Result<AppendMessage> {
    c.space()?;
    let mut message = AppendMessage::default();
    if c.peek() == Some(b'(') {
        message.flags = flags(c)?;
        c.space()?;
    }
    if c.peek() == Some(b'"') {
        message.internal_date_ms = Some(date_time(c)?);
        c.space()?;
    }
    Ok(message)
}

pub(super) fn append_message(c: &mut Cursor<'_>) -> Result<AppendMessage> {
    let mut message = append_words(c)?;
    message.utf8 = c.eat_word("UTF8");
    if message.utf8 {
        c.space()?;
        c.open()?;
    }
    if !c.eat_text("~{") && !c.eat(b'{') {
        return c.expected("a literal with the message");
    }
    Ok(message)
}

/// A space and a mailbox name.
pub(super) fn mailbox(c: &mut Cursor<'_>) -> Result<String> {
    c.space()?;
    c.astring("a mailbox name")
}

/// A space and a message set.
pub(super) fn set(c: &mut Cursor<'_>) -> Result<MessageSet> {
    c.space()?;
    MessageSet::read(c)
}

pub(super) const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `1-Feb-1994`, with or without quotes.
pub(super) fn date(c: &mut Cursor<'_>) -> Result<Date> {
    let quoted = c.eat(b'"');
    let date = date_text(c)?;
    if quoted {
        c.byte(b'"', "a closing quote")?;
    }
    Ok(date)
}

pub(super) fn date_text(c: &mut Cursor<'_>) -> Result<Date> {
    const WANT: &str = "a date such as 1-Feb-1994";
    let at = c.position();
    let part = |text: &[u8], max: usize| -> Option<i16> {
        let good = !text.is_empty() && text.len() <= max && text.iter().all(u8::is_ascii_digit);
        good.then(|| text.iter().fold(0i16, |n, d| n * 10 + i16::from(d - b'0')))
    };
    c.eat(b' ');
    let day = part(c.take_while(|b| b.is_ascii_digit()), 2);
    c.byte(b'-', WANT)?;
    let month = c.take_while(|b| b.is_ascii_alphabetic());
    let month = MONTHS.iter().position(|m| m.as_bytes().eq_ignore_ascii_case(month));
    c.byte(b'-', WANT)?;
    let year = part(c.take_while(|b| b.is_ascii_digit()), 4);
    if let (Some(day), Some(month), Some(year)) = (day, month, year)
        && let Ok(date) = Date::new(year, month as i8 + 1, day as i8)
    {
        return Ok(date);
    }
    c.expected_at(at, WANT)
}

/// `"17-Jul-1996 02:44:25 -0700"`, in milliseconds since the epoch.
pub(super) fn date_time(c: &mut Cursor<'_>) -> Result<i64> {
    const WANT: &str = "a date such as \"17-Jul-1996 02:44:25 -0700\"";
    let at = c.position();
    c.byte(b'"', WANT)?;
    let date = date_text(c)?;
    c.byte(b' ', WANT)?;
    let two = |c: &mut Cursor<'_>| -> Result<i8> {
        let mut n = 0i8;
        for _ in 0..2 {
            match c.peek() {
                Some(d @ b'0'..=b'9') => n = n * 10 + (d - b'0') as i8,
                _ => return c.expected(WANT),
            }
            c.eat(c.peek().unwrap_or_default());
        }
        Ok(n)
    };
    let hour = two(c)?;
    c.byte(b':', WANT)?;
    let minute = two(c)?;
    c.byte(b':', WANT)?;
    let second = two(c)?;
    c.byte(b' ', WANT)?;
    let sign = if c.eat(b'-') {
        -1
    } else {
        c.byte(b'+', WANT)?;
        1
    };
    let offset = i32::from(two(c)?) * 3600 + i32::from(two(c)?) * 60;
    c.byte(b'"', WANT)?;
    // A leap second is the second before it: the clock here has none.
    let time = jiff::civil::Time::new(hour, minute, second.min(59), 0);
    let stamp = time.ok().filter(|_| second <= 60).and_then(|time| {
        let offset = Offset::from_seconds(sign * offset).ok()?;
        offset.to_timestamp(DateTime::from_parts(date, time)).ok()
    });
    match stamp {
        Some(stamp) => Ok(stamp.as_millisecond()),
        None => c.expected_at(at, WANT),
    }
}

pub(super) fn flags(c: &mut Cursor<'_>) -> Result<Vec<Flag>> {
    let mut flags = Vec::new();
    c.list(|c| {
        flags.push(flag(c)?);
        Ok(())
    })?;
    Ok(flags)
}

pub(super) fn flag(c: &mut Cursor<'_>) -> Result<Flag> {
    let at = c.position();
    if c.eat(b'\\') {
        return match c.keyword("a flag")?.as_str() {
            "SEEN" => Ok(Flag::Seen),
            "ANSWERED" => Ok(Flag::Answered),
            "FLAGGED" => Ok(Flag::Flagged),
            "DELETED" => Ok(Flag::Deleted),
            "DRAFT" => Ok(Flag::Draft),
            _ => c.expected_at(at, "\\Seen, \\Answered, \\Flagged, \\Deleted, \\Draft or a keyword"),
        };
    }
    let keyword = c.atom("a flag")?;
    if keyword.is_ascii() { Ok(Flag::Keyword(keyword.to_owned())) } else { c.expected_at(at, "a keyword in ASCII") }
}
