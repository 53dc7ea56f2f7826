//! What an inode remembers of the slice it was last recorded in: the number in its context slot.
//!
//! 32 bits of slice and two bits for each data and metadata fop fit in the one word that the host keeps for a
//! translator on each inode, so that nothing is allocated and nothing must be freed. The second bit is for what some
//! consumers pass over, such as GlusterFS's own work: they must still hear of what they do not pass over behind it.

/// The slice an inode was last recorded in, and the fops that have a record of it there. 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceMark(pub u64);

impl SliceMark {
    const FOPS: u32 = 16;

    /// Whether the fop with this bit (0 to 15) has a record in `slice`; `apart`: one that some consumers pass over.
    #[must_use]
    pub fn has(self, slice: u64, bit: u8, apart: bool) -> bool {
        self.slice() == Self::number(slice) && self.0 & Self::mark(bit, apart) != 0
    }

    /// The mark after the fop with this bit was recorded in `slice`. What is remembered of another slice
    /// is forgotten: at worst a fop is recorded once more.
    #[must_use]
    pub fn with(self, slice: u64, bit: u8, apart: bool) -> SliceMark {
        let number = Self::number(slice);
        let fops = if self.slice() == number { self.0 } else { number << (2 * Self::FOPS) };
        SliceMark(fops | Self::mark(bit, apart))
    }

    fn mark(bit: u8, apart: bool) -> u64 {
        let side = if apart { Self::FOPS } else { 0 };
        1 << (u32::from(bit) + side)
    }

    fn slice(self) -> u64 {
        self.0 >> (2 * Self::FOPS)
    }

    /// A slice as 32 bits: with slices of a second they come around after 136 years.
    fn number(slice: u64) -> u64 {
        slice & u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fop_is_remembered_until_the_slice_ends() {
        let mark = SliceMark(0).with(7, 3, false);
        assert!(mark.has(7, 3, false) && !mark.has(7, 4, false) && !mark.has(8, 3, false));
        let mark = mark.with(7, 15, false);
        assert!(mark.has(7, 3, false) && mark.has(7, 15, false));
        let mark = mark.with(8, 15, false);
        assert!(!mark.has(8, 3, false) && mark.has(8, 15, false) && !mark.has(7, 15, false));
    }

    #[test]
    fn what_is_passed_over_hides_nothing_else() {
        let mark = SliceMark(0).with(7, 3, true);
        assert!(mark.has(7, 3, true) && !mark.has(7, 3, false));
        assert!(mark.with(7, 3, false).has(7, 3, false));
    }

    #[test]
    fn an_inode_without_a_mark_has_no_record() {
        for slice in [1, 2, u64::from(u32::MAX)] {
            assert!((0..16).all(|bit| !SliceMark(0).has(slice, bit, false)));
        }
    }
}
