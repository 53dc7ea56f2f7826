//! Sequence numbers are 64 bits wide, but a frame and the ring's reserve word have room for 40.
//!
//! Both are always read next to a number that is known in full, so the upper 24 bits can be put back.

/// How many bits of a sequence number travel.
pub(crate) const BITS: u32 = 40;

const MASK: u64 = (1 << BITS) - 1;

/// The part of `seq` that travels.
pub(crate) fn low(seq: u64) -> u64 {
    seq & MASK
}

/// The number with these low bits that is nearest to `near`: right as long as the two are less than
/// 2^39 apart, which is a month at 200,000 records a second.
pub(crate) fn widen(low: u64, near: u64) -> u64 {
    let ahead = low.wrapping_sub(near) & MASK;
    if ahead >> (BITS - 1) == 0 {
        near.wrapping_add(ahead)
    } else {
        near.wrapping_add(ahead).wrapping_sub(1 << BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_across_the_wrap() {
        for near in [1, 77, MASK - 1, MASK, MASK + 1, 5 << BITS] {
            for seq in [near, near + 1, near + (1 << 38), near.saturating_sub(1)] {
                assert_eq!(widen(low(seq), near), seq, "near {near}");
            }
        }
    }
}
