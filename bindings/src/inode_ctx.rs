//! One number of ours on each inode.
//!
//! It exists because the host gives every translator a 64-bit slot on every inode. It holds a packed number
//! and never a pointer, so that nothing must be freed and a forgotten inode costs nothing.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::inode::Inode;
use crate::sys;
use crate::xlator::Xlator;

/// The number, 0 when none was set. The host itself does not tell 0 from none.
#[inline]
pub fn get(inode: Inode<'_>, this: Xlator<'_>) -> u64 {
    let mut number = 0;
    // SAFETY: [live-inode] [this-xlator]; the host locks the inode.
    let got = unsafe { sys::inode_ctx_get0(inode.as_ptr(), this.as_ptr(), &mut number) };
    if got == 0 { number } else { 0 }
}

/// The number as [`update`] left it a moment ago, read without the inode's lock; 0 when none is found. Whoever sees a
/// number here sees what its author did before it set it.
#[inline]
pub fn glance(inode: Inode<'_>, this: Xlator<'_>) -> u64 {
    match slot(inode, this) {
        // SAFETY: [inode-slots] a word that everybody stores whole.
        Some(slot) => unsafe { number(slot) }.load(Ordering::Acquire),
        None => 0,
    }
}

/// Sets the number; false when the inode has no room for it (the host is out of memory).
#[inline]
pub fn set(inode: Inode<'_>, this: Xlator<'_>, mut number: u64) -> bool {
    // SAFETY: as in `get`.
    unsafe { sys::inode_ctx_set0(inode.as_ptr(), this.as_ptr(), &mut number) == 0 }
}

/// Reads and sets in one step, under the inode's lock; gives what was there before.
///
/// `change` runs under a lock of the host: it computes and does nothing else.
#[inline]
pub fn update(inode: Inode<'_>, this: Xlator<'_>, change: impl FnOnce(u64) -> u64) -> u64 {
    let _locked = Locked::new(inode);
    let slot = slot(inode, this);
    // SAFETY: [inode-slots]
    let before = slot.map_or(0, |slot| unsafe { number(slot) }.load(Ordering::Relaxed));
    let mut after = change(before);
    if after != before {
        // For those who glance at it: the host itself stores without an order.
        fence(Ordering::Release);
        // SAFETY: as in `get`; the form with underscores wants the lock held, and it is.
        unsafe { sys::__inode_ctx_set0(inode.as_ptr(), this.as_ptr(), &mut after) };
    }
    before
}

/// The place of our number, if one was set.
#[inline]
fn slot(inode: Inode<'_>, this: Xlator<'_>) -> Option<*mut sys::_inode_ctx> {
    let (inode, this) = (inode.as_ptr(), this.as_ptr());
    // SAFETY: [inode-slots] the slots, as many as their table says, live and stay where they are while somebody
    // holds the inode ([live-inode]). A word of them is stored whole by everybody.
    unsafe {
        let (slots, count) = ((*inode)._ctx, (*(*inode).table).ctxcount);
        let at = (*this).xl_id as usize;
        if slots.is_null() || at >= usize::try_from(count).unwrap_or(0) {
            return None;
        }
        let slot = slots.add(at);
        let key = AtomicU64::from_ptr(&raw mut (*slot).__bindgen_anon_1.key);
        (key.load(Ordering::Relaxed) == this.addr() as u64).then_some(slot)
    }
}

/// # Safety
/// [inode-slots] `slot` is one of a live inode.
#[inline]
unsafe fn number<'a>(slot: *mut sys::_inode_ctx) -> &'a AtomicU64 {
    // SAFETY: by the caller.
    unsafe { AtomicU64::from_ptr(&raw mut (*slot).__bindgen_anon_2.value1) }
}

/// Empties the slot and gives what was in it: for the host's forget.
pub fn del(inode: Inode<'_>, this: Xlator<'_>) -> u64 {
    let mut number = 0;
    // SAFETY: as in `get`; the second value may be null.
    let got =
        unsafe { sys::inode_ctx_del2(inode.as_ptr(), this.as_ptr(), &mut number, ptr::null_mut()) };
    if got == 0 { number } else { 0 }
}

/// The inode's lock, given back even when a panic passes.
struct Locked<'a>(Inode<'a>);

impl<'a> Locked<'a> {
    fn new(inode: Inode<'a>) -> Self {
        // SAFETY: [live-inode] the lock lives in the inode.
        unsafe { libc::pthread_mutex_lock(&raw mut (*inode.as_ptr()).lock) };
        Self(inode)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: locked by `new` on this thread.
        unsafe { libc::pthread_mutex_unlock(&raw mut (*self.0.as_ptr()).lock) };
    }
}
