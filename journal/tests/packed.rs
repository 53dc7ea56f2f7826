//! Segments that are packed while the journal is written, trimmed and read: readers do not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use gnotify_journal::{Appended, Config, Journal, Limits, Reader, Resume};
use gnotify_record::ClientId;
use support::{Place, Told, read, soon, told, wait_until, write_at};

const LIMITS: Limits = Limits {
    segment_size: 64 << 10,
    slice_time: Duration::from_secs(1 << 20),
    fsync_interval: Duration::from_secs(5),
    retention_bytes: None,
    retention_age: None,
    reserve: gnotify_journal::Reserve::Off,
    compress: true,
};

fn open(place: &Place, limits: Limits) -> Journal {
    Journal::open(Config { limits, ..place.config() }).unwrap()
}

fn append(journal: &Journal, from: u64, count: u64) {
    for offset in from..from + count {
        assert!(matches!(journal.append_record(&write_at(offset), 5), Appended::Yes(_)));
        if offset % 500 == 0 {
            assert!(journal.flush(soon()));
        }
    }
    assert!(journal.flush(soon()));
}

fn wait_for_packing(journal: &Journal) {
    wait_until("all but the live segment to be packed", || {
        let stats = journal.stats();
        stats.packed_segments + 1 == stats.segments
    });
}

fn files(dir: &Path, ending: &str) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|other| other == ending)).count()
}

#[test]
fn readers_do_not_notice() {
    let place = Place::new();
    let journal = open(&place, Limits { compress: false, ..LIMITS });
    assert!(journal.append_client(ClientId(4), b"CTX_ID:four"));
    append(&journal, 0, 3000);
    // One has read nothing yet, one is in the middle, one follows.
    let mut late = Reader::open(&place.dir()).unwrap();
    let mut middle = Reader::open(&place.dir()).unwrap();
    for _ in 0..1500 {
        middle.next().unwrap().unwrap();
    }
    let cursor = middle.cursor().unwrap();
    let mut follower = Reader::open(&place.dir()).unwrap();
    let mut followed = read(&mut follower);
    assert_eq!(files(&place.dir(), "gnz"), 0, "off until it is switched on");

    journal.set_limits(LIMITS);
    for round in 1..6 {
        append(&journal, 3000 * round, 3000);
        followed.extend(read(&mut follower));
    }
    wait_for_packing(&journal);
    let stats = journal.stats();
    assert!(stats.packed_segments > 5, "{stats:?}");
    assert_eq!(files(&place.dir(), "gnz") as u64, stats.packed_segments);
    assert_eq!(files(&place.dir(), "gnj"), 1);
    followed.extend(read(&mut follower));
    assert_eq!(place.read(), followed);
    assert_eq!(followed.len(), 1 + 1 + 18_000);
    assert_eq!(read(&mut late), followed);
    assert_eq!(read(&mut middle), followed[1500..]);
    assert_eq!(follower.client(ClientId(4)), Some(b"CTX_ID:four".as_slice()));

    let (mut resumed, how) = Reader::resume(&place.dir(), &cursor).unwrap();
    assert_eq!(how, Resume::Continued);
    assert_eq!(read(&mut resumed), followed[1500..]);
    let mut timed = Reader::open(&place.dir()).unwrap();
    timed.skip_to_time(u64::MAX).unwrap();
    let rest = read(&mut timed);
    assert_eq!(rest, followed[followed.len() - rest.len()..]);
    assert!(journal.stop());
    // The next start reads the last one and packs it too.
    let journal = open(&place, LIMITS);
    assert_eq!(journal.stats().start_id, 2);
    wait_until("the one before this start to be packed", || files(&place.dir(), "gnj") == 1);
    assert!(journal.stop());
    let after = place.read();
    assert_eq!(after[..followed.len()], followed);
    assert!(place.log.lines().is_empty(), "{:?}", place.log.lines());
}

