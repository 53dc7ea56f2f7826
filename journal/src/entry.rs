//! What a reader gets, one at a time: a record or a statement, with its number, time and place.

use std::path::Path;

use gnotify_record::Record;

use crate::Statement;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Sequence number, from 1 in each epoch. A gap or void covers those from this one to its `to`.
    pub seq: u64,
    /// When it was made (nanoseconds since 1970). For what the reader finds out itself, such as
    /// damage, the time of the entry before.
    pub time: u64,
    /// What it says.
    pub what: What<'a>,
    /// Where it stands; for damage, where that begins.
    pub place: Place<'a>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
// A record is by far the most frequent, and lives only for one step of a loop: a box would cost
// an allocation an entry and save nothing.
#[expect(clippy::large_enum_variant)]
pub enum What<'a> {
    /// A change on the brick.
    Record(Record<'a>),
    /// Something about the journal.
    Statement(Statement<'a>),
}

/// A place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The segment's file.
    pub path: &'a Path,
    /// Bytes from its start.
    pub offset: u64,
}
