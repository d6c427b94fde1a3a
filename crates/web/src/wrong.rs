//! What is wrong with a form that was sent: each fault beside its field, all of them at once.

use std::borrow::Cow;

use askama::filters::Safe;
use directory::DirectoryError;

use crate::problem::Problem;
use crate::text::escape;

/// Faults by the names of their fields; `""` is of the form as a whole.
#[derive(Debug, Default)]
pub struct Wrong(Vec<(Cow<'static, str>, Problem)>);

impl Wrong {
    /// One fault.
    pub fn of(field: impl Into<Cow<'static, str>>, problem: impl Into<Problem>) -> Self {
        let mut wrong = Self::default();
        wrong.add(field, problem);
        wrong
    }

    /// Adds a fault. The first one of a field counts.
    pub fn add(&mut self, field: impl Into<Cow<'static, str>>, problem: impl Into<Problem>) {
        let field = field.into();
        if self.get(&field).is_none() {
            self.0.push((field, problem.into()));
        }
    }

    /// Adds what a check found, if it found something.
    pub fn check<T>(&mut self, field: &'static str, checked: Result<T, DirectoryError>) {
        if let Err(error) = checked {
            self.add(field, error);
        }
    }

    /// Whether nothing is wrong.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with a field.
    pub fn get(&self, field: &str) -> Option<&Problem> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, problem)| problem)
    }

    /// The same, to be told somewhere else.
    pub fn take(&mut self, field: &str) -> Option<Problem> {
        let at = self.0.iter().position(|(name, _)| *name == field)?;
        Some(self.0.remove(at).1)
    }

    /// The attributes of a field: which hints describe it, and that it is wrong. The first wrong field gets the focus.
    pub fn mark(&self, field: &str, hint: &str) -> Safe<String> {
        let described = |ids: &[&str]| {
            let ids: Vec<&str> = ids.iter().copied().filter(|id| !id.is_empty()).collect();
            if ids.is_empty() { String::new() } else { format!(" aria-describedby=\"{}\"", ids.join(" ")) }
        };
        if self.get(field).is_none() {
            return Safe(described(&[hint]));
        }
        let id = format!("{field}-wrong");
        let first = self.0.iter().find(|(name, _)| !name.is_empty()).is_some_and(|(name, _)| *name == field);
        let focus = if first { " autofocus" } else { "" };
        Safe(format!(" aria-invalid=\"true\"{}{focus}", described(&[&id, hint])))
    }

    /// What stands below a field.
    pub fn say(&self, field: &str) -> Safe<String> {
        let Some(problem) = self.get(field) else { return Safe(String::new()) };
        let mut html = format!("<span class=\"wrong\" id=\"{field}-wrong\" data-code=\"{}\">", problem.code());
        escape(&mut html, &problem.to_string());
        html.push_str("</span>");
        Safe(html)
    }
}

/// An address or a domain as people read it: `ann@xn--mnchen-3ya.example` is `ann@münchen.example`.
pub fn readable(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", mailkit::address::readable_domain(domain)),
        None => mailkit::address::readable_domain(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_marked_with_what_describes_it() {
        let mut wrong = Wrong::of("user", "<b> & \"c\"");
        wrong.add("password", "too short");
        wrong.add("user", "the second one");
        assert_eq!(wrong.mark("user", "").0, " aria-invalid=\"true\" aria-describedby=\"user-wrong\" autofocus");
        let both = " aria-invalid=\"true\" aria-describedby=\"password-wrong password-hint\"";
        assert_eq!(wrong.mark("password", "password-hint").0, both);
        assert_eq!(wrong.mark("domain", "domain-hint").0, " aria-describedby=\"domain-hint\"");
        assert_eq!(wrong.mark("domain", "").0, "");
        assert!(wrong.say("user").0.contains("&lt;b&gt;") && wrong.say("domain").0.is_empty());
        assert!(!Wrong::default().mark("user", "").0.contains("autofocus"));
    }

    #[test]
    fn domains_are_read_in_their_own_letters() {
        for (stored, read) in [
            ("xn--mnchen-3ya.example", "münchen.example"),
            ("ann@xn--mnchen-3ya.example", "ann@münchen.example"),
            ("@xn--bcher-kva.example", "@bücher.example"),
            ("plain.example", "plain.example"),
            ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
            // What is no such name stays as it is.
            ("xn--a.example", "xn--a.example"),
            ("xn--.example", "xn--.example"),
            ("", ""),
        ] {
            assert_eq!(readable(stored), read);
        }
    }
}
