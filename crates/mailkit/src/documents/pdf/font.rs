//! Which characters the codes of a font are, and how wide they are (ISO 32000-1 sections 9.6 to 9.10).

use std::collections::HashMap;

use super::super::budget::Budget;
use super::file::File;
use super::object::{Dict, Object, Reader, utf16};

/// Mappings of one font.
const MAX_MAPPINGS: usize = 70_000;

/// A font.
pub struct Font {
    /// Bytes of one code: 1 or 2.
    pub code_bytes: usize,
    /// Codes that stand for other characters than `base` says.
    mapped: HashMap<u32, String>,
    base: Option<&'static encoding_rs::Encoding>,
    widths: HashMap<u32, f64>,
    usual_width: f64,
}

impl Font {
    /// What a font's dictionary says.
    pub fn read(file: &File<'_>, dict: &Dict, budget: &mut Budget) -> Self {
        let is_composite = dict.get("Subtype").and_then(Object::name) == Some("Type0");
        let mut font = Self {
            code_bytes: if is_composite { 2 } else { 1 },
            mapped: HashMap::new(),
            base: (!is_composite).then_some(encoding_rs::WINDOWS_1252),
            widths: HashMap::new(),
            usual_width: if is_composite { 1.0 } else { 0.5 },
        };
        if is_composite {
            font.composite_widths(file, dict, budget);
        } else {
            font.simple(file, dict, budget);
        }
        if let Some((_, map)) = dict.get("ToUnicode").and_then(|map| file.stream(map, budget)) {
            font.unicode_map(&map, budget);
        }
        font
    }

    fn simple(&mut self, file: &File<'_>, dict: &Dict, budget: &mut Budget) {
        let encoding = file.resolved(dict.get("Encoding"), budget);
        let base = match &encoding {
            Some(Object::Name(name)) => Some(name.clone()),
            Some(Object::Dict(dict)) => dict.get("BaseEncoding").and_then(Object::name).map(str::to_owned),
            _ => None,
        };
        match base.as_deref() {
            Some("MacRomanEncoding") => self.base = Some(encoding_rs::MACINTOSH),
            Some("WinAnsiEncoding") => {}
            _ => {
                // Adobe's own encoding differs where it matters in these.
                for (code, text) in [(0xae, "fi"), (0xaf, "fl"), (0x27, "\u{2019}"), (0x60, "\u{2018}")] {
                    self.mapped.insert(code, text.to_owned());
                }
            }
        }
        if let Some(Object::Dict(encoding)) = &encoding
            && let Some(Object::Array(differences)) = file.resolved(encoding.get("Differences"), budget)
        {
            let mut code = 0u32;
            for value in differences {
                match value {
                    Object::Number(number) => code = number as u32,
                    Object::Name(name) => {
                        if let Some(text) = glyph(&name) {
                            self.mapped.insert(code, text);
                        }
                        code = code.saturating_add(1);
                    }
                    _ => {}
                }
            }
        }
        let first = dict.get("FirstChar").and_then(Object::number).unwrap_or_default() as u32;
        if let Some(Object::Array(widths)) = file.resolved(dict.get("Widths"), budget) {
            for (at, width) in widths.iter().take(256).enumerate() {
                self.widths.extend(width.number().map(|width| (first.saturating_add(at as u32), width / 1_000.0)));
            }
        }
    }

    fn composite_widths(&mut self, file: &File<'_>, dict: &Dict, budget: &mut Budget) {
        let Some(Object::Array(below)) = file.resolved(dict.get("DescendantFonts"), budget) else { return };
        let Some(below) = file.dict(below.first(), budget) else { return };
        if let Some(width) = file.resolved(below.get("DW"), budget).and_then(|width| width.number()) {
            self.usual_width = width / 1_000.0;
        }
        let Some(Object::Array(widths)) = file.resolved(below.get("W"), budget) else { return };
        let mut rest = widths.iter();
        while let (Some(Object::Number(first)), Some(second)) = (rest.next(), rest.next()) {
            match file.resolved(Some(second), budget) {
                Some(Object::Array(each)) => {
                    for (at, width) in each.iter().enumerate() {
                        self.widths.extend(width.number().map(|width| (*first as u32 + at as u32, width / 1_000.0)));
                    }
                }
                Some(Object::Number(last)) => {
                    let Some(width) = rest.next().and_then(Object::number) else { return };
                    let (first, last) = (*first as u32, last as u32);
                    for code in first..=last.min(first.saturating_add(MAX_MAPPINGS as u32)) {
                        if self.widths.len() >= MAX_MAPPINGS || budget.map().is_none() {
                            return;
                        }
                        self.widths.insert(code, width / 1_000.0);
                    }
                }
                _ => return,
            }
        }
    }

    /// Takes in a `ToUnicode` map (section 9.10.3).
    fn unicode_map(&mut self, map: &[u8], budget: &mut Budget) {
        let mut reader = Reader::new(map, 0);
        let mut operands: Vec<Object> = Vec::new();
        while let Some(object) = reader.next() {
            if budget.step().is_none() || self.mapped.len() >= MAX_MAPPINGS {
                return;
            }
            let Object::Word(word) = &object else {
                operands.push(object);
                continue;
            };
            match word.as_slice() {
                b"endcodespacerange" => {
                    if let Some(Object::Text(code)) = operands.last() {
                        self.code_bytes = code.len().clamp(1, 2);
                    }
                }
                b"endbfchar" => {
                    for pair in operands.chunks_exact(2) {
                        if let [Object::Text(code), Object::Text(text)] = pair {
                            self.mapped.insert(code_of(code), utf16(text));
                        }
                    }
                }
                b"endbfrange" => self.ranges(&operands, budget),
                _ => {}
            }
            operands.clear();
        }
    }

