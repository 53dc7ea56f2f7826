//! A time in which the brick cannot be written: full, failing or read-only.
//!
//! Entries stay in the ring, where they survive a kill, as long as it is less than half full; a short
//! outage then costs nothing. After that they are written off, so that fops find space for what
//! comes, and one GAP covers them when writing works again.

use std::io;
use std::time::{Duration, Instant};

use crate::ring::{Load, Ring};
use crate::space::AtReserve;
use crate::statement::Cause;

/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// An outage.
#[derive(Debug)]
pub(crate) struct Outage {
    /// The first number that is not written.
    pub(crate) from: u64,
    /// Why, as the gap will say.
    pub(crate) cause: Cause,
    tried: Instant,
}

impl Outage {
    pub(crate) fn new(from: u64, cause: Cause) -> Outage {
        Outage { from, cause, tried: Instant::now() }
    }

    /// A try has failed.
    pub(crate) fn failed(&mut self) {
        self.tried = Instant::now();
    }

    /// Whether it is time for the next try.
    pub(crate) fn is_due(&self) -> bool {
        self.tried.elapsed() >= RETRY
    }

    /// Whether there is still room to wait, instead of writing entries off.
    pub(crate) fn has_patience(&self, ring: &Ring<impl Load>) -> bool {
        ring.used() <= ring.words() / 2
    }
}

/// What an error of the brick's means: the cause that a gap tells, and what is to be done.
pub(crate) fn explain(error: &io::Error) -> (Cause, &'static str) {
    let at_reserve = error.get_ref().is_some_and(|inner| inner.is::<AtReserve>());
    match error.kind() {
        io::ErrorKind::StorageFull if at_reserve => {
            (Cause::NoSpace, "free space on the brick, or lower its option storage.reserve")
        }
        io::ErrorKind::StorageFull => {
            (Cause::NoSpace, "the brick's file system is full: free space on it")
        }
        io::ErrorKind::QuotaExceeded => {
            (Cause::NoSpace, "a quota of the brick's file system is used up: raise it")
        }
        io::ErrorKind::ReadOnlyFilesystem => (
            Cause::Io,
            "the brick's file system is read-only: see the kernel's log for why, repair it and \
             mount it again",
        ),
        _ if error.raw_os_error() == Some(libc::EIO) => {
            (Cause::Io, "the brick's disk fails: see the kernel's log, and replace it")
        }
        _ => (Cause::Io, "repair what it says"),
    }
}
