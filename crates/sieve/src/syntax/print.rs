//! Writing a tree as a script.

use std::fmt::{Display, Formatter, Result, Write as _};

use super::{Literal, Node, Syntax};

/// Strings of more lines than this are written with `text:`.
const MAX_QUOTED_LINES: usize = 1;

impl Display for Syntax {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        commands(f, &self.commands, 0)?;
        comments(f, &self.comments, 0)
    }
}

fn commands(f: &mut Formatter<'_>, nodes: &[Node], depth: usize) -> Result {
    for node in nodes {
        comments(f, &node.comments, depth)?;
        indent(f, depth)?;
        head(f, node)?;
        match &node.block {
            None => f.write_str(";\r\n")?,
            Some(block) => {
                f.write_str(" {\r\n")?;
                commands(f, block, depth + 1)?;
                comments(f, &node.last_comments, depth + 1)?;
                indent(f, depth)?;
                f.write_str("}\r\n")?;
            }
        }
    }
    Ok(())
}

fn indent(f: &mut Formatter<'_>, depth: usize) -> Result {
    (0..depth).try_for_each(|_| f.write_str("    "))
}

fn comments(f: &mut Formatter<'_>, lines: &[String], depth: usize) -> Result {
    for line in lines {
        indent(f, depth)?;
        let line = line.replace(['\r', '\n'], " ");
        if line.is_empty() { f.write_str("#\r\n")? } else { write!(f, "# {line}\r\n")? }
    }
    Ok(())
}

/// Name, arguments and tests.
fn head(f: &mut Formatter<'_>, node: &Node) -> Result {
    f.write_str(&node.name)?;
    for argument in &node.arguments {
        f.write_char(' ')?;
        match &argument.value {
            Literal::Tag(name) => write!(f, ":{name}")?,
            Literal::Number(number) => number_text(f, *number)?,
            Literal::Text(text) => string(f, text)?,
            Literal::List(list) => {
                f.write_char('[')?;
                for (index, text) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    quoted(f, text)?;
                }
                f.write_char(']')?;
            }
        }
    }
    if node.tests.is_empty() {
        return Ok(());
    }
    f.write_char(' ')?;
    if node.in_parentheses {
        f.write_char('(')?;
    }
    for (index, test) in node.tests.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        head(f, test)?;
    }
    if node.in_parentheses { f.write_char(')') } else { Ok(()) }
}

fn number_text(f: &mut Formatter<'_>, number: u64) -> Result {
    for (shift, unit) in [(30, 'G'), (20, 'M'), (10, 'K')] {
        if number > 0 && number.trailing_zeros() >= shift {
            return write!(f, "{}{unit}", number >> shift);
        }
    }
    write!(f, "{number}")
}

fn string(f: &mut Formatter<'_>, text: &str) -> Result {
    if text.matches("\r\n").count() < MAX_QUOTED_LINES || !text.ends_with("\r\n") {
        return quoted(f, text);
    }
    f.write_str("text:\r\n")?;
    for line in text.split_inclusive("\r\n") {
        if line.starts_with('.') {
            f.write_char('.')?;
        }
        f.write_str(line)?;
    }
    f.write_str(".\r\n")
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without places, which change when a script is written again.
    fn bare(nodes: &mut [Node]) {
        for node in nodes {
            node.at = crate::Position::default();
            node.arguments.iter_mut().for_each(|argument| argument.at = crate::Position::default());
            bare(&mut node.tests);
            bare(node.block.as_deref_mut().unwrap_or_default());
        }
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        for script in [
            "",
            "# only a comment\n",
            "keep;",
            "# rule:[Lists]\nif anyof (header :is [\"a\", \"b\\\"\"] \"c\\\\\", not size :over 10K) { stop; # end\n } else { keep; }",
            "vacation :days 3 text:\nHello\n..\n..dot\n.\n;",
            "if true { if false { } }\n/* a\n * b */\nstop;",
            "redirect \"a\nb\";",
        ] {
            let mut first = Syntax::read(script).unwrap();
            let mut second = Syntax::read(&first.to_string()).unwrap_or_else(|why| panic!("{first}: {why}"));
            bare(&mut first.commands);
            bare(&mut second.commands);
            assert_eq!(first, second, "{script}");
        }
    }
}
