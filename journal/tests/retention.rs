//! Retention: the oldest segments go by bytes or by age, and everybody hears of it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use gnotify_journal::{Appended, Config, Journal, Limits, Reader, Stats};
use support::{Place, Told, read, soon, told, wait_until, write_at};

const SEGMENT: u64 = 64 << 10;

fn open(place: &Place, limits: Limits) -> Journal {
    Journal::open(Config { limits, ..place.config() }).unwrap()
}

fn segments(place: &Place) -> Vec<u64> {
    let mut found: Vec<u64> = fs::read_dir(place.dir())
        .unwrap()
        .filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".gnj")?.parse().ok())
        .collect();
    found.sort_unstable();
    found
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

fn trimmed(all: &[Told], by: &str) -> Vec<u64> {
    all.iter()
        .filter_map(|told| match told {
            Told::Statement { text, .. } => text
                .strip_prefix("Trimmed { to: ")?
                .strip_suffix(&format!(", by: {by} }}"))?
                .parse()
                .ok(),
            _ => None,
        })
        .collect()
}

#[test]
fn nothing_goes_unless_it_is_asked_for() {
    let place = Place::new();
    let journal = open(&place, Limits { segment_size: SEGMENT, ..Limits::default() });
    append(&journal, 0, 10_000);
    let Stats { segments: count, bytes, .. } = journal.stats();
    assert!(journal.stop());
    let files = segments(&place);
    assert_eq!((files[0], files.len() as u64), (1, count));
    let len =
        |first: &u64| fs::metadata(place.dir().join(format!("{first:020}.gnj"))).unwrap().len();
    let total: u64 = files.iter().map(len).sum();
    assert!(total - bytes <= 32, "STOP was written since: {total}, {bytes}");
}

#[test]
fn the_oldest_go_when_there_are_too_many_bytes() {
    let place = Place::new();
    let most = 4 * SEGMENT;
    let limits = Limits { segment_size: SEGMENT, retention_bytes: Some(most), ..Limits::default() };
    let journal = open(&place, limits);
    append(&journal, 0, 10);
    // One reader stands in the first segment, and one follows.
    let mut standing = Reader::open(&place.dir()).unwrap();
    let first = told(&standing.next().unwrap().unwrap());
    let mut following = Reader::open(&place.dir()).unwrap();
    let mut followed = read(&mut following);
    for round in 0..20 {
        append(&journal, 10 + 1000 * round, 1000);
        wait_until("as many bytes as there may be", || journal.stats().bytes <= most);
        followed.extend(read(&mut following));
    }
    assert!(journal.stop());
    followed.extend(read(&mut following));

    let left = segments(&place);
    // A record takes less than a hundred bytes, and no less than forty.
    let kept = followed.last().unwrap().numbers().1 - left[0];
    assert!(kept < most / 40 && left.len() > 2, "{left:?}");
    // The follower has everything, and hears of the trims.
    let records =
        |all: &[Told]| all.iter().filter(|told| matches!(told, Told::Record { .. })).count() as u64;
    assert_eq!(records(&followed), 20_010);
    assert!(!followed.iter().any(|told| matches!(told, Told::Missing { .. })));
    let announced = trimmed(&followed, "Bytes");
    assert_eq!(announced.last(), Some(&(left[0] - 1)));
    assert!(announced.is_sorted() && announced.len() > 5, "{announced:?}");
    // The one that stood still has the whole of its segment, and is told what it missed.
    let rest = read(&mut standing);
    assert_eq!(first.numbers().1 + 1, rest[0].numbers().0);
    let missing: Vec<&Told> =
        rest.iter().filter(|told| matches!(told, Told::Missing { .. })).collect();
    let [Told::Missing { from, to, text }] = missing[..] else { panic!("{missing:?}") };
    assert_eq!((*to, text.as_str()), (left[0] - 1, "trimmed None"));
    assert!(*from > 1000, "{from}");
    // A new one begins with what there is, and a new start goes on.
    assert_eq!(place.read()[0].numbers().0, left[0]);
    let journal = open(&place, limits);
    assert_eq!(journal.stats().start_id, 2);
    assert!(journal.stop());
}

#[test]
fn the_oldest_go_when_they_are_too_old() {
    let place = Place::new();
    let limits = Limits { segment_size: SEGMENT, ..Limits::default() };
    let journal = open(&place, limits);
    append(&journal, 0, 5000);
    let all = segments(&place);
    assert!(all.len() > 2, "{all:?}");
    for first in &all {
        let file =
            File::options().write(true).open(place.dir().join(format!("{first:020}.gnj"))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    }
    assert!(journal.stop());
    let journal = open(&place, limits);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(segments(&place).len(), all.len() + 1);
    // The last one was written by the stop: it is young. All is idle, and yet the others go.
    journal.set_limits(Limits { retention_age: Some(Duration::from_secs(3600)), ..limits });
    wait_until("the old ones to go", || segments(&place)[0] == *all.last().unwrap());
    wait_until("it to be said", || !trimmed(&place.read(), "Age").is_empty());
    assert_eq!(trimmed(&place.read(), "Age"), [all.last().unwrap() - 1]);
    // It becomes old while nothing happens.
    journal.set_limits(Limits { retention_age: Some(Duration::from_secs(1)), ..limits });
    wait_until("the last one to go", || segments(&place).len() == 1);
    assert!(segments(&place)[0] > *all.last().unwrap(), "the live one stays");
    assert!(journal.stop());
    let log = place.log.lines();
    assert!(log.iter().all(|line| line.starts_with("Info: journal: ")), "{log:?}");
}
