//! The journal of a brick, and the one place where state belongs to the process and not to an instance.
//!
//! With brick multiplexing the host attaches a brick's new graph while another thread is still taking the
//! former one down, under a lock that both need: whoever waited for the other in init would wait for ever. The
//! journal belongs to the brick, not to either instance, so the new one takes it over from the old one, and
//! nothing is missed in between. That needs a list of what this process has open.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use gnotify_bindings::log::{self, Level};
use gnotify_bindings::{SharedXlator, this};
use gnotify_journal::{self as journal, Config, Journal, OpenError};
use gnotify_record::ClientId;

use crate::export::{End, Export};

/// What this process has open: the journal's directory, the journal, and how many instances use it.
static OPEN: Mutex<Vec<Used>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Used {
    dir: PathBuf,
    journal: Arc<BrickJournal>,
    instances: usize,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct BrickJournal {
    journal: Journal,
    log: Arc<HostLog>,
    next_client: AtomicU32,
    /// What writes GlusterFS's own files from the journal: one at a time, whatever instance it belongs to.
    export: Mutex<Option<Arc<Export>>>,
}

impl Deref for BrickJournal {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

impl BrickJournal {
    /// Opens the journal in `dir` for `instance`, or takes it over from an instance of this process that has it,
    /// if that one is a `predecessor`. `config` makes the rest of the configuration, given the way to the
    /// host's log.
    pub(crate) fn open(
        dir: PathBuf,
        instance: SharedXlator,
        predecessor: bool,
        config: impl FnOnce(PathBuf, Arc<dyn journal::Host>) -> Config,
    ) -> Result<Arc<BrickJournal>, OpenError> {
        let mut open = lock(&OPEN);
        if let Some(used) = open.iter_mut().find(|used| used.dir == dir) {
            if !predecessor {
                return Err(OpenError::InUse { path: dir });
            }
            used.instances += 1;
            used.journal.log.add(instance);
            return Ok(Arc::clone(&used.journal));
        }
        let log = Arc::new(HostLog::default());
        log.add(instance);
        let host: Arc<dyn journal::Host> = Arc::clone(&log) as _;
        let journal = Journal::open(config(dir.clone(), host))?;
        let journal = Arc::new(BrickJournal {
            journal,
            log,
            next_client: AtomicU32::new(1),
            export: Mutex::default(),
        });
        open.push(Used { dir, journal: Arc::clone(&journal), instances: 1 });
        Ok(journal)
    }

    /// Gives the journal back: the last instance stops it, and whoever opens it meanwhile waits for that.
    pub(crate) fn close(self: &Arc<Self>, instance: SharedXlator) {
        let mut open = lock(&OPEN);
        if let Some(at) = open.iter().position(|used| Arc::ptr_eq(&used.journal, self)) {
            open[at].instances -= 1;
            if open[at].instances == 0 {
                // Before the instance's name leaves the log: its end may have to be told.
                self.journal.stop();
                open.swap_remove(at);
            }
        }
        self.log.remove(instance);
    }

    /// Wakes `follower` whenever something new can be read from the journal, until [`BrickJournal::unfollow`].
    pub(crate) fn follow(&self, follower: Thread) {
        lock(&self.log.followers).push(follower);
    }

    /// The end of that.
    pub(crate) fn unfollow(&self, follower: &Thread) {
        lock(&self.log.followers).retain(|one| one.id() != follower.id());
    }

    /// Starts an export by `start`; that of a predecessor ends first, as it stands.
    ///
    /// # Errors
    /// Those of `start`.
    pub(crate) fn begin_export<E>(
        &self,
        start: impl FnOnce() -> Result<Export, E>,
    ) -> Result<Arc<Export>, E> {
        let mut running = lock(&self.export);
        if let Some(former) = running.take() {
            former.stop(End::Pause);
        }
        let export = Arc::new(start()?);
        *running = Some(Arc::clone(&export));
        Ok(export)
    }

    /// Ends `export`, unless a successor has done so.
    pub(crate) fn end_export(&self, export: &Arc<Export>, end: End) {
        export.stop(end);
        let mut running = lock(&self.export);
        if running.as_ref().is_some_and(|one| Arc::ptr_eq(one, export)) {
            *running = None;
        }
    }

    /// A number for a client that no other client of this start has.
    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.next_client.fetch_add(1, Ordering::Relaxed))
    }
}

/// How the journal's own threads reach the host's log, in the name of an instance that uses it, and who follows
/// the journal.
#[derive(Default)]
pub(crate) struct HostLog {
    instances: Mutex<Vec<SharedXlator>>,
    followers: Mutex<Vec<Thread>>,
}

impl fmt::Debug for HostLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostLog").field(&lock(&self.instances).len()).finish()
    }
}

impl HostLog {
    /// In the name of `instance` alone.
    pub(crate) fn of(instance: SharedXlator) -> HostLog {
        let log = HostLog::default();
        log.add(instance);
        log
    }

    fn add(&self, instance: SharedXlator) {
        lock(&self.instances).push(instance);
    }

    /// After this the host may free the instance: no thread of the journal speaks in its name any more.
    fn remove(&self, instance: SharedXlator) {
        lock(&self.instances).retain(|one| one.get().as_ptr() != instance.get().as_ptr());
    }
}

impl journal::Host for HostLog {
    fn carried(&self) {
        lock(&self.followers).iter().for_each(Thread::unpark);
    }

    fn log(&self, level: journal::Level, text: &str) {
        let level = match level {
            journal::Level::Error => Level::Error,
            journal::Level::Warning => Level::Warning,
            journal::Level::Info => Level::Info,
        };
        // Held while the host writes, so that the instance stays.
        let instances = lock(&self.instances);
        if let Some(instance) = instances.last() {
            // Each time, because the one that this thread spoke for last may be gone.
            let before = this::within(instance.get());
            log::log(instance.get(), level, 0, format_args!("{text}"));
            before.put_back();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
