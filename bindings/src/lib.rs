//! The only crate that knows C.
//!
//! It exists so that the plugin above it can be written without a C pointer's rules in mind: the host's
//! structures come from its own headers at build time ([`sys`]), its calling macros are restated once
//! ([`wind!`], [`wind_tail!`], [`unwind!`]), what it lends is borrowed through handles ([`loc`], [`inode`],
//! [`fd`], [`iatt`], [`dict`], [`client`], [`xlator`]), and no panic leaves through it ([`guard`]).
//!
//! A name in brackets in a SAFETY comment is an invariant of SAFETY.md.

pub mod abi;
pub mod client;
pub mod dict;
pub mod fd;
pub mod fd_ctx;
pub mod fops;
pub mod frame;
pub mod from_host;
pub mod guard;
pub mod hold;
pub mod iatt;
pub mod inode;
pub mod inode_ctx;
pub mod loc;
pub mod log;
pub mod notify;
pub mod option;
pub mod stand_in;
pub mod statedump;
pub mod sys;
pub mod table;
pub mod this;
pub mod wind;
pub mod xlator;

pub use client::Client;
pub use dict::{Dict, OwnedDict};
pub use fd::{Fd, FdRef};
pub use frame::{Caller, Frame};
pub use from_host::FromHost;
pub use hold::Hold;
pub use iatt::Iatt;
pub use inode::{Gfid, Inode, InodeRef};
pub use loc::Loc;
pub use stand_in::StandIn;
pub use xlator::{SharedXlator, Xlator};
