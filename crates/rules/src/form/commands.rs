//! Commands and tests put together.

use sieve::{Argument, Literal, Node, Position};

fn argument(value: Literal) -> Argument {
    Argument { at: Position::default(), value }
}

/// A tag.
pub(crate) fn tag(name: &str) -> Argument {
    argument(Literal::Tag(name.to_owned()))
}

/// A string.
pub(crate) fn text(text: impl Into<String>) -> Argument {
    argument(Literal::Text(text.into()))
}

/// A list of strings.
pub(crate) fn list<S: AsRef<str>>(texts: &[S]) -> Argument {
    argument(Literal::List(texts.iter().map(|text| text.as_ref().to_owned()).collect()))
}

/// One string, or a list.
pub(crate) fn one_or_many(texts: &[String]) -> Argument {
    if let [one] = texts { text(one) } else { list(texts) }
}

/// A number.
pub(crate) fn number(number: u64) -> Argument {
    argument(Literal::Number(number))
}

/// A command or test with arguments.
pub(crate) fn test<const N: usize>(name: &str, arguments: [Argument; N]) -> Node {
    Node { name: name.to_owned(), arguments: arguments.into(), ..Node::default() }
}

/// A test or command with tests within it.
pub(crate) fn with(name: &str, tests: Vec<Node>, in_parentheses: bool) -> Node {
    Node { name: name.to_owned(), tests, in_parentheses, ..Node::default() }
}
