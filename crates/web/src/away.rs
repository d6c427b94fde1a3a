//! Whether an account's mail is answered by a vacation reply at the moment.

use jiff::tz::Offset;

use crate::caller::Caller;
use crate::error::Result;

/// The day that it is in a zone such as `+0100`.
fn today_in(zone: &str, now_ms: i64) -> String {
    let digits: i32 = zone.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    let seconds = (digits / 100 * 60 + digits % 100) * 60 * if zone.starts_with('-') { -1 } else { 1 };
    let offset = Offset::from_seconds(seconds).unwrap_or(Offset::UTC);
    jiff::Timestamp::from_millisecond(now_ms).map(|now| offset.to_datetime(now).date().to_string()).unwrap_or_default()
}

/// Whether the account's mail is answered now, for the line above its pages. A script without a vacation reply is not read.
pub fn answers_now(caller: &Caller) -> Result<bool> {
    let current = caller.site.rules.current(caller.realm)?;
    if !current.text.contains("vacation") {
        return Ok(false);
    }
    let book = rules::Book::read(&current.text).unwrap_or_default();
    let now_ms = caller.now_ms();
    Ok(book.vacation().is_some_and(|vacation| vacation.answers_on(|zone| today_in(zone, now_ms))))
}
