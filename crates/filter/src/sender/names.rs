//! Names of domains, as all checks compare them.

/// Longest name, without its final dot.
pub const MAX_NAME_BYTES: usize = 253;

/// A domain's name in lower case and ASCII, without the final dot; `None` if it is none that the DNS could know.
pub fn name_of(text: &str) -> Option<String> {
    let text = text.trim().strip_suffix('.').unwrap_or(text.trim());
    let name = if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii(text).ok()? };
    is_name(&name).then_some(name)
}

/// Whether the DNS could have a host or domain of that name: labels of letters, digits, `-` and `_`.
pub fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label)
}

/// Whether that is the name of a key below a domain.
pub fn is_selector(text: &str) -> bool {
    is_name(text)
}

/// Whether `name` is `domain` or below it. Both as of [`name_of`].
pub fn is_same_or_below(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_one_form() {
        for (text, name) in [
            ("Example.ORG.", Some("example.org")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("_x.a-b.example", Some("_x.a-b.example")),
            ("a..b", None),
            ("", None),
            (".", None),
            ("a b.c", None),
            ("[1.2.3.4]", None),
        ] {
            assert_eq!(name_of(text).as_deref(), name, "{text}");
        }
        assert!(name_of(&"a".repeat(64)).is_none() && name_of(&"a.".repeat(200)).is_none());
        assert!(is_same_or_below("a.b.c", "b.c") && is_same_or_below("b.c", "b.c"));
        assert!(!is_same_or_below("ab.c", "b.c") && !is_same_or_below("c", "b.c"));
    }
}
