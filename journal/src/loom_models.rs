//! Models of what threads do to one another: loom runs each in every order that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gnotify-journal --release --lib loom`. Each model has one
//! property and two or three threads. The memory is a ring of a few words; a frame of a statement
//! without a body takes three, a record's body here none or one more.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use loom::thread;

use gnotify_record::{Fop, Gfid, Origin, Record, codec};

use crate::bell::Bell;
use crate::frame::{self, Draft, Kind, Parsed};
use crate::ring::{
    Batch, Drain, InFlight, Load, Memory, NOTE_WORDS, Notes, Reserved, Ring, Slot, recover,
};
use crate::slices::Slices;
use crate::statement::{self, Cause, Statement};
use crate::under_way::UnderWay;

const SALT: u32 = 7;

/// How many notes the memory has where a model asks for some.
const NOTES: u64 = 1;

/// Memory of so many words, which two producers and a drain share.
struct Small {
    cursors: [AtomicU64; 6],
    notes: Vec<AtomicU64>,
    words: Vec<AtomicU64>,
}

impl Small {
    /// An empty ring, whose first number is 1.
    fn new(words: usize) -> Small {
        Small::with_notes(words, 0)
    }

    /// An empty ring beside so many notes.
    fn with_notes(words: usize, notes: u64) -> Small {
        let cursor = |value| AtomicU64::new(value);
        Small {
            // Reserved: position 0, and number 1 above its 24 bits.
            cursors: [cursor(1 << 24), cursor(0), cursor(0), cursor(1), cursor(0), cursor(0)],
            notes: (0..notes * NOTE_WORDS).map(|_| AtomicU64::new(0)).collect(),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn slot(&self, slot: Slot) -> &AtomicU64 {
        match slot {
            Slot::Reserve => &self.cursors[0],
            Slot::Dropped => &self.cursors[1],
            Slot::Drained => &self.cursors[2],
            Slot::Next => &self.cursors[3],
            Slot::Accounted => &self.cursors[4],
            Slot::Unnamed => &self.cursors[5],
            Slot::Note(note, word) => &self.notes[(note * NOTE_WORDS + word) as usize],
            Slot::Word(position) => &self.words[position as usize % self.words.len()],
        }
    }
}

impl Load for Arc<Small> {
    fn words(&self) -> u64 {
        self.words.len() as u64
    }

    fn notes(&self) -> u64 {
        self.notes.len() as u64 / NOTE_WORDS
    }

    fn load(&self, slot: Slot, order: Ordering) -> u64 {
        self.slot(slot).load(order)
    }
}

impl Memory for Arc<Small> {
    fn store(&self, slot: Slot, value: u64, order: Ordering) {
        self.slot(slot).store(value, order);
    }

    fn exchange(&self, slot: Slot, current: u64, new: u64) -> Result<u64, u64> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.slot(slot).compare_exchange(current, new, success, failure)
    }

    fn add(&self, slot: Slot, value: u64) {
        self.slot(slot).fetch_add(value, Ordering::Relaxed);
    }
}

fn ring(memory: &Arc<Small>) -> Ring<Arc<Small>> {
    Ring::new(Arc::clone(memory), SALT, 0)
}

fn append(ring: &Ring<Arc<Small>>, body: &[u8]) -> Reserved {
    ring.append(&Draft::new(SALT, Kind::Record, 13, 0, 1, body))
}

/// Models with at most so many preemptions: all of them would take hours, and faults of this sort show
/// with two or three.
fn model_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// What a stretch of frames says: numbers of records, and numbers that gaps and voids cover. That
/// they join from `next` on, and are whole, is asserted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    records: BTreeSet<u64>,
    gaps: BTreeSet<u64>,
    voids: BTreeSet<u64>,
}

impl Said {
    fn take(&mut self, bytes: &[u8], next: &mut u64) {
        let mut at = 0;
        while at < bytes.len() {
            let Parsed::Whole(frame) = frame::parse(&bytes[at..], SALT) else {
                panic!("a broken frame");
            };
            assert_eq!(frame.low_seq, *next);
            match (frame.kind, statement::decode(frame.code, frame.body)) {
                (Kind::Statement, Some(Statement::Gap(gap))) => {
                    self.gaps.extend(*next..=gap.to);
                    *next = gap.to;
                }
                (Kind::Statement, Some(Statement::Void { to })) => {
                    self.voids.extend(*next..=to);
                    *next = to;
                }
                _ => {
                    self.records.insert(*next);
                }
            }
            *next += 1;
            at += frame.len();
        }
    }
}

