//! Tokens to a tree. After an error it goes on behind the next semicolon or block, so that one look finds all errors.

use super::{Argument, Literal, Node, Piece, Syntax};
use crate::error::{Found, Position};
use crate::lexer::{Placed, Token, tokens};
use crate::limits::{MAX_ARGUMENTS, MAX_BLOCK_DEPTH, MAX_LIST, MAX_SCRIPT_BYTES, MAX_TEST_DEPTH};

/// Something was wrong, and has been told.
struct Told;

pub(super) fn read(text: &str, found: &mut Found) -> Syntax {
    read_pieces(text, found).0
}

/// The script, and where each of its commands stands.
pub(super) fn read_pieces(text: &str, found: &mut Found) -> (Syntax, Vec<Piece>) {
    if text.len() > MAX_SCRIPT_BYTES {
        found.add(
            Position { line: 1, column: 1 },
            format!("the script has {} bytes; the limit is {MAX_SCRIPT_BYTES}", text.len()),
        );
        return Default::default();
    }
    let (tokens, comments) = tokens(text, found);
    let last = tokens.last().map_or(Position { line: 1, column: 1 }, |placed| placed.at);
    let mut parser = Parser { tokens, at: 0, last, found, outer: Vec::new() };
    let commands = parser.commands(0);
    let Parser { tokens, outer, .. } = parser;
    let pieces = outer.into_iter().map(|range| Piece {
        bytes: tokens[range.start].bytes.start..tokens[range.end - 1].bytes.end,
        has_comments: tokens[range.start + 1..range.end].iter().any(|placed| !placed.comments.is_empty()),
    });
    (Syntax { commands, comments }, pieces.collect())
}

