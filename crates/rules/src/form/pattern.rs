//! Patterns of `:matches` that say something simpler.

/// What patterns say.
pub(super) enum Shape {
    /// The text begins with one of these.
    Begins(Vec<String>),
    /// The text ends with one of these.
    Ends(Vec<String>),
    /// Something else.
    Other,
}

/// What all of these patterns say.
pub(super) fn shape(patterns: &[String]) -> Shape {
    let all = |bare: fn(&str) -> Option<&str>| -> Option<Vec<String>> {
        patterns.iter().map(|text| bare(text).and_then(literal)).collect()
    };
    if patterns.is_empty() {
        return Shape::Other;
    }
    match (all(|text| text.strip_suffix('*')), all(|text| text.strip_prefix('*'))) {
        (Some(values), _) => Shape::Begins(values),
        (None, Some(values)) => Shape::Ends(values),
        (None, None) => Shape::Other,
    }
}

/// A pattern in which no character stands for others, as the text that it is; never empty.
fn literal(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' => return None,
            // Written with a backslash only where that is needed: otherwise it would not be written the same again.
            '\\' => out.push(chars.next().filter(|c| matches!(c, '*' | '?' | '\\'))?),
            c => out.push(c),
        }
    }
    (!out.is_empty()).then_some(out)
}
