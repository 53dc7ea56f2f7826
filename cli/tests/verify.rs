//! `gnotify verify`: what is whole is called whole, every damage is found with its place, and nothing is changed.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gnotify_journal::Appended;
use gnotify_record::{ClientId, FileType, Fop, Record};
use serde_json::{Value, json};
use support::{Brick, TIME, append, append_100, gnotify, record, uid};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Length of a segment's header.
const HEADER: usize = 80;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/brick-v1")
}

fn golden_segment() -> Vec<u8> {
    fs::read(golden().join(".glusterfs/gnotify/00000000000000000001.gnj")).unwrap()
}

/// What a verification comes to.
#[derive(Debug)]
struct Verdict {
    status: i32,
    /// Damage, by problem and place.
    damage: Vec<Value>,
    gaps: Vec<Value>,
    notes: Vec<Value>,
    summary: Value,
    stderr: String,
}

fn verify(path: &Path) -> Verdict {
    let output = gnotify().args(["verify", "--json"]).arg(path).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let level = |name: &str| -> Vec<Value> {
        lines.iter().filter(|line| line["level"] == name).cloned().collect()
    };
    Verdict {
        status: output.status.code().unwrap(),
        damage: level("damage"),
        gaps: level("gap"),
        notes: level("note"),
        summary: level("summary").pop().unwrap_or_default(),
        stderr,
    }
}

impl Verdict {
    fn assert_whole(&self) {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{self:?}");
        assert_eq!(self.summary["whole"], true, "{self:?}");
        assert!(self.damage.is_empty(), "{self:?}");
    }

    /// That this is all that is wrong.
    fn assert_damage(&self, problems: &[&str]) {
        assert_eq!((self.status, self.stderr.as_str()), (1, ""), "{self:?}");
        assert_eq!(self.summary["whole"], false, "{self:?}");
        assert_eq!(self.summary["damage"], self.damage.len(), "{self:?}");
        let found: Vec<&str> =
            self.damage.iter().map(|line| line["problem"].as_str().unwrap()).collect();
        assert_eq!(found, problems, "{self:?}");
    }
}

/// A brick of that many segments at least, which was stopped.
fn brick_of(segments: usize) -> Brick {
    let brick = Brick::new();
    let journal = brick.start();
    assert!(journal.append_client(ClientId(1), uid("node1").as_bytes()));
    while brick.segments().len() < segments {
        append_100(&journal);
    }
    assert!(journal.stop());
    brick
}

/// A directory with this one segment.
fn brick_with(segment: &[u8]) -> Brick {
    let brick = Brick::new();
    fs::create_dir(brick.journal()).unwrap();
    put(&brick, segment);
    brick
}

/// Writes a segment under the name that its header gives it.
fn put(brick: &Brick, segment: &[u8]) {
    let first_seq = segment.get(40..48).and_then(|bytes| bytes.first_chunk());
    let first_seq = first_seq.map_or(1, |bytes| u64::from_le_bytes(*bytes));
    fs::write(brick.journal().join(format!("{first_seq:020}.gnj")), segment).unwrap();
}

