//! Bodies on their way in.

use std::{
    fs,
    io::{self, Read as _, Seek as _, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    BodyId, Result, StoreError,
    body::{Bodies, CHUNK_BYTES, Header, Packs, pack_chunk},
    disk::File,
};

/// Compressed bytes of one body that are kept in memory; more go to a temporary file.
const MEMORY_BYTES: usize = 1 << 20;

/// A body being written, in constant memory.
pub struct BodyWriter {
    packs: Arc<Packs>,
    hasher: blake3::Hasher,
    header: Header,
    pending: Vec<u8>,
    packed: Vec<u8>,
    /// What no longer fits into `packed`; has no name, so a crash leaves nothing behind.
    spill: Option<fs::File>,
}

impl BodyWriter {
    pub(crate) fn new(packs: Arc<Packs>) -> Self {
        Self {
            packs,
            hasher: blake3::Hasher::new(),
            header: Header::default(),
            pending: Vec::new(),
            packed: Vec::new(),
            spill: None,
        }
    }

    /// Bytes written so far.
    pub const fn len(&self) -> u64 {
        self.header.len
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.header.len == 0
    }

    /// The end: puts the body into a pack, unless it is there already. It becomes durable with the next commit that is
    /// acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Full`] and others of the disk; nothing is kept then.
    pub fn finish(self) -> Result<StagedBody> {
        self.end(false)
    }

    /// The same for a body that is there already and damaged: it is kept once more.
    pub(crate) fn finish_anew(self) -> Result<StagedBody> {
        self.end(true)
    }

    fn end(mut self, anew: bool) -> Result<StagedBody> {
        if !self.pending.is_empty() {
            let chunk = pack_chunk(&self.pending, &mut self.packed);
            self.header.chunks.push(chunk);
        }
        let id = BodyId::from_bytes(*self.hasher.finalize().as_bytes());
        self.header.id = id.as_bytes().to_vec();
        let Self { packs, header, packed, spill, .. } = self;
        let stored_bytes = header.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).sum();
        let write = |file: &dyn File, offset| append(file, offset, spill, &packed);
        if anew {
            packs.add_anew(id, &header, stored_bytes, write)?;
        } else {
            packs.add(id, &header, stored_bytes, write)?;
        }
        Ok(StagedBody { pin: Arc::new(Pin { packs, id }), len: header.len })
    }

    fn pack_pending(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.header.chunks.push(pack_chunk(bytes, &mut self.packed));
        if self.packed.len() > MEMORY_BYTES {
            let spill = match &mut self.spill {
                Some(file) => file,
                None => self.spill.insert(unnamed_file(self.packs.dir())?),
            };
            spill.write_all(&self.packed)?;
            self.packed.clear();
        }
        Ok(())
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.header.len += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = CHUNK_BYTES - self.pending.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == CHUNK_BYTES {
                let mut full = std::mem::take(&mut self.pending);
                self.pack_pending(&full)?;
                full.clear();
                self.pending = full;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bodies for Packs {
    fn put(self: Arc<Self>, bytes: &[u8]) -> Result<BodyId> {
        let mut writer = BodyWriter::new(self.clone());
        writer.write_all(bytes).map_err(StoreError::io("body"))?;
        let staged = writer.finish()?;
        let id = staged.id();
        // The pin that stays when the staged body is dropped.
        self.pin(id);
        Ok(id)
    }

    fn unpin(&self, id: &BodyId) {
        Self::unpin(self, id);
    }

    fn check_known(&self, id: &BodyId) -> Result<()> {
        Self::check_known(self, id)
    }

    fn get(self: Arc<Self>, id: &BodyId) -> Result<Bytes> {
        self.open_body(id)?.read_all()
    }

    fn sync(&self) -> Result<()> {
        Self::sync(self)
    }
}

/// Beside the packs, so that it meets the same limits of space as the body will.
fn unnamed_file(dir: &Path) -> io::Result<fs::File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let path = dir.join(format!("incoming-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        match fs::File::options().read(true).write(true).create_new(true).open(&path) {
            // What a crash left just here: only one process has the folder, and it gives each number once.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&path)?,
            file => {
                let file = file?;
                fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

fn append(file: &dyn File, offset: u64, spill: Option<fs::File>, packed: &[u8]) -> io::Result<()> {
    let mut at = offset;
    if let Some(mut spill) = spill {
        spill.rewind()?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let n = spill.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            file.write_at(&buffer[..n], at)?;
            at += n as u64;
        }
    }
    file.write_at(packed, at)
}

/// A body that is kept for as long as this lives, whether or not a commit refers to it yet.
#[derive(Clone)]
pub struct StagedBody {
    pin: Arc<Pin>,
    len: u64,
}

impl StagedBody {
    /// The body's name.
    pub fn id(&self) -> BodyId {
        self.pin.id
    }

    /// The body's size in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the body has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl std::fmt::Debug for StagedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StagedBody({}, {} bytes)", self.pin.id, self.len)
    }
}

struct Pin {
    packs: Arc<Packs>,
    id: BodyId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.packs.unpin(&self.id);
    }
}
