//! The notification method `mailto` (RFC 5436, RFC 6068).

use mailkit::EmailAddress;

/// Most addresses of one notification.
const MAX_RECIPIENTS: usize = 8;

/// A `mailto:` URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailto {
    /// To whom.
    pub to: Vec<EmailAddress>,
    /// To whom besides.
    pub cc: Vec<EmailAddress>,
    /// Other header fields.
    pub fields: Vec<(String, String)>,
    /// The text.
    pub body: Option<String>,
}

impl Mailto {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(uri: &str) -> Result<Self, String> {
        let rest = match uri.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto") => rest,
            _ => return Err(format!("{uri:?} is not a method of notification: only mailto: is known here")),
        };
        let (to, query) = rest.split_once('?').unwrap_or((rest, ""));
        if let Some(c) = rest.chars().find(|c| !c.is_ascii_graphic() || "<>\"\\^`{|}".contains(*c)) {
            return Err(format!("the character {c:?} can't stand in a mailto URI: write it as %{:02X}", u32::from(c)));
        }
        let mut out = Self::default();
        add(&mut out.to, to)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("{pair:?} in the mailto URI has no value"))?;
            match percent_decoded(name).to_ascii_lowercase().as_str() {
                "to" => add(&mut out.to, value)?,
                "cc" => add(&mut out.cc, value)?,
                // Nobody else learns of them (RFC 5436 section 2.7).
                "bcc" => {}
                "body" => out.body = Some(percent_decoded(value)),
                name if crate::check::field_name(name).is_err() => {
                    return Err(format!("{name:?} in the mailto URI is not the name of a header field"));
                }
                name => out.fields.push((name.to_owned(), percent_decoded(value))),
            }
        }
        let Self { to, cc, .. } = &mut out;
        cc.retain(|address| !to.contains(address));
        if out.to.is_empty() || out.to.len() + out.cc.len() > MAX_RECIPIENTS {
            return Err(format!("a mailto URI has 1 to {MAX_RECIPIENTS} addresses"));
        }
        Ok(out)
    }
}

fn add(out: &mut Vec<EmailAddress>, list: &str) -> Result<(), String> {
    for text in percent_decoded(list).split(',').filter(|text| !text.trim().is_empty()) {
        let address = crate::address::one(text)?;
        if !out.contains(&address) {
            out.push(address);
        }
    }
    Ok(())
}

/// A text with `%41` as `A`.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
