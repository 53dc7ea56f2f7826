//! Events: what a brick tells its consumers, stock's native structures of them, and the calls that carry
//! them.

use std::fmt;
use std::time::{Duration, SystemTime};

use gnotify_record::Gfid;

use crate::record_mark::MARK;
use crate::rpc::{self, CALL_HEAD, Program};
use crate::xdr::{BadMessage, Reader, put_i32, put_u64};

/// The program that a consumer serves ("pong" in ASCII; stock: changelog-rpc-common.h).
pub const PROGRAM: Program = Program { number: 1_886_350_951, version: 1 };
/// Its procedure.
pub const EVENT: u32 = 1;
/// Bytes of every event (stock: CHANGELOG_EV_SIZE).
pub const EVENT_SIZE: usize = 4104;
/// Bytes in front of the events in a call.
pub const HEADER_SIZE: usize = 24;
/// Bytes of the results: a result and the call's number.
pub const REPLY_SIZE: usize = 12;
/// Events in one call, at most. Such a call fits in 128 KiB, a size that GlusterFS keeps buffers of, and in
/// the buffer of a socket (212992 bytes). Stock sends up to 13 MiB.
pub const CALL_EVENTS: usize = 31;

/// Where the union begins in an event's structure.
const UNION: usize = 8;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// A slice of the changelog was finished.
    Journal = 1,
    /// A file was opened.
    Open = 1 << 1,
    /// A file was created, and is open.
    Create = 1 << 2,
    /// A descriptor was closed.
    Release = 1 << 3,
    /// The last descriptor of a file that may be signed was closed: said by features/bitrot-stub.
    BrRelease = 1 << 4,
}

impl Kind {
    /// In the order of their bits.
    pub const ALL: [Kind; 5] =
        [Kind::Journal, Kind::Open, Kind::Create, Kind::Release, Kind::BrRelease];

    fn of_type(number: u32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Place among [`Kind::ALL`].
    pub(crate) fn place(self) -> usize {
        (self as u32).trailing_zeros() as usize
    }
}

/// A set of kinds: the bits that a probe carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection(u32);

impl Selection {
    /// Every kind.
    pub const ALL: Selection = Selection(0x1f);

    /// The kinds among the bits of a number; other bits mean nothing, as in stock.
    #[must_use]
    pub fn from_bits(bits: u32) -> Selection {
        Selection(bits & Selection::ALL.0)
    }

    /// As a number.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether a kind is in it.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & kind as u32 != 0
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Selection) -> Selection {
        Selection(self.0 | other.0)
    }
}

/// The path of a finished slice: shorter than 4096 bytes and without a NUL.
#[derive(Clone, PartialEq, Eq)]
pub struct JournalPath(Box<[u8]>);

impl JournalPath {
    /// Takes a path that an event has room for.
    ///
    /// # Errors
    /// When it is empty, has 4096 bytes or more, or a NUL.
    pub fn new(path: &[u8]) -> Result<JournalPath, BadMessage> {
        if path.is_empty() || path.len() >= EVENT_SIZE - UNION || path.contains(&0) {
            return Err(BadMessage { offset: UNION, what: "a path that fits in no event" });
        }
        Ok(JournalPath(path.into()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for JournalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What a brick tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A slice of the changelog was finished.
    Journal {
        /// Where it is.
        path: JournalPath,
    },
    /// A file was opened.
    Open {
        /// Which.
        gfid: Gfid,
        /// open(2)'s flags, as the brick has them.
        flags: i32,
    },
    /// A file was created, and is open.
    Create {
        /// Which.
        gfid: Gfid,
        /// open(2)'s flags, as the brick has them.
        flags: i32,
    },
    /// A descriptor was closed.
    Release {
        /// Of which file.
        gfid: Gfid,
    },
    /// The last descriptor of a file that may be signed was closed.
    BrRelease {
        /// The version that features/bitrot-stub gave to the file's content.
        version: u64,
        /// Which file.
        gfid: Gfid,
        /// What bitd is to do about it.
        sign_info: i32,
    },
}

impl Event {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Event::Journal { .. } => Kind::Journal,
            Event::Open { .. } => Kind::Open,
            Event::Create { .. } => Kind::Create,
            Event::Release { .. } => Kind::Release,
            Event::BrRelease { .. } => Kind::BrRelease,
        }
    }

    /// Reads stock's native structure, as an ipc fop or a call carries it. What no field covers is not
    /// looked at: stock leaves there what was in its memory.
    ///
    /// # Errors
    /// When it is not exactly 4104 bytes, its type is not exactly one of the five bits, or a path is empty
    /// or has no end.
    pub fn from_bytes(bytes: &[u8]) -> Result<Event, BadMessage> {
        let bad = |offset, what| BadMessage { offset, what };
        if bytes.len() != EVENT_SIZE {
            return Err(bad(bytes.len().min(EVENT_SIZE), "not the 4104 bytes of an event"));
        }
        let mut fields = Fields { bytes, at: 0 };
        let kind = Kind::of_type(u32::from_le_bytes(fields.take()));
        fields.at = UNION;
        Ok(match kind.ok_or(bad(0, "no type of an event"))? {
            Kind::Journal => {
                let path = &bytes[UNION..];
                let end = path.iter().position(|byte| *byte == 0);
                let end = end.ok_or(bad(EVENT_SIZE, "a path without end"))?;
                Event::Journal { path: JournalPath::new(&path[..end])? }
            }
            Kind::Open => Event::Open { gfid: fields.gfid(), flags: fields.i32() },
            Kind::Create => Event::Create { gfid: fields.gfid(), flags: fields.i32() },
            Kind::Release => Event::Release { gfid: fields.gfid() },
            Kind::BrRelease => Event::BrRelease {
                version: u64::from_le_bytes(fields.take()),
                gfid: fields.gfid(),
                sign_info: fields.i32(),
            },
        })
    }

    /// Appends stock's native structure, with zeros wherever no field is.
    ///
    /// Native is little endian, with 8 bytes for an `unsigned long`, on each machine that the plugin is
    /// built for.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&(self.kind() as u32).to_le_bytes());
        out.extend_from_slice(&[0; UNION - 4]);
        match self {
            Event::Journal { path } => out.extend_from_slice(path.as_bytes()),
            Event::Open { gfid, flags } | Event::Create { gfid, flags } => {
                out.extend_from_slice(&gfid.0);
                out.extend_from_slice(&flags.to_le_bytes());
            }
            Event::Release { gfid } => out.extend_from_slice(&gfid.0),
            Event::BrRelease { version, gfid, sign_info } => {
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&gfid.0);
                out.extend_from_slice(&sign_info.to_le_bytes());
            }
        }
        out.resize(start + EVENT_SIZE, 0);
    }

    /// Bytes that it holds besides itself.
    pub(crate) fn heap_size(&self) -> usize {
        match self {
            Event::Journal { path } => path.0.len(),
            _ => 0,
        }
    }
}

