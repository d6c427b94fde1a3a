//! Reading the entries of a ZIP archive, as its central directory lists them (APPNOTE sections 4.3.12 and 4.3.16).

use super::budget::Budget;

/// Entries of an archive that are looked at.
const MAX_ENTRIES: usize = 4_096;

/// An archive.
pub struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    is_encrypted: bool,
    method: u16,
    packed: usize,
    header: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([two[0], two[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16_at(bytes, at)? | u16_at(bytes, at.checked_add(2)?)? << 16)
}

impl<'a> Archive<'a> {
    /// Opens an archive; `None` if it has no directory.
    pub fn open(bytes: &'a [u8]) -> Option<Self> {
        // The end of the directory is within the last 64 KiB: a comment follows it.
        let tail = bytes.len().saturating_sub(65_557);
        let end = tail + memchr::memmem::rfind(&bytes[tail..], b"PK\x05\x06")?;
        let (count, mut at) = (u16_at(bytes, end + 10)?, u32_at(bytes, end + 16)?);
        let mut entries = Vec::new();
        for _ in 0..count.min(MAX_ENTRIES) {
            if bytes.get(at..at.checked_add(4)?)? != b"PK\x01\x02" {
                break;
            }
            let (name, extra, comment) = (u16_at(bytes, at + 28)?, u16_at(bytes, at + 30)?, u16_at(bytes, at + 32)?);
            entries.push(Entry {
                name: String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name)?).into_owned(),
                is_encrypted: u16_at(bytes, at + 8)? & 1 == 1,
                method: u16_at(bytes, at + 10)? as u16,
                packed: u32_at(bytes, at + 20)?,
                header: u32_at(bytes, at + 42)?,
            });
            at += 46 + name + extra + comment;
        }
        (!entries.is_empty()).then_some(Self { bytes, entries })
    }

    /// The names of its entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// The content of an entry; `None` if it is not there or can't be read.
    pub fn content(&self, name: &str, budget: &mut Budget) -> Option<Vec<u8>> {
        let entry = self.entries.iter().find(|entry| entry.name == name && !entry.is_encrypted)?;
        let at = entry.header;
        if self.bytes.get(at..at.checked_add(4)?)? != b"PK\x03\x04" {
            return None;
        }
        let start = at + 30 + u16_at(self.bytes, at + 26)? + u16_at(self.bytes, at + 28)?;
        let packed = self.bytes.get(start..start.checked_add(entry.packed)?)?;
        match entry.method {
            0 => {
                budget.unpack(packed.len())?;
                Some(packed.to_vec())
            }
            8 => budget.inflate(packed, false),
            _ => None,
        }
    }
}
