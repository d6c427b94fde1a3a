//! The little XML that is read and written here.

/// Text for an element or an attribute. What XML can't have at all is left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// The text of the first element of that name, whatever its prefix; `None` if there is none, or if it has elements in it.
pub fn text_of(xml: &str, name: &str) -> Option<String> {
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = &comment[comment.find("-->")?..];
            continue;
        }
        let end = rest.find('>')?;
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        let local = tag.split_ascii_whitespace().next().unwrap_or_default();
        let local = local.rsplit(':').next().unwrap_or_default();
        if !tag.ends_with('/') && local.eq_ignore_ascii_case(name) {
            let text = &after[..after.find('<')?];
            let closes = after[text.len()..].starts_with("</");
            return closes.then(|| unescape(text.trim()));
        }
        rest = after;
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(end) = rest.find(';').filter(|end| *end <= 8) else {
            out.push('&');
            continue;
        };
        let (entity, after) = (&rest[..end], &rest[end + 1..]);
        let number = match entity.strip_prefix('#') {
            Some(hex) if hex.starts_with(['x', 'X']) => u32::from_str_radix(&hex[1..], 16).ok(),
            Some(decimal) => decimal.parse().ok(),
            None => None,
        };
        match (entity, number.and_then(char::from_u32)) {
            ("amp", _) => out.push('&'),
            ("lt", _) => out.push('<'),
            ("gt", _) => out.push('>'),
            ("quot", _) => out.push('"'),
            ("apos", _) => out.push('\''),
            (_, Some(c)) => out.push(c),
            _ => {
                out.push('&');
                continue;
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_as_it_was() {
        for text in ["", "a<b>&\"c\"'d'", "ä€😀", "&amp;", "a\u{0}\u{1b}b"] {
            let clean: String = text.chars().filter(|c| !c.is_control()).collect();
            assert_eq!(unescape(&escape(text)), clean);
        }
        assert_eq!(unescape("&#65;&#x42;&#x110000;&nope;&"), "AB&#x110000;&nope;&");
    }

    #[test]
    fn elements_are_found_with_and_without_a_prefix_and_in_any_bytes() {
        for (xml, expected) in [
            ("<a><EMailAddress>x@y</EMailAddress></a>", Some("x@y")),
            (
                "<?xml version='1.0'?>\n<n:a xmlns:n='u'><n:emailaddress k='v'> x&amp;z@y </n:emailaddress></n:a>",
                Some("x&z@y"),
            ),
            ("<!-- <EMailAddress>no@y</EMailAddress> --><EMailAddress>x@y</EMailAddress>", Some("x@y")),
            ("<EMailAddress/><EMailAddress>x@y</EMailAddress>", Some("x@y")),
            ("<EMailAddress><b>x@y</b></EMailAddress>", None),
            ("<EMailAddress>x@y", None),
            ("<EMailAddressX>x@y</EMailAddressX>", None),
            ("", None),
            ("<", None),
            ("<!--", None),
            ("EMailAddress", None),
        ] {
            assert_eq!(text_of(xml, "EMailAddress").as_deref(), expected, "{xml}");
        }
    }
}
