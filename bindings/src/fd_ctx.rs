//! One number of ours on each open file.
//!
//! It exists so that a release can tell what the open was, without a map of our own. As on inodes it is a
//! packed number and never a pointer.

use crate::fd::Fd;
use crate::sys;
use crate::xlator::Xlator;

/// The number, none when none was set.
#[inline]
pub fn get(fd: Fd<'_>, this: Xlator<'_>) -> Option<u64> {
    let mut number = 0;
    // SAFETY: [live-fd] [this-xlator]; the host locks the descriptor.
    let got = unsafe { sys::fd_ctx_get(fd.as_ptr(), this.as_ptr(), &mut number) };
    (got == 0).then_some(number)
}

/// Sets the number; false when the host is out of memory.
#[inline]
pub fn set(fd: Fd<'_>, this: Xlator<'_>, number: u64) -> bool {
    // SAFETY: as in `get`.
    unsafe { sys::fd_ctx_set(fd.as_ptr(), this.as_ptr(), number) == 0 }
}

/// Empties the slot and gives what was in it: for the host's release.
#[inline]
pub fn del(fd: Fd<'_>, this: Xlator<'_>) -> Option<u64> {
    let mut number = 0;
    // SAFETY: as in `get`.
    let got = unsafe { sys::fd_ctx_del(fd.as_ptr(), this.as_ptr(), &mut number) };
    (got == 0).then_some(number)
}
