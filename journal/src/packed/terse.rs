//! Frames without what follows from the rest: checksum, consecutive number, filling.
//!
//! A checksum cannot be compressed, and a number that counts up hides how alike two frames are. Left out, a
//! segment takes a third less space than its frames compressed as they are. What is no whole frame stays as it
//! is, so that every segment comes back byte for byte.
//!
//! FORMAT: `docs/format.md`, section 7.

use gnotify_record::varint;

use crate::frame::{self, Draft, Frame, HEAD, Kind, Parsed};
use crate::sequence::{self, low};

/// Set in an item's first word where its number stands in it: it is not the one that was due.
const NUMBERED: u32 = 1 << 19;

/// Bytes of a number that stands in an item.
const NUMBER: usize = sequence::BITS as usize / 8;

/// Bytes of the tag behind an item's first word; its upper four bits are in that.
const TAG: usize = 3;

/// The most bytes that are no frame in one item: a multiple of 8.
const PLAIN: usize = 0xfff8;

/// What both sides know of the frame that comes next.
struct Due {
    /// Its number, 40 bits.
    number: u64,
    /// The time of the one before.
    time: u64,
}

impl Due {
    fn new(number: u64) -> Due {
        Due { number: low(number), time: 0 }
    }

    fn pass(&mut self, kind: Kind, number: u64, time: u64) {
        // A repeated statement takes no number.
        let step = u64::from(kind != Kind::Repeated);
        *self = Due { number: low(number.wrapping_add(step)), time };
    }
}

/// The most bytes that so many bytes of a segment may become: 4 more for each 8.
pub(super) fn most(len: usize) -> usize {
    len + len / 2 + 16
}

/// Writes `bytes` of a segment; `number` is that of the first entry, where nothing is missing.
pub(super) fn write(bytes: &[u8], number: u64, salt: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut due = Due::new(number);
    let (mut at, mut plain) = (0, 0);
    while at < bytes.len() {
        match frame::parse(&bytes[at..], salt) {
            Parsed::Whole(frame) if is_filled(&bytes[at..], &frame) => {
                put_plain(&bytes[plain..at], &mut out);
                put_frame(&frame, &mut due, &mut out);
                at += frame.len();
                plain = at;
            }
            _ => at = bytes.len().min(at + 8),
        }
    }
    put_plain(&bytes[plain..], &mut out);
    out
}

/// Whether a frame is followed by zeros up to the next one.
fn is_filled(bytes: &[u8], frame: &Frame<'_>) -> bool {
    bytes[HEAD + frame.body.len()..frame.len()].iter().all(|byte| *byte == 0)
}

fn put_plain(bytes: &[u8], out: &mut Vec<u8>) {
    for plain in bytes.chunks(PLAIN) {
        out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        out.extend_from_slice(plain);
    }
}

fn put_frame(frame: &Frame<'_>, due: &mut Due, out: &mut Vec<u8>) {
    let Frame { kind, code, tag, low_seq, time, body } = *frame;
    let mut word = (HEAD + body.len()) as u32 | (kind as u32) << 16;
    word |= tag >> 24 << 20 | u32::from(code) << 24;
    if low_seq != due.number {
        word |= NUMBERED;
    }
    out.extend_from_slice(&word.to_le_bytes());
    if low_seq != due.number {
        out.extend_from_slice(&low_seq.to_le_bytes()[..NUMBER]);
    }
    out.extend_from_slice(&tag.to_le_bytes()[..TAG]);
    let (later, len) = varint::encode(varint::zigzag(time.wrapping_sub(due.time) as i64));
    out.extend_from_slice(&later[..len]);
    out.extend_from_slice(body);
    due.pass(kind, low_seq, time);
}

/// The bytes of a segment that [`write`] was given, if they are `len`.
pub(super) fn read(terse: &[u8], number: u64, salt: u32, len: usize) -> Option<Vec<u8>> {
    read_up_to(terse, number, salt, len).filter(|bytes| bytes.len() == len)
}

/// As [`read`], if they are `len` at most.
pub(crate) fn read_up_to(terse: &[u8], number: u64, salt: u32, len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len);
    let mut due = Due::new(number);
    let mut rest = terse;
    while !rest.is_empty() {
        let word = u32::from_le_bytes(*take(&mut rest)?);
        let size = (word & 0xffff) as usize;
        if word >> 16 & 0xf == 0 {
            let plain = rest.split_off(..size)?;
            out.extend_from_slice(plain);
        } else {
            read_frame(word, &mut rest, &mut due, salt, &mut out)?;
        }
        if out.len() > len || size == 0 {
            return None;
        }
    }
    Some(out)
}

