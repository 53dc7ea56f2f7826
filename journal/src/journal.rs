//! The journal as its writer sees it: opened once, appended to by any thread, stopped at the end.

mod opening;
mod threads;

use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use gnotify_record::effect::truncates;
use gnotify_record::{Class, ClientId, Record, codec};

#[allow(unused_imports, reason = "for the documentation")]
use crate::Reader;
use crate::bell::Bell;
use crate::disk::SegmentFile;
use crate::frame::{Draft, Kind};
use crate::group_commit::{Door, GroupCommit};
use crate::pack_thread::Packing;
use crate::retention::Retention;
use crate::ring::{Mapping, Reserved, Ring, file};
use crate::slices::Slices;
use crate::statement::{Body, Statement};
use crate::sync_thread::{Syncer, Waiting};
use crate::{Config, Host, InFlight, Level, Limits, OpenError, clock};

use opening::Ready;
pub(crate) use threads::guarded;
use threads::spawn_pack;

/// Between two looks of [`Journal::flush`].
const FLUSH_NAP: Duration = Duration::from_millis(1);

/// A brick's journal, open for writing. Its methods may be called by many threads at once.
///
/// Dropping it stops it, as [`Journal::stop`] does.
pub struct Journal {
    shared: Arc<Shared>,
    dir: PathBuf,
    ring_path: PathBuf,
    /// None when it is stopped.
    running: Mutex<Option<Running>>,
}

struct Running {
    journal: JoinHandle<bool>,
    sync: JoinHandle<()>,
    /// Started when segments are first to be compressed.
    pack: Option<JoinHandle<()>>,
    /// Held for their locks.
    _lock: file::Locked,
    _ring_lock: file::Locked,
}

/// What the journal's handle and its threads have in common.
pub(crate) struct Shared {
    pub(crate) ring: Ring<Mapping>,
    pub(crate) bell: Bell,
    pub(crate) slices: Slices,
    pub(crate) syncer: Syncer,
    pub(crate) commit: GroupCommit,
    pub(crate) packing: Packing,
    pub(crate) host: Arc<dyn Host>,
    limits: Mutex<Limits>,
    segment: Mutex<Live>,
    io_errors: AtomicU64,
    /// The last fsync failed, which was logged.
    sync_failing: AtomicBool,
    /// The entries below this number are lost, or were written before.
    written_off: AtomicU64,
    sealed_segments: AtomicU64,
    sealed_bytes: AtomicU64,
    packed_segments: AtomicU64,
    stopping: AtomicBool,
    slice_end_asked: AtomicBool,
    start_id: u64,
    epoch: [u8; 16],
}

/// The segment that is being written.
#[derive(Debug, Clone)]
struct Live {
    path: PathBuf,
    first_seq: u64,
    len: u64,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It has this sequence number, and survives a kill of the process from now on.
    Yes(u64),
    /// The ring was full. It is lost, and a gap will cover this number.
    Dropped(u64),
}

impl Appended {
    /// The number of the entry, or of the gap that stands for it.
    #[must_use]
    #[inline]
    pub fn number(self) -> u64 {
        let (Appended::Yes(number) | Appended::Dropped(number)) = self;
        number
    }
}

/// A journal's figures at one moment, each right for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The number that the next entry gets.
    pub next_seq: u64,
    /// The lowest number that is not in a segment yet, nor written off.
    pub drained_seq: u64,
    /// Bytes of the ring that are in use.
    pub ring_used: u64,
    /// Bytes of the ring.
    pub ring_size: u64,
    /// Entries that were lost since this start because the ring was full.
    pub dropped: u64,
    /// Writes, fsyncs and new segments that failed since this start.
    pub io_errors: u64,
    /// The segment that is being written.
    pub segment: PathBuf,
    /// Its length in bytes.
    pub segment_len: u64,
    /// Segments of the journal, this one included.
    pub segments: u64,
    /// How many of them are compressed.
    pub packed_segments: u64,
    /// Their bytes on the brick.
    pub bytes: u64,
    /// The running slice.
    pub slice: u64,
    /// The number of this start.
    pub start_id: u64,
    /// The journal's epoch.
    pub epoch: [u8; 16],
}

