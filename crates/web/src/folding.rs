//! The quotation with which a reply ends is folded away where the message is read.

/// Stands around a quotation that ends a message, in the HTML of replies written here.
pub const QUOTED: &str = "<div class=\"m-quoted\">";

/// A message's HTML with the quotation at its end folded away; `None` if it ends with none.
pub fn folded(html: &str) -> Option<String> {
    let at = html.find(QUOTED)?;
    let (above, quoted) = html.split_at(at);
    Some(format!(
        "{above}<details class=\"m-fold\"><summary aria-label=\"Quoted text\">\u{b7}\u{b7}\u{b7}</summary>{quoted}</details>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marked_quotation_is_folded() {
        assert_eq!(folded("<p>x</p><blockquote>y</blockquote>"), None);
        let out = folded("<p>Yes.</p><div class=\"m-quoted\"><p>On Monday</p></div>").unwrap();
        assert!(out.starts_with("<p>Yes.</p><details") && out.ends_with("</div></details>"), "{out}");
    }
}
