//! What a script that is right is warned of: commands that never run, and mailboxes that do not exist (RFC 5804 §1.3,
//! `WARNINGS`).

use sieve::{Literal, Node, Position, Syntax};

/// Most warnings about one script.
const MAX_WARNINGS: usize = 20;

/// The warnings about a script, a line each. `exists` says whether there is a mailbox of that name.
pub(crate) fn warnings(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    // What is wrong is told as errors.
    let Ok(syntax) = Syntax::read(text) else { return Vec::new() };
    let mut found = Found { has_variables: requires(&syntax.commands, "variables"), exists: &exists, all: Vec::new() };
    found.block(&syntax.commands);
    found.all.sort_by_key(|(at, _)| *at);
    found.all.truncate(MAX_WARNINGS);
    let line = |(at, text): (Position, String)| format!("line {}, column {}: {text}", at.line, at.column);
    found.all.into_iter().map(line).collect()
}

struct Found<'a> {
    has_variables: bool,
    exists: &'a dyn Fn(&str) -> bool,
    all: Vec<(Position, String)>,
}

impl Found<'_> {
    /// Looks at a block; whether it never goes on behind its end.
    fn block(&mut self, nodes: &[Node]) -> bool {
        let (mut ended, mut branches_end) = (None, true);
        for node in nodes {
            if let Some(name) = ended.take() {
                self.all.push((node.at, format!("this never runs: '{name}' stands before it")));
                // Once is enough.
                return true;
            }
            let name = node.name.to_ascii_lowercase();
            self.mailbox(node);
            let inner_ends = node.block.as_deref().is_some_and(|block| self.block(block));
            match name.as_str() {
                "if" => branches_end = inner_ends,
                "elsif" => branches_end &= inner_ends,
                "else" if branches_end && inner_ends => ended = Some("if".to_owned()),
                "stop" | "return" | "break" | "error" => ended = Some(name),
                _ => {}
            }
        }
        ended.is_some()
    }

    fn mailbox(&mut self, node: &Node) {
        let has = |tag: &str| {
            let is = |value: &Literal| matches!(value, Literal::Tag(name) if name.eq_ignore_ascii_case(tag));
            node.arguments.iter().any(|argument| is(&argument.value))
        };
        // These are found otherwise than by the name, or made.
        if !node.name.eq_ignore_ascii_case("fileinto")
            || ["create", "mailboxid", "specialuse"].iter().any(|tag| has(tag))
        {
            return;
        }
        let Some(Literal::Text(name)) = node.arguments.last().map(|argument| &argument.value) else { return };
        let is_known = !(self.has_variables && name.contains("${"));
        if is_known && !(self.exists)(name) {
            let name: String = name.chars().take(100).collect();
            self.all.push((node.at, format!("there is no mailbox '{name}': the message would be filed in INBOX")));
        }
    }
}

fn requires(commands: &[Node], capability: &str) -> bool {
    let required = commands.iter().filter(|node| node.name.eq_ignore_ascii_case("require"));
    required.flat_map(|node| &node.arguments).any(|argument| match &argument.value {
        Literal::Text(name) => name == capability,
        Literal::List(names) => names.iter().any(|name| name == capability),
        Literal::Tag(_) | Literal::Number(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_runs_and_what_is_not_there_is_told_with_its_place() {
        for (script, told) in [
            ("keep;", ""),
            ("stop;", ""),
            ("keep;\nstop;\ndiscard;\nkeep;", "3.1"),
            ("if true { stop; keep; } discard;", "1.17"),
            ("if true { stop; } keep;", ""),
            ("if true { stop; } else { stop; }\nkeep;", "2.1"),
            ("if true { stop; } elsif false { keep; } else { stop; }\nkeep;", ""),
            ("if true { stop; } elsif false { stop; } else { stop; }\nkeep;", "2.1"),
            ("require \"fileinto\"; fileinto \"There\"; fileinto \"INBOX\";", ""),
            ("require \"fileinto\";\nfileinto \"Nowhere\";", "2.1"),
            ("require [\"fileinto\",\"mailbox\"]; fileinto :create \"Nowhere\";", ""),
            ("require [\"fileinto\",\"variables\"]; fileinto \"x${1}\";", ""),
            ("require [\"fileinto\"]; fileinto \"x${1}\";", "1.23"),
            ("require \"fileinto\"; stop; fileinto \"Nowhere\";", "1.27"),
            ("this is no script", ""),
        ] {
            let all = warnings(script, |name| ["There", "INBOX"].contains(&name));
            let places: Vec<String> = all
                .iter()
                .map(|line| line.split(": ").next().unwrap().replace("line ", "").replace(", column ", "."))
                .collect();
            assert_eq!(places.join(" "), told, "{script}: {all:?}");
        }
        assert!(warnings(&"if true { stop; keep; }\n".repeat(500), |_| true).len() == MAX_WARNINGS);
    }
}
