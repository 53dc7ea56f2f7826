//! The host's loc: where a fop by name is to act.
//!
//! It exists because a loc is filled unevenly: gfids stand in it or in its inodes, the name may be missing.
//! The rules for reading it are written here once.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::inode::{Gfid, Inode};
use crate::sys;

/// A loc, borrowed for the call: it belongs to whoever made the call and is gone when the call is answered.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Loc<'a>(NonNull<sys::loc_t>, PhantomData<&'a sys::loc_t>);

impl<'a> Loc<'a> {
    /// The handle of a loc of the host.
    ///
    /// # Safety
    /// [caller-owns-loc] `loc` is null or a loc that its owner leaves alone for `'a`.
    #[inline]
    pub unsafe fn from_raw(loc: *mut sys::loc_t) -> Option<Self> {
        NonNull::new(loc).map(|loc| Self(loc, PhantomData))
    }

    /// The host's pointer.
    #[inline]
    pub fn as_ptr(self) -> *mut sys::loc_t {
        self.0.as_ptr()
    }

    /// The inode itself.
    #[inline]
    pub fn inode(self) -> Option<Inode<'a>> {
        // SAFETY: [caller-owns-loc] the owner holds a reference on what the loc names.
        unsafe { Inode::from_raw((*self.as_ptr()).inode) }
    }

    /// The directory it stands in.
    #[inline]
    pub fn parent(self) -> Option<Inode<'a>> {
        // SAFETY: as in `inode`.
        unsafe { Inode::from_raw((*self.as_ptr()).parent) }
    }

    /// The last part of the path; none when the loc goes by gfid alone.
    #[inline]
    pub fn name(self) -> Option<&'a [u8]> {
        // SAFETY: [caller-owns-loc] null or a C string inside the loc's path.
        unsafe {
            let name = (*self.as_ptr()).name;
            if name.is_null() { None } else { Some(CStr::from_ptr(name).to_bytes()) }
        }
    }

    /// The path as far as the caller knew it: for messages, never to act upon.
    #[inline]
    pub fn path(self) -> Option<&'a [u8]> {
        // SAFETY: as in `name`.
        unsafe {
            let path = (*self.as_ptr()).path;
            if path.is_null() { None } else { Some(CStr::from_ptr(path).to_bytes()) }
        }
    }

    /// The identity of the file: the loc's own, else its inode's, else all zero.
    #[inline]
    pub fn gfid(self) -> Gfid {
        // SAFETY: [caller-owns-loc]
        choose(unsafe { (*self.as_ptr()).gfid }, self.inode())
    }

    /// The identity of the directory: the loc's own, else its parent inode's, else all zero.
    #[inline]
    pub fn pargfid(self) -> Gfid {
        // SAFETY: [caller-owns-loc]
        choose(unsafe { (*self.as_ptr()).pargfid }, self.parent())
    }
}

#[inline]
fn choose(own: Gfid, inode: Option<Inode<'_>>) -> Gfid {
    if own != [0; 16] { own } else { inode.map_or([0; 16], Inode::gfid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> sys::loc_t {
        // SAFETY: all zero is the host's own empty loc.
        unsafe { core::mem::zeroed() }
    }

    #[test]
    fn an_empty_loc_has_nothing() {
        let mut loc = empty();
        // SAFETY: [caller-owns-loc] it is on our stack.
        let loc = unsafe { Loc::from_raw(&raw mut loc) }.unwrap();
        assert!(loc.inode().is_none() && loc.parent().is_none());
        assert!(loc.name().is_none() && loc.path().is_none());
        assert_eq!((loc.gfid(), loc.pargfid()), ([0; 16], [0; 16]));
    }

    #[test]
    fn its_own_gfid_goes_before_the_inodes() {
        // SAFETY: an inode of which only the gfid is read.
        let mut inode: sys::inode_t = unsafe { core::mem::zeroed() };
        inode.gfid = [7; 16];
        let mut raw = empty();
        raw.inode = &raw mut inode;
        raw.parent = &raw mut inode;
        raw.pargfid = [9; 16];
        raw.name = c"file".as_ptr();
        // SAFETY: [caller-owns-loc] it is on our stack.
        let loc = unsafe { Loc::from_raw(&raw mut raw) }.unwrap();
        assert_eq!((loc.gfid(), loc.pargfid()), ([7; 16], [9; 16]));
        assert_eq!(loc.name(), Some(&b"file"[..]));
    }
}
