//! The bytes of a packed segment: its header, and what stands in front of each block.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{BLOCK_MAX, VERSION};
use crate::segment::{self, BadHeader, Header};

/// Length of the header, in bytes.
pub(crate) const HEADER: usize = 112;

/// Length of a block's head, in bytes.
pub(crate) const HEAD: usize = 40;

/// How a packed segment begins.
pub(crate) const MAGIC: &[u8; 8] = b"GNOTIFYZ";

/// How a block begins.
const BLOCK_MAGIC: &[u8; 4] = b"GNZB";

/// What the header of a packed segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedHeader {
    /// Bytes of the segment.
    pub(crate) len: u64,
    /// The segment's own header, byte for byte.
    pub(crate) segment: [u8; segment::HEADER],
}

/// What stands in front of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the block behind the head, without filling.
    pub(crate) packed: u32,
    /// Bytes of the segment that it holds.
    pub(crate) len: u32,
    /// Where they are in the segment.
    pub(crate) offset: u64,
    /// No entry in it has a lower number.
    pub(crate) number: u64,
    /// [`sum`] of the bytes behind the head.
    pub(crate) sum: u64,
}

impl PackedHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(HEADER as u16).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        bytes[24..24 + segment::HEADER].copy_from_slice(&self.segment);
        let sum = xxh3_64(&bytes[..HEADER - 4]) as u32;
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Gives the header of the segment too.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(PackedHeader, Header), BadHeader> {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if start != &MAGIC[..start.len()] {
            return Err(BadHeader::Damaged);
        }
        let version = bytes.get(8..).and_then(|bytes| bytes.first_chunk());
        // Before the checksum: where it stands, only the version tells.
        match version.map(|version| u16::from_le_bytes(*version)) {
            Some(version) if version > VERSION => return Err(BadHeader::Newer(version)),
            _ => {}
        }
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(BadHeader::Damaged)?;
        let mut len = [0; 8];
        len.copy_from_slice(&bytes[16..24]);
        let mut segment = [0; segment::HEADER];
        segment.copy_from_slice(&bytes[24..24 + segment::HEADER]);
        let header = PackedHeader { len: u64::from_le_bytes(len), segment };
        // Nothing else has these bytes.
        if header.encode() != *bytes || header.len < segment::HEADER as u64 {
            return Err(BadHeader::Damaged);
        }
        let segment = Header::decode(&header.segment)?;
        Ok((header, segment))
    }
}

impl Head {
    pub(crate) fn encode(&self, salt: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(BLOCK_MAGIC);
        bytes[8..12].copy_from_slice(&self.packed.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.sum.to_le_bytes());
        let sum = sum(&bytes[8..], salt) as u32;
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`; `None` where there is none.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Head> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<4>()?;
        if magic != BLOCK_MAGIC || (sum(rest, salt) as u32).to_le_bytes() != *check {
            return None;
        }
        let (packed, rest) = rest.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<8>()?;
        let head = Head {
            packed: u32::from_le_bytes(*packed),
            len: u32::from_le_bytes(*len),
            offset: u64::from_le_bytes(*offset),
            number: u64::from_le_bytes(*number),
            sum: u64::from_le_bytes(*sum),
        };
        let sized = 0 < head.len
            && u64::from(head.len) <= BLOCK_MAX
            && 0 < head.packed
            && u64::from(head.packed) <= 2 * BLOCK_MAX;
        let placed = head.offset >= segment::HEADER as u64 && head.offset.is_multiple_of(8);
        (sized && placed && head.offset.checked_add(BLOCK_MAX).is_some()).then_some(head)
    }

    /// Bytes of the block in the file: head, what is packed, and filling.
    pub(crate) fn room(&self) -> u64 {
        (HEAD as u64 + u64::from(self.packed)).next_multiple_of(8)
    }

    /// Where the bytes of the segment that it holds end.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// The checksum in a block. Keyed with the salt, so that bytes that a client chose are no block.
pub(crate) fn sum(bytes: &[u8], salt: u32) -> u64 {
    xxh3_64_with_seed(bytes, u64::from(salt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn sample() -> PackedHeader {
        let header = Header {
            epoch: [9; 16],
            start_id: 3,
            first_seq: 1 << 45,
            created: 77,
            start_key: 8,
            home: Home::UNKNOWN,
            salt: 0xdead_beef,
        };
        PackedHeader { len: 4096, segment: header.encode() }
    }

    #[test]
    fn a_header_round_trips_and_is_checked() {
        let bytes = sample().encode();
        let (header, segment) = PackedHeader::decode(&bytes).unwrap();
        assert_eq!((header, segment.first_seq), (sample(), 1 << 45));
        for end in 0..HEADER {
            assert_eq!(PackedHeader::decode(&bytes[..end]), Err(BadHeader::Damaged), "at {end}");
        }
        for bit in 0..8 * HEADER {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(PackedHeader::decode(&damaged).is_err(), "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 3;
        assert_eq!(PackedHeader::decode(&newer), Err(BadHeader::Newer(3)));
        let short = PackedHeader { len: 79, ..sample() };
        assert_eq!(PackedHeader::decode(&short.encode()), Err(BadHeader::Damaged));
    }

    #[test]
    fn a_head_round_trips_and_is_checked() {
        let head = Head { packed: 77, len: 4096, offset: 80, number: 1 << 45, sum: 7 };
        let bytes = head.encode(5);
        assert_eq!(Head::decode(&bytes, 5), Some(head));
        assert_eq!((head.room(), head.end()), (120, 4176));
        assert_eq!(Head::decode(&bytes, 6), None, "another start's");
        assert_eq!(Head::decode(&bytes[..HEAD - 1], 5), None);
        for bit in 0..8 * HEAD {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&damaged, 5), None, "bit {bit}");
        }
        for odd in [
            Head { len: 0, ..head },
            Head { len: BLOCK_MAX as u32 + 1, ..head },
            Head { packed: 0, ..head },
            Head { packed: u32::MAX, ..head },
            Head { offset: 72, ..head },
            Head { offset: 81, ..head },
            Head { offset: u64::MAX - 7, ..head },
        ] {
            assert_eq!(Head::decode(&odd.encode(5), 5), None, "{odd:?}");
        }
    }
}
