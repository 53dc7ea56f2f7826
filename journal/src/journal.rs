//! The journal as its writer sees it: opened once, appended to by any thread, stopped at the end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use gnotify_record::effect::truncates;
use gnotify_record::{Class, ClientId, Record, codec};
use uuid::Uuid;

#[allow(unused_imports, reason = "for the documentation")]
use crate::Reader;
use crate::bell::Bell;
use crate::disk::{SegmentFile, make_private_dir, step, sync};
use crate::frame::{Draft, Kind};
use crate::group_commit::{Door, GroupCommit};
use crate::home::Home;
use crate::journal_thread::JournalThread;
use crate::pack_thread::{PackThread, Packing};
use crate::recovery::{self, Resumed, Surroundings};
use crate::retention::Retention;
use crate::ring::file::{self, Identity};
use crate::ring::{Mapping, Reserved, Ring};
use crate::segment::Header;
use crate::slices::Slices;
use crate::space::Space;
use crate::statement::{Body, Cause, Gap, How, Start, Statement};
use crate::sync_thread::{Syncer, Waiting};
use crate::{
    Config, Host, InFlight, LOCK_FILE, Level, Limits, OpenError, Reserve, clock, unrecorded,
};

/// Words that fops leave free in the ring: 4 KiB for the journal thread's own statements.
const HEADROOM: u64 = 512;

/// Room that a start needs on the brick.
const BEGINNING: u64 = 64 << 10;

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
    _lock: File,
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

/// A journal whose files are there and whose START is in the ring, but which has no threads yet.
struct Ready {
    lock: File,
    ring_lock: file::Locked,
    dir_file: Arc<File>,
    segment: SegmentFile,
    retention: Retention,
    ring: Ring<Mapping>,
    start_id: u64,
}

/// A journal that only lacks its threads.
struct Assembled {
    lock: File,
    ring_lock: file::Locked,
    shared: Arc<Shared>,
    worker: JournalThread,
}

impl Ready {
    /// Remembers it where there can be no journal now.
    fn open(config: &Config) -> Result<Ready, OpenError> {
        Ready::prepare(config).inspect_err(|error| {
            // Whoever else writes it may well record what this instance cannot.
            if !matches!(error, OpenError::InUse { .. }) {
                unrecorded::mark(&config.dir, &config.ring, &*config.host);
            }
        })
    }

    fn prepare(config: &Config) -> Result<Ready, OpenError> {
        let size = config.ring_size;
        if !size.is_power_of_two() || !(crate::RING_MIN..=crate::RING_MAX).contains(&size) {
            return Err(OpenError::RingSize { asked: size });
        }
        let dir = config.dir.as_path();
        // What is in the ring may have to be written, a segment is begun, and START follows.
        let left = fs::metadata(&config.ring).map_or(0, |ring| ring.len());
        room(dir, config.limits.reserve, left + BEGINNING)
            .map_err(|error| OpenError::io("begin a segment", dir, error))?;
        let lock = lock_dir(dir)?;
        let former = file::read(&config.ring)?;
        let boot_id = read_boot_id();
        let now = clock::now();
        let resumed = recovery::resume(&Surroundings {
            dir,
            image: former.as_ref().and_then(|(_, image)| image.as_ref()),
            boot_id,
            now,
            reserve: config.limits.reserve,
            host: &*config.host,
        })?;
        let home = Home::of(dir);
        let resumed = match resumed.epoch {
            Some(epoch) if resumed.home.is_another(home) => {
                recovery::move_away(dir, epoch, &*config.host)?;
                Resumed { how: How::Moved, ..Resumed::FIRST }
            }
            // A kill came between that and the new epoch's first entry.
            None if recovery::has_former(dir) => Resumed { how: How::Moved, ..Resumed::FIRST },
            _ => resumed,
        };
        let Resumed { start_id, previous, how, next_seq, last_time, .. } = resumed;
        let epoch = resumed.epoch.unwrap_or_else(|| Uuid::new_v4().into_bytes());
        // The first bytes of a random UUID are all random, as is the upper half but for two bits.
        let random = Uuid::new_v4();
        let [a, b, c, d, ..] = random.into_bytes();
        let salt = u32::from_le_bytes([a, b, c, d]);
        let (_, start_key) = random.as_u64_pair();
        let header =
            Header { epoch, start_id, first_seq: next_seq, created: now, start_key, home, salt };
        let segment = SegmentFile::create(dir, &header)
            .map_err(|error| OpenError::io("begin a segment", dir, error))?;
        // Older segments may be removed once this one is there: it must not come out of a power loss empty.
        sync(&segment.file)
            .map_err(|error| OpenError::io("sync the segment", &segment.path, error))?;
        let dir_file = sync_dir(dir).map_err(|error| OpenError::io("sync", dir, error))?;
        let retention = Retention::look(dir, next_seq)
            .map_err(|error| OpenError::io("list the journal", dir, error))?;
        let identity = Identity { epoch, start_id, boot_id, salt };
        let (ring_lock, mapping) = file::create(&config.ring, size, &identity, next_seq)?;
        // Its lock is not needed any more: the path leads to the new one.
        drop(former);
        let ring = Ring::new(mapping, salt, HEADROOM);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let start = Start { start_id, previous, how, boot_id, last_time, version };
        let mut body = Body::default();
        // The ring is empty, so there is room.
        ring.offer_ahead(&body.draft(salt, Kind::Statement, now, &Statement::Start(start)));
        if unrecorded::is_marked(config) {
            let gap = Gap { to: next_seq + 1, cause: Cause::Io, lost: None };
            ring.offer_ahead(&body.draft(salt, Kind::Statement, now, &Statement::Gap(gap)));
            unrecorded::forget(config);
        }
        Ok(Ready { lock, ring_lock, dir_file, segment, retention, ring, start_id })
    }

