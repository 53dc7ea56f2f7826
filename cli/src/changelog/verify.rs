//! Whether a changelog is as stock's readers need it: each slice readable, each index exact, each slice in an index.
//!
//! It opens files for reading and nothing else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gnotify_changelog::codec::ReadError;
use gnotify_changelog::htime::{CURRENT, Item, MARK, Mark, Reader};
use gnotify_changelog::layout::{self, Layout};
use gnotify_changelog::storage::{Disk, Storage};

use super::{Source, indexes, open, unreadable};
use crate::exit::{Error, Status};
use crate::verify::report::{Finding, Level, Report};

/// Does what was asked for: the status where not all is well.
pub(crate) fn run(source: &Source, report: &mut Report) -> Result<Option<Status>, Error> {
    let mut verify = Verify { report, indexed: BTreeSet::new() };
    match source {
        Source::Slice(path) => verify.slice(path)?,
        Source::Index(path) => verify.index(path)?,
        Source::Directory(dir) => verify.directory(dir)?,
    }
    let whole = report.sum_up_changelog(source.path())?;
    Ok((!whole).then_some(Status::Failed))
}

struct Verify<'r> {
    report: &'r mut Report,
    /// The slices that the indexes tell of.
    indexed: BTreeSet<PathBuf>,
}

impl Verify<'_> {
    fn find(
        &mut self,
        level: Level,
        problem: &'static str,
        path: &Path,
        offset: Option<u64>,
        text: impl Into<String>,
    ) -> Result<(), Error> {
        let text = text.into();
        Ok(self.report.find(&Finding { level, problem, path, offset, entries: None, text })?)
    }

    fn slice(&mut self, path: &Path) -> Result<(), Error> {
        self.report.totals.slices += 1;
        let live = path.file_name().is_some_and(|name| name == layout::LIVE);
        let error = match open(path) {
            Ok(mut reader) => loop {
                match reader.next() {
                    Ok(Some(_)) => self.report.totals.records += 1,
                    Ok(None) => {
                        self.report.totals.bytes += reader.offset();
                        return Ok(());
                    }
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        let offset = Some(error.offset());
        match error {
            ReadError::Io { source, .. } => Err(unreadable(path, &source)),
            error if live && error.is_truncation() => self.find(
                Level::Note,
                "unfinished",
                path,
                offset,
                "its last record is being written, or was when the brick was killed",
            ),
            ReadError::Header(bad) => {
                self.find(Level::Damage, "header", path, offset, bad.to_string())
            }
            ReadError::Damaged { fault, .. } => {
                self.find(Level::Damage, "record", path, offset, fault.to_string())
            }
        }
    }

    fn index(&mut self, path: &Path) -> Result<(), Error> {
        self.report.totals.indexes += 1;
        let failed = |error: io::Error| unreadable(path, &error);
        // Before its records are read, because it may grow.
        let marked = Disk.xattr(path, MARK).map_err(failed)?;
        let mut reader = Reader::new(File::open(path).map_err(failed)?);
        let (mut counted, mut length) = (Mark::default(), None);
        while let Some((offset, item)) = reader.next().map_err(failed)? {
            let offset = Some(offset);
            let slice = match item {
                Item::Torn(len) => {
                    let text = format!("{len} bytes that are no record");
                    self.find(Level::Damage, "torn", path, offset, text)?;
                    continue;
                }
                Item::Slice(slice) => slice,
            };
            let len = slice.path.as_os_str().len();
            if *length.get_or_insert(len) != len {
                let text = "a record of another length, which stock's history call does not find";
                self.find(Level::Damage, "length", path, offset, text)?;
            }
            if slice.ts <= counted.last {
                let text = format!("the time stamp {} is not behind {}", slice.ts, counted.last);
                self.find(Level::Damage, "order", path, offset, text)?;
            }
            counted = Mark { last: slice.ts, count: counted.count + 1 };
            if !slice.empty && !slice.path.exists() {
                let text = format!("there is no slice {}", crate::escape::path(slice.path));
                self.find(Level::Damage, "missing", path, offset, text)?;
            }
            self.indexed.insert(slice.path.to_owned());
        }
        self.mark(path, marked, counted)
    }

    fn mark(&mut self, path: &Path, marked: Option<Vec<u8>>, counted: Mark) -> Result<(), Error> {
        let Some(marked) = marked else {
            // Only root sees attributes of that kind.
            let (text, level) = match nix::unistd::geteuid().is_root() {
                true => ("it has no count; stock's history call fails on it", Level::Damage),
                false => ("only root can see its count", Level::Note),
            };
            return self.find(level, "mark", path, None, text);
        };
        // One that is written has perhaps got a record more meanwhile.
        match Mark::parse(&marked) {
            Some(mark) if mark == counted => Ok(()),
            Some(mark) if mark.count < counted.count && mark.last < counted.last => {
                let text = format!(
                    "it is marked {mark} and is {counted}: it is being written, or a roll-over was killed"
                );
                self.find(Level::Note, "unfinished", path, None, text)
            }
            _ => {
                let marked = String::from_utf8_lossy(&marked);
                let text = format!(
                    "it is marked {} and is {counted}",
                    crate::escape::quoted(marked.as_bytes())
                );
                self.find(Level::Damage, "count", path, None, text)
            }
        }
    }

    fn directory(&mut self, dir: &Path) -> Result<(), Error> {
        let failed = |error: io::Error| unreadable(dir, &error);
        let layout = Layout::new(fs::canonicalize(dir).map_err(failed)?);
        let (indexes, strays) = indexes(dir).map_err(failed)?;
        for stray in strays {
            let text = "not an index: stock's history call fails while it is here";
            self.find(Level::Damage, "stray", &stray, None, text)?;
        }
        for index in &indexes {
            self.index(index)?;
        }
        self.current(&layout, &indexes)?;
        let begun = indexes.iter().filter_map(|path| layout::htime_ts(path.file_name()?)).min();
        for (ts, slice) in slices(layout.dir()).map_err(failed)? {
            self.slice(&slice)?;
            if self.indexed.contains(&slice) {
                continue;
            }
            let (text, level) = match begun {
                Some(begun) if ts >= begun => {
                    ("no index tells of it, so that no reader finds it", Level::Damage)
                }
                _ => ("from before the first index", Level::Note),
            };
            self.find(level, "unindexed", &slice, None, text)?;
        }
        let live = layout.live();
        if live.exists() { self.slice(&live) } else { Ok(()) }
    }

    /// The index that is written.
    fn current(&mut self, layout: &Layout, indexes: &[PathBuf]) -> Result<(), Error> {
        let dir = layout.htime_dir();
        let named = Disk.xattr(&dir, CURRENT).map_err(|error| unreadable(&dir, &error))?;
        let there = |name: &Vec<u8>| {
            indexes.iter().any(|path| path.file_name() == Some(OsStr::from_bytes(name)))
        };
        if named.as_ref().is_some_and(|name| !there(name)) {
            let text = "it says that an index is written which is not there";
            self.find(Level::Damage, "current", &dir, None, text)?;
        }
        Ok(())
    }
}

/// The dated slices, in order.
fn slices(dir: &Path) -> io::Result<BTreeSet<(u64, PathBuf)>> {
    let mut slices = BTreeSet::new();
    let mut dirs = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                if depth < 3 && name.as_bytes().iter().all(u8::is_ascii_digit) {
                    dirs.push((entry.path(), depth + 1));
                }
            } else if let Some((ts, false)) = layout::slice_ts(&name) {
                slices.insert((ts, entry.path()));
            }
        }
    }
    Ok(slices)
}
