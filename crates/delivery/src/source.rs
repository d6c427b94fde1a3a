//! A queued message's bytes as they go out, read piece by piece.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use store::{BodyId, BodyReader, Store};

use crate::outbound::connection::MessageSource;
use crate::schema::MessageRecord;
use crate::{Result, queue};

/// Read from the store at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A message in the queue.
pub struct QueuedBody {
    store: Store,
    body: BodyId,
    lead: Bytes,
    skip: u64,
}

impl QueuedBody {
    /// As it goes to other servers: signed, with its trace, without Return-Path.
    pub fn outgoing(store: &Store, record: &MessageRecord) -> Result<Self> {
        let lead = [record.signatures.as_slice(), &record.trace].concat();
        Ok(Self {
            store: store.clone(),
            body: queue::body_id(record)?,
            lead: lead.into(),
            skip: u64::from(record.skip_bytes),
        })
    }

    /// A kept message with what goes above it.
    pub fn kept(store: &Store, body: BodyId, above: Bytes) -> Self {
        Self { store: store.clone(), body, lead: above, skip: 0 }
    }

    /// The first `limit` bytes as they go out. Blocking.
    pub fn start(&self, limit: usize) -> Result<Vec<u8>> {
        let mut out = self.lead.slice(..self.lead.len().min(limit)).to_vec();
        let rest = limit - out.len();
        out.extend_from_slice(&self.store.body(&self.body)?.read_range(self.skip, rest)?);
        Ok(out)
    }
}

impl QueuedBody {
    /// A source at the start.
    pub fn open(&self) -> Box<dyn MessageSource + '_> {
        Box::new(Pieces {
            store: self.store.clone(),
            body: self.body,
            lead: Some(self.lead.clone()),
            reader: None,
            at: self.skip,
        })
    }
}

struct Pieces {
    store: Store,
    body: BodyId,
    lead: Option<Bytes>,
    reader: Option<Arc<parking_lot::Mutex<BodyReader>>>,
    at: u64,
}

#[async_trait::async_trait]
impl MessageSource for Pieces {
    async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(lead) = self.lead.take()
            && !lead.is_empty()
        {
            return Ok(Some(lead));
        }
        let (store, body, at, reader) = (self.store.clone(), self.body, self.at, self.reader.clone());
        let (reader, piece) = tokio::task::spawn_blocking(move || {
            let reader = match reader {
                Some(reader) => reader,
                None => Arc::new(parking_lot::Mutex::new(store.body(&body)?)),
            };
            let piece = reader.lock().read_range(at, PIECE_BYTES)?;
            Ok::<_, store::StoreError>((reader, piece))
        })
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
        self.reader = Some(reader);
        self.at += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// All bytes of a body. Blocking.
pub fn read_all(store: &Store, body: &BodyId) -> Result<Vec<u8>> {
    Ok(store.body(body)?.read_all()?.into())
}