struct Parser<'a> {
    tokens: Vec<Placed>,
    at: usize,
    last: Position,
    found: &'a mut Found,
    /// The tokens of each command that is in no block.
    outer: Vec<std::ops::Range<usize>>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn position(&self) -> Position {
        self.tokens.get(self.at).map_or(self.last, |placed| placed.at)
    }

    fn is(&self, mark: char) -> bool {
        self.peek() == Some(&Token::Mark(mark))
    }

    fn eat(&mut self, mark: char) -> bool {
        let is = self.is(mark);
        self.at += usize::from(is);
        is
    }

    fn tell(&mut self, at: Position, text: impl Into<String>) -> Told {
        self.found.add(at, text);
        Told
    }

    /// Commands up to the end of the block, or of the script at depth 0.
    fn commands(&mut self, depth: usize) -> Vec<Node> {
        let mut out = Vec::new();
        while let Some(token) = self.peek() {
            if *token == Token::Mark('}') {
                if depth > 0 {
                    return out;
                }
                let at = self.position();
                self.tell(at, "there is no block that } could end");
                self.at += 1;
                continue;
            }
            let begin = self.at;
            match self.command(depth) {
                Ok(command) => {
                    if depth == 0 {
                        self.outer.push(begin..self.at);
                    }
                    out.push(command);
                }
                Err(Told) => self.recover(begin),
            }
        }
        out
    }

    /// Goes on behind what could not be read: its semicolon, or its block.
    fn recover(&mut self, begin: usize) {
        self.at = self.at.max(begin);
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Mark(';') if depth == 0 => {
                    self.at += 1;
                    return;
                }
                Token::Mark('{') => depth += 1,
                Token::Mark('}') if depth == 0 => {
                    // The end of the block that is around it.
                    if self.at == begin {
                        self.at += 1;
                    }
                    return;
                }
                Token::Mark('}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn command(&mut self, depth: usize) -> Result<Node, Told> {
        let mut node = self.named("command")?;
        self.arguments(&mut node)?;
        self.tests(&mut node, 1)?;
        if self.eat(';') {
            return Ok(node);
        }
        if !self.is('{') {
            let at = self.position();
            let text = match self.peek() {
                None => format!("missing semicolon after the {} command: the script ends", node.name),
                Some(Token::Bad) => return Err(Told),
                Some(_) => format!("missing semicolon after the {} command", node.name),
            };
            self.found.add(at, text);
            // The next command begins here, if one can.
            return if matches!(self.peek(), Some(Token::Identifier(_))) { Ok(node) } else { Err(Told) };
        }
        if depth + 1 > MAX_BLOCK_DEPTH {
            let at = self.position();
            return Err(self.tell(at, format!("blocks are nested deeper than {MAX_BLOCK_DEPTH}")));
        }
        let open = self.position();
        self.at += 1;
        node.block = Some(self.commands(depth + 1));
        node.last_comments = self.tokens.get(self.at).map(|placed| placed.comments.clone()).unwrap_or_default();
        if !self.eat('}') {
            self.tell(open, "the block that begins here has no end: } is missing");
        }
        Ok(node)
    }

    fn named(&mut self, what: &str) -> Result<Node, Told> {
        let at = self.position();
        match self.tokens.get(self.at) {
            Some(Placed { token: Token::Identifier(name), comments, .. }) => {
                let node = Node { name: name.clone(), at, comments: comments.clone(), ..Node::default() };
                self.at += 1;
                Ok(node)
            }
            Some(Placed { token: Token::Bad, .. }) => {
                self.at += 1;
                Err(Told)
            }
            Some(Placed { token, .. }) => {
                let text = format!("expected the name of a {what}, but found {}", shown(token));
                self.at += 1;
                Err(self.tell(at, text))
            }
            None => Err(self.tell(at, format!("expected the name of a {what}, but the script ends"))),
        }
    }

    fn arguments(&mut self, node: &mut Node) -> Result<(), Told> {
        loop {
            let at = self.position();
            let value = match self.peek() {
                Some(Token::Tag(name)) => Literal::Tag(name.clone()),
                Some(Token::Number(number)) => Literal::Number(*number),
                Some(Token::Text(text, _)) => Literal::Text(text.clone()),
                Some(Token::Mark('[')) => {
                    self.at += 1;
                    let list = self.list(at)?;
                    node.arguments.push(Argument { at, value: Literal::List(list) });
                    continue;
                }
                Some(Token::Bad) => return Err(Told),
                _ => return Ok(()),
            };
            if node.arguments.len() >= MAX_ARGUMENTS {
                return Err(self.tell(at, format!("{} has more than {MAX_ARGUMENTS} arguments", node.name)));
            }
            self.at += 1;
            node.arguments.push(Argument { at, value });
        }
    }

    fn list(&mut self, open: Position) -> Result<Vec<String>, Told> {
        let mut out = Vec::new();
        loop {
            let at = self.position();
            match self.peek() {
                Some(Token::Text(text, _)) => out.push(text.clone()),
                Some(Token::Bad) => return Err(Told),
                Some(token) => {
                    let text = format!("expected a string in the list, but found {}", shown(token));
                    return Err(self.tell(at, text));
                }
                None => return Err(self.tell(open, "the list that begins here has no end: ] is missing")),
            }
            self.at += 1;
            if out.len() > MAX_LIST {
                return Err(self.tell(at, format!("the list has more than {MAX_LIST} strings")));
            }
            if self.eat(']') {
                return Ok(out);
            }
            if !self.eat(',') {
                let at = self.position();
                return Err(self.tell(at, "expected a comma or ] after a string of the list"));
            }
        }
    }

    fn tests(&mut self, node: &mut Node, depth: usize) -> Result<(), Told> {
        if depth > MAX_TEST_DEPTH && (self.is('(') || matches!(self.peek(), Some(Token::Identifier(_)))) {
            let at = self.position();
            return Err(self.tell(at, format!("tests are nested deeper than {MAX_TEST_DEPTH}")));
        }
        match self.peek() {
            Some(Token::Identifier(_)) => {
                node.tests.push(self.test(depth)?);
                Ok(())
            }
            Some(Token::Mark('(')) => {
                self.at += 1;
                node.in_parentheses = true;
                loop {
                    node.tests.push(self.test(depth)?);
                    if self.eat(')') {
                        return Ok(());
                    }
                    if !self.eat(',') {
                        let at = self.position();
                        return Err(self.tell(at, "expected a comma or ) after a test of the list"));
                    }
                    if node.tests.len() >= MAX_LIST {
                        let at = self.position();
                        return Err(self.tell(at, format!("the list has more than {MAX_LIST} tests")));
                    }
                }
            }
            Some(Token::Bad) => Err(Told),
            _ => Ok(()),
        }
    }

    fn test(&mut self, depth: usize) -> Result<Node, Told> {
        let mut node = self.named("test")?;
        self.arguments(&mut node)?;
        self.tests(&mut node, depth + 1)?;
        Ok(node)
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Identifier(name) => name.clone(),
        Token::Tag(name) => format!(":{name}"),
        Token::Number(number) => format!("number {number}"),
        Token::Text(..) => "a string".to_owned(),
        Token::Mark(mark) => mark.to_string(),
        Token::Bad => "something else".to_owned(),
    }
}
