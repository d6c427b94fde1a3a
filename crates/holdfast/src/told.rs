//! Errors and counts as people read them.

/// An error with its causes, each once: many say in their own words what their cause says.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A count with its noun: "1 message", "2 messages".
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

/// A count with its noun and verb: "1 message is", "2 messages are".
pub fn counted_are(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural() {
        assert_eq!(counted(1, "message") + ", " + &counted(0, "alarm"), "1 message, 0 alarms");
        assert_eq!(counted_are(1, "realm") + ", " + &counted_are(2, "realm"), "1 realm is, 2 realms are");
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("a.mbox: no room").context("importing");
        assert_eq!(told(&error), "importing: a.mbox: no room");
    }
}
