//! Statements: what the journal says about itself.
//!
//! A reader that acts on records must also know when the journal began anew, what is missing and
//! where a slice ends. FORMAT: `docs/format.md` draws each body. A later version may append fields to
//! a body, which are passed over here, and add statements, which come out as [`Statement::Unknown`].

use std::fmt;

use gnotify_record::ClientId;

use crate::frame::{Draft, Kind};

/// The longest uid of a client that a CLIENT statement takes, in bytes.
pub const CLIENT_UID_MAX: usize = 4096;

/// What the journal says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement<'a> {
    /// The brick was started. Slices and client numbers begin anew.
    Start(Start<'a>),
    /// The brick was stopped in good order; nothing is missing up to here.
    Stop,
    /// A slice ends: what was recorded once in it may be recorded again.
    SliceEnd {
        /// Its number, from 1 in each start.
        slice: u64,
    },
    /// The numbers from the entry's own to `to` belong to entries that are lost.
    Gap(Gap),
    /// The numbers from the entry's own to `to` were reserved by file operations that were never
    /// answered, because the brick was killed meanwhile. Whether they took effect is not known.
    Void {
        /// The last of the numbers.
        to: u64,
    },
    /// A number for a client, by which records name it from here on.
    Client {
        /// The number.
        id: ClientId,
        /// The client's uid string, as the host gives it (any bytes).
        uid: &'a [u8],
    },
    /// A client has disconnected. Records of what it had under way may still follow.
    ClientGone {
        /// Its number.
        id: ClientId,
    },
    /// Recording was switched off. Changes from here to the next ON are not recorded; of those that were under
    /// way, some still are.
    Off,
    /// Recording was switched on again. Changes that began before are not recorded, even if they end behind it.
    On,
    /// The oldest segments are about to be removed; nothing behind this statement is missing by it.
    Trimmed {
        /// The last number that goes.
        to: u64,
        /// Why.
        by: TrimmedBy,
    },
    /// A statement of a later version.
    Unknown(u8),
}

/// How a brick came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start<'a> {
    /// The number of this start, from 1 in each epoch.
    pub start_id: u64,
    /// That of the start before; 0 where there was none.
    pub previous: u64,
    /// How the start before ended.
    pub how: How,
    /// The machine's boot id; all zero where it could not be read.
    pub boot_id: [u8; 16],
    /// Time of the newest entry of the start before (nanoseconds since 1970); 0 where there is none.
    pub last_time: u64,
    /// Version of the gnotify that wrote it (any bytes, at most 255).
    pub version: &'a [u8],
}

/// How the start before this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// There was none: the journal is new.
    First,
    /// In good order.
    Clean,
    /// The process was killed. Everything answered is in the journal or in a gap.
    Killed,
    /// The machine went down, or the ring is lost. A gap before the START says so, and what changed
    /// between `last_time` and this statement may be missing.
    PowerLoss,
    /// It was elsewhere: the brick was moved, copied or restored to another path or file system. Its
    /// epoch has ended, and this one begins.
    Moved,
    /// In a way that only a later version knows.
    Other(u8),
}

impl How {
    fn code(self) -> u8 {
        match self {
            How::First => 1,
            How::Clean => 2,
            How::Killed => 3,
            How::PowerLoss => 4,
            How::Moved => 5,
            How::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> How {
        match code {
            1 => How::First,
            2 => How::Clean,
            3 => How::Killed,
            4 => How::PowerLoss,
            5 => How::Moved,
            code => How::Other(code),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::First => f.pad("first"),
            How::Clean => f.pad("clean"),
            How::Killed => f.pad("killed"),
            How::PowerLoss => f.pad("power-loss"),
            How::Moved => f.pad("moved"),
            How::Other(code) => f.pad(&format!("other-{code}")),
        }
    }
}

/// Why segments are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimmedBy {
    /// The journal has more bytes than it may.
    Bytes,
    /// They are older than what is kept.
    Age,
    /// The brick is at its storage reserve.
    Reserve,
    /// For a reason that only a later version knows.
    Other(u8),
}

impl TrimmedBy {
    fn code(self) -> u8 {
        match self {
            TrimmedBy::Bytes => 1,
            TrimmedBy::Age => 2,
            TrimmedBy::Reserve => 3,
            TrimmedBy::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> TrimmedBy {
        match code {
            1 => TrimmedBy::Bytes,
            2 => TrimmedBy::Age,
            3 => TrimmedBy::Reserve,
            code => TrimmedBy::Other(code),
        }
    }
}

impl fmt::Display for TrimmedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrimmedBy::Bytes => f.pad("bytes"),
            TrimmedBy::Age => f.pad("age"),
            TrimmedBy::Reserve => f.pad("reserve"),
            TrimmedBy::Other(code) => f.pad(&format!("other-{code}")),
        }
    }
}

