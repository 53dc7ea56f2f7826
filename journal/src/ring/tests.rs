//! A run of the ring, killed at each single access to its memory: what recovery makes of what is left.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use super::notes::NOTE_WORDS;
use super::*;
use crate::frame::{self, Draft, Kind, Parsed};
use crate::statement::{self, Cause, Gap, Statement};

pub(super) const SALT: u32 = 0x5a17;
const WORDS: u64 = 32;
/// How many notes there are.
pub(super) const NOTES: u64 = 4;
/// Where they begin, behind the cursors.
const NOTES_AT: usize = 6;
const WORDS_AT: usize = NOTES_AT + (NOTES * NOTE_WORDS) as usize;
const HEADROOM: u64 = 4;

/// Memory that outlives a kill, which comes before the access at which nothing is left.
pub(super) struct Mortal {
    cells: Vec<Cell<u64>>,
    pub(super) left: Cell<u64>,
}

pub(super) struct Killed;

impl Mortal {
    pub(super) fn new(left: u64, next: u64) -> Mortal {
        let cells = vec![Cell::new(0); WORDS_AT + WORDS as usize];
        let memory = Mortal { cells, left: Cell::new(left) };
        memory.cell(Slot::Reserve).set(Reserve::new(0, next).0);
        memory.cell(Slot::Next).set(next);
        memory
    }

    pub(super) fn cell(&self, slot: Slot) -> &Cell<u64> {
        &self.cells[match slot {
            Slot::Reserve => 0,
            Slot::Dropped => 1,
            Slot::Drained => 2,
            Slot::Next => 3,
            Slot::Accounted => 4,
            Slot::Unnamed => 5,
            Slot::Note(note, word) => NOTES_AT + (note * NOTE_WORDS + word) as usize,
            Slot::Word(position) => WORDS_AT + (position % WORDS) as usize,
        }]
    }

    fn access(&self, slot: Slot) -> &Cell<u64> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => resume_unwind(Box::new(Killed)),
        }
        self.cell(slot)
    }
}

impl Load for &Mortal {
    fn words(&self) -> u64 {
        WORDS
    }

    fn notes(&self) -> u64 {
        NOTES
    }

    fn load(&self, slot: Slot, _order: Ordering) -> u64 {
        self.access(slot).get()
    }
}

impl Memory for &Mortal {
    fn store(&self, slot: Slot, value: u64, _order: Ordering) {
        self.access(slot).set(value);
    }

    fn exchange(&self, slot: Slot, current: u64, new: u64) -> Result<u64, u64> {
        let cell = self.access(slot);
        let found = cell.get();
        if found == current {
            cell.set(new);
            return Ok(found);
        }
        Err(found)
    }

    fn add(&self, slot: Slot, value: u64) {
        let cell = self.access(slot);
        cell.set(cell.get().wrapping_add(value));
    }
}

/// What happens in a run.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A fop appends a record with a body of so many bytes.
    Append(usize),
    /// A fop reserves and gets no further.
    Abandon(usize),
    /// The journal thread's own statement.
    OfferAhead,
    /// The journal thread carries up to so many frames to the segment.
    Drain(usize),
    /// The journal thread gives up frames, because the brick cannot be written.
    WriteOff,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..40).prop_map(Step::Append),
        1 => (0usize..40).prop_map(Step::Abandon),
        1 => Just(Step::OfferAhead),
        3 => (1usize..5).prop_map(Step::Drain),
        1 => Just(Step::WriteOff),
    ]
}

/// What the run's fops and its brick know: it outlives the kill too.
#[derive(Default)]
struct Witness {
    segment: RefCell<Vec<u8>>,
    acknowledged: RefCell<BTreeSet<u64>>,
    dropped: RefCell<BTreeSet<u64>>,
    /// Numbers up to which entries were written off.
    written_off: Cell<u64>,
}

