//! The number of the running slice, and the moment at which it changes.
//!
//! A record is left out when the inode already has one in the slice. That is right only if the change
//! was made before the slice's SLICE-END statement, after which a consumer looks at the inode. There is
//! no one instant for "statement appended and number changed", so the number is taken away first: between
//! that and the next number a fop is told that there is no slice to have been recorded in, and is recorded.

use std::num::NonZeroU64;

use crate::sync::{AtomicU64, Ordering};

/// The running slice.
#[derive(Debug)]
pub(crate) struct Slices {
    /// Twice its number; one more while it is being ended.
    state: AtomicU64,
}

impl Slices {
    pub(crate) fn new() -> Slices {
        Slices { state: AtomicU64::new(2) }
    }

    /// The running slice's number. `None` while it is being ended: a change must be recorded now, and
    /// the inode must not be marked.
    #[inline]
    pub(crate) fn now(&self) -> Option<NonZeroU64> {
        let state = self.state.load(Ordering::Acquire);
        if state & 1 == 0 { NonZeroU64::new(state / 2) } else { None }
    }

    /// The running slice's number, also while it is being ended.
    pub(crate) fn number(&self) -> u64 {
        self.state.load(Ordering::Relaxed) / 2
    }

    /// Ends the slice with what `append` says; where that returns false, it goes on. Called by the journal thread
    /// alone.
    pub(crate) fn end(&self, append: impl FnOnce(u64) -> bool) -> bool {
        // Committing the statement publishes this too: a fop that still reads the number has made its
        // change before a consumer that saw the statement looks at the inode. Between the change and
        // the number, and between the statement and the look, lies a system call.
        let number = self.state.fetch_add(1, Ordering::Relaxed) / 2;
        let ended = append(number);
        if ended {
            self.state.fetch_add(1, Ordering::Release);
        } else {
            self.state.fetch_sub(1, Ordering::Release);
        }
        ended
    }

    /// Begins a new slice without a statement: what was recorded before is to be recorded again. By any thread.
    pub(crate) fn renew(&self) {
        self.state.fetch_add(2, Ordering::Release);
    }
}
