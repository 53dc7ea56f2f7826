//! What stock records of which fop, decided from gnotify's record alone.

use gnotify_record::{Link, Record};
use smallvec::SmallVec;

use crate::Change;

/// How much is recorded (the option `changelog-records`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What stock records.
    Stock,
    /// Besides it, what stock loses.
    Extended,
}

/// The changes that `record` becomes.
#[must_use]
pub fn changes<'r>(record: &'r Record<'_>, scope: Scope) -> SmallVec<[Change<'r>; 2]> {
    let _ = (record, scope);
    SmallVec::new()
}

/// The names in a rename hint of cluster/distribute: xdata "changelog.rename-op". `None` if the lengths in it are not those of
/// its names.
#[must_use]
pub fn read_rename_op(blob: &[u8]) -> Option<(Link<'_>, Link<'_>)> {
    let _ = blob;
    None
}
