//! Base subjects (RFC 5256 section 2.1): what is left when `Re:`, `Fwd:` and `[list]` are taken away.

/// Reply and forward prefixes in the languages of common mail programs, lower-case.
const PREFIXES: &[&str] = &[
    "re",
    "fw",
    "fwd",
    "aw",
    "wg",
    "sv",
    "vs",
    "vb",
    "antw",
    "antwort",
    "ref",
    "rif",
    "r",
    "i",
    "tr",
    "rv",
    "enc",
    "res",
    "odp",
    "pd",
    "ynt",
    "ilt",
    "doorst",
    "atb",
    "bls",
    "továbbítás",
    "vá",
    "回复",
    "转发",
    "答复",
    "回覆",
    "轉寄",
    "返信",
    "ответ",
    "на",
    "пересл",
];

/// Rounds of taking away; each takes at least one character away, so this only bounds silly subjects.
const MAX_ROUNDS: usize = 64;

/// The base subject of a decoded subject, lower-cased, and whether a reply or forward mark was taken away.
pub(crate) fn base(subject: &str) -> (String, bool) {
    let collapsed = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = collapsed.as_str();
    let mut is_reply = false;
    for _ in 0..MAX_ROUNDS {
        let before = rest;
        while let Some(cut) = strip_suffix_ignore_case(rest, "(fwd)") {
            rest = cut.trim_end();
            is_reply = true;
        }
        if let Some(cut) = strip_reply_mark(rest) {
            rest = cut;
            is_reply = true;
        } else if let Some(cut) = strip_blob(rest)
            && !cut.is_empty()
        {
            rest = cut;
        }
        if let Some(inner) = strip_prefix_ignore_case(rest, "[fwd:")
            && let Some(inner) = inner.strip_suffix(']')
        {
            rest = inner.trim();
            is_reply = true;
        }
        if rest.len() == before.len() {
            break;
        }
    }
    (rest.to_lowercase(), is_reply)
}

/// `Re:`, `Re[2]:`, `Re [x] :` … taken from the front.
fn strip_reply_mark(text: &str) -> Option<&str> {
    let end = text.find([':', '：', '[', ' '])?;
    let word = text[..end].to_lowercase();
    if !PREFIXES.contains(&word.as_str()) {
        return None;
    }
    let mut rest = text[end..].trim_start();
    while let Some(cut) = strip_blob(rest) {
        rest = cut;
    }
    let rest = rest.strip_prefix(':').or_else(|| rest.strip_prefix('：'))?;
    Some(rest.trim_start())
}

/// `[blob]` taken from the front.
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner[end..].strip_prefix(']')?;
    Some(rest.trim_start())
}

fn strip_suffix_ignore_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    (text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case(suffix)).then(|| &text[..at])
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn reply_marks_lists_and_forwards_go() {
        for (subject, expected, reply) in [
            ("Hello", "hello", false),
            ("Re: Hello", "hello", true),
            ("RE[2]: Fwd:  Hello (fwd) (FWD)", "hello", true),
            ("[list] Re: [list] Hello", "hello", true),
            ("[Fwd: Re: Hello]", "hello", true),
            ("AW: WG: Hello", "hello", true),
            ("回复：Hello", "hello", true),
            ("[only]", "[only]", false),
            ("Re:", "", true),
            ("Really: yes", "really: yes", false),
            ("  a \t b ", "a b", false),
            ("", "", false),
        ] {
            assert_eq!(base(subject), (expected.to_owned(), reply), "{subject}");
        }
    }
}
