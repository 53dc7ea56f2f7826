//! The journal thread's side of the ring: read what is committed, and give the space back later.
//!
//! Reading and giving back are two steps, because between them the frames are written to the segment:
//! at any moment a committed frame is in the ring or in the segment.

use super::{Load, Memory, POSITION_MASK, Reserve, Ring, Slot, distance};
use crate::frame::{self, Kind, Parsed};
use crate::sequence;
use crate::statement::{Body, Cause, Gap, Statement};
use crate::sync::{Ordering, fence};

/// How far the ring is consumed; there is one.
#[derive(Debug)]
pub(crate) struct Drain {
    position: u64,
    next: u64,
    accounted: u64,
}

/// Frames that were read, as they go into the segment.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Ends of frames, at each of which the batch may be consumed.
    pub(crate) marks: Vec<Mark>,
    /// Where in the bytes the statements' frames begin.
    pub(crate) statements: Vec<usize>,
    /// Whether there is a record among the frames.
    pub(crate) records: bool,
    body: Body,
}

/// An end of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// Bytes of the batch up to it.
    pub(crate) end: usize,
    /// The lowest number behind it.
    pub(crate) next: u64,
    position: u64,
    accounted: u64,
}

/// A commit word that gives no length: nothing behind it can be found any more. The memory is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingDamaged;

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.statements.clear();
        self.records = false;
    }
}

impl Drain {
    /// Begins where the ring says.
    pub(crate) fn new(ring: &Ring<impl Load>) -> Drain {
        Drain {
            position: ring.memory.load(Slot::Drained, Ordering::Acquire),
            next: ring.memory.load(Slot::Next, Ordering::Acquire),
            accounted: ring.memory.load(Slot::Accounted, Ordering::Acquire),
        }
    }

    /// The lowest number that is not consumed.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether nothing was reserved that is not consumed.
    pub(crate) fn is_all(&self, ring: &Ring<impl Load>) -> bool {
        let reserve = Reserve(ring.memory.load(Slot::Reserve, Ordering::Acquire));
        reserve == Reserve::new(self.position, self.next)
    }

    /// Reads committed frames in order into `batch`, up to `limit` bytes but at least one, with a GAP
    /// for each stretch of numbers that were dropped. `time` is for those.
    pub(crate) fn read(
        &self,
        ring: &Ring<impl Load>,
        batch: &mut Batch,
        limit: usize,
        time: u64,
    ) -> Result<(), RingDamaged> {
        batch.clear();
        let Drain { mut position, mut next, mut accounted } = *self;
        let mut cause = Cause::RingFull;
        // Once around at most: in a full ring the frames begin again behind the last one.
        while distance(self.position, position) < ring.memory.words() {
            let commit = ring.memory.load(Slot::Word(position), Ordering::Acquire);
            if commit == 0 {
                break;
            }
            let len = frame::length(commit).ok_or(RingDamaged)?;
            let start = batch.bytes.len();
            if start + len > limit && start > 0 {
                return Ok(());
            }
            for word in 0..(len / 8) as u64 {
                let word = ring.memory.load(Slot::Word(position + word), Ordering::Relaxed);
                batch.bytes.extend_from_slice(&word.to_le_bytes());
            }
            position = (position + (len / 8) as u64) & POSITION_MASK;
            match frame::parse(&batch.bytes[start..], ring.salt) {
                Parsed::Whole(frame) => {
                    let (kind, seq) = (frame.kind, sequence::widen(frame.low_seq, next));
                    if seq > next {
                        // In front of the frame: its bytes are read again behind the gap.
                        let bytes = batch.bytes.split_off(start);
                        accounted += batch.gap(ring.salt, next, seq - 1, cause, time);
                        batch.bytes.extend_from_slice(&bytes);
                    }
                    match kind {
                        Kind::Record => batch.records = true,
                        Kind::Statement | Kind::Repeated => {
                            batch.statements.push(batch.bytes.len() - len);
                        }
                    }
                    next = seq + 1;
                    cause = Cause::RingFull;
                }
                // The memory is at fault, but the length leads on to the next frame, whose number
                // shows what is missing.
                Parsed::Partial(_) | Parsed::Broken => {
                    batch.bytes.truncate(start);
                    cause = Cause::Damaged;
                }
            }
            batch.marks.push(Mark { end: batch.bytes.len(), next, position, accounted });
        }
        // One load tells both: nothing is reserved here, and yet the numbers went on.
        let reserve = Reserve(ring.memory.load(Slot::Reserve, Ordering::Acquire));
        let reserved = sequence::widen(reserve.low_seq(), next);
        if reserve.position() == position && reserved > next {
            accounted += batch.gap(ring.salt, next, reserved - 1, cause, time);
            next = reserved;
            batch.marks.push(Mark { end: batch.bytes.len(), next, position, accounted });
        }
        Ok(())
    }

    /// Gives back the space up to `mark`. What was read to there must be in the segment, or is lost.
    pub(crate) fn consume(&mut self, ring: &Ring<impl Memory>, mark: &Mark) {
        // The number first: a number below it that is in neither the ring nor the segment is lost,
        // and recovery must not take it for one that was never committed.
        ring.memory.store(Slot::Next, mark.next, Ordering::Release);
        fence(Ordering::Release);
        for word in 0..distance(self.position, mark.position) {
            ring.memory.store(Slot::Word(self.position + word), 0, Ordering::Relaxed);
        }
        ring.memory.store(Slot::Accounted, mark.accounted, Ordering::Release);
        ring.memory.store(Slot::Drained, mark.position, Ordering::Release);
        *self = Drain { position: mark.position, next: mark.next, accounted: mark.accounted };
    }
}

impl Batch {
    /// Appends a GAP, and gives how many of its numbers were dropped by producers.
    fn gap(&mut self, salt: u32, from: u64, to: u64, cause: Cause, time: u64) -> u64 {
        let lost = Some(to - from + 1);
        let statement = Statement::Gap(Gap { to, cause, lost });
        self.body.draft(salt, Kind::Statement, time, &statement).put(from, &mut self.bytes);
        if cause == Cause::RingFull { to - from + 1 } else { 0 }
    }
}
