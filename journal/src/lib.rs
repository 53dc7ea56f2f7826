//! The journal of a brick: a ring in shared memory, segments on disk, and their reader.
//!
//! A [`Journal`] appends typed entries to a ring, which outlives the process; the journal thread
//! carries them to segment files in order, and a [`Reader`] reads those, also while they are written.
//! Every sequence number is accounted for, by an entry or by a statement that covers it, whatever kills
//! the process. `docs/format.md` in the project's root draws the bytes.

#![deny(unsafe_code)]

mod bell;
mod clock;
mod config;
mod cursor;
#[cfg(all(test, not(loom)))]
mod damage_tests;
mod disk;
mod entry;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(loom)))]
mod golden_tests;
mod group_commit;
mod home;
mod journal;
mod journal_thread;
#[cfg(all(test, loom))]
mod loom_models;
mod outage;
mod pack_thread;
mod packed;
mod reader;
mod recovery;
mod retention;
mod ring;
mod segment;
mod sequence;
mod slices;
mod space;
mod statement;
mod sync;
mod sync_thread;
mod under_way;
mod unrecorded;

pub use config::{Config, Host, Level, Limits, OpenError};
pub use cursor::{BadCursor, Cursor, Resume};
pub use entry::{Entry, Place, What};
pub use group_commit::{Door, Reply};
pub use journal::{Appended, Journal, Stats};
pub use reader::{ReadError, Reader};
pub use ring::InFlight;
pub use ring::file::{RING_DEFAULT, RING_MAX, RING_MIN, ring_path};
pub use segment::{Header, VERSION};
pub use space::Reserve;
pub use statement::{CLIENT_UID_MAX, Cause, Gap, How, Start, Statement, TrimmedBy};
pub use under_way::{Turn, UnderWay};
pub use unrecorded::mark as mark_unrecorded;

/// The file in a journal's directory that its only writer holds a lock on.
pub(crate) const LOCK_FILE: &str = "lock";
