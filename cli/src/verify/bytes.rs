//! The bytes of a segment, read by `docs/format.md` and not by the journal's code.
//!
//! A reader passes over what it need not show: statements that are repeated, filling, a rest at the end. Here
//! all of it is looked at. That the frame is spelled out a second time is the point: where the two readings
//! differ, one of them is wrong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gnotify_journal::ReadError;

use super::packed::{MAGIC, Packed, Wrong};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Length of a segment's header.
pub(super) const HEADER: u64 = 80;
/// Where the salt stands in it.
const SALT_AT: u64 = 12;

/// Length of a frame's head.
pub(super) const HEAD: usize = 24;

/// Bytes that are read at a time.
const WINDOW: usize = 1 << 20;

pub(super) const RECORD: u8 = 1;
pub(super) const STATEMENT: u8 = 2;
pub(super) const REPEATED: u8 = 3;

/// Numbers of statements.
pub(super) const GAP: u8 = 4;
const CLIENT: u8 = 6;

/// The part of a sequence number that a frame carries.
pub(super) fn low(seq: u64) -> u64 {
    seq & ((1 << 40) - 1)
}

/// A segment's file, open for reading.
#[derive(Debug)]
pub(super) struct Bytes {
    path: PathBuf,
    file: Content,
    /// Bytes of the file.
    pub(super) file_len: u64,
    /// What is wrong with its blocks, where it is packed.
    pub(super) wrong: Vec<Wrong>,
    /// What the checksums of the frames cover besides them.
    pub(super) salt: u32,
    window: Vec<u8>,
    window_at: u64,
}

/// How the file holds the bytes of the segment.
#[derive(Debug)]
enum Content {
    Plain(File),
    Packed(Box<Packed>),
}

/// The head of what may be a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Length of head and body.
    len: usize,
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) tag: u32,
    pub(super) low_seq: u64,
    time: u64,
    /// The words as they are summed.
    sum: u32,
    low: u32,
    second: u64,
}

impl Head {
    /// `None` where no frame can begin so.
    fn read(bytes: &[u8]) -> Option<Head> {
        let word = |at: usize| -> Option<u64> {
            bytes.get(8 * at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
        };
        let (first, second, time) = (word(0)?, word(1)?, word(2)?);
        let head = Head {
            len: (first & 0xffff) as usize,
            kind: (first >> 16 & 0xf) as u8,
            code: (first >> 24) as u8,
            tag: ((first >> 20 & 0xf) << 24 | second >> 40) as u32,
            low_seq: low(second),
            time,
            sum: (first >> 32) as u32,
            low: first as u32,
            second,
        };
        (head.len >= HEAD && matches!(head.kind, RECORD..=REPEATED)).then_some(head)
    }

    /// Length with filling.
    pub(super) fn padded(&self) -> usize {
        self.len.next_multiple_of(8)
    }

    fn is_summed(&self, body: &[u8], salt: u32) -> bool {
        let mut head = [0; 20];
        head[..4].copy_from_slice(&self.low.to_le_bytes());
        head[4..12].copy_from_slice(&self.second.to_le_bytes());
        head[12..].copy_from_slice(&self.time.to_le_bytes());
        let body = xxh3_64_with_seed(body, u64::from(salt));
        xxh3_64_with_seed(&head, body) as u32 == self.sum
    }
}

/// A frame whose checksum is right.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) head: Head,
    pub(super) body: &'a [u8],
    /// Whether the filling behind the body is zeros.
    pub(super) filled: bool,
}

impl Frame<'_> {
    /// The number and the uid string of a CLIENT.
    pub(super) fn client(&self) -> Option<(u32, &[u8])> {
        let (number, rest) = self.body.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let uid = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
        (self.head.code == CLIENT).then_some((u32::from_le_bytes(*number), uid))
    }
}

/// What stands at a place where a frame should begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nothing but zeros.
    Zeros,
    /// What may be the beginning of a frame with this number that the file is too short for.
    Cut(Option<u64>),
    /// A frame whose checksum is wrong.
    Sum,
    /// No frame.
    NoHead,
}

impl Broken {
    pub(super) fn text(self) -> &'static str {
        match self {
            Broken::Zeros => "zeros in the place of an entry",
            Broken::Cut(_) => "an entry that is cut off",
            Broken::Sum => "the checksum is wrong",
            Broken::NoHead => "no entry begins here",
        }
    }
}

