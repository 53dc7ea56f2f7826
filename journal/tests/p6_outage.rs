//! P6: a brick that cannot be written for a while. A short time costs nothing; after a long one a gap tells
//! exactly what is lost; and fops never notice.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gnotify_journal::{Appended, Config, Journal, Limits};
use support::{Place, Told, soon, wait_until, write_at};

/// How much of the ring is filled: what is in less than half of it waits for the end of an outage, also where the
/// journal's thread hears of it late.
const SHORT: u64 = 4;
/// More than half of it, so that entries are written off.
const LONG: u64 = 12;

/// Appends until `done`, and no more than so many sixteenths of the ring hold.
fn append_until(
    journal: &Journal,
    next: &mut u64,
    sixteenths: u64,
    mut done: impl FnMut(&Journal) -> bool,
) {
    let deadline = soon();
    while !done(journal) {
        assert!(Instant::now() < deadline, "appended for long enough");
        let stats = journal.stats();
        if stats.ring_used > stats.ring_size / 16 * sixteenths {
            std::thread::sleep(Duration::from_micros(300));
            continue;
        }
        for _ in 0..100 {
            assert!(matches!(journal.append_record(&write_at(*next), 5), Appended::Yes(_)));
            *next += 1;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// The records that are there, and how many are lost to I/O errors; nothing else is missing.
fn account(place: &Place) -> (u64, u64, usize) {
    let (mut records, mut lost, mut gaps) = (0, 0, 0);
    for told in place.read() {
        match told {
            Told::Record { .. } => records += 1,
            Told::Missing { from, to, text } => {
                assert_eq!(text, format!("io-error Some({})", to - from + 1));
                lost += to - from + 1;
                gaps += 1;
            }
            Told::Statement { .. } => {}
        }
    }
    (records, lost, gaps)
}

#[test]
fn a_directory_that_is_away() {
    let place = Place::new();
    let away = place.root.path().join("away");
    let limits = Limits { segment_size: 64 << 10, ..Limits::default() };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    let mut next = 0;

    fs::rename(place.dir(), &away).unwrap();
    append_until(&journal, &mut next, SHORT, |journal| journal.stats().io_errors > 0);
    assert!(!journal.flush(Instant::now() + Duration::from_millis(50)), "entries wait");
    fs::rename(&away, place.dir()).unwrap();
    assert!(journal.flush(soon()));
    assert_eq!(account(&place), (next, 0, 0), "a short outage costs nothing");

    fs::rename(place.dir(), &away).unwrap();
    let written_off = journal.stats().drained_seq + 40_000;
    append_until(&journal, &mut next, LONG, |journal| journal.stats().drained_seq > written_off);
    fs::rename(&away, place.dir()).unwrap();
    wait_until("a segment behind the outage", || place.log.lines().len() == 4);
    assert!(journal.stop());
    let (records, lost, gaps) = account(&place);
    assert_eq!((records + lost, gaps), (next, 1));
    assert!(lost > 10_000, "{lost}");

    let log = place.log.lines();
    assert!(log[0].starts_with("Error: journal: cannot write") && log[0].contains("No such file"));
    assert!(log[1].ends_with("can be written again; nothing is lost"), "{log:?}");
    assert!(log[3].contains(&format!("{lost} entries are lost")), "{log:?}");
    assert_eq!(log.len(), 4, "each change is told once: {log:?}");
}

#[test]
fn a_stop_in_an_outage_keeps_what_is_in_the_ring() {
    let place = Place::new();
    let away = place.root.path().join("away");
    let limits = Limits { segment_size: 64 << 10, ..Limits::default() };
    let journal = Journal::open(Config { limits, ..place.config() }).unwrap();
    let mut next = 0;
    fs::rename(place.dir(), &away).unwrap();
    append_until(&journal, &mut next, SHORT, |journal| journal.stats().io_errors > 0);
    assert!(!journal.stop(), "not all could be written");
    fs::rename(&away, place.dir()).unwrap();
    assert!(place.open().stop());
    assert_eq!(account(&place), (next, 0, 0));
}

const ROOT: &str = "GNOTIFY_OUTAGE_TEST_ROOT";

/// Not a test: the process whose files may not grow.
#[test]
#[ignore = "started by the test below"]
fn writer_on_a_full_disk() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let place = Place::new();
    let config = Config { dir: Path::new(&root).join("journal"), ..place.config() };
    let journal = Journal::open(config).unwrap();
    let mut next = 0;
    let mut full_at = |size: u64| {
        limit_files(&size.to_string());
        let before = journal.stats().io_errors;
        append_until(&journal, &mut next, SHORT, |journal| journal.stats().io_errors > before);
        next
    };
    full_at(500_003);
    limit_files("unlimited");
    assert!(journal.flush(soon()));
    assert_eq!(account_in(&root), 0, "a full disk costs nothing for a short time");

    // For longer than the ring can wait. The limit is one of each file, so the next segment ends it.
    let mut next = full_at(1_000_001);
    append_until(&journal, &mut next, LONG, |_| {
        place.log.lines().iter().any(|line| line.contains("entries are lost"))
    });
    limit_files("unlimited");
    assert!(journal.stop());
    fs::write(Path::new(&root).join("appended"), next.to_string()).unwrap();
}

fn account_in(root: &std::ffi::OsStr) -> u64 {
    let mut reader = gnotify_journal::Reader::open(&Path::new(root).join("journal")).unwrap();
    let missing = |told: &&Told| matches!(told, Told::Missing { .. });
    support::read(&mut reader).iter().filter(missing).count() as u64
}

/// Sets the length that a file of this process can have.
fn limit_files(bytes: &str) {
    let pid = std::process::id().to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_full_disk() {
    let place = Place::new();
    // The limit's signal is ignored, so that a write fails as on a full disk: after a part.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact writer_on_a_full_disk --ignored"])
        .arg(std::env::current_exe().unwrap())
        .env(ROOT, place.root.path())
        .status()
        .unwrap();
    assert!(status.success());
    let appended: u64 =
        fs::read_to_string(place.root.path().join("appended")).unwrap().parse().unwrap();
    let (records, lost, gaps) = account(&place);
    assert_eq!(records + lost, appended);
    assert!(gaps > 0 && records > 20_000, "{records} there, {lost} lost in {gaps} gaps");
}
