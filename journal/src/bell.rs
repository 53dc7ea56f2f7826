//! Waking the journal thread when it sleeps for longer than a nap, without a system call when it does not.
//!
//! A lost wake-up would leave an answered fop's record in the ring until the next one comes. Both
//! sides therefore write first, pass a sequentially consistent fence, and read then: the producer its
//! frame and then the mark, the journal thread its mark and then the ring. At least one of them sees
//! what the other wrote.
//!
//! On the producer's side the fence would be most of what an append costs: it waits until the frame has
//! left the processor's store buffer. So the journal thread pays for both where the kernel lets it:
//! membarrier(2) makes every running thread of the process pass a fence at that moment. loom's models run
//! with the two fences, which order no more than that.

use std::sync::OnceLock;
use std::sync::atomic::compiler_fence;
use std::thread;
use std::time::Duration;

use crate::sync::{self, AtomicBool, Ordering, Thread, fence};

/// Between many producers and one sleeper.
#[derive(Debug)]
pub(crate) struct Bell {
    asleep: AtomicBool,
    sleeper: OnceLock<Thread>,
    /// The sleeper makes the producers' fences for them.
    one_sided: bool,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell {
            asleep: AtomicBool::new(false),
            sleeper: OnceLock::new(),
            one_sided: sync::register_remote_fence(),
        }
    }

    /// Says that the calling thread is the one that sleeps; called once.
    pub(crate) fn claim(&self) {
        // A second call would be ignored; there is none.
        let _ = self.sleeper.set(sync::current());
    }

    /// Wakes the sleeper if it sleeps; called after something was written that it has to see.
    #[inline]
    pub(crate) fn knock(&self) {
        if self.one_sided {
            // The compiler must not turn the two around either.
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
        // The swap lets one of many producers pay for the system call.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    /// Wakes the sleeper from a nap too.
    pub(crate) fn wake(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Sleeps by `park`, unless `quiet` says that there is something to do after all. May return early.
    pub(crate) fn sleep(&self, quiet: impl FnOnce() -> bool, park: impl FnOnce()) {
        // A swap, so that a producer which is late with its own, for an earlier sleep, comes before.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if self.one_sided && !sync::remote_fence() {
            // It does not fail once it is registered. If it does, this is a nap instead.
            thread::sleep(Duration::from_millis(1));
        } else if quiet() {
            park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}
