//! The host's open file.
//!
//! It exists because fops by descriptor name their inode only through it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::inode::Inode;
use crate::sys;

/// An open file, borrowed: valid until the call that brought it is answered.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Fd<'a>(NonNull<sys::fd_t>, PhantomData<&'a sys::fd_t>);

impl<'a> Fd<'a> {
    /// The handle of a descriptor of the host.
    ///
    /// # Safety
    /// [live-fd] `fd` is null or a descriptor on which somebody holds a reference for `'a`.
    #[inline]
    pub unsafe fn from_raw(fd: *mut sys::fd_t) -> Option<Self> {
        NonNull::new(fd).map(|fd| Self(fd, PhantomData))
    }

    /// The host's pointer.
    #[inline]
    pub fn as_ptr(self) -> *mut sys::fd_t {
        self.0.as_ptr()
    }

    /// The file it is open on.
    #[inline]
    pub fn inode(self) -> Option<Inode<'a>> {
        // SAFETY: [live-fd] a descriptor holds a reference on its inode.
        unsafe { Inode::from_raw((*self.as_ptr()).inode) }
    }

    /// The flags of its open.
    #[inline]
    pub fn flags(self) -> i32 {
        // SAFETY: [live-fd]
        unsafe { (*self.as_ptr()).flags }
    }

    /// The process that opened it, at its client.
    #[inline]
    pub fn pid(self) -> u64 {
        // SAFETY: [live-fd]
        unsafe { (*self.as_ptr()).pid }
    }

    /// Whether it stands for no open at all: made up by the host for a single fop.
    #[inline]
    pub fn is_anonymous(self) -> bool {
        // SAFETY: [live-fd]
        unsafe { (*self.as_ptr()).anonymous }
    }

    /// Where the host keeps it: tells two live descriptors apart, nothing more.
    #[inline]
    pub fn address(self) -> usize {
        self.as_ptr().addr()
    }

    /// Takes a reference of our own.
    #[inline]
    pub fn hold(self) -> FdRef {
        // SAFETY: [live-fd] a referenced descriptor may be referenced again.
        unsafe { sys::fd_ref(self.as_ptr()) };
        FdRef(self.0)
    }
}

/// A descriptor on which we hold a reference.
#[derive(Debug)]
#[repr(transparent)]
pub struct FdRef(NonNull<sys::fd_t>);

// SAFETY: [live-fd] the reference is ours, and the host counts atomically.
unsafe impl Send for FdRef {}
// SAFETY: as above; `get` hands out what is safe to read from any thread.
unsafe impl Sync for FdRef {}

impl FdRef {
    /// The descriptor.
    #[inline]
    pub fn get(&self) -> Fd<'_> {
        Fd(self.0, PhantomData)
    }
}

impl Drop for FdRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: [live-fd] it is the reference that `hold` took.
        unsafe { sys::fd_unref(self.0.as_ptr()) };
    }
}
