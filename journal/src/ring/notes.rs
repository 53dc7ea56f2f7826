//! What fops in flight have noted: which objects may have changed without a record when a kill comes.
//!
//! A fop notes what it is about to change before it is wound, and clears the note when its record is in
//! the ring, or when none is due. The notes have fixed places beside the ring. A fop looks for a free one
//! from where its thread most likely had its last; that line is in this core's cache. Where all are taken,
//! the fop is only counted, and recovery can say no more than that something may have changed.
//!
//! FORMAT: `docs/format.md` draws a note. INVARIANT: from the claim of a note to its end, only the fop that
//! claimed it stores to it, and no state word comes again before 2^24 fops had the note. So what is
//! read between two equal looks at the state is whole.

use std::borrow::Cow;

use gnotify_record::{FileType, Fop, Gfid, Link, Origin, Record};

use super::{Load, Memory, Ring, Slot};
use crate::sync::{AtomicU64, Ordering, fence};

/// Length of a note in words: ten cache lines, of which most fops write one.
pub(crate) const NOTE_WORDS: u64 = 80;

/// How many notes a fop looks at before it looks elsewhere.
const NEAR: u64 = 8;

/// Where fops look next that found none near. Apart from what each append reads.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Rotation(AtomicU64);

impl Rotation {
    pub(super) fn new() -> Rotation {
        Rotation(AtomicU64::new(0))
    }
}

/// The longest name that a file system takes. A fop with a longer one fails.
const NAME_MAX: usize = 255;

/// Words of a note.
mod at {
    pub(super) const STATE: u64 = 0;
    pub(super) const GFID: u64 = 1;
    pub(super) const PARENT: u64 = 3;
    pub(super) const NAME: u64 = 5;
    pub(super) const NEW_PARENT: u64 = 37;
    pub(super) const REPLACED: u64 = 39;
    pub(super) const NEW_NAME: u64 = 41;
}

/// The first word of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State(u64);

/// Bits of the state: phase, fields, fop, lengths of the names, origin, type, and how often the note was taken.
mod bit {
    pub(super) const PHASE: u64 = 3;
    pub(super) const GFID: u64 = 1 << 2;
    pub(super) const REPLACED: u64 = 1 << 3;
    pub(super) const MARKED: u64 = 1 << 4;
    pub(super) const FOP: u32 = 8;
    pub(super) const NAME: u32 = 16;
    pub(super) const NEW_NAME: u32 = 24;
    pub(super) const ORIGIN: u32 = 32;
    pub(super) const FILE_TYPE: u32 = 36;
    pub(super) const TAKEN: u32 = 40;
}

/// Phases of a note.
mod phase {
    pub(super) const FREE: u64 = 0;
    /// Its fop is not wound yet.
    pub(super) const BEING_WRITTEN: u64 = 1;
    pub(super) const SET: u64 = 2;
}

impl State {
    fn phase(self) -> u64 {
        self.0 & bit::PHASE
    }

    fn byte(self, shift: u32) -> u8 {
        (self.0 >> shift) as u8
    }

    /// Free, and taken as often.
    fn cleared(self) -> State {
        State(self.0 >> bit::TAKEN << bit::TAKEN)
    }
}

/// A fop that may have changed something and has no record yet: what [`crate::Journal::begin`] gives and
/// [`crate::Journal::end`] takes back.
#[derive(Debug, Default)]
#[must_use = "a fop whose end is not told takes a place for ever"]
pub struct InFlight(Place);

#[derive(Debug, Default)]
enum Place {
    /// It changes nothing.
    #[default]
    None,
    /// It has a note.
    Noted { note: u32, free: State },
    /// It is only counted.
    Unnamed,
}

impl InFlight {
    /// Of a fop that changes nothing.
    pub const NONE: InFlight = InFlight(Place::None);
}

impl<M: Memory> Ring<M> {
    /// Notes what `record` is about to change. `hint` is where to look for a free note first.
    pub(crate) fn begin(&self, record: &Record<'_>, hint: u64) -> InFlight {
        let Some((note, state)) = self.claim(hint) else {
            self.memory.add(Slot::Unnamed, 1);
            return InFlight(Place::Unnamed);
        };
        // Whoever sees a word that is stored from here on does not see the note as it was before the claim.
        fence(Ordering::Release);
        let writer = Writer { memory: &self.memory, note };
        let mut set = state.0 & !bit::PHASE
            | phase::SET
            | u64::from(record.fop.0) << bit::FOP
            | u64::from(record.origin.bits()) << bit::ORIGIN
            | record.kind.map_or(0, |kind| kind as u64) << bit::FILE_TYPE;
        if record.marked {
            set |= bit::MARKED;
        }
        if let Some(gfid) = record.gfid {
            set |= bit::GFID;
            writer.gfid(at::GFID, gfid);
        }
        if let Some(link) = &record.at {
            set |= writer.link(at::PARENT, at::NAME, link) << bit::NAME;
        }
        if let Some(link) = &record.to {
            set |= writer.link(at::NEW_PARENT, at::NEW_NAME, link) << bit::NEW_NAME;
        }
        if let Some(gfid) = record.replaced {
            set |= bit::REPLACED;
            writer.gfid(at::REPLACED, gfid);
        }
        self.memory.store(Slot::Note(note, at::STATE), set, Ordering::Release);
        InFlight(Place::Noted { note: note as u32, free: state.cleared() })
    }

