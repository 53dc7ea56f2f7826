//! The thread that makes segments durable, so that a slow fsync does not keep the journal thread from
//! draining the ring.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::sync_data;

/// What waits for an fsync. The journal thread reports to it; the lock is never held over a system
/// call but that of the condition variable.
#[derive(Debug)]
pub(crate) struct Syncer {
    state: Mutex<State>,
    changed: Condvar,
    /// Held over an fsync, so that one who wants all to be durable also waits for what another one is syncing.
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    waiting: Vec<Waiting>,
    /// When the oldest of what waits was written.
    since: Option<Instant>,
    interval: Duration,
    stopping: bool,
}

/// A file with data that is not durable.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
}

impl Syncer {
    pub(crate) fn new(interval: Duration) -> Syncer {
        let state = State { waiting: Vec::new(), since: None, interval, stopping: false };
        Syncer { state: Mutex::new(state), changed: Condvar::new(), syncing: Mutex::new(()) }
    }

    /// Says that something was written to a file, or that a directory changed.
    pub(crate) fn written(&self, path: &Path, file: &Arc<File>) {
        let mut state = self.lock();
        if !state.waiting.iter().any(|waiting| Arc::ptr_eq(&waiting.file, file)) {
            state.waiting.push(Waiting { path: path.to_owned(), file: Arc::clone(file) });
        }
        if state.since.is_none() {
            state.since = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    pub(crate) fn set_interval(&self, interval: Duration) {
        self.lock().interval = interval;
        self.changed.notify_one();
    }

    /// Ends [`Syncer::run`] when all that waits is synced.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// The thread's work. `report` hears how each fsync went.
    pub(crate) fn run(&self, mut report: impl FnMut(&Waiting, io::Result<()>)) {
        while self.wait() {
            let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
            for waiting in self.take() {
                let result = sync_data(&waiting.file);
                report(&waiting, result);
            }
        }
    }

    /// Syncs what was written before. Whether that went well; what did not is tried again, and reported, by the
    /// thread.
    pub(crate) fn sync_now(&self) -> bool {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut well = true;
        for waiting in self.take() {
            if sync_data(&waiting.file).is_err() {
                well = false;
                self.written(&waiting.path, &waiting.file);
            }
        }
        well
    }

    pub(crate) fn take(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        state.since = None;
        std::mem::take(&mut state.waiting)
    }

    /// Waits until something is due. False when there is nothing, and will not be.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            let left = state.since.map(|since| state.interval.saturating_sub(since.elapsed()));
            state = match left {
                Some(left) if left.is_zero() || state.stopping => return true,
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None if state.stopping => return false,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after each statement, so a panic of another holder does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
