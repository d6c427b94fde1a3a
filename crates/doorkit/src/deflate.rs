//! COMPRESS=DEFLATE (RFC 4978): the stream below the protocol.
//!
//! A compressor takes about 300 KB, so a quiet connection has none: after a flush the stream is at a byte boundary, and
//! a new compressor, which refers to nothing before it, can continue there. The decompressor's window must be kept:
//! about 40 KB.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Most bytes that one step adds, whatever little they were compressed to.
const STEP_BYTES: usize = 16 << 10;

/// Both directions of a compressed connection.
pub(crate) struct Deflate {
    inflate: Decompress,
    /// Read, but not inflated yet.
    pending: Vec<u8>,
    used: usize,
    compress: Option<Compress>,
}

impl Deflate {
    pub(crate) fn new() -> Self {
        Self { inflate: Decompress::new(false), pending: Vec::new(), used: 0, compress: None }
    }

    /// Takes what was read from the client.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.used);
        self.used = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// Inflates a part of what was taken, and says how much that came to; 0 when there is nothing left to give.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what is no deflate stream; [`io::ErrorKind::UnexpectedEof`] at its end.
    pub(crate) fn inflate(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let start = out.len();
        out.reserve(STEP_BYTES);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.pending[self.used..], out, FlushDecompress::Sync)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.used += (self.inflate.total_in() - before) as usize;
        if self.used >= self.pending.len() {
            self.pending = Vec::new();
            self.used = 0;
        }
        let got = out.len() - start;
        if got == 0 && status == Status::StreamEnd {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(got)
    }

    /// What to send for `plain`, up to a point where the client can read all of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::Other`] if the compressor fails, which it has no reason to.
    pub(crate) fn compressed(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let compress = self.compress.get_or_insert_with(|| Compress::new(Compression::fast(), false));
        let mut out = Vec::with_capacity(plain.len() / 2 + 64);
        let start = compress.total_in();
        loop {
            let used = (compress.total_in() - start) as usize;
            compress.compress_vec(&plain[used..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
            if (compress.total_in() - start) as usize == plain.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(plain.len() / 4 + 64);
        }
    }

    /// Gives the compressor back: nothing more is sent for now.
    pub(crate) fn rest(&mut self) {
        self.compress = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(deflate: &mut Deflate, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        deflate.take(bytes);
        while deflate.inflate(&mut out).expect("a stream") > 0 {}
        out
    }

    #[test]
    fn what_is_compressed_is_read_also_by_a_compressor_that_came_later() {
        let (mut here, mut there) = (Deflate::new(), Deflate::new());
        for round in 0..20usize {
            let plain = "* 1 FETCH (FLAGS ())\r\n".repeat(round * 97);
            let sent = here.compressed(plain.as_bytes()).unwrap();
            assert_eq!(inflated(&mut there, &sent), plain.as_bytes(), "round {round}");
            if round % 3 == 0 {
                here.rest();
            }
        }
    }

    #[test]
    fn little_that_becomes_much_comes_in_steps() {
        let mut here = Deflate::new();
        let sent = here.compressed(&vec![0; 10 << 20]).unwrap();
        let mut there = Deflate::new();
        there.take(&sent);
        let mut out = Vec::new();
        let mut steps = 0;
        while there.inflate(&mut out).unwrap() > 0 {
            assert!(out.len() <= 2 * STEP_BYTES, "{}", out.len());
            out = Vec::new();
            steps += 1;
        }
        assert!(steps >= (10 << 20) / STEP_BYTES / 2);
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let mut there = Deflate::new();
        there.take(&[0xFF; 64]);
        assert!(there.inflate(&mut Vec::new()).is_err());
    }
}
