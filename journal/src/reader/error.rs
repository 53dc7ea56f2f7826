//! What can keep a reader from reading, by what the person in front of it can do about it.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use gnotify_record::codec::DecodeError;

/// A journal that cannot be read, or not here. Missing and damaged entries are no errors: the reader
/// tells them as gaps.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// There is nothing at this path.
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The journal belongs to root.
    NotPermitted {
        /// What may not be read.
        path: PathBuf,
    },
    /// The path is neither a journal nor a segment of one.
    NotAJournal {
        /// The path.
        path: PathBuf,
    },
    /// The segment was written by a later gnotify, in a format that this one does not know.
    NewerVersion {
        /// The segment.
        path: PathBuf,
        /// Its format's version.
        found: u16,
        /// The newest version that this reader knows.
        known: u16,
    },
    /// The segment's header is damaged, and without it its frames cannot be verified.
    DamagedHeader {
        /// The segment.
        path: PathBuf,
    },
    /// A frame is whole, but what it holds cannot be read. The next call goes on behind it.
    BadRecord {
        /// The segment.
        path: PathBuf,
        /// Bytes from its start to the frame.
        offset: u64,
        /// The frame's sequence number.
        seq: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// A frame is whole, but its statement is shorter than it must be. The next call goes on behind it.
    BadStatement {
        /// The segment.
        path: PathBuf,
        /// Bytes from its start to the frame.
        offset: u64,
        /// The frame's sequence number.
        seq: u64,
        /// The statement's number.
        code: u8,
    },
    /// The segments were removed and the journal was started afresh while it was read.
    StartedAfresh {
        /// The journal.
        path: PathBuf,
    },
    /// The operating system could not read.
    Io {
        /// The file.
        path: PathBuf,
        /// Bytes from its start.
        offset: u64,
        /// Its error.
        source: io::Error,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path, offset: u64, source: io::Error) -> ReadError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => ReadError::NotFound { path },
            io::ErrorKind::PermissionDenied => ReadError::NotPermitted { path },
            io::ErrorKind::NotADirectory => ReadError::NotAJournal { path },
            _ => ReadError::Io { path, offset, source },
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::NotFound { path } => {
                write!(f, "{}: there is nothing here; check the path", path.display())
            }
            ReadError::NotPermitted { path } => {
                write!(f, "{}: permission denied; a journal is read as root", path.display())
            }
            ReadError::NotAJournal { path } => {
                write!(f, "{}: not a gnotify journal nor a segment of one", path.display())
            }
            ReadError::NewerVersion { path, found, known } => write!(
                f,
                "{}: written in format version {found}, this gnotify knows versions up to {known}; \
                 read it with the gnotify that wrote it or a later one",
                path.display()
            ),
            ReadError::DamagedHeader { path } => write!(
                f,
                "{}: the segment's header is damaged, so its entries cannot be verified; restore \
                 the file from a backup, or treat everything in it as lost",
                path.display()
            ),
            ReadError::BadRecord { path, offset, seq, source } => {
                write!(f, "{}: entry {seq} at byte {offset}: {source}", path.display())?;
                f.write_str("; its checksum is right, so please report this as a bug")
            }
            ReadError::BadStatement { path, offset, seq, code } => write!(
                f,
                "{}: entry {seq} at byte {offset}: statement {code} is too short; its checksum is \
                 right, so please report this as a bug",
                path.display()
            ),
            ReadError::StartedAfresh { path } => write!(
                f,
                "{}: the journal was removed and started afresh meanwhile; open it again, and \
                 compare the brick itself with what you know of it",
                path.display()
            ),
            ReadError::Io { path, offset, source } => {
                write!(f, "{}: cannot read at byte {offset}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::BadRecord { source, .. } => Some(source),
            ReadError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
