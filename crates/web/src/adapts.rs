//! Whether HTML mail follows the page into the dark: if it brings no colours of its own.

/// Longest HTML that is looked through, in bytes; what is longer keeps the light ground that its writer saw.
const MAX_BYTES: usize = 200_000;
/// Attributes that colour what they stand on.
const ATTRIBUTES: [&str; 6] = ["bgcolor", "background", "color", "text", "link", "vlink"];
/// Properties that do, by how they begin: grounds and inks. Lines and shadows are seen on both grounds.
const PROPERTIES: [&str; 6] =
    ["color", "background", "-webkit-text-fill-color", "text-fill-color", "fill", "mix-blend-mode"];
/// Values that take what is there.
const NEUTRAL: [&str; 8] =
    ["inherit", "initial", "unset", "revert", "transparent", "none", "currentcolor", "rgba(0,0,0,0)"];

/// Whether cleaned HTML has no colours of its own, so that those of the page can be its.
pub fn adapts(html: &str) -> bool {
    html.len() <= MAX_BYTES && !has_colours(html)
}

fn has_colours(html: &str) -> bool {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with(['/', '!']) {
            continue;
        }
        let end = tag_end(rest);
        let (tag, after) = rest.split_at(end);
        if tag_colours(tag) {
            return true;
        }
        rest = after;
        if tag.split([' ', '>']).next().is_some_and(|name| name.eq_ignore_ascii_case("style")) {
            let sheet = &rest[..rest.find("</style").unwrap_or(rest.len())];
            if sheet.split(['{', '}', ';']).any(declares_colour) {
                return true;
            }
            rest = &rest[sheet.len()..];
        }
    }
    false
}

/// Where a tag ends: at the first `>` that is in no quoted value.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return at + 1,
            (None, _) => {}
        }
    }
    text.len()
}

/// Whether an attribute of a tag gives a colour.
fn tag_colours(tag: &str) -> bool {
    let mut rest = tag;
    while let Some(at) = rest.find('=') {
        let name = rest[..at].rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default().to_ascii_lowercase();
        let value = &rest[at + 1..];
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        let coloured = match name.as_str() {
            "style" => value.split(';').any(declares_colour),
            name => ATTRIBUTES.contains(&name) && !value.trim().is_empty(),
        };
        if coloured {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a declaration such as `color: red` gives a colour. What opens a rule, as `a:hover`, gives none.
fn declares_colour(declaration: &str) -> bool {
    let Some((name, value)) = declaration.split_once(':') else { return false };
    let name = name.trim().to_ascii_lowercase();
    if name != "color" && (name == "color-scheme" || !PROPERTIES.iter().any(|known| name.starts_with(known))) {
        // Variables may be colours of others.
        return name.starts_with("--");
    }
    if name.starts_with("background-") && !["background-color", "background-image"].contains(&name.as_str()) {
        return false;
    }
    let value: String = value.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let value = value.strip_suffix("!important").unwrap_or(&value);
    !value.is_empty() && !NEUTRAL.contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_without_colours_follows_the_page() {
        for html in [
            "",
            "<p>Hello <b>you</b></p>",
            "<p>The color of the background is bgcolor=red; color: red</p>",
            "<p title=\"color: red; a > b\">x</p>",
            "<table cellpadding=\"4\" border=\"1\"><tr><td>cell</td></tr></table>",
            "<center><font size=\"2\" face=\"Arial\">x</font></center>",
            "<img src=\"/x\" alt=\"color\">",
            "<p style=\"font-size:14px;margin:0;border:1px solid #ccc;text-align:center\">x</p>",
            "<p style=\"background:none;color:inherit\">x</p>",
            "<p style=\"color: inherit !important; background-color:transparent\">x</p>",
            "<p style=\"background-repeat:no-repeat;background-size:cover\">x</p>",
            "<style>.m-p{margin:0;font-size:11pt}.m-a:hover{text-decoration:none}</style><p class=\"m-p\">x</p>",
            "<a href=\"https://x.example/?color=red&amp;bgcolor=blue\">x</a>",
        ] {
            assert!(adapts(html), "{html}");
        }
    }

    #[test]
    fn html_with_colours_keeps_its_paper() {
        for html in [
            "<p style=\"color:red\">x</p>",
            "<p style=\"margin:0; COLOR : #222\">x</p>",
            "<p style='color:red'>x</p>",
            "<p style=\"background:#fff\">x</p>",
            "<p style=\"background:url(x)\">x</p>",
            "<p style=\"background-image:linear-gradient(#000,#fff)\">x</p>",
            "<table bgcolor=\"#fff\">",
            "<table bgcolor=#fff>",
            "<td background=\"x.png\">",
            "<font color=\"navy\">x</font>",
            "<style>.m-a{color:#123}</style>",
            "<style>@media screen{.m-a{margin:0;background-color:#fff}}</style>",
            "<style>:root{--ink:#fff}</style>",
            "<p>a > b</p><p title=\"a > b\" style=\"color:red\">x</p>",
        ] {
            assert!(!adapts(html), "{html}");
        }
        assert!(!adapts(&"<p>x</p>".repeat(100_000)));
    }

    #[test]
    fn whatever_is_broken_ends() {
        for html in ["<", "<p", "<p style=\"", "<p style=\"color", "<style", "<style>", "<style>a{", "=<=>=", "<é='é"]
        {
            adapts(html);
            adapts(&html.repeat(1_000));
        }
    }
}
