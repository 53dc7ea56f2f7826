//! A system call that fails, wherever it may: nothing is lost unless it is told, and no frame is broken.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::thread::sleep;

use super::crash_tests::{Log, SIX, append, config, copy, killed_with_records_in_the_ring, texts};
use super::opening::Assembled;
use super::*;
use crate::disk::crash;
use crate::journal_thread::{JournalThread, Step};
use crate::{Cause, Reader, What, unrecorded};

const ERRORS: [i32; 5] = [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EMFILE];

/// Carries everything, through an outage too.
fn carry_all(worker: &mut JournalThread) {
    loop {
        match worker.step().unwrap() {
            Step::Carried => {}
            Step::Held => sleep(Duration::from_millis(5)),
            Step::Nothing => return,
        }
    }
}

/// Opens what `prepare` leaves, with each system call failing in turn, and once more with none.
fn fail_everywhere(prepare: impl Fn(&Path), expected: &[&str]) {
    let original = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    copy(place.path(), original.path());
    for for_good in [false, true] {
        for calls in 0.. {
            copy(original.path(), place.path());
            let log = Arc::new(Log::default());
            let config = Config { host: Arc::clone(&log) as Arc<dyn Host>, ..config(place.path()) };
            let code = ERRORS[calls as usize % ERRORS.len()];
            let (opened, failed) = crash::failing(calls, code, for_good, || Ready::open(&config));
            let mut expected = expected.to_vec();
            let ready = match opened {
                Ok(ready) => ready,
                Err(error) => {
                    assert!(error.is_temporary(), "{error}");
                    assert!(failed > 0);
                    let noted = unrecorded::is_marked(&config);
                    let lines = log.lines();
                    assert_eq!(
                        noted,
                        !lines.iter().any(|line| line.contains("could not be noted"))
                    );
                    assert!(noted || for_good, "one failure is not in the way of both marks");
                    if noted {
                        expected.push("gap io-error");
                    }
                    Ready::open(&config).unwrap()
                }
            };
            assert!(!unrecorded::is_marked(&config));
            let Assembled { mut worker, .. } = ready.assemble(&config);
            carry_all(&mut worker);
            assert_eq!(texts(place.path()), expected, "system call {calls} fails with {code}");
            if failed == 0 {
                assert!(calls > 5);
                break;
            }
        }
    }
}

#[test]
fn the_first_start() {
    fail_everywhere(|_| (), &["start first"]);
}

#[test]
fn a_start_with_records_in_the_ring() {
    let prepare = |root: &Path| drop(killed_with_records_in_the_ring(root));
    fail_everywhere(prepare, &[&SIX[..], &["start killed"]].concat());
}

#[test]
fn a_start_with_the_ring_gone() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(root));
        fs::remove_file(root.join("run/0.ring")).unwrap();
    };
    fail_everywhere(prepare, &[&SIX[..5], &["gap power-loss", "start power-loss"]].concat());
}

#[test]
fn a_start_of_a_moved_journal() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(&root.join("before")));
        for part in ["journal", "run"] {
            fs::rename(root.join("before").join(part), root.join(part)).unwrap();
        }
    };
    fail_everywhere(prepare, &["start moved"]);
}

/// What a brick goes through: batches, rolls, trims, a slice end.
fn live(shared: &Shared, worker: &mut JournalThread, rounds: u64) -> u64 {
    for _ in 0..rounds {
        append(&shared.ring, 400);
        for _ in 0..3 {
            let _ = worker.step().unwrap();
        }
        worker.trim_when_due();
    }
    400 * rounds
}

