//! The connection to a consumer: its events wait, become calls, and are written as its socket takes them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::queue::Queue;
use super::socket;
use crate::event::{Batch, BatchReply, Event, Selection};
use crate::record_mark::Assembler;
use crate::rpc::{FIRST_XID, Outcome, Reply};

/// Memory that events may take while they wait for one consumer.
pub(super) const QUEUE_MAX: usize = 64 << 20;
/// Greatest reply that is read. Stock's has 36 bytes.
const REPLY_MAX: usize = 1024;
/// Calls that are written before others have their turn.
const TURN: usize = 16;

/// What the state dump shows of a consumer. Written by the server's thread alone.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) queued_events: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) sent_events: AtomicU64,
    pub(super) dropped_events: AtomicU64,
}

/// A consumer that the brick is connected to.
#[derive(Debug)]
pub(super) struct Consumer {
    /// Its socket, as it named it.
    pub(super) path: PathBuf,
    pub(super) selection: Selection,
    stream: UnixStream,
    replies: Assembler,
    queue: Queue,
    /// The call that is being written, how much of it is, and how many events it carries.
    call: Vec<u8>,
    written: usize,
    carried: usize,
    /// The thread is waiting for room in the socket.
    pub(super) is_waiting: bool,
    /// The first call was answered. libgfchangelog reads with several threads, takes the number that it
    /// queues first for the lowest, and waits for ever behind a lower one; the answer says that it is queued.
    /// So no other call is under way beside the first.
    pub(super) has_answered: bool,
    /// Of the next call.
    seq: u64,
    xid: u32,
    /// Events that were dropped since the queue was full; 0: it is not.
    spell: u64,
    pub(super) counters: Arc<Counters>,
}

/// What a consumer's queue has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// It is full, and an event was dropped.
    Full,
    /// There is room again; so many were dropped.
    RoomAgain(u64),
}

impl Consumer {
    pub(super) fn new(path: PathBuf, selection: Selection, stream: UnixStream) -> Consumer {
        Consumer {
            path,
            selection,
            stream,
            replies: Assembler::new(REPLY_MAX),
            queue: Queue::new(QUEUE_MAX),
            call: Vec::new(),
            written: 0,
            carried: 0,
            is_waiting: false,
            has_answered: false,
            seq: 1,
            xid: FIRST_XID,
            spell: 0,
            counters: Arc::default(),
        }
    }

    /// Queues an event, if the consumer selected it.
    pub(super) fn offer(&mut self, event: &Event) -> Option<Notice> {
        if !self.selection.has(event.kind()) || self.queue.push(event) {
            return None;
        }
        self.dropped(1)
    }

    /// Counts events that did not come as far as the queue, or found no room in it.
    pub(super) fn dropped(&mut self, events: u64) -> Option<Notice> {
        if events == 0 {
            return None;
        }
        let begins = self.spell == 0;
        self.spell += events;
        self.counters.dropped_events.fetch_add(events, Ordering::Relaxed);
        begins.then_some(Notice::Full)
    }

    /// Writes what the socket takes. Gives whether more is to be written once it takes more.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        for _call in 0..TURN {
            if self.written == self.call.len() && !self.next_call() {
                return Ok(false);
            }
            while self.written < self.call.len() {
                match socket::write(&self.stream, &self.call[self.written..]) {
                    Ok(length) => self.written += length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let carried = std::mem::take(&mut self.carried) as u64;
            self.counters.sent_events.fetch_add(carried, Ordering::Relaxed);
        }
        Ok(self.queue.events() > 0)
    }

    /// Makes the next call of what waits, if it may be sent.
    fn next_call(&mut self) -> bool {
        self.written = 0;
        // A consumer that hears little does not keep a large buffer.
        self.call = Vec::new();
        if self.seq > 1 && !self.has_answered {
            return false;
        }
        let Some(events) = self.queue.pop() else { return false };
        self.carried = events.len();
        let batch = Batch { seq: self.seq, time: SystemTime::now(), events };
        self.call = batch.encode_call(self.xid);
        self.seq += 1;
        self.xid = self.xid.wrapping_add(1);
        true
    }

    /// The end of a spell in which events were dropped; told when the queue has become half empty, so that
    /// it is not told with each call that makes room for another one.
    pub(super) fn end_spell(&mut self) -> Option<Notice> {
        if self.spell == 0 || !self.queue.is_half_empty() {
            return None;
        }
        Some(Notice::RoomAgain(std::mem::take(&mut self.spell)))
    }

    /// Reads the replies; but for the first, they say nothing that the brick could act on. An error or the end means that the
    /// consumer is gone, or is none.
    pub(super) fn read_replies(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let Some(length) = socket::read(&self.stream, &mut bytes)? else { return Ok(()) };
        self.replies.push(&bytes[..length]);
        while let Some(message) = self.replies.next().map_err(io::Error::other)? {
            let reply = Reply::decode(&message).map_err(io::Error::other)?;
            if let Outcome::Done(results) = reply.outcome {
                BatchReply::decode(results).map_err(io::Error::other)?;
            }
            self.has_answered = true;
        }
        Ok(())
    }

    /// Events that were taken for it and have not been written as a whole.
    pub(super) fn unsent(&self) -> usize {
        self.queue.events() + self.carried
    }

    /// Brings the counters up to date.
    pub(super) fn count(&self) {
        self.counters.queued_events.store(self.unsent() as u64, Ordering::Relaxed);
        let bytes = self.queue.bytes() + self.call.len() - self.written;
        self.counters.queued_bytes.store(bytes as u64, Ordering::Relaxed);
    }
}

impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
