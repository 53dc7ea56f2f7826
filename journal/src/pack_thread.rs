//! The thread that packs the segments that are not written any more, one by one, oldest first.
//!
//! It works from what is in the directory, so that what a kill or a failure left is simply there again. Nobody waits
//! for it: it has the lowest priority, a segment that cannot be packed stays as it is, and a stop is heeded
//! between two blocks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::Level;
use crate::journal::Shared;
use crate::outage::explain;
use crate::packed::pack::{Failure, Leave, Outcome, pack};
use crate::segment::{self, EXTENSION};
use crate::space::Space;

/// Between two tries where the brick cannot be written.
const RETRY: Duration = Duration::from_secs(30);

/// The lowest priority but that of work that may never be done.
const NICE: i32 = 19;

/// What the thread and the others tell one another. Its lock is never held over a system call but that of the
/// condition variable.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Something may have come to be packed.
    woken: bool,
    stopping: bool,
    /// Segments that retention has not heard of, and their bytes.
    packed: Vec<(u64, u64)>,
}

impl Packing {
    /// Says that a segment is not written any more, or that the limits have changed.
    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_one();
    }

    /// Ends the thread, at most one block later.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// The first numbers of segments that were packed since, and their bytes.
    pub(crate) fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.lock().packed)
    }

    fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Waits until it is woken, for `most` where that is given. False: it is time to end.
    fn wait(&self, most: Option<Duration>) -> bool {
        let mut state = self.lock();
        while !state.woken && !state.stopping {
            state = match most {
                Some(most) => {
                    let (state, timeout) = self
                        .changed
                        .wait_timeout(state, most)
                        .unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return !state.stopping;
                    }
                    state
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.woken = false;
        !state.stopping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after each statement, so a panic of another holder does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's state.
pub(crate) struct PackThread {
    shared: Arc<Shared>,
    dir: PathBuf,
    space: Space,
    /// Segments that stay as they are.
    left: BTreeSet<u64>,
    /// The last try failed, which was logged.
    failing: bool,
}

/// What a look at the journal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A segment was done with.
    Done,
    /// There was none.
    Nothing,
    /// The brick cannot be written.
    Held,
}

impl PackThread {
    pub(crate) fn new(shared: Arc<Shared>, dir: PathBuf) -> PackThread {
        PackThread { shared, dir, space: Space::default(), left: BTreeSet::new(), failing: false }
    }

    /// Works until the journal is stopped.
    pub(crate) fn run(&mut self) {
        // Where that is refused it works on, only less politely.
        let _ = setpriority_process(Some(gettid()), NICE);
        let mut most = Some(Duration::ZERO);
        while self.shared.packing.wait(most) {
            most = match self.step() {
                Step::Done => Some(Duration::ZERO),
                Step::Nothing => None,
                Step::Held => Some(RETRY),
            };
        }
    }

    /// Packs the oldest segment that is to be packed.
    pub(crate) fn step(&mut self) -> Step {
        if !self.shared.limits().compress {
            return Step::Nothing;
        }
        // The segment that is being written, and what may be in its place, is none of ours.
        let live = self.shared.live();
        let found = segment::list(&self.dir, EXTENSION).and_then(|found| {
            let wanted = |first_seq: &u64| *first_seq < live && !self.left.contains(first_seq);
            match found.into_iter().find(wanted) {
                Some(first_seq) => Ok(Some((first_seq, File::open(&self.dir)?))),
                None => Ok(None),
            }
        });
        match found {
            Ok(None) => Step::Nothing,
            Ok(Some((first_seq, dir_file))) => self.pack(first_seq, &dir_file),
            Err(error) => self.fail(&self.dir.clone(), &error),
        }
    }

    fn pack(&mut self, first_seq: u64, dir_file: &File) -> Step {
        let PackThread { shared, space, .. } = self;
        let mut brick = Brick { shared, space, dir_file };
        match pack(&self.dir, dir_file, first_seq, &mut brick) {
            Ok(Outcome::Packed(bytes)) => {
                self.shared.packing.lock().packed.push((first_seq, bytes));
                // It is the journal thread that keeps the figures.
                self.shared.bell.wake();
                if std::mem::take(&mut self.failing) {
                    let text = "journal: segments can be compressed again";
                    self.shared.host.log(Level::Warning, text);
                }
                Step::Done
            }
            Ok(Outcome::Left) => {
                self.left.insert(first_seq);
                Step::Done
            }
            Ok(Outcome::Gone) => Step::Done,
            Err(Failure::Stopped) => Step::Nothing,
            Err(Failure::Unfit(why)) => {
                self.left.insert(first_seq);
                let text = format!("journal: a segment stays uncompressed: {why}");
                self.shared.host.log(Level::Warning, &text);
                Step::Done
            }
            Err(Failure::Io(path, error)) => self.fail(&path, &error),
        }
    }

    fn fail(&mut self, path: &Path, error: &io::Error) -> Step {
        self.shared.count_io_error();
        if !std::mem::replace(&mut self.failing, true) {
            let (path, (_, advice)) = (path.display(), explain(error));
            let text = format!(
                "journal: cannot compress {path}: {error}; nothing is lost, it stays as it is and is \
                 tried again: {advice}"
            );
            self.shared.host.log(Level::Warning, &text);
        }
        self.space.ask_again();
        Step::Held
    }
}

/// The brick that a segment is packed on.
struct Brick<'a> {
    shared: &'a Shared,
    space: &'a mut Space,
    dir_file: &'a File,
}

impl Leave for Brick<'_> {
    fn room(&mut self, bytes: u64) -> io::Result<()> {
        self.space.take(self.dir_file, self.shared.limits().reserve, bytes)
    }

    fn goes_on(&self) -> bool {
        !self.shared.packing.is_stopping() && self.shared.limits().compress
    }
}
