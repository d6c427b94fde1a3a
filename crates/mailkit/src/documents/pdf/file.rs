//! Finding objects in a PDF file. Its cross-reference table is not used: objects are found where they lie, so that files
//! with a damaged table, or cut off, are read like others.

use std::collections::HashMap;

use super::super::budget::Budget;
use super::object::{Dict, Object, Reader, is_space};

/// Objects of a file that are known.
const MAX_OBJECTS: usize = 500_000;
/// References that lead to references.
const MAX_HOPS: usize = 8;
/// Filters of one stream.
const MAX_FILTERS: usize = 4;

/// Where an object is.
#[derive(Clone, Copy)]
enum Place {
    /// In the file, to where the next one begins.
    Here(usize, usize),
    /// In a stream of objects.
    Within(usize, usize),
}

pub struct File<'a> {
    bytes: &'a [u8],
    places: HashMap<u32, Place>,
    /// Streams of objects, unpacked.
    streams: Vec<Vec<u8>>,
    /// The numbers of objects, as they lie in the file.
    order: Vec<u32>,
    trailers: Vec<Dict>,
}

impl<'a> File<'a> {
    /// Opens a file; `None` if it has no objects, or is encrypted.
    pub fn open(bytes: &'a [u8], budget: &mut Budget) -> Option<Self> {
        let found = numbered(bytes);
        let mut file =
            Self { bytes, places: HashMap::new(), streams: Vec::new(), order: Vec::new(), trailers: Vec::new() };
        for (n, (number, start)) in found.iter().enumerate() {
            budget.step()?;
            let end = found.get(n + 1).map_or(bytes.len(), |next| next.1);
            if file.places.insert(*number, Place::Here(*start, end)).is_none() {
                file.order.push(*number);
            }
            let Some(Object::Dict(dict)) = file.at(Place::Here(*start, end)) else { continue };
            match dict.get("Type").and_then(Object::name) {
                Some("ObjStm") => file.open_stream(&dict, *start, budget),
                Some("XRef") => file.trailers.push(dict),
                _ => {}
            }
        }
        let mut at = 0;
        while let Some(found) = memchr::memmem::find(&bytes[at..], b"trailer") {
            budget.step()?;
            at += found + 7;
            // A trailer is small.
            let until = bytes.len().min(at + 4_096);
            if let Some(Object::Dict(dict)) = Reader::new(&bytes[..until], at).next() {
                file.trailers.push(dict);
            }
        }
        let is_encrypted = file.trailers.iter().any(|trailer| trailer.contains_key("Encrypt"));
        (!file.places.is_empty() && !is_encrypted).then_some(file)
    }

    /// Takes in the objects of a stream of them (section 7.5.7).
    fn open_stream(&mut self, dict: &Dict, start: usize, budget: &mut Budget) {
        let Some(content) = self.stream_at(dict, start, budget) else { return };
        let number = |name: &str| dict.get(name).and_then(Object::number).map(|number| number as usize);
        let (Some(count), Some(first)) = (number("N"), number("First")) else { return };
        let stream = self.streams.len();
        let mut reader = Reader::new(&content, 0);
        for _ in 0..count.min(MAX_OBJECTS) {
            let (Some(Object::Number(number)), Some(Object::Number(offset))) = (reader.next(), reader.next()) else {
                break;
            };
            if self.places.len() >= MAX_OBJECTS || budget.step().is_none() {
                break;
            }
            if self.places.insert(number as u32, Place::Within(stream, first + offset as usize)).is_none() {
                self.order.push(number as u32);
            }
        }
        self.streams.push(content);
    }

    fn at(&self, place: Place) -> Option<Object> {
        match place {
            Place::Here(start, end) => Reader::new(&self.bytes[..end], start).next_or_reference(),
            Place::Within(stream, offset) => Reader::new(self.streams.get(stream)?, offset).next_or_reference(),
        }
    }

    /// What a value is, references followed.
    pub fn resolved(&self, value: Option<&Object>, budget: &mut Budget) -> Option<Object> {
        let mut value = value?.clone();
        for _ in 0..MAX_HOPS {
            let Object::Reference(number) = value else { return Some(value) };
            budget.step()?;
            value = self.at(*self.places.get(&number)?)?;
        }
        None
    }

