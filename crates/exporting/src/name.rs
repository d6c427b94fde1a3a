//! Names of files that every system can have.

/// Longest name of a folder or file, in characters.
const MAX_CHARS: usize = 80;
/// Names that Windows gives to devices.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A part of a path: no character that a system refuses, no name that one keeps for itself.
pub(crate) fn part(text: &str) -> String {
    let refused = |c: char| c.is_control() || "/\\:*?\"<>|\u{2028}\u{2029}\u{feff}".contains(c);
    let clean: String = text.chars().map(|c| if refused(c) { '_' } else { c }).take(MAX_CHARS).collect();
    let clean = clean.trim().trim_end_matches('.').trim_start_matches('.').trim().to_owned();
    let stem = clean.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered =
        |name: &str| stem.len() == 4 && stem.starts_with(name) && stem.ends_with(|c: char| c.is_ascii_digit());
    if DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt") {
        return format!("_{clean}");
    }
    if clean.is_empty() { "_".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn names_are_safe_on_every_system() {
        for (text, name) in [
            ("Re: a/b\\c?", "Re_ a_b_c_"),
            ("..", "_"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("con", "_con"),
            ("COM1.txt", "_COM1.txt"),
            ("compact", "compact"),
            (" Büro. ", "Büro"),
            ("", "_"),
            ("a\r\nb\0", "a__b_"),
        ] {
            assert_eq!(part(text), name, "{text:?}");
        }
        assert_eq!(part(&"x".repeat(500)).len(), 80);
    }
}
