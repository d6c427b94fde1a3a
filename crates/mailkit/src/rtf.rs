//! Rich text: unpacked (MS-OXRTFCP) and turned into plain text, for messages that have no other.

use crate::charset;

/// Longest rich text unpacked, in bytes.
const MAX_RTF_BYTES: usize = 4 * 1024 * 1024;

/// What the dictionary of the compression begins with.
const PRELOAD: &[u8] =
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \
\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \
\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// Unpacks what Outlook compresses. `None` if it is nothing of the kind.
pub(crate) fn decompress(packed: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| packed.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let size = (number(4)? as usize).min(MAX_RTF_BYTES);
    let body = packed.get(16..)?;
    match &number(8)?.to_le_bytes() {
        b"MELA" => return Some(body[..body.len().min(size)].to_vec()),
        b"LZFu" => {}
        _ => return None,
    }
    let mut dictionary = [b' '; 4096];
    dictionary[..PRELOAD.len()].copy_from_slice(PRELOAD);
    let mut write = PRELOAD.len();
    let mut out = Vec::new();
    let mut input = body.iter().copied();
    'runs: while let Some(control) = input.next() {
        for bit in 0..8 {
            if out.len() >= size {
                break 'runs;
            }
            if control >> bit & 1 == 0 {
                let Some(byte) = input.next() else { break 'runs };
                out.push(byte);
                dictionary[write] = byte;
                write = (write + 1) % 4096;
                continue;
            }
            let (Some(high), Some(low)) = (input.next(), input.next()) else { break 'runs };
            let reference = usize::from(high) << 8 | usize::from(low);
            let (mut read, length) = (reference >> 4, (reference & 15) + 2);
            if read == write {
                break 'runs;
            }
            for _ in 0..length {
                let byte = dictionary[read];
                out.push(byte);
                dictionary[write] = byte;
                read = (read + 1) % 4096;
                write = (write + 1) % 4096;
            }
        }
    }
    Some(out)
}

/// Groups whose words are not shown.
const HIDDEN: [&str; 12] = [
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "footer",
    "generator",
    "listtable",
    "listoverridetable",
    "themedata",
];

/// The words of rich text.
pub(crate) fn to_text(rtf: &[u8]) -> String {
    let mut reader = Reader { hidden: vec![false], ..Reader::default() };
    let mut at = 0;
    while at < rtf.len() {
        at += reader.take(&rtf[at..]);
    }
    reader.flush();
    reader.out
}

#[derive(Default)]
struct Reader {
    out: String,
    /// Bytes of the code page, not decoded yet.
    pending: Vec<u8>,
    code_page: Option<String>,
    /// For each open group, whether it is shown; deeper ones than are counted are not.
    hidden: Vec<bool>,
    /// Characters that follow a `\u`, for readers that know none.
    skip: usize,
}

/// Deepest groups told apart.
const MAX_GROUPS: usize = 200;

impl Reader {
    /// Takes the next token; how long it is.
    fn take(&mut self, rest: &[u8]) -> usize {
        match rest {
            [b'{', ..] => {
                let hidden = self.is_hidden() || self.hidden.len() >= MAX_GROUPS;
                self.hidden.push(hidden);
                1
            }
            [b'}', ..] => {
                if self.hidden.len() > 1 {
                    self.hidden.pop();
                }
                1
            }
            [b'\\', b'\'', hex @ ..] => {
                if let Some(byte) = charset::hex_pair(hex) {
                    self.byte(byte);
                }
                4.min(rest.len())
            }
            [b'\\', b'*', ..] => {
                self.hide();
                2
            }
            [b'\\', letter, ..] if letter.is_ascii_alphabetic() => self.word(&rest[1..]) + 1,
            [b'\\', b'~', ..] => {
                self.byte(b' ');
                2
            }
            [b'\\', escaped, ..] => {
                if matches!(escaped, b'\\' | b'{' | b'}') {
                    self.byte(*escaped);
                }
                2
            }
            [b'\r' | b'\n' | 0, ..] => 1,
            [byte, ..] => {
                self.byte(*byte);
                1
            }
            [] => 1,
        }
    }

    /// A control word; how long it is, its delimiter with it.
    fn word(&mut self, rest: &[u8]) -> usize {
        let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let sign = usize::from(rest.get(letters) == Some(&b'-'));
        let digits = rest[letters + sign..].iter().take(10).take_while(|b| b.is_ascii_digit()).count();
        let name = std::str::from_utf8(&rest[..letters]).unwrap_or_default();
        let number =
            std::str::from_utf8(&rest[letters..letters + sign + digits]).ok().and_then(|n| n.parse::<i64>().ok());
        match name {
            "par" | "line" | "row" | "sect" | "page" => self.text("\n"),
            "tab" | "cell" => self.text("\t"),
            "emdash" => self.text("\u{2014}"),
            "endash" => self.text("\u{2013}"),
            "lquote" => self.text("\u{2018}"),
            "rquote" => self.text("\u{2019}"),
            "ldblquote" => self.text("\u{201c}"),
            "rdblquote" => self.text("\u{201d}"),
            "bullet" => self.text("\u{2022}"),
            "ansicpg" => self.code_page = number.map(|page| format!("cp{page}")),
            "u" => {
                let unit = number.unwrap_or(0).rem_euclid(65_536) as u32;
                self.text(char::from_u32(unit).unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]));
                self.skip = 1;
            }
            name if HIDDEN.contains(&name) => self.hide(),
            _ => {}
        }
        let end = letters + if digits > 0 { sign + digits } else { 0 };
        end + usize::from(rest.get(end) == Some(&b' '))
    }

    fn is_hidden(&self) -> bool {
        self.hidden.last().copied().unwrap_or_default()
    }

    fn hide(&mut self) {
        if let Some(hidden) = self.hidden.last_mut() {
            *hidden = true;
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.skip > 0 {
            self.skip -= 1;
        } else if !self.is_hidden() {
            self.pending.push(byte);
        }
    }

    fn text(&mut self, text: &str) {
        if !self.is_hidden() {
            self.flush();
            self.out.push_str(text);
        }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let page = self.code_page.as_deref().or(Some("cp1252"));
            self.out.push_str(&charset::decode_charset(page, &self.pending));
            self.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rich_text_gives_its_words() {
        let rtf = b"{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}{\\*\\generator x;}\\pard Gr\\'fc\\'dfe \\b aus\\b0  K\\u246?ln\\par Second \\{line\\}\\par}";
        assert_eq!(to_text(rtf), "Grüße aus Köln\nSecond {line}\n");
    }

    #[test]
    fn the_compression_of_the_specification_is_undone() {
        let packed = [
            0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0, 0x0a, 0, 0x72, 0x63,
            0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09, 0, 0x20, 0x62, 0x77,
            0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
        ];
        assert_eq!(decompress(&packed).unwrap(), b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(bytes: Vec<u8>) {
            to_text(&bytes);
            decompress(&bytes);
            decompress(&[b"\0\0\0\0\xff\xff\xff\xffLZFu\0\0\0\0", &bytes[..]].concat());
        }
    }
}
