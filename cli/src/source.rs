//! What was meant by the path on the command line: a brick's journal, or one segment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gnotify_journal::{ReadError, Reader};

use crate::escape;
use crate::exit::{Error, Status};
use crate::paths;

/// The directory of a brick's journal.
pub(crate) fn journal_of(brick: &Path) -> PathBuf {
    brick.join(".glusterfs/gnotify")
}

/// Where to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The journal of a brick.
    Brick(PathBuf),
    /// One segment.
    Segment(PathBuf),
}

impl Source {
    /// Looks at what is at `path`.
    pub(crate) fn at(path: &Path) -> Result<Source, Error> {
        let metadata = fs::metadata(path).map_err(|error| cannot_look(path, error))?;
        if metadata.is_file() {
            return Ok(Source::Segment(path.to_owned()));
        }
        if !metadata.is_dir() {
            return Err(no_journal(path, "neither a brick's directory nor a segment"));
        }
        match fs::metadata(path.join(".glusterfs")) {
            Ok(_) => Ok(Source::Brick(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_journal(
                path,
                "not a brick, it has no .glusterfs; give a directory that `gluster volume info` \
                 lists as a brick, or a segment",
            )),
            Err(error) => Err(cannot_look(path, error)),
        }
    }

    /// The brick whose handles name paths.
    pub(crate) fn brick(&self) -> Result<PathBuf, Error> {
        match self {
            Source::Brick(brick) => Ok(brick.clone()),
            Source::Segment(segment) => paths::brick_of(segment).ok_or_else(|| {
                no_journal(
                    segment,
                    "not in BRICK/.glusterfs/gnotify, so that --paths has no brick to look in; \
                     leave it out",
                )
            }),
        }
    }

    /// Opens it; `None` for a brick that has no journal yet.
    pub(crate) fn open(&self) -> Result<Option<Reader>, Error> {
        let brick = match self {
            Source::Segment(segment) => return Ok(Some(Reader::open_segment(segment)?)),
            Source::Brick(brick) => brick,
        };
        let journal = journal_of(brick);
        match Reader::open(&journal) {
            Ok(reader) => Ok(Some(reader)),
            // Of a file in it, the same is an error.
            Err(ReadError::NotFound { path } | ReadError::NotAJournal { path })
                if path == journal =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The path, as it was given.
    fn path(&self) -> &Path {
        let (Source::Brick(path) | Source::Segment(path)) = self;
        path
    }

    /// Whether an error says that the journal was removed under its reader: what comes next in its
    /// place is another one.
    pub(crate) fn was_removed(&self, error: &ReadError) -> bool {
        match (self, error) {
            (Source::Brick(_), ReadError::StartedAfresh { .. }) => true,
            (Source::Brick(brick), ReadError::NotFound { path }) => *path == journal_of(brick),
            _ => false,
        }
    }

    /// That the journal was removed.
    pub(crate) fn removed(&self) -> String {
        format!(
            "{}: the journal was removed; what it held that is not printed yet is lost",
            escape::path(self.path())
        )
    }

    /// That there is no journal.
    pub(crate) fn lacks_journal(&self) -> String {
        format!("{}: a brick without a gnotify journal", escape::path(self.path()))
    }

    /// That there is no journal, and how to get one.
    pub(crate) fn has_none(&self) -> Error {
        Error::Path(
            Status::NoJournal,
            format!(
                "{}; switch it on with `gluster volume set VOLUME user.xlator.gnotify upcall`, or \
                 wait for it with --follow",
                self.lacks_journal()
            ),
        )
    }
}

fn no_journal(path: &Path, what: &str) -> Error {
    Error::Path(Status::NoJournal, format!("{}: {what}", escape::path(path)))
}

fn cannot_look(path: &Path, error: io::Error) -> Error {
    let (status, what) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (Status::NoJournal, "there is nothing here; check the path".to_owned())
        }
        io::ErrorKind::PermissionDenied => {
            (Status::NotPermitted, "permission denied; a journal is read as root".to_owned())
        }
        _ => (Status::Failed, format!("cannot be looked at: {error}")),
    };
    Error::Path(status, format!("{}: {what}", escape::path(path)))
}
