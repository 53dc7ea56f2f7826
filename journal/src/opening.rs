//! A journal that could not be opened when the brick was started: tried again until it can.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Config, Journal, Level, OpenError};

/// Tries to open a journal from time to time, on a thread of its own. Dropping it ends that, and waits for a try
/// that is under way.
pub struct Opening {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Opening {
    /// Tries `every` so often, first after that time, and gives `opened` the journal. It is to publish it to
    /// the fops, and to say [`Journal::resume`] then.
    ///
    /// What goes wrong is told to the host when it is not what went wrong before (`first`, at the beginning). An
    /// error that is not temporary is the last.
    ///
    /// # Errors
    ///
    /// Where there can be no thread.
    pub fn start(
        config: Config,
        first: &OpenError,
        every: Duration,
        opened: impl FnOnce(Journal) + Send + 'static,
    ) -> io::Result<Opening> {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&ended);
        let mut told = first.to_string();
        let work = move || {
            let host = Arc::clone(&config.host);
            host.thread_started();
            loop {
                let guard = theirs.0.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = theirs.1.wait_timeout_while(guard, every, |ended| !*ended);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return;
                }
                let error = match Journal::open(config.clone()) {
                    Ok(journal) => {
                        let text = format!(
                            "journal: {} could be opened now; that changes since the start of the brick \
                             are missing is told in it as a gap",
                            config.dir.display()
                        );
                        host.log(Level::Warning, &text);
                        return opened(journal);
                    }
                    Err(error) => error,
                };
                let text = error.to_string();
                if text != told {
                    host.log(Level::Error, &format!("journal: still none: {text}"));
                    told = text;
                }
                if !error.is_temporary() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("gnotify-open".to_owned()).spawn(work)?;
        Ok(Opening { ended, thread: Some(thread) })
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_one();
        if let Some(thread) =
            self.thread.take().filter(|own| own.thread().id() != thread::current().id())
        {
            // A panic of it was told on stderr; there is nothing to be done about it here.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}
