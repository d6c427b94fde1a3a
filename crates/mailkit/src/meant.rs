//! Determines the intended target of a link in HTML mail.
//!
//! Mail has no page for relative addresses; authors omit the scheme, and programs break lines within addresses. A link
//! that can only mean one target leads there. A link that would run code leads nowhere.

use url::Url;

/// Schemes that links may have: places, letters, calls, talks, dates. None that runs or opens anything of this machine.
pub(crate) const SCHEMES: [&str; 36] = [
    "http",
    "https",
    "mailto",
    "tel",
    "sms",
    "smsto",
    "mms",
    "mmsto",
    "callto",
    "fax",
    "facetime",
    "facetime-audio",
    "skype",
    "whatsapp",
    "tg",
    "signal",
    "sgnl",
    "viber",
    "cal",
    "webcal",
    "webcals",
    "caldav",
    "xmpp",
    "sip",
    "sips",
    "irc",
    "ircs",
    "matrix",
    "geo",
    "maps",
    "ftp",
    "ftps",
    "news",
    "nntp",
    "mid",
    "im",
];

/// Longest address kept.
const MAX_ADDRESS_BYTES: usize = 8 * 1024;

/// See [`of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// This address, absolute.
    Address(String),
    /// None that may be followed.
    Nothing,
}

/// What the address of a link was meant to be.
pub(crate) fn of(value: &str, base: Option<&str>) -> Meant {
    let value = without_breaks(value);
    if value.is_empty() || value.len() > MAX_ADDRESS_BYTES || value.starts_with('#') {
        return Meant::Nothing;
    }
    if let Some(scheme) = scheme_of(&value) {
        let lower = scheme.to_ascii_lowercase();
        return match lower.as_str() {
            "http" | "https" => web(&value),
            // `shop.example:8080/x` begins like a scheme, and is none.
            other if other.contains('.') && !SCHEMES.contains(&other) => bare(&value),
            other if SCHEMES.contains(&other) => Meant::Address(value),
            _ => Meant::Nothing,
        };
    }
    if let Some(rest) = value.strip_prefix("//").or_else(|| value.strip_prefix("\\\\")) {
        return web(&format!("https://{rest}"));
    }
    match base.and_then(|base| joined(base, &value)) {
        Some(address) => Meant::Address(address),
        None => bare(&value),
    }
}

/// The web address of a picture, if it has one by itself: none is loaded from where only a `<base>` says.
pub(crate) fn of_picture(value: &str) -> Option<String> {
    let value = without_breaks(value);
    if value.is_empty() || value.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    let meant = match scheme_of(&value) {
        Some(scheme) if ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) => web(&value),
        Some(_) => Meant::Nothing,
        None => match value.strip_prefix("//").or_else(|| value.strip_prefix("\\\\")) {
            Some(rest) => web(&format!("https://{rest}")),
            None => return None,
        },
    };
    if let Meant::Address(address) = meant { Some(address) } else { None }
}

/// What is told of a link that leads nowhere, if there is anything to tell: its address, or of a program only that.
pub(crate) fn told(value: &str) -> Option<String> {
    const MAX_CHARACTERS: usize = 200;
    let value = without_breaks(value);
    let scheme = scheme_of(&value).unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        _ if value.is_empty() || value.starts_with('#') => None,
        "javascript" | "vbscript" | "data" | "livescript" | "mocha" => {
            Some("This link ran a program. It was removed.".to_owned())
        }
        _ => Some(format!("This link was removed: {}", value.chars().take(MAX_CHARACTERS).collect::<String>())),
    }
}

/// As browsers read an address: without white space around it, and without line ends, tabs and controls in it.
fn without_breaks(value: &str) -> String {
    let trimmed = value.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    trimmed.chars().filter(|c| !c.is_control() && !crate::visible::is_direction_mark(*c)).collect()
}

/// What stands before the first colon, if it can be a scheme (RFC 3986 section 3.1).
fn scheme_of(value: &str) -> Option<&str> {
    let (scheme, _) = value.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

/// A web address with its scheme. Written as it was, if nobody can read it otherwise.
fn web(value: &str) -> Meant {
    let Ok(url) = Url::parse(value) else { return Meant::Nothing };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Meant::Nothing;
    }
    let is_plain =
        value.split_once("://").is_some_and(|(_, rest)| !rest.starts_with(['/', '\\'])) && !value.contains(['\\', ' ']);
    Meant::Address(if is_plain { value.to_owned() } else { url.to_string() })
}

fn joined(base: &str, value: &str) -> Option<String> {
    let base = Url::parse(base.trim()).ok().filter(|base| matches!(base.scheme(), "http" | "https"))?;
    let url = base.join(value).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.to_string())
}

/// `www.shop.example/x`, `shop.example/x`, `ann@shop.example`: addresses but for their scheme.
fn bare(value: &str) -> Meant {
    let host = value.split(['/', '?', '#', ':']).next().unwrap_or_default();
    if let Some((local, domain)) = host.split_once('@')
        && !local.is_empty()
        && is_host(domain)
    {
        return Meant::Address(format!("mailto:{value}"));
    }
    let port = value[host.len()..].strip_prefix(':').map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if !is_host(host) || port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Meant::Nothing;
    }
    web(&format!("https://{value}"))
}

