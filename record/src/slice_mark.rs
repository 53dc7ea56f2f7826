//! What an inode remembers of the slice it was last recorded in: the number in its context slot.
//!
//! 48 bits of slice and a bit for each data and metadata fop fit in the one word that the host keeps for a
//! translator on each inode, so that nothing is allocated and nothing must be freed.

/// The slice an inode was last recorded in, and the fops that have a record of it there. 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceMark(pub u64);

impl SliceMark {
    const FOPS: u32 = 16;

    /// Whether the fop with this bit (0 to 15) has a record in `slice`.
    #[must_use]
    pub fn has(self, slice: u64, bit: u8) -> bool {
        self.slice() == Self::number(slice) && self.0 & (1 << bit) != 0
    }

    /// The mark after the fop with this bit was recorded in `slice`. What is remembered of another slice
    /// is forgotten: at worst a fop is recorded once more.
    #[must_use]
    pub fn with(self, slice: u64, bit: u8) -> SliceMark {
        let number = Self::number(slice);
        let fops = if self.slice() == number { self.0 } else { number << Self::FOPS };
        SliceMark(fops | 1 << bit)
    }

    fn slice(self) -> u64 {
        self.0 >> Self::FOPS
    }

    /// A slice as 48 bits: with slices of a second they come around after nine million years.
    fn number(slice: u64) -> u64 {
        slice & (u64::MAX >> Self::FOPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fop_is_remembered_until_the_slice_ends() {
        let mark = SliceMark(0).with(7, 3);
        assert!(mark.has(7, 3) && !mark.has(7, 4) && !mark.has(8, 3));
        let mark = mark.with(7, 4);
        assert!(mark.has(7, 3) && mark.has(7, 4));
        let mark = mark.with(8, 4);
        assert!(!mark.has(8, 3) && mark.has(8, 4) && !mark.has(7, 4));
    }

    #[test]
    fn an_inode_without_a_mark_has_no_record() {
        for slice in [1, 2, u64::MAX] {
            assert!((0..16).all(|bit| !SliceMark(0).has(slice, bit)));
        }
    }
}
