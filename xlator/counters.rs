//! What an instance counts, for its statedump.
//!
//! Relaxed atomics: the numbers say how things stand, nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gnotify_record::{Fop, HOST_FOPS};

/// One visit in so many is timed, so that the clock does not cost more than what it measures.
const TIMED_EVERY: u64 = 64;

#[derive(Debug)]
pub(crate) struct Counters {
    records: [AtomicU64; HOST_FOPS.len()],
    /// Changes that were left out because the slice had one already.
    pub(crate) repeated: AtomicU64,
    /// Records for which the ring had no room.
    pub(crate) dropped: AtomicU64,
    /// Panics that were caught.
    pub(crate) panics: AtomicU64,
    /// Rename hints that were none.
    pub(crate) ignored_hints: AtomicU64,
    visits: AtomicU64,
    timed: AtomicU64,
    timed_ns: AtomicU64,
    longest_ns: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Counters {
            records: [const { AtomicU64::new(0) }; HOST_FOPS.len()],
            repeated: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            ignored_hints: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            timed_ns: AtomicU64::new(0),
            longest_ns: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn recorded(&self, fop: Fop) {
        if let Some(count) = self.records.get(usize::from(fop.0)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Notes a visit of the fop path: once on the way down, once on the way up. The guard, if the visit
    /// is one of those that are timed, ends it when it is dropped.
    pub(crate) fn visit(&self) -> Option<Visit<'_>> {
        let number = self.visits.fetch_add(1, Relaxed);
        number.is_multiple_of(TIMED_EVERY).then(|| Visit { counters: self, since: Instant::now() })
    }

    /// The fops that have records, with how many.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Fop, u64)> {
        HOST_FOPS
            .iter()
            .zip(&self.records)
            .map(|(row, count)| (row.fop, count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// Visits, and of those that were timed the mean and the longest time.
    pub(crate) fn fop_path(&self) -> (u64, Duration, Duration) {
        let timed = self.timed.load(Relaxed).max(1);
        (
            self.visits.load(Relaxed),
            Duration::from_nanos(self.timed_ns.load(Relaxed) / timed),
            Duration::from_nanos(self.longest_ns.load(Relaxed)),
        )
    }
}

/// A timed visit of the fop path.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    counters: &'a Counters,
    since: Instant,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let spent = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters.timed.fetch_add(1, Relaxed);
        self.counters.timed_ns.fetch_add(spent, Relaxed);
        self.counters.longest_ns.fetch_max(spent, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_visit_in_sixty_four_is_timed() {
        let counters = Counters::new();
        let timed = (0..640).filter(|_| counters.visit().is_some()).count();
        assert_eq!(timed, 10);
        assert_eq!(counters.fop_path().0, 640);
        assert!(counters.fop_path().2 >= counters.fop_path().1);
    }

    #[test]
    fn only_fops_with_records_are_listed() {
        let counters = Counters::new();
        counters.recorded(Fop::MKDIR);
        counters.recorded(Fop::MKDIR);
        counters.recorded(Fop(255));
        assert_eq!(counters.records().collect::<Vec<_>>(), [(Fop::MKDIR, 2)]);
    }
}