fn run(memory: &Mortal, steps: &[Step], witness: &Witness) {
    let ring = Ring::new(memory, SALT, HEADROOM);
    let mut drain = Drain::new(&ring);
    let mut batch = Batch::default();
    // As the journal thread does: after an outage that lost something, a GAP comes first.
    let mut outage: Option<u64> = None;
    for step in steps {
        match *step {
            Step::Append(len) => {
                let body = vec![0xab; len];
                let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &body);
                match ring.append(&draft) {
                    Reserved::Place { seq, .. } => witness.acknowledged.borrow_mut().insert(seq),
                    Reserved::Dropped(seq) => witness.dropped.borrow_mut().insert(seq),
                    Reserved::Refused => unreachable!("a record is dropped instead"),
                };
            }
            Step::Abandon(len) => {
                let body = vec![0xab; len];
                let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &body);
                if let Reserved::Dropped(seq) = ring.abandon(&draft) {
                    witness.dropped.borrow_mut().insert(seq);
                }
            }
            Step::OfferAhead => {
                let draft = Draft::new(SALT, Kind::Statement, 2, 0, 1, &[]);
                if let Reserved::Place { seq, .. } = ring.offer_ahead(&draft) {
                    witness.acknowledged.borrow_mut().insert(seq);
                }
            }
            Step::Drain(frames) => {
                drain.read(&ring, &mut batch, usize::MAX, 1).unwrap();
                let Some(mark) = batch.marks.iter().take(frames).next_back().copied() else {
                    continue;
                };
                if let Some(from) = outage.take() {
                    put_gap(witness, from, drain.next() - 1);
                }
                witness.segment.borrow_mut().extend_from_slice(&batch.bytes[..mark.end]);
                drain.consume(&ring, &mark);
            }
            Step::WriteOff => {
                drain.read(&ring, &mut batch, usize::MAX, 1).unwrap();
                let Some(mark) = batch.marks.first().copied() else { continue };
                outage.get_or_insert(drain.next());
                witness.written_off.set(mark.next);
                drain.consume(&ring, &mark);
            }
        }
    }
}

fn put_gap(witness: &Witness, from: u64, to: u64) {
    let gap = Statement::Gap(Gap { to, cause: Cause::Io, lost: None });
    let mut body = crate::statement::Body::default();
    let draft = body.draft(SALT, Kind::Statement, 1, &gap);
    draft.put(from, &mut witness.segment.borrow_mut());
}

/// What a segment says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    There,
    Gap(Cause, bool),
    Void,
}

/// The fate of each number from `first` on; that they follow one another is asserted.
fn fates(bytes: &[u8], first: u64) -> Vec<Fate> {
    let mut fates = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Parsed::Whole(frame) = frame::parse(&bytes[at..], SALT) else {
            panic!("no frame at byte {at}");
        };
        let next = first + fates.len() as u64;
        assert_eq!(frame.low_seq, sequence::low(next), "at byte {at}");
        let (fate, to) = match (frame.kind, statement::decode(frame.code, frame.body)) {
            (Kind::Statement, Some(Statement::Gap(gap))) => {
                if let Some(lost) = gap.lost {
                    assert_eq!(lost, gap.to - next + 1);
                }
                (Fate::Gap(gap.cause, gap.lost.is_some()), gap.to)
            }
            (Kind::Statement, Some(Statement::Void { to })) => (Fate::Void, to),
            _ => (Fate::There, next),
        };
        assert!(to >= next);
        fates.resize((to - first + 1) as usize, fate);
        at += frame.len();
    }
    fates
}

fn check(memory: &Mortal, witness: &Witness, first: u64) {
    memory.left.set(u64::MAX);
    let mut bytes = witness.segment.borrow().clone();
    let expected = first + fates(&bytes, first).len() as u64;
    let found = recover(&memory, SALT, expected, 1, Cause::Io);
    bytes.extend_from_slice(&found.bytes);
    let fates = fates(&bytes, first);
    assert_eq!(first + fates.len() as u64, found.next);
    let reserved = Reserve(memory.cell(Slot::Reserve).get()).low_seq();
    assert_eq!(sequence::low(found.next), reserved, "each reserved number is accounted for");

    let fate = |seq: u64| fates[(seq - first) as usize];
    let written_off = witness.written_off.get();
    for seq in witness.acknowledged.borrow().iter() {
        let lost_to_outage = *seq < written_off && matches!(fate(*seq), Fate::Gap(Cause::Io, _));
        assert!(fate(*seq) == Fate::There || lost_to_outage, "{seq}: {:?}", fate(*seq));
    }
    for seq in witness.dropped.borrow().iter() {
        let told = matches!(fate(*seq), Fate::Gap(Cause::RingFull | Cause::Io, _));
        assert!(told, "dropped {seq}: {:?}", fate(*seq));
    }
    // A void or an exact gap is not said of what may be something else.
    let acknowledged = witness.acknowledged.borrow();
    let dropped = witness.dropped.borrow();
    for (seq, fate) in (first..).zip(&fates) {
        match fate {
            Fate::Void => assert!(!acknowledged.contains(&seq) && !dropped.contains(&seq)),
            Fate::Gap(Cause::RingFull, true) => assert!(!acknowledged.contains(&seq)),
            _ => {}
        }
    }
    // What was recovered is not recovered again.
    assert!(recover(&memory, SALT, found.next, 1, Cause::Io).bytes.is_empty());
}

