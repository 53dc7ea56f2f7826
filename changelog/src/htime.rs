//! The index of the slices: D/htime/HTIME.TS, from its beginning at TS on a path for each slice, ended by a NUL.
//!
//! All records of an index have the same length, because stock's history call looks slices up by multiplying. What the
//! last one is and how many there are stands in an extended attribute; which index is written, in one of the directory.
//! Stock appends without looking at the result, counts wrongly at each start, and reads nothing where it finds a file
//! that is no index; here all of that is passed over and told.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::layout;

/// The extended attribute of an index: a [`Mark`].
pub const MARK: &str = "trusted.glusterfs.htime";

/// The extended attribute of the directory of the indexes: the name of the one that is written.
pub const CURRENT: &str = "trusted.glusterfs.current_htime";

/// The longest record that is read: beyond Linux's PATH_MAX.
const RECORD_MAX: u64 = 8192;

/// How far an index goes: "LAST:COUNT" in decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Time stamp of the last slice; 0 where there is none.
    pub last: u64,
    /// How many records there are.
    pub count: u64,
}

impl Mark {
    /// Reads the value of the extended attribute.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Mark> {
        let (last, count) = str::from_utf8(value).ok()?.trim_end_matches('\0').split_once(':')?;
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().ok() } else { None }
        };
        Some(Mark { last: number(last)?, count: number(count)? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.last, self.count)
    }
}

/// What stands in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A slice.
    Slice(Indexed<'a>),
    /// So many bytes that are no record: the beginning of one whose append failed, or damage.
    Torn(u64),
}

/// A record of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed<'a> {
    /// As it stands there. Where the slice is empty, there is no such file.
    pub path: &'a Path,
    /// When the slice ended, in seconds since 1970.
    pub ts: u64,
    /// Nothing had changed.
    pub empty: bool,
}

impl<'a> Indexed<'a> {
    fn parse(path: &'a [u8]) -> Option<Indexed<'a>> {
        let path = Path::new(OsStr::from_bytes(path));
        let (ts, empty) = layout::slice_ts(path.file_name()?)?;
        Some(Indexed { path, ts, empty })
    }
}

/// Reads an index from its beginning to its end, with bounded memory.
#[derive(Debug)]
pub struct Reader<R> {
    source: BufReader<R>,
    record: Vec<u8>,
    /// Of the record, what was given already.
    given: usize,
    /// The changelog directory of the first record, and that record's length.
    first: Option<(Vec<u8>, usize)>,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// From the beginning of `source`.
    pub fn new(source: R) -> Reader<R> {
        let source = BufReader::new(source);
        Reader { source, record: Vec::new(), given: 0, first: None, offset: 0 }
    }

    /// The next item and its place, in bytes from the file's beginning; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the reader")]
    pub fn next(&mut self) -> io::Result<Option<(u64, Item<'_>)>> {
        if self.given == self.record.len() {
            self.record.clear();
            self.given = 0;
            (&mut self.source).take(RECORD_MAX).read_until(0, &mut self.record)?;
        }
        let offset = self.offset;
        let rest = &self.record[self.given..];
        let Some(path) = rest.strip_suffix(b"\0") else {
            let torn = rest.len();
            self.given += torn;
            self.offset += torn as u64;
            return Ok((torn > 0).then_some((offset, Item::Torn(torn as u64))));
        };
        if let Some(torn) = self.torn_before(path) {
            self.given += torn;
            self.offset += torn as u64;
            return Ok(Some((offset, Item::Torn(torn as u64))));
        }
        self.given = self.record.len();
        self.offset += path.len() as u64 + 1;
        let path = &self.record[self.record.len() - path.len() - 1..self.record.len() - 1];
        let Some(slice) = Indexed::parse(path) else {
            return Ok(Some((offset, Item::Torn(path.len() as u64 + 1))));
        };
        if self.first.is_none() {
            let dir = layout::dir_of(slice.path).map(|dir| dir.as_os_str().as_bytes().to_vec());
            self.first = Some((dir.unwrap_or_default(), path.len()));
        }
        Ok(Some((offset, Item::Slice(slice))))
    }