/// Reads and gives back what is there.
fn drain_once(drain: &mut Drain, ring: &Ring<Arc<Small>>, said: &mut Said) -> bool {
    let (mut batch, mut next) = (Batch::default(), drain.next());
    drain.read(ring, &mut batch, usize::MAX, 1).unwrap();
    let Some(last) = batch.marks.last() else { return false };
    said.take(&batch.bytes, &mut next);
    drain.consume(ring, last);
    assert_eq!(drain.next(), next);
    true
}

fn two_producers(words: usize) {
    loom::model(move || {
        let memory = Arc::new(Small::new(words));
        let producers: Vec<_> = [b"".as_slice(), b"word two"]
            .into_iter()
            .map(|body| {
                let ring = ring(&memory);
                thread::spawn(move || append(&ring, body))
            })
            .collect();
        let ring = ring(&memory);
        let (mut drain, mut said) = (Drain::new(&ring), Said::default());
        drain_once(&mut drain, &ring, &mut said);
        let mut answers = Said::default();
        for producer in producers {
            match producer.join().unwrap() {
                Reserved::Place { seq, .. } => answers.records.insert(seq),
                Reserved::Dropped(seq) => answers.gaps.insert(seq),
                Reserved::Refused => panic!("only an offer is refused"),
            };
        }
        while drain_once(&mut drain, &ring, &mut said) {}
        assert!(drain.is_all(&ring));
        assert_eq!(said, answers, "each number is told as it was answered");
        assert_eq!(ring.dropped(), answers.gaps.len() as u64);
        assert_eq!(memory.slot(Slot::Accounted).load(Ordering::Relaxed), ring.dropped());
        assert!(memory.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    });
}

#[test]
fn loom_reserve_and_commit_against_drain() {
    two_producers(8);
}

#[test]
fn loom_reserve_and_commit_against_full() {
    two_producers(4);
}

/// One producer laps a ring with room for one frame, so that its words are used again.
#[test]
fn loom_words_are_used_again() {
    loom::model(|| {
        let memory = Arc::new(Small::new(4));
        let producer = {
            let ring = ring(&memory);
            thread::spawn(move || [append(&ring, b"first"), append(&ring, b"second")])
        };
        let ring = ring(&memory);
        let (mut drain, mut said) = (Drain::new(&ring), Said::default());
        drain_once(&mut drain, &ring, &mut said);
        drain_once(&mut drain, &ring, &mut said);
        let answers = producer.join().unwrap();
        while drain_once(&mut drain, &ring, &mut said) {}
        let there = |answer: &&Reserved| matches!(answer, Reserved::Place { .. });
        assert_eq!(said.records.len(), answers.iter().filter(there).count());
        assert_eq!(said.records.len() + said.gaps.len(), 2);
    });
}

/// A recovery that reads the ring at any moment finds each record that was acknowledged before, and no
/// broken one. (A kill stops the threads, which allows less than they may do here.)
#[test]
fn loom_reserve_and_commit_against_startup() {
    model_within(3, || {
        let memory = Arc::new(Small::new(8));
        let acknowledged = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        for body in [b"".as_slice(), b"word two"] {
            let (ring, acknowledged) = (ring(&memory), Arc::clone(&acknowledged));
            thread::spawn(move || {
                if let Reserved::Place { seq, .. } = append(&ring, body) {
                    acknowledged[seq as usize - 1].store(true, Ordering::Release);
                }
            });
        }
        let before: Vec<u64> =
            (1..=2).filter(|seq| acknowledged[*seq as usize - 1].load(Ordering::Acquire)).collect();
        let found = recover(&memory, SALT, 1, 1, Cause::Io);
        let (mut said, mut next) = (Said::default(), 1);
        said.take(&found.bytes, &mut next);
        assert_eq!(next, found.next);
        assert!(before.iter().all(|seq| said.records.contains(seq)));
        assert!(said.gaps.is_empty());
    });
}

/// A change, told apart by its number.
fn change(number: u8) -> Record<'static> {
    Record { gfid: Some(Gfid([number; 16])), ..Record::new(Fop::WRITE, Origin::Client) }
}

fn begin(ring: &Ring<Arc<Small>>, number: u8) -> InFlight {
    ring.begin(&change(number), 0)
}