/// Runs the steps, killed at each access in turn.
fn kill_everywhere(steps: &[Step], first: u64) {
    for left in 0.. {
        let (memory, witness) = (Mortal::new(left, first), Witness::default());
        let done = catch_unwind(AssertUnwindSafe(|| run(&memory, steps, &witness)));
        check(&memory, &witness, first);
        match done {
            Ok(()) => return,
            Err(payload) if payload.is::<Killed>() => {}
            Err(payload) => resume_unwind(payload),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn recovery_from_every_prefix_of_a_run(
        steps in proptest::collection::vec(step(), 1..24),
        // Also where the 40 bits that travel, and the positions, wrap around.
        first in prop_oneof![Just(1u64), (1u64 << 40) - 4..(1 << 40) + 2],
    ) {
        kill_everywhere(&steps, first);
    }
}

#[test]
fn a_full_ring_is_drained_once_around() {
    let memory = Mortal::new(u64::MAX, 1);
    let ring = Ring::new(&memory, SALT, 0);
    let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &[1; 8]);
    for seq in 1..=8 {
        assert!(matches!(ring.append(&draft), Reserved::Place { seq: got, .. } if got == seq));
    }
    assert_eq!(ring.append(&draft), Reserved::Dropped(9));
    assert_eq!(ring.offer(&draft), Reserved::Refused);
    assert_eq!((ring.used(), ring.dropped(), ring.next_seq()), (WORDS, 1, 10));
    let (mut drain, mut batch) = (Drain::new(&ring), Batch::default());
    drain.read(&ring, &mut batch, usize::MAX, 1).unwrap();
    let last = *batch.marks.last().unwrap();
    let mut all = vec![Fate::There; 8];
    all.push(Fate::Gap(Cause::RingFull, true));
    assert_eq!(fates(&batch.bytes, 1), all);
    drain.consume(&ring, &last);
    assert!(drain.is_all(&ring));
    assert_eq!((ring.used(), ring.consumed()), (0, 10));
    assert!(memory.cells[WORDS_AT..].iter().all(|word| word.get() == 0), "what is drained is zero");
}

#[test]
fn positions_wrap_around() {
    let memory = Mortal::new(u64::MAX, 1);
    let start = POSITION_MASK - 10;
    memory.cell(Slot::Reserve).set(Reserve::new(start, 1).0);
    memory.cell(Slot::Drained).set(start);
    let ring = Ring::new(&memory, SALT, HEADROOM);
    let (mut drain, mut batch) = (Drain::new(&ring), Batch::default());
    let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &[1; 32]);
    for seq in 1..20 {
        assert!(matches!(ring.append(&draft), Reserved::Place { seq: got, .. } if got == seq));
        drain.read(&ring, &mut batch, usize::MAX, 1).unwrap();
        assert_eq!(fates(&batch.bytes, seq), [Fate::There]);
        let last = *batch.marks.last().unwrap();
        drain.consume(&ring, &last);
    }
    assert!(memory.cell(Slot::Drained).get() < start, "it went around");
}

#[test]
fn a_flipped_bit_in_the_ring_becomes_a_gap() {
    let memory = Mortal::new(u64::MAX, 1);
    let ring = Ring::new(&memory, SALT, HEADROOM);
    let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &[1; 8]);
    for _ in 0..3 {
        ring.append(&draft);
    }
    let word = memory.cell(Slot::Word(4 + 3));
    word.set(word.get() ^ 0x10);
    let mut batch = Batch::default();
    Drain::new(&ring).read(&ring, &mut batch, usize::MAX, 1).unwrap();
    let damaged = Fate::Gap(Cause::Damaged, true);
    assert_eq!(fates(&batch.bytes, 1), [Fate::There, damaged, Fate::There]);
    // A commit word that is none leads nowhere.
    memory.cell(Slot::Word(4)).set(1);
    assert_eq!(Drain::new(&ring).read(&ring, &mut batch, usize::MAX, 1), Err(RingDamaged));
}

#[test]
fn what_a_client_writes_does_not_become_a_frame() {
    // A frame as somebody would make it who does not know the salt, as the body of one that is cut off.
    let mut forged = Vec::new();
    Draft::new(SALT + 1, Kind::Record, 13, 0, 1, b"forged").put(1, &mut forged);
    let memory = Mortal::new(u64::MAX, 1);
    let ring = Ring::new(&memory, SALT, HEADROOM);
    let draft = Draft::new(SALT, Kind::Record, 13, 0, 1, &forged);
    let Reserved::Place { position, .. } = ring.append(&draft) else { panic!("there is room") };
    memory.cell(Slot::Word(position)).set(0);
    let found = recover(&&memory, SALT, 1, 1, Cause::Io);
    assert_eq!(fates(&found.bytes, 1), [Fate::Void]);
}
