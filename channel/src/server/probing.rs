//! A connection to the brick's socket: probes come, and replies go. Whatever a peer sends or leaves out
//! costs it this connection, and nobody else anything.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::socket;
use crate::probe::{self, PROBE, PROGRAM, Probe};
use crate::record_mark::Assembler;
use crate::rpc::{Call, NULL_PROCEDURE, Outcome, Reply};

/// Greatest call that is read. A probe has 500 bytes, with stock's credentials.
const CALL_MAX: usize = 2048;
/// How long a peer may take to end a message that it began, or to take a reply.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Probing {
    stream: UnixStream,
    calls: Assembler,
    /// Replies that the socket had no room for. Until it has, no call is read.
    replies: Vec<u8>,
    /// When the peer is given up: it began a message, or does not take a reply.
    deadline: Option<Instant>,
    /// A probe came: this is a consumer, and may be silent from now on.
    pub(super) has_probed: bool,
}

impl Probing {
    pub(super) fn new(stream: UnixStream) -> Probing {
        Probing {
            stream,
            calls: Assembler::new(CALL_MAX),
            replies: Vec::new(),
            deadline: None,
            has_probed: false,
        }
    }

    /// Reads what has come and answers it; `take` says what a probe is answered. An error, among them the
    /// end, means that the connection is to be closed.
    pub(super) fn serve(&mut self, mut take: impl FnMut(Probe) -> i32) -> io::Result<()> {
        self.write()?;
        if self.is_waiting_to_write() {
            return Ok(());
        }
        let mut bytes = [0; CALL_MAX];
        let Some(length) = socket::read(&self.stream, &mut bytes)? else { return Ok(()) };
        self.calls.push(&bytes[..length]);
        while let Some(message) = self.calls.next().map_err(io::Error::other)? {
            self.deadline = None;
            self.answer(&message, &mut take)?;
        }
        self.write()?;
        self.set_deadline();
        Ok(())
    }

    fn answer(&mut self, message: &[u8], take: &mut impl FnMut(Probe) -> i32) -> io::Result<()> {
        let call = match Call::decode(message).map_err(io::Error::other)? {
            Ok(call) => call,
            Err(other) => {
                Reply { xid: other.xid, outcome: Outcome::OtherRpcVersion }
                    .encode(&mut self.replies);
                return Ok(());
            }
        };
        let results;
        let outcome = if call.program.number != PROGRAM.number {
            Outcome::NoProgram
        } else if call.program.version != PROGRAM.version {
            Outcome::OtherVersion { served: PROGRAM.version }
        } else {
            match call.procedure {
                NULL_PROCEDURE => Outcome::Done(&[]),
                PROBE => match Probe::decode(call.arguments) {
                    Ok(probe) => {
                        results = probe::encode_reply(take(probe));
                        self.has_probed |= results == probe::encode_reply(0);
                        Outcome::Done(&results)
                    }
                    Err(_) => Outcome::BadArguments,
                },
                _ => Outcome::NoProcedure,
            }
        };
        Reply { xid: call.xid, outcome }.encode(&mut self.replies);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.replies.is_empty() {
            match socket::write(&self.stream, &self.replies) {
                Ok(length) => drop(self.replies.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.set_deadline();
        Ok(())
    }

    fn set_deadline(&mut self) {
        if self.is_waiting_to_write() || self.calls.is_within_message() {
            self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        } else {
            self.deadline = None;
        }
    }

    /// Whether the socket has no room for the replies.
    pub(super) fn is_waiting_to_write(&self) -> bool {
        !self.replies.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl AsFd for Probing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
