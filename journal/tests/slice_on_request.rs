//! A slice that is ended on request, where the next entry will stand, and a spell that passes without a journal.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gnotify_journal::{Config, Host, Journal, Level, Limits, Reader, mark_unrecorded};
use support::{Place, Told, read, soon, wait_until, write_at};

#[test]
fn it_ends_behind_what_was_appended_before() {
    let place = Place::new();
    let limits = Limits { slice_time: Duration::from_secs(3600), ..Limits::default() };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    for offset in 0..5 {
        let _ = journal.append_record(&write_at(offset), 1);
        let next = journal.next_seq();
        let slice = journal.stats().slice;
        journal.end_slice();
        // In slices of an hour it does not end by itself.
        wait_until("the slice's end", || journal.stats().slice > slice);
        assert!(journal.flush(soon()));
        let ends = place.read().into_iter().filter_map(|told| match told {
            Told::Statement { seq, text } if text.starts_with("SliceEnd") => Some(seq),
            _ => None,
        });
        assert!(ends.max().unwrap() >= next);
    }
    assert!(journal.stop());
}

/// A host that counts how often it heard of something new.
#[derive(Default)]
struct Follower(AtomicU64);

impl Host for Follower {
    fn carried(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn log(&self, _level: Level, _text: &str) {}
}

#[test]
fn who_follows_is_told_and_finds_it() {
    let (place, follower) = (Place::new(), Arc::new(Follower::default()));
    let limits = Limits { segment_size: 64 << 10, ..Limits::default() };
    let host = Arc::clone(&follower) as Arc<dyn Host>;
    let journal = Journal::open(Config { host, limits, ..place.config() }).unwrap();
    for offset in 0..3000 {
        let _ = journal.append_record(&write_at(offset), 1);
    }
    assert!(journal.flush(soon()));
    assert!(follower.0.load(Ordering::SeqCst) > 0);
    let (segment, next) = journal.here();
    assert!(segment > 1 && segment <= next, "{segment} {next}");
    let before = follower.0.load(Ordering::SeqCst);
    let _ = journal.append_record(&write_at(9999), 1);
    assert!(journal.flush(soon()));
    wait_until("being told", || follower.0.load(Ordering::SeqCst) > before);
    let mut reader = Reader::open_at(&place.dir(), segment).unwrap();
    let there = read(&mut reader);
    assert_eq!(there[0].numbers().0, segment);
    assert_eq!(there.last(), Some(&Told::Record { seq: next, offset: 9999 }));
    assert!(Reader::open_at(&place.dir(), next).is_err(), "no segment begins there");
    assert!(journal.stop());
}

#[test]
fn a_spell_without_a_journal_is_told() {
    let place = Place::new();
    let journal = place.open();
    assert!(journal.stop());
    mark_unrecorded(&place.dir(), &place.ring(), &*place.log);
    mark_unrecorded(&place.dir(), &place.ring(), &*place.log);
    let journal = place.open();
    assert!(journal.stop());
    let journal = place.open();
    assert!(journal.stop());
    let gaps: Vec<Told> = place
        .read()
        .into_iter()
        .filter(|told| matches!(told, Told::Missing { text, .. } if text == "io-error None"))
        .collect();
    assert_eq!(gaps.len(), 1, "once, at the next start: {gaps:?}");
    assert_eq!(place.log.lines(), Vec::<String>::new());
}
