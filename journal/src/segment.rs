//! A segment: one file of the journal, its name and its header.
//!
//! FORMAT: `docs/format.md` draws the header. A file's name is its first sequence number in 20 digits,
//! so that an ordinary listing shows the order.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::ReadError;
use crate::home::Home;
use crate::packed;

/// The format's version.
pub const VERSION: u16 = 1;

/// Length of the header, in bytes.
pub(crate) const HEADER: usize = 80;

/// A file's ending.
pub(crate) const EXTENSION: &str = "gnj";

const MAGIC: &[u8; 8] = b"GNOTIFYJ";

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Names the journal: another one means that the journal was started afresh, from number 1.
    pub epoch: [u8; 16],
    /// The start of the brick in which the segment was made.
    pub start_id: u64,
    /// The sequence number of its first entry.
    pub first_seq: u64,
    /// When it was made (nanoseconds since 1970).
    pub created: u64,
    /// Random, new at each start of the brick; 0 in journals of early builds.
    pub start_key: u64,
    /// Where the journal was.
    pub(crate) home: Home,
    /// What the checksums of its frames cover besides them.
    pub(crate) salt: u32,
}

/// Bytes that are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// They do not begin as a segment does.
    Foreign,
    /// They are cut off, or their checksum is wrong.
    Damaged,
    /// They are of a later version of the format.
    Newer(u16),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(HEADER as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.epoch);
        bytes[32..40].copy_from_slice(&self.start_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.start_key.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.home.path.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.home.file_system.to_le_bytes());
        let sum = xxh3_64(&bytes[..HEADER - 4]) as u32;
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if start != &MAGIC[..start.len()] {
            // Zeros are what a power loss leaves of a file whose data was not written yet.
            let zeros = start.iter().all(|byte| *byte == 0);
            return Err(if zeros { BadHeader::Damaged } else { BadHeader::Foreign });
        }
        let mut fields = Fields { bytes, at: MAGIC.len() };
        let [version, len] =
            [fields.take().map(u16::from_le_bytes), fields.take().map(u16::from_le_bytes)];
        // Before the checksum: where it stands, only the version tells.
        match version {
            Some(version) if version > VERSION => return Err(BadHeader::Newer(version)),
            _ => {}
        }
        let bytes: &[u8; HEADER] = fields.bytes.first_chunk().ok_or(BadHeader::Damaged)?;
        let sum = (xxh3_64(&bytes[..HEADER - 4]) as u32).to_le_bytes();
        if version != Some(VERSION) || len != Some(HEADER as u16) || bytes[HEADER - 4..] != sum {
            return Err(BadHeader::Damaged);
        }
        let mut read = || -> Option<Header> {
            Some(Header {
                salt: u32::from_le_bytes(fields.take()?),
                epoch: fields.take()?,
                start_id: u64::from_le_bytes(fields.take()?),
                first_seq: u64::from_le_bytes(fields.take()?),
                created: u64::from_le_bytes(fields.take()?),
                start_key: u64::from_le_bytes(fields.take()?),
                home: Home {
                    path: u32::from_le_bytes(fields.take()?),
                    file_system: u32::from_le_bytes(fields.take()?),
                },
            })
        };
        read().ok_or(BadHeader::Damaged)
    }

    /// Reads the header of an open segment; `path` is for errors.
    pub(crate) fn read(file: &File, path: &Path) -> Result<Header, ReadError> {
        let mut bytes = [0; HEADER];
        let filled = fill_at(file, &mut bytes, 0).map_err(|error| ReadError::io(path, 0, error))?;
        let path = path.to_owned();
        Header::decode(&bytes[..filled]).map_err(|bad| match bad {
            BadHeader::Foreign => ReadError::NotAJournal { path },
            BadHeader::Damaged => ReadError::DamagedHeader { path },
            BadHeader::Newer(found) => ReadError::NewerVersion { path, found, known: VERSION },
        })
    }
}

/// Reads until `into` is full or the file ends. How many bytes.
pub(crate) fn fill_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..)?.first_chunk().copied();
        self.at += N;
        taken
    }
}

/// The file of the segment that begins with `first_seq`.
pub(crate) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.{EXTENSION}"))
}

/// The first sequence numbers of the segments in `dir`, packed or not, in order.
pub(crate) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    // In this order: one that is packed between the two looks is seen by both, and not by none.
    let mut found = list(dir, EXTENSION)?;
    found.extend(list(dir, packed::EXTENSION)?);
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The first sequence numbers of the segments in `dir` whose names end so, in order. Other files are passed over.
pub(crate) fn list(dir: &Path, wanted: &str) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some((digits, ending)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let numeric = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if numeric
            && ending == wanted
            && let Ok(first_seq) = digits.parse()
        {
            found.push(first_seq);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Header = Header {
        epoch: [9; 16],
        start_id: 3,
        first_seq: 1 << 45,
        created: 77,
        start_key: 0x0807_0605_0403_0201,
        home: Home { path: 0x5555_5555, file_system: 0x6666_6666 },
        salt: 0xdead_beef,
    };

    #[test]
    fn header_round_trips_and_is_checked() {
        let bytes = SAMPLE.encode();
        assert_eq!(Header::decode(&bytes), Ok(SAMPLE));
        assert_eq!(bytes[56..76], *b"\x01\x02\x03\x04\x05\x06\x07\x08UUUUffff\0\0\0\0");
        for end in 0..HEADER {
            assert_eq!(Header::decode(&bytes[..end]), Err(BadHeader::Damaged), "cut at {end}");
        }
        for bit in 0..8 * HEADER {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_headers_are_told_apart() {
        let mut newer = SAMPLE.encode();
        newer[8] = 2;
        assert_eq!(Header::decode(&newer), Err(BadHeader::Newer(2)));
        assert_eq!(Header::decode(b"GlusterFS Changelog"), Err(BadHeader::Foreign));
        assert_eq!(Header::decode(&[0; 4096]), Err(BadHeader::Damaged));
    }

    #[test]
    fn a_listing_is_in_order_and_passes_over_other_files() {
        let dir = tempfile::tempdir().unwrap();
        for first_seq in [u64::MAX, 1, 500] {
            File::create(path(dir.path(), first_seq)).unwrap();
        }
        for other in ["lock", "1.gnj", "00000000000000000009.gnj.new", "x0000000000000000009.gnj"] {
            File::create(dir.path().join(other)).unwrap();
        }
        assert_eq!(list(dir.path(), EXTENSION).unwrap(), [1, 500, u64::MAX]);
    }
}
