//! Plain text as HTML: escaped, with links, long quotes folded.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use mailkit::links::{Link, LinkKind, links};
use mailkit::visible::{is_direction_mark, settled};

/// Longest text that a page shows, in bytes; the rest can be downloaded.
pub const MAX_SHOWN_BYTES: usize = 200_000;
/// Most addresses of a text that become links; later ones stay text. Each makes the page some 150 bytes larger.
const MAX_LINKS: usize = 3_000;
/// Most quoted blocks that are set off; later ones are shown as written.
const MAX_BLOCKS: usize = 2_000;
/// Quoted blocks of at least so many lines are folded.
const FOLD_LINES: usize = 4;

/// The text of a message as HTML, and whether it had to be cut at [`MAX_SHOWN_BYTES`].
pub fn to_html(text: &str) -> (String, bool) {
    let shown = &text[..text.floor_char_boundary(MAX_SHOWN_BYTES)];
    let mut html = String::with_capacity(shown.len() + shown.len() / 8);
    let lines: Vec<&str> = shown.trim_end().lines().collect();
    let mut links_left = MAX_LINKS;
    for (at, block) in lines.chunk_by(|a, b| a.starts_with('>') == b.starts_with('>')).enumerate() {
        if at < MAX_BLOCKS && block[0].starts_with('>') {
            let folded = block.len() >= FOLD_LINES;
            if folded {
                html.push_str("<details class=\"folded\"><summary aria-label=\"Quoted text\">···</summary>");
            }
            html.push_str("<div class=\"quoted\">");
            let inner = block.iter().map(|line| line[1..].strip_prefix(' ').unwrap_or(&line[1..]));
            lines_to_html(&mut html, inner, &mut links_left);
            html.push_str(if folded { "</div></details>" } else { "</div>" });
        } else {
            lines_to_html(&mut html, block.iter().copied(), &mut links_left);
        }
    }
    (html, shown.len() < text.len())
}

fn lines_to_html<'a>(html: &mut String, lines: impl Iterator<Item = &'a str>, links_left: &mut usize) {
    for line in lines {
        linkify(html, line, links_left);
        html.push('\n');
    }
}

/// Escape one line, and make links of the addresses in it.
fn linkify(html: &mut String, line: &str, links_left: &mut usize) {
    let mut done = 0;
    for Link { range, kind } in links(line).take(*links_left) {
        *links_left -= 1;
        escape(html, &line[done..range.start]);
        let link = &line[range.clone()];
        match kind {
            LinkKind::Mail => {
                html.push_str("<a href=\"/compose?to=");
                for byte in link.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                        html.push(char::from(byte));
                    } else {
                        let _ = write!(html, "%{byte:02X}");
                    }
                }
                html.push_str("\">");
            }
            LinkKind::Web | LinkKind::WithoutScheme => {
                html.push_str(if kind == LinkKind::Web { "<a href=\"" } else { "<a href=\"https://" });
                escape(html, link);
                html.push_str("\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">");
            }
        }
        escape(html, link);
        html.push_str("</a>");
        done = range.end;
    }
    escape(html, &line[done..]);
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
            // Invisible characters must not rearrange visible ones.
            '\u{200e}' | '\u{200f}' | '\u{61c}' => html.push(c),
            '\0' => html.push('\u{fffd}'),
            c if is_direction_mark(c) => html.push('\u{fffd}'),
            c => html.push(c),
        }
    }
}

/// Escapes all values that templates put into pages: subjects, names, previews, file names, typed text. See [`settled`].
#[derive(Clone, Copy)]
pub struct OnPage;

impl Escaper for OnPage {
    fn write_escaped_str<W: Write>(&self, dest: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &settled(text))
    }
}

/// The letter of a person's avatar, and the class of its colour.
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
    fn addresses_without_a_scheme_are_links() {
        let out = html("Look at www.shop.example/b today.");
        assert!(out.contains("<a href=\"https://www.shop.example/b\" target=\"_blank\""), "{out}");
        assert!(out.contains(">www.shop.example/b</a> today."), "{out}");
    }

    /// The page grows in proportion to the text for every kind of text.
    #[test]
    fn pages_grow_in_proportion_to_the_text() {
        let families = [
            "a@b.cc ",
            "http://a ",
            "www.a.example ",
            "> x\n",
            "> x\ny\n",
            ">>>>>>>>>> ",
            "<&\"'",
            "\u{202e}",
            "http://",
            "@",
            "\n",
            "(http://a)",
        ];
        for family in families {
            let (small, _) = to_html(&family.repeat(1_000));
            let (large, _) = to_html(&family.repeat(16_000));
            assert!(large.len() <= 17 * small.len(), "{family}");
            assert!(
                large.len() <= 8 * MAX_SHOWN_BYTES.min(16_000 * family.len()) + 200 * (MAX_LINKS + MAX_BLOCKS),
                "{family}: {}",
                large.len()
            );
        }
        let (out, _) = to_html(&"http://a ".repeat(MAX_LINKS + 50));
        assert_eq!(out.matches("<a ").count(), MAX_LINKS);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let (out, cut) = to_html(&"é".repeat(MAX_SHOWN_BYTES));
        assert!(cut && out.len() <= MAX_SHOWN_BYTES + 1);
    }
}
