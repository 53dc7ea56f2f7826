//! The host's dict: options, and what travels beside a fop.
//!
//! It exists because a dict's values are typed by convention only: what came over the network is text or
//! bytes, what was set in the process may be a number. The reading is lenient and stands here once.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::slice;

use crate::sys;

/// A dict, borrowed.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Dict<'a>(NonNull<sys::dict_t>, PhantomData<&'a sys::dict_t>);

impl<'a> Dict<'a> {
    /// The handle of a dict of the host.
    ///
    /// # Safety
    /// [host-args] `dict` is null or a dict that is referenced, and that nobody changes, for `'a`.
    #[inline]
    pub unsafe fn from_raw(dict: *mut sys::dict_t) -> Option<Self> {
        NonNull::new(dict).map(|dict| Self(dict, PhantomData))
    }

    /// The host's pointer.
    #[inline]
    pub fn as_ptr(self) -> *mut sys::dict_t {
        self.0.as_ptr()
    }

    /// How many pairs it has.
    #[inline]
    pub fn len(self) -> usize {
        // SAFETY: [host-args]
        usize::try_from(unsafe { (*self.as_ptr()).count }).unwrap_or(0)
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `key` is there.
    #[inline]
    pub fn contains(self, key: &CStr) -> bool {
        self.data(key).is_some()
    }

    /// The bytes under `key`, with the NUL that ends a text.
    #[inline]
    pub fn bytes(self, key: &CStr) -> Option<&'a [u8]> {
        // SAFETY: [host-args] a value lives as long as its pair stays in the dict.
        self.data(key).map(|data| unsafe { value(data) })
    }

    /// The text under `key`, without the NUL.
    #[inline]
    pub fn text(self, key: &CStr) -> Option<&'a [u8]> {
        self.bytes(key).map(until_nul)
    }

    /// The number under `key`.
    pub fn i32(self, key: &CStr) -> Option<i32> {
        let mut number = 0;
        // SAFETY: [host-args]; the host reads the key and writes the number.
        let got =
            unsafe { sys::dict_get_int32(self.as_ptr(), key.as_ptr().cast_mut(), &mut number) };
        (got == 0).then_some(number)
    }

    /// The number under `key`: the host keeps numbers as decimal texts.
    #[inline]
    pub fn u32(self, key: &CStr) -> Option<u32> {
        core::str::from_utf8(self.text(key)?).ok()?.parse().ok()
    }

    /// The number under `key`.
    pub fn u64(self, key: &CStr) -> Option<u64> {
        let mut number = 0;
        // SAFETY: as in `i32`.
        let got =
            unsafe { sys::dict_get_uint64(self.as_ptr(), key.as_ptr().cast_mut(), &mut number) };
        (got == 0).then_some(number)
    }

    /// The pairs, newest first: key, and value with the NUL that ends a text.
    #[inline]
    pub fn iter(self) -> Pairs<'a> {
        // SAFETY: [host-args]
        Pairs { next: unsafe { (*self.as_ptr()).members_list }, dict: PhantomData }
    }

    /// A reference of our own on the same dict.
    pub fn hold(self) -> OwnedDict {
        // SAFETY: [host-args] a referenced dict may be referenced again.
        unsafe { sys::dict_ref(self.as_ptr()) };
        OwnedDict(self.0)
    }

    /// Few pairs are sooner looked through than the key is hashed, under the dict's lock.
    #[inline]
    fn data(self, key: &CStr) -> Option<*mut sys::data_t> {
        const FEW: usize = 8;
        if self.len() > FEW {
            // SAFETY: [host-args]; the host only reads the key.
            let data = unsafe { sys::dict_get(self.as_ptr(), key.as_ptr().cast_mut()) };
            return (!data.is_null()).then_some(data);
        }
        self.iter().members().find(|(name, _)| *name == key).map(|(_, data)| data)
    }
}

/// The pairs of a dict. Walked here rather than by the host's callback, so that no panic has to cross it.
#[derive(Debug)]
pub struct Pairs<'a> {
    next: *mut sys::data_pair_t,
    dict: PhantomData<&'a sys::dict_t>,
}

impl<'a> Pairs<'a> {
    #[inline]
    fn members(mut self) -> impl Iterator<Item = (&'a CStr, *mut sys::data_t)> {
        core::iter::from_fn(move || self.member())
    }

