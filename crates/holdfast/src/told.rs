//! Errors as people read them.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("a.mbox: no room").context("importing");
        assert_eq!(told(&error), "importing: a.mbox: no room");
    }
}
