//! The bytes of a record: a 28-bit tag, which the journal's frame carries in its head, and a body.
//!
//! `docs/format.md` draws them. The tag says which fields are there; the body holds them in the order
//! of their bits, so that a reader of an older version stops behind the last one it knows and loses
//! only what it could not have understood.

use std::borrow::Cow;
use std::fmt;

mod body;

pub use body::Body;
use body::upper_bound;

use crate::varint::{self, unzigzag, zigzag};
use crate::{
    Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Owner, Record, Renaming, SetAttr, Source,
    Time, Xattr, set_attr,
};

/// The longest body: a frame's length is 16 bits wide, and its head takes some of that.
pub const BODY_MAX: usize = 65_000;

/// The width of a tag: what a frame's head has room for.
pub const TAG_BITS: u32 = 28;

/// Bits of the tag: four of the origin, four of the file type, one a field, one for more fields.
mod bit {
    pub(super) const ORIGIN: u32 = 0xf;
    pub(super) const FILE_TYPE: u32 = 0xf0;
    pub(super) const FILE_TYPE_SHIFT: u32 = 4;
    pub(super) const GFID: u32 = 1 << 8;
    pub(super) const CALLER: u32 = 1 << 9;
    pub(super) const OTHER_GID: u32 = 1 << 10;
    pub(super) const CLIENT: u32 = 1 << 11;
    pub(super) const CTIME: u32 = 1 << 12;
    pub(super) const OFFSET: u32 = 1 << 13;
    pub(super) const LENGTH: u32 = 1 << 14;
    pub(super) const SIZE: u32 = 1 << 15;
    pub(super) const AT: u32 = 1 << 16;
    pub(super) const TO: u32 = 1 << 17;
    pub(super) const TO_PARENT: u32 = 1 << 18;
    pub(super) const MODE: u32 = 1 << 19;
    pub(super) const FLAGS: u32 = 1 << 20;
    pub(super) const NLINK: u32 = 1 << 21;
    pub(super) const LAST_LINK: u32 = 1 << 22;
    pub(super) const OWNER: u32 = 1 << 23;
    pub(super) const SET: u32 = 1 << 24;
    pub(super) const XATTRS: u32 = 1 << 25;
    pub(super) const MORE: u32 = 1 << 27;
}

/// Bits of the varint that starts the body where the tag has `MORE`.
mod more {
    pub(super) const TARGET: u64 = 1;
    pub(super) const RDEV: u64 = 1 << 1;
    pub(super) const REPLACED: u64 = 1 << 2;
    pub(super) const SOURCE: u64 = 1 << 3;
    /// Nothing in the body belongs to it.
    pub(super) const UNCERTAIN: u64 = 1 << 4;
    pub(super) const RENAMING: u64 = 1 << 5;
    pub(super) const PATH: u64 = 1 << 6;
    /// Nothing in the body belongs to it.
    pub(super) const MARKED: u64 = 1 << 7;
}

/// A body that is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// Bytes from the start of the body to the field that cannot be read.
    pub offset: usize,
    /// The field.
    pub field: &'static str,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record's {} cannot be read at byte {} of its body", self.field, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// Writes the body of `record` into `out`, in place of what is there, and returns the tag.
///
/// `time` is that of the frame (nanoseconds since 1970): the client's change time is written as its
/// distance from it. Extended attributes that would make the body longer than [`BODY_MAX`] are left
/// out, which the record then says; those that decide what becomes of it are left out last.
#[inline]
pub fn encode(record: &Record<'_>, time: u64, out: &mut Body) -> u32 {
    let extra = more_fields(record);
    let mut out = out.begin(upper_bound(record, extra));
    let mut tag = u32::from(record.origin.bits())
        | record.kind.map_or(0, |kind| (kind as u32) << bit::FILE_TYPE_SHIFT);
    if extra != 0 {
        tag |= bit::MORE;
        out.number(extra);
    }
    if let Some(gfid) = record.gfid {
        tag |= bit::GFID;
        out.gfid(gfid);
    }
    if let Some(caller) = record.caller {
        tag |= bit::CALLER;
        out.number(u64::from(caller.uid));
        out.number(u64::from(caller.pid.cast_unsigned()));
        if caller.gid != caller.uid {
            tag |= bit::OTHER_GID;
            out.number(u64::from(caller.gid));
        }
    }
    if let Some(client) = record.client {
        tag |= bit::CLIENT;
        out.number(u64::from(client.0));
    }
    if let Some(ctime) = record.ctime {
        tag |= bit::CTIME;
        out.number(zigzag(ctime.wrapping_sub(time as i64)));
    }
    if let Some(offset) = record.offset {
        tag |= bit::OFFSET;
        out.number(offset);
    }
    if let Some(length) = record.length {
        tag |= bit::LENGTH;
        out.number(length);
    }
    if let Some(size) = record.size {
        tag |= bit::SIZE;
        out.number(zigzag(size.wrapping_sub(end_of_range(record)) as i64));
    }
    if let Some(at) = &record.at {
        tag |= bit::AT;
        out.link(at);
    }
    if let Some(to) = &record.to {
        tag |= bit::TO;
        if record.at.as_ref().map(|at| at.parent) != Some(to.parent) {
            tag |= bit::TO_PARENT;
            out.gfid(to.parent);
        }
        out.counted(&to.name);
    }
    if let Some(mode) = record.mode {
        tag |= bit::MODE;
        out.number(u64::from(mode));
    }
    if let Some(flags) = record.flags {
        tag |= bit::FLAGS;
        out.number(u64::from(flags));
    }
    if let Some(nlink) = record.nlink {
        tag |= bit::NLINK;
        out.number(u64::from(nlink));
    }
    if let Some(last) = record.last_link {
        tag |= bit::LAST_LINK;
        out.number(u64::from(last));
    }
    if let Some(owner) = record.owner {
        tag |= bit::OWNER;
        out.number(u64::from(owner.uid));
        out.number(u64::from(owner.gid));
    }
    if let Some(set) = &record.set {
        tag |= bit::SET;
        out.set(set);
    }
    // Asked once and not for each: few records have any.
    if extra != 0 {
        if let Some(target) = &record.target {
            out.counted(target);
        }
        if let Some(rdev) = record.rdev {
            out.number(rdev);
        }
        if let Some(gfid) = record.replaced {
            out.gfid(gfid);
        }
        if let Some(source) = record.source {
            out.gfid(source.gfid);
            out.number(source.offset);
        }
    }
    if !record.xattrs.is_empty() || record.xattrs_cut {
        tag |= bit::XATTRS;
        out.xattrs(record);
    }
    if extra != 0 {
        if let Some(renaming) = &record.renaming {
            out.link(&renaming.from);
            out.link(&renaming.to);
        }
        if let Some(path) = &record.path {
            out.counted(path);
        }
    }
    out.end();
    tag
}

