//! Large content, given out piece by piece: a download costs the memory of a piece, not of the message.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, stream};
use mailkit::transfer::{Decoder, Encoding};
use mailstore::BodyReader;

/// Encoded bytes that are read at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// A download under way.
struct Reading {
    reader: BodyReader,
    left: Range<u64>,
    decoder: Decoder,
}

impl Reading {
    /// The next piece; empty when the encoding makes nothing of it.
    fn next(&mut self) -> io::Result<Bytes> {
        let end = self.left.end.min(self.left.start + PIECE_BYTES);
        let read =
            self.reader.read_range(self.left.start, (end - self.left.start) as usize).map_err(io::Error::other)?;
        if read.len() as u64 != end - self.left.start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut out = Vec::with_capacity(read.len());
        self.decoder.feed(&read, &mut out);
        self.left.start = end;
        if self.left.is_empty() {
            self.decoder.finish(&mut out);
        }
        Ok(out.into())
    }
}

/// The bytes of a body from `range`, decoded. An error ends the answer in the middle, so that a client sees that it is
/// not whole.
pub fn pieces(
    reader: BodyReader,
    range: Range<u64>,
    encoding: Encoding,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let reading = Reading { reader, left: range, decoder: Decoder::new(encoding) };
    stream::try_unfold(reading, async |mut reading| {
        if reading.left.is_empty() {
            return Ok(None);
        }
        let read = doorkit::span::spawn_blocking(move || {
            let piece = reading.next();
            (piece, reading)
        });
        let (piece, reading) = read.await.map_err(io::Error::other)?;
        Ok(Some((piece?, reading)))
    })
}
