//! A brick that cannot take its journal when it is started: it is opened later, and what went unrecorded is told.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;

use gnotify_journal::{Appended, Config, Journal, Reserve};
use support::{Place, Told, soon, write_at};

fn texts(place: &Place) -> Vec<String> {
    place
        .read()
        .into_iter()
        .map(|told| match told {
            Told::Record { offset, .. } => format!("record {offset}"),
            Told::Missing { text, .. } | Told::Statement { text, .. } => text,
        })
        .collect()
}

/// At a reserve that is all of the file system.
fn full(place: &Place) -> Config {
    let mut config = place.config();
    config.limits.reserve = Reserve::Percent { hundredths: 10_000 };
    config
}

#[test]
fn it_is_opened_when_the_brick_can_take_it() {
    let place = Place::new();
    let mut config = place.config();
    let brick = place.root.path().join("brick");
    config.dir = brick.join("journal");
    fs::write(&brick, "not a directory").unwrap();
    let error = Journal::open(config.clone()).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    fs::remove_file(&brick).unwrap();
    let journal = Journal::open(config.clone()).unwrap();
    assert!(matches!(journal.append_record(&write_at(7), 5), Appended::Yes(_)));
    assert!(journal.resume());
    assert!(journal.flush(soon()));
    assert!(journal.stop());
    fs::rename(&config.dir, place.dir()).unwrap();
    assert_eq!(texts(&place), ["start 1 first", "io-error None", "record 7", "On", "Stop"]);
    // It is told once.
    let journal = place.open();
    assert!(journal.stop());
    assert!(!texts(&place).contains(&"io-error None".to_owned()), "another path: another epoch");
}

#[test]
fn nothing_is_written_at_the_reserve_and_what_is_in_the_ring_stays() {
    let place = Place::new();
    let journal = place.open();
    for offset in 0..10 {
        assert!(matches!(journal.append_record(&write_at(offset), 5), Appended::Yes(_)));
    }
    assert!(journal.flush(soon()));
    // As a kill leaves it, with the records still in the ring.
    let ring = fs::read(place.ring()).unwrap();
    let segment = place.dir().join("00000000000000000001.gnj");
    let bytes = fs::read(&segment).unwrap();
    assert!(journal.stop());
    fs::write(&segment, &bytes).unwrap();
    fs::write(place.ring(), &ring).unwrap();

    for _ in 0..3 {
        let error = Journal::open(full(&place)).unwrap_err();
        assert!(error.to_string().contains("at its storage reserve"), "{error}");
        assert!(error.is_temporary());
        assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing is written");
        assert_eq!(fs::read(place.ring()).unwrap(), ring, "the ring stays");
    }
    // Killed without a journal: the next start knows it.
    let journal = place.open();
    assert!(journal.stop());
    let all = texts(&place);
    assert_eq!(all[all.len() - 3..], ["start 2 killed", "io-error None", "Stop"]);
    assert!(all.contains(&"record 9".to_owned()));
    let journal = place.open();
    assert!(journal.stop());
    assert_eq!(texts(&place).last_chunk(), Some(&["start 3 clean".to_owned(), "Stop".to_owned()]));
}

#[test]
fn a_power_loss_does_not_hide_that_it_was_not_open() {
    let place = Place::new();
    assert!(place.open().stop());
    Journal::open(full(&place)).unwrap_err();
    // What is on tmpfs is gone.
    fs::remove_dir_all(place.ring().parent().unwrap()).unwrap();
    assert!(place.open().stop());
    assert_eq!(texts(&place)[2..], ["start 2 clean", "io-error None", "Stop"]);
}
