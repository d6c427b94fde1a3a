//! One FETCH response, written piece by piece.

use std::ops::Range;
use std::sync::Arc;

use mailkit::Parsed;
use mailstore::{BodyReader, MailStore, Uid};

use super::job::{Row, Shared};
use super::section::{Content, binary, clip, content, write_name, write_part};
use crate::failure::Failure;
use crate::response::{Code, envelope, structure, text};
use crate::session::outcome::Outcome;
use crate::session::outcome::write_fetch_start;
use crate::session::selected::write_flags;
use crate::syntax::{FetchItem, Section, SectionForm, SectionText};
use doorkit::wire::FLUSH_BYTES;
use mailkit::transfer::{Decoder, Encoding};

/// Largest header in which fields are picked out, in bytes; what lies beyond is not seen.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A message on its way to the client.
pub(super) struct Message {
    number: usize,
    row: Row,
    source: Source,
    /// Something of it was written.
    begun: bool,
    item: usize,
    stream: Option<Stream>,
    /// Where its parts are; decoded when first needed.
    structure: Option<Arc<Parsed>>,
    failure: Option<Failure>,
}

/// Bytes that follow a literal header.
enum Stream {
    Raw(Range<u64>),
    Decoded {
        decoder: Decoder,
        /// Encoded bytes still to be read.
        range: Range<u64>,
        /// Decoded bytes to leave out first.
        skip: u64,
        /// Decoded bytes to write then.
        left: u64,
    },
}

impl Message {
    pub(super) fn new(mailstore: &MailStore, number: usize, row: Row) -> Self {
        let source = Source { mailstore: mailstore.clone(), reader: None };
        Self { number, row, source, begun: false, item: 0, stream: None, structure: None, failure: None }
    }