fn read_frame(
    word: u32,
    rest: &mut &[u8],
    due: &mut Due,
    salt: u32,
    out: &mut Vec<u8>,
) -> Option<()> {
    let kind = Kind::from_bits(u64::from((word & !NUMBERED) >> 16))?;
    let seq = if word & NUMBERED == 0 { due.number } else { number(take::<NUMBER>(rest)?) };
    let tag = number(take::<TAG>(rest)?) as u32 | (word >> 20 & 0xf) << 24;
    let (later, len) = varint::decode(rest)?;
    rest.split_off(..len)?;
    let time = due.time.wrapping_add(varint::unzigzag(later) as u64);
    let body = rest.split_off(..((word & 0xffff) as usize).checked_sub(HEAD)?)?;
    Draft::new(salt, kind, (word >> 24) as u8, tag, time, body).put(seq, out);
    due.pass(kind, seq, time);
    Some(())
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: u32 = 9;

    /// What may stand in a segment.
    #[derive(Debug, Clone)]
    enum Part {
        Frame { kind: u8, code: u8, tag: u32, ahead: u64, time: u64, body: Vec<u8> },
        Damage(Vec<u8>),
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let body = || proptest::collection::vec(any::<u8>(), 0..60);
        let ahead = prop_oneof![4 => Just(0u64), 1 => any::<u64>()];
        let frame = (1u8..4, any::<u8>(), 0u32..1 << 28, ahead, any::<u64>(), body());
        let frame = frame.prop_map(|(kind, code, tag, ahead, time, body)| Part::Frame {
            kind,
            code,
            tag,
            ahead,
            time,
            body,
        });
        let part = prop_oneof![4 => frame, 1 => body().prop_map(Part::Damage)];
        proptest::collection::vec(part, 0..20)
    }

    proptest! {
        #[test]
        fn round_trip(parts in parts(), first: u64) {
            let (mut bytes, mut seq) = (Vec::new(), first);
            for part in parts {
                match part {
                    Part::Frame { kind, code, tag, ahead, time, body } => {
                        let kind = Kind::from_bits(u64::from(kind)).unwrap();
                        seq = seq.wrapping_add(ahead);
                        Draft::new(SALT, kind, code, tag, time, &body).put(seq, &mut bytes);
                        seq = seq.wrapping_add(u64::from(kind != Kind::Repeated));
                    }
                    Part::Damage(noise) => bytes.extend_from_slice(&noise),
                }
            }
            let terse = write(&bytes, first, SALT);
            prop_assert!(terse.len() <= most(bytes.len()));
            prop_assert_eq!(read(&terse, first, SALT, bytes.len()), Some(bytes.clone()));
            prop_assert_eq!(read(&terse, first, SALT, bytes.len() + 1), None);
            if let Some(less) = bytes.len().checked_sub(1) {
                prop_assert_eq!(read(&terse, first, SALT, less), None);
            }
        }

        #[test]
        fn anything_is_read_or_refused(terse: Vec<u8>, len in 0usize..300) {
            if let Some(bytes) = read(&terse, 5, SALT, len) {
                prop_assert_eq!(bytes.len(), len);
            }
        }
    }

    #[test]
    fn a_frame_in_order_is_its_body_and_little_else() {
        let mut bytes = Vec::new();
        for seq in 7..9 {
            Draft::new(SALT, Kind::Record, 13, 1 << 27, 1000, b"body").put(seq, &mut bytes);
        }
        let terse = write(&bytes, 7, SALT);
        assert_eq!(terse, *b"\x1c\x00\x81\x0d\0\0\0\xd0\x0fbody\x1c\x00\x81\x0d\0\0\0\0body");
        let terse = write(&bytes, 6, SALT);
        assert_eq!(terse[..12], *b"\x1c\x00\x89\x0d\x07\0\0\0\0\0\0\0");
    }

    #[test]
    fn filling_that_is_not_zeros_comes_back() {
        let mut bytes = Vec::new();
        Draft::new(SALT, Kind::Record, 13, 0, 1, b"body").put(7, &mut bytes);
        let last = bytes.len() - 1;
        bytes[last] = 1;
        let terse = write(&bytes, 7, SALT);
        assert_eq!(terse.len(), 4 + bytes.len());
        assert_eq!(read(&terse, 7, SALT, bytes.len()), Some(bytes));
    }
}
