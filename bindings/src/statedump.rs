//! The host's state dump.
//!
//! It exists so that the plugin's dump callback writes `key=value` without the host's formats. The callback
//! runs while the host may hold its locks: ask for nothing there that may wait.

use crate::log::c_text;
use crate::sys;

/// Starts a section, `[name]`.
pub fn section(name: &str) {
    let name = c_text(name);
    // SAFETY: [host-ready] the one conversion has its one argument; the host copies both.
    unsafe { sys::gf_proc_dump_add_section(c"%s".as_ptr().cast_mut(), name.as_ptr()) };
}

/// Writes a line, `key=value`.
pub fn write(key: &str, value: &str) {
    let (key, value) = (c_text(key), c_text(value));
    // SAFETY: as in `section`; the key is no format.
    unsafe {
        sys::gf_proc_dump_write(key.as_ptr().cast_mut(), c"%s".as_ptr().cast_mut(), value.as_ptr());
    }
}
