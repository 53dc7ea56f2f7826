//! Which inodes are losing a name at this moment.
//!
//! The storage translator says how many names an inode had before one of them went, from a look it takes
//! ahead. Two that go at the same time may both see two, and neither would say that it was the last. So where
//! another one was under way, the count is only known if it says one.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gnotify_bindings::OwnedDict;
use gnotify_record::Gfid;

/// Asks the storage translator how many names an inode had before one of them goes (stock: glusterfs.h). It
/// has looked that up anyway; of its two ways to answer this is the one that takes no lock and cannot fail.
pub(crate) const ASK_LINK_COUNT: &CStr = c"gf_request_link_count";

/// Counters for so many groups of inodes. Two in one group only make a count unknown that was known.
const GROUPS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Unlinks {
    groups: Box<[AtomicU32]>,
    /// What a fop adds to its xdata, made once: the host writes a number as a text, on its heap.
    question: OnceLock<Option<OwnedDict>>,
}

/// A name that is going. To be given back to [`Unlinks::end`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Unlink {
    group: usize,
    alone: bool,
}

impl Unlinks {
    pub(crate) fn new() -> Unlinks {
        let groups = (0..GROUPS).map(|_| AtomicU32::new(0)).collect();
        Unlinks { groups, question: OnceLock::new() }
    }

    /// [`ASK_LINK_COUNT`]; none when the host is out of memory.
    pub(crate) fn question(&self) -> Option<&OwnedDict> {
        let make = || {
            OwnedDict::new().and_then(|mut dict| dict.set_i32(ASK_LINK_COUNT, 1).then_some(dict))
        };
        self.question.get_or_init(make).as_ref()
    }

    /// A name of the inode is about to go.
    pub(crate) fn begin(&self, gfid: Gfid) -> Unlink {
        // A gfid is random, except its version bits.
        let group = usize::from(u16::from_le_bytes([gfid.0[0], gfid.0[1]])) % GROUPS;
        Unlink { group, alone: self.groups[group].fetch_add(1, Ordering::AcqRel) == 0 }
    }

    /// It is gone, or was refused. Whether no other one was under way meanwhile.
    pub(crate) fn end(&self, unlink: Unlink) -> bool {
        self.groups[unlink.group].fetch_sub(1, Ordering::AcqRel) == 1 && unlink.alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_a_time_are_not_alone() {
        let unlinks = Unlinks::new();
        let (a, b) = (Gfid([1; 16]), Gfid([2; 16]));
        let first = unlinks.begin(a);
        let other = unlinks.begin(b);
        let second = unlinks.begin(a);
        assert!(unlinks.end(other));
        assert!(!unlinks.end(first), "the second is under way");
        assert!(!unlinks.end(second), "the first was under way when it began");
        let third = unlinks.begin(a);
        assert!(unlinks.end(third));
    }
}
