//! The producers' side of the ring: reserve, copy, commit. No lock, no system call, no waiting.

use super::{Memory, Reserve, Ring, Slot, distance};
use crate::frame::Draft;
use crate::sequence;
use crate::sync::Ordering;

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Space at a position, and a sequence number.
    Place {
        /// The first word.
        position: u64,
        /// The number.
        seq: u64,
    },
    /// There is no space; the number stands for what is lost.
    Dropped(u64),
    /// There is no space, and no number was taken.
    Refused,
}

/// What to do where there is no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Drop,
    Refuse,
}

/// Words of a cache line.
const CACHE_LINE: u64 = 8;

impl<M: Memory> Ring<M> {
    /// Appends a frame of a fop. Where there is no space, its number is used up, so that the drain
    /// sees that it is missing. Never [`Reserved::Refused`].
    pub(crate) fn append(&self, draft: &Draft<'_>) -> Reserved {
        self.append_within(draft, self.memory.words() - self.headroom, Full::Drop)
    }

    /// Appends a frame that its author tries again later where there is no space.
    pub(crate) fn offer(&self, draft: &Draft<'_>) -> Reserved {
        self.append_within(draft, self.memory.words() - self.headroom, Full::Refuse)
    }

    /// As [`Ring::offer`], into the space that is kept free for what must not wait behind fops.
    pub(crate) fn offer_ahead(&self, draft: &Draft<'_>) -> Reserved {
        self.append_within(draft, self.memory.words(), Full::Refuse)
    }

    /// Uses up a number for a frame that its author could not make, as for one that found no space.
    pub(crate) fn lose(&self) {
        let memory = &self.memory;
        memory.add(Slot::Dropped, 1);
        let mut reserve = Reserve(memory.load(Slot::Reserve, Ordering::Acquire));
        loop {
            let next = Reserve::new(reserve.position(), reserve.low_seq() + 1);
            match memory.exchange(Slot::Reserve, reserve.0, next.0) {
                Ok(_) => return,
                Err(now) => reserve = Reserve(now),
            }
        }
    }

    #[inline]
    fn append_within(&self, draft: &Draft<'_>, limit: u64, full: Full) -> Reserved {
        let reserved = self.reserve(draft.words(), limit, full);
        if let Reserved::Place { position, seq } = reserved {
            self.commit(draft, position, seq);
        }
        reserved
    }

    #[inline]
    fn reserve(&self, words: u64, limit: u64, full: Full) -> Reserved {
        let memory = &self.memory;
        let mut counted = false;
        let mut reserve = Reserve(memory.load(Slot::Reserve, Ordering::Acquire));
        loop {
            // Read behind the reserve word: an older drained position would only look fuller than it
            // is. One that has overtaken the reserve word looks full too, but then the exchange fails.
            let drained = memory.load(Slot::Drained, Ordering::Acquire);
            let seq = reserve.low_seq();
            let fits = distance(drained, reserve.position()) + words <= limit;
            let next = match full {
                _ if fits => Reserve::new(reserve.position() + words, seq + 1),
                Full::Refuse => return Reserved::Refused,
                Full::Drop => Reserve::new(reserve.position(), seq + 1),
            };
            // Counted before the number is dropped, and taken back where it is not: so the count is
            // never below the truth, and where it equals what is accounted for, nothing is dropped.
            if !fits && !counted {
                memory.add(Slot::Dropped, 1);
                counted = true;
            }
            match memory.exchange(Slot::Reserve, reserve.0, next.0) {
                Err(now) => reserve = Reserve(now),
                Ok(_) => {
                    let seq = sequence::widen(seq, self.consumed());
                    if !fits {
                        return Reserved::Dropped(seq);
                    }
                    if counted {
                        memory.add(Slot::Dropped, 1u64.wrapping_neg());
                    }
                    return Reserved::Place { position: reserve.position(), seq };
                }
            }
        }
    }

    #[inline]
    fn commit(&self, draft: &Draft<'_>, position: u64, seq: u64) {
        let [commit, second, time] = draft.head(seq);
        let store = |word: u64, value| {
            self.memory.store(Slot::Word(position + word), value, Ordering::Relaxed);
        };
        store(1, second);
        store(2, time);
        let mut at = 3;
        draft.each_word(|value| {
            store(at, value);
            at += 1;
        });
        // Whoever sees this word sees the others.
        self.memory.store(Slot::Word(position), commit, Ordering::Release);
        // The next frame, most likely of a like size, finds its cache lines here. Without this its first
        // atomic operation waits for the stores of this one.
        let next = position + draft.words();
        self.memory.fetch(Slot::Word(next + CACHE_LINE));
        self.memory.fetch(Slot::Word(next + 2 * CACHE_LINE));
    }

    /// Reserves as [`Ring::append`] does, and never commits: a fop that a kill cut off.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn abandon(&self, draft: &Draft<'_>) -> Reserved {
        self.reserve(draft.words(), self.memory.words() - self.headroom, Full::Drop)
    }
}
