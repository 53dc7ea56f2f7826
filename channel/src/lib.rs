//! The event channel of GlusterFS's own changelog, the brick's side: who wants to hear of a brick's changes
//! as they happen asks here, and is called back with events.
//!
//! The messages are stock's, byte for byte, so that programs that use `libgfchangelog` (geo-replication,
//! glusterfind, bitd) hear a [`Server`] as they hear a stock brick. `docs/channel.md` in the project's root
//! draws the bytes and says what is promised beyond stock.

#![forbid(unsafe_code)]

pub mod event;
pub mod probe;
pub mod record_mark;
pub mod rpc;
mod server;
pub mod socket_name;
mod xdr;

pub use event::{Event, JournalPath, Kind, Selection};
pub use server::{ConsumerStatus, Level, Log, OpenError, Server, Settings, Status};
pub use xdr::BadMessage;