impl Journal {
    /// Opens the journal in `config.dir`, or begins one: takes what the last start left, and starts two
    /// threads. May read and write as much as the ring is large, and waits for an fsync.
    ///
    /// # Errors
    ///
    /// Where another instance writes this journal, its newest segment cannot be understood, or the
    /// operating system refuses. Where [`OpenError::is_temporary`] says so, try again from time to time: the
    /// journal then begins with a gap of unknown count. Say [`Journal::resume`] once records come.
    pub fn open(config: Config) -> Result<Journal, OpenError> {
        Ready::open(&config)?.launch(config)
    }

    /// Appends a record. `time` is when it happened (nanoseconds since 1970).
    ///
    /// Takes no lock and makes no system call, save one to wake the journal thread when it has slept, or when
    /// another eighth of the ring is filled; asks the heap only for a record of more than 512 bytes.
    pub fn append_record(&self, record: &Record<'_>, time: u64) -> Appended {
        self.append_record_in(&mut codec::Body::new(), record, time)
    }

    /// The same, with memory for the record's bytes that need not be made anew.
    #[inline]
    pub fn append_record_in(
        &self,
        body: &mut codec::Body,
        record: &Record<'_>,
        time: u64,
    ) -> Appended {
        let tag = codec::encode(record, time, body);
        let ring = &self.shared.ring;
        let draft = Draft::new(ring.salt(), Kind::Record, record.fop.0, tag, time, body);
        let reserved = ring.append(&draft);
        self.shared.bell.knock();
        match reserved {
            Reserved::Place { seq, position } => {
                if ring.begins_eighth(position, draft.words()) {
                    self.shared.bell.wake();
                }
                Appended::Yes(seq)
            }
            Reserved::Dropped(seq) => Appended::Dropped(seq),
            Reserved::Refused => unreachable!("only an offer is refused"),
        }
    }

    /// Says which client a number stands for, before the first record of it. Of the uid, the first
    /// [`crate::CLIENT_UID_MAX`] bytes are kept. False: the ring is full; try again with the next record.
    #[must_use]
    pub fn append_client(&self, id: ClientId, uid: &[u8]) -> bool {
        self.offer(&Statement::Client { id, uid })
    }

    /// Says that a client has gone, so that later segments do not repeat its name. False: the ring is
    /// full; the name is then repeated until the brick is started again.
    pub fn client_gone(&self, id: ClientId) -> bool {
        self.offer(&Statement::ClientGone { id })
    }

    /// Says that recording is switched off. False: the ring is full, and nothing was said; try again.
    #[must_use]
    pub fn pause(&self) -> bool {
        self.offer_ahead(&Statement::Off)
    }

    /// Says that recording is switched on again, and begins a slice: a consumer that looks at everything now
    /// must hear of what changes afterwards. False: the ring is full, and nothing was said; try again.
    #[must_use]
    pub fn resume(&self) -> bool {
        self.shared.slices.renew();
        self.offer_ahead(&Statement::On)
    }

