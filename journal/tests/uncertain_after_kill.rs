//! What a kill leaves in doubt: each file that was changed and has no record is named by an uncertain one.
//!
//! The test runs itself as a child process, whose threads change files as fops do, and kills it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gnotify_journal::{
    Appended, Cause, Config, Gap, InFlight, Journal, Limits, Reader, Statement, What,
};
use gnotify_record::{Fop, Gfid, Link, Origin, Record};
use support::Place;

const THREADS: u64 = 3;
/// How many fops a thread has in flight at most.
const AT_ONCE: u64 = 4;
/// More than can be named.
const TOO_MANY: u64 = 1024 + 76;
const ROUNDS: u64 = 15;
const ROOT: &str = "GNOTIFY_UNCERTAIN_TEST_ROOT";
const OVERFLOW: &str = "GNOTIFY_UNCERTAIN_TEST_OVERFLOW";

fn config(root: &Path) -> Config {
    let limits = Limits { segment_size: 64 << 10, ..Limits::default() };
    let config = Place::new().config();
    Config { dir: root.join("journal"), ring: root.join("0.ring"), limits, ..config }
}

fn files(root: &Path) -> PathBuf {
    root.join("files")
}

fn create(name: &str) -> Record<'static> {
    let at = Some(Link { parent: Gfid::ROOT, name: name.as_bytes().to_vec().into() });
    Record { at, ..Record::new(Fop::CREATE, Origin::Client) }
}

/// Not a test: the process that is killed.
#[test]
#[ignore = "started by the tests below"]
fn brick() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let journal = Journal::open(config(&root)).unwrap();
    let start = journal.stats().start_id;
    let files = files(&root);
    let begin = |name: &str| {
        let in_flight = journal.begin(&create(name));
        File::create(files.join(name)).unwrap();
        in_flight
    };
    if std::env::var_os(OVERFLOW).is_some() {
        let wound = (0..TOO_MANY).map(|fop| begin(&format!("{start}-{fop}")));
        let wound: Vec<InFlight> = wound.collect();
        assert_eq!(wound.len() as u64, TOO_MANY);
        std::process::abort();
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (journal, files) = (&journal, &files);
            scope.spawn(move || {
                for round in 0u64.. {
                    let count = 1 + (round * 7 + thread) % AT_ONCE;
                    let name = |fop| format!("{start}-{thread}-{round}-{fop}");
                    let wound: Vec<_> =
                        (0..count).map(|fop| (begin(&name(fop)), name(fop))).collect();
                    // One that fails.
                    journal.end(journal.begin(&create("failed")));
                    for (in_flight, name) in wound.into_iter().rev() {
                        if let Appended::Dropped(_) = journal.append_record(&create(&name), 1) {
                            // A gap tells of it, which is not what is looked at here.
                            fs::remove_file(files.join(name)).unwrap();
                        }
                        journal.end(in_flight);
                    }
                }
            });
        }
    });
}

fn spawn(root: &Path, overflow: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "brick", "--ignored"]).env(ROOT, root);
    if overflow {
        command.env(OVERFLOW, "1");
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[derive(Default)]
struct Told {
    recorded: BTreeSet<OsString>,
    uncertain: BTreeSet<OsString>,
    /// Numbers that gaps cover for fops that could not be named.
    unnamed: u64,
    killed: u64,
}

fn read(root: &Path) -> Told {
    drop(Journal::open(config(root)).unwrap());
    let mut told = Told::default();
    let mut reader = Reader::open(&root.join("journal")).unwrap();
    while let Some(entry) = reader.next().unwrap() {
        match entry.what {
            What::Record(record) => {
                let name = String::from_utf8(record.at.as_ref().unwrap().name.to_vec()).unwrap();
                let uncertain = record.uncertain;
                assert_eq!(record, Record { uncertain, ..create(&name) });
                let names = if uncertain { &mut told.uncertain } else { &mut told.recorded };
                names.insert(name.into());
            }
            What::Statement(Statement::Gap(Gap { cause: Cause::InFlight, lost, to })) => {
                assert_eq!(lost, Some(to - entry.seq + 1));
                told.unnamed += lost.unwrap();
            }
            What::Statement(Statement::Start(start)) => {
                told.killed += u64::from(start.how == gnotify_journal::How::Killed);
            }
            What::Statement(_) => {}
        }
    }
    told
}

fn changed(root: &Path) -> BTreeSet<OsString> {
    fs::read_dir(files(root)).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn every_change_has_a_record_or_an_uncertain_one() {
    let place = Place::new();
    let root = place.root.path();
    fs::create_dir(files(root)).unwrap();
    let mut wait = Duration::from_millis(1);
    for round in 0..ROUNDS {
        let before = changed(root).len();
        let mut child = spawn(root, false);
        let deadline = Instant::now() + Duration::from_secs(60);
        while changed(root).len() == before {
            assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        // 1 to 30 milliseconds, each time another moment.
        wait = Duration::from_micros(1000 + (round * 7919 * 1009) % 29_000);
    }
    let told = read(root);
    let changed = changed(root);
    for file in &changed {
        assert!(
            told.recorded.contains(file) || told.uncertain.contains(file),
            "{} is told by nobody",
            file.display()
        );
    }
    let needed = changed.difference(&told.recorded).count() as u64;
    let uncertain = told.uncertain.len() as u64;
    assert!(needed > 0, "no kill came where it matters");
    assert!(uncertain <= ROUNDS * THREADS * (AT_ONCE + 1), "{uncertain} for {needed}");
    assert_eq!((told.unnamed, told.killed), (0, ROUNDS));
    let changed = changed.len();
    println!("{changed} changes, {needed} without a record, {uncertain} uncertain records");
}

#[test]
fn more_fops_than_can_be_named_are_counted() {
    let place = Place::new();
    let root = place.root.path();
    fs::create_dir(files(root)).unwrap();
    assert!(!spawn(root, true).wait().unwrap().success());
    let told = read(root);
    let changed = changed(root);
    assert_eq!(changed.len() as u64, TOO_MANY);
    assert_eq!(told.uncertain.len() as u64 + told.unnamed, TOO_MANY);
    assert_eq!(told.unnamed, TOO_MANY - 1024);
    assert!(told.uncertain.is_subset(&changed) && told.recorded.is_empty());
}

#[test]
fn a_fop_that_ends_behind_a_stop_is_told() {
    let place = Place::new();
    let root = place.root.path();
    for late in [true, false] {
        let journal = Journal::open(config(root)).unwrap();
        let in_flight = journal.begin(&create(&format!("late-{late}")));
        assert!(journal.stop());
        if late {
            let appended = journal.append_record(&create("late-true"), 1);
            assert!(matches!(appended, Appended::Yes(_)));
            journal.end(in_flight);
        }
    }
    let told = read(root);
    let name = |name: &str| BTreeSet::from([OsString::from(name)]);
    assert_eq!((told.recorded, told.uncertain), (name("late-true"), name("late-false")));
    assert!(!root.join("0.ring").exists(), "nothing was in flight at the last stop");
}
