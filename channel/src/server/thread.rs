//! The server's thread: one loop over the listener, the connections on which probes come, and those to the
//! consumers.
//!
//! It sleeps until an event or a socket wakes it, and has a timer only while somebody owes something. What
//! a peer may cost is bounded: connections, consumers, the length of a message, the time for half of one,
//! and the memory for events.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::geteuid;

use super::consumer::{Consumer, Notice};
use super::probing::{PATIENCE, Probing};
use super::socket::{self, Listening};
use super::{HAND_OVER, Level, Log, Settings, Shared, Shown};
use crate::event::{Event, Kind, Selection};
use crate::probe::Probe;
use crate::socket_name::{brick_hash, is_consumer_socket};

/// Connections on which probes may come.
const PROBING_MAX: usize = 128;
/// Consumers, those among them that are yet to be connected.
const CONSUMERS_MAX: usize = 64;
/// Connections that are accepted before others have their turn.
const TURN: usize = 16;
/// Pause of a listener that cannot accept: the process has no descriptors left.
const LISTENER_PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts to connect to a consumer whose queue of connections is full.
const CALL_PAUSE: Duration = Duration::from_millis(20);

const LISTENER: u64 = 0;
const WAKE: u64 = 1;

pub(super) struct Thread {
    shared: Arc<Shared>,
    log: Log,
    /// As the file system knows it: two spellings of it are one.
    run_dir: PathBuf,
    brick_hash: String,
    events: Receiver<Event>,
    epoll: Epoll,
    listening: Listening,
    /// When the listener is looked at again.
    paused: Option<Instant>,
    probing: BTreeMap<u64, Probing>,
    consumers: BTreeMap<u64, Consumer>,
    /// Consumers whose sockets are asked again.
    calling: Vec<Calling>,
    next_token: u64,
    /// Somebody who is not root was refused, which was logged.
    stranger_told: bool,
}

struct Calling {
    path: PathBuf,
    selection: Selection,
    due: Instant,
    given_up: Instant,
}

