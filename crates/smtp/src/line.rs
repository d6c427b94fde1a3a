//! What a line must be to be read as a command.

/// A line, or why it is none that can be read.
pub(crate) enum Line {
    Text(String),
    /// It ends with a bare LF, or holds bytes that are not UTF-8.
    Malformed(&'static str),
    TooLong,
}

impl From<doorkit::wire::Line> for Line {
    fn from(line: doorkit::wire::Line) -> Self {
        match line {
            doorkit::wire::Line::Text(text) => match std::str::from_utf8(&text) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::Malformed("Command is not valid UTF-8"),
            },
            doorkit::wire::Line::BareLf => Self::Malformed("Bare LF: a line must end with CRLF"),
            doorkit::wire::Line::TooLong => Self::TooLong,
        }
    }
}
