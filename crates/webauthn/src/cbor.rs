//! The part of CBOR (RFC 8949) that authenticators write: definite lengths, as CTAP2's canonical form has them. Nothing is
//! copied, and where an item ends is known, because authenticator data has no lengths around its items.

use crate::Refusal;

/// Items within items.
const MAX_DEPTH: u32 = 6;
/// Entries of a map that is looked into.
const MAX_ENTRIES: u64 = 32;

/// An item, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// A map of that many entries; they are what comes next.
    Map(u64),
    /// Anything else, passed over.
    Other,
}

/// Reads items from the start of some bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    const fn unreadable(&self) -> Refusal {
        Refusal::Unreadable(self.what)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Refusal> {
        let count = usize::try_from(count).map_err(|_| self.unreadable())?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.unreadable())?;
        self.rest = rest;
        Ok(taken)
    }

    /// Major type and argument of the next item.
    fn head(&mut self) -> Result<(u8, u64), Refusal> {
        let first = self.take(1)?[0];
        let width = match first & 0x1F {
            short @ 0..=23 => return Ok((first >> 5, u64::from(short))),
            long @ 24..=27 => 1 << (long - 24),
            // Reserved, or without a length.
            _ => return Err(self.unreadable()),
        };
        let argument = self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok((first >> 5, argument))
    }

    /// The next item. The entries of a map are left to be read.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, Refusal> {
        self.item_at(0)
    }

    fn item_at(&mut self, depth: u32) -> Result<Item<'a>, Refusal> {
        if depth > MAX_DEPTH {
            return Err(self.unreadable());
        }
        let (major, argument) = self.head()?;
        Ok(match major {
            0 => Item::Integer(i64::try_from(argument).map_err(|_| self.unreadable())?),
            1 => Item::Integer(-1 - i64::try_from(argument).map_err(|_| self.unreadable())?),
            2 => Item::Bytes(self.take(argument)?),
            3 => Item::Text(std::str::from_utf8(self.take(argument)?).map_err(|_| self.unreadable())?),
            4 => {
                self.pass(argument, depth)?;
                Item::Other
            }
            5 => Item::Map(argument),
            6 => {
                self.pass(1, depth)?;
                Item::Other
            }
            // Simple values and floats: all of it was the head.
            _ => Item::Other,
        })
    }

    /// Passes over items, with all that is in them. Each takes at least a byte, so a count that lies ends soon.
    fn pass(&mut self, count: u64, depth: u32) -> Result<(), Refusal> {
        for _ in 0..count {
            if let Item::Map(entries) = self.item_at(depth + 1)? {
                self.pass(entries.checked_mul(2).ok_or_else(|| self.unreadable())?, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Passes over the next item; gives its bytes.
    pub(crate) fn whole(&mut self) -> Result<&'a [u8], Refusal> {
        let before = self.rest;
        self.pass(1, 0)?;
        Ok(&before[..before.len() - self.rest.len()])
    }

    /// The entries of the map that comes next, keys as `key` reads them; no key may come twice.
    pub(crate) fn map<K: PartialEq>(
        &mut self,
        key: impl Fn(Item<'a>) -> Option<K>,
        mut each: impl FnMut(&mut Self, &K) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Item::Map(entries @ ..=MAX_ENTRIES) = self.item()? else { return Err(self.unreadable()) };
        let mut seen: Vec<K> = Vec::new();
        for _ in 0..entries {
            let name = key(self.item()?).filter(|name| !seen.contains(name)).ok_or_else(|| self.unreadable())?;
            each(self, &name)?;
            seen.push(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_each_kind_are_read_to_their_end() {
        for (hex, item, left) in [
            ("00ff", Item::Integer(0), 1),
            ("1818", Item::Integer(24), 0),
            ("1901f4", Item::Integer(500), 0),
            ("390100", Item::Integer(-257), 0),
            ("26", Item::Integer(-7), 0),
            ("4201020a", Item::Bytes(&[1, 2]), 1),
            ("63666d7400", Item::Text("fmt"), 1),
            ("8301820203f5f6", Item::Other, 1),
            ("f5", Item::Other, 0),
            ("fb3ff0000000000000", Item::Other, 0),
            ("a20102", Item::Map(2), 2),
        ] {
            let bytes = hex::decode(hex).unwrap();
            let mut reader = Reader::new(&bytes, "it");
            assert_eq!(reader.item().unwrap(), item, "{hex}");
            assert_eq!(reader.rest().len(), left, "{hex}");
        }
        // Cut off, without a length, a lie about the length, text that is none, too deep, too large a number.
        for hex in [
            "",
            "18",
            "5803ff",
            "5fff",
            "7f6161ff",
            "9fff",
            "bf",
            "9bffffffffffffffff00",
            "5bffffffffffffffff",
            "61ff",
            "8181818181818181818100",
            "1bffffffffffffffff",
            "3bffffffffffffffff",
            "1c",
        ] {
            let bytes = hex::decode(hex).unwrap();
            assert!(Reader::new(&bytes, "it").whole().is_err(), "{hex}");
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        for (hex, good) in [("a2010203 04", true), ("a201020104", false), ("a201020304", true), ("a10102", true)] {
            let bytes = hex::decode(hex.replace(' ', "")).unwrap();
            let integer = |item| if let Item::Integer(number) = item { Some(number) } else { None };
            let read = Reader::new(&bytes, "it").map(integer, |reader, _| reader.whole().map(drop));
            assert_eq!(read.is_ok(), good, "{hex}");
        }
    }
}
