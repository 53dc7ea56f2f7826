//! Slices and records of the index that are older, or more, than the administrator wants.
//!
//! A reader trusts that an index knows all from its beginning on, which is its name, so its front cannot simply be cut
//! off. A new index that begins with the first slice that is kept takes the old one's place, and only then do slices go:
//! whenever a kill comes, each index tells of slices that are there.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::htime::{Item, Mark, Reader};
use crate::index::{self, Index};
use crate::layout::{self, Layout};
use crate::storage::{FileReader, Open, Storage};
use crate::writer::{Writer, dated, remove};

/// What is kept at most. The newest slice is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of all dated slices (`retention-bytes`).
    pub bytes: Option<u64>,
    /// Age of a slice in seconds (`retention-age`).
    pub age: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Slices.
    pub slices: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes what is beyond the limits.
///
/// It lists all dated directories, so call it now and then, between two roll-overs.
///
/// # Errors
/// When a step fails. All that is left is true then, and it can be repeated.
pub fn trim<S: Storage>(writer: &mut Writer<S>, limits: Limits, now: u64) -> io::Result<Trimmed> {
    let mut slices = Vec::new();
    for (ts, path) in dated(&writer.storage, &writer.layout, 0)? {
        let len = writer.storage.stat(&path)?.map_or(0, |(len, _)| len);
        slices.push((ts, path, len));
    }
    let Some(kept) = first_kept(&slices, limits, now) else { return Ok(Trimmed::default()) };
    trim_indexes(writer, kept)?;
    let mut trimmed = Trimmed::default();
    for (_, path, len) in slices.iter().take_while(|(ts, ..)| *ts < kept) {
        remove(&writer.storage, path)?;
        trimmed.slices += 1;
        trimmed.bytes += len;
        remove_empty(&writer.storage, &writer.layout, path);
    }
    Ok(trimmed)
}

/// The time stamp of the first slice that stays; `None` where all do.
fn first_kept(slices: &[(u64, PathBuf, u64)], limits: Limits, now: u64) -> Option<u64> {
    let mut bytes = 0;
    let kept = slices.iter().rev().enumerate().take_while(|(newer, (ts, _, len))| {
        bytes += len;
        let few = limits.bytes.is_none_or(|limit| bytes <= limit);
        let young = limits.age.is_none_or(|limit| now.saturating_sub(*ts) <= limit);
        *newer == 0 || (few && young)
    });
    let first = slices.len() - kept.count();
    (first > 0).then(|| slices[first].0)
}

/// Has no index tell of slices before `kept`.
fn trim_indexes<S: Storage>(writer: &mut Writer<S>, kept: u64) -> io::Result<()> {
    let Writer { storage, layout, index, .. } = writer;
    let listed = storage.list(&layout.htime_dir())?;
    let indexes = listed.into_iter().filter(|entry| entry.is_file);
    let mut indexes: Vec<u64> = indexes.filter_map(|entry| layout::htime_ts(&entry.name)).collect();
    indexes.sort_unstable();
    for begun in indexes.into_iter().filter(|begun| *begun < kept) {
        let path = layout.htime(begun);
        let current = begun == index.begun;
        let (first, records, mark) = rest(storage, layout, begun, kept)?;
        match first {
            // It begins with a slice that is kept already.
            None if current => continue,
            Some(first) if first == begun => continue,
            // A trim that could not remove the old one has made it already.
            Some(first) if first == index.begun => {}
            Some(first) if current => {
                *index = Index::create(storage, layout, first, &records, mark)?;
            }
            Some(first) => drop(index::make(storage, layout, first, &records, mark)?),
            None => {}
        }
        remove(storage, &path)?;
        storage.sync_dir(&layout.htime_dir())?;
    }
    Ok(())
}

/// The records of an index from `kept` on, with the time stamp of the first one.
fn rest<S: Storage>(
    storage: &S,
    layout: &Layout,
    begun: u64,
    kept: u64,
) -> io::Result<(Option<u64>, Vec<u8>, Mark)> {
    let file = storage.open(&layout.htime(begun), Open::Existing, false)?;
    let mut reader = Reader::new(FileReader::new(storage, &file));
    let (mut first, mut records, mut mark) = (None, Vec::new(), Mark::default());
    while let Some((_, item)) = reader.next()? {
        let Item::Slice(slice) = item else { continue };
        if slice.ts < kept {
            continue;
        }
        first = first.or(Some(slice.ts));
        records.extend_from_slice(slice.path.as_os_str().as_bytes());
        records.push(0);
        mark = Mark { last: slice.ts, count: mark.count + 1 };
    }
    Ok((first, records, mark))
}

/// Removes the directories above a slice, as far as they are empty.
fn remove_empty<S: Storage>(storage: &S, layout: &Layout, slice: &std::path::Path) {
    let above = slice.ancestors().skip(1).take_while(|dir| *dir != layout.dir());
    // The first that is not empty ends it.
    let _ = above.map(|dir| storage.rmdir(dir)).take_while(Result::is_ok).count();
}

#[cfg(test)]
mod tests;
