//! The host's STACK_WIND, STACK_WIND_TAIL and STACK_UNWIND_STRICT, restated once.
//!
//! In C they are macros, because every fop has its own argument list. Here the halves before and after the
//! call are functions, and three small macros put the typed call between them. Left out are the host's trace
//! messages and its write into the `_cbk` slot, which in C only serves to check the type; and the new frame of
//! STACK_WIND, for which there is a [`stand-in`](crate::stand_in).

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI64, Ordering};

use crate::frame::Frame;
use crate::stand_in::StandIn;
use crate::sys;
use crate::this::{self, Restore};
use crate::xlator::Xlator;

/// A call that is about to be made: between the two halves of a wind.
#[derive(Debug)]
pub struct Wound {
    /// The frame the next translator gets.
    pub frame: *mut sys::call_frame_t,
    /// The translator that gets it.
    pub next: *mut sys::xlator_t,
    /// The table in which its fop is looked up.
    pub fops: *const sys::xlator_fops,
    /// Puts THIS back when the call has returned.
    pub restore: Restore,
}

/// An answer that is about to be given: between the two halves of an unwind.
#[derive(Debug)]
pub struct Unwound {
    /// The frame of the translator that called us.
    pub parent: *mut sys::call_frame_t,
    /// What it attached to its call.
    pub cookie: *mut c_void,
    /// The translator itself.
    pub caller: *mut sys::xlator_t,
    /// Its reply function, still without its type.
    pub ret: sys::ret_fn_t,
    /// Puts THIS back when the reply has returned.
    pub restore: Restore,
}

/// The first half of a wind to the first child of `this`, with a stand-in.
///
/// # Safety
/// [live-frame] by `frame`, [stand-in] by `stand_in`. `reply` is the reply function of fop number `fop`, which the
/// caller looks up next in [`Wound::fops`] and calls once. [one-child] `this` has a child.
#[inline]
pub unsafe fn begin_wind<T>(
    frame: Frame,
    stand_in: *const StandIn<T>,
    this: Xlator<'_>,
    fop: u32,
    reply: sys::ret_fn_t,
    to: &'static CStr,
) -> Wound {
    // SAFETY: by the caller.
    unsafe {
        let next = first_child(this);
        let frame = StandIn::take_place(stand_in, frame, next, reply);
        (*frame).wind_to = to.as_ptr();
        let restore = this::enter(next);
        let fops = if (*next).pass_through {
            (*next).pass_through_fops
        } else {
            count_call(next, fop);
            (*next).fops
        };
        Wound { frame, next, fops, restore }
    }
}

/// The first half of STACK_WIND_TAIL to the first child of `this`.
///
/// # Safety
/// As for [`begin_wind`], without the reply: the child answers our caller.
#[inline]
pub unsafe fn begin_wind_tail(
    frame: Frame,
    this: Xlator<'_>,
    fop: u32,
    to: &'static CStr,
) -> Wound {
    // SAFETY: [live-frame] and [one-child] by the caller.
    unsafe {
        let frame = frame.into_raw();
        let next = first_child(this);
        (*frame).this = next;
        (*frame).wind_to = to.as_ptr();
        let restore = this::enter(next);
        let fops = if (*next).pass_through {
            (*next).pass_through_fops
        } else {
            // The host counts a tail wind only where it ends.
            if (*next).children.is_null() {
                count_call(next, fop);
            }
            (*next).fops
        };
        Wound { frame, next, fops, restore }
    }
}

/// The first half of STACK_UNWIND_STRICT.
///
/// # Safety
/// [live-frame] by `frame`. The caller calls [`Unwound::ret`] once, as the reply type of the frame's fop.
#[inline]
pub unsafe fn begin_unwind(
    frame: Frame,
    op_ret: i32,
    op_errno: i32,
    from: &'static CStr,
) -> Unwound {
    // SAFETY: [live-frame] the root lives as long as the call. Its error is written under its lock.
    unsafe {
        let root = (*frame.as_ptr()).root;
        libc::pthread_mutex_lock(&raw mut (*root).stack_lock);
        if op_ret < 0 && op_errno != (*root).error {
            (*root).err_xl = (*frame.as_ptr()).this;
            (*root).error = op_errno;
        } else if op_ret == 0 {
            (*root).err_xl = ptr::null_mut();
            (*root).error = 0;
        }
        libc::pthread_mutex_unlock(&raw mut (*root).stack_lock);
        begin_pass_back(frame, op_ret, op_errno, from)
    }
}

