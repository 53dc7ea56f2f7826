//! Panics on demand, for the proof of P3; nothing in a normal build.
//!
//! With the feature `injected-panic` the fop path panics on every entry with one of three names, twice on
//! the way down and once on the way up, and the export on one with a fourth. Without it these names mean nothing and the
//! check is gone.

use gnotify_record::Record;

/// A fop on an entry with this name panics before it is wound.
pub(crate) const BEFORE: &[u8] = b"gnotify-panic-before";
/// A fop on an entry with this name panics when it has got its names.
pub(crate) const ENTERED: &[u8] = b"gnotify-panic-entered";
/// A fop on an entry with this name panics in its reply.
pub(crate) const AFTER: &[u8] = b"gnotify-panic-after";
/// The export panics when it reads the record of a fop on an entry with this name.
pub(crate) const EXPORT: &[u8] = b"gnotify-panic-export";

#[inline]
pub(crate) fn panic_on(name: &[u8], record: &Record<'_>) {
    if cfg!(feature = "injected-panic") && record.at.as_ref().is_some_and(|at| *at.name == *name) {
        panic!("injected by the name {}", name.escape_ascii());
    }
}
