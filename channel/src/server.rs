//! The brick's side of the channel: a [`Server`] hands events to its own thread, which speaks to consumers.
//!
//! A thread of the host that has an event never waits: one relaxed load tells that nobody wants it, and
//! otherwise the event goes into a queue of fixed size without a lock. Everything that is a socket belongs
//! to the server's thread.

mod consumer;
mod probing;
mod queue;
mod socket;
mod thread;
mod wake;

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};

use crate::event::{Event, Kind, Selection};
use crate::socket_name::{RUN_DIR, brick_socket};
use consumer::Counters;
use socket::Listening;
use thread::Thread;
use wake::Wake;

/// Events that may be on their way to the server's thread.
const HAND_OVER: usize = 16 * 1024;

/// How much a line in the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// A consumer loses events, or was refused.
    Warning,
    /// Somebody has to do something.
    Error,
}

/// Where the server's thread says what happens.
pub type Log = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Which brick is served, and where.
#[derive(Clone)]
pub struct Settings {
    /// The brick's path, exactly as the consumers spell it: the sockets' names are made of it.
    pub brick_path: PathBuf,
    /// The directory of all sockets. It is made if it is not there.
    pub run_dir: PathBuf,
    /// Hears of trouble, and of consumers that come and go. Called by the server's thread.
    pub log: Log,
}

impl Settings {
    /// With stock's directory, and nobody who hears.
    #[must_use]
    pub fn new(brick_path: impl Into<PathBuf>) -> Settings {
        Settings {
            brick_path: brick_path.into(),
            run_dir: RUN_DIR.into(),
            log: Arc::new(|_level, _line| {}),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brick_path", &self.brick_path)
            .field("run_dir", &self.run_dir)
            .finish_non_exhaustive()
    }
}

/// A server that cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    /// What could not be made, or be listened on.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no consumer can hear this brick: {}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What a state dump shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The consumers that the brick is connected to.
    pub consumers: Vec<ConsumerStatus>,
}

/// One consumer, in a state dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// The socket that it listens on.
    pub socket: PathBuf,
    /// What it wants to hear.
    pub selection: Selection,
    /// Events that are not written as a whole yet.
    pub queued_events: u64,
    /// Memory that they take, in bytes.
    pub queued_bytes: u64,
    /// Events that were written.
    pub sent_events: u64,
    /// Events that it will not hear.
    pub dropped_events: u64,
}

/// Serves one brick. Dropping it does what [`Server::close`] does.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    events: Sender<Event>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the server's thread and the others share.
#[derive(Debug)]
struct Shared {
    /// What any consumer wants: the bits of a [`Selection`].
    wanted: AtomicU32,
    wake: Wake,
    is_stopping: AtomicBool,
    /// Events of each kind that found the way to the thread full.
    missed: [AtomicU64; Kind::ALL.len()],
    /// Who is connected. Taken by the thread when that changes and by state dumps, never by a fop.
    consumers: Mutex<Vec<Shown>>,
}

/// What a state dump reads of a consumer.
#[derive(Debug)]
struct Shown {
    socket: PathBuf,
    selection: Selection,
    counters: Arc<Counters>,
}

impl Server {
    /// Listens for consumers, with a thread of its own.
    ///
    /// # Errors
    /// When the directory or the socket cannot be made (the path is too long, or there is a file that is no
    /// socket), or the thread cannot be started.
    pub fn open(settings: Settings) -> Result<Server, OpenError> {
        let path = brick_socket(&settings.run_dir, &settings.brick_path);
        let failed = |error| OpenError { path: path.clone(), error };
        fs::create_dir_all(&settings.run_dir).map_err(failed)?;
        let shared = Arc::new(Shared {
            wanted: AtomicU32::new(0),
            wake: Wake::new().map_err(failed)?,
            is_stopping: AtomicBool::new(false),
            missed: Default::default(),
            consumers: Mutex::default(),
        });
        let (events, taken) = bounded(HAND_OVER);
        let listening = Listening::open(&path).map_err(failed)?;
        let mut thread =
            Thread::new(&settings, Arc::clone(&shared), listening, taken).map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("gnotify-channel".into())
            .spawn(move || thread.run())
            .map_err(failed)?;
        Ok(Server { shared, events, thread: Mutex::new(Some(thread)) })
    }

    /// Whether any consumer wants to hear of such events. What it costs is one load.
    #[must_use]
    pub fn wants(&self, kind: Kind) -> bool {
        Selection::from_bits(self.shared.wanted.load(Ordering::Relaxed)).has(kind)
    }

    /// Tells all consumers that selected its kind of an event. It never waits: where the server's thread is
    /// too far behind, the event is dropped and counted. Events of one thread stay in their order.
    pub fn send(&self, event: Event) {
        let kind = event.kind();
        if !self.wants(kind) {
            return;
        }
        match self.events.try_send(event) {
            Ok(()) => self.shared.wake.knock(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.missed[kind.place()].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Who is connected, and what waits for them.
    #[must_use]
    pub fn status(&self) -> Status {
        let consumers = self.shared.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        let show = |shown: &Shown| {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            ConsumerStatus {
                socket: shown.socket.clone(),
                selection: shown.selection,
                queued_events: read(&shown.counters.queued_events),
                queued_bytes: read(&shown.counters.queued_bytes),
                sent_events: read(&shown.counters.sent_events),
                dropped_events: read(&shown.counters.dropped_events),
            }
        };
        Status { consumers: consumers.iter().map(show).collect() }
    }

    /// Ends the server: what was sent before and its consumers take at once is still written. All
    /// connections are closed, and the socket's file is gone, when this returns.
    pub fn close(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.wake.knock();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was said by the thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}
