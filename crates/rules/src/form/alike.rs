//! Whether two commands say the same.

use sieve::{Argument, Literal, Node};

use super::commands::{test, text};

/// Whether they do the same, however they are written. If in doubt they don't.
pub(crate) fn alike(a: &Node, b: &Node) -> bool {
    let blocks = match (&a.block, &b.block) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let (a, b) = (one_by_one(a), one_by_one(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| alike(a, b))
        }
        _ => false,
    };
    a.name.eq_ignore_ascii_case(&b.name)
        && arguments(a) == arguments(b)
        && a.tests.len() == b.tests.len()
        && a.tests.iter().zip(&b.tests).all(|(a, b)| alike(a, b))
        && blocks
}

/// Commands with one flag each.
fn one_by_one(block: &[Node]) -> Vec<Node> {
    let mut out = Vec::with_capacity(block.len());
    for node in block {
        match node.arguments.as_slice() {
            [Argument { value: Literal::List(flags), .. }] if node.name.eq_ignore_ascii_case("addflag") => {
                out.extend(flags.iter().map(|flag| test("addflag", [text(flag)])));
            }
            _ => out.push(node.clone()),
        }
    }
    out
}

/// Arguments without what makes no difference.
fn arguments(node: &Node) -> Vec<Literal> {
    let is = |name: &str| node.name.eq_ignore_ascii_case(name);
    let mut out: Vec<Literal> = Vec::with_capacity(node.arguments.len());
    for argument in &node.arguments {
        out.push(match &argument.value {
            Literal::Tag(name) => Literal::Tag(name.to_ascii_lowercase()),
            Literal::List(list) if list.len() == 1 => Literal::Text(list[0].clone()),
            other => other.clone(),
        });
    }
    let default = [Literal::Tag("comparator".to_owned()), Literal::Text("i;ascii-casemap".to_owned())];
    if let Some(at) = out.windows(2).position(|pair| pair == default) {
        out.drain(at..at + 2);
    }
    if is("address") || is("envelope") {
        out.retain(|literal| *literal != Literal::Tag("all".to_owned()));
    }
    let tests_headers = is("header") || is("address") || is("envelope");
    let keys = out.len().saturating_sub(1);
    for (at, literal) in out.iter_mut().enumerate() {
        match literal {
            Literal::Text(name) if tests_headers && at < keys => name.make_ascii_lowercase(),
            Literal::List(names) if tests_headers && at < keys => {
                for name in names {
                    name.make_ascii_lowercase();
                }
            }
            // Line breaks at the end of a text are of how it is written.
            Literal::Text(text) if at == keys && (is("vacation") || is("reject")) => {
                text.truncate(text.trim_end().len());
            }
            _ => {}
        }
    }
    out
}
