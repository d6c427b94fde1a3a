//! Plain text as HTML: escaped, with links, with what is quoted folded away.

use std::fmt::Write;

/// Longest text that a page shows; what is beyond can be downloaded.
pub const MAX_SHOWN_BYTES: usize = 200_000;
/// Quoted blocks of at least so many lines are folded.
const FOLD_LINES: usize = 4;

/// The text of a message as HTML, and whether it had to be cut at [`MAX_SHOWN_BYTES`].
pub fn to_html(text: &str) -> (String, bool) {
    let shown = &text[..text.floor_char_boundary(MAX_SHOWN_BYTES)];
    let mut html = String::with_capacity(shown.len() + shown.len() / 8);
    let lines: Vec<&str> = shown.trim_end().lines().collect();
    for block in lines.chunk_by(|a, b| a.starts_with('>') == b.starts_with('>')) {
        if block[0].starts_with('>') {
            let folded = block.len() >= FOLD_LINES;
            if folded {
                html.push_str("<details class=\"folded\"><summary aria-label=\"Quoted text\">···</summary>");
            }
            html.push_str("<div class=\"quoted\">");
            lines_to_html(&mut html, block.iter().map(|line| line[1..].strip_prefix(' ').unwrap_or(&line[1..])));
            html.push_str(if folded { "</div></details>" } else { "</div>" });
        } else {
            lines_to_html(&mut html, block.iter().copied());
        }
    }
    (html, shown.len() < text.len())
}

fn lines_to_html<'a>(html: &mut String, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        linkify(html, line);
        html.push('\n');
    }
}

/// Escape one line, and make links of the addresses in it.
fn linkify(html: &mut String, line: &str) {
    let mut rest = line;
    while let Some(at) = next_link(rest) {
        let (before, from) = rest.split_at(at);
        escape(html, before);
        let (link, after) = from.split_at(link_length(from));
        let mail = !link.contains("://");
        html.push_str("<a href=\"");
        html.push_str(if mail { "/compose?to=" } else { "" });
        if mail {
            for byte in link.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                    html.push(char::from(byte));
                } else {
                    let _ = write!(html, "%{byte:02X}");
                }
            }
        } else {
            escape(html, link);
        }
        html.push_str(if mail { "\">" } else { "\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">" });
        escape(html, link);
        html.push_str("</a>");
        rest = after;
    }
    escape(html, rest);
}

/// Where the first web or mail address of `text` begins.
fn next_link(text: &str) -> Option<usize> {
    let web = ["https://", "http://"].iter().filter_map(|scheme| find_ignoring_case(text, scheme)).min();
    let mail = text.match_indices('@').find_map(|(at, _)| {
        let start = at - text[..at].bytes().rev().take_while(|b| is_local(*b)).count();
        let domain = text[at + 1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-.".contains(b)).count();
        let named = text[at + 1..at + 1 + domain].trim_end_matches(['.', '-']);
        (start < at && named.contains('.')).then_some(start)
    });
    match (web, mail) {
        (Some(web), Some(mail)) => Some(web.min(mail)),
        (web, mail) => web.or(mail),
    }
}

fn find_ignoring_case(text: &str, what: &str) -> Option<usize> {
    text.as_bytes().windows(what.len()).position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-".contains(&byte)
}

/// How long the link is that `text` begins with. Punctuation that ends the sentence is not of it.
fn link_length(text: &str) -> usize {
    let web = text.len() >= 4 && text.as_bytes()[..4].eq_ignore_ascii_case(b"http") && text.contains("://");
    let end = if web && find_ignoring_case(text, "://").is_some_and(|at| at <= 5) {
        text.find(|c: char| c.is_whitespace() || "<>\"`{}|\\^".contains(c)).unwrap_or(text.len())
    } else {
        let at = text.find('@').unwrap_or(0);
        at + 1 + text[at + 1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-.".contains(b)).count()
    };
    let mut link = &text[..end];
    while let Some(last) = link.chars().next_back() {
        let unmatched = |open, close| last == close && link.matches(close).count() > link.matches(open).count();
        if ".,;:!?'*_-".contains(last) || unmatched('(', ')') || unmatched('[', ']') {
            link = &link[..link.len() - last.len_utf8()];
        } else {
            break;
        }
    }
    // A bare scheme is no link, but the scan must go on behind it.
    link.len().max(1).max(text.chars().next().map_or(1, char::len_utf8))
}

/// Append `text` with the characters escaped that mean something in HTML.
pub fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // What can not be seen must not rearrange what can.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push('\u{fffd}'),
            '\0' => html.push('\u{fffd}'),
            c => html.push(c),
        }
    }
}

/// The first letter that stands for a person, and the class of their colour.
pub fn avatar(name: &str, address: &str) -> (String, &'static str) {
    const HUES: [&str; 8] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"];
    let letter = name.chars().chain(address.chars()).find(|c| c.is_alphanumeric()).unwrap_or('?');
    let hue = blake3::hash(address.to_lowercase().as_bytes()).as_bytes()[0] % 8;
    (letter.to_uppercase().take(1).collect(), HUES[usize::from(hue)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        to_html(text).0
    }

    #[test]
    fn what_looks_like_html_stays_text() {
        assert_eq!(html("<b onclick='x'>&"), "&lt;b onclick=&#39;x&#39;&gt;&amp;\n");
        assert_eq!(html("\u{202e}txt"), "\u{fffd}txt\n");
    }

    #[test]
    fn web_addresses_become_links_without_the_full_stop() {
        let out = html("See (https://example.org/a?b=1&c=(2)), then HTTP://x.");
        assert!(out.contains("href=\"https://example.org/a?b=1&amp;c=(2)\""), "{out}");
        assert!(out.contains(">HTTP://x</a>."), "{out}");
    }

    #[test]
    fn other_schemes_do_not_become_links() {
        for text in ["javascript:alert(1)", "data:text/html,x", "ftp://x", "@", "a@b", "x@"] {
            assert!(!html(text).contains("<a"), "{text}");
        }
    }

    #[test]
    fn a_link_can_not_break_out_of_its_attribute() {
        let out = html("http://a\"onmouseover=alert(1) http://a'b");
        assert!(!out.contains("\"onmouseover"), "{out}");
    }

    #[test]
    fn mail_addresses_open_a_new_message() {
        assert!(html("to ann+x@example.org, please").contains("<a href=\"/compose?to=ann%2Bx@example.org\">"));
    }

    #[test]
    fn long_quotes_are_folded_and_short_ones_are_not() {
        assert!(html("Hi\n> a\n> b\n> c\n> d\n").contains("<details class=\"folded\">"));
        assert!(!html("> a\nyes").contains("<details"));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let (out, cut) = to_html(&"é".repeat(MAX_SHOWN_BYTES));
        assert!(cut && out.len() <= MAX_SHOWN_BYTES + 1);
    }
}
