//! Taking a changelog directory over from whatever wrote there before: stock, or gnotify that was killed.

use super::*;
use crate::htime::{CURRENT, Mark};
use crate::index;
use crate::layout::{self, LIVE};
use crate::storage::DirEntry;

/// What is known of a live slice that was left behind.
struct Leftover<F> {
    live: Live<F>,
    header: Header,
    /// Of its last change, in seconds since 1970.
    mtime: u64,
}

impl<S: Storage> Writer<S> {
    /// Takes the directory over. `now` is the clock, in seconds since 1970.
    ///
    /// A live slice that has a cursor is gone on with, unless `since` says that this would hide a gap. Any other that has
    /// records becomes a dated slice and is indexed.
    ///
    /// # Errors
    /// When a step fails. Nothing is lost then, and it can be repeated.
    pub fn start(
        storage: S,
        settings: Settings,
        now: u64,
        since: Since,
    ) -> io::Result<(Writer<S>, Started)> {
        let layout = Layout::new(&settings.dir);
        let mut started = Started::default();
        make_dirs(&storage, &layout)?;
        remove(&storage, &layout.htime_unfinished())?;
        let leftover = leftover(&storage, &layout, &settings, now, &mut started)?;
        let indexes = indexes(&storage, &layout, &mut started)?;
        let current = current(&storage, &layout, &indexes)?;
        let (index, newest) = match current {
            Some(begun) => {
                let (index, newest) = open_index(&storage, &layout, begun, &mut started)?;
                drop_trimmed(&storage, &layout, &indexes, &newest, begun)?;
                (index, newest.last_slice)
            }
            None => (new_index(&storage, &layout, now)?, None),
        };
        let (rolling, ended, bytes) = (None, None, Vec::new());
        let mut writer =
            Writer { storage, layout, settings, index, live: None, rolling, ended, bytes };
        let tail = writer.index_tail(&mut started)?;
        let mut newest = tail.or(newest);
        if let Some(leftover) = leftover {
            writer.settle(leftover, now, since, &mut started)?;
        }
        if let Some(path) = started.indexed.last() {
            let of = path.file_name().and_then(layout::slice_ts);
            newest = of.map(|(ts, _)| ts).max(newest);
        }
        if since == Since::Broken && current.is_some() {
            let begun = writer.next_ts(now);
            writer.index = new_index(&writer.storage, &writer.layout, begun)?;
        }
        if writer.live.is_none() {
            writer.begin()?;
        }
        if since == Since::Continued {
            started.last_ts = Some(writer.index.mark.last).filter(|last| *last > 0);
            started.newest = writer.newest(newest)?;
        }
        Ok((writer, started))
    }

    /// Puts dated slices behind the last one of the index into it.
    fn index_tail(&mut self, started: &mut Started) -> io::Result<Option<u64>> {
        let behind = self.index.mark.last.max(self.index.begun);
        let tail = dated(&self.storage, &self.layout, behind)?;
        for (ts, path) in &tail {
            sync_names(&self.storage, &self.layout, path)?;
            self.index.append(&self.storage, path, *ts)?;
            started.indexed.push(path.clone());
        }
        Ok(tail.last().map(|(ts, _)| *ts))
    }

    /// Goes on with a live slice, or ends it.
    fn settle(
        &mut self,
        leftover: Leftover<S::File>,
        now: u64,
        since: Since,
        started: &mut Started,
    ) -> io::Result<()> {
        let Leftover { live, header, mtime } = leftover;
        let goes_on = since == Since::Continued
            && live.cursor.is_some()
            && header.version == Version::V1_2
            && (live.len > 0 || live.encoding == self.settings.encoding);
        let empty = live.len == 0;
        self.live = Some(live);
        if goes_on {
            return Ok(());
        }
        if empty {
            self.live = None;
            return remove(&self.storage, &self.layout.live());
        }
        // What was changed behind a gap must not seem to be in it.
        let ts = if since == Since::Broken { mtime.min(now) } else { now };
        started.indexed.extend(self.end(ts)?.path);
        self.ended = None;
        Ok(())
    }

