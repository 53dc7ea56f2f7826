//! What cluster/distribute tells a brick of a rename: both names, with the one fop that stands for it.
//!
//! Distribute keeps a file where the hash of its name once put it, so that a rename is often a link under the new
//! name and an unlink of the old one, on two bricks. To the fop on the brick that has the data it adds what the
//! rename was, for the stock changelog. It comes from a client: every length in it is looked at twice.

use std::borrow::Cow;

use crate::{Gfid, Link};

/// The rename that a fop is a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming<'a> {
    /// The name that goes.
    pub from: Link<'a>,
    /// The name that comes.
    pub to: Link<'a>,
}

/// The longest name, with the NUL behind it.
const NAME_MAX: usize = 256;

impl Renaming<'_> {
    /// Reads the value of the xdata key `changelog.rename-op`: the gfids of the old and the new parent, the lengths
    /// of the old and the new name in 4 bytes each, both with their NUL, and the names. What follows is
    /// passed over: distribute sends 4 bytes more than it fills.
    ///
    /// The lengths are in the client's own byte order. Only little-endian machines run GlusterFS today; of another
    /// one they are too long, and nothing is read.
    ///
    /// `None` where it is anything else.
    #[must_use]
    pub fn from_hint(hint: &[u8]) -> Option<Renaming<'static>> {
        let (from_parent, rest) = hint.split_first_chunk::<16>()?;
        let (to_parent, rest) = rest.split_first_chunk::<16>()?;
        let (from_len, rest) = rest.split_first_chunk::<4>()?;
        let (to_len, rest) = rest.split_first_chunk::<4>()?;
        let (from, rest) = name(rest, *from_len)?;
        let (to, _) = name(rest, *to_len)?;
        let link = |parent: [u8; 16], name: &[u8]| {
            let parent = Gfid(parent).known()?;
            Some(Link { parent, name: Cow::Owned(name.to_vec()) })
        };
        Some(Renaming { from: link(*from_parent, from)?, to: link(*to_parent, to)? })
    }

    pub(crate) fn into_owned(self) -> Renaming<'static> {
        Renaming { from: self.from.into_owned(), to: self.to.into_owned() }
    }
}

/// A name of so many bytes with its NUL, and what follows.
fn name(bytes: &[u8], len: [u8; 4]) -> Option<(&[u8], &[u8])> {
    let len = usize::try_from(u32::from_le_bytes(len)).ok()?;
    let (name, rest) = bytes.split_at_checked(len).filter(|_| len <= NAME_MAX)?;
    let (nul, name) = name.split_last()?;
    let is_name = *nul == 0 && !name.is_empty() && !name.iter().any(|b| matches!(b, 0 | b'/'));
    is_name.then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn hint(from: &[u8], to: &[u8]) -> Vec<u8> {
        let len = |name: &[u8]| u32::try_from(name.len() + 1).unwrap_or(0).to_le_bytes();
        [&[1; 16], &[2; 16], &len(from)[..], &len(to), from, &[0], to, &[0], &[0; 4]].concat()
    }

    #[test]
    fn both_names_are_read() {
        let renaming = Renaming::from_hint(&hint(b"old", b"newer")).unwrap();
        let link =
            |parent, name: &'static [u8]| Link { parent: Gfid([parent; 16]), name: name.into() };
        assert_eq!(renaming, Renaming { from: link(1, b"old"), to: link(2, b"newer") });
        assert!(Renaming::from_hint(&hint(&[b'x'; 255], &[b'y'; 255])).is_some());
    }

    #[test]
    fn d24_a_hint_is_read_by_checked_lengths() {
        let good = hint(b"old", b"newer");
        // The four bytes at the end are not looked at.
        for len in 0..good.len() - 4 {
            assert_eq!(Renaming::from_hint(&good[..len]), None, "{len} bytes");
        }
        for (from, to) in [
            (&b""[..], &b"n"[..]),
            (b"o", b""),
            (b"a/b", b"n"),
            (b"o", b"a\0b"),
            (&[b'x'; 256], b"n"),
        ] {
            assert_eq!(Renaming::from_hint(&hint(from, to)), None, "{from:?} {to:?}");
        }
        // The lengths are 4 and 6.
        for place in [32, 36] {
            for lie in [0, 1, 3, 5, 7, 10, 255, 1 << 31, u32::MAX, i32::MAX as u32, 6 << 24] {
                let mut lengths = good.clone();
                lengths[place..place + 4].copy_from_slice(&lie.to_le_bytes());
                assert_eq!(Renaming::from_hint(&lengths), None, "a length of {lie} at {place}");
            }
        }
        for (from, to) in [(0, 10), (10, 0), (6, 4), (5, 5), (8, 2), (u32::MAX, 11u32)] {
            let mut lengths = good.clone();
            lengths[32..40]
                .copy_from_slice(&u64::to_le_bytes(u64::from(to) << 32 | u64::from(from)));
            assert_eq!(Renaming::from_hint(&lengths), None, "lengths of {from} and {to}");
        }
        let mut no_parent = good;
        no_parent[..16].fill(0);
        assert_eq!(Renaming::from_hint(&no_parent), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_hint_or_none(hint in vec(any::<u8>(), 0..80)) {
            if let Some(renaming) = Renaming::from_hint(&hint) {
                prop_assert!(!renaming.from.name.is_empty() && !renaming.to.name.is_empty());
            }
        }
    }
}
