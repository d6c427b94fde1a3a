//! In which blocks of terms three characters stand side by side: so a part of a word is looked up, not looked for.
//!
//! ```text
//! row  = (gram mod 64 (u8) len (difference of block numbers)*)*      numbers as varints, `len` in bytes
//! ```
//! There are 65,536 grams. Three ASCII letters and digits have one of their own, others share theirs: blocks that it
//! names too many are read in vain.

use super::varint;
use crate::words;

/// Three characters side by side.
pub type Gram = u16;
/// Grams of one row.
const TOGETHER: usize = 64;
/// A segment with fewer blocks is read as a whole.
pub const MIN_BLOCKS: u32 = 4;
/// The digits and letters that have grams of their own.
const PLAIN: u32 = 36;
/// The first gram that is shared.
const SHARED: u32 = PLAIN * PLAIN * PLAIN;

fn plain(c: char) -> Option<u32> {
    c.to_digit(PLAIN).filter(|_| !c.is_ascii_uppercase())
}

fn gram(chars: [char; 3]) -> Gram {
    let [a, b, c] = chars.map(plain);
    if let (Some(a), Some(b), Some(c)) = (a, b, c) {
        return ((a * PLAIN + b) * PLAIN + c) as Gram;
    }
    let mixed = chars.iter().fold(0u32, |mixed, c| (mixed ^ u32::from(*c)).wrapping_mul(0x9E37_79B1).rotate_left(13));
    (SHARED + mixed % (u32::from(Gram::MAX) + 1 - SHARED)) as Gram
}

/// Calls for each gram of a term, or of a part of one. A part of a term has no gram that the term has not.
pub fn each(term: &str, mut visit: impl FnMut(Gram)) {
    let mut chars = term.chars();
    let (Some(mut a), Some(mut b)) = (chars.next(), chars.next()) else {
        return term.chars().filter(|c| words::is_dense(*c)).for_each(|c| visit(gram([c, '\0', '\0'])));
    };
    let mut is_short = true;
    for c in chars {
        is_short = false;
        visit(gram([a, b, c]));
        (a, b) = (b, c);
    }
    // Terms of such scripts are two characters long, and single ones are looked for.
    if is_short {
        term.chars().filter(|c| words::is_dense(*c)).for_each(|c| visit(gram([c, '\0', '\0'])));
    }
}

/// Of the terms of a segment in the making.
#[derive(Default)]
pub struct Grams {
    /// For each gram the last block that has it, counted from one, and the differences.
    lists: Vec<(u32, Vec<u8>)>,
}

impl Grams {
    /// Takes in a term of a block. Blocks ascend.
    pub fn add(&mut self, term: &[u8], block: u32) {
        let Ok(term) = std::str::from_utf8(term) else { return };
        if self.lists.is_empty() {
            self.lists.resize_with(usize::from(Gram::MAX) + 1, Default::default);
        }
        each(term, |gram| {
            let (last, list) = &mut self.lists[usize::from(gram)];
            let here = block + 1;
            if *last != here {
                varint::put(list, u64::from(here - *last));
                *last = here;
            }
        });
    }

    /// The rows, with their numbers.
    pub fn rows(self) -> impl Iterator<Item = (u16, Vec<u8>)> {
        let rows = self.lists.len() / TOGETHER;
        (0..rows).filter_map(move |number| {
            let mut row = Vec::new();
            let lists = self.lists[number * TOGETHER..].iter().take(TOGETHER);
            for (at, (_, list)) in lists.enumerate().filter(|(_, (last, _))| *last > 0) {
                row.push(at as u8);
                varint::put(&mut row, list.len() as u64);
                row.extend_from_slice(list);
            }
            (!row.is_empty()).then_some((number as u16, row))
        })
    }
}

/// The number of the row of a gram.
pub const fn row_of(gram: Gram) -> u16 {
    gram / TOGETHER as u16
}

/// The blocks that have a gram, ascending, from its row; `None` if the row can't be read.
pub fn blocks_of(mut row: &[u8], gram: Gram) -> Option<Vec<u32>> {
    let wanted = (gram % TOGETHER as u16) as u8;
    while !row.is_empty() {
        let at = varint::take_bytes(&mut row, 1)?[0];
        let len = usize::try_from(varint::take(&mut row)?).ok()?;
        let mut list = varint::take_bytes(&mut row, len)?;
        if at != wanted {
            continue;
        }
        let (mut blocks, mut block) = (Vec::new(), 0u32);
        while !list.is_empty() {
            block = block.checked_add(u32::try_from(varint::take(&mut list)?).ok()?)?;
            blocks.push(block.checked_sub(1)?);
        }
        return Some(blocks);
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_of_a_term_is_in_all_blocks_of_its_grams(
            terms in prop::collection::vec("[a-c]{1,9}|[0-9äя]{3,12}|[東京都ก่]{1,2}", 1..40),
            pick in any::<prop::sample::Index>(),
            from in 0usize..9,
            len in 1usize..9,
        ) {
            let mut grams = Grams::default();
            for (n, term) in terms.iter().enumerate() {
                grams.add(term.as_bytes(), n as u32 / 3);
            }
            let rows: std::collections::HashMap<u16, Vec<u8>> = grams.rows().collect();
            let at = pick.index(terms.len());
            let chars: Vec<char> = terms[at].chars().collect();
            let from = from % chars.len();
            let part: String = chars[from..].iter().take(len).collect();
            let is_dense = part.chars().all(words::is_dense);
            if is_dense || part.chars().count() >= 3 {
                each(&part, |gram| {
                    let row = rows.get(&row_of(gram)).expect("the row is there");
                    assert!(blocks_of(row, gram).unwrap().contains(&(at as u32 / 3)));
                });
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), gram in any::<u16>()) {
            let _ = blocks_of(&bytes, gram);
        }
    }
}
