//! Which fops are under way, as far as it takes to wait for those that began before a moment.
//!
//! A slice that is ended on request, for a snapshot, must hold the record of every fop that was let
//! through before. Two counters change roles: fops count themselves in the one that is current, and
//! whoever waits makes the other one current and watches the former run empty. Fops that begin
//! meanwhile do not hold it up, and nobody takes a lock.
//!
//! A fop adds itself and then looks which counter is current; the waiting side changes that and then
//! looks at the counter. All four are sequentially consistent: at least one sees the other.

use std::thread;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering, fence_for_loom};

/// Between two looks of [`UnderWay::drain`].
const NAP: Duration = Duration::from_millis(1);

/// The fops of a brick that are under way.
#[derive(Debug)]
pub struct UnderWay {
    current: AtomicU64,
    counts: [Count; 2],
}

/// Apart from the other one, which is looked at while this one is changed.
#[derive(Debug)]
#[repr(align(64))]
struct Count(AtomicU64);

/// A fop that is counted: what [`UnderWay::enter`] gives and [`UnderWay::leave`] takes back.
#[derive(Debug)]
#[must_use = "a fop whose end is not told holds up every drain"]
pub struct Turn(usize);

impl Default for UnderWay {
    fn default() -> UnderWay {
        UnderWay::new()
    }
}

impl UnderWay {
    /// Nothing is under way.
    #[must_use]
    pub fn new() -> UnderWay {
        let count = || Count(AtomicU64::new(0));
        UnderWay { current: AtomicU64::new(0), counts: [count(), count()] }
    }

    /// A fop begins. What it reads from here on was written no earlier than what the caller of a drain that
    /// does not wait for it had written before.
    #[inline]
    pub fn enter(&self) -> Turn {
        loop {
            let side = self.current.load(Ordering::Relaxed) as usize & 1;
            self.counts[side].0.fetch_add(1, Ordering::SeqCst);
            fence_for_loom();
            if self.current.load(Ordering::SeqCst) as usize & 1 == side {
                return Turn(side);
            }
            self.leave(Turn(side));
        }
    }

    /// It has ended, and has its record.
    #[inline]
    pub fn leave(&self, turn: Turn) {
        self.counts[turn.0].0.fetch_sub(1, Ordering::Release);
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until every fop that is under way now has ended, at most until `deadline`. Whether they have. To be
    /// called by one thread at a time.
    #[must_use]
    pub fn drain(&self, deadline: Instant) -> bool {
        self.drain_while(|| {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(NAP);
            true
        })
    }

    /// The same, as long as `patience` says that it may go on.
    pub(crate) fn drain_while(&self, mut patience: impl FnMut() -> bool) -> bool {
        let former = self.current.load(Ordering::Relaxed) as usize & 1;
        // What the caller wrote comes before the looks at the counters.
        fence_for_loom();
        // Those that an earlier drain has given up on.
        while self.counts[1 - former].0.load(Ordering::SeqCst) != 0 {
            if !patience() {
                return false;
            }
        }
        self.current.store(1 - former as u64, Ordering::SeqCst);
        fence_for_loom();
        while self.counts[former].0.load(Ordering::SeqCst) != 0 {
            if !patience() {
                return false;
            }
        }
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn d34_a_drain_waits_for_what_began_before_and_at_most_so_long() {
        let fops = UnderWay::new();
        assert!(fops.drain(soon()), "nothing is under way");
        let before = fops.enter();
        assert!(!fops.drain(soon()));
        let meanwhile = fops.enter();
        assert!(!fops.drain(soon()), "the first one is not forgotten");
        fops.leave(before);
        assert_eq!(fops.len(), 1);
        assert!(!fops.drain(soon()), "and now the second one counts");
        fops.leave(meanwhile);
        assert!(fops.drain(soon()) && fops.is_empty());
    }

    #[test]
    fn many_threads_do_not_hold_up_a_drain() {
        let fops = UnderWay::new();
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        fops.leave(fops.enter());
                    }
                });
            }
            for _ in 0..200 {
                assert!(fops.drain(Instant::now() + Duration::from_secs(60)));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(fops.is_empty());
    }
}