impl Bytes {
    pub(super) fn open(path: &Path) -> Result<Bytes, ReadError> {
        let path = path.to_owned();
        let file = match File::open(&path) {
            Ok(file) => file,
            // Removed since the reader opened it.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::NotFound { path });
            }
            Err(source) => return Err(ReadError::Io { path, offset: 0, source }),
        };
        let failed = |source| ReadError::Io { path: path.clone(), offset: 0, source };
        let file_len = file.metadata().map_err(failed)?.len();
        let mut start = [0; MAGIC.len()];
        let is_packed = file.read_exact_at(&mut start, 0).is_ok() && start == *MAGIC;
        let (file, wrong) = if is_packed {
            let (packed, wrong) = Packed::open(file).map_err(failed)?;
            (Content::Packed(Box::new(packed)), wrong)
        } else {
            (Content::Plain(file), Vec::new())
        };
        let (window, window_at) = (Vec::new(), 0);
        let mut bytes = Bytes { path, file, file_len, wrong, salt: 0, window, window_at };
        let salt = bytes.at(SALT_AT, 4)?.first_chunk().map(|salt| u32::from_le_bytes(*salt));
        bytes.salt = salt.unwrap_or_default();
        Ok(bytes)
    }

    /// How long the segment is now.
    pub(super) fn len(&self) -> Result<u64, ReadError> {
        let metadata = match &self.file {
            Content::Plain(file) => file.metadata(),
            Content::Packed(packed) => return Ok(packed.len()),
        };
        metadata.map(|metadata| metadata.len()).map_err(|error| self.failed(0, error))
    }

    /// Has the bytes read again: the file may have grown.
    pub(super) fn forget(&mut self) {
        self.window.clear();
    }

    /// The head at `offset`, which was found to be a frame's, and whether its filling is zeros.
    pub(super) fn head(&mut self, offset: u64) -> Result<Option<(Head, bool)>, ReadError> {
        let Some(head) = Head::read(self.at(offset, HEAD)?) else { return Ok(None) };
        let bytes = self.at(offset, head.padded())?;
        let filling = bytes.get(head.len..head.padded());
        Ok(filling.map(|filling| (head, filling.iter().all(|byte| *byte == 0))))
    }

    /// The frame at `offset`.
    pub(super) fn frame(&mut self, offset: u64) -> Result<Result<Frame<'_>, Broken>, ReadError> {
        let salt = self.salt;
        let bytes = self.at(offset, HEAD)?;
        let Some(head) = Head::read(bytes) else {
            let zeros = !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0);
            return Ok(Err(match bytes.len() {
                _ if zeros => Broken::Zeros,
                // What there is of the head tells something once its first word is here.
                ..8 => Broken::Cut(None),
                8..HEAD if Head::read(&[bytes, &[0; HEAD]].concat()).is_some() => Broken::Cut(None),
                _ => Broken::NoHead,
            }));
        };
        let bytes = self.at(offset, head.padded())?;
        let Some(frame) = bytes.get(..head.padded()) else {
            return Ok(Err(Broken::Cut(Some(head.low_seq))));
        };
        let body = &frame[HEAD..head.len];
        if !head.is_summed(body, salt) {
            return Ok(Err(Broken::Sum));
        }
        let filled = frame[head.len..].iter().all(|byte| *byte == 0);
        Ok(Ok(Frame { head, body, filled }))
    }

    /// The bytes at `offset`: `want`, unless the file ends before.
    fn at(&mut self, offset: u64, want: usize) -> Result<&[u8], ReadError> {
        let held = offset >= self.window_at
            && offset + want as u64 <= self.window_at + self.window.len() as u64;
        if !held {
            self.fill(offset)?;
        }
        let at = usize::try_from(offset - self.window_at).unwrap_or(usize::MAX);
        let rest = self.window.get(at..).unwrap_or_default();
        Ok(&rest[..want.min(rest.len())])
    }

    fn fill(&mut self, offset: u64) -> Result<(), ReadError> {
        self.window.resize(WINDOW, 0);
        self.window_at = offset;
        let mut filled = 0;
        while filled < WINDOW {
            let (into, at) = (&mut self.window[filled..], offset + filled as u64);
            let read = match &mut self.file {
                Content::Plain(file) => file.read_at(into, at),
                Content::Packed(packed) => packed.read_at(into, at),
            };
            match read {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.window.clear();
                    return Err(self.failed(offset + filled as u64, error));
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }

    fn failed(&self, offset: u64, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), offset, source }
    }
}
