//! Notes of fops in flight, killed at each access to the memory: what recovery names of what has changed.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicBool;
use std::thread;

use gnotify_record::{FileType, Fop, Gfid, Link, Origin, Record, codec};
use proptest::prelude::*;

use super::notes::{NOTE_WORDS, Notes};
use super::tests::{Killed, Mortal, NOTES, SALT};
use super::*;
use crate::frame::{self, Draft, Kind, Parsed};
use crate::statement::{self, Cause, Gap, Statement};

fn link(name: &[u8]) -> Option<Link<'static>> {
    Some(Link { parent: Gfid([name.len() as u8; 16]), name: name.to_vec().into() })
}

/// Of each sort one, told apart by a number in its gfid or name.
fn record(number: u32) -> Record<'static> {
    let gfid = Gfid([&[0xaa; 12][..], &number.to_le_bytes()].concat().try_into().unwrap());
    let long = |len: usize| {
        let mut name = format!("{number:0>8}").into_bytes();
        name.resize(len, b'x');
        name
    };
    let new = |fop| Record::new(fop, Origin::SelfHeal);
    match number % 4 {
        0 => Record { gfid: Some(gfid), kind: Some(FileType::Regular), ..new(Fop::WRITE) },
        1 => Record { at: link(&long(8)), ..new(Fop::CREATE) },
        2 => Record { gfid: Some(gfid), at: link(&long(255)), marked: true, ..new(Fop::UNLINK) },
        _ => Record {
            gfid: Some(gfid),
            kind: Some(FileType::Directory),
            at: link(&long(9)),
            to: link(&long(255)),
            replaced: Some(Gfid([3; 16])),
            ..new(Fop::RENAME)
        },
    }
}

fn uncertain(number: u32) -> Record<'static> {
    Record { uncertain: true, ..record(number) }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A fop is noted, then wound: the change is made.
    Wind,
    /// The reply of one of those in flight: it is recorded.
    Reply(usize),
    /// The reply says that it failed.
    Fail(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Wind),
        2 => (0usize..8).prop_map(Step::Reply),
        1 => (0usize..8).prop_map(Step::Fail),
    ]
}

/// What became of a fop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not wound yet.
    Begun,
    /// Wound, and no record that is known of.
    Changed,
    /// Its record is in the ring; or it failed; the note may still be there.
    Answered,
    Ended,
}

fn run(memory: &Mortal, steps: &[Step], fates: &RefCell<Vec<Fate>>) {
    let ring = Ring::new(memory, SALT, 0);
    let mut in_flight: Vec<(usize, InFlight)> = Vec::new();
    let set = |fop: usize, fate| fates.borrow_mut()[fop] = fate;
    for step in steps {
        match *step {
            Step::Wind => {
                let fop = fates.borrow().len();
                fates.borrow_mut().push(Fate::Begun);
                let token = ring.begin(&record(fop as u32), fop as u64 / 2);
                set(fop, Fate::Changed);
                in_flight.push((fop, token));
            }
            Step::Reply(at) | Step::Fail(at) if at < in_flight.len() => {
                let (fop, token) = in_flight.remove(at);
                if matches!(step, Step::Reply(_)) {
                    let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &[]);
                    // Or dropped, which a gap tells.
                    ring.append(&draft);
                }
                set(fop, Fate::Answered);
                ring.end(token);
                set(fop, Fate::Ended);
            }
            Step::Reply(_) | Step::Fail(_) => {}
        }
    }
}