    /// The live slice if it has a cursor, else the one that ended at `dated`.
    fn newest(&self, dated: Option<u64>) -> io::Result<Option<Slice>> {
        if let Some(Live { len, cursor: Some(cursor), .. }) = &self.live {
            return Ok(Some(Slice { ts: None, cursor: Some(cursor.clone()), len: *len }));
        }
        let Some(ts) = dated else { return Ok(None) };
        let path = self.layout.slice(ts);
        let Some((len, _)) = self.storage.stat(&path)? else { return Ok(None) };
        let cursor = self.storage.xattr(&path, CURSOR)?;
        Ok(Some(Slice { ts: Some(ts), cursor, len: len.saturating_sub(HEADER_LEN as u64) }))
    }
}

/// Makes the directories of a changelog where they are not there, for nobody but the owner. Stock has them from its first
/// start on, also while it records nothing.
///
/// # Errors
/// When one cannot be made.
pub fn make_dirs<S: Storage>(storage: &S, layout: &Layout) -> io::Result<()> {
    let mut above: Vec<&Path> = layout.dir().ancestors().collect();
    above.reverse();
    for dir in above {
        // Of the directories above only those that are not there: others may not even be listed.
        if dir.as_os_str().is_empty() || (dir != layout.dir() && storage.list(dir).is_ok()) {
            continue;
        }
        storage.mkdir(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            storage.sync_dir(parent)?;
        }
    }
    storage.mkdir(&layout.htime_dir())?;
    storage.mkdir(&layout.csnap_dir())?;
    storage.sync_dir(layout.dir())
}

/// Opens the live slice that is there, and cuts off what is no whole record.
fn leftover<S: Storage>(
    storage: &S,
    layout: &Layout,
    settings: &Settings,
    now: u64,
    started: &mut Started,
) -> io::Result<Option<Leftover<S::File>>> {
    let path = layout.live();
    let Some((len, mtime)) = storage.stat(&path)? else { return Ok(None) };
    let file = storage.open(&path, Open::Existing, settings.sync)?;
    let mut reader = match Reader::new(FileReader::new(storage, &file)) {
        Ok(reader) => reader,
        Err(codec::ReadError::Io { source, .. }) => return Err(source),
        // Its first write did not get through.
        Err(error) if error.is_truncation() => {
            remove(storage, &path)?;
            return Ok(None);
        }
        Err(error) => {
            let aside = layout.dir().join(format!("{LIVE}.damaged.{now}"));
            storage.rename(&path, &aside)?;
            storage.sync_dir(layout.dir())?;
            started.repairs.push(format!(
                "{}: {error}; set aside as {}",
                path.display(),
                aside.display()
            ));
            return Ok(None);
        }
    };
    let header = reader.header();
    let damage = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(codec::ReadError::Io { source, .. }) => return Err(source),
            Err(error) => break Some(error),
        }
    };
    let whole = reader.offset();
    if let Some(error) = damage {
        storage.cut(&file, whole)?;
        storage.sync(&file)?;
        let cut = len.saturating_sub(whole);
        started
            .repairs
            .push(format!("{}: {error}; the last {cut} bytes were cut off", path.display()));
    }
    let cursor = storage.xattr(&path, CURSOR)?;
    let len = whole - HEADER_LEN as u64;
    // Whether an fsync of it failed in an earlier life is not known.
    let live = Live { file, len, encoding: header.encoding, cursor, unsynced: true };
    Ok(Some(Leftover { live, header, mtime }))
}

/// When the indexes that are there were begun, in order.
fn indexes<S: Storage>(
    storage: &S,
    layout: &Layout,
    started: &mut Started,
) -> io::Result<Vec<u64>> {
    let mut indexes = Vec::new();
    for DirEntry { name, is_file } in storage.list(&layout.htime_dir())? {
        match layout::htime_ts(&name) {
            Some(begun) if is_file => indexes.push(begun),
            _ if is_file => started.repairs.push(format!(
                "{}: not an index; stock's history call fails while it is there: move it elsewhere",
                layout.htime_dir().join(name).display()
            )),
            _ => {}
        }
    }
    indexes.sort_unstable();
    Ok(indexes)
}

