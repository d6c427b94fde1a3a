//! The `style` attributes of HTML mail: a filter by properties and forms of values.

/// Longest style attribute looked at, in bytes.
const MAX_STYLE_BYTES: usize = 8 * 1024;

/// Properties that change how text looks and where boxes stand in the flow; none that takes them out of the flow.
const PROPERTIES: &[&str] = &[
    "background",
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-style",
    "border-top-width",
    "border-width",
    "box-sizing",
    "caption-side",
    "clear",
    "color",
    "direction",
    "display",
    "empty-cells",
    "float",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "opacity",
    "overflow",
    "overflow-wrap",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-transform",
    "unicode-bidi",
    "vertical-align",
    "visibility",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
    "word-wrap",
];

/// Functions that may stand in a value.
const FUNCTIONS: &[&str] = &["rgb", "rgba", "hsl", "hsla"];

/// A filtered style.
pub(crate) struct Filtered {
    pub(crate) css: String,
    /// Addresses (`url(...)`) that were in it.
    pub(crate) addresses: usize,
}

/// Keeps the declarations that are known to be harmless.
///
/// Not a CSS parser, and need not be: a declaration is kept only if it consists of plain words, numbers, colours and
/// quoted names, for which there is nothing to misunderstand. Escapes, comments, at-rules and all functions but colours drop it.
pub(crate) fn filter(style: &str) -> Filtered {
    let style = &style[..style.floor_char_boundary(MAX_STYLE_BYTES)];
    let lower = style.to_ascii_lowercase();
    let addresses = lower.matches("url(").count();
    let mut css = String::new();
    for declaration in split(style) {
        let Some((name, value)) = declaration.split_once(':') else {
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        if PROPERTIES.binary_search(&name.as_str()).is_err() || !is_harmless(&name, value) {
            continue;
        }
        if !css.is_empty() {
            css.push_str("; ");
        }
        css.push_str(&name);
        css.push_str(": ");
        css.push_str(value);
    }
    Filtered { css, addresses }
}

/// Declarations: split at semicolons outside quotes and parentheses.
fn split(style: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut depth = 0usize;
    for (at, c) in style.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ';') if depth == 0 => {
                out.push(&style[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&style[start..]);
    out
}

fn is_harmless(name: &str, value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t\r\n#%.,+-!()\"'_/".contains(c);
    if value.is_empty() || !value.chars().all(plain) {
        return false;
    }
    if value.matches('"').count() % 2 == 1 || value.matches('\'').count() % 2 == 1 {
        return false;
    }
    // Negative margins and indents pull things over other things.
    if (name.starts_with("margin") || name == "text-indent") && value.contains('-') {
        return false;
    }
    functions_are_known(value)
}

fn functions_are_known(value: &str) -> bool {
    let mut rest = value;
    while let Some(open) = rest.find('(') {
        let start =
            rest[..open].rfind(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).map_or(0, |at| at + 1);
        let function = rest[start..open].to_ascii_lowercase();
        let Some(close) = rest[open..].find(')') else {
            return false;
        };
        if !FUNCTIONS.contains(&function.as_str()) {
            return false;
        }
        rest = &rest[open + close + 1..];
    }
    !rest.contains(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_property_list_is_sorted_for_searching() {
        assert!(PROPERTIES.is_sorted());
    }

    #[test]
    fn ordinary_styles_pass() {
        for style in [
            "color: #fff; font-family: 'Segoe UI', Arial",
            "background: rgb(1, 2, 3)",
            "margin: 0 auto; width: 100%",
            "font: bold 12px/1.5 x",
        ] {
            assert_eq!(filter(style).css, style);
        }
    }

    #[test]
    fn whatever_loads_covers_or_hides_behind_escapes_goes() {
        for style in [
            "background: url(http://evil/x.png)",
            "background-image: url('//evil')",
            "position: fixed; top: 0; left: 0",
            "z-index: 9",
            "width: expression(alert(1))",
            "behavior: url(x.htc)",
            "-moz-binding: url(x)",
            "color: re\\64",
            "color: red/**/",
            "@import 'x'",
            "background: image-set('x' 1x)",
            "width: calc(1px + 2px)",
            "color: var(--x)",
            "margin-top: -100px",
            "content: 'x'",
            "transform: scale(9)",
            "font-family: 'open",
            "color: rgb(1",
            "color: )",
            "color:",
        ] {
            assert_eq!(filter(style).css, "", "{style}");
        }
        assert_eq!(filter("background: url(a) url(b)").addresses, 2);
        assert_eq!(filter("color: red; background: url(a;b); width: 1px").css, "color: red; width: 1px");
    }
}