/// Each number is accounted for once; gives how many records are there, how many entries are told to be lost, and
/// how many other statements there are.
fn account(root: &Path) -> (u64, u64, u64) {
    let mut reader = Reader::open(&root.join("journal")).unwrap();
    let (mut next, mut records, mut lost, mut others) = (None, 0, 0, 0);
    while let Some(entry) = reader.next().unwrap() {
        assert!(next.is_none_or(|next| next == entry.seq), "{entry:?} behind {next:?}");
        next = Some(entry.seq + 1);
        match entry.what {
            What::Record(record) => {
                assert_eq!(record.fop, gnotify_record::Fop::WRITE);
                records += 1;
            }
            What::Statement(Statement::Gap(gap)) => {
                assert!(matches!(gap.cause, Cause::Io | Cause::NoSpace), "{gap:?}");
                lost += gap.lost.unwrap();
                next = Some(gap.to + 1);
            }
            What::Statement(_) => others += 1,
        }
    }
    (records, lost, others)
}

#[test]
fn a_live_journal() {
    for retained in [None, Some(128 << 10)] {
        for for_good in [false, true] {
            let mut calls = 0;
            loop {
                let root = tempfile::tempdir().unwrap();
                let mut config = config(root.path());
                config.limits.segment_size = 64 << 10;
                config.limits.retention_bytes = retained;
                let code = ERRORS[calls as usize % ERRORS.len()];
                let Assembled { shared, mut worker, .. } =
                    Ready::open(&config).unwrap().assemble(&config);
                let (appended, failed) =
                    crash::failing(calls, code, for_good, || live(&shared, &mut worker, 9));
                // It heals.
                let appended = appended + live(&shared, &mut worker, 2);
                carry_all(&mut worker);
                let first = crate::segment::list(&config.dir, "gnj").unwrap()[0];
                let (records, lost, _) = account(root.path());
                assert_eq!(shared.ring.dropped(), 0);
                if retained.is_none() {
                    assert_eq!(first, 1);
                    assert_eq!(records + lost, appended, "call {calls} fails with {code}");
                    assert_eq!(lost, 0, "the ring was never half full");
                } else {
                    // TRIMMED statements take numbers too.
                    assert!(records > 0 && lost == 0);
                    assert!(shared.sealed_bytes.load(Ordering::Relaxed) <= 3 * (64 << 10));
                }
                if failed == 0 {
                    assert!(calls > 20, "{calls}");
                    break;
                }
                calls += 1 + calls / 4;
            }
        }
    }
}

#[test]
fn an_outage_that_is_longer_than_the_ring_and_then_a_kill() {
    for (calls, killed) in [(0, false), (7, false), (12, true), (31, true)] {
        let root = tempfile::tempdir().unwrap();
        let mut config = config(root.path());
        config.limits.segment_size = 64 << 10;
        let Assembled { shared, mut worker, lock, ring_lock } =
            Ready::open(&config).unwrap().assemble(&config);
        let (mut appended, failed) = crash::failing(calls, libc::ENOSPC, true, || {
            let mut appended = 0;
            for _ in 0..60 {
                appended += live(&shared, &mut worker, 2);
                if appended > 20_000 {
                    sleep(Duration::from_millis(10));
                }
            }
            appended
        });
        assert!(failed > 1, "{failed}");
        if killed {
            drop((worker, shared, lock, ring_lock));
        } else {
            sleep(Duration::from_millis(210));
            appended += live(&shared, &mut worker, 2);
            carry_all(&mut worker);
            drop((worker, shared, lock, ring_lock));
        }
        let Assembled { mut worker, .. } = Ready::open(&config).unwrap().assemble(&config);
        carry_all(&mut worker);
        let (records, lost, starts) = account(root.path());
        // The first START may be among what is lost.
        assert_eq!(records + lost + starts, appended + 2, "calls {calls}, killed {killed}");
        assert!(lost > 10_000 && records > 1000, "{lost} of {appended}");
    }
}

/// Between its fork and its exec, a process that another thread starts has all files of this one.
#[test]
fn a_journal_that_stops_gives_its_locks_back_whoever_has_the_files() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::open(config(root.path())).unwrap();
    let inherited = {
        let running = lock(&journal.running);
        let running = running.as_ref().unwrap();
        [running._lock.inherited().unwrap(), running._ring_lock.inherited().unwrap()]
    };
    assert!(journal.stop());
    assert!(Journal::open(config(root.path())).unwrap().stop());
    drop(inherited);
}
