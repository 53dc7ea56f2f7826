//! An opening of the journal, killed before each of its system calls: the next one makes it whole.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::sync::Mutex;

use gnotify_record::{Fop, Origin, Record};

use super::*;
use crate::disk::crash;
use crate::ring::file::Identity;
use crate::ring::{Batch, Drain};
use crate::segment;
use crate::segment::Header;
use crate::{Gap, Reader, What};

#[derive(Default)]
pub(super) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Host for Log {
    fn log(&self, _level: Level, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub(super) fn config(root: &Path) -> Config {
    Config {
        dir: root.join("journal"),
        ring: root.join("run/0.ring"),
        ring_size: crate::RING_MIN,
        limits: Limits::default(),
        host: Arc::new(Log::default()),
    }
}

/// Appends records as fops do, and gives their numbers.
pub(super) fn append(ring: &Ring<Mapping>, count: u64) -> Vec<u64> {
    let record = Record::new(Fop::WRITE, Origin::Client);
    let (mut body, time) = (codec::Body::new(), 1);
    let tag = codec::encode(&record, time, &mut body);
    let draft = Draft::new(ring.salt(), Kind::Record, record.fop.0, tag, time, &body);
    let place = |_| match ring.append(&draft) {
        Reserved::Place { seq, .. } => seq,
        other => panic!("{other:?}"),
    };
    (0..count).map(place).collect()
}

/// Carries frames to the segment as the journal thread does; `give_back` is false where the kill comes
/// between the two.
fn carry(ready: &mut Ready, frames: usize, give_back: bool) {
    let (mut drain, mut batch) = (Drain::new(&ready.ring), Batch::default());
    drain.read(&ready.ring, &mut batch, usize::MAX, 1).unwrap();
    let mark = *batch.marks.iter().take(frames).next_back().unwrap();
    ready.segment.append(&batch.bytes[..mark.end]).unwrap();
    if give_back {
        drain.consume(&ready.ring, &mark);
    }
}

/// The journal in `root`, each entry as a text with the numbers it stands for. They are without a hole.
fn entries(root: &Path) -> Vec<(u64, u64, String)> {
    let mut reader = Reader::open(&root.join("journal")).unwrap();
    let mut entries: Vec<(u64, u64, String)> = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let seq = entry.seq;
        assert_eq!(seq, entries.last().map_or(1, |(_, to, _)| to + 1));
        entries.push(match &entry.what {
            What::Record(record) if record.uncertain => (seq, seq, "uncertain".to_owned()),
            What::Record(_) => (seq, seq, "record".to_owned()),
            What::Statement(Statement::Gap(Gap { to, cause, .. })) => {
                (seq, *to, format!("gap {cause}"))
            }
            What::Statement(Statement::Void { to }) => (seq, *to, "void".to_owned()),
            What::Statement(Statement::Start(start)) => (seq, seq, format!("start {}", start.how)),
            What::Statement(statement) => (seq, seq, format!("{statement:?}")),
        });
    }
    entries
}

pub(super) fn texts(root: &Path) -> Vec<String> {
    entries(root).into_iter().map(|(_, _, text)| text).collect()
}

/// Makes the place `to` what `from` is. The journal would notice it if it were opened elsewhere.
pub(super) fn copy(from: &Path, to: &Path) {
    for part in ["journal", "run"] {
        let _ = fs::remove_dir_all(to.join(part));
        let Ok(files) = fs::read_dir(from.join(part)) else { continue };
        fs::create_dir(to.join(part)).unwrap();
        for file in files {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(part).join(file.file_name())).unwrap();
        }
    }
}

/// Opens copies of what `prepare` leaves, killed before each system call in turn, and once more; what can
/// be read then is `expected`, whenever the kill came.
fn kill_everywhere(prepare: impl Fn(&Path), expected: &[&str]) {
    let original = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    prepare(place.path());
    copy(place.path(), original.path());
    for calls in 0.. {
        copy(original.path(), place.path());
        let config = config(place.path());
        let done = crash::after(calls, || Ready::prepare(&config).unwrap());
        // The kill after the last one leaves START in the ring alone.
        let whole = done.is_some();
        drop(done);
        if !whole {
            let mut ready = Ready::prepare(&config).unwrap();
            carry(&mut ready, 1, true);
            assert_eq!(texts(place.path()), expected, "killed before system call {calls}");
        } else {
            let mut ready = Ready::prepare(&config).unwrap();
            carry(&mut ready, 1, true);
            let mut expected = expected.to_vec();
            expected.push("start killed");
            assert_eq!(texts(place.path()), expected, "killed with START in the ring");
            assert!(calls > 5, "the kills come before each system call");
            return;
        }
    }
}