/// Entries that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last number that is covered; the first is the entry's own.
    pub to: u64,
    /// Why they are lost.
    pub cause: Cause,
    /// How many of the numbers belonged to entries; `None` where that is not known, because some of
    /// them may never have been used.
    pub lost: Option<u64>,
}

/// Why entries are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The ring was full: the journal thread could not keep up. Or what wrote to it failed, which the brick's
    /// log then says.
    RingFull,
    /// They could not be written to the brick.
    Io,
    /// There was no space for them: the brick was full, over a quota, or at its storage reserve.
    NoSpace,
    /// The bytes that held them are damaged or cut off. A reader says so itself.
    Damaged,
    /// Their segments were removed. A reader says so itself.
    Trimmed,
    /// The machine went down before they were on disk.
    PowerLoss,
    /// They were under way when the brick was killed, and more than could be named: what they may have changed
    /// is not known.
    InFlight,
    /// For a reason that only a later version knows.
    Other(u8),
}

impl Cause {
    fn code(self) -> u8 {
        match self {
            Cause::RingFull => 1,
            Cause::Io => 2,
            Cause::NoSpace => 7,
            Cause::Damaged => 3,
            Cause::Trimmed => 4,
            Cause::PowerLoss => 5,
            Cause::InFlight => 6,
            Cause::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> Cause {
        match code {
            1 => Cause::RingFull,
            2 => Cause::Io,
            7 => Cause::NoSpace,
            3 => Cause::Damaged,
            4 => Cause::Trimmed,
            5 => Cause::PowerLoss,
            6 => Cause::InFlight,
            code => Cause::Other(code),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::RingFull => f.pad("ring-full"),
            Cause::Io => f.pad("io-error"),
            Cause::NoSpace => f.pad("no-space"),
            Cause::Damaged => f.pad("damaged"),
            Cause::Trimmed => f.pad("trimmed"),
            Cause::PowerLoss => f.pad("power-loss"),
            Cause::InFlight => f.pad("in-flight"),
            Cause::Other(code) => f.pad(&format!("other-{code}")),
        }
    }
}

/// Numbers of the statements in a frame's code.
mod code {
    pub(super) const START: u8 = 1;
    pub(super) const STOP: u8 = 2;
    pub(super) const SLICE_END: u8 = 3;
    pub(super) const GAP: u8 = 4;
    pub(super) const VOID: u8 = 5;
    pub(super) const CLIENT: u8 = 6;
    pub(super) const CLIENT_GONE: u8 = 7;
    pub(super) const OFF: u8 = 8;
    pub(super) const ON: u8 = 9;
    pub(super) const TRIMMED: u8 = 12;
}

/// A statement's bytes. Reused from one statement to the next, so that the heap is rarely asked.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// Encodes `statement` and makes a frame of it. A version or a uid that is too long is cut.
    pub(crate) fn draft(
        &mut self,
        salt: u32,
        kind: Kind,
        time: u64,
        statement: &Statement<'_>,
    ) -> Draft<'_> {
        self.0.clear();
        let code = encode(statement, &mut self.0);
        Draft::new(salt, kind, code, 0, time, &self.0)
    }
}

/// Appends the body of `statement` to `out` and gives its number.
fn encode(statement: &Statement<'_>, out: &mut Vec<u8>) -> u8 {
    match statement {
        Statement::Start(start) => {
            let version = &start.version[..start.version.len().min(255)];
            out.extend_from_slice(&start.start_id.to_le_bytes());
            out.extend_from_slice(&start.previous.to_le_bytes());
            out.extend_from_slice(&start.last_time.to_le_bytes());
            out.extend_from_slice(&start.boot_id);
            out.extend_from_slice(&[start.how.code(), version.len() as u8]);
            out.extend_from_slice(version);
            code::START
        }
        Statement::Stop => code::STOP,
        Statement::SliceEnd { slice } => {
            out.extend_from_slice(&slice.to_le_bytes());
            code::SLICE_END
        }
        Statement::Gap(gap) => {
            out.extend_from_slice(&gap.to.to_le_bytes());
            out.extend_from_slice(&gap.lost.unwrap_or(0).to_le_bytes());
            out.push(gap.cause.code());
            code::GAP
        }
        Statement::Void { to } => {
            out.extend_from_slice(&to.to_le_bytes());
            code::VOID
        }
        Statement::Client { id, uid } => {
            let uid = &uid[..uid.len().min(CLIENT_UID_MAX)];
            out.extend_from_slice(&id.0.to_le_bytes());
            out.extend_from_slice(&(uid.len() as u16).to_le_bytes());
            out.extend_from_slice(uid);
            code::CLIENT
        }
        Statement::ClientGone { id } => {
            out.extend_from_slice(&id.0.to_le_bytes());
            code::CLIENT_GONE
        }
        Statement::Off => code::OFF,
        Statement::On => code::ON,
        Statement::Trimmed { to, by } => {
            out.extend_from_slice(&to.to_le_bytes());
            out.push(by.code());
            code::TRIMMED
        }
        Statement::Unknown(code) => *code,
    }
}

