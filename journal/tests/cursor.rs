//! A consumer that comes back: it goes on exactly where it was, or is told why it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::Path;

use gnotify_journal::{Config, Cursor, Journal, Limits, ReadError, Reader, Resume};
use support::{Place, Told, read, soon, told, write_at};

const SEGMENT: u64 = 64 << 10;

fn open(place: &Place) -> Journal {
    let limits = Limits { segment_size: SEGMENT, ..Limits::default() };
    Journal::open(Config { limits, ..place.config() }).unwrap()
}

fn append(journal: &Journal, count: u64) {
    for offset in 0..count {
        let _ = journal.append_record(&write_at(offset), 5);
        if offset % 1000 == 999 {
            assert!(journal.flush(soon()));
        }
    }
    assert!(journal.flush(soon()));
}

/// Every entry, with the cursor behind it; the first cursor is in front of all.
fn cursors(place: &Place) -> (Vec<Cursor>, Vec<Told>) {
    let mut reader = Reader::open(&place.dir()).unwrap();
    let (mut cursors, mut all) = (vec![reader.cursor().unwrap()], Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        all.push(told(&entry));
        cursors.push(reader.cursor().unwrap());
    }
    (cursors, all)
}

fn resume(place: &Place, from: &Cursor) -> (Resume, Option<Told>) {
    // As a text, as a consumer keeps it.
    let from = from.to_string().parse().unwrap();
    let (mut reader, resume) = Reader::resume(&place.dir(), &from).unwrap();
    if resume == Resume::Continued {
        assert_eq!(reader.cursor().unwrap(), from, "nothing was read since");
    }
    let next = reader.next().unwrap().map(|entry| told(&entry));
    (resume, next)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn segments(place: &Place) -> Vec<u64> {
    let mut found: Vec<u64> = fs::read_dir(place.dir())
        .unwrap()
        .filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".gnj")?.parse().ok())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn it_goes_on_behind_each_entry() {
    let place = Place::new();
    for _ in 0..2 {
        let journal = open(&place);
        append(&journal, 1500);
        assert!(journal.stop());
    }
    assert!(segments(&place).len() > 3);
    let (cursors, all) = cursors(&place);
    let near = |at: usize| {
        segments(&place).iter().any(|first| (*first as usize).abs_diff(at) < 3)
            || at.is_multiple_of(197)
    };
    for (at, cursor) in cursors.iter().enumerate().filter(|(at, _)| near(*at)) {
        assert_eq!(resume(&place, cursor), (Resume::Continued, all.get(at).cloned()), "{cursor}");
    }
    // What is written later comes.
    let journal = open(&place);
    assert!(journal.stop());
    let (resumed, next) = resume(&place, cursors.last().unwrap());
    assert_eq!(resumed, Resume::Continued);
    assert!(matches!(next, Some(Told::Statement { text, .. }) if text == "start 3 clean"));
}

#[test]
fn what_was_trimmed_meanwhile_is_told() {
    let place = Place::new();
    let journal = open(&place);
    append(&journal, 6000);
    assert!(journal.stop());
    let (cursors, all) = cursors(&place);
    let files = segments(&place);
    for first in &files[..2] {
        fs::remove_file(place.dir().join(format!("{first:020}.gnj"))).unwrap();
    }
    let first = files[2];
    for seq in [1, 2, files[1] - 1, files[1], files[1] + 1, first - 1] {
        let gap = Told::Missing { from: seq, to: first - 1, text: "trimmed None".into() };
        let expected = (Resume::Trimmed { to: first - 1 }, Some(gap));
        assert_eq!(resume(&place, &cursors[seq as usize - 1]), expected, "{seq}");
    }
    // The first that is left has no entry in front of it that could be compared, but its start is known.
    let at = cursors[first as usize - 1];
    let next = Some(all[first as usize - 1].clone());
    assert_eq!(resume(&place, &at), (Resume::Continued, next.clone()));
    for other in [
        Cursor { start_key: !at.start_key, ..at },
        Cursor { start_id: 2, ..at },
        Cursor { start_key: !at.start_key, seq: 5, ..at },
    ] {
        assert_eq!(resume(&place, &other), (Resume::Rewound, next.clone()), "{other}");
    }
    // A segment in the middle.
    fs::remove_file(place.dir().join(format!("{:020}.gnj", files[3]))).unwrap();
    let to = files[4] - 1;
    for seq in [files[3], files[3] + 1, to] {
        let (resumed, next) = resume(&place, &cursors[seq as usize - 1]);
        let gap = Told::Missing { from: seq, to, text: "trimmed None".into() };
        assert_eq!(next, Some(gap), "{seq}");
        let at_its_beginning = seq == files[3];
        let expected = if at_its_beginning { Resume::Continued } else { Resume::Trimmed { to } };
        assert_eq!(resumed, expected, "{seq}");
    }
}

