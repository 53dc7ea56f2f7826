//! Where the crate gets its atomics from: the standard library, or loom when its models run.
//!
//! Only what a model looks at comes from here. The ring reaches its words through a trait instead,
//! because its real ones lie in a mapped file.

#[cfg(all(test, loom))]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current},
};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU64, fence},
    thread::{Thread, current},
};

pub(crate) use std::sync::atomic::Ordering;
