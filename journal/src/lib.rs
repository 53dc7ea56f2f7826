//! The journal of a brick: a ring in shared memory, segments on disk, and their reader.
//!
//! A writer appends typed entries to a ring, which outlives the process; the journal thread carries
//! them to segment files in order. Every sequence number is accounted for, by an entry or by a
//! statement that covers it, whatever kills the process. `docs/format.md` in the project's root draws
//! the bytes.

#![deny(unsafe_code)]

mod entry;
mod frame;
mod reader;
mod segment;
mod sequence;
mod statement;

pub use entry::{Entry, Place, What};
pub use reader::{ReadError, Reader};
pub use segment::{Header, VERSION};
pub use statement::{CLIENT_UID_MAX, Cause, Gap, How, Start, Statement};

/// The file in a journal's directory that its only writer holds a lock on.
pub(crate) const LOCK_FILE: &str = "lock";
