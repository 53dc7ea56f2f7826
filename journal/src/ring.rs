//! The ring: where a fop leaves its record, in memory that outlives the process.
//!
//! Producers reserve space and a sequence number by one compare-and-swap on one word, copy the frame,
//! and commit it by one store. The journal thread reads committed frames in order, and gives their
//! space back only when they are in the segment. After a kill the next start finds in the ring
//! whatever the segment does not have.
//!
//! INVARIANT: every word between the end of what is reserved and the drained position (going round)
//! is zero. So the first word of a reserved frame is zero until the frame is committed.
//!
//! The words are reached through [`Memory`], because they lie in a mapped file in production, in
//! loom's own atomics in its models, and in memory that dies at a given step in the tests of recovery.

mod append;
mod drain;
pub(crate) mod file;
mod map;
#[cfg(all(test, not(loom)))]
mod note_tests;
mod notes;
mod recover;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::sequence;
use crate::sync::Ordering;

pub(crate) use append::Reserved;
pub(crate) use drain::{Batch, Drain, Mark, RingDamaged};
pub(crate) use map::Mapping;
pub use notes::InFlight;
#[cfg(all(test, loom))]
pub(crate) use notes::{NOTE_WORDS, Notes};
pub(crate) use recover::{Recovered, recover};

/// A word of the ring's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// What is reserved: [`Reserve`].
    Reserve,
    /// How many numbers were dropped because the ring was full: counted before they are.
    Dropped,
    /// Position up to which the journal thread has given space back.
    Drained,
    /// The lowest number that the journal thread has not consumed, in full width.
    Next,
    /// How many of the dropped numbers the journal thread has accounted for.
    Accounted,
    /// How many fops are in flight that found no free note.
    Unnamed,
    /// A word of a note: which note, which word.
    Note(u64, u64),
    /// A word of the frames, at a position modulo the ring's size.
    Word(u64),
}

/// Memory that can be looked at.
pub(crate) trait Load {
    /// Size of the part for frames in words: a power of two, at most 2^23.
    fn words(&self) -> u64;
    /// How many notes there are: a power of two.
    fn notes(&self) -> u64;
    fn load(&self, slot: Slot, order: Ordering) -> u64;
}

/// Memory that is shared by the producers and the journal thread.
pub(crate) trait Memory: Load {
    fn store(&self, slot: Slot, value: u64, order: Ordering);
    /// Compares and swaps, with [`Ordering::AcqRel`], or [`Ordering::Acquire`] where it fails; it may
    /// fail without reason.
    fn exchange(&self, slot: Slot, current: u64, new: u64) -> Result<u64, u64>;
    /// Adds, with [`Ordering::Relaxed`], wrapping around.
    fn add(&self, slot: Slot, value: u64);
    /// Has the word brought near, for a store that comes soon.
    fn fetch(&self, _slot: Slot) {}
}

/// The reserve word: a position (24 bits, in words) and the next sequence number (40 bits). It changes
/// with each reservation and never takes a value again, so that a compare-and-swap on it cannot be
/// deceived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserve(u64);

const POSITION_BITS: u32 = 64 - sequence::BITS;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

impl Reserve {
    fn new(position: u64, seq: u64) -> Reserve {
        Reserve(position & POSITION_MASK | sequence::low(seq) << POSITION_BITS)
    }

    fn position(self) -> u64 {
        self.0 & POSITION_MASK
    }

    fn low_seq(self) -> u64 {
        self.0 >> POSITION_BITS
    }
}

/// Words from position `from` to `to`.
fn distance(from: u64, to: u64) -> u64 {
    to.wrapping_sub(from) & POSITION_MASK
}

/// The ring of a start of the brick.
#[derive(Debug)]
pub(crate) struct Ring<M> {
    memory: M,
    salt: u32,
    /// Words that fops leave free for the statements of the journal thread.
    headroom: u64,
    rotation: notes::Rotation,
}

impl<M: Load> Ring<M> {
    pub(crate) fn new(memory: M, salt: u32, headroom: u64) -> Ring<M> {
        Ring { memory, salt, headroom, rotation: notes::Rotation::new() }
    }

    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// How many words are reserved and not given back.
    pub(crate) fn used(&self) -> u64 {
        let reserve = Reserve(self.memory.load(Slot::Reserve, Ordering::Acquire));
        let drained = self.memory.load(Slot::Drained, Ordering::Acquire);
        // The drain may have overtaken the first word that was read.
        let used = distance(drained, reserve.position());
        if used > self.memory.words() { 0 } else { used }
    }

    pub(crate) fn words(&self) -> u64 {
        self.memory.words()
    }

    /// Whether a frame of so many words at `position` reaches into another eighth of the ring.
    pub(crate) fn begins_eighth(&self, position: u64, words: u64) -> bool {
        let eighth = self.memory.words() / 8;
        (position ^ (position + words)) & !(eighth - 1) != 0
    }

    /// The number that the next reservation gets.
    pub(crate) fn next_seq(&self) -> u64 {
        let near = self.consumed();
        let reserve = Reserve(self.memory.load(Slot::Reserve, Ordering::Acquire));
        sequence::widen(reserve.low_seq(), near)
    }

    /// The lowest number that the journal thread has not consumed.
    pub(crate) fn consumed(&self) -> u64 {
        self.memory.load(Slot::Next, Ordering::Acquire)
    }

    /// How many numbers were dropped because the ring was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.memory.load(Slot::Dropped, Ordering::Relaxed)
    }
}
