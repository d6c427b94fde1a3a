//! Flowed text (RFC 3676): lines that were broken for transport are joined again.

use crate::parsed::Part;

/// The text of a `text/plain` part as it was meant.
pub(crate) fn plain(part: &Part, text: &str) -> String {
    let is = |name: &str, value: &str| part.param(name).is_some_and(|v| v.eq_ignore_ascii_case(value.as_bytes()));
    if is("format", "flowed") { unflow(text, is("delsp", "yes")) } else { text.to_owned() }
}

fn unflow(text: &str, delete_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // Quote depth of the paragraph that goes on, if one does.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        let content = content.strip_prefix(' ').unwrap_or(content);
        if open.is_some_and(|quoted| quoted != depth || content == "-- ") {
            out.push('\n');
            open = None;
        }
        if open.is_none() && depth > 0 {
            out.extend(std::iter::repeat_n('>', depth));
            if !content.is_empty() {
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && content != "-- ";
        if flows {
            let kept = if delete_space { &content[..content.len() - 1] } else { content };
            out.push_str(kept);
            open = Some(depth);
        } else {
            out.push_str(content);
            out.push('\n');
            open = None;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unflow;

    #[test]
    fn paragraphs_are_joined_and_quotes_kept_apart() {
        assert_eq!(
            unflow("one \ntwo\n> three \n> four\n>> five\n\n-- \nsig", false),
            "one two\n> three four\n>> five\n\n-- \nsig\n"
        );
        assert_eq!(unflow("one \n> quoted\n", false), "one \n> quoted\n");
        assert_eq!(unflow(" >stuffed\n From x\n", false), ">stuffed\nFrom x\n");
        assert_eq!(unflow("日 \n本\n", true), "日本\n");
    }
}
