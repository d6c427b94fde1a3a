//! Words that several pages have in common.

use std::time::Duration;

use crate::language::texts;

/// A duration in words.
pub fn words_for(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ ..=90 => texts().seconds(seconds.max(1)).into_owned(),
        seconds => texts().minutes(seconds.div_ceil(60)).into_owned(),
    }
}

/// An error text as a sentence. A first word that is data (an address, a name) keeps its case.
pub fn capital(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
    if word.contains(['@', '.', '/', '\u{201c}']) {
        return format!("{text}{}", if text.ends_with('.') { "" } else { "." });
    }
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}{}", chars.as_str(), if text.ends_with('.') { "" } else { "." })
}
