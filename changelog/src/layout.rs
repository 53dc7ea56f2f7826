//! Where the files of a changelog directory lie, and how they are called.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The name of the live slice, and what the names of all slices begin with.
pub const LIVE: &str = "CHANGELOG";

/// What the index has in its place where a slice was empty: there is no such file.
pub const EMPTY: &str = "changelog";

/// What the name of an index begins with.
const HTIME: &[u8] = b"HTIME.";

/// Time stamps have ten digits (records of an index are of one length): 2001-09-09 to 2286-11-20, in seconds since 1970.
pub const TS: std::ops::RangeInclusive<u64> = 1_000_000_000..=9_999_999_999;

/// The paths in a changelog directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Of the directory `dir`, which stock calls changelog-dir.
    pub fn new(dir: impl Into<PathBuf>) -> Layout {
        Layout { dir: dir.into() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The live slice.
    #[must_use]
    pub fn live(&self) -> PathBuf {
        self.dir.join(LIVE)
    }

    /// The directory of the slices of a day, in UTC.
    #[must_use]
    pub fn day(&self, ts: u64) -> PathBuf {
        let second = i64::try_from(ts.min(*TS.end())).unwrap_or(0);
        let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let date = TimeZone::UTC.to_datetime(time).date();
        self.dir.join(format!("{:04}/{:02}/{:02}", date.year(), date.month(), date.day()))
    }

    /// The slice that ended at `ts`.
    #[must_use]
    pub fn slice(&self, ts: u64) -> PathBuf {
        self.day(ts).join(format!("{LIVE}.{ts}"))
    }

    /// What the index says of a slice that ended at `ts` and was empty.
    #[must_use]
    pub fn empty(&self, ts: u64) -> PathBuf {
        self.day(ts).join(format!("{EMPTY}.{ts}"))
    }

    /// The directory of the indexes.
    #[must_use]
    pub fn htime_dir(&self) -> PathBuf {
        self.dir.join("htime")
    }

    /// The index that was begun at `ts`.
    #[must_use]
    pub fn htime(&self, ts: u64) -> PathBuf {
        self.htime_dir().join(htime_name(ts))
    }

    /// An index that is being made. It is not among the others: stock's history call gives up where it finds a regular
    /// file there without the extended attribute of an index.
    #[must_use]
    pub fn htime_unfinished(&self) -> PathBuf {
        self.dir.join("HTIME.new")
    }

    /// The directory of the notes of snapshots.
    #[must_use]
    pub fn csnap_dir(&self) -> PathBuf {
        self.dir.join("csnap")
    }

    /// What is noted during a snapshot.
    #[must_use]
    pub fn csnap(&self) -> PathBuf {
        self.csnap_dir().join("CHANGELOG.SNAP")
    }
}

/// The name of the index that was begun at `ts`.
#[must_use]
pub fn htime_name(ts: u64) -> OsString {
    let mut name = OsString::from_vec(HTIME.to_vec());
    name.push(ts.to_string());
    name
}

/// When the index with this name was begun; `None` if no index has such a name.
#[must_use]
pub fn htime_ts(name: &OsStr) -> Option<u64> {
    digits(name.as_bytes().strip_prefix(HTIME)?)
}

/// The time stamp of a slice's name, and whether it is that of an empty one. `None` if no slice has such a name.
#[must_use]
pub fn slice_ts(name: &OsStr) -> Option<(u64, bool)> {
    let (stem, ts) = name.as_bytes().split_at_checked(LIVE.len())?;
    let empty = match stem {
        stem if stem == LIVE.as_bytes() => false,
        stem if stem == EMPTY.as_bytes() => true,
        _ => return None,
    };
    Some((digits(ts.strip_prefix(b".")?)?, empty))
}

fn digits(digits: &[u8]) -> Option<u64> {
    if digits.len() != 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok().filter(|ts| TS.contains(ts))
}

/// The changelog directory that a path of the index lies in: above the directories of the day, or, as before GlusterFS 8,
/// right above the slice.
#[must_use]
pub fn dir_of(slice: &Path) -> Option<&Path> {
    let flat = slice.parent()?;
    let is = |name: Option<&OsStr>, len: usize| {
        name.is_some_and(|name| name.len() == len && name.as_bytes().iter().all(u8::is_ascii_digit))
    };
    let mut above = flat;
    for len in [2, 2, 4] {
        if !is(above.file_name(), len) {
            return Some(flat);
        }
        above = above.parent()?;
    }
    Some(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_stock_has_them() {
        let layout = Layout::new("/b/.glusterfs/changelogs");
        let slice = layout.slice(1_795_160_863);
        assert_eq!(slice, Path::new("/b/.glusterfs/changelogs/2026/11/20/CHANGELOG.1795160863"));
        assert_eq!(slice_ts(slice.file_name().unwrap_or_default()), Some((1_795_160_863, false)));
        let empty = layout.empty(1_795_160_863);
        assert_eq!(empty, Path::new("/b/.glusterfs/changelogs/2026/11/20/changelog.1795160863"));
        assert_eq!(slice_ts(empty.file_name().unwrap_or_default()), Some((1_795_160_863, true)));
        let htime = layout.htime(1_795_160_848);
        assert_eq!(htime, Path::new("/b/.glusterfs/changelogs/htime/HTIME.1795160848"));
        assert_eq!(htime_ts(htime.file_name().unwrap_or_default()), Some(1_795_160_848));
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let layout = Layout::new("");
        // 2024-02-29 and the first second of March.
        assert_eq!(layout.day(1_709_251_199), Path::new("2024/02/29"));
        assert_eq!(layout.day(1_709_251_200), Path::new("2024/03/01"));
        assert_eq!(layout.day(*TS.start()), Path::new("2001/09/09"));
        assert_eq!(layout.day(*TS.end()), Path::new("2286/11/20"));
        assert_eq!(layout.day(u64::MAX), Path::new("2286/11/20"));
    }

    #[test]
    fn other_names_are_no_slices() {
        for name in [
            "CHANGELOG",
            "CHANGELOG.",
            "CHANGELOG.179516086",
            "CHANGELOG.17951608633",
            "CHANGELOG.SNAP",
            "Changelog.1795160863",
            "CHANGELOG.179516086x",
            "CHANGELOG.0000000001",
        ] {
            assert_eq!(slice_ts(OsStr::new(name)), None, "{name}");
        }
        for name in ["HTIME", "HTIME.1795160848.bak", "HTIME.new", "htime.1795160848"] {
            assert_eq!(htime_ts(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_directory_of_a_slice() {
        let of = |path: &'static str| dir_of(Path::new(path)).and_then(Path::to_str);
        assert_eq!(of("/b/CHANGELOG/2026/11/20/changelog.1795160863"), Some("/b/CHANGELOG"));
        assert_eq!(of("/b/c/CHANGELOG.1795160863"), Some("/b/c"));
        assert_eq!(of("/b/11/20/CHANGELOG.1795160863"), Some("/b/11/20"));
        assert_eq!(of("2026/11/20/CHANGELOG.1795160863"), Some(""));
    }
}