    /// Notes what `record` is about to change, before the change is made: if the process is killed ahead of
    /// [`Journal::end`], the next start writes an uncertain record of it. A fop that changes nothing needs no
    /// note.
    ///
    /// Takes no lock, makes no system call, and does not ask the heap. What is given must come back.
    #[inline]
    pub fn begin(&self, record: &Record<'_>) -> InFlight {
        let changes = match record.fop.class() {
            None => false,
            Some(Class::OpenClose) => truncates(record.fop, record.flags),
            Some(_) => true,
        };
        if !changes {
            return InFlight::NONE;
        }
        // Threads have stacks of their own: a number that is much the same in all calls of one, and
        // different in those of others.
        let here = 0u8;
        let stack = (&raw const here).addr() as u64 >> 16;
        self.shared.ring.begin(record, stack.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
    }

    /// The fop has ended: its record is appended, or it has none because nothing changed. To be called behind
    /// [`Journal::append_record`], ahead of the reply.
    #[inline]
    pub fn end(&self, in_flight: InFlight) {
        self.shared.ring.end(in_flight);
    }

    /// Says that a record could not be made: a gap will cover its number.
    pub fn lost(&self) {
        self.shared.ring.lose();
        self.shared.bell.knock();
    }

    /// The running slice, from 1 in each start. `None` for the moment in which one ends: what happens
    /// then must be recorded, and not be remembered as recorded.
    ///
    /// A record may be left out where the inode has one from the same slice: ask when the change is
    /// made (in the reply, not on the way down), compare, append, and remember what was asked.
    #[must_use]
    #[inline]
    pub fn slice(&self) -> Option<NonZeroU64> {
        self.shared.slices.now()
    }

    /// Has the running slice ended now, and not when its time is up: a SLICE-END statement follows, whose number is
    /// not below what [`Journal::next_seq`] says before. Does not wait for it.
    pub fn end_slice(&self) {
        self.shared.ask_slice_end();
        self.shared.bell.wake();
    }

    /// Where the next entry will stand: the number of the segment that is being written, for
    /// [`Reader::open_at`], and its own.
    #[must_use]
    pub fn here(&self) -> (u64, u64) {
        // In this order: what gets the second number stands in this segment or a later one.
        let segment = self.shared.live();
        (segment, self.shared.ring.next_seq())
    }

    /// Where replies can be left until their records are durable. The first one starts two threads.
    ///
    /// # Errors
    ///
    /// Where the operating system gives no thread.
    pub fn door(&self) -> io::Result<Door> {
        self.shared.commit.door(&self.shared)
    }

    /// The number that the next entry gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.shared.ring.next_seq()
    }

    /// Changes the limits; they hold from the next batch and slice on.
    pub fn set_limits(&self, limits: Limits) {
        let limits = limits.raised();
        *lock(&self.shared.limits) = limits;
        self.shared.syncer.set_interval(limits.fsync_interval);
        self.shared.bell.wake();
        if limits.compress {
            self.start_packing();
        }
    }

    /// Starts the thread that packs, where it does not run yet.
    fn start_packing(&self) {
        let mut running = lock(&self.running);
        if let Some(Running { pack: pack @ None, .. }) = &mut *running {
            match spawn_pack(&self.shared, &self.dir) {
                Ok(thread) => *pack = Some(thread),
                Err(error) => self.shared.host.log(
                    Level::Warning,
                    &format!("journal: segments stay uncompressed: cannot start a thread: {error}"),
                ),
            }
        }
        self.shared.packing.wake();
    }

    /// Waits until what was appended before is in the segment, or written off in an outage; at most
    /// until `deadline`. Whether it is. It may not be on disk yet.
    #[must_use]
    pub fn flush(&self, deadline: Instant) -> bool {
        let next = self.shared.ring.next_seq();
        loop {
            if self.shared.ring.consumed() >= next {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.shared.bell.wake();
            thread::sleep(FLUSH_NAP);
        }
    }

    /// The figures of this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let Live { path: segment, len: segment_len, .. } = lock(&shared.segment).clone();
        Stats {
            // In this order, so that the one is never above the other.
            drained_seq: shared.ring.consumed(),
            next_seq: shared.ring.next_seq(),
            ring_used: 8 * shared.ring.used(),
            ring_size: 8 * shared.ring.words(),
            dropped: shared.ring.dropped(),
            io_errors: shared.io_errors.load(Ordering::Relaxed),
            segments: 1 + shared.sealed_segments.load(Ordering::Relaxed),
            packed_segments: shared.packed_segments.load(Ordering::Relaxed),
            bytes: segment_len + shared.sealed_bytes.load(Ordering::Relaxed),
            segment,
            segment_len,
            slice: shared.slices.number(),
            start_id: shared.start_id,
            epoch: shared.epoch,
        }
    }

