//! Waking the server's thread from its sleep in epoll, without a system call when it does not sleep.
//!
//! A lost wake-up would leave an event where it is until the next one comes. Both sides therefore write
//! first, pass a sequentially consistent fence, and read then: the producer its event and then the mark, the
//! thread its mark and then the queue. At least one of them sees what the other wrote.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use nix::sys::eventfd::{EfdFlags, EventFd};

#[derive(Debug)]
pub(super) struct Wake {
    asleep: AtomicBool,
    event: EventFd,
}

impl Wake {
    pub(super) fn new() -> io::Result<Wake> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Wake { asleep: AtomicBool::new(false), event: EventFd::from_value_and_flags(0, flags)? })
    }

    /// Wakes the thread if it sleeps; called after something was put where it looks.
    pub(super) fn knock(&self) {
        fence(Ordering::SeqCst);
        // The swap lets one of many producers pay for the system call.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            // It fails only when 2^64 - 2 knocks were not heard.
            let _ = self.event.write(1);
        }
    }

    /// Says that the thread is about to sleep. It must look once more whether it may.
    pub(super) fn fall_asleep(&self) {
        // A swap, so that a producer which is late with its own, for an earlier sleep, comes before.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Says that the thread is awake.
    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Takes the knocks that were heard.
    pub(super) fn clear(&self) {
        // Nothing there: a producer knocked between two sleeps.
        let _ = self.event.read();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
