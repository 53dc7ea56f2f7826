//! Opens a journal: takes the lock, writes what the last start left, begins a segment and a ring, and starts the threads.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::threads::{spawn_journal, spawn_sync};
use super::{Journal, Live, Running, Shared};
use crate::bell::Bell;
use crate::disk::{SegmentFile, make_private_dir, step, sync};
use crate::frame::Kind;
use crate::group_commit::GroupCommit;
use crate::home::Home;
use crate::journal_thread::JournalThread;
use crate::pack_thread::Packing;
use crate::recovery::{self, Resumed, Surroundings};
use crate::retention::Retention;
use crate::ring::file::{self, Identity};
use crate::ring::{Mapping, Ring};
use crate::segment::Header;
use crate::slices::Slices;
use crate::space::room;
use crate::statement::{Body, Cause, Gap, How, Start, Statement};
use crate::sync_thread::Syncer;
use crate::{Config, LOCK_FILE, OpenError, clock, unrecorded};

/// Words that fops leave free in the ring: 4 KiB for the journal thread's own statements.
const HEADROOM: u64 = 512;

/// Room that a start needs on the brick.
const BEGINNING: u64 = 64 << 10;

/// A journal whose files are there and whose START is in the ring, but which has no threads yet.
pub(super) struct Ready {
    pub(super) lock: file::Locked,
    pub(super) ring_lock: file::Locked,
    pub(super) dir_file: Arc<File>,
    pub(super) segment: SegmentFile,
    pub(super) retention: Retention,
    pub(super) ring: Ring<Mapping>,
    pub(super) start_id: u64,
}

/// A journal that only lacks its threads.
pub(super) struct Assembled {
    pub(super) lock: file::Locked,
    pub(super) ring_lock: file::Locked,
    pub(super) shared: Arc<Shared>,
    pub(super) worker: JournalThread,
}

impl Ready {
    /// Remembers it where there can be no journal now.
    pub(super) fn open(config: &Config) -> Result<Ready, OpenError> {
        Ready::prepare(config).inspect_err(|error| {
            // Whoever else writes it may well record what this instance cannot.
            if !matches!(error, OpenError::InUse { .. }) {
                unrecorded::mark(&config.dir, &config.ring, &*config.host);
            }
        })
    }

    pub(super) fn prepare(config: &Config) -> Result<Ready, OpenError> {
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
    pub(super) fn assemble(self, config: &Config) -> Assembled {
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

    pub(super) fn launch(self, config: Config) -> Result<Journal, OpenError> {
        let assembled = self.assemble(&config);
        assembled.launch(config)
    }
}

impl Assembled {
    pub(super) fn launch(self, config: Config) -> Result<Journal, OpenError> {
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

/// Makes the journal's directory where needed, and takes the lock that makes this its only writer.
fn lock_dir(dir: &Path) -> Result<file::Locked, OpenError> {
    make_private_dir(dir).map_err(|error| OpenError::io("make the directory", dir, error))?;
    let path = dir.join(LOCK_FILE);
    let file = step()
        .and_then(|()| {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
        })
        .map_err(|error| OpenError::io("open the lock", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file::Locked::new(file)),
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
