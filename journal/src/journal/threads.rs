//! The journal's threads: what starts each, and what becomes of a panic in one.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::Shared;
use crate::Level;
use crate::journal_thread::JournalThread;
use crate::pack_thread::PackThread;

pub(super) fn spawn_journal(
    shared: &Arc<Shared>,
    mut worker: JournalThread,
) -> io::Result<JoinHandle<bool>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-jnl".to_owned()).spawn(move || {
        guarded(&shared, "the journal thread", LOST, || worker.run()).unwrap_or(false)
    })
}

pub(super) fn spawn_sync(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-sync".to_owned()).spawn(move || {
        guarded(&shared, "the sync thread", LOST, || {
            shared.syncer.run(|waiting, result| shared.synced(waiting, result));
        });
    })
}

pub(super) fn spawn_pack(shared: &Arc<Shared>, dir: &Path) -> io::Result<JoinHandle<()>> {
    let mut worker = PackThread::new(Arc::clone(shared), dir.to_owned());
    let shared = Arc::clone(shared);
    thread::Builder::new().name("gnotify-pack".to_owned()).spawn(move || {
        let stays = "nothing is lost, segments stay uncompressed";
        guarded(&shared, "the thread that compresses segments", stays, || worker.run());
    })
}

/// What it means that one of the threads has ended that entries need.
const LOST: &str = "entries stay in the ring until it is full, then they are lost and counted";

/// Runs a thread's work. A panic of ours must not go unnoticed, nor take the host down. `so` says what it means.
pub(crate) fn guarded<T>(
    shared: &Shared,
    what: &str,
    so: &str,
    work: impl FnOnce() -> T,
) -> Option<T> {
    let work = || {
        shared.host.thread_started();
        work()
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            shared.host.log(
                Level::Error,
                &format!(
                    "journal: {what} has panicked ({}); {so}: restart the brick, and report this as a \
                     bug",
                    text.unwrap_or("no message")
                ),
            );
            None
        }
    }
}
