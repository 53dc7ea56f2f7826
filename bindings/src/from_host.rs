//! From an argument as the host passes it to what the plugin looks at.
//!
//! It exists so that a row of the fop table names each argument by one type: the C type of the trampoline's
//! parameter follows from it.

use core::ffi::{CStr, c_char, c_void};

use crate::dict::Dict;
use crate::fd::Fd;
use crate::iatt::Iatt;
use crate::inode::Inode;
use crate::loc::Loc;
use crate::sys;

/// A Rust view of an argument of a fop or of a reply.
pub trait FromHost {
    /// The type the host passes.
    type C: Copy;

    /// Looks at the argument.
    ///
    /// # Safety
    /// [host-args] `c` is an argument of a call that is live for as long as the view.
    unsafe fn from_host(c: Self::C) -> Self;
}

macro_rules! as_it_is {
    ($($number:ty),*) => {$(
        impl FromHost for $number {
            type C = $number;
            #[inline]
            unsafe fn from_host(c: $number) -> $number {
                c
            }
        }
    )*};
}

// off_t, mode_t, dev_t and size_t are among these. So are the pointers that only travel through.
as_it_is!(i8, i16, i32, i64, u8, u16, u32, u64, usize, bool);
as_it_is!(*mut c_char, *const c_char, *mut c_void);
as_it_is!(*mut sys::iobref, *mut sys::gf_flock, *mut sys::gf_lease, *mut sys::gf_dirent_t);
as_it_is!(*mut libc::iovec, *mut libc::statvfs);

macro_rules! handles {
    ($($handle:ident($c:ty)),*) => {$(
        impl<'a> FromHost for Option<$handle<'a>> {
            type C = $c;
            #[inline]
            unsafe fn from_host(c: $c) -> Self {
                // SAFETY: [host-args] by the caller: the host keeps what it passes until the call is answered.
                unsafe { $handle::from_raw(c) }
            }
        }
    )*};
}

handles!(
    Loc(*mut sys::loc_t),
    Inode(*mut sys::inode_t),
    Fd(*mut sys::fd_t),
    Iatt(*mut sys::iatt),
    Dict(*mut sys::dict_t)
);

impl FromHost for Option<&CStr> {
    type C = *const c_char;
    #[inline]
    unsafe fn from_host(c: *const c_char) -> Self {
        // SAFETY: [host-args] null or a C string.
        unsafe { if c.is_null() { None } else { Some(CStr::from_ptr(c)) } }
    }
}
