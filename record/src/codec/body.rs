//! Where a body is written: a buffer on the stack that is large enough for all but the rarest record.
//!
//! This is the fop path. The buffer is as long as the record can need before the first field is written, so
//! that no field asks whether it must grow.

use std::fmt;
use std::ops::Deref;

use super::BODY_MAX;
use crate::deciding_xattr::decides;
use crate::varint::{self, zigzag};
use crate::{Gfid, Link, Record, SetAttr, Time, Xattr, set_attr};

/// Bytes that need no heap: enough for a record with a name and no extended attributes.
const INLINE: usize = 512;

/// The bytes of a body.
#[derive(Clone)]
pub struct Body {
    inline: [u8; INLINE],
    /// Used in the place of `inline` where it is not empty.
    heap: Vec<u8>,
    len: usize,
}

impl Body {
    /// An empty body.
    #[must_use]
    pub fn new() -> Body {
        Body { inline: [0; INLINE], heap: Vec::new(), len: 0 }
    }

    /// Begins anew, with room for `room` bytes.
    #[inline]
    pub(super) fn begin(&mut self, room: usize) -> Writer<'_> {
        self.heap.clear();
        let bytes = if room <= INLINE {
            &mut self.inline[..]
        } else {
            self.heap.resize(room, 0);
            &mut self.heap[..]
        };
        Writer { bytes, at: 0, len: &mut self.len }
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::new()
    }
}

impl Deref for Body {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let bytes = if self.heap.is_empty() { &self.inline[..] } else { &self.heap };
        &bytes[..self.len]
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Body").field(&&**self).finish()
    }
}

/// The most bytes that the body of `record` can take: all numbers at their longest. `more` are its rarer fields.
#[inline]
pub(super) fn upper_bound(record: &Record<'_>, more: u64) -> usize {
    /// Five gfids and thirty-odd numbers, and what a number writes behind itself.
    const FIXED: usize = 320;
    let name = |link: Option<&Link<'_>>| link.map_or(0, |link| link.name.len());
    let mut room = FIXED + name(record.at.as_ref()) + name(record.to.as_ref());
    if more != 0 {
        room += record.target.as_ref().map_or(0, |target| target.len() + varint::MAX_LEN);
        room += behind_xattrs(record);
    }
    if !record.xattrs.is_empty() || record.xattrs_cut {
        let xattrs: usize = record.xattrs.iter().map(room_of).sum();
        room += 2 + xattrs.min(BODY_MAX);
    }
    room
}

/// The most bytes of an extended attribute.
fn room_of(xattr: &Xattr<'_>) -> usize {
    let value = xattr.value.as_ref().map_or(0, |value| value.len());
    xattr.name.len() + value + 2 * varint::MAX_LEN
}

/// The most bytes of the fields that stand behind the extended attributes, which must leave room for them.
fn behind_xattrs(record: &Record<'_>) -> usize {
    let link = |link: &Link<'_>| 16 + varint::MAX_LEN + link.name.len();
    record.renaming.as_ref().map_or(0, |renaming| link(&renaming.from) + link(&renaming.to))
        + record.path.as_ref().map_or(0, |path| path.len() + varint::MAX_LEN)
}

/// A body that is being written.
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
    len: &'a mut usize,
}

impl Writer<'_> {
    /// The body is what was written.
    pub(super) fn end(self) {
        *self.len = self.at;
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        if value > 0x7f { self.long_number(value) } else { self.byte(value as u8) }
    }

    /// Copied at the length of the longest one, which takes no loop; what is too much is written over.
    fn long_number(&mut self, value: u64) {
        let (bytes, len) = varint::encode(value);
        self.bytes[self.at..self.at + varint::MAX_LEN].copy_from_slice(&bytes);
        self.at += len;
    }

    #[inline]
    pub(super) fn gfid(&mut self, gfid: Gfid) {
        self.bytes[self.at..self.at + 16].copy_from_slice(&gfid.0);
        self.at += 16;
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Bytes with their number in front.
    #[inline]
    pub(super) fn counted(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    #[inline]
    pub(super) fn link(&mut self, link: &Link<'_>) {
        self.gfid(link.parent);
        self.counted(&link.name);
    }

    fn time(&mut self, time: Time) {
        self.number(zigzag(time.sec));
        self.number(u64::from(time.nsec));
    }

    pub(super) fn set(&mut self, set: &SetAttr) {
        let has = |bits: u32| set.mask & bits != 0;
        self.number(u64::from(set.mask));
        if has(set_attr::MODE) {
            self.number(u64::from(set.mode));
        }
        if has(set_attr::UID) {
            self.number(u64::from(set.uid));
        }
        if has(set_attr::GID) {
            self.number(u64::from(set.gid));
        }
        if has(set_attr::SIZE) {
            self.number(set.size);
        }
        if has(set_attr::ATIME | set_attr::ATIME_NOW) {
            self.time(set.atime);
        }
        if has(set_attr::MTIME | set_attr::MTIME_NOW) {
            self.time(set.mtime);
        }
        if has(set_attr::CTIME) {
            self.time(set.ctime);
        }
    }

    /// Writes as many attributes as fit, with room kept for those that decide what becomes of the record. The
    /// list ends with an empty name and a byte that says whether some were left out.
    pub(super) fn xattrs(&mut self, record: &Record<'_>) {
        let mut cut = record.xattrs_cut;
        let max = BODY_MAX.saturating_sub(2 + behind_xattrs(record));
        let is_decisive = |xattr: &&Xattr<'_>| decides(record.fop, &xattr.name);
        let mut kept: usize = record.xattrs.iter().filter(is_decisive).map(room_of).sum();
        for xattr in &record.xattrs {
            let room = room_of(xattr);
            if is_decisive(&xattr) {
                kept -= room;
            }
            if self.at + room + kept > max {
                cut = true;
                continue;
            }
            self.counted(&xattr.name);
            match &xattr.value {
                None => self.byte(0),
                Some(value) => {
                    self.number(value.len() as u64 + 1);
                    self.raw(value);
                }
            }
        }
        self.byte(0);
        self.byte(u8::from(cut));
    }
}