pub(super) fn killed_with_records_in_the_ring(root: &Path) -> Ready {
    let mut ready = Ready::prepare(&config(root)).unwrap();
    assert_eq!(append(&ready.ring, 6), [2, 3, 4, 5, 6, 7]);
    carry(&mut ready, 3, true);
    carry(&mut ready, 2, false);
    ready
}

pub(super) const SIX: [&str; 7] =
    ["start first", "record", "record", "record", "record", "record", "record"];

fn after_six(more: &[&'static str]) -> Vec<&'static str> {
    [&SIX, more].concat()
}

#[test]
fn the_first_start() {
    kill_everywhere(|_| (), &["start first"]);
}

#[test]
fn with_records_in_the_ring() {
    let prepare = |root: &Path| drop(killed_with_records_in_the_ring(root));
    kill_everywhere(prepare, &after_six(&["start killed"]));
}

#[test]
fn with_a_torn_frame() {
    let prepare = |root: &Path| {
        let mut ready = killed_with_records_in_the_ring(root);
        ready.segment.append(&[0x55; 20]).unwrap();
    };
    kill_everywhere(prepare, &after_six(&["start killed"]));
}

#[test]
fn with_a_frame_that_was_not_committed() {
    let prepare = |root: &Path| {
        let ready = killed_with_records_in_the_ring(root);
        let draft = Draft::new(ready.ring.salt(), Kind::Record, 13, 0, 1, b"body");
        ready.ring.abandon(&draft);
        ready.ring.abandon(&draft);
        append(&ready.ring, 1);
    };
    kill_everywhere(prepare, &after_six(&["void", "record", "start killed"]));
}

#[test]
fn with_fops_in_flight() {
    let prepare = |root: &Path| {
        let ready = killed_with_records_in_the_ring(root);
        for fop in [Fop::CREATE, Fop::WRITE, Fop::UNLINK] {
            let _killed = ready.ring.begin(&Record::new(fop, Origin::Client), 7);
        }
        let ended = ready.ring.begin(&Record::new(Fop::MKDIR, Origin::Client), 7);
        ready.ring.end(ended);
    };
    let expected = after_six(&["uncertain", "uncertain", "uncertain", "start killed"]);
    kill_everywhere(prepare, &expected);
}

#[test]
fn with_more_fops_in_flight_than_can_be_named() {
    let prepare = |root: &Path| {
        let ready = killed_with_records_in_the_ring(root);
        for _ in 0..file::NOTES + 2 {
            let _killed = ready.ring.begin(&Record::new(Fop::WRITE, Origin::Client), 7);
        }
    };
    let mut expected = after_six(&["uncertain"; file::NOTES as usize]);
    expected.extend(["gap in-flight", "start killed"]);
    kill_everywhere(prepare, &expected);
}

/// The time of an uncertain record is that of the recovery, also where the recovery was cut off.
#[test]
fn fops_in_flight_do_not_tell_when_the_brick_was_last_seen() {
    let original = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let ready = killed_with_records_in_the_ring(place.path());
    let _killed = ready.ring.begin(&Record::new(Fop::WRITE, Origin::Client), 7);
    copy(place.path(), original.path());
    drop(ready);
    for calls in 0.. {
        copy(original.path(), place.path());
        let config = config(place.path());
        let whole = crash::after(calls, || drop(Ready::prepare(&config).unwrap())).is_some();
        if whole {
            return;
        }
        let mut ready = Ready::prepare(&config).unwrap();
        carry(&mut ready, 1, true);
        let mut reader = Reader::open(&place.path().join("journal")).unwrap();
        let mut last_time = None;
        while let Some(entry) = reader.next().unwrap() {
            if let What::Statement(Statement::Start(start)) = entry.what {
                last_time = Some(start.last_time);
            }
        }
        assert_eq!(last_time, Some(1), "killed before system call {calls}");
    }
}

#[test]
fn in_the_middle_of_a_roll() {
    let prepare = |root: &Path| {
        let mut ready = Ready::prepare(&config(root)).unwrap();
        append(&ready.ring, 6);
        carry(&mut ready, 3, true);
        let header = Header { first_seq: 4, ..ready.segment.header };
        SegmentFile::create(&root.join("journal"), &header).unwrap();
    };
    kill_everywhere(prepare, &after_six(&["start killed"]));
}

#[test]
fn after_entries_were_written_off() {
    let prepare = |root: &Path| {
        let ready = killed_with_records_in_the_ring(root);
        let (mut drain, mut batch) = (Drain::new(&ready.ring), Batch::default());
        drain.read(&ready.ring, &mut batch, usize::MAX, 1).unwrap();
        // 4 and 5 are in the segment; 6 is lost; 7 is in the ring.
        drain.consume(&ready.ring, &batch.marks[2]);
    };
    let mut expected = SIX;
    expected[5] = "gap io-error";
    kill_everywhere(prepare, &[&expected[..], &["start killed"]].concat());
}

#[test]
fn with_the_ring_gone() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(root));
        fs::remove_file(root.join("run/0.ring")).unwrap();
    };
    let expected = [
        "start first",
        "record",
        "record",
        "record",
        "record",
        "gap power-loss",
        "start power-loss",
    ];
    kill_everywhere(prepare, &expected);
}

