//! The journal thread: carries frames from the ring to the segments, in order, and ends slices.
//!
//! While entries come it naps between batches, and producers wake it only when they have filled another
//! eighth of the ring. After a while of silence it sleeps until a producer knocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use gnotify_record::ClientId;

use crate::disk::{SegmentFile, remove, sync};
use crate::frame::{self, Kind, Parsed};
use crate::journal::Shared;
use crate::outage::{Outage, explain};
use crate::retention::Retention;
use crate::ring::{Batch, Drain, Mark, Reserved, RingDamaged};
use crate::segment::{HEADER, Header};
use crate::space::Space;
use crate::statement::{self, Body, Gap, Statement, TrimmedBy};
use crate::{Level, clock};

/// Bytes that are read from the ring and written at once.
const BATCH: usize = 256 * 1024;

/// Between two looks while the brick cannot be written, or a stop waits.
const NAP: Duration = Duration::from_millis(1);

/// How the thread waits for entries while they come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between batches. A live reader waits so long; what comes meanwhile is in the ring, and each
    /// eighth of it that is filled ends the nap.
    pub(crate) nap: Duration,
    /// Silence after which producers have to knock.
    pub(crate) awake: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { nap: Duration::from_millis(10), awake: Duration::from_millis(50) }
    }
}

/// How long a stop waits for frames that other threads have not committed, and for a full disk.
const STOP_TIME: Duration = Duration::from_secs(2);

/// The thread's state.
pub(crate) struct JournalThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dir: PathBuf,
    /// The directory, open to be synced when a segment was made.
    pub(crate) dir_file: Arc<File>,
    pub(crate) drain: Drain,
    pub(crate) segment: SegmentFile,
    retention: Retention,
    space: Space,
    /// Segments could not be removed, which was logged.
    trim_failing: bool,
    batch: Batch,
    body: Body,
    /// Clients that are connected: repeated at the beginning of each segment.
    clients: BTreeMap<ClientId, Vec<u8>>,
    outage: Option<Outage>,
    /// When the slice ends; `None` while nothing is recorded in it.
    slice_due: Option<Instant>,
    /// When something was last read from the ring.
    active: Instant,
    pub(crate) pace: Pace,
}

/// What a look at the ring came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was carried.
    Carried,
    /// There was nothing.
    Nothing,
    /// The brick cannot be written, and the ring still has room.
    Held,
}

impl JournalThread {
    pub(crate) fn new(
        shared: Arc<Shared>,
        dir: PathBuf,
        dir_file: Arc<File>,
        segment: SegmentFile,
        retention: Retention,
    ) -> JournalThread {
        let drain = Drain::new(&shared.ring);
        JournalThread {
            shared,
            dir,
            dir_file,
            drain,
            segment,
            retention,
            space: Space::default(),
            trim_failing: false,
            batch: Batch::default(),
            body: Body::default(),
            clients: BTreeMap::new(),
            outage: None,
            slice_due: None,
            active: Instant::now(),
            pace: Pace::default(),
        }
    }

    /// Works until the journal is stopped. Whether all is in the segment then, STOP included.
    pub(crate) fn run(&mut self) -> bool {
        self.shared.bell.claim();
        loop {
            if self.shared.is_stopping() {
                return self.stop();
            }
            let step = match self.step() {
                Ok(step) => step,
                Err(RingDamaged) => return self.give_up(),
            };
            self.end_slice_when_due();
            self.heed_packed();
            self.trim_when_due();
            match step {
                Step::Carried => self.active = Instant::now(),
                Step::Held => thread::park_timeout(NAP),
                Step::Nothing if self.active.elapsed() < self.pace.awake => {
                    thread::park_timeout(self.pace.nap);
                }
                Step::Nothing => self.sleep(),
            }
        }
    }

    fn sleep(&self) {
        let JournalThread { shared, drain, slice_due, retention, .. } = self;
        let slice = slice_due.map(|due| due.saturating_duration_since(Instant::now()));
        let trim = retention.due_in(&shared.limits(), SystemTime::now());
        shared.bell.sleep(
            || drain.is_all(&shared.ring) && !shared.is_stopping() && !shared.is_slice_end_asked(),
            || match slice.into_iter().chain(trim).min() {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            },
        );
    }