/// The same where the answer is the child's, unchanged: that one has noted on the root whether it failed.
///
/// # Safety
/// As for [`begin_unwind`].
#[inline]
pub unsafe fn begin_pass_back(
    frame: Frame,
    op_ret: i32,
    _op_errno: i32,
    from: &'static CStr,
) -> Unwound {
    // SAFETY: [live-frame] frame and parent live until the reply function has run; a frame that was given to us
    // has a parent, the one that was wound to us.
    unsafe {
        let frame = frame.into_raw();
        let parent = (*frame).parent;
        let caller = (*parent).this;
        let restore = this::enter(caller);
        (*frame).complete = 1;
        (*frame).unwind_from = from.as_ptr();
        if (*(*(*frame).this).ctx).measure_latency != 0 {
            timespec_now(&raw mut (*frame).end);
            // The topmost translator never unwinds, so that its frame is closed here.
            if (*parent).ret.is_none() {
                timespec_now(&raw mut (*parent).end);
            }
        }
        if op_ret < 0 {
            count_failure(caller, (*frame).op);
        }
        Unwound { parent, cookie: (*frame).cookie, caller, ret: (*frame).ret, restore }
    }
}

/// The host fills every empty slot of a table when it loads the translator, so that a fop without one is a
/// broken host; C would jump to address 0.
#[cold]
#[inline(never)]
pub fn empty_slot(fop: &CStr) -> ! {
    crate::log::critical_anywhere(&format!("the next translator has no {}", fop.to_string_lossy()));
    std::process::abort()
}

/// Checks at compile time that a fop's constant is the number of its slot.
pub const fn assert_number(slot: u32, named: u32) {
    assert!(slot == named, "the fop's number is not the position of its slot in xlator_fops");
    assert!(named < sys::glusterfs_fop_t::GF_FOP_MAXVALUE, "not the number of a fop");
}

#[inline]
unsafe fn first_child(this: Xlator<'_>) -> *mut sys::xlator_t {
    // SAFETY: [one-child] by the caller; children are linked before init and stay until after fini.
    unsafe { (*(*this.as_ptr()).children).xlator }
}

#[inline]
unsafe fn count_call(xlator: *mut sys::xlator_t, fop: u32) {
    // SAFETY: [this-xlator] by the caller, a live translator; the counters are the host's atomics.
    unsafe {
        if let Some(stats) = stats(xlator, fop) {
            increment(&raw mut (*stats).total_fop);
            increment(&raw mut (*stats).interval_fop);
        }
    }
}

#[inline]
unsafe fn count_failure(xlator: *mut sys::xlator_t, fop: u32) {
    // SAFETY: as in `count_call`.
    unsafe {
        if let Some(stats) = stats(xlator, fop) {
            increment(&raw mut (*stats).total_fop_cbk);
            increment(&raw mut (*stats).interval_fop_cbk);
        }
    }
}

#[inline]
unsafe fn stats(xlator: *mut sys::xlator_t, fop: u32) -> Option<*mut sys::_xlator__bindgen_ty_1> {
    if fop >= sys::glusterfs_fop_t::GF_FOP_MAXVALUE {
        return None;
    }
    // SAFETY: the array has GF_FOP_MAXVALUE elements.
    Some(unsafe {
        (&raw mut (*xlator).stats).cast::<sys::_xlator__bindgen_ty_1>().add(fop as usize)
    })
}

#[inline]
unsafe fn increment(counter: *mut sys::gf_atomic_int64_t) {
    // SAFETY: with HAVE_ATOMIC_BUILTINS the host's counter is one aligned word that every one touches
    // atomically. Relaxed: nothing is ordered by a statistic.
    unsafe { AtomicI64::from_ptr(&raw mut (*counter).value) }.fetch_add(1, Ordering::Relaxed);
}

