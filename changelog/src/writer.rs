//! The changelog of a brick, as it is written: the live slice and its roll-over into the dated slices and the index.
//!
//! Each step of a roll-over is one call of [`Storage`], and a kill, a power loss or an error between any two of them
//! leaves what a repetition or the next start goes on with: no record is lost or doubled, the index counts exactly, and
//! no two slices get one time stamp. `writer/crash_tests.rs` tries all of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::{self, Reader};
use crate::header::HEADER_LEN;
use crate::index::Index;
use crate::layout::{Layout, TS};
use crate::storage::{FileReader, Open, Storage, write_all};
use crate::{Change, Encoding, Header, Version};

mod start;

pub(crate) use start::dated;
pub use start::make_dirs;

/// The extended attribute of a slice that says where in gnotify's journal it begins. It stays on the dated slice.
pub const CURSOR: &str = "trusted.gnotify.cursor";

/// What stays the same while a writer lives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The changelog directory, D: BRICK/.glusterfs/changelogs where no other is set. Made where it is not there.
    pub dir: PathBuf,
    /// How records of slices that begin from now on are written. A live slice that is gone on with keeps its own.
    pub encoding: Encoding,
    /// Each append is on the disk when it returns (stock: fsync-interval 0).
    pub sync: bool,
}

/// Whether all changes since the newest slice are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// They are, or will be appended: the index goes on.
    Continued,
    /// Some may never be: the changelog was off, or the journal has a gap. A new index begins, so that nobody is told
    /// that history has no hole.
    Broken,
}

/// A slice that the exporter may have to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its time stamp; `None` for the live one.
    pub ts: Option<u64>,
    /// What [`Writer::set_cursor`] noted at its beginning.
    pub cursor: Option<Vec<u8>>,
    /// Bytes of records, without the header.
    pub len: u64,
}

/// What a start found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Started {
    /// The live slice if it is gone on with, else the newest dated one of the index; `None` where there is none, and with
    /// [`Since::Broken`].
    ///
    /// A live one: what is appended next goes behind its `len` bytes. Where the caller makes the same records again
    /// from its cursor on, it passes over as many bytes.
    pub newest: Option<Slice>,
    /// The last time stamp of the index, which is that of the last roll-over that was finished, also of an empty slice.
    pub last_ts: Option<u64>,
    /// Slices that were there and are in the index only now: that of a brick that was killed in a roll-over, or the live
    /// one that a stock brick left.
    pub indexed: Vec<PathBuf>,
    /// What was repaired or is in the way of stock's readers: for the log, a sentence each.
    pub repairs: Vec<String>,
}

/// What a roll-over made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolled {
    /// The time stamp that it got: the one asked for, or the next that is free.
    pub ts: u64,
    /// The dated slice; `None` where nothing had been appended.
    pub path: Option<PathBuf>,
}

/// The live slice.
#[derive(Debug)]
struct Live<F> {
    file: F,
    /// Bytes of records, without the header.
    len: u64,
    encoding: Encoding,
    cursor: Option<Vec<u8>>,
    /// The last fsync failed. The operating system may take for written what is not on the disk, and the next fsync then
    /// succeeds without it.
    unsynced: bool,
}

impl<F> Live<F> {
    /// Makes it durable; behind an fsync that failed, by writing all of it again.
    fn sync<S: Storage<File = F>>(&mut self, storage: &S) -> io::Result<()> {
        if self.unsynced {
            self.write_again(storage)?;
        }
        let done = storage.sync(&self.file);
        self.unsynced = done.is_err();
        done
    }

