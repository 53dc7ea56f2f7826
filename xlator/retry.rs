//! Another try to open a journal that could not be opened: the brick was full, or read-only, or its disk failed.
//!
//! The brick serves meanwhile, and the journal remembers that nothing is recorded. A thread asks again from time to
//! time, because nobody else would.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gnotify_bindings::{SharedXlator, this};

use crate::instance::Instance;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// The thread, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    thread: Mutex<Option<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
}

impl Retry {
    /// Asks the instance of `this` again until it has a journal, or does not want one any more. Whether there is a
    /// thread for that.
    pub(crate) fn start(&self, shared: SharedXlator) -> bool {
        if self.stopping.load(Ordering::Acquire) {
            return false;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return true;
        }
        let stopping = Arc::clone(&self.stopping);
        let work = move || {
            let before = this::within(shared.get());
            loop {
                thread::park_timeout(PAUSE);
                if stopping.load(Ordering::Acquire) {
                    break;
                }
                let again = Instance::of(shared.get())
                    .and_then(|instance| instance.guarded(|| instance.try_again()));
                if again != Some(true) {
                    break;
                }
            }
            before.put_back();
        };
        *thread = thread::Builder::new().name("gnotify-retry".to_owned()).spawn(work).ok();
        thread.is_some()
    }

    /// Ends the thread, and waits for that.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            // A panic in it has been logged by the hook.
            let _ = thread.join();
        }
    }
}
