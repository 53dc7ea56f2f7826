//! One segment, read from front to end through a window: where the next frame is.
//!
//! It only ever reads. What it finds at the end of the file may be the beginning of a frame that is
//! being written, so the end is never an error: it is looked at again on the next call. Recovery uses
//! it too, to find the end of the last segment.

use std::path::{Path, PathBuf};

use super::bytes::SegmentBytes;
use crate::frame::{self, Frame, Kind, Parsed};
use crate::segment::{self, Header};
use crate::{ReadError, sequence};

/// Bytes that are read at a time: above the longest frame.
const WINDOW: usize = 256 * 1024;

/// How far ahead of the expected number a frame behind damaged bytes may be. It spares summing all but
/// one in 256 places of a stretch of random bytes, and is above the numbers that a power loss skips.
const PLAUSIBLE: u64 = 1 << 32;

/// A place in a segment.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) path: PathBuf,
    pub(crate) bytes: SegmentBytes,
    pub(crate) header: Header,
    /// Where the next frame is looked for.
    pub(crate) offset: u64,
    window: Vec<u8>,
    /// What offset of the file the window begins with.
    window_at: u64,
}

/// A frame that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) offset: u64,
    /// Length with padding, in bytes.
    pub(crate) len: usize,
    /// Where damaged bytes in front of it begin.
    pub(crate) damage: Option<u64>,
}

impl Cursor {
    /// Opens a segment, packed or not, and verifies its header.
    pub(crate) fn open(path: &Path) -> Result<Cursor, ReadError> {
        let (path, bytes, header) = SegmentBytes::open(path)?;
        let offset = segment::HEADER as u64;
        Ok(Cursor { path, bytes, header, offset, window: Vec::new(), window_at: offset })
    }

    /// The next frame at or behind the offset that is not older than `expected`, the lowest number
    /// that is not accounted for yet. `None` at the end of what is written.
    ///
    /// The offset is left at the frame, or at the end; [`Cursor::pass`] goes behind a frame.
    pub(crate) fn find(&mut self, expected: u64) -> Result<Option<Found>, ReadError> {
        let mut damage = None;
        loop {
            if let Some(found) = self.frame_at(self.offset, expected)? {
                if found.kind == Kind::Repeated || found.seq >= expected {
                    return Ok(Some(Found { damage, ..found }));
                }
                self.offset += found.len as u64;
            } else {
                // Not a frame, or not all of one. Only where a frame follows is it damage: a segment
                // is written from front to end.
                let Some(offset) = self.resynchronise(expected)? else { return Ok(None) };
                // The file may have grown between the two looks. Now that something behind is seen to be
                // written, what stands here is written too: only this look counts.
                self.window.clear();
                if self.frame_at(self.offset, expected)?.is_some() {
                    continue;
                }
                damage = damage.or(Some(self.offset));
                self.offset = offset;
            }
        }
    }

    /// Goes behind a frame.
    pub(crate) fn pass(&mut self, found: &Found) {
        self.offset = found.offset + found.len as u64;
    }

    /// The frame that [`Cursor::find`] found: its checksum is right, so it can be taken apart again.
    pub(crate) fn frame(&self, found: &Found) -> Option<Frame<'_>> {
        let at = usize::try_from(found.offset.checked_sub(self.window_at)?).ok()?;
        match frame::parse(self.window.get(at..)?, self.header.salt) {
            Parsed::Whole(frame) => Some(frame),
            Parsed::Partial(_) | Parsed::Broken => None,
        }
    }

    /// The checksum of a frame that was found.
    pub(crate) fn sum(&self, found: &Found) -> Option<u32> {
        let at = usize::try_from(found.offset.checked_sub(self.window_at)?).ok()?;
        self.window.get(at + 4..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Whether bytes stand at the offset, which are no frame (yet).
    pub(crate) fn has_rest(&mut self) -> Result<bool, ReadError> {
        Ok(!self.bytes_at(self.offset, 1)?.is_empty())
    }

    fn frame_at(&mut self, offset: u64, expected: u64) -> Result<Option<Found>, ReadError> {
        let salt = self.header.salt;
        let mut want = frame::HEAD;
        loop {
            let bytes = self.bytes_at(offset, want)?;
            match frame::parse(bytes, salt) {
                Parsed::Whole(frame) => {
                    let seq = sequence::widen(frame.low_seq, expected);
                    let (kind, len) = (frame.kind, frame.len());
                    return Ok(Some(Found { kind, seq, offset, len, damage: None }));
                }
                Parsed::Partial(len) if len > bytes.len() && want < len => want = len,
                Parsed::Partial(_) | Parsed::Broken => return Ok(None),
            }
        }
    }

    /// Looks for a frame behind the offset, at each place where one may be.
    fn resynchronise(&mut self, expected: u64) -> Result<Option<u64>, ReadError> {
        let mut offset = self.offset;
        loop {
            offset += 8;
            if let Some(end) = self.hole(offset)? {
                offset = end;
            }
            let bytes = self.bytes_at(offset, frame::HEAD)?;
            let Some(low_seq) = frame::low_seq_at(bytes) else { return Ok(None) };
            let ahead = sequence::widen(low_seq, expected).wrapping_sub(expected);
            if ahead < PLAUSIBLE && self.frame_at(offset, expected)?.is_some() {
                return Ok(Some(offset));
            }
        }
    }

    /// The bytes at `offset`: at least `want`, which is at most a frame's length, unless the file ends
    /// before.
    fn bytes_at(&mut self, offset: u64, want: usize) -> Result<&[u8], ReadError> {
        let held = |cursor: &Cursor| -> Option<usize> {
            let at = usize::try_from(offset.checked_sub(cursor.window_at)?).ok()?;
            (at + want <= cursor.window.len()).then_some(at)
        };
        if held(self).is_none() {
            self.fill(offset)?;
        }
        let at = usize::try_from(offset.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        Ok(self.window.get(at..).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64) -> Result<(), ReadError> {
        self.window.resize(WINDOW, 0);
        self.window_at = offset;
        match self.bytes.fill_at(&mut self.window, offset) {
            Ok(filled) => {
                self.window.truncate(filled);
                Ok(())
            }
            Err(error) => {
                self.window.clear();
                Err(ReadError::io(&self.path, offset, error))
            }
        }
    }

    fn hole(&mut self, offset: u64) -> Result<Option<u64>, ReadError> {
        self.bytes.hole(offset).map_err(|error| ReadError::io(&self.path, offset, error))
    }
}