    fn ranges(&mut self, operands: &[Object], budget: &mut Budget) {
        for range in operands.chunks_exact(3) {
            let [Object::Text(first), Object::Text(last), target] = range else { continue };
            let (first, last) = (code_of(first), code_of(last));
            match target {
                Object::Array(texts) => {
                    for (at, text) in texts.iter().enumerate() {
                        if let Object::Text(text) = text {
                            self.mapped.insert(first.saturating_add(at as u32), utf16(text));
                        }
                    }
                }
                Object::Text(text) => {
                    let mut units = text.clone();
                    for code in first..=last.min(first.saturating_add(0xffff)) {
                        if self.mapped.len() >= MAX_MAPPINGS || budget.map().is_none() {
                            return;
                        }
                        self.mapped.insert(code, utf16(&units));
                        if let [.., high, low] = units.as_mut_slice() {
                            let next = u16::from_be_bytes([*high, *low]).wrapping_add(1);
                            [*high, *low] = next.to_be_bytes();
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds the characters of a code; `false` if it is not known which they are.
    pub fn put(&self, code: u32, out: &mut String) -> bool {
        if let Some(text) = self.mapped.get(&code) {
            out.push_str(text);
            return true;
        }
        let Some(base) = self.base else { return false };
        if code < 32 {
            return false;
        }
        out.push_str(&base.decode_without_bom_handling(&[code as u8]).0);
        true
    }

    /// The width of a code, in parts of the font's size.
    pub fn width(&self, code: u32) -> f64 {
        self.widths.get(&code).copied().unwrap_or(self.usual_width)
    }
}

/// A code, from its bytes.
pub fn code_of(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |code, b| code << 8 | u32::from(*b))
}

/// The characters of a glyph with that name (Adobe Glyph List): letters with their marks are named by both.
fn glyph(name: &str) -> Option<String> {
    const MARKS: [(&str, char); 12] = [
        ("acute", '\u{301}'),
        ("grave", '\u{300}'),
        ("circumflex", '\u{302}'),
        ("dieresis", '\u{308}'),
        ("tilde", '\u{303}'),
        ("ring", '\u{30a}'),
        ("cedilla", '\u{327}'),
        ("caron", '\u{30c}'),
        ("ogonek", '\u{328}'),
        ("breve", '\u{306}'),
        ("macron", '\u{304}'),
        ("hungarumlaut", '\u{30b}'),
    ];
    const NAMES: &str = "space  exclam ! quotedbl \" numbersign # dollar $ percent % ampersand & quotesingle ' quoteright ’ \
        quoteleft ‘ parenleft ( parenright ) asterisk * plus + comma , hyphen - minus - period . slash / colon : \
        semicolon ; less < equal = greater > question ? at @ bracketleft [ backslash \\ bracketright ] asciicircum ^ \
        underscore _ grave ` braceleft { bar | braceright } asciitilde ~ zero 0 one 1 two 2 three 3 four 4 five 5 six 6 \
        seven 7 eight 8 nine 9 germandbls ß ae æ AE Æ oe œ OE Œ oslash ø Oslash Ø eth ð Eth Ð thorn þ Thorn Þ dotlessi ı \
        lslash ł Lslash Ł endash – emdash — quotedblleft “ quotedblright ” quotedblbase „ quotesinglbase ‚ \
        guillemotleft « guillemotright » ellipsis … bullet • section § paragraph ¶ copyright © registered ® degree ° \
        Euro € sterling £ yen ¥ cent ¢ mu µ multiply × divide ÷ ff ff fi fi fl fl ffi ffi ffl ffl";
    let name = name.split('.').next().unwrap_or(name);
    let mut chars = name.chars();
    if let (Some(only), None) = (chars.next(), chars.next()) {
        return Some(only.to_string());
    }
    let hex = |digits: &str| {
        let units = digits.as_bytes().chunks(4);
        let units = units.map(|four| u16::from_str_radix(std::str::from_utf8(four).ok()?, 16).ok());
        Some(String::from_utf16_lossy(&units.collect::<Option<Vec<u16>>>()?))
    };
    if let Some(digits) = name.strip_prefix("uni").filter(|digits| digits.len() >= 4 && digits.len() % 4 == 0) {
        return hex(digits);
    }
    if let Some(code) = name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len())) {
        return u32::from_str_radix(code, 16).ok().and_then(char::from_u32).map(String::from);
    }
    if name == "space" || name == "nbspace" {
        return Some(" ".to_owned());
    }
    let mut known = NAMES.split_whitespace().skip(1);
    while let (Some(this), Some(text)) = (known.next(), known.next()) {
        if this == name {
            return Some(text.to_owned());
        }
    }
    let letter = name.chars().next().filter(char::is_ascii_alphabetic)?;
    let (_, mark) = MARKS.iter().find(|(mark, _)| *mark == &name[1..])?;
    Some([letter, *mark].iter().collect())
}
