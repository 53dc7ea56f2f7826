//! Runs the plugin in a real GlusterFS: bricks, FUSE mounts, gfapi clients and a glusterd node.
//!
//! Every test has mount, network and PID namespaces of its own, so nothing that it starts can
//! outlive it or meet another test:
//!
//! ```no_run
//! gnotify_harness::host_test!(a_write_arrives, |t| {
//!     let brick = t.brick("b").option("journal", "on").start();
//!     let mount = brick.mount("m");
//!     std::fs::write(mount.path().join("file"), "hello").unwrap();
//!     assert!(!brick.dump().is_empty());
//! });
//! # fn main() {}
//! ```
//!
//! Nothing here is skipped silently: what is missing (root, /dev/fuse, GlusterFS, the built
//! plugin) fails the test with a line that says so.
#![forbid(unsafe_code)]

mod brick;
mod daemon;
mod disk;
mod gfapi;
mod gfevents;
mod glusterd;
mod journal;
mod ledger;
mod mount;
mod plugin;
mod random;
mod random_calls;
mod sandbox;
mod sshd;
mod statedump;
mod tool;
mod volfile;
mod wait;

pub use brick::{Brick, BrickSpec};
pub use daemon::Daemon;
pub use disk::{Disk, Exhausted};
pub use gfapi::Gfapi;
pub use gfevents::{GfEvents, HeardEvent};
pub use glusterd::{ADDRESS, Glusterd};
pub use journal::{dump, gnotify};
pub use ledger::{Ledger, Load, assert_accounted, assert_numbered};
pub use mount::{Mount, MountSpec};
pub use plugin::{built_with, plugin};
pub use random::{Random, rounds, seed};
pub use random_calls::{make_directories, work_on_mount, work_through_gfapi};
pub use rustix;
pub use sandbox::{Sandbox, isolated};
pub use statedump::statedump;
pub use tool::{run, tool, try_run};
pub use volfile::Volfile;
pub use wait::{PATIENCE, poll_until, wait_for};
