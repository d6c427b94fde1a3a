//! Sequence sets (RFC 9051 `sequence-set`) and the saved search result `$` (RFC 5182).

use super::cursor::{Cursor, SyntaxError};

/// One `a:b` or `a`; both ends count, in either order; `None` is `*`, the largest number in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// First end as written.
    pub start: Option<u32>,
    /// Other end as written; equal to `start` for a single number.
    pub end: Option<u32>,
}

/// Numbers as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageSet {
    /// `1:5,7,9:*`.
    Ranges(Vec<SeqRange>),
    /// `$`: what the last `SEARCH RETURN (SAVE)` found.
    Saved,
}

/// Sorted, disjoint, inclusive ranges of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl MessageSet {
    /// Reads a sequence set, or `$`.
    pub fn read(c: &mut Cursor<'_>) -> Result<Self, SyntaxError> {
        if c.eat(b'$') {
            return Ok(Self::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let start = number_or_star(c)?;
            let end = if c.eat(b':') { number_or_star(c)? } else { start };
            ranges.push(SeqRange { start, end });
            if !c.eat(b',') {
                return Ok(Self::Ranges(ranges));
            }
        }
    }

    /// The numbers meant when `largest` is the largest in use: `*` is `largest`, and a range with `*` always holds it.
    /// `None` for `$`.
    pub fn resolve(&self, largest: u32) -> Option<Ranges> {
        let Self::Ranges(ranges) = self else {
            return None;
        };
        Some(Ranges::from_unsorted(
            ranges
                .iter()
                .map(|r| {
                    let (a, b) = (r.start.unwrap_or(largest), r.end.unwrap_or(largest));
                    (a.min(b), a.max(b))
                })
                .collect(),
        ))
    }
}

fn number_or_star(c: &mut Cursor<'_>) -> Result<Option<u32>, SyntaxError> {
    if c.eat(b'*') {
        return Ok(None);
    }
    if !c.peek().is_some_and(|b| b.is_ascii_digit()) {
        return c.expected("a message number, \"*\" or \"$\"");
    }
    c.nz_number().map(Some)
}

impl Ranges {
    /// Sorts and joins.
    pub fn from_unsorted(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut out: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (a, b) in ranges {
            match out.last_mut() {
                Some((_, end)) if a <= end.saturating_add(1) => *end = (*end).max(b),
                _ => out.push((a, b)),
            }
        }
        Self(out)
    }

    /// From numbers in ascending order.
    pub fn from_sorted(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for n in numbers {
            match out.last_mut() {
                Some((_, end)) if n <= end.saturating_add(1) => *end = (*end).max(n),
                _ => out.push((n, n)),
            }
        }
        Self(out)
    }

    /// The ranges, sorted and disjoint.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// No number at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `n` is in it.
    pub fn contains(&self, n: u32) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < n);
        self.0.get(at).is_some_and(|&(start, _)| start <= n)
    }

    /// The largest number; 0 when empty.
    pub fn largest(&self) -> u32 {
        self.0.last().map_or(0, |r| r.1)
    }

    /// From numbers in any order, which [`Self::write`] keeps: for nothing else.
    pub(crate) fn in_order(numbers: &[u32]) -> Self {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for &n in numbers {
            match out.last_mut() {
                Some((_, end)) if end.checked_add(1) == Some(n) => *end = n,
                _ => out.push((n, n)),
            }
        }
        Self(out)
    }

    /// Writes `1:3,5`.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (i, &(a, b)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(a.to_string().as_bytes());
            if b > a {
                out.push(b':');
                out.extend_from_slice(b.to_string().as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> MessageSet {
        MessageSet::read(&mut Cursor::new(text.as_bytes())).unwrap()
    }

    #[test]
    fn star_is_the_largest_number_in_use() {
        assert_eq!(read("3:*").resolve(10).unwrap().as_slice(), &[(3, 10)]);
        assert_eq!(read("*:3").resolve(10).unwrap().as_slice(), &[(3, 10)]);
        assert_eq!(read("20:*").resolve(10).unwrap().as_slice(), &[(10, 20)]);
        assert_eq!(read("*").resolve(10).unwrap().as_slice(), &[(10, 10)]);
        assert_eq!(read("5,1:2,3,9:7").resolve(10).unwrap().as_slice(), &[(1, 3), (5, 5), (7, 9)]);
        assert_eq!(read("$").resolve(10), None);
    }

    #[test]
    fn ranges_are_written_compactly() {
        let mut out = Vec::new();
        Ranges::from_sorted([1, 2, 3, 5, 7, 8]).write(&mut out);
        assert_eq!(out, b"1:3,5,7:8");
        out.clear();
        Ranges::in_order(&[5, 4, 7, 8, 9, 1]).write(&mut out);
        assert_eq!(out, b"5,4,7:9,1");
    }
}
