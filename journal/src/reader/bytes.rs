//! The bytes of a segment by their offset, whether it is packed or not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::ReadError;
use crate::packed::codec::MAGIC;
use crate::packed::unpack::Packed;
use crate::packed::{self, VERSION};
use crate::segment::{self, BadHeader, Header, fill_at};

/// A segment's file, open for reading.
#[derive(Debug)]
pub(crate) enum SegmentBytes {
    Raw(File),
    Packed(Box<Packed>),
}

impl SegmentBytes {
    /// Opens the segment `path`, or what has become of it when it was packed. Gives the path of that, and the
    /// segment's header.
    pub(crate) fn open(path: &Path) -> Result<(PathBuf, SegmentBytes, Header), ReadError> {
        let mut path = path.to_owned();
        let mut opened = File::open(&path);
        let may_be_packed = path.extension().is_some_and(|ending| ending == segment::EXTENSION);
        if may_be_packed && is_missing(&opened) {
            // It gets its name before the other one loses its own.
            let packed = path.with_extension(packed::EXTENSION);
            let other = File::open(&packed);
            if !is_missing(&other) {
                (path, opened) = (packed, other);
            }
        }
        let file = opened.map_err(|error| ReadError::io(&path, 0, error))?;
        let mut start = [0; MAGIC.len()];
        fill_at(&file, &mut start, 0).map_err(|error| ReadError::io(&path, 0, error))?;
        let named_packed = path.extension().is_some_and(|ending| ending == packed::EXTENSION);
        if start != *MAGIC && !named_packed {
            let header = Header::read(&file, &path)?;
            return Ok((path, SegmentBytes::Raw(file), header));
        }
        let opened = Packed::open(file).map_err(|error| ReadError::io(&path, 0, error))?;
        match opened {
            Ok((packed, header)) => Ok((path, SegmentBytes::Packed(Box::new(packed)), header)),
            Err(BadHeader::Newer(found)) => {
                Err(ReadError::NewerVersion { path, found, known: VERSION })
            }
            Err(BadHeader::Damaged | BadHeader::Foreign) => Err(ReadError::DamagedHeader { path }),
        }
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, SegmentBytes::Packed(_))
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        match self {
            SegmentBytes::Raw(file) => file,
            SegmentBytes::Packed(packed) => &packed.file,
        }
    }

    /// Bytes of the segment.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            SegmentBytes::Raw(file) => Ok(file.metadata()?.len()),
            SegmentBytes::Packed(packed) => Ok(packed.len()),
        }
    }

    /// Reads until `into` is full or the segment ends. How many bytes; where a block is damaged they are zeros.
    pub(crate) fn fill_at(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let packed = match self {
            SegmentBytes::Raw(file) => return fill_at(file, into, offset),
            SegmentBytes::Packed(packed) => packed,
        };
        let mut filled = 0;
        while filled < into.len() {
            match packed.read_at(&mut into[filled..], offset + filled as u64)? {
                0 => break,
                len => filled += len,
            }
        }
        Ok(filled)
    }

    /// Where the damaged block at `offset` ends, if there is one.
    pub(crate) fn hole(&mut self, offset: u64) -> io::Result<Option<u64>> {
        match self {
            SegmentBytes::Raw(_) => Ok(None),
            SegmentBytes::Packed(packed) => packed.hole(offset),
        }
    }
}

fn is_missing(opened: &io::Result<File>) -> bool {
    opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