/// A name with at least one dot, the last label of letters; not that of a file beside a page.
fn is_host(name: &str) -> bool {
    const FILES: [&str; 14] =
        ["htm", "html", "php", "asp", "aspx", "jsp", "cgi", "png", "gif", "jpg", "jpeg", "css", "js", "pdf"];
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut labels = name.split('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = labels.next_back().unwrap_or_default();
    let is_top = last.len() >= 2 && last.chars().all(|c| c.is_alphabetic()) || last.starts_with("xn--");
    is_top
        && !FILES.contains(&last.to_ascii_lowercase().as_str())
        && name.contains('.')
        && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(value: &str) -> Option<String> {
        meant_from(value, None)
    }

    fn meant_from(value: &str, base: Option<&str>) -> Option<String> {
        match of(value, base) {
            Meant::Address(address) => Some(address),
            Meant::Nothing => None,
        }
    }

    #[test]
    fn links_lead_to_what_was_meant() {
        for (value, expected) in [
            ("https://www.shop.example/confirm?id=1", "https://www.shop.example/confirm?id=1"),
            ("https://ok.example", "https://ok.example"),
            ("HTTP://Shop.Example/X", "HTTP://Shop.Example/X"),
            ("www.shop.example/confirm?id=1", "https://www.shop.example/confirm?id=1"),
            ("//shop.example/x", "https://shop.example/x"),
            ("\\\\shop.example/x", "https://shop.example/x"),
            ("shop.example/no-www", "https://shop.example/no-www"),
            ("shop.example", "https://shop.example"),
            ("shop.example:8080/x", "https://shop.example:8080/x"),
            ("shop.example?a=b:c", "https://shop.example?a=b:c"),
            ("m\u{fc}nchen.example/x", "https://m\u{fc}nchen.example/x"),
            ("  https://shop.example/\r\n\ta ", "https://shop.example/a"),
            ("ht\ntp://shop.example/", "http://shop.example/"),
            ("https:shop.example/x", "https://shop.example/x"),
            ("https:/shop.example/x", "https://shop.example/x"),
            ("https:\\\\shop.example\\x", "https://shop.example/x"),
            ("https:///shop.example/x", "https://shop.example/x"),
            ("https://shop.example/a b", "https://shop.example/a%20b"),
            ("mailto:help@shop.example?subject=Hi", "mailto:help@shop.example?subject=Hi"),
            ("help@shop.example", "mailto:help@shop.example"),
            ("tel:+49123", "tel:+49123"),
            ("sms:+4930123", "sms:+4930123"),
            ("webcal://cal.example/x.ics", "webcal://cal.example/x.ics"),
            ("cal:x", "cal:x"),
            ("xmpp:a@b.example", "xmpp:a@b.example"),
            ("sip:a@b.example", "sip:a@b.example"),
            ("geo:52.5,13.4", "geo:52.5,13.4"),
            ("ftp://ftp.example/x", "ftp://ftp.example/x"),
        ] {
            assert_eq!(meant(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_runs_something_or_means_a_place_here_leads_nowhere() {
        for value in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            " \u{1}javascript:alert(1)",
            "vbscript:x",
            "data:text/html,x",
            "file:///etc/passwd",
            "file://server/share/x.exe",
            "about:blank",
            "blob:x",
            "view-source:https://x",
            "chrome:x",
            "ms-msdt:/id",
            "search-ms:x",
            "x-apple:foo",
            "cid:x",
            "/signout",
            "signout",
            "/mail/inbox/t1",
            "../x",
            "?q=1",
            "#x",
            "",
            " ",
            "x",
            "page.html",
            "a/b.html",
            "index.php?x=1",
            "http://",
            "https:",
            "https:///",
            ".",
            "..",
            "a..b/x",
            "-a.example",
            "localhost/x",
            "1.2.3",
            "x:y",
            "javascript.x:alert(1)",
            "shop.example:x",
        ] {
            assert_eq!(meant(value), None, "{value}");
        }
    }

    #[test]
    fn a_base_is_what_relative_addresses_are_relative_to() {
        let base = Some("https://shop.example/letters/5/");
        assert_eq!(meant_from("a.html", base).as_deref(), Some("https://shop.example/letters/5/a.html"));
        assert_eq!(meant_from("/a", base).as_deref(), Some("https://shop.example/a"));
        assert_eq!(meant_from("javascript:x", base), None);
        assert_eq!(meant_from("/a", Some("javascript:x")), None);
        for (value, expected) in [
            ("https://x.example/a.png", Some("https://x.example/a.png")),
            ("//x.example/a.png", Some("https://x.example/a.png")),
            ("https:/x.example/a.png", Some("https://x.example/a.png")),
            ("a.png", None),
            ("/mail/inbox", None),
            ("x.example/a.png", None),
            ("javascript:x", None),
            ("ftp://x.example/a.png", None),
        ] {
            assert_eq!(of_picture(value).as_deref(), expected, "{value}");
        }
    }
}