    pub(crate) fn step(&mut self) -> Result<Step, RingDamaged> {
        let patient = match &self.outage {
            None => true,
            Some(outage) if outage.is_due() => {
                if !self.tell_loss() {
                    return Ok(Step::Held);
                }
                true
            }
            Some(outage) if outage.has_patience(&self.shared.ring) => return Ok(Step::Held),
            Some(_) => false,
        };
        let segment_size = self.shared.limits().segment_size;
        let room = usize::try_from(segment_size).unwrap_or(usize::MAX).saturating_sub(HEADER);
        let limit = BATCH.min(room);
        self.drain.read(&self.shared.ring, &mut self.batch, limit, clock::now())?;
        let Some(last) = self.batch.marks.last().copied() else { return Ok(Step::Nothing) };
        if !patient {
            self.write_off(&last);
            return Ok(Step::Carried);
        }
        let next = self.drain.next();
        let filled = self.segment.len + self.batch.bytes.len() as u64 > segment_size;
        if filled && self.segment.header.first_seq < next && !self.roll(next) {
            return Ok(Step::Held);
        }
        if self.write(&last) { Ok(Step::Carried) } else { Ok(Step::Held) }
    }

    /// Writes the batch, or as many of its frames as go, and gives their space back. Whether all went.
    fn write(&mut self, last: &Mark) -> bool {
        if !self.has_room(self.batch.bytes.len()) {
            return false;
        }
        match self.segment.append(&self.batch.bytes) {
            Ok(()) => {
                self.carried(last);
                if self.outage.take().is_some() {
                    self.log_healed("nothing is lost");
                }
                true
            }
            Err(error) => {
                let whole = self.batch.marks.iter().rfind(|mark| mark.end <= error.written);
                let whole = whole.copied();
                self.segment.keep(whole.map_or(0, |mark| mark.end));
                if let Some(mark) = whole {
                    self.carried(&mark);
                }
                self.fail(&self.segment.path.clone(), &error.source);
                false
            }
        }
    }

    fn carried(&mut self, mark: &Mark) {
        self.note_statements(mark);
        if self.batch.records && self.slice_due.is_none() {
            self.slice_due = Some(Instant::now() + self.shared.limits().slice_time);
        }
        // First, so that who waited until these records are carried finds them in a sync and in the figures.
        self.shared.syncer.written(&self.segment.path, &self.segment.file);
        self.shared.set_segment(&self.segment);
        self.drain.consume(&self.shared.ring, mark);
        self.shared.host.carried();
    }

    /// Gives up what is in the batch: the ring must keep moving.
    fn write_off(&mut self, mark: &Mark) {
        self.note_statements(mark);
        self.shared.write_off(mark.next);
        self.drain.consume(&self.shared.ring, mark);
    }

