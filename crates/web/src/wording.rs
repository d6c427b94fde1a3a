//! Words that several pages have in common.

use std::time::Duration;

/// A duration in words.
pub fn words_for(wait: Duration) -> String {
    match wait.as_secs() {
        ..=1 => "a second".to_owned(),
        seconds @ 2..=90 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
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
