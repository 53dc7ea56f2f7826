//! The ring's memory: a file, mapped. The only unsafe code of the crate.
//!
//! Every access is an atomic one, because other threads write meanwhile. The words are in the
//! machine's own byte order: a ring never leaves its machine.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use super::file::{FRAMES_AT, NOTES, slot_index};
use super::{Load, Memory, Slot};
use crate::sync::Ordering;

/// A mapped ring: head, notes and frames.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    /// All of it, in words.
    len: usize,
    /// The words of the frames, less one: their number is a power of two.
    mask: u64,
}

// SAFETY: the mapping belongs to this value alone, is not bound to a thread, and is only reached
// through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a ring of `size` bytes of frames. All of the file must be allocated, and
    /// nothing may shorten it: an access behind its end would kill the process.
    pub(crate) fn new(file: &File, size: usize) -> io::Result<Mapping> {
        let words = size / 8;
        let len = FRAMES_AT + words;
        if !words.is_power_of_two() || file.metadata()?.len() != (8 * len) as u64 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                8 * len,
                libc::PROT_READ | libc::PROT_WRITE,
                // Populated, so that the fop path takes no page fault.
                libc::MAP_SHARED | libc::MAP_POPULATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, len, mask: words as u64 - 1 })
    }

    #[inline]
    fn slot(&self, slot: Slot) -> &AtomicU64 {
        let index = slot_index(slot, self.mask);
        debug_assert!(index < self.len, "{slot:?} of {} words", self.len);
        // SAFETY: `slot_index` gives a place below `FRAMES_AT + mask + 1`, which is `len`: a test asks it for the
        // last of each kind, and who notes has the number of one of [`Load::notes`]. The mapping is `len` words
        // long, page-aligned, initialised by the file, lives as long as `self`, and this process changes it
        // through atomics only. The file's lock and mode keep other processes away.
        unsafe { self.start.add(index).as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: these are the bounds that were mapped, and no reference into them outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), 8 * self.len) };
    }
}

impl Load for Mapping {
    #[inline]
    fn words(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn notes(&self) -> u64 {
        NOTES
    }

    #[inline]
    fn load(&self, slot: Slot, order: Ordering) -> u64 {
        self.slot(slot).load(order)
    }
}

impl Memory for Mapping {
    #[inline]
    fn store(&self, slot: Slot, value: u64, order: Ordering) {
        self.slot(slot).store(value, order);
    }

    #[inline]
    fn exchange(&self, slot: Slot, current: u64, new: u64) -> Result<u64, u64> {
        let slot = self.slot(slot);
        slot.compare_exchange_weak(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    #[inline]
    fn add(&self, slot: Slot, value: u64) {
        self.slot(slot).fetch_add(value, Ordering::Relaxed);
    }

    #[inline]
    fn fetch(&self, slot: Slot) {
        // The journal thread zeroed this word, so it is in the cache of another core.
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, for an address within the mapping; it changes nothing that can be seen.
        unsafe {
            std::arch::asm!(
                "prefetchw [{}]",
                in(reg) self.slot(slot).as_ptr(),
                options(nostack, preserves_flags, readonly)
            );
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slot;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::notes::NOTE_WORDS;
    use super::*;

    #[test]
    fn every_slot_lies_in_the_mapping() {
        for words in [1u64, 64, 1 << 23] {
            let len = FRAMES_AT + words as usize;
            let at = |slot| slot_index(slot, words - 1);
            assert_eq!(at(Slot::Note(NOTES - 1, NOTE_WORDS - 1)), FRAMES_AT - 1);
            assert_eq!(at(Slot::Word(words - 1)), len - 1);
            assert_eq!((at(Slot::Word(words)), at(Slot::Word(u64::MAX))), (FRAMES_AT, len - 1));
            let head = [Slot::Reserve, Slot::Dropped, Slot::Drained, Slot::Next];
            let rest = [Slot::Accounted, Slot::Unnamed, Slot::Note(0, 0)];
            assert!(head.into_iter().chain(rest).all(|slot| at(slot) < FRAMES_AT));
        }
    }
}
