//! Writing to the brick: each step is one system call, and a kill between any two of them leaves what
//! recovery understands.
//!
//! A segment appears under its name with its whole header. Frames are written at a position that this
//! process knows, not at the end of the file, so that what a failed write left is written over.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::segment::{self, HEADER, Header};

/// The ending of a segment's name while it is made.
pub(crate) const UNFINISHED: &str = "new";

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    pub(crate) header: Header,
    /// Bytes up to the end of the last whole frame.
    pub(crate) len: u64,
}

/// A write that failed, perhaps after a part.
#[derive(Debug)]
pub(crate) struct WriteError {
    /// Bytes that were written before.
    pub(crate) written: usize,
    pub(crate) source: io::Error,
}

impl SegmentFile {
    /// Makes the segment of `header` in `dir`.
    pub(crate) fn create(dir: &Path, header: &Header) -> io::Result<SegmentFile> {
        let path = segment::path(dir, header.first_seq);
        let new = unfinished(&path);
        let made = SegmentFile::create_as(&new, &path, header);
        if made.is_err() {
            // Nothing refers to it; where it cannot be removed now, the next start does.
            let _ = remove(&new);
        }
        made
    }

    fn create_as(new: &Path, path: &Path, header: &Header) -> io::Result<SegmentFile> {
        let file = make(new)?;
        write_whole(&file, &header.encode(), 0).map_err(|error| error.source)?;
        rename(new, path)?;
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(SegmentFile { path, file, header: *header, len: HEADER as u64 })
    }

    /// Opens a segment to go on writing at `len`, and cuts off what is behind: a torn frame.
    pub(crate) fn resume(path: &Path, header: &Header, len: u64) -> io::Result<SegmentFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != len {
            step()?;
            file.set_len(len)?;
            did(|| Did::Cut(&file, len));
        }
        let file = Arc::new(file);
        Ok(SegmentFile { path: path.to_owned(), file, header: *header, len })
    }

    /// Appends whole frames.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        write_whole(&self.file, bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Keeps the first `whole` bytes of an append that failed, and cuts off the rest.
    pub(crate) fn keep(&mut self, whole: usize) {
        self.len += whole as u64;
        // Only for tidiness: the next append goes to the same place, and a reader passes over what
        // is no frame.
        if step().and_then(|()| self.file.set_len(self.len)).is_ok() {
            did(|| Did::Cut(&self.file, self.len));
        }
    }
}

/// Makes a directory that only its owner may enter, where it is not there. The directories above it are
/// not private: they are the host's.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above)?;
    }
    step()?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The name of a file while it is made.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut new = path.to_owned().into_os_string();
    new.push(".");
    new.push(UNFINISHED);
    PathBuf::from(new)
}

/// Makes an empty file that is its owner's alone.
pub(crate) fn make(path: &Path) -> io::Result<File> {
    step()?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    did(|| Did::Made(&file, path));
    Ok(file)
}

/// Sets when a file was written last.
pub(crate) fn set_modified(file: &File, time: SystemTime) -> io::Result<()> {
    step()?;
    file.set_modified(time)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_whole(file: &File, bytes: &[u8], offset: u64) -> Result<(), WriteError> {
    let mut written = 0;
    while written < bytes.len() {
        let rest = torn(&bytes[written..]);
        match step().and_then(|()| file.write_at(rest, offset + written as u64)) {
            Ok(0) => return Err(WriteError { written, source: io::ErrorKind::WriteZero.into() }),
            Ok(len) => {
                did(|| Did::Wrote(file, offset + written as u64, &rest[..len]));
                written += len;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(WriteError { written, source }),
        }
    }
    Ok(())
}

/// Makes what was written to a file durable, or the names in a directory.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    step()?;
    file.sync_all()?;
    did(|| Did::Synced(file));
    Ok(())
}

/// As [`sync`], without the times of a file.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    step()?;
    file.sync_data()?;
    did(|| Did::Synced(file));
    Ok(())
}

/// Gives a file another name, in the place of any other.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    fs::rename(from, to)?;
    did(|| Did::Renamed(from, to));
    Ok(())
}

/// Takes a file's name away.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    step()?;
    fs::remove_file(path)?;
    did(|| Did::Removed(path));
    Ok(())
}