/// The uncertain records in `bytes`, how many more fops there were, and the lowest number behind, which
/// each frame must join.
fn told(bytes: &[u8], mut next: u64) -> (Vec<Record<'static>>, u64, u64) {
    let (mut records, mut unnamed, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let Parsed::Whole(frame) = frame::parse(&bytes[at..], SALT) else {
            panic!("no frame at byte {at}");
        };
        assert_eq!(frame.low_seq, sequence::low(next));
        match (frame.kind, statement::decode(frame.code, frame.body)) {
            (Kind::Statement, Some(Statement::Gap(Gap { to, cause: Cause::InFlight, lost }))) => {
                assert_eq!(lost, Some(to - next + 1));
                unnamed += to - next + 1;
                next = to + 1;
            }
            (Kind::Statement, Some(Statement::Void { to } | Statement::Gap(Gap { to, .. }))) => {
                next = to + 1;
            }
            _ => {
                let record =
                    codec::decode(Fop(frame.code), frame.tag, frame.time, frame.body).unwrap();
                if codec::is_uncertain(frame.tag, frame.body) {
                    records.push(record.into_owned());
                }
                next += 1;
            }
        }
        at += frame.len();
    }
    (records, unnamed, next)
}

fn check(memory: &Mortal, fates: &[Fate]) {
    memory.left.set(u64::MAX);
    let whole = recover(&memory, SALT, 1, 1, Cause::Io);
    let (records, unnamed, next) = told(&whole.bytes, 1);
    assert_eq!(whole.next, next);
    let mut changed_unnamed = 0;
    for (fop, fate) in fates.iter().enumerate() {
        let named = records.iter().filter(|record| **record == uncertain(fop as u32)).count();
        match fate {
            // Killed between the note and the wind: it may be named.
            Fate::Begun | Fate::Answered => assert!(named <= 1),
            Fate::Changed if named == 0 => changed_unnamed += 1,
            Fate::Changed => assert_eq!(named, 1),
            Fate::Ended => assert_eq!(named, 0, "fop {fop} has ended"),
        }
    }
    assert!(changed_unnamed <= unnamed, "{changed_unnamed} fops are told by nobody");
    // The last one may be half way in or out.
    assert!(unnamed <= changed_unnamed + 1);
    let known = |record: &Record<'_>| (0..fates.len()).any(|fop| *record == uncertain(fop as u32));
    assert!(records.iter().all(known), "half a note: {records:?}");
    // A recovery that is cut off goes on.
    let reserved = Reserve(memory.cell(Slot::Reserve).get()).low_seq();
    for appended in 0..=records.len() {
        let next = reserved + appended as u64;
        let rest = recover(&memory, SALT, next, 1, Cause::Io);
        assert_eq!(rest.next, whole.next);
        assert!(whole.bytes.ends_with(&rest.bytes));
        let (rest, unnamed_rest, _) = told(&rest.bytes, next);
        assert_eq!((&rest[..], unnamed_rest), (&records[appended..], unnamed));
    }
    assert!(recover(&memory, SALT, whole.next, 1, Cause::Io).bytes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn what_changed_without_a_record_is_named_whenever_the_kill_comes(
        steps in proptest::collection::vec(step(), 1..16),
    ) {
        for left in 0.. {
            let memory = Mortal::new(left, 1);
            let fates = RefCell::default();
            let done = catch_unwind(AssertUnwindSafe(|| run(&memory, &steps, &fates)));
            check(&memory, &fates.borrow());
            match done {
                Ok(()) => break,
                Err(payload) if payload.is::<Killed>() => {}
                Err(payload) => resume_unwind(payload),
            }
        }
    }
}

#[test]
fn more_fops_than_notes_are_counted() {
    let memory = Mortal::new(u64::MAX, 1);
    let ring = Ring::new(&memory, SALT, 0);
    let mut tokens: Vec<InFlight> =
        (0..NOTES as u32 + 3).map(|fop| ring.begin(&record(fop), 2)).collect();
    let (records, unnamed, next) = told(&recover(&&memory, SALT, 1, 1, Cause::Io).bytes, 1);
    assert_eq!((records.len() as u64, unnamed, next), (NOTES, 3, 8));
    // The places of those that end are taken again.
    ring.end(tokens.remove(0));
    tokens.push(ring.begin(&record(77), 2));
    let (records, unnamed, _) = told(&recover(&&memory, SALT, 1, 1, Cause::Io).bytes, 1);
    assert_eq!((records.len() as u64, unnamed), (NOTES, 3));
    assert!(records.contains(&uncertain(77)));
    assert!(ring.is_in_flight());
    tokens.into_iter().for_each(|token| ring.end(token));
    assert!(!ring.is_in_flight());
    assert!(recover(&&memory, SALT, 1, 1, Cause::Io).bytes.is_empty());
}

#[test]
fn a_count_that_cannot_be_is_not_believed() {
    let memory = Mortal::new(u64::MAX, 1);
    memory.cell(Slot::Unnamed).set(1u64.wrapping_neg());
    let found = recover(&&memory, SALT, 1, 1, Cause::Io);
    let Parsed::Whole(frame) = frame::parse(&found.bytes, SALT) else { panic!("no frame") };
    let gap = Gap { to: 1, cause: Cause::InFlight, lost: None };
    assert_eq!(statement::decode(frame.code, frame.body), Some(Statement::Gap(gap)));
    assert_eq!(found.next, 2);
}

#[test]
fn a_name_that_cannot_be_is_left_out() {
    let memory = Mortal::new(u64::MAX, 1);
    let ring = Ring::new(&memory, SALT, 0);
    let gfid = Some(Gfid([5; 16]));
    let new =
        |name: &[u8]| Record { gfid, at: link(name), ..Record::new(Fop::MKDIR, Origin::Client) };
    let mut tokens = Vec::new();
    for name in [&[b'n'; 256][..], b"", b"a/b"] {
        tokens.push(ring.begin(&new(name), 0));
    }
    let nameless = Record { at: None, uncertain: true, ..new(b"") };
    assert_eq!(Notes::read(&&memory).records, vec![nameless; 3]);
    tokens.into_iter().for_each(|token| ring.end(token));
}

proptest! {
    #[test]
    fn any_memory_is_read(words in proptest::collection::vec(any::<u64>(), NOTE_WORDS as usize)) {
        let memory = Mortal::new(u64::MAX, 1);
        for (at, word) in words.iter().enumerate() {
            memory.cell(Slot::Note(1, at as u64)).set(*word);
        }
        let found = recover(&&memory, SALT, 1, 1, Cause::Io);
        let (records, _, _) = told(&found.bytes, 1);
        prop_assert_eq!(records.len() as u64, u64::from(words[0] & 3 > 1));
    }
}

/// Threads that take notes from each other, and one that reads them meanwhile: no note is half of one.
#[test]
fn threads_share_the_notes() {
    const THREADS: u32 = 3;
    let dir = tempfile::tempdir().unwrap();
    let identity = file::Identity { epoch: [1; 16], start_id: 1, boot_id: [2; 16], salt: SALT };
    let path = dir.path().join("0.ring");
    let (_locked, mapping) = file::create(&path, crate::RING_MIN, &identity, 1).unwrap();
    let ring = Ring::new(mapping, SALT, 0);
    let done = AtomicBool::new(false);
    let rounds = &|thread: u32| {
        for round in 0..1_000u32 {
            // All of them want the same notes, and there are more fops than notes.
            let begin = |fop| ring.begin(&record(thread << 24 | round << 12 | fop), 0);
            let count = if round % 100 == 0 { 400 } else { round % 7 };
            let tokens: Vec<InFlight> = (0..count).map(begin).collect();
            tokens.into_iter().for_each(|token| ring.end(token));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|id| scope.spawn(move || rounds(id))).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for read in Notes::read(&ring.memory).records {
                    let number = match (&read.gfid, &read.at) {
                        (Some(gfid), _) => u32::from_le_bytes(*gfid.0.last_chunk().unwrap()),
                        (None, at) => {
                            let name = &at.as_ref().unwrap().name;
                            std::str::from_utf8(name).unwrap().parse().unwrap()
                        }
                    };
                    assert_eq!(read, uncertain(number));
                }
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert!(!ring.is_in_flight());
}
