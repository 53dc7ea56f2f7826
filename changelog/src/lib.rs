//! GlusterFS's own changelog: what features/changelog keeps on a brick, read and written.
//!
//! Stock consumers (libgfchangelog, glusterfind, geo-replication) read these files, so their bytes are not ours to
//! choose; `docs/changelog.md` in the project's root draws them. A brick's changelog directory has a live slice, dated
//! slices and an index of them. [`codec`] is the bytes of a slice, [`text`] what consumers are given in their place,
//! [`htime`] the index; [`writer`] keeps all of it, so that a kill or a failing disk at any instruction loses nothing,
//! and [`rules`] and [`export`] say which of gnotify's records come in.

#![forbid(unsafe_code)]

pub mod change;
pub mod codec;
pub mod csnap;
pub mod export;
#[cfg(test)]
mod golden_tests;
pub mod header;
pub mod htime;
mod index;
pub mod layout;
pub mod retention;
pub mod rules;
#[cfg(test)]
mod sim;
pub mod storage;
pub mod text;
pub mod writer;

pub use change::{Birth, Change, Entry, Removal};
pub use header::{Encoding, Header, Version};
