//! The journal thread naps while entries come, and whoever fills the ring meanwhile wakes it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use super::crash_tests::config;
use super::*;
use crate::journal_thread::Pace;
use gnotify_record::{Fop, Origin};

/// As good as never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Far longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(120);

fn open(config: Config, pace: Pace) -> Journal {
    let mut assembled = Ready::open(&config).unwrap().assemble(&config);
    assembled.worker.pace = pace;
    assembled.launch(config).unwrap()
}

fn append(journal: &Journal) -> u64 {
    match journal.append_record(&Record::new(Fop::WRITE, Origin::Client), 1) {
        Appended::Yes(seq) => seq,
        Appended::Dropped(seq) => panic!("entry {seq} found no room"),
    }
}

/// Without [`Journal::flush`], which would wake the thread.
fn is_carried(journal: &Journal, seq: u64, until: Instant) -> bool {
    while journal.stats().drained_seq <= seq {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn an_eighth_of_the_ring_ends_a_nap() {
    let root = tempfile::tempdir().unwrap();
    let journal = open(config(root.path()), Pace { nap: NEVER, awake: NEVER });
    // START was carried, and the thread naps; or it is about to, and the next eighth wakes it all the same.
    assert!(is_carried(&journal, 1, Instant::now() + PATIENCE));
    let eighth = journal.stats().ring_size / 8;
    for _ in 0..20 {
        let first = append(&journal);
        let used = journal.stats().ring_used;
        while journal.stats().ring_used.saturating_sub(used) < eighth {
            append(&journal);
            if journal.stats().drained_seq > first {
                break;
            }
        }
        assert!(is_carried(&journal, first, Instant::now() + PATIENCE), "the thread naps on");
    }
    assert_eq!(journal.stats().dropped, 0);
}

#[test]
fn a_nap_is_not_longer_than_a_live_reader_may_wait() {
    let pace = Pace::default();
    assert!(pace.nap <= Duration::from_millis(20) && pace.nap <= pace.awake);
}
