//! The host's inode: borrowed for a call, or held by a reference of our own.
//!
//! It exists because a reply may use only what the call saved: a borrowed `Inode` cannot leave its call, an
//! `InodeRef` can and gives its reference back by itself.

use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};

use crate::sys;

/// The host's 128-bit identity of a file.
pub type Gfid = [u8; 16];

/// An inode, borrowed.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Inode<'a>(NonNull<sys::inode_t>, PhantomData<&'a sys::inode_t>);

impl<'a> Inode<'a> {
    /// The handle of an inode of the host.
    ///
    /// # Safety
    /// [live-inode] `inode` is null or an inode on which somebody holds a reference for `'a`.
    #[inline]
    pub unsafe fn from_raw(inode: *mut sys::inode_t) -> Option<Self> {
        NonNull::new(inode).map(|inode| Self(inode, PhantomData))
    }

    /// The host's pointer.
    #[inline]
    pub fn as_ptr(self) -> *mut sys::inode_t {
        self.0.as_ptr()
    }

    /// Its identity; all zero until the host has linked it.
    #[inline]
    pub fn gfid(self) -> Gfid {
        // SAFETY: [live-inode] written once, when the host links it; read by everybody without a lock.
        unsafe { (*self.as_ptr()).gfid }
    }

    /// What kind of file, one of `sys::ia_type_t`; 0 until the host has linked it.
    #[inline]
    pub fn ia_type(self) -> u32 {
        // SAFETY: as in `gfid`.
        unsafe { (*self.as_ptr()).ia_type }
    }

    /// A directory that the host knows it to stand in, if it knows one.
    pub fn parent(self) -> Option<InodeRef> {
        // SAFETY: [live-inode]; without a directory to begin with and a name it is any that is known. The host
        // gives a reference, which is ours.
        let parent = unsafe { sys::inode_parent(self.as_ptr(), [0; 16].as_mut_ptr(), ptr::null()) };
        NonNull::new(parent).map(InodeRef)
    }

    /// Takes a reference of our own.
    #[inline]
    pub fn hold(self) -> InodeRef {
        // SAFETY: [live-inode] a referenced inode may be referenced again.
        unsafe { sys::inode_ref(self.as_ptr()) };
        InodeRef(self.0)
    }
}

/// An inode on which we hold a reference.
#[derive(Debug)]
#[repr(transparent)]
pub struct InodeRef(NonNull<sys::inode_t>);

// SAFETY: [live-inode] the reference is ours, and the host counts under the lock of the inode table.
unsafe impl Send for InodeRef {}
// SAFETY: as above; `get` hands out what is safe to read from any thread.
unsafe impl Sync for InodeRef {}

impl InodeRef {
    /// The inode.
    #[inline]
    pub fn get(&self) -> Inode<'_> {
        Inode(self.0, PhantomData)
    }

    /// Gives the reference away as the host's pointer.
    #[inline]
    pub fn into_raw(self) -> *mut sys::inode_t {
        mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Clone for InodeRef {
    fn clone(&self) -> Self {
        self.get().hold()
    }
}

impl Drop for InodeRef {
    fn drop(&mut self) {
        // SAFETY: [live-inode] it is the reference that `hold` took.
        unsafe { sys::inode_unref(self.0.as_ptr()) };
    }
}
