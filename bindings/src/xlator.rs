//! One translator of the host's graph: this one, or one below it.
//!
//! It exists so that the rest of the plugin reads names, options and neighbours without a pointer in sight.

use core::ffi::{CStr, c_char, c_void};
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::dict::Dict;
use crate::sys;

/// A translator instance, borrowed for a call of the host into it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Xlator<'a>(NonNull<sys::xlator_t>, PhantomData<&'a sys::xlator_t>);

impl<'a> Xlator<'a> {
    /// The handle of a translator of the host.
    ///
    /// # Safety
    /// [this-xlator] `xlator` is a live translator of the host for `'a`, not null.
    #[inline]
    pub unsafe fn from_raw(xlator: *mut sys::xlator_t) -> Self {
        debug_assert!(!xlator.is_null());
        // SAFETY: not null by the caller's promise.
        Self(unsafe { NonNull::new_unchecked(xlator) }, PhantomData)
    }

    /// The host's pointer.
    #[inline]
    pub fn as_ptr(self) -> *mut sys::xlator_t {
        self.0.as_ptr()
    }

    /// The name in the volfile.
    #[inline]
    pub fn name(self) -> &'a CStr {
        // SAFETY: [this-xlator] set when the graph was parsed, freed with the translator.
        unsafe { text((*self.as_ptr()).name) }
    }

    /// The type in the volfile, `features/changelog` and the like; may be a path out of the host's directory.
    #[inline]
    pub fn kind(self) -> &'a CStr {
        // SAFETY: as in `name`.
        unsafe { text((*self.as_ptr()).type_) }
    }

    /// The options as the volfile gave them.
    #[inline]
    pub fn options(self) -> Option<Dict<'a>> {
        // SAFETY: [this-xlator] the options live as long as the translator; the host replaces them only
        // inside reconfigure, after ours has returned.
        unsafe { Dict::from_raw((*self.as_ptr()).options) }
    }

    /// The translator below; none for a leaf.
    #[inline]
    pub fn first_child(self) -> Option<Xlator<'a>> {
        // SAFETY: [this-xlator] children are linked before init and stay until after fini.
        unsafe {
            let children = (*self.as_ptr()).children;
            if children.is_null() { None } else { Self::from_nullable((*children).xlator) }
        }
    }

    /// How many translators are directly below.
    pub fn children(self) -> usize {
        // SAFETY: as in `first_child`; the list ends with null.
        unsafe {
            let mut list = (*self.as_ptr()).children;
            let mut count = 0;
            while !list.is_null() {
                count += 1;
                list = (*list).next;
            }
            count
        }
    }

    /// Whether it is an instance of the translator with this fop table.
    pub fn has_fops(self, fops: *const sys::xlator_fops) -> bool {
        // SAFETY: [this-xlator] set when the object was loaded.
        unsafe { (*self.as_ptr()).fops.cast_const() == fops }
    }

    /// The translator above; none for the top of a graph.
    pub fn first_parent(self) -> Option<Xlator<'a>> {
        // SAFETY: [this-xlator] parents are linked before init, as children are.
        unsafe {
            let parents = (*self.as_ptr()).parents;
            if parents.is_null() { None } else { Self::from_nullable((*parents).xlator) }
        }
    }

    /// The first storage translator below (or this one), along first children.
    pub fn storage(self) -> Option<Xlator<'a>> {
        let mut at = Some(self);
        while let Some(xlator) = at {
            if xlator.kind().to_bytes().starts_with(b"storage/") {
                return Some(xlator);
            }
            at = xlator.first_child();
        }
        None
    }

    /// The directory of the brick, as the storage translator below was told.
    pub fn brick_directory(self) -> Option<PathBuf> {
        let directory = self.storage()?.options()?.text(c"directory")?;
        (!directory.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(directory)))
    }

    /// The number of the graph it belongs to; a client switches graphs, a brick has one a volume.
    pub fn graph_id(self) -> Option<i32> {
        // SAFETY: [this-xlator] the graph outlives its translators; FUSE's own has none.
        unsafe {
            let graph = (*self.as_ptr()).graph;
            if graph.is_null() { None } else { Some((*graph).id) }
        }
    }

    /// The maturity that its table declared: near the end of the host's structure, so that the probe reads it.
    pub fn category(self) -> u32 {
        // SAFETY: [this-xlator]
        unsafe { (*self.as_ptr()).category }
    }

    /// What [`Xlator::set_private`] stored, null before.
    #[inline]
    pub fn private(self) -> *mut c_void {
        self.private_slot().load(Ordering::Acquire)
    }

    /// Stores the plugin's own state and returns what was there. What it points to stays the plugin's to free.
    pub fn set_private(self, private: *mut c_void) -> *mut c_void {
        self.private_slot().swap(private, Ordering::AcqRel)
    }

    #[inline]
    fn private_slot(self) -> &'a AtomicPtr<c_void> {
        // SAFETY: [this-xlator] the slot is ours, and the host only clears it, after fini. An atomic, because the
        // host's callbacks about clients and its state dump may come while another thread is in fini.
        unsafe { AtomicPtr::from_ptr(&raw mut (*self.as_ptr()).private) }
    }

    /// A handle for threads of our own.
    ///
    /// # Safety
    /// [joined-threads] every thread that gets it is joined before fini returns.
    pub unsafe fn share(self) -> SharedXlator {
        SharedXlator(self.0)
    }

    #[inline]
    unsafe fn from_nullable(xlator: *mut sys::xlator_t) -> Option<Self> {
        NonNull::new(xlator).map(|xlator| Self(xlator, PhantomData))
    }
}

/// A translator instance that threads of our own may hold.
#[derive(Clone, Copy, Debug)]
pub struct SharedXlator(NonNull<sys::xlator_t>);

// SAFETY: [joined-threads] the instance outlives every holder, and what `Xlator` reads was written before
// init and is not written while it runs, or (private) has one writer.
unsafe impl Send for SharedXlator {}
// SAFETY: as above.
unsafe impl Sync for SharedXlator {}

impl SharedXlator {
    /// The translator.
    #[inline]
    pub fn get(&self) -> Xlator<'_> {
        Xlator(self.0, PhantomData)
    }
}

/// # Safety
/// `at` is null or a C string that lives for `'a`.
unsafe fn text<'a>(at: *const c_char) -> &'a CStr {
    // SAFETY: by the caller.
    unsafe { if at.is_null() { c"" } else { CStr::from_ptr(at) } }
}
