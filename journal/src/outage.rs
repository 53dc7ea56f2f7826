//! A time in which the brick cannot be written: full, failing or read-only.
//!
//! Entries stay in the ring, where they survive a kill, as long as it is less than half full; a short
//! outage then costs nothing. After that they are written off, so that fops find space for what
//! comes, and one GAP covers them when writing works again.

use std::time::{Duration, Instant};

use crate::ring::{Load, Ring};

/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// An outage.
#[derive(Debug)]
pub(crate) struct Outage {
    /// The first number that is not written.
    pub(crate) from: u64,
    tried: Instant,
}

impl Outage {
    pub(crate) fn new(from: u64) -> Outage {
        Outage { from, tried: Instant::now() }
    }

    /// A try has failed.
    pub(crate) fn failed(&mut self) {
        self.tried = Instant::now();
    }

    /// Whether it is time for the next try.
    pub(crate) fn is_due(&self) -> bool {
        self.tried.elapsed() >= RETRY
    }

    /// Whether there is still room to wait, instead of writing entries off.
    pub(crate) fn has_patience(&self, ring: &Ring<impl Load>) -> bool {
        ring.used() <= ring.words() / 2
    }
}
