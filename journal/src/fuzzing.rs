//! Doors for the fuzz targets in `fuzz/`, and for nobody else: this module is there only where cargo-fuzz
//! builds the crate.
//!
//! Nobody guesses a checksum, so bytes that come from a fuzzer would end at the first one. They are mended:
//! each frame gets its right checksum, unless the one that stands there is [`LEFT_BROKEN`].

#![allow(missing_docs, reason = "hidden")]

use std::path::Path;

use gnotify_record::{Fop, codec};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use xxhash_rust::xxh3::xxh3_64;

use crate::frame::{self, Draft, Kind, Parsed};
use crate::packed::codec::{self as packed_codec, Head, PackedHeader};
use crate::packed::pack::{Leave, write};
use crate::packed::{BLOCK_MAX, terse};
use crate::reader::{Cursor, SegmentBytes};
use crate::ring::file::slot_index;
use crate::ring::{Load, Slot};
use crate::segment::HEADER;
use crate::statement::{self, Body};
use crate::sync::Ordering;
use crate::{Cause, Gap, ReadError, Reader, Statement, What};

/// A checksum that stays as it is.
pub const LEFT_BROKEN: u32 = u32::MAX;

pub const SEGMENT_HEADER: usize = HEADER;

pub fn decode_statement(code: u8, body: &[u8]) -> Option<Statement<'_>> {
    statement::decode(code, body)
}

/// The number and the body of a statement.
pub fn encode_statement(statement: &Statement<'_>) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    Body::default().draft(0, Kind::Statement, 0, statement).put(1, &mut bytes);
    match frame::parse(&bytes, 0) {
        Parsed::Whole(frame) => (frame.code, frame.body.to_owned()),
        parsed => panic!("a statement's frame is {parsed:?}"),
    }
}

