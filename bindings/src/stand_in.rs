//! Winding without another frame of the host's pool.
//!
//! STACK_WIND takes a frame from a pool, makes a lock in it, puts it on the list of the stack under another
//! lock and reads the clock, on the way of every fop. A translator with one child, whose reply answers the
//! call that it was itself given, can do without: as in a tail wind the child gets the very frame that the fop
//! came in, and a stand-in is that frame's parent meanwhile. The child answers its frame's parent; that is the
//! stand-in, which remembers whom the frame really answers.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;

use crate::frame::Frame;
use crate::sys;
use crate::xlator::Xlator;

/// What the host takes for the frame of a translator that has wound a call, with what that translator keeps
/// until the reply.
///
/// The host's statedump reads a frame's parent, and the name of that one's translator, on a thread of its own
/// and with no more than a copy of the pointer. So a stand-in's memory must stay one for as long as a dump may
/// have found it: it is used again, and freed only with the instance.
#[repr(C)]
pub struct StandIn<T> {
    /// `this` is our translator, always. Parent, reply function and cookie are those of the frame, for as long
    /// as this stands in.
    shape: UnsafeCell<sys::call_frame_t>,
    /// The frame that was handed on.
    frame: UnsafeCell<*mut sys::call_frame_t>,
    local: UnsafeCell<T>,
}

impl<T> core::fmt::Debug for StandIn<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StandIn").finish_non_exhaustive()
    }
}

// The host is given the address of the one and we take it for that of the other.
const _: () = assert!(offset_of!(StandIn<u64>, shape) == 0);

impl<T> StandIn<T> {
    /// A stand-in for frames that are wound by `this`.
    pub fn new(this: Xlator<'_>, local: T) -> StandIn<T> {
        // SAFETY: all zero is how the host's pool hands out frames.
        let mut shape: sys::call_frame_t = unsafe { core::mem::zeroed() };
        shape.this = this.as_ptr();
        StandIn {
            shape: UnsafeCell::new(shape),
            frame: UnsafeCell::new(ptr::null_mut()),
            local: UnsafeCell::new(local),
        }
    }

    /// Where what is kept with it lies.
    ///
    /// # Safety
    /// [stand-in] `this` is a live stand-in.
    #[inline]
    pub unsafe fn local(this: *const StandIn<T>) -> *mut T {
        // SAFETY: by the caller; only the address is made.
        unsafe { UnsafeCell::raw_get(&raw const (*this).local) }
    }

    /// Puts the stand-in between `frame` and whom it answers, which becomes `reply`; `next` gets the frame.
    ///
    /// # Safety
    /// [stand-in] `this` is a live stand-in of the translator that winds, which stands in for no other frame.
    #[inline]
    pub(crate) unsafe fn take_place(
        this: *const StandIn<T>,
        frame: Frame,
        next: *mut sys::xlator_t,
        reply: sys::ret_fn_t,
    ) -> *mut sys::call_frame_t {
        let frame = frame.into_raw();
        // SAFETY: [live-frame] the frame is ours to hand on. [stand-in] nobody else uses the stand-in, but for
        // a statedump, which reads `shape.this`, and that is not written here.
        unsafe {
            let shape = UnsafeCell::raw_get(&raw const (*this).shape);
            (*shape).root = (*frame).root;
            (*shape).parent = (*frame).parent;
            (*shape).ret = (*frame).ret;
            (*shape).cookie = (*frame).cookie;
            *UnsafeCell::raw_get(&raw const (*this).frame) = frame;
            (*frame).parent = shape;
            (*frame).ret = reply;
            (*frame).this = next;
        }
        frame
    }

    /// In the reply: the frame as it was before, whose right and duty to answer comes back, and the stand-in,
    /// which is free again.
    ///
    /// # Safety
    /// [stand-in] `shape` is the frame that a reply was given, and the call was wound with a `StandIn<T>`.
    #[inline]
    pub unsafe fn step_aside(shape: *mut sys::call_frame_t) -> (Frame, *const StandIn<T>) {
        let this = shape.cast::<StandIn<T>>().cast_const();
        // SAFETY: [stand-in] by the caller. [live-frame] the child has answered: the frame is ours again.
        unsafe {
            let frame = *UnsafeCell::raw_get(&raw const (*this).frame);
            (*frame).parent = (*shape).parent;
            (*frame).ret = (*shape).ret;
            (*frame).cookie = (*shape).cookie;
            (*frame).this = (*shape).this;
            (*frame).complete = 0;
            (Frame::from_raw(frame), this)
        }
    }
}
