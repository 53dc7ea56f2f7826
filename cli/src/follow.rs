//! Waiting for a journal to grow, until nobody wants to see it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often the journal is looked at: an entry is on the screen before one notices a delay, and
/// looking costs a few microseconds.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 30_000_000 };

/// How long a line that is being written when a signal comes has, before it is cut off.
const GRACE: Duration = Duration::from_secs(1);

/// A wait that SIGINT, SIGTERM and a reader that goes away end.
#[derive(Debug)]
pub(crate) struct Follow {
    ended: Arc<AtomicBool>,
}

impl Follow {
    /// From here on SIGINT and SIGTERM end the process with status 0, behind a whole line.
    ///
    /// A thread takes the signals, because a handler would need unsafe code. It also ends a process
    /// that cannot get rid of its output.
    pub(crate) fn start() -> io::Result<Follow> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        // Before the thread is made, which inherits it.
        signals.thread_block()?;
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if signals.wait().is_ok() {
                told.store(true, Ordering::Relaxed);
                std::thread::sleep(GRACE);
                std::process::exit(0);
            }
        })?;
        Ok(Follow { ended })
    }

    /// Waits a moment, or less where it is time to end.
    pub(crate) fn wait(&self) -> bool {
        // Nothing is asked for but what is always told: that the other end is gone.
        let stdout = io::stdout();
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        if let Ok(1) = poll(&mut watched, Some(&PAUSE)) {
            self.ended.store(true, Ordering::Relaxed);
        }
        self.goes_on()
    }

    /// Whether it is not yet time to end.
    pub(crate) fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }
}