    /// Why something of it could not be given.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Writes the next item, or the next piece of a long one; `true` when the response is complete.
    pub(super) fn write(&mut self, shared: &Shared, out: &mut Vec<u8>) -> Outcome<bool> {
        if let Some(stream) = &mut self.stream {
            // The literal was announced: if its bytes fail now, nothing that follows could be told from them.
            let more = self.source.write_stream(&self.row, stream, out).map_err(|failure| {
                tracing::error!(?failure, email = %self.row.entry().email_id, "could not read a message to its end");
                Failure::Bye(Some(Code::CORRUPTION), "Can't read the rest of the message".into())
            })?;
            if !more {
                self.stream = None;
            }
            return Ok(false);
        }
        let Some(item) = shared.plan.items.get(self.item) else {
            if self.begun {
                out.extend_from_slice(b")\r\n");
            }
            return Ok(true);
        };
        self.item += 1;
        let start = out.len();
        if self.begun {
            out.push(b' ');
        } else {
            write_fetch_start(out, self.number, self.uid(), shared.plan.enabled);
        }
        match self.write_item(item, shared, out) {
            Ok(()) => self.begun = true,
            // What can't be given is left out, and hides nothing else of this message or of others.
            Err(failure @ (Failure::No(..) | Failure::Bad(..))) => {
                out.truncate(start);
                self.failure.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
        Ok(false)
    }

    pub(super) fn uid(&self) -> Uid {
        self.row.entry().uid
    }

    fn write_item(&mut self, item: &FetchItem, shared: &Shared, out: &mut Vec<u8>) -> Outcome<()> {
        let utf8 = shared.plan.enabled.utf8;
        let entry = self.row.entry();
        match item {
            FetchItem::Uid => {
                out.extend_from_slice(b"UID ");
                text::number(out, u64::from(entry.uid.0));
            }
            FetchItem::Flags => {
                out.extend_from_slice(b"FLAGS ");
                let known = shared.plan.flags_are_known.then(|| shared.view.flags(self.number - 1));
                write_flags(out, known.unwrap_or(&entry.flags), shared.recent.contains(entry.uid));
            }
            FetchItem::InternalDate => {
                out.extend_from_slice(b"INTERNALDATE ");
                text::internal_date(out, entry.internal_date_ms);
            }
            FetchItem::SaveDate => {
                out.extend_from_slice(b"SAVEDATE ");
                match entry.saved_ms {
                    Some(ms) => text::internal_date(out, ms),
                    None => out.extend_from_slice(b"NIL"),
                }
            }
            FetchItem::Size => {
                out.extend_from_slice(b"RFC822.SIZE ");
                text::number(out, entry.size);
            }
            FetchItem::ModSeq => {
                out.extend_from_slice(b"MODSEQ (");
                let known = shared.plan.flags_are_known.then(|| shared.view.modseq(self.number - 1));
                text::number(out, known.unwrap_or(entry.modseq).0);
                out.push(b')');
            }
            FetchItem::EmailId => out.extend_from_slice(format!("EMAILID ({})", entry.email_id).as_bytes()),
            FetchItem::ThreadId => out.extend_from_slice(format!("THREADID ({})", entry.thread_id).as_bytes()),
            FetchItem::Envelope => {
                let envelope = self.row.full()?.envelope()?;
                out.extend_from_slice(b"ENVELOPE ");
                envelope::write(out, &envelope, utf8);
            }
            FetchItem::Section(section) if section.is_listed() => match self.row.full()?.listed_header()? {
                Some(header) => {
                    write_name(out, section);
                    out.push(b' ');
                    write_selected(&header, section, out);
                }
                None => self.write_parsed(item, utf8, out)?,
            },
            FetchItem::Preview => {
                let parsed = self.row.full()?.decode()?;
                out.extend_from_slice(b"PREVIEW ");
                text::string(out, parsed.preview.as_bytes(), utf8);
            }
            FetchItem::Body | FetchItem::BodyStructure | FetchItem::Section(_) | FetchItem::BinarySize(_) => {
                self.write_parsed(item, utf8, out)?;
            }
        }
        Ok(())
    }

    fn structure(&mut self) -> Outcome<Arc<Parsed>> {
        if let Some(structure) = &self.structure {
            return Ok(Arc::clone(structure));
        }
        let structure = Arc::new(self.row.full()?.structure()?);
        self.structure = Some(Arc::clone(&structure));
        Ok(structure)
    }

    fn write_parsed(&mut self, item: &FetchItem, utf8: bool, out: &mut Vec<u8>) -> Outcome<()> {
        let parsed = self.structure()?;
        match item {
            FetchItem::Body => {
                out.extend_from_slice(b"BODY ");
                structure::write(out, &parsed.root, false, utf8);
            }
            FetchItem::BodyStructure => {
                out.extend_from_slice(b"BODYSTRUCTURE ");
                structure::write(out, &parsed.root, true, utf8);
            }
            FetchItem::Section(section) => self.write_section(section, &parsed, out)?,
            FetchItem::BinarySize(part) => self.write_binary_size(part, &parsed, out)?,
            _ => {}
        }
        Ok(())
    }

    fn write_section(&mut self, section: &Section, parsed: &Parsed, out: &mut Vec<u8>) -> Outcome<()> {
        write_name(out, section);
        out.push(b' ');
        let is_binary = section.form == SectionForm::Binary;
        match content(parsed, section) {
            Content::Raw(range) => self.begin_raw(&range, section.partial, is_binary, out)?,
            Content::Decoded(range, encoding) => self.begin_decoded(&range, encoding, section.partial, out)?,
            Content::Fields(range) => self.write_fields(&range, section, out)?,
            Content::Undecodable => {
                self.undecodable();
                out.extend_from_slice(b"NIL");
            }
            Content::Nothing => out.extend_from_slice(b"NIL"),
        }
        Ok(())
    }

    fn undecodable(&mut self) {
        let failure = || Failure::no(Code::UNKNOWN_CTE, "Unknown content transfer encoding");
        self.failure.get_or_insert_with(failure);
    }

    /// Announces raw bytes and writes the first piece, so that a message that can not be read at all is noticed while
    /// the answer can still say so.
    fn begin_raw(
        &mut self,
        range: &Range<u64>,
        partial: Option<(u64, u64)>,
        is_binary: bool,
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let clipped = clip(range.end - range.start, partial);
        let mut left = range.start + clipped.start..range.start + clipped.end;
        let mut first = Vec::new();
        self.source.next_raw(&self.row, &mut left, &mut first)?;
        // What is stored with NUL can't be told in a plain literal (RFC 9051 section 4.3).
        let is_binary = is_binary || first.contains(&0) || self.source.has_nul(&self.row, left.clone())?;
        text::literal_header(out, clipped.end - clipped.start, is_binary);
        out.append(&mut first);
        self.stream = (!left.is_empty()).then_some(Stream::Raw(left));
        Ok(())
    }

    fn begin_decoded(
        &mut self,
        range: &Range<u64>,
        encoding: Encoding,
        partial: Option<(u64, u64)>,
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let clipped = clip(self.source.decoded_len(&self.row, range, encoding)?, partial);
        let left = clipped.end - clipped.start;
        text::literal_header(out, left, true);
        if left > 0 {
            let decoder = Decoder::new(encoding);
            self.stream = Some(Stream::Decoded { decoder, range: range.clone(), skip: clipped.start, left });
        }
        Ok(())
    }

    fn write_fields(&mut self, range: &Range<u64>, section: &Section, out: &mut Vec<u8>) -> Outcome<()> {
        let mut header = Vec::new();
        let end = range.end.min(range.start + MAX_HEADER_BYTES);
        self.source.read(&self.row, &(range.start..end), &mut header)?;
        write_selected(&header, section, out);
        Ok(())
    }

    fn write_binary_size(&mut self, part: &[u32], parsed: &Parsed, out: &mut Vec<u8>) -> Outcome<()> {
        let size = match binary(parsed, part) {
            Content::Raw(range) | Content::Fields(range) => range.end - range.start,
            Content::Decoded(range, encoding) => self.source.decoded_len(&self.row, &range, encoding)?,
            Content::Undecodable => {
                self.undecodable();
                0
            }
            Content::Nothing => 0,
        };
        out.extend_from_slice(b"BINARY.SIZE[");
        write_part(out, part);
        out.extend_from_slice(b"] ");
        text::number(out, size);
        Ok(())
    }
}

/// Writes the fields of a header that a section names.
fn write_selected(header: &[u8], section: &Section, out: &mut Vec<u8>) {
    let SectionText::Fields { not, names } = &section.text else { return };
    let picked = mailkit::headers::select(header, names, *not);
    let clipped = clip(picked.len() as u64, section.partial);
    let picked = &picked[clipped.start as usize..clipped.end as usize];
    text::literal_header(out, picked.len() as u64, picked.contains(&0));
    out.extend_from_slice(picked);
}

/// The bytes of a message, opened when first needed.
struct Source {
    mailstore: MailStore,
    reader: Option<BodyReader>,
}

impl Source {
    /// Appends these bytes of the message.
    fn read(&mut self, row: &Row, range: &Range<u64>, out: &mut Vec<u8>) -> Outcome<()> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.mailstore.body_of(&row.full()?.body)?),
        };
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = reader.read_range(range.start, len)?;
        if bytes.len() < len {
            return Err(Failure::no(Code::CORRUPTION, "Message data is incomplete"));
        }
        out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Appends the next piece of these bytes, and takes it away from them.
    fn next_raw(&mut self, row: &Row, range: &mut Range<u64>, out: &mut Vec<u8>) -> Outcome<()> {
        let end = range.end.min(range.start + FLUSH_BYTES as u64);
        if range.start < end {
            self.read(row, &(range.start..end), out)?;
            range.start = end;
        }
        Ok(())
    }

