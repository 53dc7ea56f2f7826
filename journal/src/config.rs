//! What the host of a journal decides, and how the journal speaks to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::Reserve;

/// Where a journal is, and how it is kept.
#[derive(Clone)]
pub struct Config {
    /// The journal's directory. Made if it is not there.
    pub dir: PathBuf,
    /// The ring's file, on tmpfs: [`crate::ring_path`] names one for a brick.
    pub ring: PathBuf,
    /// Size of the ring in bytes: a power of two from [`crate::RING_MIN`] to [`crate::RING_MAX`].
    pub ring_size: usize,
    /// What can be changed later.
    pub limits: Limits,
    /// Who hears of trouble.
    pub host: Arc<dyn Host>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { dir, ring, ring_size, limits, host: _ } = self;
        f.debug_struct("Config")
            .field("dir", dir)
            .field("ring", ring)
            .field("ring_size", ring_size)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// What can be changed while the journal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a segment, after which the next one is begun; at least 64 KiB is used. A segment may be
    /// longer by the names of its clients, or where one entry alone is.
    pub segment_size: u64,
    /// How long a slice lasts from its first record on; at least 10 ms is used.
    pub slice_time: Duration,
    /// How long what is written may wait for an fsync; 0: each batch is followed by one.
    pub fsync_interval: Duration,
    /// Bytes of all segments together, above which the oldest are removed; at least two segments are
    /// kept. `None`: none is removed for that.
    pub retention_bytes: Option<u64>,
    /// Age of its newest entry from which on a segment is removed; at least a second is used. The one that
    /// is being written stays. `None`: none is removed for that.
    pub retention_age: Option<Duration>,
    /// What is kept free on the brick. Where retention is on, the oldest segments make room first.
    pub reserve: Reserve,
    /// Whether segments that are not written any more are compressed, by a thread of its own. Readers do not
    /// notice; a gnotify that knows format version 1 alone takes them for trimmed.
    pub compress: bool,
}

impl Default for Limits {
    /// 64 MiB, and stock's 15 and 5 seconds; nothing is removed nor compressed, and one percent of the brick is
    /// kept free.
    fn default() -> Limits {
        Limits {
            segment_size: 64 << 20,
            slice_time: Duration::from_secs(15),
            fsync_interval: Duration::from_secs(5),
            retention_bytes: None,
            retention_age: None,
            reserve: Reserve::default(),
            compress: false,
        }
    }
}

impl Limits {
    /// With what is too small raised to what works.
    pub(crate) fn raised(self) -> Limits {
        let segment_size = self.segment_size.max(64 << 10);
        Limits {
            segment_size,
            retention_bytes: self
                .retention_bytes
                .map(|bytes| bytes.max(segment_size.saturating_mul(2))),
            retention_age: self.retention_age.map(|age| age.max(Duration::from_secs(1))),
            slice_time: self.slice_time.max(Duration::from_millis(10)),
            ..self
        }
    }

    /// Whether segments may be removed.
    pub(crate) fn removes(&self) -> bool {
        self.retention_bytes.is_some() || self.retention_age.is_some()
    }
}

/// The process that a journal runs in.
pub trait Host: Send + Sync {
    /// Called first by each thread that the journal starts, on that thread.
    fn thread_started(&self) {}

    /// Something was written to the journal that a [`crate::Reader`] finds now; called by the journal thread, which
    /// must not be kept waiting.
    fn carried(&self) {}

    /// A line for the host's log; called by the journal's threads and by [`crate::Journal::open`].
    fn log(&self, level: Level, text: &str);
}

/// How much a line in the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something was lost or may be, and it was told in the journal.
    Warning,
    /// Somebody has to do something.
    Error,
}

/// A journal that cannot be opened for writing.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another instance in this one, writes this journal.
    InUse {
        /// The file whose lock it holds.
        path: PathBuf,
    },
    /// The size of the ring is not one that it can have.
    RingSize {
        /// What was asked for, in bytes.
        asked: usize,
    },
    /// The newest segment cannot be understood, so it cannot be gone on with.
    Unreadable(crate::ReadError),
    /// The operating system refuses.
    Io {
        /// What was tried: "open the ring".
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether the same may succeed another time, with nothing done to the journal itself: the brick is full,
    /// at its storage reserve, read-only or failing, or somebody else still writes the journal.
    ///
    /// Nothing is lost unnoticed until then: what the last start left in its ring stays there, and that fops
    /// go on without a record is remembered, and told as a gap of unknown count when the journal opens.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            OpenError::InUse { .. } | OpenError::Io { .. } => true,
            OpenError::Unreadable(error) => matches!(error, crate::ReadError::Io { .. }),
            OpenError::RingSize { .. } => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &std::path::Path, source: io::Error) -> OpenError {
        OpenError::Io { doing, path: path.to_owned(), source }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { path } => write!(
                f,
                "{}: another process or another gnotify in this volume graph writes this journal; \
                 keep one of them per brick",
                path.display()
            ),
            OpenError::RingSize { asked } => write!(
                f,
                "a ring of {asked} bytes: the size must be a power of two from {} to {}",
                crate::RING_MIN,
                crate::RING_MAX
            ),
            OpenError::Unreadable(error) => write!(
                f,
                "{error}; until then the journal cannot go on: move its directory away to start it \
                 afresh"
            ),
            OpenError::Io { doing, path, source } => {
                write!(f, "{}: cannot {doing}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Unreadable(error) => Some(error),
            OpenError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
