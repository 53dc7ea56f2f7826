//! The bytes of format version 2, pinned: the packed segment in `testdata/` gives back the golden segment.
//!
//! What an encoder makes of a block may change with its version; what a decoder makes of it may not.
//! `GNOTIFY_WRITE_GOLDEN=1 cargo test -p gnotify-journal --lib golden` writes the file anew.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};

use super::codec::{HEADER, Head, PackedHeader};
use super::pack::{Leave, write};
use crate::reader::{Cursor, SegmentBytes};
use crate::{ReadError, Reader};

struct AllTheRoom;

impl Leave for AllTheRoom {
    fn room(&mut self, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn goes_on(&self) -> bool {
        true
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

#[test]
fn golden_packed_segment() {
    let (raw, packed) = (testdata("segment-v1.gnj"), testdata("segment-v1.packed.gnz"));
    let expected = fs::read(&raw).unwrap();
    if std::env::var_os("GNOTIFY_WRITE_GOLDEN").is_some() {
        let mut cursor = Cursor::open(&raw).unwrap();
        write(&mut cursor, expected.len() as u64, &packed, &mut AllTheRoom).unwrap();
    }
    let bytes = fs::read(&packed).unwrap();
    let (header, segment) = PackedHeader::decode(&bytes).unwrap();
    assert_eq!(header.len, expected.len() as u64);
    let head = Head::decode(&bytes[HEADER..], segment.salt).unwrap();
    assert_eq!((head.offset, head.number, head.end()), (80, segment.first_seq, header.len));
    assert_eq!((HEADER as u64 + head.room()), bytes.len() as u64);

    let (path, mut opened, _) = SegmentBytes::open(&packed).unwrap();
    assert!(opened.is_packed() && path == packed);
    let mut read = vec![7; expected.len() + 1];
    assert_eq!(opened.fill_at(&mut read, 0).unwrap(), expected.len());
    assert_eq!(read[..expected.len()], expected);
    let (mut one, mut other) =
        (Reader::open_segment(&raw).unwrap(), Reader::open_segment(&packed).unwrap());
    while let Some(entry) = one.next().unwrap() {
        let packed = other.next().unwrap().unwrap();
        assert_eq!((entry.seq, entry.time, entry.what), (packed.seq, packed.time, packed.what));
    }
    assert!(other.next().unwrap().is_none());
}

#[test]
fn golden_packed_segment_of_a_later_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000001.gnz");
    let mut bytes = fs::read(testdata("segment-v1.packed.gnz")).unwrap();
    bytes[8] = 3;
    fs::write(&path, &bytes).unwrap();
    let error = Reader::open_segment(&path).unwrap_err();
    assert!(matches!(error, ReadError::NewerVersion { found: 3, known: 2, .. }), "{error}");
}