    /// Writes what is left and STOP, syncs, and ends the threads; nothing can be appended then that would be
    /// carried. Waits some seconds at most where the
    /// brick cannot be written. Whether all went well; otherwise the next start finds the rest in the ring.
    pub fn stop(&self) -> bool {
        let Some(running) = lock(&self.running).take() else { return true };
        // While the journal still carries and syncs what they wait for.
        self.shared.commit.stop();
        self.shared.packing.stop();
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.bell.wake();
        let whole = running.journal.join().unwrap_or(false);
        self.shared.syncer.stop();
        let synced = running.sync.join().is_ok();
        if let Some(pack) = running.pack {
            // A panic was logged, and costs nothing but space.
            let _ = pack.join();
        }
        // A fop that ends later leaves its record there, and if there is a kill, its note.
        if whole && !self.shared.ring.is_in_flight() {
            // Where it stays, the next start sees by the STOP that it is of no use.
            let _ = fs::remove_file(&self.ring_path);
        }
        whole && synced
    }

    fn offer(&self, statement: &Statement<'_>) -> bool {
        let ring = &self.shared.ring;
        let mut body = Body::default();
        let draft = body.draft(ring.salt(), Kind::Statement, clock::now(), statement);
        let reserved = ring.offer(&draft);
        self.shared.bell.knock();
        matches!(reserved, Reserved::Place { .. })
    }

    fn offer_ahead(&self, statement: &Statement<'_>) -> bool {
        let ring = &self.shared.ring;
        let mut body = Body::default();
        let draft = body.draft(ring.salt(), Kind::Statement, clock::now(), statement);
        let reserved = ring.offer_ahead(&draft);
        self.shared.bell.knock();
        matches!(reserved, Reserved::Place { .. })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Has the journal thread end the slice.
    pub(crate) fn ask_slice_end(&self) {
        self.slice_end_asked.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_slice_end_asked(&self) -> bool {
        self.slice_end_asked.load(Ordering::SeqCst)
    }

    /// Whether the slice is to be ended now. Asked before the statement is appended, so that whoever asks behind it
    /// gets another one.
    pub(crate) fn take_slice_end(&self) -> bool {
        self.is_slice_end_asked() && self.slice_end_asked.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    pub(crate) fn set_segment(&self, segment: &SegmentFile) {
        let mut known = lock(&self.segment);
        if known.path != segment.path {
            known.path.clone_from(&segment.path);
        }
        known.first_seq = segment.header.first_seq;
        known.len = segment.len;
    }

    /// The first number of the segment that is being written: those with lower ones are not any more.
    pub(crate) fn live(&self) -> u64 {
        lock(&self.segment).first_seq
    }

    pub(crate) fn set_sealed(&self, retention: &Retention) {
        self.sealed_segments.store(retention.len() as u64, Ordering::Relaxed);
        self.sealed_bytes.store(retention.bytes(), Ordering::Relaxed);
        self.packed_segments.store(retention.packed() as u64, Ordering::Relaxed);
    }

    /// Counts an fsync that failed, and says so unless the one before it failed too.
    pub(crate) fn synced(&self, waiting: &Waiting, result: io::Result<()>) {
        let was_failing = self.sync_failing.swap(result.is_err(), Ordering::Relaxed);
        let Err(error) = result else { return };
        self.count_io_error();
        if !was_failing {
            let path = waiting.path.display();
            self.host.log(
                Level::Error,
                &format!(
                    "journal: cannot sync {path}: {error}; a power loss now may lose what was written to it: \
                     repair the brick's disk"
                ),
            );
        }
    }

    /// Says that the entries below number `next` were written off, ahead of their being given back.
    pub(crate) fn write_off(&self, next: u64) {
        self.written_off.store(next, Ordering::Release);
    }

    /// Whether none of the entries from number `first` on was written off, as far as they are given back.
    pub(crate) fn is_whole_from(&self, first: u64) -> bool {
        self.written_off.load(Ordering::Acquire) <= first
    }

    pub(crate) fn count_io_error(&self) {
        self.io_errors.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they hold is whole after each statement, so a panic of another holder does no harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(loom)))]
mod crash_tests;
#[cfg(all(test, not(loom)))]
mod fault_tests;
#[cfg(all(test, not(loom)))]
mod pace_tests;
#[cfg(all(test, not(loom)))]
mod pack_tests;
#[cfg(all(test, not(loom)))]
mod power_loss_tests;
#[cfg(all(test, not(loom)))]
mod reserve_tests;
