//! A brick at its storage reserve: nothing is written below it, and all that is lost for it is told.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::thread::sleep;

use super::crash_tests::{Log, append, config, texts};
use super::opening::Assembled;
use super::*;
use crate::journal_thread::{JournalThread, Step};
use crate::segment::{self, EXTENSION};
use crate::space::tests::PRETENDED;
use crate::{Cause, Gap, Reader, What};

const SIZE: u64 = 1 << 30;
const KEPT: u64 = SIZE / 100;

/// Carries until there is nothing to carry, or the brick cannot take it.
fn carry_all(worker: &mut JournalThread) -> Step {
    loop {
        match worker.step().unwrap() {
            Step::Carried => {}
            step => return step,
        }
    }
}

fn free(bytes: u64) {
    PRETENDED.set(Some((SIZE, KEPT + bytes)));
}

/// As long as an outage waits between two tries.
fn wait_for_next_try() {
    sleep(Duration::from_millis(210));
}

#[test]
fn the_ring_moves_on_and_the_loss_is_told() {
    let root = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::default());
    let config = Config { host: Arc::clone(&log) as Arc<dyn Host>, ..config(root.path()) };
    free(1 << 20);
    let ready = Ready::prepare(&config).unwrap();
    append(&ready.ring, 10);
    let Assembled { shared, mut worker, .. } = ready.assemble(&config);
    assert_eq!(carry_all(&mut worker), Step::Nothing);
    let written = fs::metadata(&worker.segment.path).unwrap().len();

    free(0);
    // What was known of the free space holds for a second.
    wait_for_next_try();
    sleep(Duration::from_millis(800));
    append(&shared.ring, 10);
    assert_eq!(carry_all(&mut worker), Step::Held);
    // As many as fill the ring several times.
    for _ in 0..100 {
        append(&shared.ring, 1000);
        while worker.step().unwrap() == Step::Carried {}
    }
    assert_eq!(shared.ring.dropped(), 0, "fops find room");
    assert_eq!(fs::metadata(&worker.segment.path).unwrap().len(), written, "nothing is written");
    assert_eq!(segment::list(&config.dir, EXTENSION).unwrap().len(), 1);

    free(1 << 20);
    wait_for_next_try();
    assert_eq!(carry_all(&mut worker), Step::Nothing);
    let (mut lost, mut records) = (0, 0);
    let mut reader = Reader::open(&config.dir).unwrap();
    while let Some(entry) = reader.next().unwrap() {
        match entry.what {
            What::Record(_) => records += 1,
            What::Statement(Statement::Gap(Gap {
                cause: Cause::NoSpace,
                lost: Some(some),
                ..
            })) => {
                lost += some;
            }
            What::Statement(Statement::Start(_)) => {}
            What::Statement(statement) => panic!("{statement:?}"),
        }
    }
    assert_eq!(lost + records, 100_020);
    assert!(lost > 50_000, "{lost}");
    let lines = log.lines();
    assert!(lines[0].contains("storage reserve: 10737418 bytes are free"), "{lines:?}");
    assert!(lines[0].contains("storage.reserve"), "{lines:?}");
    assert!(lines[1].contains("entries are lost"), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    PRETENDED.set(None);
}

#[test]
fn retained_segments_make_room_first_and_only_where_retention_is_on() {
    for removes in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let mut config = config(root.path());
        config.limits.segment_size = 64 << 10;
        config.limits.retention_age = removes.then_some(Duration::from_secs(3600));
        free(1 << 30);
        let ready = Ready::prepare(&config).unwrap();
        let Assembled { shared, mut worker, .. } = ready.assemble(&config);
        for _ in 0..4 {
            append(&shared.ring, 2000);
            assert_eq!(carry_all(&mut worker), Step::Nothing);
        }
        let before = segment::list(&config.dir, EXTENSION).unwrap();
        assert!(before.len() > 3, "{before:?}");
        free(0);
        sleep(Duration::from_millis(1010));
        append(&shared.ring, 1);
        // The file system that is pretended here has no more room when a segment is gone.
        assert_eq!(carry_all(&mut worker), Step::Held);
        let left = segment::list(&config.dir, EXTENSION).unwrap();
        assert_eq!(left.len(), if removes { 1 } else { before.len() });
        assert_eq!(left.last(), before.last(), "never the one that is being written");
        free(1 << 20);
        wait_for_next_try();
        assert_eq!(carry_all(&mut worker), Step::Nothing);
        let texts = texts_from(root.path(), left[0]);
        let announced: Vec<_> =
            texts.iter().filter(|text| text.starts_with("Trimmed")).cloned().collect();
        let expected: Vec<_> = before
            .iter()
            .skip(1)
            .filter(|_| removes)
            .map(|next| format!("Trimmed {{ to: {}, by: Reserve }}", next - 1))
            .collect();
        assert_eq!(announced, expected);
        assert!(!texts.iter().any(|text| text.starts_with("gap")), "nothing else is lost");
        let stats = (shared.sealed_segments.load(Ordering::Relaxed), left.len() as u64 - 1);
        assert_eq!(stats.0, stats.1);
        PRETENDED.set(None);
    }
}

fn texts_from(root: &Path, first: u64) -> Vec<String> {
    if first == 1 {
        return texts(root);
    }
    let mut reader = Reader::open(&root.join("journal")).unwrap();
    let mut texts = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        texts.push(match entry.what {
            What::Statement(statement) => format!("{statement:?}"),
            What::Record(_) => "record".to_owned(),
        });
    }
    texts
}
