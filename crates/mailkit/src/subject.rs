//! Base subjects (RFC 5256 section 2.1): the subject without `Re:`, `Fwd:` and `[list]`.

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
    "відп",
    "отв",
    "σχετ",
    "απ",
    "πρθ",
    "תגובה",
    "הועבר",
    "رد",
    "válasz",
    "回復",
    "轉發",
    "転送",
    "답장",
    "회신",
    "전달",
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

/// A subject without the marks of replies and forwards before it, as a reply goes on with it: `Re[2]: AW: Hello` is
/// `Hello`, and a list's `[name]` loses those behind it. Unlike [`base`], which follows the RFC, a mark in small letters that
/// has text right behind its colon is none (`re:invent`).
pub(crate) fn without_marks(subject: &str) -> String {
    let cut = |text: &str| -> usize {
        let mut rest = text;
        for _ in 0..MAX_ROUNDS {
            match strip_shown_mark(rest) {
                Some(cut) => rest = cut,
                None => break,
            }
        }
        text.len() - rest.len()
    };
    let subject = subject.trim();
    let rest = &subject[cut(subject)..];
    let list = strip_blob(rest).map_or(0, |behind| rest.len() - behind.len());
    let behind = &rest[list..];
    match cut(behind) {
        0 => rest.to_owned(),
        marks => format!("{} {}", rest[..list].trim_end(), &behind[marks..]),
    }
}

/// One mark as mail programs write them: `Re:`, `RE:Hello`, `Re[2]:`, `Re^3:`, `Re (2) :`, `回复：`.
fn strip_shown_mark(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphabetic())?;
    let word = &text[..end];
    if !PREFIXES.contains(&word.to_lowercase().as_str()) {
        return None;
    }
    let behind = text[end..].trim_start();
    let counted = strip_blob(behind).or_else(|| {
        let digits = behind.trim_start_matches(['(', '^', '*', '-']);
        let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = if behind.starts_with('(') { rest.strip_prefix(')')? } else { rest };
        (rest.len() < digits.len()).then(|| rest.trim_start())
    });
    let colon = counted.unwrap_or(behind);
    let rest = colon.strip_prefix(':').or_else(|| colon.strip_prefix('：'))?;
    let is_glued = rest.starts_with(|c: char| c.is_alphanumeric());
    let is_small = word.chars().all(|c| c.is_ascii_lowercase());
    if is_glued && is_small {
        return None;
    }
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
    use super::{base, without_marks};

    #[test]
    fn a_reply_goes_on_with_the_subject_without_its_marks() {
        for (subject, expected) in [
            ("Hello", "Hello"),
            ("", ""),
            ("Re:", ""),
            ("Re: Hello", "Hello"),
            ("Re:Hello", "Hello"),
            ("RE:re: Hello", "Hello"),
            ("re: Hello", "Hello"),
            ("Re : Hello", "Hello"),
            ("Re[2]: Quarter plan", "Quarter plan"),
            ("Re(3): Hello", "Hello"),
            ("Re^2: Hello", "Hello"),
            ("Re: Re[2]: Re*3: Hello", "Hello"),
            ("AW: WG: Antwort: Hello", "Hello"),
            ("SV: VS: Antw: Odp: YNT: RES: Hello", "Hello"),
            ("回复：季度计划", "季度计划"),
            ("回复: 转发：季度计划", "季度计划"),
            ("Re: 答复: 返信: Hi", "Hi"),
            ("Ответ: Привет", "Привет"),
            ("Fwd: Re: Hello", "Hello"),
            ("[list] Re: Hello", "[list] Hello"),
            ("Re: [list] Re: AW: Hello", "[list] Hello"),
            ("Re: [list] Hello", "[list] Hello"),
            ("re:invent 2026 tickets", "re:invent 2026 tickets"),
            ("Re: re:invent 2026 tickets", "re:invent 2026 tickets"),
            ("re:Invent", "re:Invent"),
            ("Really: yes", "Really: yes"),
            ("Release 2: plan", "Release 2: plan"),
            ("Re the plan: yes", "Re the plan: yes"),
            ("Re-2: Hello", "Hello"),
            ("Report: numbers", "Report: numbers"),
        ] {
            assert_eq!(without_marks(subject), expected, "{subject}");
            let reply = crate::display::reply_subject(subject, "Re: ");
            assert_eq!(crate::display::reply_subject(&reply, "Re: "), reply, "a reply to a reply has one mark");
        }
        without_marks(&"Re: ".repeat(10_000));
        without_marks(&"re:".repeat(10_000));
        without_marks(&"[x] Re: ".repeat(10_000));
    }

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
