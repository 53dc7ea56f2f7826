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
    /// An fsync failed, and nobody who wants all to be durable has heard of it.
    failed: bool,
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
        let state =
            State { waiting: Vec::new(), since: None, interval, failed: false, stopping: false };
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
    pub(crate) fn run(&self, report: impl Fn(&Waiting, io::Result<()>)) {
        while self.wait() {
            self.sync(&report);
        }
    }

    /// Syncs what was written before. Whether that went well, and so did what the thread has synced since the last call:
    /// what is waited for may have been part of that.
    pub(crate) fn sync_now(&self, report: impl Fn(&Waiting, io::Result<()>)) -> bool {
        self.sync(&report);
        !std::mem::take(&mut self.lock().failed)
    }

    /// Syncs what waits. What fails is not tried again by itself: the kernel tells of a page that it could not write
    /// once, and takes it for written from then on, so that another try would tell a lie.
    fn sync(&self, report: &impl Fn(&Waiting, io::Result<()>)) {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in self.take() {
            let result = sync_data(&waiting.file);
            if result.is_err() {
                self.lock().failed = true;
            }
            report(&waiting, result);
        }
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

#[cfg(all(test, not(loom)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_the_thread_could_not_sync_is_heard_by_who_waits_for_it() {
        let syncer = Syncer::new(Duration::ZERO);
        let refused = Cell::new(0);
        let report = |_: &Waiting, result: io::Result<()>| {
            refused.set(refused.get() + u32::from(result.is_err()));
        };
        // A pipe takes no fsync.
        let (_, pipe) = io::pipe().unwrap();
        let pipe = Arc::new(File::from(std::os::fd::OwnedFd::from(pipe)));
        syncer.written(Path::new("pipe"), &pipe);
        syncer.stop();
        syncer.run(report);
        assert_eq!(refused.get(), 1);
        assert!(!syncer.sync_now(report), "the thread has taken it, and failed");
        assert!(syncer.sync_now(report), "that was said, and nothing else waits");
        syncer.written(Path::new("pipe"), &pipe);
        assert!(!syncer.sync_now(report));
        assert_eq!(refused.get(), 2);
    }
}
