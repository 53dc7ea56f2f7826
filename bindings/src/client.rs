//! The host's client: the connection a call came from.
//!
//! It exists because upcalls are addressed by the client's name, and because the name must be copied out
//! while the call is live; the handle itself never outlives it.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::sys;

/// A connection to the brick, borrowed from a live call or from the host's client callbacks.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Client<'a>(NonNull<sys::client_t>, PhantomData<&'a sys::client_t>);

impl<'a> Client<'a> {
    /// The handle of a client of the host.
    ///
    /// # Safety
    /// [live-client] `client` is null or a client that the host keeps alive for `'a`.
    #[inline]
    pub unsafe fn from_raw(client: *mut sys::client_t) -> Option<Self> {
        NonNull::new(client).map(|client| Self(client, PhantomData))
    }

    /// The name the host addresses it by. It contains the count of reconnects: a reconnect is a new name.
    #[inline]
    pub fn uid(self) -> &'a CStr {
        // SAFETY: [live-client] the name is set once when the client is made and freed with it.
        unsafe {
            let uid = (*self.0.as_ptr()).client_uid;
            if uid.is_null() { c"" } else { CStr::from_ptr(uid) }
        }
    }

    /// Where the host keeps it: tells two live clients apart, nothing more.
    #[inline]
    pub fn address(self) -> usize {
        self.0.as_ptr().addr()
    }
}
