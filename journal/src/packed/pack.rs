//! Packing a segment, step by step: a kill between any two leaves what a later try or start can go on from.
//!
//! The segment's packed bytes are written under a name that no reader looks at, and synced; then they get their
//! name, which is synced too; only then the segment is removed. Where both are there, the segment counts. It may be
//! trimmed at any moment by the journal thread, which then removes both, this one last.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ruzstd::decoding::FrameDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::codec::{Head, PackedHeader, sum};
use super::unpack::unpack;
use super::{BLOCK, BLOCK_MAX, EXTENSION, terse};
use crate::ReadError;
use crate::disk::{make, remove, rename, set_modified, sync, unfinished, write_whole};
use crate::frame::Kind;
use crate::reader::Cursor;
use crate::segment::{self, HEADER};

/// Where a packed segment would take more blocks of the file system than the segment, it is not packed.
const WORTH: u64 = 4096;

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is packed, in so many bytes.
    Packed(u64),
    /// It is left as it is, for good: too short, or no shorter when packed.
    Left,
    /// It was removed meanwhile.
    Gone,
}

/// What keeps a segment from being packed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operating system, at this file. Another time it may go.
    Io(PathBuf, io::Error),
    /// The segment cannot be read as one, or what was packed does not give it back. It stays as it is.
    Unfit(String),
    /// The journal is stopped.
    Stopped,
}

/// Whether there is room for so many bytes, and whether to go on.
pub(crate) trait Leave {
    fn room(&mut self, bytes: u64) -> io::Result<()>;
    fn goes_on(&self) -> bool;
}

/// Packs the segment that begins with `first_seq`, which is not written any more. `dir_file` is its directory.
pub(crate) fn pack(
    dir: &Path,
    dir_file: &File,
    first_seq: u64,
    leave: &mut dyn Leave,
) -> Result<Outcome, Failure> {
    let path = segment::path(dir, first_seq);
    let mut raw = match Cursor::open(&path) {
        Ok(cursor) if cursor.bytes.is_packed() => return Ok(Outcome::Gone),
        Ok(cursor) => cursor,
        Err(ReadError::NotFound { .. }) => return Ok(Outcome::Gone),
        Err(ReadError::Io { path, source, .. }) => return Err(Failure::Io(path, source)),
        Err(error) => return Err(Failure::Unfit(error.to_string())),
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::Io(path, error)
    };
    // Its length, and what retention goes by.
    let metadata = raw.bytes.file().metadata().map_err(failed(&path))?;
    let len = metadata.len();
    if len <= WORTH {
        return Ok(Outcome::Left);
    }
    let packed = path.with_extension(EXTENSION);
    let new = unfinished(&packed);
    let written = write(&mut raw, len, &new, leave).and_then(|(file, bytes)| {
        if bytes >= len {
            return Ok(bytes);
        }
        let modified = metadata.modified().map_err(failed(&path))?;
        set_modified(&file, modified).map_err(failed(&new))?;
        sync(&file).map_err(failed(&new))?;
        rename(&new, &packed).map_err(failed(&packed))?;
        Ok(bytes)
    });
    let bytes = match written {
        Ok(bytes) if bytes < len => bytes,
        other => {
            // Where it cannot be removed now, the next start does.
            let _ = remove(&new);
            return other.map(|_| Outcome::Left);
        }
    };
    sync(dir_file).map_err(failed(dir))?;
    match remove(&path) {
        Ok(()) => Ok(Outcome::Packed(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Trimmed meanwhile, perhaps ahead of the packed one's name.
            let _ = remove(&packed);
            Ok(Outcome::Gone)
        }
        Err(error) => Err(Failure::Io(path, error)),
    }
}

/// Writes the packed segment as `new`. Gives the file and its length.
pub(crate) fn write(
    raw: &mut Cursor,
    len: u64,
    new: &Path,
    leave: &mut dyn Leave,
) -> Result<(File, u64), Failure> {
    let failed = |error| Failure::Io(new.to_owned(), error);
    let mut header = PackedHeader { len, segment: [0; HEADER] };
    read_exact(raw, &mut header.segment, 0)?;
    let mut blocks = Blocks { from: HEADER as u64, len, number: raw.header.first_seq };
    let mut decoder = FrameDecoder::new();
    leave.room(super::codec::HEADER as u64).map_err(failed)?;
    let file = make(new).map_err(failed)?;
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        write_whole(&file, bytes, at).map_err(|error| failed(error.source))?;
        at += bytes.len() as u64;
        Ok(())
    };
    put(&header.encode())?;
    while let Some(block) = blocks.next(raw, &mut decoder)? {
        if !leave.goes_on() {
            return Err(Failure::Stopped);
        }
        leave.room(block.len() as u64).map_err(failed)?;
        put(&block)?;
    }
    Ok((file, at))
}

/// Cuts a segment into blocks.
struct Blocks {
    /// Where the next one begins.
    from: u64,
    len: u64,
    /// The lowest number that an entry of it may have.
    number: u64,
}

impl Blocks {
    /// The next block, with its head and filling.
    fn next(
        &mut self,
        raw: &mut Cursor,
        decoder: &mut FrameDecoder,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if self.from >= self.len {
            return Ok(None);
        }
        let (number, offset, salt) = (self.number, self.from, raw.header.salt);
        let end = self.cut(raw)?;
        let mut bytes = vec![0; (end - offset) as usize];
        read_exact(raw, &mut bytes, offset)?;
        let terse = terse::write(&bytes, number, salt);
        let packed = compress_to_vec(&terse[..], CompressionLevel::Fastest);
        let head = Head {
            packed: packed.len() as u32,
            len: bytes.len() as u32,
            offset,
            number,
            sum: sum(&packed, salt),
        };
        if unpack(decoder, &head, &packed, salt).as_ref() != Some(&bytes) {
            let path = raw.path.display();
            let text = format!("{path}: what was packed at byte {offset} does not give it back");
            return Err(Failure::Unfit(text));
        }
        self.from = end;
        let mut block = head.encode(salt).to_vec();
        block.extend_from_slice(&packed);
        block.resize(head.room() as usize, 0);
        Ok(Some(block))
    }

    /// Where the block ends: at a frame, as long as there are frames.
    fn cut(&mut self, raw: &mut Cursor) -> Result<u64, Failure> {
        let unread = |error: ReadError| match error {
            ReadError::Io { path, source, .. } => Failure::Io(path, source),
            error => Failure::Unfit(error.to_string()),
        };
        while raw.offset - self.from < BLOCK {
            let Some(found) = raw.find(self.number).map_err(unread)? else {
                let end = self.len.min(self.from + BLOCK_MAX);
                raw.offset = end;
                return Ok(end);
            };
            if found.offset - self.from >= BLOCK {
                break;
            }
            raw.pass(&found);
            if found.kind != Kind::Repeated {
                self.number = found.seq.saturating_add(1);
            }
        }
        // Behind damaged bytes the next frame may be far away.
        Ok(raw.offset.min(self.from + BLOCK_MAX))
    }
}

fn read_exact(raw: &mut Cursor, into: &mut [u8], offset: u64) -> Result<(), Failure> {
    use std::os::unix::fs::FileExt;
    let read = raw.bytes.file().read_exact_at(into, offset);
    read.map_err(|error| Failure::Io(raw.path.clone(), error))
}
