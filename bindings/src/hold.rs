//! Arguments that outlive their call.
//!
//! It exists because a call that is parked, and a reply that waits for something, need their arguments after
//! the host has taken them back: each is copied, or held by a reference of our own, by its type.

use core::ffi::CStr;
use core::ptr;
use std::ffi::CString;

use crate::dict::{Dict, OwnedDict};
use crate::fd::{Fd, FdRef};
use crate::iatt::Iatt;
use crate::inode::{Inode, InodeRef};
use crate::loc::Loc;
use crate::{FromHost, sys};

/// An argument of a fop or reply that can be kept.
pub trait Hold: FromHost {
    /// What is kept.
    type Held: Send + 'static;

    /// Keeps it. None when the host is out of memory, or it is of a type that cannot be kept.
    ///
    /// # Safety
    /// [host-args] `c` is an argument of a call that is live now.
    unsafe fn hold(c: Self::C) -> Option<Self::Held>;

    /// The argument as the host passes it, for a call that borrows it.
    fn lend(held: &mut Self::Held) -> Self::C;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Hold for $number {
            type Held = $number;
            #[inline]
            unsafe fn hold(c: $number) -> Option<$number> {
                Some(c)
            }
            #[inline]
            fn lend(held: &mut $number) -> $number {
                *held
            }
        }
    )*};
}

numbers!(i32, i64, u32, u64, usize);

/// What cannot be kept: nothing.
#[derive(Debug)]
pub enum Unkept {}

macro_rules! pointers_that_only_travel_through {
    ($($pointer:ty),*) => {$(
        impl Hold for $pointer {
            type Held = Unkept;
            unsafe fn hold(_c: $pointer) -> Option<Unkept> {
                None
            }
            fn lend(held: &mut Unkept) -> $pointer {
                match *held {}
            }
        }
    )*};
}

pointers_that_only_travel_through!(*mut libc::iovec, *mut sys::iobref);

/// A loc of our own, with its references.
pub struct OwnedLoc(Box<sys::loc_t>);

impl core::fmt::Debug for OwnedLoc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "OwnedLoc({:p})", &raw const *self.0)
    }
}

// SAFETY: [live-inode] the references in it are ours, and the host counts them under a lock of its own.
unsafe impl Send for OwnedLoc {}

impl Drop for OwnedLoc {
    fn drop(&mut self) {
        // SAFETY: it was filled by the host's own copy, and is wiped once.
        unsafe { sys::loc_wipe(&raw mut *self.0) };
    }
}

impl Hold for Option<Loc<'_>> {
    type Held = Option<OwnedLoc>;

    unsafe fn hold(c: *mut sys::loc_t) -> Option<Self::Held> {
        if c.is_null() {
            return Some(None);
        }
        // SAFETY: all zero is the host's own empty loc.
        let mut copy = OwnedLoc(unsafe { Box::new(core::mem::zeroed()) });
        // SAFETY: [caller-owns-loc] it is copied while the call is live.
        let copied = unsafe { sys::loc_copy(&raw mut *copy.0, c) } == 0;
        copied.then_some(Some(copy))
    }

    fn lend(held: &mut Self::Held) -> *mut sys::loc_t {
        held.as_mut().map_or(ptr::null_mut(), |loc| &raw mut *loc.0)
    }
}

impl Hold for Option<Fd<'_>> {
    type Held = Option<FdRef>;

    unsafe fn hold(c: *mut sys::fd_t) -> Option<Self::Held> {
        // SAFETY: [live-fd] the call holds a reference.
        Some(unsafe { Fd::from_raw(c) }.map(Fd::hold))
    }

    fn lend(held: &mut Self::Held) -> *mut sys::fd_t {
        held.as_ref().map_or(ptr::null_mut(), |fd| fd.get().as_ptr())
    }
}

impl Hold for Option<Inode<'_>> {
    type Held = Option<InodeRef>;

    unsafe fn hold(c: *mut sys::inode_t) -> Option<Self::Held> {
        // SAFETY: [live-inode] the call holds a reference.
        Some(unsafe { Inode::from_raw(c) }.map(Inode::hold))
    }

    fn lend(held: &mut Self::Held) -> *mut sys::inode_t {
        held.as_ref().map_or(ptr::null_mut(), |inode| inode.get().as_ptr())
    }
}

impl Hold for Option<Dict<'_>> {
    type Held = Option<OwnedDict>;

    unsafe fn hold(c: *mut sys::dict_t) -> Option<Self::Held> {
        // SAFETY: [host-args] the call holds a reference.
        Some(unsafe { Dict::from_raw(c) }.map(Dict::hold))
    }

    fn lend(held: &mut Self::Held) -> *mut sys::dict_t {
        held.as_ref().map_or(ptr::null_mut(), OwnedDict::as_ptr)
    }
}

impl Hold for Option<Iatt<'_>> {
    type Held = Option<Box<sys::iatt>>;

    unsafe fn hold(c: *mut sys::iatt) -> Option<Self::Held> {
        // SAFETY: [host-args] null or attributes that nobody writes while the call is live.
        Some(unsafe { c.as_ref() }.map(|iatt| Box::new(*iatt)))
    }

    fn lend(held: &mut Self::Held) -> *mut sys::iatt {
        held.as_mut().map_or(ptr::null_mut(), |iatt| &raw mut **iatt)
    }
}

impl Hold for Option<&CStr> {
    type Held = Option<CString>;

    unsafe fn hold(c: Self::C) -> Option<Self::Held> {
        // SAFETY: [host-args] null or a C string.
        Some(unsafe { <Self as FromHost>::from_host(c) }.map(CStr::to_owned))
    }

    fn lend(held: &mut Self::Held) -> Self::C {
        held.as_ref().map_or(ptr::null(), |text| text.as_ptr())
    }
}