#[inline]
unsafe fn timespec_now(at: *mut libc::timespec) {
    // SAFETY: `at` points into a live frame.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, at) };
}

/// Winds a call to the first child: `wind!(frame, stand_in, this, writev, GF_FOP_WRITE, reply, args...)`.
///
/// Consumes the [`Frame`](crate::frame::Frame); the reply gets it back from
/// [`StandIn::step_aside`](crate::stand_in::StandIn::step_aside). Must stand in an `unsafe` block: [host-args] the
/// arguments after the reply are the ones the host gave to this fop, or live as long as the host demands of
/// them; [stand-in]; [one-child].
///
/// The reply's type, the number and the single use of the frame are checked when this is compiled:
/// ```
/// # use gnotify_bindings::{sys::{self, glusterfs_fop_t::GF_FOP_FLUSH}, Frame, StandIn, Xlator, pass_back, wind};
/// # use core::ffi::c_void;
/// unsafe extern "C" fn reply(
///     frame: *mut sys::call_frame_t, _: *mut c_void, _: *mut sys::xlator_t,
///     op_ret: i32, op_errno: i32, xdata: *mut sys::dict_t,
/// ) -> i32 {
///     let (frame, _free) = unsafe { StandIn::<()>::step_aside(frame) };
///     unsafe { pass_back!(frame, flush, op_ret, op_errno, xdata) };
///     0
/// }
/// unsafe fn flush(
///     frame: Frame, free: *const StandIn<()>, this: Xlator<'_>, fd: *mut sys::fd_t, xdata: *mut sys::dict_t,
/// ) {
///     unsafe { wind!(frame, free, this, flush, GF_FOP_FLUSH, reply, fd, xdata) }
/// }
/// ```
/// A frame that is used twice does not compile:
/// ```compile_fail,E0382
/// # use gnotify_bindings::{sys::{self, glusterfs_fop_t::GF_FOP_FLUSH}, Frame, Xlator, wind_tail};
/// unsafe fn flush(frame: Frame, this: Xlator<'_>, fd: *mut sys::fd_t, xdata: *mut sys::dict_t) {
///     unsafe { wind_tail!(frame, this, flush, GF_FOP_FLUSH, fd, xdata) };
///     unsafe { wind_tail!(frame, this, flush, GF_FOP_FLUSH, fd, xdata) };
/// }
/// ```
/// nor does the number of another fop:
/// ```compile_fail,E0080
/// # use gnotify_bindings::{sys::{self, glusterfs_fop_t::GF_FOP_FSYNC}, Frame, Xlator, wind_tail};
/// unsafe fn flush(frame: Frame, this: Xlator<'_>, fd: *mut sys::fd_t, xdata: *mut sys::dict_t) {
///     unsafe { wind_tail!(frame, this, flush, GF_FOP_FSYNC, fd, xdata) };
/// }
/// ```
/// nor the reply of another fop:
/// ```compile_fail,E0308
/// # use gnotify_bindings::{sys::{self, glusterfs_fop_t::GF_FOP_FLUSH}, Frame, StandIn, Xlator, wind};
/// # use core::ffi::c_void;
/// unsafe extern "C" fn reply(
///     _: *mut sys::call_frame_t, _: *mut c_void, _: *mut sys::xlator_t,
///     _: i32, _: i32, _: *mut sys::iatt, _: *mut sys::dict_t,
/// ) -> i32 {
///     0
/// }
/// unsafe fn flush(
///     frame: Frame, free: *const StandIn<()>, this: Xlator<'_>, fd: *mut sys::fd_t, xdata: *mut sys::dict_t,
/// ) {
///     unsafe { wind!(frame, free, this, flush, GF_FOP_FLUSH, reply, fd, xdata) }
/// }
/// ```
#[macro_export]
macro_rules! wind {
    (
        $frame:expr, $stand_in:expr, $this:expr, $name:ident, $number:expr, $reply:expr
        $(, $arg:expr)* $(,)?
    ) => {{
        const _: () = $crate::wind::assert_number($crate::fops::$name::NUMBER, $number);
        let to: &'static ::core::ffi::CStr = const { $crate::c_name!($name, "") };
        let reply: $crate::fops::$name::Reply = ::core::option::Option::Some($reply);
        let reply = ::core::mem::transmute::<$crate::fops::$name::Reply, $crate::sys::ret_fn_t>(reply);
        let wound = $crate::wind::begin_wind($frame, $stand_in, $this, $number, reply, to);
        match (*wound.fops).$name {
            ::core::option::Option::Some(call) => {
                call(wound.frame, wound.next $(, $arg)*);
            }
            ::core::option::Option::None => $crate::wind::empty_slot(to),
        }
        wound.restore.put_back();
    }};
}