    fn write_again<S: Storage<File = F>>(&self, storage: &S) -> io::Result<()> {
        // Some file systems have dropped what could not be written: zeros are there instead, and those are no records.
        let mut reader = Reader::new(FileReader::new(storage, &self.file))?;
        while reader.next()?.is_some() {}
        let end = HEADER_LEN as u64 + self.len;
        if reader.offset() != end {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the live slice is cut short"));
        }
        let (mut bytes, mut at) = (vec![0; 64 << 10], 0);
        while at < end {
            let len = storage.read_at(&self.file, &mut bytes, at)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_all(storage, &self.file, &bytes[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }
}

/// A roll-over that was begun: it is gone on with until it succeeds.
#[derive(Debug)]
struct Rolling {
    rolled: Rolled,
    /// The live slice has its dated name, or is gone.
    moved: bool,
}

/// Writes a changelog directory. There must be no other at the same time; who calls it sees to that.
///
/// After an error every call can be repeated, and goes on where it failed. While a roll-over is not finished, nothing can
/// be appended.
#[derive(Debug)]
pub struct Writer<S: Storage> {
    pub(crate) storage: S,
    pub(crate) layout: Layout,
    settings: Settings,
    pub(crate) index: Index<S>,
    live: Option<Live<S::File>>,
    rolling: Option<Rolling>,
    /// What the last roll-over made, until the slice behind it is begun.
    ended: Option<Rolled>,
    bytes: Vec<u8>,
}

impl<S: Storage> Writer<S> {
    /// How the records of the live slice are written.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.live.as_ref().map_or(self.settings.encoding, |live| live.encoding)
    }

    /// Bytes of records in the live slice, without the header.
    #[must_use]
    pub fn live_len(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.len)
    }

    /// Appends all of `changes`, or on an error none of them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append(&mut self, changes: &[Change<'_>]) -> io::Result<()> {
        let encoding = self.encoding();
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        changes.iter().for_each(|change| codec::encode(change, encoding, &mut bytes));
        let done = self.append_encoded(&bytes);
        self.bytes = bytes;
        done
    }

    /// The same of records that [`codec::encode`] made in [`Writer::encoding`].
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append_encoded(&mut self, records: &[u8]) -> io::Result<()> {
        let live = live(&mut self.live, self.rolling.as_ref())?;
        let end = HEADER_LEN as u64 + live.len;
        if let Err(error) = write_all(&self.storage, &live.file, records, end) {
            // If that fails too, the repetition writes over it, and a start takes no part of a record for one.
            let _ = self.storage.cut(&live.file, end);
            return Err(error);
        }
        live.len += records.len() as u64;
        Ok(())
    }

    /// Cuts the live slice off behind `len` bytes of records, so that what follows can be appended anew.
    ///
    /// # Errors
    /// When that fails; `InvalidInput` where the slice is shorter.
    pub fn cut(&mut self, len: u64) -> io::Result<()> {
        let live = live(&mut self.live, self.rolling.as_ref())?;
        if len > live.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.storage.cut(&live.file, HEADER_LEN as u64 + len)?;
        live.len = len;
        Ok(())
    }

    /// Notes on the live slice where in the journal it begins. It is durable when this returns, so call it before the
    /// slice's first append: a slice that has records and no cursor is taken for one of stock's.
    ///
    /// # Errors
    /// When that fails, also where `cursor` has more than 4096 bytes.
    pub fn set_cursor(&mut self, cursor: &[u8]) -> io::Result<()> {
        let live = live(&mut self.live, self.rolling.as_ref())?;
        self.storage.set_xattr(&self.layout.live(), CURSOR, cursor)?;
        live.sync(&self.storage)?;
        live.cursor = Some(cursor.to_vec());
        Ok(())
    }

    /// What is noted on the live slice.
    #[must_use]
    pub fn cursor(&self) -> Option<&[u8]> {
        self.live.as_ref().and_then(|live| live.cursor.as_deref())
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&mut self) -> io::Result<()> {
        let live = live(&mut self.live, self.rolling.as_ref())?;
        live.sync(&self.storage)
    }

    /// The first time stamp from `now` on that no slice has: for who must note it before the roll-over.
    #[must_use]
    pub fn next_ts(&self, now: u64) -> u64 {
        now.max(self.index.mark.last.max(self.index.begun) + 1).clamp(*TS.start(), *TS.end())
    }

    /// Ends the live slice with the time stamp `ts`, or the next one that no slice has, and begins another.
    ///
    /// # Errors
    /// When a step fails. Repeat it then: it goes on with the step that failed and with the time stamp it had.
    pub fn roll(&mut self, ts: u64) -> io::Result<Rolled> {
        let rolled = self.end(ts)?;
        self.begin()?;
        self.ended = None;
        Ok(rolled)
    }