    /// The fop's record is in the ring, or none is due.
    #[inline]
    pub(crate) fn end(&self, in_flight: InFlight) {
        match in_flight.0 {
            Place::None => {}
            Place::Noted { note, free } => {
                let state = Slot::Note(u64::from(note), at::STATE);
                self.memory.store(state, free.0, Ordering::Release);
            }
            Place::Unnamed => {
                fence(Ordering::Release);
                self.memory.add(Slot::Unnamed, 1u64.wrapping_neg());
            }
        }
    }

    /// Takes a free note and gives its state from then on.
    fn claim(&self, hint: u64) -> Option<(u64, State)> {
        let notes = self.memory.notes();
        let mut note = hint % notes;
        let near = NEAR.min(notes);
        for tried in 0..notes + near {
            let state = Slot::Note(note, at::STATE);
            let found = State(self.memory.load(state, Ordering::Relaxed));
            if found.phase() == phase::FREE {
                let taken = (found.0 >> bit::TAKEN) + 1;
                let claimed = State(taken << bit::TAKEN | phase::BEING_WRITTEN);
                if self.memory.exchange(state, found.0, claimed.0).is_ok() {
                    return Some((note, claimed));
                }
            }
            // A thread that begins many fops ahead of their ends must not pass all of them each time.
            let far = tried + 1 == near;
            let next = if far { self.rotation.0.fetch_add(1, Ordering::Relaxed) } else { note + 1 };
            note = next % notes;
        }
        None
    }
}

impl<M: Load> Ring<M> {
    /// Whether some fop is between [`Ring::begin`] and [`Ring::end`].
    pub(crate) fn is_in_flight(&self) -> bool {
        let state = |note| State(self.memory.load(Slot::Note(note, at::STATE), Ordering::Acquire));
        self.memory.load(Slot::Unnamed, Ordering::Acquire) != 0
            || (0..self.memory.notes()).any(|note| state(note).phase() != phase::FREE)
    }
}

/// Stores to a note that is claimed.
struct Writer<'a, M> {
    memory: &'a M,
    note: u64,
}

impl<M: Memory> Writer<'_, M> {
    #[inline]
    fn word(&self, word: u64, bytes: [u8; 8]) {
        let value = u64::from_le_bytes(bytes);
        self.memory.store(Slot::Note(self.note, word), value, Ordering::Relaxed);
    }

    #[inline]
    fn gfid(&self, word: u64, gfid: Gfid) {
        let (words, _) = gfid.0.as_chunks::<8>();
        self.word(word, words[0]);
        self.word(word + 1, words[1]);
    }

    /// Stores a link and gives the length of its name; 0: it is not stored.
    #[inline]
    fn link(&self, parent: u64, name: u64, link: &Link<'_>) -> u64 {
        if link.name.len() > NAME_MAX {
            return 0;
        }
        self.gfid(parent, link.parent);
        let (words, rest) = link.name.as_chunks::<8>();
        let mut word = name;
        for bytes in words {
            self.word(word, *bytes);
            word += 1;
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(word, last);
        }
        link.name.len() as u64
    }
}

/// What fops were about to change when their process was killed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// As [`Ring::begin`] got them, marked as uncertain.
    pub(crate) records: Vec<Record<'static>>,
    /// How many fops were only counted.
    pub(crate) unnamed: u64,
}

impl Notes {
    /// Reads the notes that are set. Of a fop that ends meanwhile, the ring must be read afterwards.
    pub(crate) fn read(memory: &impl Load) -> Notes {
        let unnamed = memory.load(Slot::Unnamed, Ordering::Relaxed);
        let records = (0..memory.notes()).filter_map(|note| read(memory, note)).collect();
        fence(Ordering::Acquire);
        Notes { records, unnamed }
    }
}

fn read(memory: &impl Load, note: u64) -> Option<Record<'static>> {
    loop {
        let state = State(memory.load(Slot::Note(note, at::STATE), Ordering::Acquire));
        if matches!(state.phase(), phase::FREE | phase::BEING_WRITTEN) {
            return None;
        }
        let word = |word| memory.load(Slot::Note(note, word), Ordering::Relaxed).to_le_bytes();
        let gfid = |at| {
            let mut gfid = Gfid::NULL;
            gfid.0[..8].copy_from_slice(&word(at));
            gfid.0[8..].copy_from_slice(&word(at + 1));
            gfid
        };
        let link = |parent, name: u64, len: u8| {
            let words = u64::from(len.div_ceil(8));
            let mut name: Vec<u8> = (name..name + words).flat_map(word).collect();
            name.truncate(usize::from(len));
            // What cannot be a name is not taken for one, should the memory be at fault.
            let is_name = !name.is_empty() && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
            is_name.then(|| Link { parent: gfid(parent), name: Cow::Owned(name) })
        };
        let fop = Fop(state.byte(bit::FOP));
        let origin = Origin::from_bits(state.byte(bit::ORIGIN) & 0xf);
        let record = Record {
            gfid: (state.0 & bit::GFID != 0).then(|| gfid(at::GFID)),
            kind: FileType::from_host(u32::from(state.byte(bit::FILE_TYPE) & 0xf)),
            at: link(at::PARENT, at::NAME, state.byte(bit::NAME)),
            to: link(at::NEW_PARENT, at::NEW_NAME, state.byte(bit::NEW_NAME)),
            replaced: (state.0 & bit::REPLACED != 0).then(|| gfid(at::REPLACED)),
            marked: state.0 & bit::MARKED != 0,
            uncertain: true,
            ..Record::new(fop, origin)
        };
        fence(Ordering::Acquire);
        if memory.load(Slot::Note(note, at::STATE), Ordering::Relaxed) == state.0 {
            return Some(record);
        }
    }
}
