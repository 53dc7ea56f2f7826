//! What happened on a brick, as a value: the record, the decision what a fop means, and its bytes.
//!
//! This crate is the vocabulary that the writer (the plugin), the journal and every reader share. It
//! is pure: no I/O, no clock, no host. `docs/format.md` in the project's root draws the bytes that
//! [`codec`] reads and writes.

#![forbid(unsafe_code)]

pub mod codec;
mod deciding_xattr;
pub mod effect;
mod fop;
mod gfid;
mod origin;
mod record;
mod renaming;
mod slice_mark;
pub mod varint;

pub use deciding_xattr::{SHARD_SIZE, TIER_LINK, TRIGGER_SYNC};
pub use fop::{Class, Fop, HOST_FOPS, HostFop, Watch};
pub use gfid::{Gfid, ParseGfidError};
pub use origin::Origin;
pub use record::{
    Caller, ClientId, FileType, Link, Owner, Record, SetAttr, Source, Time, Xattr, set_attr,
};
pub use renaming::Renaming;
pub use slice_mark::SliceMark;
