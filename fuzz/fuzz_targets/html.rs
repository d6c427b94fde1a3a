//! HTML of any kind: what comes out is inert.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailkit::html::{CleanOptions, clean, from_text, to_search_text, to_text};

fuzz_target!(|html: &str| {
    let options = CleanOptions { remote_images: true, inline_url: &|_| Some("/part/1".to_owned()) };
    let once = clean(html, &options).html;
    check(&once);
    check(&clean(&once, &options).html);
    to_text(html);
    to_search_text(html);
    from_text(html);
});

fn check(html: &str) {
    let lower = html.to_ascii_lowercase();
    for tag in
        ["<script", "<style", "<iframe", "<object", "<embed", "<svg", "<math", "<form", "<meta", "<link", "<base"]
    {
        assert!(!lower.contains(tag), "{tag}");
    }
    // The serialiser writes every attribute as ` name="value"`, and no quote or `<` stays bare in text.
    for (at, _) in lower.match_indices(" on") {
        let tail = &lower[at..];
        let name_len = tail[1..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(0);
        let is_attribute = tail[1 + name_len..].starts_with("=\"") && lower[..at].rfind('<') > lower[..at].rfind('>');
        let in_value = lower[..at].rfind('<').is_some_and(|tag| lower[tag..at].matches('"').count() % 2 == 1);
        assert!(!is_attribute || in_value, "{tail}");
    }
}