#[test]
fn retention_counts_what_is_packed() {
    let place = Place::new();
    let most = 8 * LIMITS.segment_size;
    let journal = open(&place, Limits { retention_bytes: Some(most), ..LIMITS });
    for round in 0..10 {
        append(&journal, 2000 * round, 2000);
        wait_for_packing(&journal);
    }
    assert!(journal.stats().bytes <= most);
    let first = match &place.read()[0] {
        Told::Record { seq, .. } | Told::Statement { seq, .. } => *seq,
        told => panic!("{told:?}"),
    };
    assert_eq!(first, 1, "as they were, they are more than twice as many: packed, they fit");
    journal.set_limits(Limits { retention_age: Some(Duration::from_secs(3600)), ..LIMITS });
    for file in fs::read_dir(place.dir()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "gnz") {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        }
    }
    assert!(journal.stop());
    let journal = open(&place, Limits { retention_age: Some(Duration::from_secs(3600)), ..LIMITS });
    wait_until("the old ones to go", || place.read()[0].numbers().0 > 1);
    assert!(journal.stop());
}

#[test]
fn a_damaged_block_is_a_gap_and_nothing_else() {
    let place = Place::new();
    let limits = Limits { segment_size: 2 << 20, ..LIMITS };
    let journal = open(&place, limits);
    append(&journal, 0, 60_000);
    wait_for_packing(&journal);
    assert!(journal.stop());
    let expected = place.read();
    let path = place.dir().join("00000000000000000001.gnz");
    let whole = fs::read(&path).unwrap();
    let blocks: Vec<usize> =
        (0..whole.len()).step_by(8).filter(|at| whole[*at..].starts_with(b"GNZB")).collect();
    assert!(blocks.len() > 4, "{blocks:?}");
    for (at, block) in blocks.iter().enumerate() {
        // In its head, and in what is packed.
        for byte in [block + 9, block + 33, block + 60] {
            let mut damaged = whole.clone();
            damaged[byte] ^= 2;
            fs::write(&path, damaged).unwrap();
            let mut reader = Reader::open(&place.dir()).unwrap();
            let (mut next, mut gaps) = (1, Vec::new());
            while let Some(entry) = reader.next().unwrap() {
                let told = told(&entry);
                let (from, to) = told.numbers();
                assert_eq!(from, next);
                next = to + 1;
                match told {
                    Told::Missing { text, .. } if text == "damaged None" => gaps.push((from, to)),
                    told => assert_eq!(told, expected[from as usize - 1]),
                }
            }
            assert_eq!(next, expected.len() as u64 + 1);
            let [(from, to)] = gaps[..] else { panic!("block {at}, byte {byte}: {gaps:?}") };
            // 256 KiB of frames of 48 bytes.
            assert!(to - from < 6000, "block {at}: {from} to {to}");
        }
    }
}

#[test]
fn a_segment_under_another_name_does_not_hold_a_reader_up() {
    let place = Place::new();
    let journal = open(&place, LIMITS);
    append(&journal, 0, 9000);
    wait_for_packing(&journal);
    assert!(journal.stop());
    let expected = place.read();
    let mut segments: Vec<_> = fs::read_dir(place.dir())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "gnz"))
        .collect();
    segments.sort();
    // Its name's number is greater than its header's, and less than the next one's.
    let name = segments[1].file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    for ending in ["gnz", "gnj"] {
        let renamed = place.dir().join(format!("{:020}.{ending}", name + 5));
        fs::rename(&segments[1], &renamed).unwrap();
        assert_eq!(place.read(), expected);
        let mut reader = Reader::open(&place.dir()).unwrap();
        for _ in 0..name + 20 {
            reader.next().unwrap().unwrap();
        }
        let (mut resumed, how) = Reader::resume(&place.dir(), &reader.cursor().unwrap()).unwrap();
        assert_eq!((how, read(&mut resumed)), (Resume::Continued, read(&mut reader)));
        fs::rename(&renamed, &segments[1]).unwrap();
    }
    let after = place.dir().join(format!("{:020}.gnz", 1u64 << 40));
    fs::rename(&segments[1], after).unwrap();
    assert_eq!(place.read().len() as u64, expected.last().unwrap().numbers().1 - lost(&place));
}

/// How many numbers the reader's own gap covers, less the one entry that it is.
fn lost(place: &Place) -> u64 {
    let missing = place.read().into_iter().filter(|told| matches!(told, Told::Missing { .. }));
    missing.map(|told| told.numbers().1 - told.numbers().0).sum()
}
