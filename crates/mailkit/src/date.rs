//! RFC 5322 dates.

/// Reads a Date field leniently; milliseconds since the epoch, within the years 1970 to 9999.
pub fn parse(_value: &str) -> Option<i64> {
    todo!()
}

/// Writes an RFC 5322 date in UTC: `Mon, 23 Nov 2026 14:50:10 +0000`.
pub fn format(_ms: i64) -> String {
    todo!()
}

/// Calendar day as written in the Date field, zone disregarded (IMAP `SENTON` and its like): days since 1970-01-01.
pub fn written_day(_value: &str) -> Option<i32> {
    todo!()
}
