//! The export: GlusterFS's own changelog files, written from the journal.
//!
//! One thread reads the journal as any consumer does and writes what stock would have written. Nothing on the fop path
//! waits for it. Where it is in the journal stands on each slice (`place.rs`), so after a kill it makes again what the
//! slice has, passes over that, and goes on. A slice ends where the journal's does, because a change that the journal
//! left out as a repetition must lie in the slice that has the first one. Where the journal has a gap, the index of
//! slices ends and another begins: consumers are then told that history has a hole.

mod place;
mod settle;
mod steps;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use std::{io, mem};

use gnotify_bindings::guard::guard;
use gnotify_bindings::log::Level;
use gnotify_bindings::{SharedXlator, this};
use gnotify_changelog::rules::Scope;
use gnotify_changelog::writer::Since;
use gnotify_changelog::{Encoding, retention};

use crate::brick_journal::BrickJournal;
use steps::Exporting;

/// Between two tries where something fails.
const RETRY: Duration = Duration::from_secs(1);

/// What can be changed while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The changelog's directory.
    pub(crate) dir: PathBuf,
    /// How records of the slices that begin from now on are written.
    pub(crate) encoding: Encoding,
    /// Which records come in.
    pub(crate) scope: Scope,
    /// How long a slice lasts.
    pub(crate) rollover: Duration,
    /// What is kept of the dated slices.
    pub(crate) retention: retention::Limits,
}

/// A line for the host's log, from the export's thread.
pub(crate) type Log = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Where it begins, and for whom.
#[derive(Clone)]
pub(crate) struct Beginning {
    /// Says how things stand, in its name.
    pub(crate) instance: SharedXlator,
    /// The brick's directory.
    pub(crate) brick: PathBuf,
    /// The journal's.
    pub(crate) journal_dir: PathBuf,
    /// Its writer: asked to end slices.
    pub(crate) journal: Arc<BrickJournal>,
    /// Whether the slices that are there go on, or a spell without records lies in between.
    pub(crate) since: Since,
    /// The number of a segment, and that of the first entry in or behind it that counts where no slice says another
    /// one.
    pub(crate) from: (u64, u64),
    /// The journal's slice may have begun ahead of that.
    pub(crate) unsure: bool,
    /// Hears of each slice that is finished and has records: its file.
    pub(crate) finished: Arc<dyn Fn(&Path) + Send + Sync>,
    /// The host's log.
    pub(crate) log: Log,
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginning")
            .field("brick", &self.brick)
            .field("since", &self.since)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// A running export.
#[derive(Debug)]
pub(crate) struct Export {
    shared: Arc<Shared>,
    journal: Arc<BrickJournal>,
    thread: Thread,
    join: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and its handle have in common.
#[derive(Debug)]
struct Shared {
    settings: Mutex<Settings>,
    orders: Mutex<Orders>,
    /// Something in `orders` has changed.
    told: Condvar,
    ended: AtomicBool,
    status: Status,
}

/// What is asked of the thread, and what it has done.
#[derive(Debug, Default)]
struct Orders {
    /// A slice is to be finished that holds all entries below this number.
    wanted: Option<u64>,
    /// A slice is finished that holds all entries below this number.
    finished: u64,
    /// The thread is to end.
    end: Option<End>,
}

/// How the thread is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As it stands: the next start goes on.
    Pause,
    /// The changelog is switched off: what is in the journal is exported, and the last slice finished.
    Last,
}

/// How things stand, for the statedump.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// The number of the entry that is exported next.
    next_seq: AtomicU64,
    /// Slices with records that were finished.
    slices: AtomicU64,
    /// Bytes of records in the live slice.
    live: AtomicU64,
    /// Steps that failed.
    errors: AtomicU64,
}

impl Status {
    /// As names and values.
    pub(crate) fn shown(&self) -> [(&'static str, u64); 4] {
        let value = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            ("next-sequence", value(&self.next_seq)),
            ("slices", value(&self.slices)),
            ("live-bytes", value(&self.live)),
            ("errors", value(&self.errors)),
        ]
    }
}

