//! The tables that the host reads from us, in memory it may write.
//!
//! It exists because the host fills the empty slots of our fop and callback tables when it loads us. A plain
//! `static` would lie in read-only memory, and the brick would die of a segmentation fault.

use core::cell::UnsafeCell;

use crate::sys;

/// A static table of the host's type, in writable memory.
#[repr(transparent)]
pub struct XlatorTable<T>(UnsafeCell<T>);

// SAFETY: [host-table] only the host touches a table after it was built, and it does so while loading, under
// its own lock.
unsafe impl<T> Sync for XlatorTable<T> {}

impl<T> XlatorTable<T> {
    /// The table as the host finds it.
    pub const fn new(table: T) -> Self {
        Self(UnsafeCell::new(table))
    }

    /// What the host is given.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

impl<E, const N: usize> XlatorTable<[E; N]> {
    /// The first element, as C passes arrays.
    pub const fn first(&self) -> *mut E {
        self.0.get().cast()
    }
}

impl<T> core::fmt::Debug for XlatorTable<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "XlatorTable({:p})", self.as_ptr())
    }
}

macro_rules! empty {
    ($($(#[$doc:meta])* $name:ident -> $table:ident;)*) => {$(
        $(#[$doc])*
        pub const fn $name() -> sys::$table {
            // SAFETY: nullable pointers and numbers, for all of which zero is a value.
            unsafe { core::mem::zeroed() }
        }
    )*};
}

empty! {
    /// A fop table without a row; the host fills it with its defaults.
    no_fops -> xlator_fops;
    /// A callback table without a row.
    no_cbks -> xlator_cbks;
    /// A dump table without a row.
    no_dumpops -> xlator_dumpops;
    /// The exported description, still empty.
    no_api -> xlator_api_t;
}