    /// Ends the live slice and begins none: the changelog is switched off.
    ///
    /// # Errors
    /// As [`Writer::roll`].
    pub fn stop(&mut self, ts: u64) -> io::Result<Rolled> {
        self.end(ts)
    }

    /// Whether a roll-over has begun and failed: it must be repeated before anything else.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        self.rolling.is_some() || self.ended.is_some()
    }

    fn end(&mut self, ts: u64) -> io::Result<Rolled> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        let mut rolling = match self.rolling.take() {
            Some(rolling) => rolling,
            None => self.plan(ts)?,
        };
        if let Err(error) = self.carry_out(&mut rolling) {
            self.rolling = Some(rolling);
            return Err(error);
        }
        self.live = None;
        self.ended = Some(rolling.rolled.clone());
        Ok(rolling.rolled)
    }

    fn plan(&self, ts: u64) -> io::Result<Rolling> {
        let mut ts = self.next_ts(ts);
        // Nothing is ever written over, whoever put it there.
        while self.storage.stat(&self.layout.slice(ts))?.is_some() {
            ts += 1;
        }
        let path = (self.live_len() > 0).then(|| self.layout.slice(ts));
        Ok(Rolling { rolled: Rolled { ts, path }, moved: false })
    }

    fn carry_out(
        &mut self,
        Rolling { rolled: Rolled { ts, path }, moved }: &mut Rolling,
    ) -> io::Result<()> {
        if !*moved {
            match (&*path, &mut self.live) {
                (Some(slice), Some(live)) => {
                    live.sync(&self.storage)?;
                    rename(&self.storage, &self.layout, slice)?;
                }
                _ => remove(&self.storage, &self.layout.live())?,
            }
            *moved = true;
        }
        // The index tells of nothing that a power loss could still undo.
        match path {
            Some(slice) => sync_names(&self.storage, &self.layout, slice)?,
            None => self.storage.sync_dir(self.layout.dir())?,
        }
        let path = path.clone().unwrap_or_else(|| self.layout.empty(*ts));
        self.index.append(&self.storage, &path, *ts)
    }

    /// Makes a live slice that is empty. There is none.
    fn begin(&mut self) -> io::Result<()> {
        let encoding = self.settings.encoding;
        let file = self.storage.open(&self.layout.live(), Open::Empty, self.settings.sync)?;
        write_all(&self.storage, &file, &Header::new(encoding).encode(), 0)?;
        self.storage.sync_dir(self.layout.dir())?;
        self.live = Some(Live { file, len: 0, encoding, cursor: None, unsynced: false });
        Ok(())
    }
}

/// The live slice, where it can be appended to.
fn live<'l, F>(
    live: &'l mut Option<Live<F>>,
    rolling: Option<&Rolling>,
) -> io::Result<&'l mut Live<F>> {
    match (live, rolling) {
        (Some(live), None) => Ok(live),
        _ => {
            Err(io::Error::other("a roll-over of the changelog failed: it must be repeated first"))
        }
    }
}

/// Gives the live slice its dated name.
fn rename<S: Storage>(storage: &S, layout: &Layout, slice: &Path) -> io::Result<()> {
    match storage.rename(&layout.live(), slice) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for dir in days(layout, slice) {
                storage.mkdir(dir)?;
            }
            storage.rename(&layout.live(), slice)
        }
        done => done,
    }
}

/// The directories of the year, the month and the day that `slice` lies in.
fn days<'p>(layout: &Layout, slice: &'p Path) -> Vec<&'p Path> {
    let mut dirs: Vec<&Path> =
        slice.ancestors().skip(1).take_while(|dir| *dir != layout.dir()).collect();
    dirs.reverse();
    dirs
}

/// Makes the name of `slice`, and that of each directory above it, durable.
fn sync_names<S: Storage>(storage: &S, layout: &Layout, slice: &Path) -> io::Result<()> {
    storage.sync_dir(layout.dir())?;
    days(layout, slice).into_iter().try_for_each(|dir| storage.sync_dir(dir))
}

/// Removes a file that may be gone already.
pub(crate) fn remove<S: Storage>(storage: &S, path: &Path) -> io::Result<()> {
    match storage.unlink(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
pub(crate) mod tests;