    /// A dictionary, references followed.
    pub fn dict(&self, value: Option<&Object>, budget: &mut Budget) -> Option<Dict> {
        match self.resolved(value, budget)? {
            Object::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The dictionary and the unpacked content of a stream.
    pub fn stream(&self, value: &Object, budget: &mut Budget) -> Option<(Dict, Vec<u8>)> {
        let Object::Reference(number) = value else { return None };
        let Place::Here(start, _) = *self.places.get(number)? else { return None };
        let Some(Object::Dict(dict)) = self.at(*self.places.get(number)?) else { return None };
        let content = self.stream_at(&dict, start, budget)?;
        Some((dict, content))
    }

    fn stream_at(&self, dict: &Dict, start: usize, budget: &mut Budget) -> Option<Vec<u8>> {
        let mut reader = Reader::new(self.bytes, start);
        reader.next()?;
        reader.skip_space();
        let mut begin = reader.at;
        if self.bytes.get(begin..begin + 6)? != b"stream" {
            return None;
        }
        begin += 6;
        begin += usize::from(self.bytes.get(begin) == Some(&b'\r'));
        begin += usize::from(self.bytes.get(begin) == Some(&b'\n'));
        let said = self.resolved(dict.get("Length"), budget).and_then(|length| length.number());
        let end = said.and_then(|length| begin.checked_add(length as usize)).filter(|end| {
            let rest = self.bytes.get(*end..).unwrap_or_default();
            let space = rest.iter().take(4).take_while(|b| is_space(**b)).count();
            rest[space..].starts_with(b"endstream")
        });
        let end = match end {
            Some(end) => end,
            None => {
                let rest = self.bytes.get(begin..)?;
                let end = memchr::memmem::find(rest, b"endstream").unwrap_or(rest.len());
                budget.unpack(end)?;
                begin + end
            }
        };
        self.unpacked(dict, self.bytes.get(begin..end)?, budget)
    }

    /// Undoes the filters of a stream (section 7.4).
    fn unpacked(&self, dict: &Dict, packed: &[u8], budget: &mut Budget) -> Option<Vec<u8>> {
        let filters = match self.resolved(dict.get("Filter").or_else(|| dict.get("F")), budget) {
            Some(Object::Name(name)) => vec![Object::Name(name)],
            Some(Object::Array(names)) => names,
            _ => Vec::new(),
        };
        if filters.len() > MAX_FILTERS {
            return None;
        }
        budget.unpack(packed.len())?;
        let mut bytes = packed.to_vec();
        for filter in filters {
            bytes = match self.resolved(Some(&filter), budget)?.name()? {
                "FlateDecode" | "Fl" => budget.inflate(&bytes, true)?,
                "ASCIIHexDecode" | "AHx" => hexadecimal(&bytes),
                "ASCII85Decode" | "A85" => base85(&bytes),
                _ => return None,
            };
        }
        let parameters = match self.resolved(dict.get("DecodeParms"), budget) {
            Some(Object::Array(all)) => all.last().cloned(),
            other => other,
        };
        let Some(parameters) = self.dict(parameters.as_ref(), budget) else { return Some(bytes) };
        let number = |name: &str| parameters.get(name).and_then(Object::number);
        if number("Predictor").is_some_and(|predictor| predictor >= 10.0) {
            let columns = number("Columns").unwrap_or(1.0).clamp(1.0, 65_536.0) as usize;
            return Some(unpredicted(&bytes, columns));
        }
        Some(bytes)
    }

    /// The root of all, as the last trailer that has one names it.
    pub fn catalogue(&self, budget: &mut Budget) -> Option<Dict> {
        let root = self.trailers.iter().rev().find_map(|trailer| trailer.get("Root"));
        let named = self.dict(root, budget).filter(|dict| dict.contains_key("Pages"));
        named.or_else(|| self.of_type("Catalog", 1, budget).pop())
    }

    /// What is said of the document.
    pub fn information(&self, budget: &mut Budget) -> Option<Dict> {
        let information = self.trailers.iter().rev().find_map(|trailer| trailer.get("Info"));
        self.dict(information, budget)
    }

    /// The dictionaries of a type, at most `max`.
    pub fn of_type(&self, wanted: &str, max: usize, budget: &mut Budget) -> Vec<Dict> {
        let mut found = Vec::new();
        for number in &self.order {
            if found.len() >= max || budget.step().is_none() {
                break;
            }
            let object = self.places.get(number).and_then(|place| self.at(*place));
            if let Some(Object::Dict(dict)) = object
                && dict.get("Type").and_then(Object::name) == Some(wanted)
            {
                found.push(dict);
            }
        }
        found
    }
}

/// Where objects begin: `12 0 obj`. Their numbers, and what follows, in their order.
fn numbered(bytes: &[u8]) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(bytes, b"obj") {
        if found.len() >= MAX_OBJECTS {
            break;
        }
        let mut before = &bytes[..at];
        let mut digits = [0u64; 2];
        let is_object = digits.iter_mut().all(|digits| {
            let space = before.iter().rev().take(4).take_while(|b| is_space(**b)).count();
            before = &before[..before.len() - space];
            let count = before.iter().rev().take(10).take_while(|b| b.is_ascii_digit()).count();
            let (rest, number) = before.split_at(before.len() - count);
            before = rest;
            *digits = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
            space > 0 && count > 0
        });
        if let (true, Ok(number)) = (is_object, u32::try_from(digits[1])) {
            found.push((number, at + 3));
        }
    }
    found
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u32> =
        bytes.iter().take_while(|b| **b != b'>').filter_map(|b| char::from(*b).to_digit(16)).collect();
    digits.chunks(2).map(|two| (two[0] << 4 | two.get(1).copied().unwrap_or_default()) as u8).collect()
}

fn base85(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut group: Vec<u32> = Vec::new();
    let put = |group: &mut Vec<u32>, out: &mut Vec<u8>| {
        let count = group.len();
        if count < 2 {
            return;
        }
        group.resize(5, 84);
        let value = group.iter().fold(0u32, |value, digit| value.wrapping_mul(85).wrapping_add(*digit));
        out.extend_from_slice(&value.to_be_bytes()[..count - 1]);
        group.clear();
    };
    for b in bytes {
        match b {
            b'~' => break,
            b'z' if group.is_empty() => out.extend([0; 4]),
            b'!'..=b'u' => {
                group.push(u32::from(b - b'!'));
                if group.len() == 5 {
                    put(&mut group, &mut out);
                }
            }
            _ => {}
        }
    }
    put(&mut group, &mut out);
    out
}

/// Undoes PNG's filters `None`, `Sub` and `Up` for pixels of one byte: what objects and tables are packed with.
fn unpredicted(bytes: &[u8], columns: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut above = vec![0u8; columns];
    for row in bytes.chunks(columns + 1) {
        let mut line = row[1..].to_vec();
        line.resize(columns, 0);
        match row[0] {
            1 => (1..columns).for_each(|at| line[at] = line[at].wrapping_add(line[at - 1])),
            2 => line.iter_mut().zip(&above).for_each(|(here, above)| *here = here.wrapping_add(*above)),
            _ => {}
        }
        out.extend_from_slice(&line);
        above = line;
    }
    out
}