/// Hands a call on to the first child, which answers our caller:
/// `wind_tail!(frame, this, stat, GF_FOP_STAT, args...)`.
///
/// Consumes the [`Frame`](crate::frame::Frame). Must stand in an `unsafe` block, for the reasons given at
/// [`wind!`](crate::wind!).
#[macro_export]
macro_rules! wind_tail {
    ($frame:expr, $this:expr, $name:ident, $number:expr $(, $arg:expr)* $(,)?) => {{
        const _: () = $crate::wind::assert_number($crate::fops::$name::NUMBER, $number);
        let to: &'static ::core::ffi::CStr = const { $crate::c_name!($name, "") };
        let wound = $crate::wind::begin_wind_tail($frame, $this, $number, to);
        match (*wound.fops).$name {
            ::core::option::Option::Some(call) => {
                call(wound.frame, wound.next $(, $arg)*);
            }
            ::core::option::Option::None => $crate::wind::empty_slot(to),
        }
        wound.restore.put_back();
    }};
}

/// Answers a call: `unwind!(frame, writev, op_ret, op_errno, args...)`.
///
/// Consumes the [`Frame`](crate::frame::Frame). Must stand in an `unsafe` block: the frame is one of fop `$name`,
/// and [host-args] the arguments are what the child answered with, or null where the host allows it.
#[macro_export]
macro_rules! unwind {
    ($frame:expr, $name:ident, $op_ret:expr, $op_errno:expr $(, $arg:expr)* $(,)?) => {
        $crate::answer!(begin_unwind, $frame, $name, $op_ret, $op_errno $(, $arg)*)
    };
}

/// Answers a call with the child's answer, of which `op_ret` and `op_errno` are as they came:
/// `pass_back!(frame, writev, op_ret, op_errno, args...)`. For the rest it is [`unwind!`](crate::unwind!).
#[macro_export]
macro_rules! pass_back {
    ($frame:expr, $name:ident, $op_ret:expr, $op_errno:expr $(, $arg:expr)* $(,)?) => {
        $crate::answer!(begin_pass_back, $frame, $name, $op_ret, $op_errno $(, $arg)*)
    };
}

/// What the two have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! answer {
    ($begin:ident, $frame:expr, $name:ident, $op_ret:expr, $op_errno:expr $(, $arg:expr)*) => {{
        let from: &'static ::core::ffi::CStr = const { $crate::c_name!($name, " of gnotify") };
        let (op_ret, op_errno): (i32, i32) = ($op_ret, $op_errno);
        let unwound = $crate::wind::$begin($frame, op_ret, op_errno, from);
        match ::core::mem::transmute::<$crate::sys::ret_fn_t, $crate::fops::$name::Reply>(unwound.ret) {
            ::core::option::Option::Some(reply) => {
                reply(unwound.parent, unwound.cookie, unwound.caller, op_ret, op_errno $(, $arg)*);
            }
            ::core::option::Option::None => $crate::wind::empty_slot(from),
        }
        unwound.restore.put_back();
    }};
}

/// A fop's name as a C string, for the host's state dumps.
#[doc(hidden)]
#[macro_export]
macro_rules! c_name {
    ($name:ident, $suffix:literal) => {
        match ::core::ffi::CStr::from_bytes_with_nul(
            concat!(stringify!($name), $suffix, "\0").as_bytes(),
        ) {
            Ok(name) => name,
            Err(_) => c"",
        }
    };
}
