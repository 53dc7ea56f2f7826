//! The call frame as a move-only token.
//!
//! A frame must be wound or unwound exactly once; twice is a use after free that no test finds. So the plugin
//! holds a `Frame` that it cannot copy, and winding or unwinding takes it. After that nothing of the fop may
//! be touched: the host answers inside the call, on the same thread, and may have freed it all.

use core::ptr::NonNull;

use crate::client::Client;
use crate::sys;

/// The right and the duty to wind or to unwind one call of the host.
///
/// Dropping it without either leaves the client waiting for ever. It is deliberately not `Clone`.
#[must_use = "a frame that is neither wound nor unwound hangs its client"]
#[derive(Debug)]
#[repr(transparent)]
pub struct Frame(NonNull<sys::call_frame_t>);

// SAFETY: [live-frame] the host itself hands a call from one thread to another (io-threads, replies of the
// network); the token is the only access to it, and every wind and unwind sets THIS itself.
unsafe impl Send for Frame {}

impl Frame {
    /// Takes over the frame the host handed to a fop entry.
    ///
    /// # Safety
    /// [live-frame] `frame` is the frame of a call that was given to us and is not yet answered, and no other
    /// `Frame` for it exists.
    #[inline]
    pub unsafe fn from_raw(frame: *mut sys::call_frame_t) -> Self {
        debug_assert!(!frame.is_null());
        // SAFETY: [live-frame] the host never calls a fop or a reply without a frame.
        Self(unsafe { NonNull::new_unchecked(frame) })
    }

    /// The host's pointer; the token stays responsible.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::call_frame_t {
        self.0.as_ptr()
    }

    /// The host's pointer, and with it the duty to answer.
    #[inline]
    pub fn into_raw(self) -> *mut sys::call_frame_t {
        self.0.as_ptr()
    }

    #[inline]
    fn root(&self) -> *mut sys::call_stack_t {
        // SAFETY: [live-frame] every live frame has a root that outlives it.
        unsafe { (*self.as_ptr()).root }
    }

    /// Who called, as the root of the call says.
    #[inline]
    pub fn caller(&self) -> Caller<'_> {
        let root = self.root();
        // SAFETY: [live-frame] the root lives as long as the call; these fields were set before it started
        // and a copy is taken of each.
        unsafe {
            let ctime = (*root).ctime;
            Caller {
                uid: (*root).uid,
                gid: (*root).gid,
                pid: (*root).pid,
                op: (*root).op,
                ctime: (ctime.tv_sec != 0 || ctime.tv_nsec != 0)
                    .then_some((ctime.tv_sec, ctime.tv_nsec)),
                client: Client::from_raw((*root).client),
            }
        }
    }
}

/// Who called: a copy of what the root of a call says.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// User on whose behalf.
    pub uid: u32,
    /// Group on whose behalf.
    pub gid: u32,
    /// Process at the client; negative for the host's own daemons.
    pub pid: i32,
    /// Number of the fop that the root started with, or something else for calls that are not fops.
    pub op: i32,
    /// The client's clock when it made the call, when it said so.
    pub ctime: Option<(i64, i64)>,
    /// The connection it came from; none at the client's side and for calls the brick made itself.
    pub client: Option<Client<'a>>,
}

impl Caller<'_> {
    /// Whether the root started with a fop. Calls that a translator made of itself say otherwise.
    #[inline]
    pub fn is_fop(&self) -> bool {
        u32::try_from(self.op).is_ok_and(|op| op > 0 && op < sys::glusterfs_fop_t::GF_FOP_MAXVALUE)
    }
}
