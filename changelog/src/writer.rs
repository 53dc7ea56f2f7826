//! The changelog of a brick, as it is written: the live slice and its roll-over into the dated slices and the index.

use std::io;
use std::path::PathBuf;

use crate::storage::Storage;
use crate::{Change, Encoding};

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
    /// Bytes of whole records, without the header.
    pub len: u64,
    /// How they are written.
    pub encoding: Encoding,
}

/// What a start found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Started {
    /// The live slice if it is gone on with, else the newest dated one; `None` where there is none, or `Since::Broken`.
    pub newest: Option<Slice>,
    /// The last time stamp of the index: that of the last roll-over that was finished.
    pub last_ts: Option<u64>,
    /// Slices that were there and are in the index only now (D1), with the live one of a stock brick that was killed.
    pub indexed: Vec<PathBuf>,
    /// What was repaired, for the log: a sentence each.
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

/// The only writer of a changelog directory; who calls it sees to that.
///
/// After an error any call may be repeated: it goes on where it failed.
#[derive(Debug)]
pub struct Writer<S: Storage> {
    storage: S,
    settings: Settings,
    _live: Option<S::File>,
}

impl<S: Storage> Writer<S> {
    /// Takes the directory over from whatever wrote there before, stock or gnotify. `now` is in seconds since 1970.
    pub fn start(
        storage: S,
        settings: Settings,
        now: u64,
        since: Since,
    ) -> io::Result<(Self, Started)> {
        let _ = (now, since);
        Ok((Writer { storage, settings, _live: None }, Started::default()))
    }
    /// How the live slice is written.
    pub fn encoding(&self) -> Encoding {
        self.settings.encoding
    }
    /// Bytes of records in the live slice, without the header.
    pub fn live_len(&self) -> u64 {
        0
    }
    /// Appends all of `changes`, or on an error none of them.
    pub fn append(&mut self, changes: &[Change<'_>]) -> io::Result<()> {
        let _ = changes;
        Ok(())
    }
    /// The same of records that `codec::encode` made in this slice's encoding.
    pub fn append_encoded(&mut self, records: &[u8]) -> io::Result<()> {
        let _ = records;
        Ok(())
    }
    /// Cuts the live slice off behind `len` bytes of records, so that they can be appended anew.
    pub fn cut(&mut self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }
    /// Notes on the live slice where in the journal it begins. Durable when it returns. At most 4096 bytes.
    pub fn set_cursor(&mut self, cursor: &[u8]) -> io::Result<()> {
        let _ = cursor;
        Ok(())
    }
    /// What is noted on the live slice.
    pub fn cursor(&self) -> Option<&[u8]> {
        None
    }
    /// Makes what was appended durable.
    pub fn sync(&mut self) -> io::Result<()> {
        let _ = &self.storage;
        Ok(())
    }
    /// The first time stamp at or behind `now` that no slice has: for a SLICE-END that is written before the roll-over.
    pub fn next_ts(&self, now: u64) -> u64 {
        now
    }
    /// Ends the live slice with the time stamp `ts` (or the next free one), and begins another.
    pub fn roll(&mut self, ts: u64) -> io::Result<Rolled> {
        Ok(Rolled { ts, path: None })
    }
    /// Ends the live slice, and begins no other (stock: the changelog is switched off).
    pub fn stop(&mut self, ts: u64) -> io::Result<Rolled> {
        Ok(Rolled { ts, path: None })
    }
}
