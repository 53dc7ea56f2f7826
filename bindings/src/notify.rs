//! Events of the host's graph.
//!
//! It exists because the host's notify is variadic, and Rust cannot define such a function, only call it.

use core::ffi::c_void;

use crate::sys;
use crate::xlator::Xlator;

/// Our notify as it can be written in Rust.
pub type Notify = unsafe extern "C" fn(*mut sys::xlator_t, i32, *mut c_void) -> i32;

/// Our notify as the host's table wants it.
///
/// A variadic call passes its named arguments where a plain one does, on x86-64 (System V) and on AArch64
/// (Linux); what the host passes beyond them we do not read.
pub const fn as_variadic(notify: Notify) -> sys::event_notify_fn_t {
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    compile_error!("how this target passes variadic arguments has not been checked");
    // SAFETY: [variadic-notify] pointers to functions of one size, called the same way on these targets.
    unsafe { core::mem::transmute::<Notify, sys::event_notify_fn_t>(notify) }
}

/// Passes an event on to where it was going. Every event we are told of must be: a brick whose translators
/// are not told of each other does not start.
///
/// # Safety
/// [host-args] `data` is what the event's receivers expect of it: what the host gave us, or of the event's type.
pub unsafe fn pass_on(this: Xlator<'_>, event: i32, data: *mut c_void) -> i32 {
    // SAFETY: [this-xlator]; `data` by the caller. Nothing of ours is held over the call.
    unsafe { sys::default_notify(this.as_ptr(), event, data) }
}
