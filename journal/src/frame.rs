//! The frame: the one shape in which an entry lies in the ring and in a segment.
//!
//! FORMAT: `docs/format.md` draws it. The body is summed before a place in the ring is reserved, so that
//! the time between reserving and committing, in which the drain has to wait, holds only 24 bytes more to
//! sum and a copy.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::sequence;

/// Bytes in front of the body.
pub(crate) const HEAD: usize = 24;

/// The longest body.
pub(crate) const BODY_MAX: usize = u16::MAX as usize - HEAD;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A record.
    Record = 1,
    /// A statement.
    Statement = 2,
    /// A statement repeated at the beginning of a segment; it takes no sequence number.
    Repeated = 3,
}

impl Kind {
    pub(crate) fn from_bits(bits: u64) -> Option<Kind> {
        match bits & 0xf {
            1 => Some(Kind::Record),
            2 => Some(Kind::Statement),
            3 => Some(Kind::Repeated),
            _ => None,
        }
    }
}

/// A frame that has everything but its sequence number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft<'a> {
    /// Bits 0 to 31 of the commit word.
    low: u32,
    tag: u32,
    time: u64,
    body: &'a [u8],
    /// [`sum_body`] of the body.
    sum: u64,
}

impl<'a> Draft<'a> {
    /// Sums a frame; `body` is at most [`BODY_MAX`] bytes, `tag` at most 28 bits.
    #[inline]
    pub(crate) fn new(
        salt: u32,
        kind: Kind,
        code: u8,
        tag: u32,
        time: u64,
        body: &'a [u8],
    ) -> Draft<'a> {
        debug_assert!(body.len() <= BODY_MAX && tag >> 28 == 0);
        let len = (HEAD + body.len()) as u32;
        let low = len | (kind as u32) << 16 | (tag >> 24) << 20 | u32::from(code) << 24;
        Draft { low, tag, time, body, sum: sum_body(body, salt) }
    }

    /// Length with padding, in 8-byte words.
    pub(crate) fn words(&self) -> u64 {
        (HEAD + self.body.len()).div_ceil(8) as u64
    }

    /// The three words of the head; the first one commits the frame and is stored last.
    #[inline]
    pub(crate) fn head(&self, seq: u64) -> [u64; 3] {
        let second = sequence::low(seq) | u64::from(self.tag & 0x00ff_ffff) << sequence::BITS;
        let sum = sum_head(self.sum, self.low, second, self.time);
        [u64::from(self.low) | u64::from(sum) << 32, second, self.time]
    }

    /// Gives `store` each word of the body, the last one filled up with zeros.
    #[inline]
    pub(crate) fn each_word(&self, mut store: impl FnMut(u64)) {
        let (whole, rest) = self.body.as_chunks::<8>();
        for bytes in whole {
            store(u64::from_le_bytes(*bytes));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            store(u64::from_le_bytes(last));
        }
    }

    /// Appends the frame's bytes to `out`.
    pub(crate) fn put(&self, seq: u64, out: &mut Vec<u8>) {
        for word in self.head(seq) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        self.each_word(|word| out.extend_from_slice(&word.to_le_bytes()));
    }
}

/// A frame that was read and whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// The fop of a record, the number of a statement.
    pub(crate) code: u8,
    /// 28 bits that belong to the body.
    pub(crate) tag: u32,
    /// The sequence number's low 40 bits.
    pub(crate) low_seq: u64,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) body: &'a [u8],
}

impl Frame<'_> {
    /// Length with padding, in bytes.
    pub(crate) fn len(&self) -> usize {
        (HEAD + self.body.len()).next_multiple_of(8)
    }
}

/// What stands at a place where a frame may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A frame.
    Whole(Frame<'a>),
    /// What may be the beginning of a frame of this length, padding included.
    Partial(usize),
    /// No frame.
    Broken,
}

/// The length with padding, in bytes, that a commit word gives; `None` where it is none.
pub(crate) fn length(commit: u64) -> Option<usize> {
    let len = (commit & 0xffff) as usize;
    (len >= HEAD && Kind::from_bits(commit >> 16).is_some()).then(|| len.next_multiple_of(8))
}

/// Looks for a frame at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8], salt: u32) -> Parsed<'_> {
    let Some(commit) = word(bytes, 0) else { return Parsed::Partial(HEAD) };
    let (Some(padded), Some(kind)) = (length(commit), Kind::from_bits(commit >> 16)) else {
        return Parsed::Broken;
    };
    let (Some(bytes), Some(second), Some(time)) =
        (bytes.get(..padded), word(bytes, 1), word(bytes, 2))
    else {
        return Parsed::Partial(padded);
    };
    let body = &bytes[HEAD..(commit & 0xffff) as usize];
    if sum_head(sum_body(body, salt), commit as u32, second, time) != (commit >> 32) as u32 {
        return Parsed::Broken;
    }
    Parsed::Whole(Frame {
        kind,
        code: (commit >> 24) as u8,
        tag: ((commit >> 20) as u32 & 0xf) << 24 | (second >> sequence::BITS) as u32,
        low_seq: sequence::low(second),
        time,
        body,
    })
}

/// The low sequence bits at a place that may be a frame: what a search looks at before it sums.
pub(crate) fn low_seq_at(bytes: &[u8]) -> Option<u64> {
    word(bytes, 1).map(sequence::low)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(8 * at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The first half of the checksum. Keyed with the salt, so that bytes that a client chose are no frame.
#[inline]
fn sum_body(body: &[u8], salt: u32) -> u64 {
    xxh3_64_with_seed(body, u64::from(salt))
}

/// The checksum of a frame from that of its body. This half stands between reserving and committing.
#[inline]
fn sum_head(body: u64, low: u32, second: u64, time: u64) -> u32 {
    let mut head = [0; 20];
    head[..4].copy_from_slice(&low.to_le_bytes());
    head[4..12].copy_from_slice(&second.to_le_bytes());
    head[12..].copy_from_slice(&time.to_le_bytes());
    xxh3_64_with_seed(&head, body) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(
            salt: u32, code: u8, tag in 0u32..1 << 28, seq: u64, time: u64,
            body in proptest::collection::vec(any::<u8>(), 0..100),
            flip in 0usize..usize::MAX,
        ) {
            let draft = Draft::new(salt, Kind::Record, code, tag, time, &body);
            let mut bytes = Vec::new();
            draft.put(seq, &mut bytes);
            prop_assert_eq!(bytes.len() as u64, 8 * draft.words());
            let read = Frame {
                kind: Kind::Record, code, tag, low_seq: sequence::low(seq), time, body: &body,
            };
            prop_assert_eq!(parse(&bytes, salt), Parsed::Whole(read));
            for end in 0..bytes.len() {
                prop_assert!(matches!(parse(&bytes[..end], salt), Parsed::Partial(_)));
            }
            prop_assert_eq!(parse(&bytes, !salt), Parsed::Broken);
            // A flipped bit is found, wherever it is; in the length it may make a longer frame.
            let bit = flip % (8 * (HEAD + body.len()));
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(parse(&damaged, salt), Parsed::Whole(_)));
        }
    }

    #[test]
    fn the_longest_body_fits() {
        let body = vec![7; BODY_MAX];
        let mut bytes = Vec::new();
        Draft::new(1, Kind::Statement, 6, 0, 0, &body).put(1, &mut bytes);
        assert!(matches!(parse(&bytes, 1), Parsed::Whole(frame) if frame.body == body));
    }
}
