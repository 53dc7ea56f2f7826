//! What the tests of gnotify in the place of `features/changelog` ask of a brick: its slices and indexes by our own
//! reader.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gnotify_changelog::Change;
use gnotify_changelog::codec::Reader;
use gnotify_changelog::htime::{self, Item};
use gnotify_changelog::layout::Layout;
use gnotify_harness::{run, tool};

/// The records of a slice; none, where it is not there.
pub(crate) fn slice(path: &Path) -> Vec<Change<'static>> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let Ok(mut reader) = Reader::new(file) else { return Vec::new() };
    let mut changes = Vec::new();
    while let Some(change) = reader.next().unwrap() {
        changes.push(change.into_owned());
    }
    changes
}

/// All records, in the order of the slices and of the records in them, the live slice last.
pub(crate) fn recorded(layout: &Layout) -> Vec<Change<'static>> {
    let slices = indexed(layout);
    let mut changes: Vec<Change<'static>> = slices.iter().flat_map(|path| slice(path)).collect();
    changes.extend(slice(&layout.live()));
    changes
}

/// The files in `D/htime`.
pub(crate) fn indexes(layout: &Layout) -> Vec<PathBuf> {
    let dir = fs::read_dir(layout.htime_dir()).unwrap();
    let mut files: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| begun(name).is_some()));
    files.sort();
    files
}

/// When an index was begun.
pub(crate) fn begun(name: &std::ffi::OsStr) -> Option<u64> {
    gnotify_changelog::layout::htime_ts(name)
}

/// The slices in all indexes, with records or without.
pub(crate) fn indexed(layout: &Layout) -> Vec<PathBuf> {
    let mut slices = Vec::new();
    for index in indexes(layout) {
        // One that a trim takes away this moment.
        let Ok(file) = File::open(index) else { continue };
        let mut reader = htime::Reader::new(file);
        while let Some((_, item)) = reader.next().unwrap() {
            match item {
                Item::Slice(slice) => slices.push(slice.path.to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }
    slices
}

/// The time stamp in a slice's name.
pub(crate) fn stamp(path: &Path) -> u64 {
    path.extension().unwrap().to_str().unwrap().parse().unwrap()
}

/// The index's own figures: time stamp of its last record, and how many it has.
pub(crate) fn mark(index: &Path) -> (u64, u64) {
    let path = index.to_string_lossy();
    let value = run(tool("getfattr")
        .args(["--only-values", "--absolute-names", "-n", "trusted.glusterfs.htime"])
        .arg(&*path));
    let (last, count) = value.trim().split_once(':').unwrap();
    (last.parse().unwrap(), count.parse().unwrap())
}

/// That the files of a brick that never stopped recording are whole: one index, which counts exactly, and leads to
/// each slice that there is.
pub(crate) fn assert_whole(layout: &Layout) {
    let indexes = indexes(layout);
    assert_eq!(indexes.len(), 1, "one index: {indexes:?}");
    let slices = indexed(layout);
    let (last, count) = mark(&indexes[0]);
    assert_eq!(count, slices.len() as u64, "the index counts its records");
    let stamps: Vec<u64> = slices.iter().map(|path| stamp(path)).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
    assert_eq!(stamps.last().copied().unwrap_or(0), last);
    let told: Vec<PathBuf> = slices.into_iter().filter(|path| path.exists()).collect();
    assert_eq!(told, dated(layout), "each slice is in the index");
}

/// The dated slices that there are, in order.
pub(crate) fn dated(layout: &Layout) -> Vec<PathBuf> {
    let there = run(tool("find").arg(layout.dir()).args(["-name", "CHANGELOG.[0-9]*"]));
    let mut there: Vec<PathBuf> = there.lines().map(PathBuf::from).collect();
    there.sort_by_key(|path| stamp(path));
    there
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