/// A recovery that comes at any moment knows of each change that was made before: by its record, by a note,
/// or as one of those that found no free note. (There is one note for two fops.)
#[test]
fn loom_notes_against_startup() {
    model_within(2, || {
        let memory = Arc::new(Small::with_notes(16, NOTES));
        let changed = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        for number in [1, 2] {
            let (ring, changed) = (ring(&memory), Arc::clone(&changed));
            thread::spawn(move || {
                let in_flight = begin(&ring, number);
                changed[usize::from(number) - 1].store(true, Ordering::Release);
                append(&ring, &[number; 8]);
                ring.end(in_flight);
            });
        }
        let before: Vec<u8> =
            (1..=2).filter(|n| changed[usize::from(*n) - 1].load(Ordering::Acquire)).collect();
        let found = recover(&memory, SALT, 1, 1, Cause::Io);
        let (mut recorded, mut named, mut unnamed, mut at) = (vec![], vec![], 0, 0);
        while at < found.bytes.len() {
            let Parsed::Whole(frame) = frame::parse(&found.bytes[at..], SALT) else {
                panic!("a broken frame");
            };
            match (frame.kind, statement::decode(frame.code, frame.body)) {
                (Kind::Record, _) if codec::is_uncertain(frame.tag, frame.body) => {
                    let read = codec::decode(Fop(frame.code), frame.tag, 1, frame.body).unwrap();
                    let number = read.gfid.unwrap().0[0];
                    assert_eq!(read, Record { uncertain: true, ..change(number) });
                    named.push(number);
                }
                (Kind::Record, _) => recorded.push(frame.body[0]),
                (_, Some(Statement::Gap(gap))) => {
                    assert_eq!(gap.cause, Cause::InFlight);
                    unnamed += gap.lost.unwrap();
                }
                // Reserved, not committed.
                (_, statement) => assert!(matches!(statement, Some(Statement::Void { .. }))),
            }
            at += frame.len();
        }
        let untold =
            before.iter().filter(|number| !recorded.contains(number) && !named.contains(number));
        assert!(untold.count() as u64 <= unnamed, "{before:?}: {recorded:?} {named:?} {unnamed}");
    });
}

/// Whoever reads the notes meanwhile gets no half of one, also where a note is taken again.
#[test]
fn loom_notes_are_whole() {
    model_within(3, || {
        let memory = Arc::new(Small::with_notes(8, NOTES));
        let fops = {
            let ring = ring(&memory);
            thread::spawn(move || {
                for number in [1, 2] {
                    let in_flight = begin(&ring, number);
                    ring.end(in_flight);
                }
            })
        };
        // A thread of its own: loom takes less trouble to interrupt the first one.
        let reader = thread::spawn(move || {
            for record in Notes::read(&memory).records {
                let number = record.gfid.unwrap().0[0];
                assert!((1..=2).contains(&number));
                assert_eq!(record, Record { uncertain: true, ..change(number) });
            }
        });
        fops.join().unwrap();
        reader.join().unwrap();
    });
}

/// Two fops that want one note: each has it alone, or is counted.
#[test]
fn loom_a_note_is_of_one_fop() {
    loom::model(|| {
        let memory = Arc::new(Small::with_notes(8, NOTES));
        let fops: Vec<_> = [1, 2]
            .into_iter()
            .map(|number| {
                let (ring, memory) = (ring(&memory), Arc::clone(&memory));
                thread::spawn(move || {
                    let in_flight = begin(&ring, number);
                    let notes = Notes::read(&memory);
                    let own = Record { uncertain: true, ..change(number) };
                    assert!(notes.unnamed > 0 || notes.records.contains(&own));
                    ring.end(in_flight);
                })
            })
            .collect();
        for fop in fops {
            fop.join().unwrap();
        }
        assert!(!ring(&memory).is_in_flight());
    });
}

/// A recovery beside a drain: what the segment does not have is in the ring.
#[test]
fn loom_drain_against_startup() {
    loom::model(|| {
        let memory = Arc::new(Small::new(8));
        let producer = ring(&memory);
        append(&producer, b"");
        append(&producer, b"word two");
        // The segment: up to which number it has entries.
        let segment = Arc::new(AtomicU64::new(1));
        let killed = {
            let (ring, segment) = (ring(&memory), Arc::clone(&segment));
            thread::spawn(move || {
                let mut drain = Drain::new(&ring);
                let mut batch = Batch::default();
                drain.read(&ring, &mut batch, 1, 1).unwrap();
                segment.store(2, Ordering::Release);
                drain.consume(&ring, &batch.marks[0]);
            })
        };
        // A thread of its own: loom takes less trouble to interrupt the first one.
        let startup = thread::spawn(move || {
            // The ring first: here the drain goes on meanwhile, which a killed one does not.
            let found = recover(&memory, SALT, 1, 1, Cause::Io);
            let expected = segment.load(Ordering::Acquire);
            let (mut said, mut next) = (Said::default(), 1);
            said.take(&found.bytes, &mut next);
            for seq in expected..=2 {
                assert!(
                    said.records.contains(&seq),
                    "{seq} is neither in the ring nor the segment"
                );
            }
        });
        killed.join().unwrap();
        startup.join().unwrap();
    });
}

