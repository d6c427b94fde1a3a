//! Uuencode: what Unix put files into text with, before MIME.

use super::found::{InnerFile, MAX_FILES};

/// A block in a text.
pub(crate) struct Block {
    /// Where it stands, in bytes of the text, its lines whole.
    pub(crate) range: std::ops::Range<usize>,
    pub(crate) file: InnerFile,
}

/// The blocks `begin 644 name` … `end` in a text. One that is not whole is no block: its lines stay text.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut open: Option<Block> = None;
    for line in text.split_inclusive('\n') {
        let here = at;
        at += line.len();
        let plain = line.trim_end_matches(['\r', '\n']);
        if let Some(name) = begins(plain) {
            open = Some(Block { range: here..at, file: InnerFile { name: name.to_owned(), content: Vec::new() } });
            continue;
        }
        let Some(block) = &mut open else { continue };
        if plain == "end" {
            block.range.end = at;
            found.extend(open.take());
            if found.len() >= MAX_FILES {
                break;
            }
        } else if !plain.is_empty() && !decode_line(plain.as_bytes(), &mut block.file.content) {
            open = None;
        }
    }
    found
}

/// The text without its blocks.
pub(crate) fn without_blocks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for block in blocks(text) {
        out.push_str(&text[from..block.range.start]);
        from = block.range.end;
    }
    out + &text[from..]
}

/// Longest line looked at; those of uuencode have 62 characters.
const MAX_LINE: usize = 256;

/// Decodes a part that is encoded so, piece by piece: what stands between `begin` and `end`, or from the first line that
/// can be decoded on.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    line: Vec<u8>,
    inside: bool,
    done: bool,
}

impl Decoder {
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &byte in input {
            if byte == b'\n' {
                self.end_line(out);
            } else if self.line.len() < MAX_LINE {
                self.line.push(byte);
            }
        }
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_line(out);
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if !self.done && !line.is_empty() {
            if is_begin(line) {
                self.inside = true;
            } else if line == b"end" {
                self.done = self.inside;
            } else {
                self.inside |= decode_line(line, out);
            }
        }
        self.line.clear();
    }
}

/// [`Decoder`] for what is all there.
pub(crate) fn decode(body: &[u8]) -> Vec<u8> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::with_capacity(body.len() / 4 * 3));
    decoder.feed(body, &mut out);
    decoder.finish(&mut out);
    out
}

fn is_begin(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| begins(line.trim_end()).is_some())
}

/// The file name of a `begin` line.
fn begins(line: &str) -> Option<&str> {
    let (mode, name) = line.strip_prefix("begin ")?.split_once(' ')?;
    let is_mode = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..b'8').contains(&b));
    (is_mode && !name.trim().is_empty()).then(|| name.trim())
}

/// Decodes a line; false if it is none. Blanks at its end may be lost, and there may be a checksum.
fn decode_line(line: &[u8], out: &mut Vec<u8>) -> bool {
    let sextet = |byte: u8| (byte.wrapping_sub(b' ')) & 63;
    if line.iter().any(|byte| !(b' '..=b'`').contains(byte)) {
        return false;
    }
    let length = usize::from(sextet(line[0]));
    let wanted = length.div_ceil(3) * 4;
    let text = &line[1..];
    if text.len() > wanted + 4 {
        return false;
    }
    let mut left = length;
    for at in (0..wanted).step_by(4) {
        let digit = |n: usize| u32::from(sextet(text.get(at + n).copied().unwrap_or(b' ')));
        let bits = digit(0) << 18 | digit(1) << 12 | digit(2) << 6 | digit(3);
        let bytes = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        out.extend_from_slice(&bytes[..left.min(3)]);
        left -= left.min(3);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "begin 644 note.txt\n;5&AE<V4@=V]R9',@=V5R92!U=65N8V]D960N\n`\nend\n";

    #[test]
    fn blocks_are_found_and_taken_out_of_the_text() {
        for block in
            [BLOCK.to_owned(), BLOCK.replace('\n', "\r\n"), BLOCK.replace('`', " ").replace("begin 644", "begin 0644")]
        {
            let text = format!("Before.\n\n{block}After.\n{block}");
            let found = blocks(&text);
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].file.name, "note.txt");
            assert_eq!(found[0].file.content, b"These words were uuencoded.", "{text}");
            assert_eq!(without_blocks(&text), "Before.\n\nAfter.\n");
            assert_eq!(decode(block.as_bytes()), b"These words were uuencoded.");
        }
        assert_eq!(decode(b";5&AE<V4@=V]R9',@=V5R92!U=65N8V]D960N\r\n`\r\n"), b"These words were uuencoded.");
    }

    #[test]
    fn what_only_begins_like_a_block_stays_text() {
        for text in [
            "begin 644 note.txt\nand then we had tea.\nend\n",
            "begin the day\nend\n",
            "begin 644\nend\n",
            "begin 999 x\nend\n",
            "begin 644 note.txt\n;5&AE<V4@=V]R9',@=V5R92!U=65N8V]D960N\n",
        ] {
            assert_eq!(without_blocks(text), text);
        }
    }
}