impl Thread {
    pub(super) fn new(
        settings: &Settings,
        shared: Arc<Shared>,
        listening: Listening,
        events: Receiver<Event>,
    ) -> io::Result<Thread> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listening.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&shared.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Thread {
            shared,
            log: Arc::clone(&settings.log),
            run_dir: settings.run_dir.canonicalize()?,
            brick_hash: brick_hash(&settings.brick_path),
            events,
            epoll,
            listening,
            paused: None,
            probing: BTreeMap::new(),
            consumers: BTreeMap::new(),
            calling: Vec::new(),
            next_token: WAKE + 1,
            stranger_told: false,
        })
    }

    /// Works until the server is closed.
    pub(super) fn run(&mut self) {
        let mut ready = [EpollEvent::empty(); 64];
        loop {
            let is_last = self.shared.is_stopping.load(Ordering::Acquire);
            self.take_events();
            if is_last {
                // No answer is waited for any more.
                self.consumers.values_mut().for_each(|consumer| consumer.has_answered = true);
            }
            self.flush_all();
            if is_last {
                return;
            }
            let next = self.keep_time();
            let count = self.sleep(next, &mut ready);
            for event in &ready[..count] {
                self.handle(event.data());
            }
        }
    }

    fn say(&self, level: Level, line: &str) {
        (self.log)(level, line);
    }

    /// Waits until there is something to do or `until` has come; gives how many sockets are ready.
    fn sleep(&self, until: Option<Instant>, ready: &mut [EpollEvent]) -> usize {
        self.shared.wake.fall_asleep();
        let has_work = !self.events.is_empty() || self.shared.is_stopping.load(Ordering::Acquire);
        let timeout = match until {
            _ if has_work => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            // A millisecond more: epoll cuts fractions off, and would wake too early again and again.
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
            }
        };
        // Only a signal ends it with an error, and the next round looks again.
        let count = self.epoll.wait(ready, timeout).unwrap_or(0);
        self.shared.wake.wake_up();
        count
    }

    /// Copies what came to the consumers that selected it.
    fn take_events(&mut self) {
        for (kind, missed) in Kind::ALL.into_iter().zip(&self.shared.missed) {
            if missed.load(Ordering::Relaxed) > 0 {
                let missed = missed.swap(0, Ordering::Relaxed);
                for consumer in self.consumers.values_mut() {
                    let missed = if consumer.selection.has(kind) { missed } else { 0 };
                    let notice = consumer.dropped(missed);
                    tell(&self.log, consumer, notice);
                }
            }
        }
        for event in self.events.try_iter().take(HAND_OVER) {
            for consumer in self.consumers.values_mut() {
                let notice = consumer.offer(&event);
                tell(&self.log, consumer, notice);
            }
        }
    }

    fn flush_all(&mut self) {
        let unsent: Vec<u64> = self
            .consumers
            .iter()
            .filter_map(|(token, consumer)| (consumer.unsent() > 0).then_some(*token))
            .collect();
        unsent.into_iter().for_each(|token| self.flush(token));
    }

    fn flush(&mut self, token: u64) {
        let Some(consumer) = self.consumers.get_mut(&token) else { return };
        let flushed = consumer.flush().and_then(|waits| {
            if waits == std::mem::replace(&mut consumer.is_waiting, waits) {
                return Ok(());
            }
            let flags = if waits { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            watch(&self.epoll, &*consumer, EpollFlags::EPOLLIN | flags, token)
        });
        consumer.count();
        let notice = consumer.end_spell();
        tell(&self.log, consumer, notice);
        if let Err(error) = flushed {
            self.lose(token, &error);
        }
    }

    fn handle(&mut self, token: u64) {
        if token == LISTENER {
            self.accept();
        } else if token == WAKE {
            self.shared.wake.clear();
        } else if self.probing.contains_key(&token) {
            self.serve(token);
        } else if let Some(consumer) = self.consumers.get_mut(&token) {
            // What can be written is written by `flush_all`, in every round.
            if let Err(error) = consumer.read_replies() {
                self.lose(token, &error);
            }
        }
    }

    fn accept(&mut self) {
        for _connection in 0..TURN {
            match self.listening.listener.accept() {
                Ok((stream, _address)) => {
                    if let Err(error) = self.welcome(stream) {
                        self.say(Level::Warning, &format!("a connection was refused: {error}"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    self.say(Level::Error, &format!("no consumer can be accepted: {error}"));
                    self.pause_listener();
                    return;
                }
            }
        }
    }

    /// The listener stays ready while it cannot accept, so it is not looked at for a while.
    fn pause_listener(&mut self) {
        if watch(&self.epoll, &self.listening.listener, EpollFlags::empty(), LISTENER).is_ok() {
            self.paused = Some(Instant::now() + LISTENER_PAUSE);
        }
    }

    fn welcome(&mut self, stream: std::os::unix::net::UnixStream) -> io::Result<()> {
        if let Err(error) = is_trusted(&stream) {
            return if std::mem::replace(&mut self.stranger_told, true) {
                Ok(())
            } else {
                Err(error)
            };
        }
        if self.probing.len() == PROBING_MAX {
            // Whoever never asked for anything has to go first.
            let silent = self.probing.iter().find(|(_, probing)| !probing.has_probed);
            let Some(silent) = silent.map(|(token, _)| *token) else {
                return Err(io::Error::other(format!("there are {PROBING_MAX} already")));
            };
            self.probing.remove(&silent);
        }
        stream.set_nonblocking(true)?;
        let token = self.token();
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        self.probing.insert(token, Probing::new(stream));
        Ok(())
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Reads from a connection on which probes come.
    fn serve(&mut self, token: u64) {
        let Some(mut probing) = self.probing.remove(&token) else { return };
        let served = probing.serve(|probe| self.take_probe(&probe)).and_then(|()| {
            let waits = probing.is_waiting_to_write();
            let flags = if waits { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
            watch(&self.epoll, &probing, flags, token)
        });
        match served {
            Ok(()) => drop(self.probing.insert(token, probing)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData || is_nonsense(&error) => {
                self.say(Level::Warning, &format!("a connection was closed: it sent {error}"));
            }
            // Its end.
            Err(_) => {}
        }
    }

    /// Connects to whoever probes. Gives what the probe is answered.
    fn take_probe(&mut self, probe: &Probe) -> i32 {
        let selection = Selection::from_bits(probe.filter);
        let taken = self.consumer_path(&probe.path).and_then(|path| {
            let others = self.consumers.values().filter(|consumer| consumer.path != path).count();
            let calling = self.calling.iter().filter(|calling| calling.path != path).count();
            if others + calling >= CONSUMERS_MAX {
                return Err(io::Error::other(format!("there are {CONSUMERS_MAX} already")));
            }
            self.calling.retain(|calling| calling.path != path);
            self.call(path, selection, Instant::now() + PATIENCE)
        });
        match taken {
            Ok(()) => 0,
            Err(error) => {
                let path = probe.path.display();
                let line = format!("the consumer at {path} was refused: {error}");
                self.say(Level::Warning, &line);
                -1
            }
        }
    }

    /// The socket that a probe names, if a consumer of this brick would listen there.
    fn consumer_path(&self, path: &Path) -> io::Result<PathBuf> {
        let bad = |told| io::Error::new(io::ErrorKind::InvalidInput, told);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(bad("not the path of a socket"));
        };
        if !path.is_absolute() || dir.canonicalize()? != self.run_dir {
            return Err(bad("it is not in the directory of the brick's sockets"));
        }
        if !is_consumer_socket(name.as_encoded_bytes(), &self.brick_hash) {
            return Err(bad("no consumer of this brick has such a socket"));
        }
        Ok(self.run_dir.join(name))
    }

    fn call(&mut self, path: PathBuf, selection: Selection, given_up: Instant) -> io::Result<()> {
        let stream = match socket::call(&path) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < given_up =>
            {
                let due = Instant::now() + CALL_PAUSE;
                self.calling.push(Calling { path, selection, due, given_up });
                return Ok(());
            }
            called => called?,
        };
        is_trusted(&stream)?;
        let token = self.token();
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        let known = self.consumers.iter().find(|(_, consumer)| consumer.path == path);
        if let Some(known) = known.map(|(token, _)| *token) {
            self.lose(known, &io::Error::other("it probed again"));
        }
        self.say(Level::Info, &format!("{} hears {:#x}", path.display(), selection.bits()));
        self.consumers.insert(token, Consumer::new(path, selection, stream));
        self.consumers_changed();
        Ok(())
    }

    fn lose(&mut self, token: u64, why: &io::Error) {
        let Some(consumer) = self.consumers.remove(&token) else { return };
        let (path, unsent) = (consumer.path.display(), consumer.unsent());
        let level = if unsent > 0 { Level::Warning } else { Level::Info };
        self.say(
            level,
            &format!("{path} hears nothing more: {why}; {unsent} events were not sent"),
        );
        self.consumers_changed();
    }

    /// Lets producers and state dumps know who is there.
    fn consumers_changed(&self) {
        let all = self.consumers.values();
        let wanted = all.fold(Selection::default(), |all, one| all.or(one.selection));
        self.shared.wanted.store(wanted.bits(), Ordering::Relaxed);
        let show = |consumer: &Consumer| Shown {
            socket: consumer.path.clone(),
            selection: consumer.selection,
            counters: Arc::clone(&consumer.counters),
        };
        let mut shown = self.shared.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = self.consumers.values().map(show).collect();
    }

    /// Does what is due, and gives when something is due next.
    fn keep_time(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
            if watch(&self.epoll, &self.listening.listener, EpollFlags::EPOLLIN, LISTENER).is_err()
            {
                self.paused = Some(now + LISTENER_PAUSE);
            }
        }
        let late = |probing: &Probing| probing.deadline().is_some_and(|deadline| deadline <= now);
        let connections = self.probing.len();
        self.probing.retain(|_, probing| !late(probing));
        if self.probing.len() < connections {
            self.say(Level::Warning, "a connection was closed: half a message was left at that");
        }
        let (due, later): (Vec<_>, Vec<_>) =
            self.calling.drain(..).partition(|calling| calling.due <= now);
        self.calling = later;
        for Calling { path, selection, given_up, .. } in due {
            if let Err(error) = self.call(path.clone(), selection, given_up) {
                let line = format!("{} cannot be reached: {error}", path.display());
                self.say(Level::Warning, &line);
            }
        }
        let probing = self.probing.values().filter_map(Probing::deadline);
        let calling = self.calling.iter().map(|calling| calling.due);
        probing.chain(calling).chain(self.paused).min()
    }
}

impl Drop for Thread {
    /// Also after a panic: nobody hears anything any more.
    fn drop(&mut self) {
        self.consumers.clear();
        self.consumers_changed();
        if std::thread::panicking() {
            self.say(Level::Error, "the event channel is gone: restart the brick to have it back");
        }
    }
}

fn tell(log: &Log, consumer: &Consumer, notice: Option<Notice>) {
    let path = consumer.path.display();
    match notice {
        None => {}
        Some(Notice::Full) => log(
            Level::Warning,
            &format!("{path} does not read, and its queue is full: events are dropped"),
        ),
        Some(Notice::RoomAgain(dropped)) => {
            log(Level::Warning, &format!("{path} reads again: {dropped} events were dropped"));
        }
    }
}

/// Says what a socket is watched for.
fn watch(epoll: &Epoll, socket: impl AsFd, flags: EpollFlags, token: u64) -> io::Result<()> {
    Ok(epoll.modify(socket, &mut EpollEvent::new(flags, token))?)
}

/// Whether an error comes from what a peer sent.
fn is_nonsense(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<crate::BadMessage>())
}

/// Only root may hear what changes on a brick, whatever the permissions of the directory are; and who runs
/// the brick, where that is not root.
fn is_trusted(stream: &impl AsFd) -> io::Result<()> {
    let uid = socket::peer_uid(stream)?;
    if uid == 0 || uid == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {uid} is not root")))
}