#[test]
fn with_the_ring_of_another_boot() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(root));
        let journal = fs::read(segment::path(&root.join("journal"), 1)).unwrap();
        let header = Header::decode(&journal).unwrap();
        let Header { epoch, start_id, salt, .. } = header;
        let identity = Identity { epoch, start_id, boot_id: [9; 16], salt };
        drop(file::create(&root.join("run/0.ring"), crate::RING_MIN, &identity, 6).unwrap());
    };
    let expected = [
        "start first",
        "record",
        "record",
        "record",
        "record",
        "gap power-loss",
        "start power-loss",
    ];
    kill_everywhere(prepare, &expected);
}

#[test]
fn with_the_newest_segment_removed_by_hand() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(root));
        let mut ready = Ready::prepare(&config(root)).unwrap();
        append(&ready.ring, 3);
        carry(&mut ready, 4, true);
        fs::remove_file(&ready.segment.path).unwrap();
    };
    kill_everywhere(prepare, &after_six(&["gap trimmed", "start killed"]));
}

#[test]
fn after_a_clean_stop() {
    let prepare = |root: &Path| {
        let journal = Journal::open(config(root)).unwrap();
        assert!(journal.stop());
    };
    kill_everywhere(prepare, &["start first", "Stop", "start clean"]);
}

#[test]
fn with_a_damaged_header() {
    let prepare = |root: &Path| {
        let journal = Journal::open(config(root)).unwrap();
        assert!(journal.stop());
        let journal = Journal::open(config(root)).unwrap();
        assert!(journal.stop());
        let path = segment::path(&root.join("journal"), 3);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    kill_everywhere(prepare, &["start first", "Stop", "gap damaged", "start power-loss"]);
}

#[test]
fn with_a_damaged_header_and_its_ring() {
    let prepare = |root: &Path| {
        let mut ready = killed_with_records_in_the_ring(root);
        let (mut drain, mut batch) = (Drain::new(&ready.ring), Batch::default());
        drain.read(&ready.ring, &mut batch, usize::MAX, 1).unwrap();
        // 4 and 5 are in the first segment; 6 goes to one whose header will be damaged; 7 is in the ring.
        drain.consume(&ready.ring, &batch.marks[1]);
        let header = Header { first_seq: 6, ..ready.segment.header };
        ready.segment = SegmentFile::create(&root.join("journal"), &header).unwrap();
        carry(&mut ready, 1, true);
        fs::write(&ready.segment.path, [0; 500]).unwrap();
    };
    let mut expected = SIX;
    expected[5] = "gap damaged";
    kill_everywhere(prepare, &[&expected[..], &["start killed"]].concat());
}

#[test]
fn a_later_version_is_not_gone_on_with() {
    let root = tempfile::tempdir().unwrap();
    assert!(Journal::open(config(root.path())).unwrap().stop());
    let path = segment::path(&root.path().join("journal"), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(config(root.path())).unwrap_err();
    assert!(matches!(error, OpenError::Unreadable(crate::ReadError::NewerVersion { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it was");
}

#[test]
fn a_moved_journal() {
    let prepare = |root: &Path| {
        drop(killed_with_records_in_the_ring(&root.join("before")));
        for part in ["journal", "run"] {
            fs::rename(root.join("before").join(part), root.join(part)).unwrap();
        }
    };
    // What the ring still had went to the old segment before that was moved.
    kill_everywhere(prepare, &["start moved"]);
}