/// The header of a segment of start 1.
fn header(first_seq: u64) -> Vec<u8> {
    let mut bytes = b"GNOTIFYJ\x01\x00\x50\x00salt0123456789abcdef".to_vec();
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(&first_seq.to_le_bytes());
    bytes.extend_from_slice(&TIME.to_le_bytes());
    bytes.resize(HEADER - 4, 0);
    let sum = xxh3_64_with_seed(&bytes, 0) as u32;
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// A frame of kind 1 a record, 2 a statement, 3 a repeated one.
fn frame(kind: u64, code: u8, tag: u64, seq: u64, body: &[u8]) -> Vec<u8> {
    let salt = u64::from(u32::from_le_bytes(*b"salt"));
    let low = (24 + body.len()) as u64 | kind << 16 | (tag >> 24) << 20 | u64::from(code) << 24;
    let second = seq & ((1 << 40) - 1) | (tag & 0xff_ffff) << 40;
    let mut head = (low as u32).to_le_bytes().to_vec();
    head.extend_from_slice(&second.to_le_bytes());
    head.extend_from_slice(&TIME.to_le_bytes());
    let sum = xxh3_64_with_seed(&head, xxh3_64_with_seed(body, salt));
    let mut bytes = (low | sum << 32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&head[4..]);
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// The statement ON, which says nothing of what is around it.
fn on(seq: u64) -> Vec<u8> {
    frame(2, 9, 0, seq, b"")
}

fn client(kind: u64, seq: u64, id: u32, uid: &[u8]) -> Vec<u8> {
    let id = id.to_le_bytes();
    frame(kind, 6, 0, seq, &[&id[..], &(uid.len() as u16).to_le_bytes(), uid].concat())
}

/// A record of which only the client is known.
fn of_client(seq: u64, id: u8) -> Vec<u8> {
    frame(1, 13, 1 << 11, seq, &[id])
}

fn start(seq: u64) -> Vec<u8> {
    let mut body = [0; 42];
    body[0] = 1;
    body[40] = 1;
    frame(2, 1, 0, seq, &body)
}

fn gap(seq: u64, to: u64, lost: u64) -> Vec<u8> {
    frame(2, 4, 0, seq, &[&to.to_le_bytes()[..], &lost.to_le_bytes(), &[1]].concat())
}

/// Names, times and contents of all there is.
fn snapshot(dir: &Path) -> Vec<(PathBuf, i64, i64, i64, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let metadata = fs::metadata(dir).unwrap();
    let of = |metadata: &fs::Metadata| {
        (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec(), metadata.mode())
    };
    let (mtime, nsec, ctime, mode) = of(&metadata);
    found.push((dir.to_owned(), mtime, nsec, ctime, mode, Vec::new()));
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(snapshot(&path));
        } else {
            let (mtime, nsec, ctime, mode) = of(&fs::metadata(&path).unwrap());
            found.push((path.clone(), mtime, nsec, ctime, mode, fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn golden_journals_are_whole() {
    let verdict = verify(&golden());
    verdict.assert_whole();
    assert_eq!(verdict.summary["segments"], 1);
    assert_eq!(verdict.summary["records"], 10);
    assert_eq!(verdict.summary["statements"], 4);
    assert_eq!(verdict.summary["bytes"], golden_segment().len());
    let segment = concat!(env!("CARGO_MANIFEST_DIR"), "/../journal/testdata/segment-v1.gnj");
    let verdict = verify(Path::new(segment));
    verdict.assert_whole();
    assert_eq!(verdict.summary["voids"], 1);
    assert_eq!(verdict.summary["repeated"], 1);
    assert_eq!(verdict.summary["gaps"], verdict.gaps.len() - 1);
    assert!(verdict.gaps.len() >= 4, "{verdict:?}");
}

#[test]
fn what_a_brick_writes_is_whole() {
    let brick = Brick::filled();
    verify(&brick.dir()).assert_whole();
    let brick = brick_of(4);
    assert!(brick.start().stop());
    let verdict = verify(&brick.dir());
    verdict.assert_whole();
    assert_eq!(verdict.summary["segments"], brick.segments().len());
    assert_eq!(verdict.summary["seq"], 1);
    assert!(verdict.summary["repeated"].as_u64() >= Some(3), "{verdict:?}");
    // Each can be verified alone, and all in one call.
    for segment in brick.segments() {
        verify(&segment).assert_whole();
    }
    let output = gnotify().arg("verify").args(brick.segments()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let sums = stdout.lines().filter(|line| line.contains(": whole: 1 segment, "));
    assert_eq!((output.status.code(), sums.count()), (Some(0), brick.segments().len()), "{stdout}");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let whole = golden_segment();
    let last = whole.len() - 24;
    let frames = (HEADER..last).step_by(7);
    // At the end, a brick that is writing is waited for: not at each byte.
    for at in (0..HEADER).chain(frames).chain((last..whole.len()).step_by(5)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let brick = brick_with(&bytes);
        let verdict = verify(&brick.dir());
        match at {
            0..8 => assert_eq!(verdict.status, 3, "byte {at}: {verdict:?}"),
            8..10 => assert!(matches!(verdict.status, 1 | 5), "byte {at}: {verdict:?}"),
            10..HEADER => verdict.assert_damage(&["header"]),
            // A last entry that is longer than the file looks as if it were being written.
            _ if at >= last && verdict.status == 0 => {
                assert_eq!(verdict.notes[0]["problem"], "unfinished", "byte {at}: {verdict:?}");
            }
            _ => {
                assert_eq!(verdict.damage.len(), 1, "byte {at}: {verdict:?}");
                assert_eq!(verdict.status, 1, "byte {at}: {verdict:?}");
                let found = verdict.damage[0]["offset"].as_u64().unwrap();
                let seq = &verdict.damage[0]["seq"];
                assert!(found <= at as u64, "byte {at}: {verdict:?}");
                assert!(found + 200 > at as u64 && seq.is_u64(), "byte {at}: {verdict:?}");
            }
        }
        assert_eq!(fs::read(brick.segments().remove(0)).unwrap(), bytes);
    }
}

#[test]
fn a_cut_segment_is_unfinished_and_in_the_midst_damaged() {
    let whole = golden_segment();
    for len in (0..HEADER + 60).chain((HEADER + 60..whole.len()).step_by(13)) {
        let brick = brick_with(&whole[..len]);
        let verdict = verify(&brick.dir());
        if len < HEADER {
            verdict.assert_damage(&["header"]);
            continue;
        }
        verdict.assert_whole();
        let unfinished = verdict.notes.iter().filter(|note| note["problem"] == "unfinished");
        let entries: u64 = verdict.summary["entries"].as_u64().unwrap();
        for note in unfinished {
            assert_eq!(note["seq"], entries + 1);
            assert!(note["offset"].as_u64().unwrap() < len as u64);
        }
    }
    let brick = brick_of(3);
    let segment = brick.segments().remove(0);
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 12]).unwrap();
    let verdict = verify(&brick.dir());
    verdict.assert_damage(&["tail", "missing"]);
    assert_eq!(verdict.damage[0]["seq"], verdict.damage[1]["seq"]);
    assert_eq!(verdict.damage[1]["to"], verdict.damage[1]["seq"]);
}

#[test]
fn a_missing_segment_is_damage_but_the_oldest_ones_may_go() {
    let brick = brick_of(4);
    let segments = brick.segments();
    let first =
        |at: usize| -> u64 { segments[at].file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    fs::rename(&segments[1], brick.dir().join("kept")).unwrap();
    let verdict = verify(&brick.dir());
    verdict.assert_damage(&["missing"]);
    assert_eq!(verdict.damage[0]["seq"], first(1));
    assert_eq!(verdict.damage[0]["to"], first(2) - 1);
    fs::remove_file(&segments[0]).unwrap();
    let verdict = verify(&brick.dir());
    verdict.assert_whole();
    let trimmed = verdict.notes.iter().find(|note| note["problem"] == "trimmed").unwrap();
    assert_eq!((&trimmed["seq"], &trimmed["to"]), (&json!(1), &json!(first(2) - 1)));
    assert!(trimmed["text"].as_str().unwrap().contains("no statement"), "{trimmed}");
    // And without its header.
    fs::rename(brick.dir().join("kept"), &segments[1]).unwrap();
    let mut bytes = fs::read(&segments[2]).unwrap();
    bytes[50] ^= 1;
    fs::write(&segments[2], &bytes).unwrap();
    verify(&brick.dir()).assert_damage(&["header", "missing"]);
    bytes[0] = b'g';
    fs::write(&segments[2], &bytes).unwrap();
    verify(&brick.dir()).assert_damage(&["header", "missing"]);
}

#[test]
fn swapped_and_foreign_segments_are_found() {
    let brick = brick_of(4);
    let segments = brick.segments();
    let [one, two] = [&segments[1], &segments[2]].map(|path| fs::read(path).unwrap());
    fs::write(&segments[1], &two).unwrap();
    fs::write(&segments[2], &one).unwrap();
    verify(&brick.dir()).assert_damage(&["name", "name"]);
    verify(&segments[1]).assert_damage(&["name"]);
    // The last one of another journal.
    fs::write(&segments[1], &one).unwrap();
    let other = brick_of(4);
    fs::copy(&other.segments()[2], &segments[2]).unwrap();
    let verdict = verify(&brick.dir());
    assert_eq!(verdict.status, 1);
    let problem = verdict.damage[0]["problem"].as_str().unwrap();
    assert!(problem == "epoch" || problem == "name", "{verdict:?}");
}

#[test]
fn numbers_have_one_entry_each() {
    let parts = |parts: &[Vec<u8>]| verify(&brick_with(&parts.concat()).dir());
    parts(&[header(1), start(1), on(2), on(3)]).assert_whole();
    let twice = parts(&[header(1), start(1), on(2), on(2), on(3)]);
    twice.assert_damage(&["sequence"]);
    let at_end = parts(&[header(1), start(1), on(2), on(3), on(3)]);
    at_end.assert_damage(&["sequence"]);
    let hole = parts(&[header(1), start(1), on(2), on(5)]);
    hole.assert_damage(&["sequence"]);
    assert_eq!((&hole.damage[0]["seq"], &hole.damage[0]["to"]), (&json!(3), &json!(4)));
    let told = parts(&[header(1), start(1), on(2), gap(3, 4, 2), on(5)]);
    told.assert_whole();
    assert_eq!(told.gaps[0]["problem"], "ring-full");
    let too_many = parts(&[header(1), start(1), on(2), gap(3, 4, 3), on(5)]);
    too_many.assert_damage(&["statement"]);
    let backwards = parts(&[header(1), start(1), on(2), gap(3, 1, 0), on(4)]);
    backwards.assert_damage(&["statement"]);
    let brick = brick_with(&[header(1), start(1), on(2), on(3)].concat());
    put(&brick, &[header(3), on(3), on(4)].concat());
    verify(&brick.dir()).assert_damage(&["overlap"]);
}

#[test]
fn bodies_filling_and_tags_are_looked_at() {
    let parts = |parts: &[Vec<u8>]| verify(&brick_with(&parts.concat()).dir());
    // A record whose body is too short for its tag; a SLICE-END without a number.
    parts(&[header(1), start(1), frame(1, 13, 1 << 8, 2, b"short"), on(3)])
        .assert_damage(&["record"]);
    parts(&[header(1), start(1), frame(2, 3, 0, 2, b""), on(3)]).assert_damage(&["statement"]);
    parts(&[header(1), start(1), frame(2, 9, 1, 2, b"")]).assert_damage(&["statement"]);
    let mut filled = frame(2, 9, 0, 2, b"later");
    parts(&[header(1), start(1), filled.clone(), on(3)]).assert_whole();
    *filled.last_mut().unwrap() = 1;
    parts(&[header(1), start(1), filled, on(3)]).assert_damage(&["filling"]);
    let unknown = parts(&[header(1), start(1), frame(2, 99, 0, 2, b"later")]);
    unknown.assert_whole();
    assert_eq!(unknown.notes[0]["problem"], "unknown");
    let trimmed = |seq, to: u64| frame(2, 12, 0, seq, &[&to.to_le_bytes()[..], &[1]].concat());
    parts(&[header(1), start(1), trimmed(2, 2)]).assert_damage(&["statement"]);
    let told = parts(&[header(5), on(5), trimmed(6, 4)]);
    told.assert_whole();
    assert!(told.notes[0]["text"].as_str().unwrap().contains("as the journal told"), "{told:?}");
    let slice = |seq, slice: u64| frame(2, 3, 0, seq, &slice.to_le_bytes());
    parts(&[header(1), start(1), slice(2, 1), slice(3, 2), slice(4, 7)]).assert_whole();
    parts(&[header(1), start(1), slice(2, 2), slice(3, 2)]).assert_damage(&["slice"]);
    parts(&[header(1), on(1), start(2)]).assert_damage(&["start", "start"]);
}

#[test]
fn clients_are_named_before_they_are_used_and_in_each_segment() {
    let parts = |parts: &[Vec<u8>]| verify(&brick_with(&parts.concat()).dir());
    let gone = |seq, id: u32| frame(2, 7, 0, seq, &id.to_le_bytes());
    parts(&[header(1), start(1), client(2, 2, 5, b"c"), of_client(3, 5)]).assert_whole();
    parts(&[header(1), start(1), of_client(2, 5), client(2, 3, 5, b"c")])
        .assert_damage(&["client"]);
    parts(&[header(1), start(1), gone(2, 5)]).assert_damage(&["client"]);
    parts(&[header(1), start(1), client(2, 2, 5, b"c"), client(2, 3, 5, b"d")])
        .assert_damage(&["client"]);
    // What is lost may have named it.
    let lost = parts(&[header(1), start(1), gap(2, 3, 2), of_client(4, 5)]);
    lost.assert_whole();
    assert_eq!(lost.notes[0]["problem"], "client");

    let first = [header(1), start(1), client(2, 2, 5, b"c"), client(2, 3, 6, b"d"), gone(4, 6)];
    let two = |second: &[Vec<u8>]| {
        let brick = brick_with(&first.concat());
        put(&brick, &[&header(5)[..], &second.concat()].concat());
        verify(&brick.dir())
    };
    two(&[client(3, 5, 5, b"c"), of_client(5, 5)]).assert_whole();
    // Of one that has gone, a record may still come.
    two(&[client(3, 5, 5, b"c"), of_client(5, 6)]).assert_whole();
    two(&[of_client(5, 5)]).assert_damage(&["repeated"]);
    two(&[client(3, 5, 5, b"x"), on(5)]).assert_damage(&["repeated"]);
    two(&[client(3, 5, 5, b"c"), client(3, 5, 6, b"d"), on(5)]).assert_damage(&["repeated"]);
    two(&[client(3, 5, 5, b"c"), client(3, 5, 9, b"d"), on(5)]).assert_damage(&["repeated"]);
    two(&[client(3, 6, 5, b"c"), on(5)]).assert_damage(&["repeated"]);
    two(&[client(3, 5, 5, b"c"), on(5), client(3, 5, 5, b"c"), on(6)]).assert_damage(&["repeated"]);
    two(&[frame(3, 9, 0, 5, b""), client(3, 5, 5, b"c"), on(5)]).assert_damage(&["repeated"]);
    // A segment alone cannot tell.
    let alone = verify(&brick_with(&[header(5), of_client(5, 6)].concat()).segments()[0]);
    alone.assert_whole();
    assert_eq!(alone.notes[0]["problem"], "client");
}

#[test]
fn a_damaged_repeated_statement_is_found_though_no_entry_is_lost() {
    let brick = brick_of(2);
    let segment = brick.segments().remove(1);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[HEADER + 40] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let verdict = verify(&brick.dir());
    verdict.assert_damage(&["bytes"]);
    assert_eq!(verdict.damage[0]["offset"], HEADER);
    assert!(verdict.damage[0].get("seq").is_none());
}

#[test]
fn gaps_that_the_journal_tells_are_counted() {
    let brick = Brick::new();
    let journal = brick.start();
    let write = Record { client: None, ..record(Fop::WRITE, 1, FileType::Regular) };
    while matches!(journal.append_record(&write, TIME), Appended::Yes(_)) {}
    support::flush(&journal);
    append(&journal, &write, TIME);
    assert!(journal.stop());
    let verdict = verify(&brick.dir());
    verdict.assert_whole();
    assert!(!verdict.gaps.is_empty());
    assert_eq!(verdict.summary["gaps"], verdict.gaps.len());
    assert_eq!(verdict.gaps[0]["problem"], "ring-full");
}

#[test]
fn what_a_start_makes_of_a_torn_end_is_whole() {
    for cut in [1, 9, 23, 24, 30, 100] {
        let brick = brick_of(2);
        let last = brick.segments().pop().unwrap();
        let len = fs::metadata(&last).unwrap().len();
        fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(len - cut).unwrap();
        let torn = verify(&brick.dir());
        torn.assert_whole();
        assert!(brick.start().stop());
        let ended = verify(&brick.dir());
        ended.assert_whole();
        assert_eq!(ended.gaps[0]["problem"], "power-loss", "cut by {cut}: {ended:?}");
        assert!(!ended.notes.iter().any(|note| note["problem"] == "unfinished"), "{ended:?}");
    }
}

#[test]
fn a_journal_that_is_being_written_is_whole() {
    let brick = Brick::new();
    let journal = brick.start();
    assert!(journal.append_client(ClientId(1), uid("node1").as_bytes()));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let write = record(Fop::WRITE, 1, FileType::Regular);
            for number in 0.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let _ = journal.append_record(&write, TIME);
                if number % 500 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        });
        // At the end the scope waits for the writer: it must hear of a failure too.
        let result = std::panic::catch_unwind(|| {
            while brick.segments().len() < 8 {
                verify(&brick.dir()).assert_whole();
            }
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(journal.stop());
    verify(&brick.dir()).assert_whole();
}

#[test]
fn nothing_is_changed() {
    let brick = brick_of(3);
    let segments = brick.segments();
    let len = fs::metadata(&segments[2]).unwrap().len();
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[HEADER + 100] ^= 1;
    fs::write(&segments[0], bytes).unwrap();
    fs::OpenOptions::new().write(true).open(&segments[2]).unwrap().set_len(len - 3).unwrap();
    fs::write(brick.journal().join("00000000000000000009.gnj.damaged"), "x").unwrap();
    let before = snapshot(&brick.dir());
    let verdict = verify(&brick.dir());
    verdict.assert_damage(&["bytes"]);
    assert!(verdict.notes.iter().any(|note| note["problem"] == "set-aside"), "{verdict:?}");
    assert_eq!(snapshot(&brick.dir()), before);
}

#[test]
fn who_may_only_read_can_verify() {
    let brick = brick_of(2);
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    // Root may write everywhere, so the command runs as somebody else.
    let command = brick.dir().with_file_name("gnotify");
    let copy = Command::new("cp").arg(env!("CARGO_BIN_EXE_gnotify")).arg(&command).status();
    assert!(copy.unwrap().success());
    set(command.parent().unwrap(), 0o755);
    for file in brick.segments().iter().chain([&brick.journal().join("lock")]) {
        set(file, 0o444);
    }
    for dir in [brick.journal(), brick.dir().join(".glusterfs"), brick.dir()] {
        set(&dir, 0o555);
    }
    let before = snapshot(&brick.dir());
    let verify = |path: &Path| {
        let mut verify = Command::new(&command);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            verify.uid(65534).gid(65534);
        }
        verify.arg("verify").arg(path).output().unwrap()
    };
    let output = verify(&brick.dir());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(snapshot(&brick.dir()), before);
    set(&brick.segments()[0], 0);
    let output = verify(&brick.dir());
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains(": not all of it could be read: 1 segment, "), "{stdout}");
    for dir in [brick.dir(), brick.dir().join(".glusterfs"), brick.journal()] {
        set(&dir, 0o755);
    }
}

#[test]
fn each_path_has_its_say_and_damage_its_status() {
    let (whole, damaged) = (Brick::filled(), Brick::filled());
    let segment = damaged.segments().remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[HEADER + 30] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let newer = Brick::filled();
    let later = newer.segments().remove(0);
    let mut bytes = fs::read(&later).unwrap();
    bytes[8] = 9;
    fs::write(&later, bytes).unwrap();
    let (nothing, none) = (whole.dir().join("nothing"), Brick::new());
    let status = |paths: &[&Path]| {
        let output = gnotify().arg("verify").args(paths).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), stderr.lines().count())
    };
    let [whole, damaged, newer, none] = [&whole, &damaged, &newer, &none].map(Brick::dir);
    assert_eq!(status(&[&whole, &whole]), (0, 0));
    assert_eq!(status(&[&nothing]), (3, 1));
    assert_eq!(status(&[&none]), (3, 1));
    assert_eq!(status(&[&newer]), (5, 1));
    assert_eq!(status(&[&later]), (5, 1));
    assert_eq!(status(&[&whole, &nothing, &newer]), (3, 2));
    assert_eq!(status(&[&nothing, &damaged, &whole]), (1, 1));
    assert_eq!(status(&[Path::new("/dev/null")]), (3, 1));
    assert_eq!(gnotify().arg("verify").output().unwrap().status.code(), Some(2));
    // The status does not depend on whether anybody reads the lines.
    let mut child = gnotify();
    child.arg("verify").args(vec![damaged; 200]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("damage: ") && line.contains(": byte 80: entry 1: "), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
}

#[test]
fn a_journal_without_entries_is_whole() {
    let brick = Brick::new();
    fs::create_dir(brick.journal()).unwrap();
    fs::write(brick.journal().join("lock"), "").unwrap();
    let verdict = verify(&brick.dir());
    verdict.assert_whole();
    assert_eq!(verdict.summary["segments"], 0);
}
