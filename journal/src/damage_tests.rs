//! Segments that are cut or damaged: a reader gives only what was written, and accounts for the rest.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::Path;

use gnotify_record::{Fop, Origin, Record, codec};
use proptest::prelude::*;

use crate::frame::{self, Draft, Kind};
use crate::home::Home;
use crate::segment::{self, HEADER, Header};
use crate::{Cause, Gap, Reader, Statement, What};

const SALT: u32 = 77;

fn header(first_seq: u64) -> Header {
    Header {
        epoch: [1; 16],
        start_id: 1,
        first_seq,
        created: 5,
        start_key: 0,
        home: Home::UNKNOWN,
        salt: SALT,
    }
}

/// A segment of records, each of which holds its own number as its offset. Gives where each begins, and
/// where the last one ends.
fn write_segment(dir: &Path, first_seq: u64, count: u64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header(first_seq).encode().to_vec();
    let mut starts = vec![bytes.len()];
    let mut body = codec::Body::new();
    for seq in first_seq..first_seq + count {
        let record = Record { offset: Some(seq), ..Record::new(Fop::WRITE, Origin::Client) };
        let tag = codec::encode(&record, 1, &mut body);
        let draft = Draft::new(SALT, Kind::Record, Fop::WRITE.0, tag, 1, &body);
        draft.put(seq, &mut bytes);
        starts.push(bytes.len());
    }
    fs::write(segment::path(dir, first_seq), &bytes).unwrap();
    (bytes, starts)
}

/// What a reader says of each number from 1 on: that it is there, or that it is missing.
fn read(reader: &mut Reader) -> Vec<bool> {
    let mut there = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        assert_eq!(entry.seq, there.len() as u64 + 1);
        match entry.what {
            What::Record(record) => {
                assert_eq!(record.offset, Some(entry.seq), "an entry that was never written");
                there.push(true);
            }
            What::Statement(Statement::Gap(Gap { to, cause: Cause::Damaged, lost: None })) => {
                there.resize(to as usize, false);
            }
            What::Statement(statement) => panic!("{statement:?}"),
        }
    }
    there
}

/// The numbers of frames that a stretch of damaged bytes touches.
fn touched(starts: &[usize], damage: std::ops::Range<usize>) -> Vec<usize> {
    (0..starts.len() - 1)
        .filter(|at| damage.start < starts[at + 1] && starts[*at] < damage.end)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn damaged_bytes_are_told(
        at in HEADER..HEADER + 12 * 32, len in 1usize..80, with: u8, followed: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut bytes, starts) = write_segment(dir.path(), 1, 12);
        let original = bytes.clone();
        let end = (at + len).min(bytes.len());
        for byte in &mut bytes[at..end] {
            *byte ^= with | 1;
        }
        fs::write(segment::path(dir.path(), 1), &bytes).unwrap();
        if followed {
            write_segment(dir.path(), 13, 2);
        }
        let there = read(&mut Reader::open(dir.path()).unwrap());
        let known = if followed { 14 } else { there.len() };
        prop_assert_eq!(there.len(), known);
        let touched = touched(&starts, at..end);
        for (index, there) in there.iter().enumerate() {
            // Padding may be damaged without harm; nothing else may.
            if !touched.contains(&index) {
                prop_assert!(there, "{} was not damaged", index + 1);
            } else if *there {
                let range = starts[index]..starts[index + 1];
                let same = frame::parse(&bytes[range.clone()], SALT) == frame::parse(&original[range], SALT);
                prop_assert!(same);
            }
        }
        // What is not told is behind the last whole frame, where more may still be written.
        if !followed {
            prop_assert!((there.len()..12).all(|index| touched.contains(&index)));
        }
    }
}