impl Export {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the operating system gives none.
    pub(crate) fn start(beginning: Beginning, settings: Settings) -> io::Result<Export> {
        let shared = Arc::new(Shared {
            settings: Mutex::new(settings),
            orders: Mutex::default(),
            told: Condvar::new(),
            ended: AtomicBool::new(false),
            status: Status::default(),
        });
        let journal = Arc::clone(&beginning.journal);
        let join = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("gnotify-export".to_owned()).spawn(move || {
                let before = this::within(beginning.instance.get());
                let mut beginning = beginning;
                while guard(|| Worker { shared: &shared, failing: false }.run(&beginning)).is_err()
                {
                    // The hook has logged where. What it was at is not known: nobody shall be told that it is whole.
                    beginning.since = Since::Broken;
                    beginning.from = beginning.journal.here();
                    beginning.unsure = true;
                    thread::sleep(RETRY);
                }
                before.put_back();
                // Under the lock, so that nobody looks ahead of it and sleeps behind it.
                let orders = lock(&shared.orders);
                shared.ended.store(true, Ordering::Release);
                shared.told.notify_all();
                drop(orders);
            })?
        };
        let thread = join.thread().clone();
        journal.follow(thread.clone());
        thread.unpark();
        Ok(Export { shared, journal, thread, join: Mutex::new(Some(join)) })
    }

    /// How things stand.
    pub(crate) fn status(&self) -> &Status {
        &self.shared.status
    }

    /// Changes the settings, from the next slice on.
    pub(crate) fn set(&self, settings: Settings) {
        *lock(&self.shared.settings) = settings;
        self.thread.unpark();
    }

    /// Finishes a slice with all that is in the journal now, at most until `deadline`. Whether it is finished: its
    /// file has its name and is in the index.
    pub(crate) fn finish_slice(&self, deadline: Instant) -> bool {
        let mut orders = lock(&self.shared.orders);
        let all = self.journal.next_seq();
        orders.wanted = Some(orders.wanted.unwrap_or(0).max(all));
        self.thread.unpark();
        while orders.finished < all {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.ended.load(Ordering::Acquire) {
                return false;
            }
            orders = self
                .shared
                .told
                .wait_timeout(orders, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Ends the thread, and waits for that.
    pub(crate) fn stop(&self, end: End) {
        lock(&self.shared.orders).end = Some(end);
        self.thread.unpark();
        if let Some(thread) = lock(&self.join).take() {
            // A panic in it has been logged by the hook.
            let _ = thread.join();
        }
        self.journal.unfollow(&self.thread);
    }
}

/// The thread.
struct Worker<'s> {
    shared: &'s Shared,
    /// The last step failed, which was logged.
    failing: bool,
}

/// How long the end of the last slice may take where the brick cannot be written.
const LAST_TIME: Duration = Duration::from_secs(5);

impl Worker<'_> {
    fn run(&mut self, beginning: &Beginning) {
        let log = Arc::clone(&beginning.log);
        let mut exporting = Exporting::new(beginning.clone(), lock(&self.shared.settings).clone());
        let mut deadline = None;
        loop {
            let (end, wanted) = {
                let orders = lock(&self.shared.orders);
                (orders.end, orders.wanted)
            };
            if end == Some(End::Pause) {
                return;
            }
            let settings = lock(&self.shared.settings).clone();
            exporting.set(settings, wanted);
            let done = exporting.run().and_then(|more| match end {
                Some(End::Last) if !more => exporting.finish().map(|()| false),
                _ => Ok(more),
            });
            self.publish(&mut exporting);
            let pause = match done {
                Ok(false) if end.is_some() => return,
                Ok(more) => {
                    if mem::take(&mut self.failing) {
                        log(
                            Level::Info,
                            "changelog: it can be written again; nothing of it is lost",
                        );
                    }
                    if more {
                        continue;
                    }
                    exporting.idle()
                }
                Err(failure) => {
                    self.shared.status.errors.fetch_add(1, Ordering::Relaxed);
                    if !mem::replace(&mut self.failing, true) {
                        let text = format!(
                            "changelog: {failure}; it is tried again, and the journal keeps what is missing"
                        );
                        log(Level::Error, &text);
                    }
                    // From the order to end on, and not from some failure long ago.
                    if end.is_some()
                        && Instant::now()
                            > *deadline.get_or_insert_with(|| Instant::now() + LAST_TIME)
                    {
                        return;
                    }
                    RETRY
                }
            };
            thread::park_timeout(pause);
        }
    }

    fn publish(&self, exporting: &mut Exporting) {
        let status = &self.shared.status;
        let (next_seq, slices, live) = exporting.figures();
        status.next_seq.store(next_seq, Ordering::Relaxed);
        status.slices.store(slices, Ordering::Relaxed);
        status.live.store(live, Ordering::Relaxed);
        if let Some(finished) = exporting.finished_below() {
            let mut orders = lock(&self.shared.orders);
            orders.finished = orders.finished.max(finished);
            if orders.wanted.is_some_and(|wanted| wanted <= orders.finished) {
                orders.wanted = None;
            }
            drop(orders);
            self.shared.told.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
