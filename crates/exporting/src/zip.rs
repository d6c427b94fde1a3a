//! A ZIP as a stream (PKWARE's APPNOTE 6.3.3): files one after another, the list of them at the end, ZIP64 where numbers are large.
//!
//! Each file is given whole, so that its sizes stand before it and programs that read a stream can read it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Needed to extract: 4.5 has ZIP64.
const VERSION: u16 = 45;
/// Made on Unix, so that names and modes are as there.
const MADE_BY: u16 = (3 << 8) | VERSION;
/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// An ordinary file, mode 644.
const ATTRIBUTES: u32 = 0o100_644 << 16;
/// Stands where a number is in the ZIP64 field.
const ELSEWHERE: u32 = u32::MAX;

/// A file that was written.
struct Entry {
    name: String,
    stored: bool,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    time: (u16, u16),
}

/// Writes a ZIP.
pub struct ZipWriter<W> {
    out: W,
    written: u64,
    entries: Vec<Entry>,
}

impl<W: Write> ZipWriter<W> {
    /// An empty one.
    pub const fn new(out: W) -> Self {
        Self { out, written: 0, entries: Vec::new() }
    }

    /// Adds a file; `at_ms` is when it was changed, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add(&mut self, name: &str, at_ms: i64, bytes: &[u8]) -> io::Result<()> {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes)?;
        let packed = encoder.finish()?;
        let stored = packed.len() >= bytes.len();
        let content = if stored { bytes } else { &packed };
        let entry = Entry {
            name: name.to_owned(),
            stored,
            crc: crc.sum(),
            packed: content.len() as u64,
            size: bytes.len() as u64,
            offset: self.written,
            time: dos_time(at_ms),
        };
        let mut header = Vec::with_capacity(64 + name.len());
        header.extend(0x0403_4B50u32.to_le_bytes());
        header.extend(VERSION.to_le_bytes());
        entry.common(&mut header);
        let extra = entry.large_sizes();
        header.extend((name.len() as u16).to_le_bytes());
        header.extend((extra.len() as u16).to_le_bytes());
        header.extend(name.as_bytes());
        header.extend(extra);
        self.put(&header)?;
        self.put(content)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the list of files; gives what it was written to.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<W> {
        let begins = self.written;
        for entry in std::mem::take(&mut self.entries) {
            let line = entry.listed();
            self.put(&line)?;
            self.entries.push(Entry { name: String::new(), ..entry });
        }
        let (count, size) = (self.entries.len() as u64, self.written - begins);
        let mut end = Vec::new();
        if count >= u64::from(u16::MAX) || begins >= u64::from(ELSEWHERE) || size >= u64::from(ELSEWHERE) {
            let at = self.written;
            end.extend(0x0606_4B50u32.to_le_bytes());
            end.extend(44u64.to_le_bytes());
            end.extend(MADE_BY.to_le_bytes());
            end.extend(VERSION.to_le_bytes());
            end.extend([0; 8]);
            for number in [count, count, size, begins] {
                end.extend(number.to_le_bytes());
            }
            end.extend(0x0706_4B50u32.to_le_bytes());
            end.extend(0u32.to_le_bytes());
            end.extend(at.to_le_bytes());
            end.extend(1u32.to_le_bytes());
        }
        let short = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let long = |number: u64| u32::try_from(number).unwrap_or(ELSEWHERE);
        end.extend(0x0605_4B50u32.to_le_bytes());
        end.extend([0; 4]);
        end.extend(short(count).to_le_bytes());
        end.extend(short(count).to_le_bytes());
        end.extend(long(size).to_le_bytes());
        end.extend(long(begins).to_le_bytes());
        end.extend([0; 2]);
        self.put(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Entry {
    /// What stands alike before the file and in the list.
    fn common(&self, out: &mut Vec<u8>) {
        let method: u16 = if self.stored { 0 } else { 8 };
        let long = |number: u64| u32::try_from(number).unwrap_or(ELSEWHERE);
        out.extend(FLAGS.to_le_bytes());
        out.extend(method.to_le_bytes());
        out.extend(self.time.0.to_le_bytes());
        out.extend(self.time.1.to_le_bytes());
        out.extend(self.crc.to_le_bytes());
        // In the field of a local header both sizes stand, or none.
        let is_large = !self.large_sizes().is_empty();
        for number in [self.packed, self.size] {
            out.extend(if is_large { ELSEWHERE } else { long(number) }.to_le_bytes());
        }
    }

    /// The ZIP64 field of sizes that don't fit.
    fn large_sizes(&self) -> Vec<u8> {
        if self.size.max(self.packed) < u64::from(ELSEWHERE) {
            return Vec::new();
        }
        let mut out = vec![1, 0, 16, 0];
        out.extend(self.size.to_le_bytes());
        out.extend(self.packed.to_le_bytes());
        out
    }

    /// Its line in the list.
    fn listed(&self) -> Vec<u8> {
        let mut extra = self.large_sizes();
        let is_far = self.offset >= u64::from(ELSEWHERE);
        if is_far {
            if extra.is_empty() {
                extra.extend([1, 0, 0, 0]);
            }
            extra.extend(self.offset.to_le_bytes());
            extra[2] = (extra.len() - 4) as u8;
        }
        let mut out = Vec::with_capacity(64 + self.name.len());
        out.extend(0x0201_4B50u32.to_le_bytes());
        out.extend(MADE_BY.to_le_bytes());
        out.extend(VERSION.to_le_bytes());
        self.common(&mut out);
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        // No comment, disk 0, no internal attributes.
        out.extend([0; 6]);
        out.extend(ATTRIBUTES.to_le_bytes());
        out.extend(if is_far { ELSEWHERE } else { self.offset as u32 }.to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(extra);
        out
    }
}

/// Time and date as ZIP has them, in UTC, from 1980 to 2107.
fn dos_time(at_ms: i64) -> (u16, u16) {
    let seconds = at_ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil date of a number of days since 1970, by the 400 years after which the calendar repeats.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(1980..=2107).contains(&year) {
        return (0, (1 << 5) | 1);
    }
    let time = ((of_day / 3600) << 11) | ((of_day / 60 % 60) << 5) | (of_day % 60 / 2);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    (time as u16, date as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, time, date) in [
            (1_772_366_705_000, (12 << 11) | (5 << 5) | 2, ((2026 - 1980) << 9) | (3 << 5) | 1),
            (951_782_400_000, 0, (20 << 9) | (2 << 5) | 0x1D),
            (0, 0, 33),
            (-5, 0, 33),
            (i64::MAX, 0, 33),
        ] {
            assert_eq!(dos_time(ms), (time, date), "{ms}");
        }
    }
}