    /// Whether a NUL is among these bytes: reads them all.
    fn has_nul(&mut self, row: &Row, mut range: Range<u64>) -> Outcome<bool> {
        let mut piece = Vec::new();
        while !range.is_empty() {
            piece.clear();
            self.next_raw(row, &mut range, &mut piece)?;
            if piece.contains(&0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the next piece of a stream; `false` when it was the last.
    fn write_stream(&mut self, row: &Row, stream: &mut Stream, out: &mut Vec<u8>) -> Outcome<bool> {
        match stream {
            Stream::Raw(range) => {
                self.next_raw(row, range, out)?;
                Ok(!range.is_empty())
            }
            Stream::Decoded { decoder, range, skip, left } => {
                let mut piece = Vec::new();
                self.decode_piece(row, decoder, range, &mut piece)?;
                let skipped = (*skip).min(piece.len() as u64);
                *skip -= skipped;
                let rest = &piece[skipped as usize..];
                let taken = (*left).min(rest.len() as u64);
                out.extend_from_slice(&rest[..taken as usize]);
                *left -= taken;
                if *left > 0 && range.is_empty() {
                    return Err(Failure::lost_job());
                }
                Ok(*left > 0)
            }
        }
    }

    /// Reads and decodes the next piece; with the last one, what the decoder still holds.
    fn decode_piece(
        &mut self,
        row: &Row,
        decoder: &mut Decoder,
        range: &mut Range<u64>,
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let end = range.end.min(range.start + FLUSH_BYTES as u64);
        let mut encoded = Vec::with_capacity((end - range.start) as usize);
        self.read(row, &(range.start..end), &mut encoded)?;
        range.start = end;
        decoder.feed(&encoded, out);
        if range.is_empty() {
            decoder.finish(out);
        }
        Ok(())
    }

    fn decoded_len(&mut self, row: &Row, range: &Range<u64>, encoding: Encoding) -> Outcome<u64> {
        let (mut decoder, mut range) = (Decoder::new(encoding), range.clone());
        let (mut piece, mut len) = (Vec::new(), 0);
        while !range.is_empty() {
            piece.clear();
            self.decode_piece(row, &mut decoder, &mut range, &mut piece)?;
            len += piece.len() as u64;
        }
        Ok(len)
    }
}