    /// Keeps the list of clients, for the next segment's beginning.
    fn note_statements(&mut self, mark: &Mark) {
        let JournalThread { batch, clients, shared, .. } = self;
        for start in batch.statements.iter().filter(|start| **start < mark.end) {
            let Parsed::Whole(frame) = frame::parse(&batch.bytes[*start..], shared.ring.salt())
            else {
                continue;
            };
            match statement::decode(frame.code, frame.body) {
                Some(Statement::Client { id, uid }) => {
                    clients.insert(id, uid.to_owned());
                }
                Some(Statement::ClientGone { id }) => {
                    clients.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Begins the next segment, with `first_seq`. False where that fails, which begins an outage.
    fn roll(&mut self, first_seq: u64) -> bool {
        let names: usize = self.clients.values().map(|uid| uid.len() + frame::HEAD + 16).sum();
        if !self.has_room(HEADER + names) {
            return false;
        }
        let header = Header { first_seq, created: clock::now(), ..self.segment.header };
        match self.make_segment(&header) {
            Ok(segment) => {
                let sealed = std::mem::replace(&mut self.segment, segment);
                // Where it was removed by hand, nothing is left to be trimmed.
                let _ = self.retention.seal(sealed.path, first_seq);
                self.shared.syncer.written(&self.dir, &self.dir_file);
                self.shared.set_segment(&self.segment);
                self.shared.set_sealed(&self.retention);
                self.shared.packing.wake();
                true
            }
            Err(error) => {
                self.fail(&self.dir.clone(), &error);
                false
            }
        }
    }

    fn make_segment(&mut self, header: &Header) -> std::io::Result<SegmentFile> {
        let mut repeated = Vec::new();
        for (id, uid) in &self.clients {
            let statement = Statement::Client { id: *id, uid };
            self.body
                .draft(header.salt, Kind::Repeated, header.created, &statement)
                .put(header.first_seq, &mut repeated);
        }
        let mut segment = SegmentFile::create(&self.dir, header)?;
        match segment.append(&repeated) {
            Ok(()) => Ok(segment),
            Err(error) => {
                // Its name would be in the way of the next try.
                let _ = remove(&segment.path);
                Err(error.source)
            }
        }
    }

    fn fail(&mut self, path: &std::path::Path, error: &std::io::Error) {
        self.shared.count_io_error();
        let (cause, advice) = explain(error);
        if self.outage.is_none() {
            self.shared.host.log(
                Level::Error,
                &format!(
                    "journal: cannot write {}: {error}; entries wait in the ring, and are lost and \
                     told as a gap once it is half full: {advice}",
                    path.display()
                ),
            );
        }
        let from = self.drain.next();
        self.outage.get_or_insert_with(|| Outage::new(from, cause)).failed();
    }

    /// Whether the brick's storage reserve leaves room for so many bytes. Where it does not, retained segments
    /// make room; false where that is not enough, which begins an outage.
    fn has_room(&mut self, bytes: usize) -> bool {
        let limits = self.shared.limits();
        loop {
            let Err(error) = self.space.take(&self.dir_file, limits.reserve, bytes as u64) else {
                return true;
            };
            let oldest = self.retention.oldest().filter(|_| limits.removes());
            if !oldest.is_some_and(|to| self.trim(to, TrimmedBy::Reserve)) {
                self.fail(&self.segment.path.clone(), &error);
                return false;
            }
        }
    }

    /// Counts the segments that were packed with the bytes that they have now.
    pub(crate) fn heed_packed(&mut self) {
        let packed = self.shared.packing.take();
        if packed.is_empty() {
            return;
        }
        for (first_seq, bytes) in packed {
            self.retention.pack(&self.dir, first_seq, bytes);
        }
        self.shared.set_sealed(&self.retention);
    }

    pub(crate) fn trim_when_due(&mut self) {
        let limits = self.shared.limits();
        if !limits.removes() {
            return;
        }
        if let Some((to, by)) = self.retention.surplus(&limits, self.segment.len, SystemTime::now())
        {
            self.trim(to, by);
        }
    }

    /// Announces that the segments up to the number `to` go, and removes them. Whether they are gone.
    fn trim(&mut self, to: u64, by: TrimmedBy) -> bool {
        if self.retention.must_announce(to) {
            let statement = Statement::Trimmed { to, by };
            let salt = self.shared.ring.salt();
            let draft = self.body.draft(salt, Kind::Statement, clock::now(), &statement);
            if !matches!(self.shared.ring.offer_ahead(&draft), Reserved::Place { .. }) {
                // The ring is full to the brim: first it has to be carried.
                self.retention.try_later();
                return false;
            }
            self.retention.announced(to);
        }
        let removed = self.retention.remove(to);
        self.shared.syncer.written(&self.dir, &self.dir_file);
        self.shared.set_sealed(&self.retention);
        self.space.ask_again();
        let (path, error) = match removed {
            Ok(segments) => {
                let text = format!("journal: {segments} segments up to number {to} removed: {by}");
                self.shared.host.log(Level::Info, &text);
                self.trim_failing = false;
                return true;
            }
            Err(failure) => failure,
        };
        if !std::mem::replace(&mut self.trim_failing, true) {
            self.shared.count_io_error();
            let (path, (_, advice)) = (path.display(), explain(&error));
            let text = format!("journal: cannot remove {path}: {error}; {advice}");
            self.shared.host.log(Level::Error, &text);
        }
        false
    }

    /// Tries to write the GAP over what was written off in an outage. False where that fails.
    fn tell_loss(&mut self) -> bool {
        let Some(outage) = &self.outage else { return true };
        let (from, next, cause) = (outage.from, self.drain.next(), outage.cause);
        if from == next {
            return true;
        }
        // In a segment of its own, because a client's name may be among what is lost, and the old file
        // may be. The number is free: nothing from it on was written.
        if self.segment.header.first_seq < from && !self.roll(from) {
            return false;
        }
        let gap = Gap { to: next - 1, cause, lost: Some(next - from) };
        let mut bytes = Vec::new();
        self.body
            .draft(self.shared.ring.salt(), Kind::Statement, clock::now(), &Statement::Gap(gap))
            .put(from, &mut bytes);
        // Some inodes are marked as recorded in this slice by records that are lost: a consumer that looks at
        // everything when it reads the gap must hear of what changes afterwards.
        let shared = Arc::clone(&self.shared);
        if !self.has_room(bytes.len()) {
            return false;
        }
        let mut failure = None;
        shared.slices.end(|_| match self.segment.append(&bytes) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error.source);
                false
            }
        });
        if let Some(error) = failure {
            self.segment.keep(0);
            self.fail(&self.segment.path.clone(), &error);
            return false;
        }
        self.outage = None;
        self.shared.syncer.written(&self.segment.path, &self.segment.file);
        let lost = next - from;
        self.log_healed(&format!("{lost} entries are lost, numbers {from} to {}", next - 1));
        true
    }

    fn log_healed(&self, loss: &str) {
        let path = self.segment.path.display();
        let text = format!("journal: {path} can be written again; {loss}");
        self.shared.host.log(Level::Warning, &text);
    }

    fn end_slice_when_due(&mut self) {
        let JournalThread { shared, body, slice_due, .. } = self;
        let asked = shared.take_slice_end();
        if !asked && slice_due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        let ended = shared.slices.end(|slice| {
            let statement = Statement::SliceEnd { slice };
            let draft = body.draft(shared.ring.salt(), Kind::Statement, clock::now(), &statement);
            matches!(shared.ring.offer_ahead(&draft), Reserved::Place { .. })
        });
        // Where the ring is full to the brim, it is tried again after the next batch.
        if ended {
            *slice_due = None;
        } else if asked {
            shared.ask_slice_end();
        }
    }

    /// Carries what is left, and STOP.
    fn stop(&mut self) -> bool {
        let deadline = Instant::now() + STOP_TIME;
        let mut told = false;
        loop {
            let Ok(step) = self.step() else { return self.give_up() };
            let all = self.drain.is_all(&self.shared.ring) && self.outage.is_none();
            if all && told {
                break;
            }
            if all {
                let (salt, now) = (self.shared.ring.salt(), clock::now());
                let draft = self.body.draft(salt, Kind::Statement, now, &Statement::Stop);
                told = matches!(self.shared.ring.offer_ahead(&draft), Reserved::Place { .. });
            } else if Instant::now() > deadline {
                self.shared.host.log(
                    Level::Warning,
                    "journal: stopped with entries left in the ring; the next start takes them from there",
                );
                return false;
            } else if !matches!(step, Step::Carried) {
                thread::park_timeout(NAP);
            }
        }
        match sync(&self.segment.file) {
            Ok(()) => true,
            Err(error) => {
                self.shared.count_io_error();
                self.shared.host.log(
                    Level::Error,
                    &format!("journal: cannot sync {}: {error}", self.segment.path.display()),
                );
                false
            }
        }
    }

    fn give_up(&self) -> bool {
        self.shared.host.log(
            Level::Error,
            &format!(
                "journal: the ring in shared memory is damaged behind entry {}: nothing more is \
                 recorded until the brick is started again, and what is lost will be told as a gap; \
                 check the machine's memory",
                self.drain.next()
            ),
        );
        false
    }
}