/// Reads a record back from its frame's fop, tag and time, and its body.
///
/// Fields of a later version, which stand behind those known here, are passed over.
///
/// # Errors
///
/// Where the body ends within a field, or a field holds what cannot be.
pub fn decode(fop: Fop, tag: u32, time: u64, body: &[u8]) -> Result<Record<'_>, DecodeError> {
    let mut body = Fields { body, at: 0 };
    let mut record = Record::new(fop, Origin::from_bits((tag & bit::ORIGIN) as u8));
    // A type that only a later version knows is unknown here, not damage.
    record.kind = FileType::from_host((tag & bit::FILE_TYPE) >> bit::FILE_TYPE_SHIFT);
    let has = |bit: u32| tag & bit != 0;
    let extra = if has(bit::MORE) { body.number("field list")? } else { 0 };
    record.uncertain = extra & more::UNCERTAIN != 0;
    record.marked = extra & more::MARKED != 0;
    if has(bit::GFID) {
        record.gfid = Some(body.gfid("gfid")?);
    }
    if has(bit::CALLER) {
        let uid = body.narrow("uid")?;
        let pid = body.narrow("pid")?.cast_signed();
        let gid = if has(bit::OTHER_GID) { body.narrow("gid")? } else { uid };
        record.caller = Some(Caller { uid, gid, pid });
    }
    if has(bit::CLIENT) {
        record.client = Some(ClientId(body.narrow("client")?));
    }
    if has(bit::CTIME) {
        record.ctime = Some(unzigzag(body.number("change time")?).wrapping_add(time as i64));
    }
    if has(bit::OFFSET) {
        record.offset = Some(body.number("offset")?);
    }
    if has(bit::LENGTH) {
        record.length = Some(body.number("length")?);
    }
    if has(bit::SIZE) {
        let beyond = unzigzag(body.number("size")?);
        record.size = Some((beyond as u64).wrapping_add(end_of_range(&record)));
    }
    if has(bit::AT) {
        record.at = Some(body.link("parent", "name")?);
    }
    if has(bit::TO) {
        let parent = match &record.at {
            _ if has(bit::TO_PARENT) => body.gfid("new parent")?,
            Some(at) => at.parent,
            None => return Err(DecodeError { offset: body.at, field: "new parent" }),
        };
        record.to = Some(Link { parent, name: Cow::Borrowed(body.bytes("new name")?) });
    }
    if has(bit::MODE) {
        record.mode = Some(body.narrow("mode")?);
    }
    if has(bit::FLAGS) {
        record.flags = Some(body.narrow("flags")?);
    }
    if has(bit::NLINK) {
        record.nlink = Some(body.narrow("link count")?);
    }
    if has(bit::LAST_LINK) {
        record.last_link = Some(body.byte("last-link mark")? != 0);
    }
    if has(bit::OWNER) {
        record.owner =
            Some(Owner { uid: body.narrow("owner")?, gid: body.narrow("owner's group")? });
    }
    if has(bit::SET) {
        record.set = Some(body.set()?);
    }
    if extra & more::TARGET != 0 {
        record.target = Some(Cow::Borrowed(body.bytes("symlink target")?));
    }
    if extra & more::RDEV != 0 {
        record.rdev = Some(body.number("device number")?);
    }
    if extra & more::REPLACED != 0 {
        record.replaced = Some(body.gfid("replaced gfid")?);
    }
    if extra & more::SOURCE != 0 {
        let gfid = body.gfid("copy source")?;
        record.source = Some(Source { gfid, offset: body.number("copy source offset")? });
    }
    if has(bit::XATTRS) {
        record.xattrs = body.xattrs(&mut record.xattrs_cut)?;
    }
    if extra & more::RENAMING != 0 {
        let from = body.link("renamed parent", "renamed name")?;
        let to = body.link("renaming's new parent", "renaming's new name")?;
        record.renaming = Some(Box::new(Renaming { from, to }));
    }
    if extra & more::PATH != 0 {
        record.path = Some(Cow::Borrowed(body.bytes("path")?));
    }
    Ok(record)
}