/// The index that is written: the one that the directory names, else the newest.
fn current<S: Storage>(storage: &S, layout: &Layout, indexes: &[u64]) -> io::Result<Option<u64>> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let named = storage.xattr(&layout.htime_dir(), CURRENT)?;
    let named = named.and_then(|name| {
        let name = name.strip_suffix(b"\0").unwrap_or(&name);
        layout::htime_ts(OsStr::from_bytes(name))
    });
    let there = named.filter(|begun| indexes.contains(begun));
    let current = there.or(indexes.last().copied());
    if let (Some(begun), None) = (current, there) {
        index::make_current(storage, layout, begun)?;
    }
    Ok(current)
}

fn new_index<S: Storage>(storage: &S, layout: &Layout, now: u64) -> io::Result<Index<S>> {
    let begun = now.clamp(*TS.start(), *TS.end());
    Index::create(storage, layout, begun, &[], Mark::default())
}

fn open_index<S: Storage>(
    storage: &S,
    layout: &Layout,
    begun: u64,
    started: &mut Started,
) -> io::Result<(Index<S>, index::Survey)> {
    let (index, survey) = Index::open(storage, layout, begun)?;
    let name = layout.htime(begun);
    let tell = |finding: &String| format!("{}: {finding}", name.display());
    started.repairs.extend(survey.findings.iter().map(tell));
    Ok((index, survey))
}

/// Looks at the indexes that are not written. One that tells of slices which another tells of too was left by a trim that
/// was killed: before the new index became the one that is written, it goes, because the old one still knows all; behind
/// that the old one goes. The others are repaired, because those of a brick that was moved name no file.
fn drop_trimmed<S: Storage>(
    storage: &S,
    layout: &Layout,
    indexes: &[u64],
    written: &index::Survey,
    current: u64,
) -> io::Result<()> {
    let mut behind = written.first_ts;
    for begun in indexes.iter().rev().copied().filter(|begun| *begun != current) {
        let (_, survey) = Index::open(storage, layout, begun)?;
        let told_twice = if begun > current {
            survey.first_ts.is_some_and(|first| first <= written.mark.last)
        } else {
            behind.is_some_and(|behind| survey.mark.last >= behind)
        };
        if told_twice {
            storage.unlink(&layout.htime(begun))?;
            storage.sync_dir(&layout.htime_dir())?;
        } else if begun < current {
            behind = survey.first_ts.or(behind);
        }
    }
    Ok(())
}

/// The dated slices behind the time stamp `behind`, in order.
pub(crate) fn dated<S: Storage>(
    storage: &S,
    layout: &Layout,
    behind: u64,
) -> io::Result<Vec<(u64, PathBuf)>> {
    let day = layout.day(behind);
    let mut dirs = vec![layout.dir().to_owned()];
    for len in [4, 2, 2] {
        let mut below = Vec::new();
        for dir in dirs {
            for entry in storage.list(&dir)?.into_iter().filter(|entry| !entry.is_file) {
                let name = entry.name.as_encoded_bytes();
                let path = dir.join(&entry.name);
                let number = name.len() == len && name.iter().all(u8::is_ascii_digit);
                // A directory is not before one that is in it.
                if number && (path >= day || day.starts_with(&path)) {
                    below.push(path);
                }
            }
        }
        dirs = below;
    }
    let mut slices = Vec::new();
    for dir in dirs {
        for entry in storage.list(&dir)?.into_iter().filter(|entry| entry.is_file) {
            match layout::slice_ts(&entry.name) {
                // Only where a reader looks for it.
                Some((ts, false)) if ts > behind && layout.day(ts) == dir => {
                    slices.push((ts, dir.join(entry.name)));
                }
                _ => {}
            }
        }
    }
    slices.sort_unstable();
    Ok(slices)
}
