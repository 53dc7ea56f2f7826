//! A packed segment: the bytes of a segment that is not written any more, compressed.
//!
//! It is a file of its own beside the name of the segment, and gives back the segment's bytes exactly, damage
//! included; so whoever reads frames need not know of it. It consists of blocks that know themselves where they
//! belong: one that is damaged costs its own bytes, and the next one is found by looking for it.
//!
//! FORMAT: `docs/format.md` draws header and block.

pub(crate) mod codec;
#[cfg(all(test, not(loom)))]
mod golden_tests;
pub(crate) mod pack;
pub(crate) mod terse;
pub(crate) mod unpack;

/// The format's version.
pub(crate) const VERSION: u16 = 2;

/// A file's ending.
pub(crate) const EXTENSION: &str = "gnz";

/// Bytes of a segment after which a block ends with the next frame. More save next to nothing.
pub(crate) const BLOCK: u64 = 256 << 10;

/// The most bytes of a segment that a block holds: a reader sets so much memory aside.
pub(crate) const BLOCK_MAX: u64 = 1 << 20;