/// Makes the header and the frames of a segment look as if they had been written so.
pub fn mend_segment(bytes: &mut [u8]) {
    let Some((header, frames)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
    if header[HEADER - 4..] != LEFT_BROKEN.to_le_bytes() {
        header[..8].copy_from_slice(b"GNOTIFYJ");
        header[8..12].copy_from_slice(&[1, 0, HEADER as u8, 0]);
        let sum = xxh3_64(&header[..HEADER - 4]) as u32;
        header[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
    }
    let mut salt = [0; 4];
    salt.copy_from_slice(&header[12..16]);
    mend_frames(frames, u32::from_le_bytes(salt));
}

fn mend_frames(bytes: &mut [u8], salt: u32) {
    let mut at = 0;
    while let Some(frame) = bytes.get_mut(at..).filter(|frame| frame.len() >= frame::HEAD) {
        at += mend_frame(frame, salt).unwrap_or(8);
    }
}

/// Gives the padded length, where there is a frame.
fn mend_frame(bytes: &mut [u8], salt: u32) -> Option<usize> {
    let word = |at: usize| -> Option<u64> {
        bytes.get(8 * at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    };
    let (commit, second, time) = (word(0)?, word(1)?, word(2)?);
    let padded = frame::length(commit)?;
    let body = bytes.get(frame::HEAD..(commit & 0xffff) as usize)?;
    let kind = match commit >> 16 & 0xf {
        1 => Kind::Record,
        2 => Kind::Statement,
        _ => Kind::Repeated,
    };
    let tag = ((commit >> 20 & 0xf) << 24 | second >> 40) as u32;
    let draft = Draft::new(salt, kind, (commit >> 24) as u8, tag, time, body);
    let head = draft.head(second);
    assert_eq!(head[0] as u32, commit as u32, "a frame's head that does not come back");
    if (commit >> 32) as u32 != LEFT_BROKEN {
        bytes[..8].copy_from_slice(&head[0].to_le_bytes());
    }
    Some(padded)
}

/// Reads to the end: at most so many entries, each with a gap of the reader's own in front; each number is
/// accounted for once and in order.
pub fn read_to_end(reader: Result<Reader, ReadError>, entries: usize) {
    let Ok(mut reader) = reader else { return };
    let mut expected = None;
    let mut left = 2 * entries + 2;
    loop {
        let (seq, last) = match reader.next() {
            Ok(None) => return,
            Ok(Some(entry)) => match entry.what {
                What::Statement(Statement::Gap(Gap { to, .. }) | Statement::Void { to }) => {
                    (entry.seq, to.max(entry.seq))
                }
                _ => (entry.seq, entry.seq),
            },
            Err(ReadError::BadRecord { seq, .. } | ReadError::BadStatement { seq, .. }) => {
                (seq, seq)
            }
            Err(_) => return,
        };
        if let Some(expected) = expected {
            assert_eq!(seq, expected, "a number is left out, or told twice");
        }
        let Some(next) = last.checked_add(1) else { return };
        expected = Some(next);
        left = left.checked_sub(1).expect("more entries than there is room for");
    }
}

/// A block of a packed segment in which anything may stand.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Bytes behind the block before.
    pub ahead: u64,
    pub len: u32,
    pub number: u64,
    /// What is packed; or what is to be compressed first, with the length that it then has.
    pub bytes: &'a [u8],
    pub compressed: bool,
    /// Whether the checksums of the head and of what is packed are right.
    pub head_is_right: bool,
    pub sum_is_right: bool,
}

/// A packed segment of such blocks, and how many entries it may have.
pub fn packed_segment(header: &[u8; HEADER], len: u64, blocks: &[Block<'_>]) -> (Vec<u8>, usize) {
    let mut segment = header.to_vec();
    mend_segment(&mut segment);
    let salt = u32::from_le_bytes([segment[12], segment[13], segment[14], segment[15]]);
    let mut header = [0; HEADER];
    header.copy_from_slice(&segment);
    let mut bytes = PackedHeader { len, segment: header }.encode().to_vec();
    let (mut offset, mut most) = (HEADER as u64, 0);
    for block in blocks {
        let (packed, len) = if block.compressed {
            (block.bytes.to_vec(), block.len)
        } else {
            let whole = terse::read_up_to(block.bytes, block.number, salt, BLOCK_MAX as usize);
            let len = whole.map_or(block.len, |whole| whole.len() as u32);
            (compress_to_vec(block.bytes, CompressionLevel::Fastest), len)
        };
        offset = offset.saturating_add(block.ahead);
        let sum = packed_codec::sum(&packed, salt) ^ u64::from(!block.sum_is_right);
        let head = Head { packed: packed.len() as u32, len, offset, number: block.number, sum };
        let mut head = head.encode(salt);
        head[5] ^= u8::from(!block.head_is_right);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&packed);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        offset = offset.saturating_add(u64::from(len));
        most += len.min(BLOCK_MAX as u32) as usize / frame::HEAD + 1;
    }
    (bytes, most)
}

/// Packs the segment `raw` as `packed`, if it is one, and checks that it comes back byte for byte.
pub fn pack(raw: &Path, packed: &Path) {
    struct AllTheRoom;
    impl Leave for AllTheRoom {
        fn room(&mut self, _: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn goes_on(&self) -> bool {
            true
        }
    }
    let Ok(mut cursor) = Cursor::open(raw) else { return };
    let expected = std::fs::read(raw).expect("it was opened");
    let written = write(&mut cursor, expected.len() as u64, packed, &mut AllTheRoom);
    written.expect("it can be packed");
    let (_, mut opened, _) = SegmentBytes::open(packed).expect("it is a packed segment");
    let mut read = vec![1; expected.len() + 1];
    let len = opened.fill_at(&mut read, 0).expect("it can be read");
    assert!(read[..len] == expected, "it does not come back");
}

/// A ring in which anything may stand.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    pub salt: u32,
    pub reserve: u64,
    pub dropped: u64,
    pub drained: u64,
    pub next: u64,
    pub accounted: u64,
    pub unnamed: u64,
    /// What stands in the notes, and then in the frames; as much as fits.
    pub notes: &'a [u8],
    pub frames: &'a [u8],
}

/// Bytes of frames.
pub const RING_SIZE: usize = 64 << 10;

/// Notes of fops in flight.
const NOTES: u64 = 16;

/// The time of what recovery says itself: one that no frame of the ring has.
fn time_of_recovery(frames: &[u8]) -> u64 {
    let words = frames
        .chunks_exact(8)
        .map(|word| word.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    let words: std::collections::HashSet<u64> = words.collect();
    let mut time = 0x7777_7777_7777_7777;
    while words.contains(&time) {
        time += 1;
    }
    time
}

struct Words(Vec<u64>);

const MASK: u64 = (RING_SIZE / 8 - 1) as u64;

impl Load for Words {
    fn words(&self) -> u64 {
        MASK + 1
    }

    fn notes(&self) -> u64 {
        NOTES
    }

    fn load(&self, slot: Slot, _order: Ordering) -> u64 {
        self.0[slot_index(slot, MASK)]
    }
}

/// Recovers what a ring holds, and checks that each number from `expected` on is accounted for.
pub fn recover(ring: &Ring<'_>, expected: u64) {
    let frames_at = slot_index(Slot::Word(0), MASK);
    let mut words = vec![0; frames_at + RING_SIZE / 8];
    let mut put = |slot, value| words[slot_index(slot, MASK)] = value;
    put(Slot::Reserve, ring.reserve);
    put(Slot::Dropped, ring.dropped);
    put(Slot::Drained, ring.drained);
    put(Slot::Next, ring.next);
    put(Slot::Accounted, ring.accounted);
    put(Slot::Unnamed, ring.unnamed);
    let (head, frames) = words.split_at_mut(frames_at);
    let notes = slot_index(Slot::Note(0, 0), MASK)..slot_index(Slot::Note(NOTES, 0), MASK);
    fill(&mut head[notes], ring.notes);
    let mut bytes = ring.frames[..ring.frames.len().min(RING_SIZE)].to_owned();
    mend_frames(&mut bytes, ring.salt);
    fill(frames, &bytes);
    let time = time_of_recovery(&bytes);
    let found = crate::ring::recover(&Words(words), ring.salt, expected, time, Cause::Io);
    let (mut rest, mut next) = (&found.bytes[..], expected);
    while !rest.is_empty() {
        let Parsed::Whole(frame) = frame::parse(rest, ring.salt) else {
            panic!("recovery appends what is no frame, {} bytes before its end", rest.len());
        };
        assert_eq!(frame.low_seq, crate::sequence::low(next), "a number is left out");
        next += 1;
        if frame.time == time {
            match frame.kind {
                Kind::Statement => match statement::decode(frame.code, frame.body) {
                    Some(Statement::Gap(Gap { to, .. }) | Statement::Void { to }) => {
                        next = next.max(to.saturating_add(1));
                    }
                    statement => panic!("recovery says {statement:?}"),
                },
                _ => {
                    let record = codec::decode(Fop(frame.code), frame.tag, time, frame.body);
                    assert!(record.is_ok_and(|record| record.uncertain));
                }
            }
        }
        rest = &rest[frame.len()..];
    }
    assert_eq!(next, found.next, "a number is left out at the end");
}

fn fill(words: &mut [u64], bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}
