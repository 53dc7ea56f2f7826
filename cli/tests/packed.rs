//! Packed segments: `dump` and `verify` do not notice, and find damage in them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gnotify_journal::Limits;
use serde_json::Value;
use support::{Brick, DEADLINE, append_100, fill, gnotify};

/// Length of a packed segment's header, and of a block's head.
const HEADER: usize = 112;
const HEAD: usize = 40;

/// A brick of several segments, of which all but the last one are packed; what was dumped before that, and
/// what the first one was.
fn packed_brick() -> (Brick, Vec<Value>, Vec<u8>) {
    let brick = Brick::new();
    let journal = brick.start();
    fill(&journal);
    while brick.segments().len() < 4 {
        append_100(&journal);
    }
    assert!(journal.stop());
    let before = dump(&brick.dir()).1;
    let first = fs::read(&brick.segments()[0]).unwrap();
    let journal = brick.start_with(Limits { compress: true, ..Limits::default() });
    let deadline = Instant::now() + DEADLINE;
    while journal.stats().packed_segments + 1 < journal.stats().segments {
        // The last one before this start may be too short to be packed.
        if brick.segments().len() <= 2 && packed(&brick).len() >= 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", journal.stats());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(journal.stop());
    (brick, before, first)
}

fn packed(brick: &Brick) -> Vec<PathBuf> {
    let files = fs::read_dir(brick.journal()).unwrap().map(|file| file.unwrap().path());
    let mut packed: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "gnz")).collect();
    packed.sort();
    packed
}

fn lines(command: &str, path: &Path) -> (i32, Vec<Value>) {
    let output = gnotify().args([command, "--json"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), lines)
}

fn dump(path: &Path) -> (i32, Vec<Value>) {
    lines("dump", path)
}

/// The damage that is found: problem, file, byte.
fn damage(path: &Path) -> (i32, Vec<(String, PathBuf, u64)>) {
    let (status, lines) = lines("verify", path);
    let found = lines.iter().filter(|line| line["level"] == "damage").map(|line| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("problem"), text("path").into(), line["offset"].as_u64().unwrap_or(0))
    });
    (status, found.collect())
}

#[test]
fn nothing_shows_that_segments_are_packed() {
    let (brick, before, _) = packed_brick();
    let (status, after) = dump(&brick.dir());
    assert_eq!(status, 0);
    assert!(after[..before.len()] == before);
    // A start and a stop.
    assert_eq!(after.len(), before.len() + 2);
    assert_eq!(damage(&brick.dir()), (0, vec![]));
    for segment in packed(&brick) {
        let (status, alone) = dump(&segment);
        assert!(status == 0 && alone.len() > 100);
        let at = alone[0]["seq"].as_u64().unwrap() as usize - 1;
        assert!(alone == before[at..at + alone.len()]);
        assert_eq!(damage(&segment), (0, vec![]));
    }
    let summary = lines("verify", &brick.dir()).1.pop().unwrap();
    let bytes: u64 = packed(&brick)
        .iter()
        .chain(&brick.segments())
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(summary["bytes"], bytes, "those on the brick");
    assert_eq!(summary["segments"], packed(&brick).len() + brick.segments().len());
}

#[test]
fn each_damaged_byte_is_found() {
    let (brick, before, _) = packed_brick();
    let segment = packed(&brick).swap_remove(1);
    let whole = fs::read(&segment).unwrap();
    let first = before.len();
    let places =
        (0..HEADER + HEAD + 2).step_by(7).chain((HEADER + HEAD..whole.len()).step_by(1501));
    // A greater version is none that can be verified.
    let places = places.filter(|at| !(8..10).contains(at));
    for at in places.chain([whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&segment, &damaged).unwrap();
        let (status, found) = damage(&segment);
        let (problem, path, _) = &found[0];
        let expected = if at < HEADER { "header" } else { "block" };
        assert_eq!((status, &**problem, path), (1, expected, &segment), "byte {at}: {found:?}");
    }
    // In the journal its entries are one gap, and all others are as they were.
    let mut damaged = whole.clone();
    damaged[HEADER + HEAD + 100] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let (status, after) = dump(&brick.dir());
    assert_eq!(status, 1);
    let gap = after.iter().position(|entry| entry["cause"] == "damaged").unwrap();
    let (from, to) = (after[gap]["seq"].as_u64().unwrap(), after[gap]["to"].as_u64().unwrap());
    assert_eq!(after[gap]["segment"], segment.to_str().unwrap());
    assert!(to > from && after[..gap] == before[..from as usize - 1]);
    assert!(after[gap + 1..][..first - to as usize] == before[to as usize..]);
    let (status, found) = damage(&brick.dir());
    assert_eq!(status, 1);
    assert_eq!(found[0], ("block".to_owned(), segment.clone(), HEADER as u64), "{found:?}");
    // Cut off anywhere.
    for len in [HEADER, HEADER + 7, HEADER + HEAD + 9, whole.len() - 8] {
        fs::write(&segment, &whole[..len]).unwrap();
        let (status, found) = damage(&segment);
        assert!(status == 1 && found[0].0 == "block", "cut at {len}: {found:?}");
    }
}

#[test]
fn a_segment_that_is_there_twice_is_read_once() {
    let (brick, before, first) = packed_brick();
    // As a kill leaves it between the name of the one and the removal of the other.
    let segment = packed(&brick).swap_remove(0);
    let raw = segment.with_extension("gnj");
    fs::write(&raw, first).unwrap();
    assert_eq!(dump(&brick.dir()).1[..before.len()], before);
    assert_eq!(damage(&brick.dir()), (0, vec![]));
    // It is the one that is not packed that counts.
    fs::write(&segment, [0; 500]).unwrap();
    assert_eq!(dump(&brick.dir()).1[..before.len()], before);
    assert_eq!(damage(&brick.dir()), (0, vec![]));
}