/// An image is taken, the brick goes on, the image is restored, and the brick goes on in another way.
fn restore(with_ring: bool, clean: bool) {
    let place = Place::new();
    let image = place.root.path().join("image");
    let journal = open(&place);
    append(&journal, 100);
    assert!(journal.stop());
    let journal = open(&place);
    append(&journal, 500);
    if clean {
        assert!(journal.stop());
        copy(&place.dir(), &image);
        // The third start, which the image does not know.
        let journal = open(&place);
        append(&journal, 700);
        assert!(journal.stop());
    } else {
        copy(&place.dir(), &image);
        append(&journal, 700);
        fs::copy(place.ring(), place.root.path().join("ring.kept")).unwrap();
        assert!(journal.stop());
    }
    let (cursors, _) = cursors(&place);
    copy(&image, &place.dir());
    let known = read(&mut Reader::open(&place.dir()).unwrap()).last().unwrap().numbers().1;
    // As it is restored, and when it has gone on for longer than before.
    for round in 0..2 {
        // Each of them reads a segment up to it.
        let tried = |at: u64| at.abs_diff(known) < 4 || at.is_multiple_of(41);
        for cursor in cursors.iter().filter(|cursor| tried(cursor.seq)) {
            let (resumed, next) = resume(&place, cursor);
            if cursor.seq <= known + 1 {
                assert_eq!(resumed, Resume::Continued, "{cursor}, round {round}");
                let seq = next.map(|next| next.numbers().0);
                assert!(seq.is_none_or(|seq| seq == cursor.seq));
            } else {
                assert_eq!(resumed, Resume::Rewound, "{cursor}, round {round}");
                assert_eq!(next.unwrap().numbers().0, 1);
            }
        }
        if round == 0 {
            if with_ring {
                fs::copy(place.root.path().join("ring.kept"), place.ring()).unwrap();
            }
            let journal = open(&place);
            append(&journal, 2000);
            assert!(journal.stop());
        }
    }
}

#[test]
fn a_restored_image_of_a_stopped_brick_is_noticed() {
    restore(false, true);
}

#[test]
fn a_restored_image_of_a_running_brick_is_noticed() {
    restore(false, false);
}

#[test]
fn a_restored_image_under_the_ring_of_a_killed_brick_is_noticed() {
    restore(true, false);
}

#[test]
fn another_path_begins_an_epoch_and_keeps_the_old_segments() {
    let place = Place::new();
    let journal = open(&place);
    append(&journal, 3000);
    assert!(journal.stop());
    let (old, _) = cursors(&place);
    let files = segments(&place);
    let mut follower = Reader::open(&place.dir()).unwrap();
    read(&mut follower);

    // The brick is moved away and back: nothing has changed for it, until it is started elsewhere.
    let elsewhere = place.root.path().join("elsewhere");
    fs::rename(place.dir(), &elsewhere).unwrap();
    let limits = Limits { segment_size: SEGMENT, ..Limits::default() };
    let config = Config { dir: elsewhere.clone(), limits, ..place.config() };
    let journal = Journal::open(config.clone()).unwrap();
    assert_eq!((journal.stats().start_id, journal.stats().segments), (1, 2));
    assert!(journal.stop());
    fs::rename(&elsewhere, place.dir()).unwrap();
    let texts: Vec<String> = place
        .read()
        .iter()
        .map(|told| match told {
            Told::Statement { seq, text } => format!("{seq} {text}"),
            told => panic!("{told:?}"),
        })
        .collect();
    assert_eq!(texts, ["1 start 1 moved", "2 Stop"]);
    assert!(matches!(follower.next(), Err(ReadError::StartedAfresh { .. })));
    for cursor in [old[0], old[1500], old[old.len() - 1]] {
        assert_eq!(resume(&place, &cursor).0, Resume::StartedAfresh);
    }
    let epoch = old[0].to_string();
    let former = place.dir().join(format!("former-{}", &epoch[..36]));
    let mut kept: Vec<String> = fs::read_dir(&former)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    let names: Vec<String> = files.iter().map(|first| format!("{first:020}.gnj")).collect();
    assert_eq!(kept, names);
    let warning = place.log.lines().join("\n");
    assert!(warning.contains("at another path or file system"), "{warning}");
    let copied = Reader::open(&former).map(|mut reader| read(&mut reader).len()).unwrap();
    assert_eq!(copied as u64, old[old.len() - 1].seq - 1, "they can still be read");

    // Moved back for good: another epoch. Retention counts the old ones too, and removes them first.
    let limits = Limits { retention_bytes: Some(2 * SEGMENT), ..limits };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    let deadline = soon();
    while former.exists() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(journal.stop());
    assert!(place.read().iter().all(|told| !matches!(told, Told::Missing { .. })));
}
