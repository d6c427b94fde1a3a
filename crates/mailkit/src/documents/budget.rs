//! What reading one document may cost, and what was read of it.

/// What is left to one document.
pub struct Budget {
    unpacked: usize,
    steps: usize,
    /// Text that there is room for, in bytes.
    pub text: usize,
}

impl Budget {
    pub const fn new(unpacked: usize, steps: usize, text: usize) -> Self {
        Self { unpacked, steps, text }
    }

    /// Takes so many bytes of unpacked content; `None` if there are too few left.
    pub fn unpack(&mut self, bytes: usize) -> Option<()> {
        self.unpacked = self.unpacked.checked_sub(bytes)?;
        Some(())
    }

    /// Takes what a mapping of a font costs: most of that is memory.
    pub fn map(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(8)?;
        Some(())
    }

    /// Takes what a form within a page costs: many small ones can be within each other.
    pub fn form(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(500)?;
        Some(())
    }

    /// Takes a step.
    pub fn step(&mut self) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        Some(())
    }

    /// Inflates `packed`, as far as it can be read; `None` if it is more than what is left.
    pub fn inflate(&mut self, packed: &[u8], has_header: bool) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let mut out = Vec::new();
        let max = self.unpacked as u64;
        // What is cut off or has a wrong checksum still says what it says up to there.
        let read = if has_header {
            flate2::read::ZlibDecoder::new(packed).take(max).read_to_end(&mut out)
        } else {
            flate2::read::DeflateDecoder::new(packed).take(max).read_to_end(&mut out)
        };
        self.unpack(out.len())?;
        if out.len() as u64 == max {
            return None;
        }
        (read.is_ok() || !out.is_empty()).then_some(out)
    }
}

/// A document's text, as far as it was read.
#[derive(Debug, Default)]
pub struct Reading {
    pub text: String,
    /// Something in it was not read.
    pub is_partial: bool,
}
