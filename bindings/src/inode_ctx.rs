//! One number of ours on each inode.
//!
//! It exists because the host gives every translator a 64-bit slot on every inode. It holds a packed number
//! and never a pointer, so that nothing must be freed and a forgotten inode costs nothing. The slot is ours alone,
//! so the number is looked at and stored without the inode's lock, which the host and other translators take as well.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::inode::Inode;
use crate::sys;
use crate::xlator::Xlator;

/// The number, 0 when none was stored. Whoever sees a number here sees what its author did before it stored it.
#[inline]
pub fn get(inode: Inode<'_>, this: Xlator<'_>) -> u64 {
    let Some(Slot { key, number }) = slot(inode, this) else { return 0 };
    if key.load(Ordering::Relaxed) == owner(this) { number.load(Ordering::Acquire) } else { 0 }
}

/// Stores what `change` makes of the number, in one step: it may be asked again where another thread stores too.
/// Nothing is stored on an inode that has no slot for us.
#[inline]
pub fn update(inode: Inode<'_>, this: Xlator<'_>, change: impl Fn(u64) -> u64) {
    let Some(Slot { key, number }) = slot(inode, this) else { return };
    // As the host does it: a slot belongs to who stored in it first.
    let owner = owner(this);
    if key.load(Ordering::Relaxed) != owner
        && key
            .compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed)
            .is_err_and(|other| other != owner)
    {
        return;
    }
    let mut before = number.load(Ordering::Relaxed);
    while let Err(now) =
        number.compare_exchange_weak(before, change(before), Ordering::Release, Ordering::Relaxed)
    {
        before = now;
    }
}

fn owner(this: Xlator<'_>) -> u64 {
    this.as_ptr().addr() as u64
}

/// Our slot of an inode.
struct Slot<'a> {
    /// Whose it is: our translator's address, or 0 as long as nothing was stored.
    key: &'a AtomicU64,
    number: &'a AtomicU64,
}

/// None where the host has made none, because it counted fewer translators when it made the inode's table.
#[inline]
fn slot<'a>(inode: Inode<'a>, this: Xlator<'_>) -> Option<Slot<'a>> {
    let (inode, this) = (inode.as_ptr(), this.as_ptr());
    // SAFETY: [inode-slots] the slots, as many as their table says, live and stay where they are while somebody
    // holds the inode ([live-inode]). A word of ours is stored whole by everybody.
    unsafe {
        let slots: NonNull<sys::_inode_ctx> = NonNull::new((*inode)._ctx)?;
        let (at, count) = ((*this).xl_id as usize, (*(*inode).table).ctxcount);
        if at >= usize::try_from(count).unwrap_or(0) {
            return None;
        }
        let slot = slots.add(at).as_ptr();
        Some(Slot {
            key: AtomicU64::from_ptr(&raw mut (*slot).__bindgen_anon_1.key),
            number: AtomicU64::from_ptr(&raw mut (*slot).__bindgen_anon_2.value1),
        })
    }
}
