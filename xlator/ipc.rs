//! The ipc fop of `features/changelog`: features/bitrot-stub hands its events to the channel by it.
//!
//! FORMAT: number 0 (`GF_IPC_TARGET_CHANGELOG`); each value of its xdata is an event in stock's native structure. Any
//! client can send one, so its length and type are checked (`gnotify_channel::Event::from_bytes`).

use gnotify_bindings::sys::{self, glusterfs_fop_t};
use gnotify_bindings::{Dict, Frame, FromHost, Xlator, unwind, wind_tail};
use gnotify_channel::Event;

use crate::instance::Instance;

/// The number that means us.
const TARGET: i32 = 0;

/// The fop comes down.
pub(crate) unsafe extern "C" fn entry(
    frame: *mut sys::call_frame_t,
    this: *mut sys::xlator_t,
    op: i32,
    xdata: *mut sys::dict_t,
) -> i32 {
    let (frame, this) =
        // SAFETY: [host-args] the host calls its translators with a live frame that is ours to answer, and with
        // ourselves.
        unsafe { (Frame::from_raw(frame), Xlator::from_raw(this)) };
    let role = Instance::of(this).and_then(|instance| Some((instance, instance.role()?)));
    let Some((instance, role)) = role.filter(|_| op == TARGET) else {
        // SAFETY: [host-args] the host's own arguments. [one-child] checked by init.
        unsafe { wind_tail!(frame, this, ipc, glusterfs_fop_t::GF_FOP_IPC, op, xdata) };
        return 0;
    };
    let whole = instance
        .guarded(|| {
            // SAFETY: [host-args] the arguments live until we answer.
            let events = unsafe { Option::<Dict<'_>>::from_host(xdata) };
            // All of them or none: half of what somebody means is worse than an error.
            let events = events.iter().flat_map(|dict| dict.iter());
            let events: Result<Vec<Event>, _> =
                events.map(|(_, bytes)| Event::from_bytes(bytes)).collect();
            // The others are ours to tell: whoever could say that a slice is finished could have consumers read any file.
            let ours_to_tell = |event: &Event| !matches!(event, Event::BrRelease { .. });
            match events {
                Ok(events) if events.iter().any(ours_to_tell) => false,
                Ok(events) => {
                    // The host's list has the newest first.
                    events.into_iter().rev().for_each(|event| role.announce(event));
                    true
                }
                Err(_) => false,
            }
        })
        .unwrap_or(false);
    let (op_ret, op_errno) = if whole { (0, 0) } else { (-1, libc::EINVAL) };
    // SAFETY: [host-args] an ipc may be answered without an xdata.
    unsafe { unwind!(frame, ipc, op_ret, op_errno, core::ptr::null_mut()) };
    0
}