/// Whether the record with this tag and body is an uncertain one, without reading all of it.
#[must_use]
pub fn is_uncertain(tag: u32, body: &[u8]) -> bool {
    let has = |extra| extra & more::UNCERTAIN != 0;
    tag & bit::MORE != 0 && varint::decode(body).is_some_and(|(extra, _)| has(extra))
}

/// Where the changed range of a record ends: what its size is written relative to, because an
/// appending write then needs one byte for it.
fn end_of_range(record: &Record<'_>) -> u64 {
    record.offset.unwrap_or(0).wrapping_add(record.length.unwrap_or(0))
}

fn more_fields(record: &Record<'_>) -> u64 {
    let field = |present: bool, bit: u64| if present { bit } else { 0 };
    field(record.target.is_some(), more::TARGET)
        | field(record.rdev.is_some(), more::RDEV)
        | field(record.replaced.is_some(), more::REPLACED)
        | field(record.source.is_some(), more::SOURCE)
        | field(record.uncertain, more::UNCERTAIN)
        | field(record.renaming.is_some(), more::RENAMING)
        | field(record.path.is_some(), more::PATH)
        | field(record.marked, more::MARKED)
}

/// The fields of a body, taken one after the other.
struct Fields<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(DecodeError { offset: self.at, field })?;
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, field)?[0])
    }

    fn number(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let (value, len) = varint::decode(rest).ok_or(DecodeError { offset: self.at, field })?;
        self.at += len;
        Ok(value)
    }

    fn narrow(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let offset = self.at;
        u32::try_from(self.number(field)?).map_err(|_| DecodeError { offset, field })
    }

    fn gfid(&mut self, field: &'static str) -> Result<Gfid, DecodeError> {
        let mut gfid = [0; 16];
        gfid.copy_from_slice(self.take(16, field)?);
        Ok(Gfid(gfid))
    }

    fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let offset = self.at;
        let len =
            usize::try_from(self.number(field)?).map_err(|_| DecodeError { offset, field })?;
        self.take(len, field)
    }

    fn link(&mut self, parent: &'static str, name: &'static str) -> Result<Link<'a>, DecodeError> {
        let parent = self.gfid(parent)?;
        Ok(Link { parent, name: Cow::Borrowed(self.bytes(name)?) })
    }

    fn time(&mut self, field: &'static str) -> Result<Time, DecodeError> {
        Ok(Time { sec: unzigzag(self.number(field)?), nsec: self.narrow(field)? })
    }

    fn set(&mut self) -> Result<SetAttr, DecodeError> {
        let mut set = SetAttr { mask: self.narrow("setattr mask")?, ..SetAttr::default() };
        let has = |bits: u32| set.mask & bits != 0;
        if has(set_attr::MODE) {
            set.mode = self.narrow("new mode")?;
        }
        if has(set_attr::UID) {
            set.uid = self.narrow("new uid")?;
        }
        if has(set_attr::GID) {
            set.gid = self.narrow("new gid")?;
        }
        if has(set_attr::SIZE) {
            set.size = self.number("new size")?;
        }
        if has(set_attr::ATIME | set_attr::ATIME_NOW) {
            set.atime = self.time("new access time")?;
        }
        if has(set_attr::MTIME | set_attr::MTIME_NOW) {
            set.mtime = self.time("new modification time")?;
        }
        if has(set_attr::CTIME) {
            set.ctime = self.time("new change time")?;
        }
        Ok(set)
    }

    fn xattrs(&mut self, cut: &mut bool) -> Result<Vec<Xattr<'a>>, DecodeError> {
        let mut xattrs = Vec::new();
        loop {
            let name = self.bytes("xattr name")?;
            if name.is_empty() {
                *cut = self.byte("end of the xattrs")? != 0;
                return Ok(xattrs);
            }
            let offset = self.at;
            let value = match self.number("xattr value")? {
                0 => None,
                len => {
                    let len = usize::try_from(len - 1)
                        .map_err(|_| DecodeError { offset, field: "xattr value" })?;
                    Some(Cow::Borrowed(self.take(len, "xattr value")?))
                }
            };
            xattrs.push(Xattr { name: Cow::Borrowed(name), value });
        }
    }
}

#[cfg(test)]
mod tests;
