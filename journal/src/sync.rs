//! Where the crate gets its atomics from: the standard library, or loom when its models run.
//!
//! Only what a model looks at comes from here. The ring reaches its words through a trait instead,
//! because its real ones lie in a mapped file.

#[cfg(all(test, loom))]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current},
};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current},
};

pub(crate) use std::sync::atomic::Ordering;

/// Stands between two accesses that are both sequentially consistent, which is all that hardware needs. loom takes
/// such accesses for acquire and release only, and has to be told by a fence.
#[inline]
pub(crate) fn fence_for_loom() {
    #[cfg(all(test, loom))]
    fence(Ordering::SeqCst);
}

/// Asks the kernel for [`remote_fence`], for this process. Whether it is to be had.
pub(crate) fn register_remote_fence() -> bool {
    #[cfg(all(test, loom))]
    return false;
    #[cfg(not(all(test, loom)))]
    rustix::thread::membarrier(rustix::thread::MembarrierCommand::RegisterPrivateExpedited).is_ok()
}

/// Makes every thread of the process that runs now pass a sequentially consistent fence. Whether it did.
pub(crate) fn remote_fence() -> bool {
    #[cfg(all(test, loom))]
    return false;
    #[cfg(not(all(test, loom)))]
    rustix::thread::membarrier(rustix::thread::MembarrierCommand::PrivateExpedited).is_ok()
}
