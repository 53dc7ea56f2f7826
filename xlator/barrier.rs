//! The snapshot barrier of `features/changelog`: fops that change names are held back while a snapshot is taken.
//!
//! The host asks for it around a snapshot (`gluster volume barrier V enable|disable`, snapshot create). When it is up, no
//! fop that changes a name is on its way to the disk, and the slice that has those before it is finished. Fops that change
//! content or attributes go on; those that change content are noted in a file of their own, as stock does. Whoever
//! forgets to lift it is outlived by a timer.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gnotify_changelog::csnap::Csnap;
use gnotify_changelog::storage::Disk;
use gnotify_record::Gfid;

use crate::names::Call;
use crate::resume::resume;

/// A brick's barrier.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    /// Read by each fop that changes a name, with the counter of fops under way: one of the two sides sees the other.
    up: AtomicBool,
    held: Arc<Held>,
    timer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Held {
    state: Mutex<State>,
    /// It was lifted.
    lifted: Condvar,
}

#[derive(Default)]
struct State {
    /// Which of the barriers this is: a timer lifts its own only.
    number: u64,
    up: bool,
    calls: VecDeque<Call>,
    csnap: Option<Csnap<Disk>>,
    /// That was said of a write to it that failed.
    csnap_failing: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("up", &self.up)
            .field("held", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// Why a barrier was not put up.
#[derive(Debug)]
pub(crate) enum NotRaised {
    /// It is up already.
    Already,
    /// Its file cannot be written.
    File(io::Error),
    /// The operating system gives no thread for the timer.
    Timer(io::Error),
}

impl Barrier {
    /// Whether fops that change names are held back. Asked behind [`gnotify_journal::UnderWay::enter`].
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    /// How many are held back.
    pub(crate) fn len(&self) -> usize {
        self.held.lock().calls.len()
    }

    /// Puts it up, to be lifted by itself after `timeout`: then `expired` hears how many fops go on. `csnap` makes its file,
    /// and is not asked where it is up already: that file has what was noted since.
    ///
    /// # Errors
    /// Where it is not put up, or is as before.
    pub(crate) fn raise(
        self: &Arc<Self>,
        csnap: impl FnOnce() -> io::Result<Csnap<Disk>>,
        timeout: Duration,
        expired: impl FnOnce(usize) + Send + 'static,
    ) -> Result<(), NotRaised> {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        let number = {
            let mut state = self.held.lock();
            if state.up {
                return Err(NotRaised::Already);
            }
            state.number += 1;
            state.number
        };
        let csnap = csnap().map_err(NotRaised::File)?;
        if let Some(former) = timer.take() {
            // It ended with its barrier. A panic in it has been logged by the hook.
            let _ = former.join();
        }
        {
            let mut state = self.held.lock();
            state.up = true;
            state.csnap = Some(csnap);
            state.csnap_failing = false;
            self.up.store(true, Ordering::SeqCst);
        }
        let barrier = Arc::clone(self);
        let due = Instant::now() + timeout;
        let spawned = thread::Builder::new()
            .name("gnotify-barrier".to_owned())
            .spawn(move || barrier.wait(number, due, expired));
        match spawned {
            Ok(thread) => *timer = Some(thread),
            Err(error) => {
                self.lift();
                return Err(NotRaised::Timer(error));
            }
        }
        Ok(())
    }

    fn wait(&self, number: u64, due: Instant, expired: impl FnOnce(usize)) {
        let mut state = self.held.lock();
        while state.up && state.number == number {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let calls = self.take(&mut state);
                drop(state);
                expired(calls.len());
                run(calls);
                return;
            }
            state = self
                .held
                .lifted
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Lifts it: what was held back goes on. False: it is not up.
    pub(crate) fn lift(&self) -> bool {
        let mut state = self.held.lock();
        if !state.up {
            return false;
        }
        let calls = self.take(&mut state);
        drop(state);
        self.held.lifted.notify_all();
        run(calls);
        true
    }

    fn take(&self, state: &mut State) -> VecDeque<Call> {
        state.up = false;
        state.csnap = None;
        self.up.store(false, Ordering::SeqCst);
        std::mem::take(&mut state.calls)
    }

    /// Lifts it for good, and ends its timer: the instance ends.
    pub(crate) fn close(&self) {
        self.lift();
        let timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(timer) = timer {
            // A panic in it has been logged by the hook.
            let _ = timer.join();
        }
    }

    /// Holds `call` back. Gives it back where the barrier was lifted meanwhile.
    pub(crate) fn hold(&self, call: Call) -> Option<Call> {
        let mut state = self.held.lock();
        if !state.up {
            return Some(call);
        }
        state.calls.push_back(call);
        None
    }

    /// Notes that the content of a file is about to change while the barrier is up.
    ///
    /// # Errors
    /// When that cannot be written; the first time only.
    pub(crate) fn note_data(&self, gfid: Gfid) -> io::Result<()> {
        let mut state = self.held.lock();
        let Some(csnap) = &mut state.csnap else { return Ok(()) };
        let noted = csnap.data(gfid);
        if noted.is_err() && std::mem::replace(&mut state.csnap_failing, true) {
            return Ok(());
        }
        noted
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(calls: VecDeque<Call>) {
    for call in calls {
        resume([Some(call), None]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnotify_changelog::Encoding;
    use gnotify_changelog::layout::Layout;
    use std::sync::atomic::AtomicUsize;

    fn csnap(dir: &tempfile::TempDir) -> impl FnOnce() -> io::Result<Csnap<Disk>> {
        let layout = Layout::new(dir.path());
        move || {
            std::fs::create_dir_all(layout.csnap_dir())?;
            Csnap::create(Disk, &layout, Encoding::Ascii)
        }
    }

    fn counted(count: &Arc<AtomicUsize>) -> Call {
        let count = Arc::clone(count);
        Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn what_is_held_back_goes_on_when_it_is_lifted() {
        let (dir, barrier) = (tempfile::tempdir().unwrap(), Arc::new(Barrier::default()));
        let count = Arc::new(AtomicUsize::new(0));
        assert!(barrier.hold(counted(&count)).is_some(), "it is not up");
        let hour = Duration::from_secs(3600);
        barrier.raise(csnap(&dir), hour, |_| ()).unwrap();
        for _ in 0..3 {
            assert!(barrier.hold(counted(&count)).is_none());
        }
        assert_eq!((barrier.is_up(), barrier.len()), (true, 3));
        barrier.note_data(Gfid([7; 16])).unwrap();
        let again = barrier.raise(csnap(&dir), hour, |_| ());
        assert!(matches!(again, Err(NotRaised::Already)), "{again:?}");
        assert!(barrier.lift());
        assert_eq!((barrier.is_up(), count.load(Ordering::Relaxed)), (false, 3));
        assert!(!barrier.lift());
        let noted = std::fs::read(Layout::new(dir.path()).csnap()).unwrap();
        assert!(noted.ends_with(format!("D{}\0", Gfid([7; 16])).as_bytes()));
        let no_file = || Err(io::ErrorKind::StorageFull.into());
        let not_raised = barrier.raise(no_file, hour, |_| ());
        assert!(matches!(not_raised, Err(NotRaised::File(_))), "{not_raised:?}");
        assert!(!barrier.is_up());
        barrier.raise(csnap(&dir), hour, |_| ()).unwrap();
        assert!(barrier.hold(counted(&count)).is_none());
        barrier.close();
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn d34_a_barrier_that_is_forgotten_is_lifted_by_itself() {
        let (dir, barrier) = (tempfile::tempdir().unwrap(), Arc::new(Barrier::default()));
        let (told, tell) = std::sync::mpsc::channel();
        let soon = Duration::from_millis(30);
        barrier.raise(csnap(&dir), soon, move |held| told.send(held).unwrap()).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let given_back = barrier.hold(counted(&count));
        let held = tell.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(held, usize::from(given_back.is_none()));
        assert!(!barrier.lift(), "too late");
        barrier.close();
        assert_eq!(count.load(Ordering::Relaxed), held);
    }
}
