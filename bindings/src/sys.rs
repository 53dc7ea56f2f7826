//! The generated view of the host's headers, as bindgen wrote it.
//!
//! It exists so that no structure of the host is ever written down by hand. Everything else of this crate is
//! built on it; the plugin uses it only where a fop's own argument types are spelled.

#![allow(
    missing_docs,
    missing_debug_implementations,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used
)]

include!(concat!(env!("OUT_DIR"), "/glusterfs.rs"));