    #[inline]
    fn member(&mut self) -> Option<(&'a CStr, *mut sys::data_t)> {
        while let Some(pair) = NonNull::new(self.next) {
            // SAFETY: [host-args] nobody changes the dict for 'a; a pair's key is a C string.
            unsafe {
                let pair = pair.as_ptr();
                self.next = (*pair).next;
                if !(*pair).key.is_null() && !(*pair).value.is_null() {
                    return Some((CStr::from_ptr((*pair).key), (*pair).value));
                }
            }
        }
        None
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a CStr, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: [host-args] a value lives as long as its pair stays in the dict.
        self.member().map(|(key, data)| (key, unsafe { value(data) }))
    }
}

/// A dict on which we hold a reference.
#[derive(Debug)]
#[repr(transparent)]
pub struct OwnedDict(NonNull<sys::dict_t>);

// SAFETY: [own-dict] the reference is ours, and the host counts atomically.
unsafe impl Send for OwnedDict {}
// SAFETY: as above; it is changed through `&mut` only, and the host's readers take its lock.
unsafe impl Sync for OwnedDict {}

impl OwnedDict {
    /// An empty dict; none when the host is out of memory.
    pub fn new() -> Option<Self> {
        // SAFETY: [host-ready] the dict comes with one reference, which is ours.
        NonNull::new(unsafe { sys::dict_new() }).map(Self)
    }

    /// A dict of our own with the pairs of `dict`, whose values are shared and not copied.
    pub fn copy_with_ref(dict: Option<Dict<'_>>) -> Option<Self> {
        let Some(dict) = dict else { return Self::new() };
        // SAFETY: [host-args]; given no target the host makes one, with one reference, which is ours.
        NonNull::new(unsafe { sys::dict_copy_with_ref(dict.as_ptr(), ptr::null_mut()) }).map(Self)
    }

    /// To read it.
    #[inline]
    pub fn get(&self) -> Dict<'_> {
        Dict(self.0, PhantomData)
    }

    /// For a call that borrows it.
    #[inline]
    pub fn as_ptr(&self) -> *mut sys::dict_t {
        self.0.as_ptr()
    }

    /// Sets a number; false when the host is out of memory.
    pub fn set_i32(&mut self, key: &CStr, number: i32) -> bool {
        // SAFETY: [own-dict]; the host copies the key.
        unsafe { sys::dict_set_int32(self.as_ptr(), key.as_ptr().cast_mut(), number) == 0 }
    }

    /// Sets a number; false when the host is out of memory.
    pub fn set_u32(&mut self, key: &CStr, number: u32) -> bool {
        // SAFETY: as in `set_i32`.
        unsafe { sys::dict_set_uint32(self.as_ptr(), key.as_ptr().cast_mut(), number) == 0 }
    }

    /// Sets a text, which is copied; false when the host is out of memory.
    pub fn set_str(&mut self, key: &CStr, text: &CStr) -> bool {
        // SAFETY: as in `set_i32`; this setter copies the text into memory of the host.
        unsafe {
            sys::dict_set_dynstr_with_alloc(self.as_ptr(), key.as_ptr().cast_mut(), text.as_ptr())
                == 0
        }
    }

    /// Sets what is in `pairs`, whose values are shared and not copied: the least that setting a number again
    /// and again can cost. False when the host is out of memory.
    pub fn add(&mut self, pairs: &OwnedDict) -> bool {
        // SAFETY: [own-dict] both; given a target the host gives that back.
        !unsafe { sys::dict_copy_with_ref(pairs.as_ptr(), self.as_ptr()) }.is_null()
    }

    /// Removes a pair.
    pub fn del(&mut self, key: &CStr) {
        // SAFETY: [own-dict]
        unsafe { sys::dict_del(self.as_ptr(), key.as_ptr().cast_mut()) };
    }
}

impl Drop for OwnedDict {
    fn drop(&mut self) {
        // SAFETY: [own-dict] it is our reference.
        unsafe { sys::dict_unref(self.as_ptr()) };
    }
}

/// # Safety
/// `data` is a live value of a dict, for `'a`.
#[inline]
unsafe fn value<'a>(data: *mut sys::data_t) -> &'a [u8] {
    // SAFETY: by the caller; `len` bytes stand at `data`.
    unsafe {
        let start = (*data).data.cast::<u8>();
        if start.is_null() { &[] } else { slice::from_raw_parts(start, (*data).len as usize) }
    }
}

#[inline]
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::until_nul;

    #[test]
    fn a_text_ends_at_its_nul_if_it_has_one() {
        assert_eq!(until_nul(b"on\0"), b"on");
        assert_eq!(until_nul(b"on"), b"on");
        assert_eq!(until_nul(b""), b"");
    }
}