    /// What the threads work with, before they are started.
    fn assemble(self, config: &Config) -> Assembled {
        let limits = config.limits.raised();
        let Header { epoch, .. } = self.segment.header;
        let shared = Arc::new(Shared {
            ring: self.ring,
            bell: Bell::new(),
            slices: Slices::new(),
            syncer: Syncer::new(limits.fsync_interval),
            commit: GroupCommit::new(),
            packing: Packing::default(),
            host: Arc::clone(&config.host),
            limits: Mutex::new(limits),
            segment: Mutex::new(Live {
                path: self.segment.path.clone(),
                first_seq: self.segment.header.first_seq,
                len: self.segment.len,
            }),
            io_errors: AtomicU64::new(0),
            sync_failing: AtomicBool::new(false),
            written_off: AtomicU64::new(0),
            sealed_segments: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
            packed_segments: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            slice_end_asked: AtomicBool::new(false),
            start_id: self.start_id,
            epoch,
        });
        shared.set_sealed(&self.retention);
        let worker = JournalThread::new(
            Arc::clone(&shared),
            config.dir.clone(),
            self.dir_file,
            self.segment,
            self.retention,
        );
        Assembled { lock: self.lock, ring_lock: self.ring_lock, shared, worker }
    }

    fn launch(self, config: Config) -> Result<Journal, OpenError> {
        let assembled = self.assemble(&config);
        assembled.launch(config)
    }
}

impl Assembled {
    fn launch(self, config: Config) -> Result<Journal, OpenError> {
        let Assembled { lock, ring_lock, shared, worker } = self;
        let spawned = |error| OpenError::io("start a thread", &config.dir, error);
        let sync = spawn_sync(&shared).map_err(spawned)?;
        let journal = match spawn_journal(&shared, worker) {
            Ok(journal) => journal,
            Err(error) => {
                shared.syncer.stop();
                // It has nothing to sync and ends at once; a panic was logged.
                let _ = sync.join();
                return Err(spawned(error));
            }
        };
        let running = Running { journal, sync, pack: None, _lock: lock, _ring_lock: ring_lock };
        let journal = Journal {
            shared,
            dir: config.dir,
            ring_path: config.ring,
            running: Mutex::new(Some(running)),
        };
        if config.limits.compress {
            journal.start_packing();
        }
        Ok(journal)
    }
}

fn spawn_journal(shared: &Arc<Shared>, mut worker: JournalThread) -> io::Result<JoinHandle<bool>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-jnl".to_owned()).spawn(move || {
        guarded(&shared, "the journal thread", LOST, || worker.run()).unwrap_or(false)
    })
}

fn spawn_sync(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-sync".to_owned()).spawn(move || {
        guarded(&shared, "the sync thread", LOST, || {
            shared.syncer.run(|waiting, result| shared.synced(waiting, result));
        });
    })
}

fn spawn_pack(shared: &Arc<Shared>, dir: &Path) -> io::Result<JoinHandle<()>> {
    let mut worker = PackThread::new(Arc::clone(shared), dir.to_owned());
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-pack".to_owned()).spawn(move || {
        let stays = "nothing is lost, segments stay uncompressed";
        guarded(&shared, "the thread that compresses segments", stays, || worker.run());
    })
}

/// What it means that one of the threads has ended that entries need.
const LOST: &str = "entries stay in the ring until it is full, then they are lost and counted";

/// Runs a thread's work. A panic of ours must not go unnoticed, nor take the host down. `so` says what it means.
pub(crate) fn guarded<T>(
    shared: &Shared,
    what: &str,
    so: &str,
    work: impl FnOnce() -> T,
) -> Option<T> {
    let work = || {
        shared.host.thread_started();
        work()
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            shared.host.log(
                Level::Error,
                &format!(
                    "journal: {what} has panicked ({}); {so}: restart the brick, and report this as a \
                     bug",
                    text.unwrap_or("no message")
                ),
            );
            None
        }
    }
}

/// Whether the brick's storage reserve leaves room for so many bytes.
pub(crate) fn room(dir: &Path, reserve: Reserve, bytes: u64) -> io::Result<()> {
    let Some(there) = dir.ancestors().find_map(|above| File::open(above).ok()) else {
        // What comes next will say why.
        return Ok(());
    };
    Space::default().take(&there, reserve, bytes)
}

/// Makes the journal's directory where needed, and takes the lock that makes this its only writer.
fn lock_dir(dir: &Path) -> Result<File, OpenError> {
    make_private_dir(dir).map_err(|error| OpenError::io("make the directory", dir, error))?;
    let path = dir.join(LOCK_FILE);
    let file = step()
        .and_then(|()| {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
        })
        .map_err(|error| OpenError::io("open the lock", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("take the lock", &path, error)),
    }
}

/// Makes the names in the directory durable.
fn sync_dir(dir: &Path) -> io::Result<Arc<File>> {
    let file = File::open(dir)?;
    sync(&file)?;
    Ok(Arc::new(file))
}

/// Which boot of the machine this is. All zero where /proc does not tell: a ring is then taken for one of
/// this boot, which on tmpfs it is.
fn read_boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Uuid::try_parse(text.trim()).map(Uuid::into_bytes).unwrap_or_default()
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
