//! P4: what was appended survives SIGKILL at any instruction, and every number is accounted for.
//!
//! The test runs itself as a child process, which appends from several threads and says what was
//! appended in files of its own, and kills it at some moment.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gnotify_journal::{Appended, Config, Journal, Limits};
use support::{Place, Told, soon, write_at};

const THREADS: u64 = 3;
const ROOT: &str = "GNOTIFY_KILL_TEST_ROOT";

/// How many rounds; more by `GNOTIFY_KILL_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("GNOTIFY_KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap())
}

fn place_in(root: PathBuf) -> (Config, PathBuf) {
    let place = Place::new();
    let limits = Limits {
        // Small, so that segments and slices end all the time.
        segment_size: 64 << 10,
        slice_time: Duration::from_millis(10),
        fsync_interval: Duration::ZERO,
        ..Limits::default()
    };
    let config =
        Config { dir: root.join("journal"), ring: root.join("0.ring"), limits, ..place.config() };
    (config, root)
}

/// Not a test: the process that is killed.
#[test]
#[ignore = "started by the test below"]
fn writer() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let (config, root) = place_in(root.into());
    let journal = Journal::open(config).unwrap();
    let start = journal.stats().start_id;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            let mut acknowledged =
                File::create(root.join(format!("acknowledged.{start}.{thread}"))).unwrap();
            scope.spawn(move || {
                for at in 0.. {
                    let offset = (start << 40) | (thread << 32) | at;
                    // One write(2) each: what it returned from survives the kill too.
                    if let Appended::Yes(seq) = journal.append_record(&write_at(offset), 1) {
                        writeln!(acknowledged, "{seq} {offset}").unwrap();
                    }
                    if at % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
}

#[test]
fn every_acknowledged_record_is_there() {
    let place = Place::new();
    let root = place.root.path();
    let mut wait = Duration::from_millis(3);
    for round in 0..rounds() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored"])
            .env(ROOT, root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_start(root, &mut child);
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        // 3 to 100 milliseconds, each time another moment.
        wait = Duration::from_micros(3000 + (round * 7919 * 1009) % 97_000);
    }
    let (config, _) = place_in(root.to_owned());
    drop(Journal::open(config).unwrap());

    let mut recorded = BTreeMap::new();
    let mut voids = 0;
    let mut starts = 0;
    for told in place.read() {
        match told {
            Told::Record { seq, offset } => {
                recorded.insert(seq, offset);
            }
            Told::Missing { text, .. } => {
                // A machine that is slow to carry fills the ring; then nothing was acknowledged either.
                let known = text == "void" || text.starts_with("ring-full");
                assert!(known, "a kill loses nothing: {text}");
                voids += u64::from(text == "void");
            }
            Told::Statement { text, .. } => {
                starts += u64::from(text.starts_with("start"));
                assert!(!text.contains("power-loss"), "{text}");
            }
        }
    }
    let mut acknowledged = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("acknowledged.") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // The last line may be torn by the kill.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let (seq, offset) = line.trim_end().split_once(' ').unwrap();
            let (seq, offset): (u64, u64) = (seq.parse().unwrap(), offset.parse().unwrap());
            assert_eq!(recorded.get(&seq), Some(&offset), "{line:?} in {}", path.display());
            acknowledged += 1;
        }
    }
    let recorded = recorded.len();
    assert!(
        acknowledged >= rounds() && starts > rounds(),
        "{acknowledged} records, {starts} starts"
    );
    println!("{acknowledged} acknowledged, {recorded} recorded, {voids} voids, {starts} starts");
}

/// Waits until the child has acknowledged a record.
fn wait_for_start(root: &Path, child: &mut std::process::Child) {
    let acknowledged = || -> u64 {
        let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
        let files =
            files.filter(|file| file.file_name().to_string_lossy().starts_with("acknowledged."));
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    let before = acknowledged();
    let deadline = soon();
    while acknowledged() == before {
        assert!(child.try_wait().unwrap().is_none(), "the writer has ended by itself");
        assert!(Instant::now() < deadline, "the writer does not begin");
        std::thread::sleep(Duration::from_micros(200));
    }
}
