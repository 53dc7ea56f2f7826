//! What a killed process left in its ring: the frames that its segment does not have yet.
//!
//! Each number between the segment's end and the last one reserved is accounted for. A committed frame
//! is taken. A number that the journal thread had consumed without writing it is lost, to an I/O error. One
//! whose place holds no committed frame was never answered: VOID. One without a place was dropped. Only
//! where places without a frame and dropped numbers lie side by side are the two not told apart,
//! and a GAP of unknown count covers both.
//!
//! Behind all of them stand the fops that were in flight: an uncertain record for each that had a note, and
//! a GAP for those that were only counted. They have the numbers behind the last one reserved, always the
//! same ones, so that a recovery that was itself cut off goes on with those that are missing.
//!
//! The ring is only read, so that a kill during recovery changes nothing.

use gnotify_record::codec;

use super::notes::Notes;
use super::{Load, POSITION_MASK, Reserve, Slot, distance};
use crate::frame::{self, Draft, Kind, Parsed};
use crate::sequence;
use crate::statement::{Body, Cause, Gap, Statement};
use crate::sync::Ordering;

/// How many fops in flight without a note are believed.
const UNNAMED_MAX: u64 = 1 << 20;

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Frames to append to the segment.
    pub(crate) bytes: Vec<u8>,
    /// The lowest number that is not accounted for behind them.
    pub(crate) next: u64,
    /// Time of the newest frame that was taken.
    pub(crate) time: Option<u64>,
    body: Body,
}

/// Reads what a ring has from number `expected` on, the first that the segment does not account for.
/// `time` is for the statements about what is missing, `written_off` the cause where the journal thread had
/// consumed a number that the segment does not have.
pub(crate) fn recover(
    memory: &impl Load,
    salt: u32,
    expected: u64,
    time: u64,
    written_off: Cause,
) -> Recovered {
    // Ahead of the ring: a note is cleared when the record is there.
    let notes = Notes::read(memory);
    let consumed = memory.load(Slot::Next, Ordering::Acquire);
    let reserve = Reserve(memory.load(Slot::Reserve, Ordering::Acquire));
    let drops = Drops {
        consumed,
        pending: memory.load(Slot::Dropped, Ordering::Acquire)
            != memory.load(Slot::Accounted, Ordering::Acquire),
        written_off,
        salt,
        time,
    };
    let reserved = sequence::widen(reserve.low_seq(), consumed);
    let mut position = memory.load(Slot::Drained, Ordering::Acquire);
    let mut found = Recovered::nothing(expected);
    // Whether words were passed since the last frame that are no committed one.
    let mut hole = false;
    let mut bytes = Vec::new();
    // More than the ring holds is damage of the head: once around is all there is.
    let reserved_words = distance(position, reserve.position()).min(memory.words());
    let end = (position + reserved_words) & POSITION_MASK;
    while distance(position, end) != 0 {
        let left = distance(position, end);
        let Some(seq) = frame_at(memory, position, left, salt, consumed, &mut bytes)
            .map(|low_seq| sequence::widen(low_seq, consumed))
            .filter(|seq| *seq < reserved)
        else {
            // How long the frame would have become is not known: the next one may begin anywhere.
            hole = true;
            position = (position + 1) & POSITION_MASK;
            continue;
        };
        if seq >= found.next {
            found.account(seq, hole, &drops);
            found.time = frame_time(&bytes).or(found.time);
            found.bytes.extend_from_slice(&bytes);
            found.next = seq + 1;
        }
        hole = false;
        position = (position + (bytes.len() / 8) as u64) & POSITION_MASK;
    }
    found.account(reserved, hole, &drops);
    found.in_flight(&notes, reserved, &drops);
    found
}

/// What tells apart why a number has no frame.
struct Drops {
    consumed: u64,
    /// Whether numbers were dropped that the journal thread has not seen.
    pending: bool,
    written_off: Cause,
    salt: u32,
    time: u64,
}

impl Recovered {
    /// Where there is no ring to read.
    pub(crate) fn nothing(next: u64) -> Recovered {
        Recovered { bytes: Vec::new(), next, time: None, body: Body::default() }
    }

    /// Accounts for the numbers from the next one to before `seq`.
    fn account(&mut self, seq: u64, hole: bool, drops: &Drops) {
        let gap = |to, cause, lost| Statement::Gap(Gap { to, cause, lost });
        let written_off = drops.consumed.min(seq);
        if self.next < written_off {
            let lost = Some(written_off - self.next);
            let statement = gap(written_off - 1, drops.written_off, lost);
            self.put_behind(&statement, drops.salt, drops.time, written_off);
        }
        if self.next < seq {
            let statement = match (hole, drops.pending) {
                (true, false) => Statement::Void { to: seq - 1 },
                (true, true) => gap(seq - 1, Cause::RingFull, None),
                (false, _) => gap(seq - 1, Cause::RingFull, Some(seq - self.next)),
            };
            self.put_behind(&statement, drops.salt, drops.time, seq);
        }
    }

    /// Tells of fops in flight, whose numbers begin with `seq`.
    fn in_flight(&mut self, notes: &Notes, mut seq: u64, drops: &Drops) {
        let mut body = codec::Body::new();
        for record in &notes.records {
            // Else a recovery that was cut off has appended it.
            if seq >= self.next {
                let tag = codec::encode(record, drops.time, &mut body);
                Draft::new(drops.salt, Kind::Record, record.fop.0, tag, drops.time, &body)
                    .put(seq, &mut self.bytes);
                self.next = seq + 1;
            }
            seq += 1;
        }
        if notes.unnamed > 0 && seq >= self.next {
            // The count is not relied on: the memory may be at fault.
            let lost = Some(notes.unnamed).filter(|count| *count <= UNNAMED_MAX);
            let to = seq + lost.unwrap_or(1) - 1;
            let gap = Gap { to, cause: Cause::InFlight, lost };
            self.put_behind(&Statement::Gap(gap), drops.salt, drops.time, to + 1);
        }
    }

    /// Appends a statement that covers the numbers from the next one to before `next`.
    pub(crate) fn put_behind(
        &mut self,
        statement: &Statement<'_>,
        salt: u32,
        time: u64,
        next: u64,
    ) {
        self.body.draft(salt, Kind::Statement, time, statement).put(self.next, &mut self.bytes);
        self.next = next;
    }
}

/// Reads the frame at a position into `bytes`, and gives its low sequence bits. `left` is how many words are
/// reserved from there on.
fn frame_at(
    memory: &impl Load,
    position: u64,
    left: u64,
    salt: u32,
    near: u64,
    bytes: &mut Vec<u8>,
) -> Option<u64> {
    let commit = memory.load(Slot::Word(position), Ordering::Acquire);
    let words = (frame::length(commit)? / 8) as u64;
    if words > left {
        return None;
    }
    // Spares summing most of what only looks like a commit word: a ring has far fewer numbers.
    let second = memory.load(Slot::Word(position + 1), Ordering::Relaxed);
    let seq = sequence::widen(sequence::low(second), near);
    if seq.abs_diff(near) > 1 << 32 {
        return None;
    }
    bytes.clear();
    bytes.extend_from_slice(&commit.to_le_bytes());
    for word in 1..words {
        let word = memory.load(Slot::Word(position + word), Ordering::Relaxed);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    match frame::parse(bytes, salt) {
        Parsed::Whole(frame) => Some(frame.low_seq),
        Parsed::Partial(_) | Parsed::Broken => None,
    }
}

fn frame_time(bytes: &[u8]) -> Option<u64> {
    bytes.get(16..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