/// The fields of a structure whose length was checked.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }

    fn gfid(&mut self) -> Gfid {
        Gfid(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.take())
    }
}

/// The arguments of a call that carries events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Counts a consumer's calls from 1. A consumer that wants order waits for each number.
    pub seq: u64,
    /// When it was sent, to the microsecond.
    pub time: SystemTime,
    /// In the order in which they happened.
    pub events: Vec<Event>,
}

impl Batch {
    /// The call as a brick sends it, with its record mark.
    ///
    /// # Panics
    /// When there are too many events for a message, over half a million.
    #[must_use]
    pub fn encode_call(&self, xid: u32) -> Vec<u8> {
        let length = HEADER_SIZE + EVENT_SIZE * self.events.len();
        let mut bytes = Vec::with_capacity(MARK + CALL_HEAD + length);
        rpc::encode_head(xid, PROGRAM, EVENT, length, &mut bytes);
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        put_u64(self.seq, &mut bytes);
        put_u64(since.as_secs(), &mut bytes);
        put_u64(since.subsec_micros().into(), &mut bytes);
        self.events.iter().for_each(|event| event.encode(&mut bytes));
        bytes
    }

    /// Reads the arguments of a call.
    ///
    /// # Errors
    /// When the header is not whole, the time is none, or what follows is not a row of events.
    pub fn decode(arguments: &[u8]) -> Result<Batch, BadMessage> {
        let mut reader = Reader::new(arguments);
        let seq = reader.u64()?;
        let (seconds, micros) = (reader.u64()?, reader.u64()?);
        let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000);
        let time = micros.and_then(|micros| {
            SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, micros * 1000))
        });
        let time = time.ok_or(reader.bad("no time"))?;
        let mut events = Vec::new();
        for (place, bytes) in reader.rest().chunks(EVENT_SIZE).enumerate() {
            let within = |bad: BadMessage| BadMessage {
                offset: HEADER_SIZE + place * EVENT_SIZE + bad.offset,
                ..bad
            };
            events.push(Event::from_bytes(bytes).map_err(within)?);
        }
        Ok(Batch { seq, time, events })
    }
}

/// What a consumer answers to a call. Stock's bricks, and ours, read it and do nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchReply {
    /// 0, or -1 where the consumer could not take it.
    pub op_ret: i32,
    /// Of the call; 0 where it could not be taken.
    pub seq: u64,
}

impl BatchReply {
    /// As results of the call.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REPLY_SIZE);
        put_i32(self.op_ret, &mut bytes);
        put_u64(self.seq, &mut bytes);
        bytes
    }

    /// Reads the results of a call.
    ///
    /// # Errors
    /// When they are not 12 bytes.
    pub fn decode(results: &[u8]) -> Result<BatchReply, BadMessage> {
        let mut reader = Reader::new(results);
        let reply = BatchReply { op_ret: reader.i32()?, seq: reader.u64()? };
        reader.end()?;
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
