//! THIS, the host's per-thread idea of which translator is running.
//!
//! It exists because logging and memory accounting go by it: whoever calls into another translator sets it
//! before and puts it back after, and a thread of our own sets it before anything else.

use crate::sys;
use crate::xlator::Xlator;

/// What THIS was, and where this thread keeps it; to be put back on this thread.
#[derive(Debug)]
#[must_use = "THIS must be put back"]
pub struct Restore {
    location: *mut *mut sys::xlator_t,
    before: *mut sys::xlator_t,
}

impl Restore {
    /// Puts THIS back to what it was.
    #[inline]
    pub fn put_back(self) {
        if !self.location.is_null() {
            // SAFETY: [host-ready] a thread-local of this thread, which a `Restore` does not leave.
            unsafe { *self.location = self.before };
        }
    }
}

/// Makes `xlator` the running translator until [`Restore::put_back`].
#[inline]
pub(crate) fn enter(xlator: *mut sys::xlator_t) -> Restore {
    // SAFETY: [host-ready] the function returns the address of a thread-local, valid on this thread, or null
    // where the host is not initialised. Only this thread reads or writes it.
    unsafe {
        let location = sys::__glusterfs_this_location();
        let before = if location.is_null() {
            core::ptr::null_mut()
        } else {
            core::ptr::replace(location, xlator)
        };
        Restore { location, before }
    }
}

/// Makes `this` the running translator of a thread of our own until [`Restore::put_back`]: the host's log asks
/// which one it is.
pub fn within(this: Xlator<'_>) -> Restore {
    enter(this.as_ptr())
}

/// The running translator; null only when the host is not initialised.
#[inline]
pub(crate) fn current() -> *mut sys::xlator_t {
    // SAFETY: as in `enter`.
    unsafe {
        let location = sys::__glusterfs_this_location();
        if location.is_null() { core::ptr::null_mut() } else { *location }
    }
}