/// A journal thread that goes to sleep while a producer appends is woken: otherwise the model never ends.
#[test]
fn loom_a_wakeup_is_never_lost() {
    model_within(3, || {
        const PRODUCERS: usize = 2;
        let memory = Arc::new(Small::new(8));
        let bell = Arc::new(Bell::new());
        bell.claim();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| {
                let (ring, bell) = (ring(&memory), Arc::clone(&bell));
                thread::spawn(move || {
                    append(&ring, b"");
                    bell.knock();
                })
            })
            .collect();
        let ring = ring(&memory);
        let (mut drain, mut said) = (Drain::new(&ring), Said::default());
        while said.records.len() < PRODUCERS {
            if !drain_once(&mut drain, &ring, &mut said) {
                bell.sleep(|| drain.is_all(&ring), thread::park);
                // Reserved, not committed: the journal thread naps then.
                thread::yield_now();
            }
        }
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

/// A change that is left out of the record because its inode has one from the slice was made before the
/// slice's end: a consumer that looks at the inode after that statement sees it.
#[test]
fn loom_slice_end_against_dedupe() {
    const CHANGES: u64 = 2;
    loom::model(|| {
        let slices = Arc::new(Slices::new());
        let file = Arc::new(AtomicU64::new(0));
        // The journal: how many records it has, and how many of them stand before the slice's end.
        let records = Arc::new(AtomicU64::new(0));
        let end = Arc::new(AtomicU64::new(u64::MAX));
        let fops = {
            let (slices, file) = (Arc::clone(&slices), Arc::clone(&file));
            let records = Arc::clone(&records);
            thread::spawn(move || {
                let mut mark = None;
                for change in 1..=CHANGES {
                    file.store(change, Ordering::Relaxed);
                    // The system call that made the change.
                    fence(Ordering::SeqCst);
                    let slice = slices.now();
                    if slice.is_none() || slice != mark {
                        records.fetch_add(1, Ordering::AcqRel);
                        mark = slice;
                    }
                }
            })
        };
        let consumer = {
            let (file, end) = (Arc::clone(&file), Arc::clone(&end));
            thread::spawn(move || {
                let before = end.load(Ordering::Acquire);
                // The system call that looks at the file.
                fence(Ordering::SeqCst);
                (before != u64::MAX).then(|| (before, file.load(Ordering::Relaxed)))
            })
        };
        slices.end(|_| {
            // An exchange, so that this and the records are in one order, as in the ring.
            let before = records.fetch_add(0, Ordering::AcqRel);
            end.store(before, Ordering::Release);
            true
        });
        fops.join().unwrap();
        let looked = consumer.join().unwrap();
        if let Some((before, seen)) = looked {
            // A record behind the slice's end makes the consumer look again.
            let again = records.load(Ordering::Relaxed) > before;
            assert!(seen == CHANGES || again, "the last change is told by nobody: saw {seen}");
        }
        assert_eq!(slices.now().map(u64::from), Some(2));
    });
}

/// A barrier that holds fops back: once it is up and those under way are waited for, nothing changes any more. A
/// drain that gave up before does not make the next one forget anybody.
#[test]
fn loom_drain_against_fops() {
    model_within(2, || {
        let (fops, held) = (Arc::new(UnderWay::new()), Arc::new(AtomicBool::new(false)));
        let file = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (fops, held) = (Arc::clone(&fops), Arc::clone(&held));
                let file = Arc::clone(&file);
                thread::spawn(move || {
                    let turn = fops.enter();
                    if !held.load(Ordering::SeqCst) {
                        file.fetch_add(1, Ordering::Relaxed);
                    }
                    fops.leave(turn);
                })
            })
            .collect();
        let given_up = fops.drain_while(|| false);
        held.store(true, Ordering::SeqCst);
        assert!(fops.drain_while(|| {
            thread::yield_now();
            true
        }));
        let seen = file.load(Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(file.load(Ordering::Relaxed), seen, "a change behind the drain ({given_up})");
    });
}
