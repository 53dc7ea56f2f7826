//! Replies that wait until their records are durable, many to one fsync.
//!
//! A caller leaves the rest of its reply here with the number of its record, and goes away: no thread of the
//! host waits. One thread collects what has come, has the ring carried and the segment synced, once for all of
//! them, while the next ones come; another gives the replies, because what runs above may work on the disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::Level;
use crate::journal::{Shared, guarded};

/// The rest of a reply.
pub type Reply = Box<dyn FnOnce() + Send>;

/// How long a reply waits for a journal that cannot be written. The fop is done, and its record may be lost by a
/// power loss as without durability; it must not hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at the ring: the journal thread carries a batch in less.
const LOOK: Duration = Duration::from_micros(50);

/// Where replies are left. The threads are started with the first one.
pub(crate) struct GroupCommit {
    running: Mutex<Option<Running>>,
}

/// A reply that is given when this is dropped, whatever becomes of the threads: a fop must not hang.
struct Promised(Option<Reply>);

impl Drop for Promised {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply();
        }
    }
}

/// What comes in by a door.
enum Left {
    /// A reply, and the number of the entry that it waits for.
    Reply(u64, Promised),
    /// Nothing that comes behind this is waited for.
    End,
}

struct Running {
    replies: Sender<Left>,
    threads: [JoinHandle<()>; 2],
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}

impl GroupCommit {
    pub(crate) fn new() -> GroupCommit {
        GroupCommit { running: Mutex::new(None) }
    }

    /// A place to leave replies, which a caller keeps: sending to it takes no lock.
    ///
    /// # Errors
    ///
    /// Where a thread cannot be started.
    pub(crate) fn door(&self, shared: &Arc<Shared>) -> io::Result<Door> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(start(shared)?);
        }
        Ok(Door(running.as_ref().map(|running| running.replies.clone())))
    }

    /// Gives all replies that were left, and ends the threads. What is left later is given at once.
    pub(crate) fn stop(&self) {
        let running = mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Running { replies, threads: [commit, reply] }) = running {
            // It fails only where the thread has ended already.
            let _ = replies.send(Left::End);
            let _ = commit.join();
            let _ = reply.join();
        }
    }
}

/// The way in.
#[derive(Clone)]
pub struct Door(Option<Sender<Left>>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// Leaves the rest of a reply until entry `seq` and all before it are durable; or, where the journal cannot be
    /// made so, for a second. Takes no lock that is held over a system call.
    pub fn leave(&self, seq: u64, reply: Reply) {
        let promised = Promised(Some(reply));
        // Where the journal is stopped nothing will become durable: what is refused is given.
        if let Some(replies) = &self.0 {
            let _ = replies.send(Left::Reply(seq, promised));
        }
    }
}

/// What it means that one of the threads has ended.
const AT_ONCE: &str = "replies do not wait until their records are durable";

fn start(shared: &Arc<Shared>) -> io::Result<Running> {
    let (replies, left) = unbounded();
    let (durable, ready) = unbounded::<Vec<Promised>>();
    let reply = {
        let shared = Arc::clone(shared);
        let on_reply = move || {
            guarded(&shared, "the thread that gives replies", AT_ONCE, || {
                ready.into_iter().for_each(drop);
            });
        };
        thread::Builder::new().name("gnotify-reply".to_owned()).spawn(on_reply)?
    };
    let shared = Arc::clone(shared);
    let on_commit = move || {
        guarded(&shared, "the thread that syncs for replies", AT_ONCE, || {
            commit(&shared, &left, &durable);
        });
    };
    let commit = thread::Builder::new().name("gnotify-commit".to_owned()).spawn(on_commit)?;
    Ok(Running { replies, threads: [commit, reply] })
}

fn commit(shared: &Shared, left: &Receiver<Left>, durable: &Sender<Vec<Promised>>) {
    let mut in_trouble = false;
    let mut ended = false;
    while !ended {
        let Ok(came) = left.recv() else { return };
        let mut group = Vec::new();
        let (mut first, mut last) = (u64::MAX, 0);
        for one in std::iter::once(came).chain(left.try_iter()) {
            match one {
                Left::Reply(seq, reply) => {
                    (first, last) = (first.min(seq), last.max(seq));
                    group.push(reply);
                }
                Left::End => ended = true,
            }
        }
        let is_durable = group.is_empty()
            || carried(shared, last)
                && shared.is_whole_from(first)
                && shared.syncer.sync_now(|file, result| shared.synced(file, result));
        let trouble = !is_durable;
        if trouble && !in_trouble {
            shared.host.log(
                Level::Error,
                "journal: replies go out although their records are not on disk: the journal cannot be \
                 written or synced; see the line about it before this one",
            );
        }
        in_trouble = trouble;
        if durable.send(group).is_err() {
            return;
        }
    }
}

/// Waits until the journal thread has carried entry `last`. False where it does not.
fn carried(shared: &Shared, last: u64) -> bool {
    let end = Instant::now() + PATIENCE;
    while shared.ring.consumed() <= last {
        if Instant::now() > end {
            return false;
        }
        shared.bell.wake();
        thread::sleep(LOOK);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_reply_that_is_left_behind_the_end_is_given() {
        let given = Arc::new(AtomicU32::new(0));
        let reply = || -> Reply {
            let given = Arc::clone(&given);
            Box::new(move || {
                given.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (replies, left) = unbounded();
        let door = Door(Some(replies));
        door.leave(1, reply());
        assert_eq!(given.load(Ordering::Relaxed), 0, "it waits");
        // The thread ends with it: nobody will take it.
        drop(left);
        assert_eq!(given.load(Ordering::Relaxed), 1);
        door.leave(2, reply());
        Door(None).leave(3, reply());
        assert_eq!(given.load(Ordering::Relaxed), 3);
    }
}