    /// How much of `path` is the beginning of a record, behind which another one was appended whole.
    fn torn_before(&self, path: &[u8]) -> Option<usize> {
        let (dir, len) = self.first.as_ref()?;
        let torn = path.len().checked_sub(*len).filter(|torn| *torn > 0)?;
        let whole = &path[torn..];
        (whole.starts_with(dir) && Indexed::parse(whole).is_some()).then_some(torn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &[u8] = b"/b/c/2026/11/20/CHANGELOG.1795160863\0";
    const B: &[u8] = b"/b/c/2026/11/20/changelog.1795160878\0";

    /// Each item as its place and its time stamp, or minus the length of what is torn.
    fn items(bytes: &[u8]) -> Vec<(u64, i64)> {
        let mut reader = Reader::new(bytes);
        let mut items = Vec::new();
        while let Ok(Some((offset, item))) = reader.next() {
            items.push(match item {
                Item::Slice(slice) => (offset, slice.ts.cast_signed()),
                Item::Torn(len) => (offset, -len.cast_signed()),
            });
        }
        items
    }

    #[test]
    fn records_of_stock() {
        let both = [A, B].concat();
        let mut reader = Reader::new(&both[..]);
        let path = Path::new("/b/c/2026/11/20/CHANGELOG.1795160863");
        let want = Item::Slice(Indexed { path, ts: 1_795_160_863, empty: false });
        assert_eq!(reader.next().ok(), Some(Some((0, want))));
        assert!(matches!(reader.next(), Ok(Some((37, Item::Slice(Indexed { empty: true, .. }))))));
        assert!(matches!(reader.next(), Ok(None)));
    }

    #[test]
    fn torn_records_hide_no_other() {
        let (a, b) = (1_795_160_863, 1_795_160_878);
        assert_eq!(items(&[A, &B[..20]].concat()), [(0, a), (37, -20)]);
        assert_eq!(items(&[A, &B[..20], B].concat()), [(0, a), (37, -20), (57, b)]);
        assert_eq!(items(&[A, &B[..36], B].concat()), [(0, a), (37, -36), (73, b)]);
        assert_eq!(items(&[A, b"rubbish\0", B].concat()), [(0, a), (37, -8), (45, b)]);
        assert_eq!(items(&[A, b"\0\0", B].concat()), [(0, a), (37, -1), (38, -1), (39, b)]);
        assert_eq!(items(&[&A[..36]].concat()), [(0, -36)]);
        assert_eq!(items(b""), []);
    }

    #[test]
    fn an_index_from_before_the_dated_directories() {
        let flat = b"/b/c/CHANGELOG.1595160863\0";
        assert_eq!(items(&[flat, A].concat()), [(0, 1_595_160_863), (26, 1_795_160_863)]);
    }

    #[test]
    fn marks() {
        let mark = Mark { last: 1_795_160_868, count: 3 };
        assert_eq!(mark.to_string(), "1795160868:3");
        assert_eq!(Mark::parse(b"1795160868:3"), Some(mark));
        assert_eq!(Mark::parse(b"0:0"), Some(Mark::default()));
        for wrong in ["", ":", "1", "1:", ":1", "+1:2", "1:2:3", "1:-2", "99999999999999999999:1"] {
            assert_eq!(Mark::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_is_accounted_for(bytes in prop::collection::vec(
            prop_oneof![Just(A.to_vec()), Just(B.to_vec()), prop::collection::vec(any::<u8>(), 0..40)], 0..10,
        )) {
            let bytes = bytes.concat();
            let mut reader = Reader::new(&bytes[..]);
            let mut end = 0;
            while let Some((offset, item)) = reader.next().map_err(|e| TestCaseError::fail(e.to_string()))? {
                prop_assert_eq!(offset, end);
                end += match item {
                    Item::Slice(slice) => slice.path.as_os_str().len() as u64 + 1,
                    Item::Torn(len) => len,
                };
            }
            prop_assert_eq!(end, bytes.len() as u64);
        }
    }
}