/// Reads a statement back; `None` where its body is too short for it.
pub(crate) fn decode(code: u8, body: &[u8]) -> Option<Statement<'_>> {
    let mut body = Fields(body);
    Some(match code {
        code::START => {
            let (start_id, previous, last_time) = (body.u64()?, body.u64()?, body.u64()?);
            let boot_id = *body.array::<16>()?;
            let [how, len] = *body.array::<2>()?;
            let version = body.bytes(usize::from(len))?;
            let how = How::from_code(how);
            Statement::Start(Start { start_id, previous, how, boot_id, last_time, version })
        }
        code::STOP => Statement::Stop,
        code::SLICE_END => Statement::SliceEnd { slice: body.u64()? },
        code::GAP => {
            let (to, lost) = (body.u64()?, body.u64()?);
            let [cause] = *body.array::<1>()?;
            let lost = (lost != 0).then_some(lost);
            Statement::Gap(Gap { to, cause: Cause::from_code(cause), lost })
        }
        code::VOID => Statement::Void { to: body.u64()? },
        code::CLIENT => {
            let id = ClientId(u32::from_le_bytes(*body.array()?));
            let len = u16::from_le_bytes(*body.array()?);
            Statement::Client { id, uid: body.bytes(usize::from(len))? }
        }
        code::CLIENT_GONE => {
            Statement::ClientGone { id: ClientId(u32::from_le_bytes(*body.array()?)) }
        }
        code::OFF => Statement::Off,
        code::ON => Statement::On,
        code::TRIMMED => {
            let to = body.u64()?;
            let [by] = *body.array::<1>()?;
            Statement::Trimmed { to, by: TrimmedBy::from_code(by) }
        }
        code => Statement::Unknown(code),
    })
}

/// The fields of a body, taken one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.bytes(N)?.first_chunk()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_statement() -> Vec<Statement<'static>> {
        let start = |how| {
            let (boot_id, version) = ([7; 16], b"0.1.0".as_slice());
            Statement::Start(Start {
                start_id: 2,
                previous: 1,
                how,
                boot_id,
                last_time: 9,
                version,
            })
        };
        let gap = |cause, lost| Statement::Gap(Gap { to: 1 << 50, cause, lost });
        let id = ClientId(u32::MAX);
        vec![
            start(How::First),
            start(How::Clean),
            start(How::Killed),
            start(How::PowerLoss),
            start(How::Moved),
            start(How::Other(99)),
            Statement::Stop,
            Statement::SliceEnd { slice: 3 },
            gap(Cause::RingFull, Some(1)),
            gap(Cause::Io, Some(u64::MAX)),
            gap(Cause::Damaged, None),
            gap(Cause::Trimmed, None),
            gap(Cause::PowerLoss, None),
            gap(Cause::NoSpace, Some(2)),
            gap(Cause::Other(77), None),
            Statement::Void { to: 12 },
            Statement::Client { id, uid: b"CTX_ID:\xff" },
            Statement::Client { id, uid: b"" },
            Statement::ClientGone { id },
            Statement::Off,
            Statement::On,
            Statement::Trimmed { to: 1 << 41, by: TrimmedBy::Bytes },
            Statement::Trimmed { to: 9, by: TrimmedBy::Age },
            Statement::Trimmed { to: 9, by: TrimmedBy::Reserve },
            Statement::Trimmed { to: 9, by: TrimmedBy::Other(99) },
            Statement::Unknown(200),
        ]
    }

    #[test]
    fn round_trips_also_with_fields_of_a_later_version() {
        for statement in every_statement() {
            let mut body = Vec::new();
            let code = encode(&statement, &mut body);
            assert_eq!(decode(code, &body), Some(statement));
            for end in 0..body.len() {
                assert_eq!(decode(code, &body[..end]), None, "{statement:?} cut at {end}");
            }
            body.extend_from_slice(b"later");
            assert_eq!(decode(code, &body), Some(statement));
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let mut body = Vec::new();
        let long = vec![b'x'; 70_000];
        let code = encode(&Statement::Client { id: ClientId(1), uid: &long }, &mut body);
        let read = decode(code, &body);
        assert_eq!(read, Some(Statement::Client { id: ClientId(1), uid: &long[..CLIENT_UID_MAX] }));
    }
}