/// A change of the disk, for the tests that replay what a power loss leaves of it.
#[cfg_attr(any(not(test), loom), expect(dead_code, reason = "only the tests look at it"))]
#[derive(Debug)]
pub(crate) enum Did<'a> {
    Made(&'a File, &'a Path),
    Wrote(&'a File, u64, &'a [u8]),
    Cut(&'a File, u64),
    Synced(&'a File),
    Renamed(&'a Path, &'a Path),
    Removed(&'a Path),
}

#[cfg(any(not(test), loom))]
#[inline]
fn did<'a>(_what: impl FnOnce() -> Did<'a>) {}

#[cfg(all(test, not(loom)))]
fn did<'a>(what: impl FnOnce() -> Did<'a>) {
    crash::note(what);
}

/// Stands before each system call that changes something. In the tests a kill comes here, or it fails.
#[cfg(any(not(test), loom))]
#[inline]
pub(crate) fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(any(not(test), loom))]
#[inline]
fn torn(bytes: &[u8]) -> &[u8] {
    bytes
}

#[cfg(all(test, not(loom)))]
pub(crate) use crash::step;
#[cfg(all(test, not(loom)))]
use crash::torn;

/// A kill between two system calls, or one that fails, for the tests of recovery.
#[cfg(all(test, not(loom)))]
pub(crate) mod crash {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::Did;

    /// What happens when its moment has come.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fate {
        Kill,
        /// This call fails with an error number.
        Fail(i32),
        /// This one and all that follow.
        FailOn(i32),
    }

    thread_local! {
        /// System calls until then.
        static FATE: Cell<Option<(u32, Fate)>> = const { Cell::new(None) };
        /// How many have failed.
        static FAILED: Cell<u32> = const { Cell::new(0) };
    }

    /// Hears of each change of the disk.
    pub(crate) type Recorder = Box<dyn FnMut(Did<'_>)>;

    thread_local! {
        static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
    }

    /// Has `recorder` hear of each change that this thread makes from now on.
    pub(crate) fn record(recorder: Option<Recorder>) {
        RECORDER.set(recorder);
    }

    pub(super) fn note<'a>(what: impl FnOnce() -> Did<'a>) {
        RECORDER.with_borrow_mut(|recorder| {
            if let Some(recorder) = recorder {
                recorder(what());
            }
        });
    }

    struct Killed;

    /// Stands before each system call that changes something.
    pub(crate) fn step() -> io::Result<()> {
        let (code, next) = match FATE.get() {
            None => return Ok(()),
            Some((0, Fate::Kill)) => resume_unwind(Box::new(Killed)),
            Some((0, Fate::Fail(code))) => (code, None),
            Some((0, Fate::FailOn(code))) => (code, FATE.get()),
            Some((left, fate)) => {
                FATE.set(Some((left - 1, fate)));
                return Ok(());
            }
        };
        FATE.set(next);
        FAILED.set(FAILED.get() + 1);
        Err(io::Error::from_raw_os_error(code))
    }

    /// The part of a write that one system call takes: a kill comes also between two of them.
    pub(super) fn torn(bytes: &[u8]) -> &[u8] {
        if FATE.get().is_some() { &bytes[..bytes.len().div_ceil(2)] } else { bytes }
    }

    /// Runs `work` on this thread, killed after `calls` system calls. `None`: it was.
    pub(crate) fn after<T>(calls: u32, work: impl FnOnce() -> T) -> Option<T> {
        FATE.set(Some((calls, Fate::Kill)));
        let done = catch_unwind(AssertUnwindSafe(work));
        FATE.set(None);
        match done {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Runs `work` on this thread; the system call behind so many fails with `code`, and where it is
    /// `for_good`, all that follow. How many have failed.
    pub(crate) fn failing<T>(
        calls: u32,
        code: i32,
        for_good: bool,
        work: impl FnOnce() -> T,
    ) -> (T, u32) {
        let fate = if for_good { Fate::FailOn(code) } else { Fate::Fail(code) };
        FAILED.set(0);
        FATE.set(Some((calls, fate)));
        let done = work();
        FATE.set(None);
        (done, FAILED.get())
    }
}
