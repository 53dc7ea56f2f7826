//! The memory of fops in flight: each has a place for what was observed of it and for its stand-in, used again.
//!
//! A place is taken on the way down and given back in the reply, to where it came from. There are never more
//! than there were fops in flight at once, for each of which the host keeps thousands of bytes itself. None is
//! freed before the instance is: a statedump may look at a stand-in that has just gone (SAFETY.md).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gnotify_bindings::{StandIn, Xlator};

use crate::observe::Pending;

/// A thread finds its place most likely where no other looks at that moment.
const SHARDS: usize = 16;

/// The places that are free.
pub(crate) struct Pendings(Box<[Shard]>);

/// One lock with what it protects, on cache lines of its own.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Shard(Mutex<Vec<Free>>);

/// A place that no fop has.
struct Free(NonNull<Place>);

// SAFETY: [stand-in] whoever has it is the only one who has it, and a `Pending` may go to another thread.
unsafe impl Send for Free {}

/// What hangs on a fop in flight.
pub(crate) type Place = StandIn<Kept>;

pub(crate) struct Kept {
    pending: Pending,
    /// Where it goes back to: the instance's, which outlives its fops.
    home: NonNull<Shard>,
}

impl fmt::Debug for Pendings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pendings").field(&self.0.len()).finish()
    }
}

impl Pendings {
    pub(crate) fn new() -> Pendings {
        Pendings((0..SHARDS).map(|_| Shard::default()).collect())
    }

    /// A place for a fop that `this` winds.
    ///
    /// # Safety
    /// [instance] What is given is dropped before the instance is freed.
    #[inline]
    pub(crate) unsafe fn take(&self, this: Xlator<'_>) -> OnFrame {
        // Threads have stacks of their own: a number that is much the same in all calls of one.
        let here = 0u8;
        let stack = (&raw const here).addr() >> 16;
        let shard = &self.0[stack.wrapping_mul(0x9e37_79b9) >> 16 & (SHARDS - 1)];
        let free = shard.lock().pop();
        OnFrame(free.map_or_else(|| made(this, shard), |free| free.0))
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Vec<Free>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn made(this: Xlator<'_>, shard: &Shard) -> NonNull<Place> {
    let kept = Kept { pending: Pending::new(), home: NonNull::from(shard) };
    NonNull::from(Box::leak(Box::new(StandIn::new(this, kept))))
}

impl Drop for Pendings {
    fn drop(&mut self) {
        for free in self.0.iter().flat_map(|shard| std::mem::take(&mut *shard.lock())) {
            // SAFETY: [stand-in] `made` leaked it from a Box, no fop has it, and the instance that any dump may
            // have found it by rests no more.
            drop(unsafe { Box::from_raw(free.0.as_ptr()) });
        }
    }
}

/// What is kept of a fop from its coming down to its reply.
pub(crate) struct OnFrame(NonNull<Place>);

// SAFETY: as for `Free`.
unsafe impl Send for OnFrame {}

impl fmt::Debug for OnFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Pending::fmt(self, f)
    }
}

impl OnFrame {
    /// Hands it on to the reply, which takes it by [`OnFrame::of`].
    #[inline]
    pub(crate) fn into_raw(self) -> *const Place {
        std::mem::ManuallyDrop::new(self).0.as_ptr().cast_const()
    }

    /// What hung on the frame that a reply was given, and the frame.
    ///
    /// # Safety
    /// [stand-in] The call was wound with what [`OnFrame::into_raw`] gave, and this is its one reply.
    #[inline]
    pub(crate) unsafe fn of(
        frame: *mut gnotify_bindings::sys::call_frame_t,
    ) -> (gnotify_bindings::Frame, OnFrame) {
        // SAFETY: by the caller.
        unsafe {
            let (frame, place) = Place::step_aside(frame);
            (frame, OnFrame(NonNull::new_unchecked(place.cast_mut())))
        }
    }

    fn kept(&self) -> *mut Kept {
        // SAFETY: [stand-in] the place is ours, and is not freed while we have it.
        unsafe { StandIn::local(self.0.as_ptr()) }
    }
}

impl Deref for OnFrame {
    type Target = Pending;

    #[inline]
    fn deref(&self) -> &Pending {
        // SAFETY: [stand-in] the place is ours alone, and nobody but us looks at what is kept in it.
        unsafe { &(*self.kept()).pending }
    }
}

impl DerefMut for OnFrame {
    #[inline]
    fn deref_mut(&mut self) -> &mut Pending {
        // SAFETY: as in `deref`.
        unsafe { &mut (*self.kept()).pending }
    }
}

impl Drop for OnFrame {
    #[inline]
    fn drop(&mut self) {
        self.release();
        // SAFETY: [instance] its places go before the instance does.
        let home = unsafe { (*self.kept()).home.as_ref() };
        home.lock().push(Free(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnotify_bindings::sys;
    use gnotify_record::{Fop, Gfid, Link};
    use std::collections::HashSet;

    fn taken(pendings: &Pendings, xlator: &mut sys::xlator_t) -> OnFrame {
        // SAFETY: [this-xlator] nobody looks at it. [instance] the tests drop what they take.
        unsafe { pendings.take(Xlator::from_raw(xlator)) }
    }

    fn xlator() -> sys::xlator_t {
        // SAFETY: all zero is how the host allocates a translator.
        unsafe { std::mem::zeroed() }
    }

    #[test]
    fn memory_is_used_again() {
        let (pendings, mut xlator) = (Pendings::new(), xlator());
        let mut first = taken(&pendings, &mut xlator);
        let second = taken(&pendings, &mut xlator);
        assert_ne!(first.0, second.0);
        let name = b"name".to_vec();
        let at = name.as_ptr();
        first.record.renew(Fop::CREATE, gnotify_record::Origin::Client);
        first.record.at = Some(Link { parent: Gfid::ROOT, name: name.into() });
        let place = first.0;
        drop(first);
        let again = taken(&pendings, &mut xlator);
        assert_eq!(again.0, place);
        assert!(again.record.at.is_none());
        assert_eq!(again.spare_names()[0], at, "so is that of a name");
    }

    #[test]
    fn no_two_fops_have_one_place() {
        const FOPS: usize = 200;
        let pendings = Pendings::new();
        let mut places = HashSet::new();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                let taking: Vec<_> = (0..4)
                    .map(|_| {
                        let pendings = &pendings;
                        scope.spawn(move || {
                            let mut xlator = xlator();
                            (0..FOPS).map(|_| taken(pendings, &mut xlator)).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                let all: Vec<_> = taking.into_iter().flat_map(|one| one.join().unwrap()).collect();
                let here: HashSet<_> = all.iter().map(|one| one.0).collect();
                assert_eq!(here.len(), 4 * FOPS);
                places.extend(here);
                // Given back by another thread than the one that took them.
                drop(all);
            });
        }
        let kept: usize = pendings.0.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(kept, places.len(), "all are back, and none was freed");
    }
}
