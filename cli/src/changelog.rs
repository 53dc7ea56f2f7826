//! GlusterFS's own changelogs, which both commands read besides gnotify's journal: what is at a path is told by content.

mod dump;
mod verify;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gnotify_changelog::codec::{ReadError, Reader};
use gnotify_changelog::{csnap, htime, layout};

use crate::escape;
use crate::exit::{Error, Status};

pub(crate) use dump::run as dump;
pub(crate) use verify::run as verify;

/// What of a changelog is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A slice, live or dated, or the file of a snapshot.
    Slice(PathBuf),
    /// An index of slices.
    Index(PathBuf),
    /// A whole changelog directory.
    Directory(PathBuf),
}

/// As the first line of a slice begins.
const SLICE: &[u8] = b"GlusterFS Changelog |";

/// Longer than any record of an index.
const LONGEST: u64 = 8192;

impl Source {
    /// Looks at what is at `path`; `None` if it is nothing of a changelog. What cannot be looked at is not told here.
    pub(crate) fn at(path: &Path) -> Option<Source> {
        let metadata = fs::metadata(path).ok()?;
        if metadata.is_dir() {
            let is_one = path.join("htime").is_dir() && !path.join(".glusterfs").exists();
            return is_one.then(|| Source::Directory(path.to_owned()));
        }
        if !metadata.is_file() {
            return None;
        }
        let mut head = Vec::new();
        File::open(path).ok()?.take(LONGEST).read_to_end(&mut head).ok()?;
        if head.starts_with(SLICE) {
            return Some(Source::Slice(path.to_owned()));
        }
        let mut reader = htime::Reader::new(&head[..]);
        let first = reader.next().ok().flatten();
        let indexed = matches!(first, Some((_, htime::Item::Slice(_))));
        // An index of nothing has no content to tell it by.
        let of_nothing = head.is_empty() && path.file_name().and_then(layout::htime_ts).is_some();
        (indexed || of_nothing).then(|| Source::Index(path.to_owned()))
    }

    /// The path, as it was given.
    fn path(&self) -> &Path {
        let (Source::Slice(path) | Source::Index(path) | Source::Directory(path)) = self;
        path
    }
}

/// Opens a slice. The file of a snapshot is text whatever its header states.
fn open(path: &Path) -> Result<Reader<File>, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::Io { offset: 0, source })?;
    let of_a_snapshot = path.file_name().is_some_and(|name| name == "CHANGELOG.SNAP");
    if of_a_snapshot { csnap::reader(file) } else { Reader::new(file) }
}

/// The indexes in a changelog directory, in order, and what else lies among them.
fn indexes(dir: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut indexes, mut strays) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir.join("htime"))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        match layout::htime_ts(&entry.file_name()) {
            Some(_) => indexes.push(entry.path()),
            None => strays.push(entry.path()),
        }
    }
    indexes.sort();
    strays.sort();
    Ok((indexes, strays))
}

/// That a file cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> Error {
    let status = match error.kind() {
        io::ErrorKind::NotFound => Status::NoJournal,
        io::ErrorKind::PermissionDenied => Status::NotPermitted,
        _ => Status::Failed,
    };
    Error::Path(status, format!("{}: {error}", escape::path(path)))
}
