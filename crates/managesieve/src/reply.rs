//! Replies, and what errors become (RFC 5804 §1.3).

use directory::AuthError;
use mailstore::Unavailable;
use rules::RulesError;

/// Longest quoted string (RFC 5804 §4); what is longer is a literal.
const MAX_QUOTED_BYTES: usize = 1_024;

/// A response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Active,
    AlreadyExists,
    EncryptNeeded,
    MaxScripts,
    MaxSize,
    NonExistent,
    TryLater,
}

impl Code {
    const fn text(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::EncryptNeeded => "ENCRYPT-NEEDED",
            Self::MaxScripts => "QUOTA/MAXSCRIPTS",
            Self::MaxSize => "QUOTA/MAXSIZE",
            Self::NonExistent => "NONEXISTENT",
            Self::TryLater => "TRYLATER",
        }
    }
}

/// A `NO` or `BYE` reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: Option<Code>,
    text: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    pub(crate) fn no(&self, out: &mut Vec<u8>) {
        self.write("NO", out);
    }

    /// The connection is closed after it.
    pub(crate) fn bye(&self, out: &mut Vec<u8>) {
        self.write("BYE", out);
    }

    fn write(&self, word: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(word.as_bytes());
        if let Some(code) = self.code {
            out.extend_from_slice(b" (");
            out.extend_from_slice(code.text().as_bytes());
            out.push(b')');
        }
        out.push(b' ');
        string(&self.text, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes `OK` and a text.
pub(crate) fn ok(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"OK ");
    string(text, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes `OK`, and with the code `WARNINGS` the warnings instead of the text, if there are any.
pub(crate) fn ok_warned(warnings: &[String], text: &str, out: &mut Vec<u8>) {
    if warnings.is_empty() {
        return ok(text, out);
    }
    out.extend_from_slice(b"OK (WARNINGS) ");
    string(&warnings.join("\r\n"), out);
    out.extend_from_slice(b"\r\n");
}

/// Writes `OK` with a code that has a string, and a text.
pub(crate) fn ok_with(code: &str, value: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("OK ({code} ").as_bytes());
    string(value, out);
    out.extend_from_slice(b") ");
    string(text, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a string: quoted, or as a literal where it can't be. There are clients that don't know escaped characters.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    if text.len() > MAX_QUOTED_BYTES || text.contains(['\r', '\n', '\0', '"', '\\']) {
        literal(text, out);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Writes a string as a literal.
pub(crate) fn literal(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::TotpRequired => {
                Self::plain("This account uses two-step sign-in: create an app password for this mail app")
            }
            AuthError::Throttled { .. } | AuthError::Unavailable | AuthError::CodeUnavailable => {
                Self::new(Code::TryLater, error.to_string())
            }
            AuthError::Invalid | AuthError::Disabled | AuthError::NotAllowed { .. } => Self::plain(error.to_string()),
        }
    }
}

/// What became of a command that scripts were asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is refused: nothing was changed.
    Refused(Refusal),
    /// Whether it was done is unknown: nothing is answered, and the connection ends.
    Unknown,
}

impl From<RulesError> for Failure {
    fn from(error: RulesError) -> Self {
        let text = error.to_string();
        Self::Refused(match error {
            RulesError::Store(error) => match Unavailable::of(&error) {
                Unavailable::Unknown => {
                    tracing::error!(%error, "closing a ManageSieve connection without a reply: the outcome is unknown");
                    return Self::Unknown;
                }
                Unavailable::Quarantined => {
                    Refusal::plain("This account is read-only until your administrator has repaired it")
                }
                Unavailable::Damaged => {
                    Refusal::plain("The stored scripts are damaged; ask your administrator to repair them")
                }
                // What the system said is for the log, not for the client.
                _ => {
                    tracing::error!(%error, "could not read or change scripts");
                    Refusal::new(Code::TryLater, "Scripts can't be read or changed at the moment; try again soon")
                }
            },
            // One problem a line, each with its line and column.
            RulesError::Invalid(problems) => Refusal::plain(problems.to_string().replace('\n', "\r\n")),
            RulesError::NoSuchScript(_) => Refusal::new(Code::NonExistent, text),
            RulesError::Exists(_) => Refusal::new(Code::AlreadyExists, text),
            RulesError::Active(_) => Refusal::new(Code::Active, text),
            RulesError::TooMany => Refusal::new(Code::MaxScripts, text),
            RulesError::ScriptTooLarge | RulesError::TooLarge => Refusal::new(Code::MaxSize, text),
            RulesError::BadName | RulesError::Changed(_) => Refusal::plain(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_string_whatever_is_in_it() {
        let written = |text: &str| {
            let mut out = Vec::new();
            Refusal::new(Code::TryLater, text).no(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("a 'b'"), "NO (TRYLATER) \"a 'b'\"\r\n");
        assert_eq!(written("a \"b\\"), "NO (TRYLATER) {5}\r\na \"b\\\r\n");
        assert_eq!(written("a\r\nOK"), "NO (TRYLATER) {5}\r\na\r\nOK\r\n");
        let long = "ä".repeat(600);
        assert_eq!(written(&long), format!("NO (TRYLATER) {{1200}}\r\n{long}\r\n"));
    }
}