#[test]
fn a_segment_cut_at_any_byte_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, starts) = write_segment(dir.path(), 1, 6);
    let path = segment::path(dir.path(), 1);
    for cut in HEADER..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let mut reader = Reader::open(dir.path()).unwrap();
        let whole = starts.iter().skip(1).filter(|end| **end <= cut).count();
        assert_eq!(read(&mut reader).len(), whole, "cut at {cut}");
        // The rest is written: it comes, and nothing twice.
        fs::write(&path, &bytes).unwrap();
        let mut rest = 0;
        while reader.next().unwrap().is_some() {
            rest += 1;
        }
        assert_eq!(whole + rest, 6, "cut at {cut}");
    }
}

#[test]
fn a_segment_cut_at_any_byte_is_told_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, starts) = write_segment(dir.path(), 1, 6);
    write_segment(dir.path(), 7, 2);
    for cut in HEADER..bytes.len() {
        fs::write(segment::path(dir.path(), 1), &bytes[..cut]).unwrap();
        let there = read_with_any_gap(dir.path());
        let whole = starts.iter().skip(1).filter(|end| **end <= cut).count();
        let expected: Vec<bool> = (0..8).map(|index| index < whole || index >= 6).collect();
        assert_eq!(there, expected, "cut at {cut}");
    }
}

/// As [`read`], where a segment that ends between two frames looks like one whose successor was removed.
fn read_with_any_gap(dir: &Path) -> Vec<bool> {
    let mut there = Vec::new();
    let mut reader = Reader::open(dir).unwrap();
    while let Some(entry) = reader.next().unwrap() {
        assert_eq!(entry.seq, there.len() as u64 + 1);
        match entry.what {
            What::Statement(Statement::Gap(Gap { to, .. })) => there.resize(to as usize, false),
            _ => there.push(true),
        }
    }
    there
}

#[test]
fn a_damaged_header_is_told_as_a_gap_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write_segment(dir.path(), 1, 2);
    write_segment(dir.path(), 3, 2);
    write_segment(dir.path(), 5, 2);
    let damaged = segment::path(dir.path(), 3);
    fs::write(&damaged, [0; 300]).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    for _ in 0..2 {
        reader.next().unwrap().unwrap();
    }
    let entry = reader.next().unwrap().unwrap();
    assert_eq!((entry.place.path, entry.place.offset), (damaged.as_path(), 0));
    let gap = Gap { to: 4, cause: Cause::Damaged, lost: None };
    assert_eq!((entry.seq, entry.what), (3, What::Statement(Statement::Gap(gap))));
    assert_eq!(reader.next().unwrap().unwrap().seq, 5);
}

#[test]
fn damage_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bytes, starts) = write_segment(dir.path(), 1, 5);
    bytes[starts[2] + 9] ^= 4;
    let path = segment::path(dir.path(), 1);
    fs::write(&path, &bytes).unwrap();
    let mut reader = Reader::open_segment(&path).unwrap();
    for _ in 0..2 {
        reader.next().unwrap().unwrap();
    }
    let entry = reader.next().unwrap().unwrap();
    assert_eq!((entry.place.path, entry.place.offset), (path.as_path(), starts[2] as u64));
    assert_eq!(entry.seq, 3);
}

#[test]
fn entries_that_cannot_be_understood_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = header(1).encode().to_vec();
    // A record whose body is too short for its tag, and a SLICE-END without a number.
    Draft::new(SALT, Kind::Record, 13, 1 << 8, 1, b"short").put(1, &mut bytes);
    Draft::new(SALT, Kind::Statement, 3, 0, 1, b"").put(2, &mut bytes);
    Draft::new(SALT, Kind::Statement, 8, 0, 1, b"").put(3, &mut bytes);
    let path = segment::path(dir.path(), 1);
    fs::write(&path, &bytes).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    let error = reader.next().unwrap_err().to_string();
    assert!(error.contains("entry 1 at byte 80: the record's gfid"), "{error}");
    let error = reader.next().unwrap_err().to_string();
    assert!(error.contains("entry 2 at byte 112: statement 3 is too short"), "{error}");
    assert_eq!(reader.next().unwrap().unwrap().what, What::Statement(Statement::Off));
}
