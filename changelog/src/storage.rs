//! The file operations of the writer, one system call each, behind a trait.
//!
//! So that the tests can have any of them fail, and can take away what was not synced.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// What to do where a file is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must be there.
    Existing,
    /// It is made where it is not there, as stock makes it: mode 0644 without the umask's bits.
    OrCreate,
    /// It is made, or emptied where it is there.
    Empty,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: OsString,
    /// A regular file, not a directory, link or anything else.
    pub is_file: bool,
}

/// What the writer asks of a file system.
///
/// An error of an operation means that it was not done, or not all of it; [`Storage::write_at`] may also do a part and
/// say how much.
pub trait Storage {
    /// A file that is open for reading and writing.
    type File;

    /// Opens a regular file for reading and writing. With `durable`, a write returns when it is on the disk (`O_SYNC`).
    ///
    /// # Errors
    /// Those of open(2).
    fn open(&self, path: &Path, how: Open, durable: bool) -> io::Result<Self::File>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// Those of fstat(2).
    fn len(&self, file: &Self::File) -> io::Result<u64>;

    /// Reads at `offset`, perhaps less than asked for; 0 at the end.
    ///
    /// # Errors
    /// Those of pread(2).
    fn read_at(&self, file: &Self::File, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`, and says how much of it.
    ///
    /// # Errors
    /// Those of pwrite(2).
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts a file off at `len`.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    fn cut(&self, file: &Self::File, len: u64) -> io::Result<()>;

    /// Makes content, length and extended attributes of a file durable.
    ///
    /// # Errors
    /// Those of fsync(2).
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the names in a directory, and its extended attributes, durable.
    ///
    /// # Errors
    /// Those of open(2) and fsync(2).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name, in the place of any other file.
    ///
    /// # Errors
    /// Those of rename(2).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    /// Those of unlink(2).
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory (mode 0600, as stock does: only root enters it); none that is there already.
    ///
    /// # Errors
    /// Those of mkdir(2), but EEXIST.
    fn mkdir(&self, dir: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of rmdir(2).
    fn rmdir(&self, dir: &Path) -> io::Result<()>;

    /// An extended attribute of a file or directory, if it has it.
    ///
    /// # Errors
    /// Those of getxattr(2), but ENODATA.
    fn xattr(&self, path: &Path, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// Those of setxattr(2).
    fn set_xattr(&self, path: &Path, name: &str, value: &[u8]) -> io::Result<()>;

    /// What is in a directory, in no order.
    ///
    /// # Errors
    /// Those of opendir(3) and readdir(3).
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Length and time of the last change of content (seconds since 1970) of a regular file; `None` if there is none.
    ///
    /// # Errors
    /// Those of lstat(2), but ENOENT.
    fn stat(&self, path: &Path) -> io::Result<Option<(u64, u64)>>;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

/// The longest extended attribute that is read: longer than any that these files have.
const XATTR_MAX: usize = 4096;

impl Storage for Disk {
    type File = File;

    fn open(&self, path: &Path, how: Open, durable: bool) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW
            | if durable { rustix::fs::OFlags::SYNC } else { rustix::fs::OFlags::empty() };
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(how != Open::Existing)
            .truncate(how == Open::Empty)
            .mode(0o644)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o600).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            done => done,
        }
    }

    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn xattr(&self, path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; XATTR_MAX];
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(len) => {
                value.truncate(len);
                Ok(Some(value))
            }
            Err(Errno::NODATA) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_xattr(&self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok(DirEntry { name: entry.file_name(), is_file: entry.file_type()?.is_file() })
        };
        fs::read_dir(dir)?.map(entry).collect()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                Ok(Some((metadata.len(), u64::try_from(metadata.mtime()).unwrap_or(0))))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all<S: Storage>(
    storage: &S,
    file: &S::File,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match storage.write_at(file, &bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => written += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file from its beginning on.
#[derive(Debug)]
pub(crate) struct FileReader<'s, S: Storage> {
    storage: &'s S,
    file: &'s S::File,
    offset: u64,
}

impl<'s, S: Storage> FileReader<'s, S> {
    pub(crate) fn new(storage: &'s S, file: &'s S::File) -> FileReader<'s, S> {
        FileReader { storage, file, offset: 0 }
    }
}

impl<S: Storage> io::Read for FileReader<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = self.storage.read_at(self.file, bytes, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}
