//! A server in a directory of its own, and a consumer that speaks the channel's messages.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, missing_docs, reason = "part of each test")]

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gnotify_channel::event::{self, Batch, BatchReply};
use gnotify_channel::probe::{self, PROBE, Probe};
use gnotify_channel::record_mark::Assembler;
use gnotify_channel::rpc::{Call, FIRST_XID, Outcome, Reply};
use gnotify_channel::socket_name::{brick_socket, consumer_socket};
use gnotify_channel::{Event, Server, Settings};
use gnotify_record::Gfid;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket,
};

/// How long a test waits for what normally takes milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const BRICK: &str = "/bricks/b1";

pub fn wait_for(what: &str, mut probe: impl FnMut() -> bool) {
    let start = Instant::now();
    while !probe() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A server, its directory, and what it said.
#[derive(Debug)]
pub struct Brick {
    pub server: Server,
    pub dir: tempfile::TempDir,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Brick {
    pub fn open() -> Brick {
        let dir = tempfile::tempdir().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let settings = Settings {
            run_dir: dir.path().into(),
            log: Arc::new(move |level, line: &str| {
                heard.lock().unwrap().push(format!("{level:?}: {line}"));
            }),
            ..Settings::new(BRICK)
        };
        Brick { server: Server::open(settings).unwrap(), dir, lines }
    }

    pub fn socket(&self) -> PathBuf {
        brick_socket(self.dir.path(), Path::new(BRICK))
    }

    /// A connection as a consumer makes one to probe.
    pub fn connect(&self) -> Peer {
        Peer::new(UnixStream::connect(self.socket()).unwrap())
    }

    /// A consumer that has been connected to.
    pub fn consumer(&self, pid: u32, filter: u32) -> Consumer {
        let mut listening = Listening::at(&consumer_socket(self.dir.path(), Path::new(BRICK), pid));
        let mut asking = self.connect();
        assert_eq!(asking.probe(&listening.path, filter), 0);
        let events = listening.accept();
        Consumer { asking, events, path: listening.path }
    }

    pub fn said(&self, part: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(part))
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// A consumer's own socket.
#[derive(Debug)]
pub struct Listening {
    listener: UnixListener,
    /// Connections that take the room of others.
    crowd: Vec<OwnedFd>,
    pub path: PathBuf,
}

impl Listening {
    pub fn at(path: &Path) -> Listening {
        let _ = std::fs::remove_file(path);
        Listening {
            listener: UnixListener::bind(path).unwrap(),
            crowd: Vec::new(),
            path: path.into(),
        }
    }

    /// One that has no room for another connection.
    pub fn crowded(path: &Path) -> Listening {
        let mut listening = Listening::at(path);
        listen(&listening.listener, Backlog::new(1).unwrap()).unwrap();
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        loop {
            let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
            match connect(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()) {
                Ok(()) => listening.crowd.push(fd),
                Err(Errno::EAGAIN) => return listening,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Accepts those of the crowd.
    pub fn make_room(&mut self) {
        for _one in self.crowd.drain(..) {
            drop(self.listener.accept().unwrap());
        }
    }

    pub fn accept(&mut self) -> Peer {
        Peer::new(self.listener.accept().unwrap().0)
    }
}

/// One end of a connection, which reads whole messages.
#[derive(Debug)]
pub struct Peer {
    pub stream: UnixStream,
    messages: Assembler,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream, messages: Assembler::new(1 << 20) }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message, or `None` at the end.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            if let Some(message) = self.messages.next().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(length) => self.messages.push(&bytes[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a call and gives what it was answered, results as they are.
    pub fn call(&mut self, call: Call<'_>) -> (Vec<u8>, Option<Outcome<'static>>) {
        let mut bytes = Vec::new();
        call.encode(&mut bytes);
        self.send(&bytes);
        let message = self.next().expect("an answer");
        let reply = Reply::decode(&message).unwrap();
        assert_eq!(reply.xid, call.xid);
        match reply.outcome {
            Outcome::Done(results) => (results.to_vec(), None),
            Outcome::NoProgram => (Vec::new(), Some(Outcome::NoProgram)),
            Outcome::NoProcedure => (Vec::new(), Some(Outcome::NoProcedure)),
            Outcome::BadArguments => (Vec::new(), Some(Outcome::BadArguments)),
            Outcome::OtherVersion { served } => {
                (Vec::new(), Some(Outcome::OtherVersion { served }))
            }
            Outcome::OtherRpcVersion => (Vec::new(), Some(Outcome::OtherRpcVersion)),
            Outcome::Refused => (Vec::new(), Some(Outcome::Refused)),
        }
    }

    /// Probes, and gives the answer.
    pub fn probe(&mut self, path: &Path, filter: u32) -> i32 {
        let probe = Probe { filter, path: path.into() };
        self.send(&probe.encode_call(FIRST_XID).unwrap());
        let message = self.next().expect("an answer to a probe");
        let Outcome::Done(results) = Reply::decode(&message).unwrap().outcome else {
            panic!("{message:?}")
        };
        probe::decode_reply(results).unwrap()
    }

    /// Whether the other end closes the connection.
    pub fn is_closed(&mut self) -> bool {
        self.next().is_none()
    }
}

/// A consumer and its two connections.
#[derive(Debug)]
pub struct Consumer {
    pub asking: Peer,
    pub events: Peer,
    pub path: PathBuf,
}

impl Consumer {
    /// The next call of the brick, answered as stock answers it.
    pub fn batch(&mut self) -> Option<Batch> {
        let batch = self.unanswered()?;
        self.answer(batch.seq);
        Some(batch)
    }

    /// The next call of the brick.
    pub fn unanswered(&mut self) -> Option<Batch> {
        let message = self.events.next()?;
        let call = Call::decode(&message).unwrap().unwrap();
        assert_eq!((call.program, call.procedure), (event::PROGRAM, event::EVENT));
        let batch = Batch::decode(call.arguments).unwrap();
        assert_eq!(u64::from(call.xid), batch.seq + u64::from(FIRST_XID) - 1);
        Some(batch)
    }

    /// Answers a call.
    pub fn answer(&mut self, seq: u64) {
        let results = BatchReply { op_ret: 0, seq }.encode();
        let xid = seq as u32 + FIRST_XID - 1;
        let mut reply = Vec::new();
        Reply { xid, outcome: Outcome::Done(&results) }.encode(&mut reply);
        // A brick that has gone does not read it.
        let _ = self.events.stream.write_all(&reply);
    }

    /// Reads until `count` events have come; the calls are numbered from `seq` on.
    pub fn events(&mut self, count: usize, mut seq: u64) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let batch = self.batch().expect("a call");
            assert_eq!(batch.seq, seq, "a number is left out, or told twice");
            seq += 1;
            events.extend(batch.events);
        }
        events
    }
}

pub fn probe_call(arguments: &[u8]) -> Call<'_> {
    Call { xid: 7, program: probe::PROGRAM, procedure: PROBE, arguments }
}

pub fn open(number: u32) -> Event {
    let mut gfid = Gfid::ROOT;
    gfid.0[..4].copy_from_slice(&number.to_le_bytes());
    Event::Open { gfid, flags: number.cast_signed() }
}
