//! Numbers in as few bytes as they need: LEB128, and zigzag for signed ones.
//!
//! Most of a record's numbers are small or close to one another, and a record must be small because
//! it is copied on the fop path. Both forms are the ones of Protocol Buffers.

/// The most bytes a 64-bit number takes.
pub const MAX_LEN: usize = 10;

/// Writes `value`, seven bits a byte, low ones first, and gives the buffer and its used length.
#[must_use]
pub fn encode(mut value: u64) -> ([u8; MAX_LEN], usize) {
    let mut bytes = [0; MAX_LEN];
    let mut len = 0;
    for byte in &mut bytes {
        len += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, len)
}

/// Reads a number from the start of `bytes` and gives it with the length it took. `None` where the
/// bytes end too early or the number does not fit in 64 bits.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(MAX_LEN).enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * at;
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Signed to unsigned, small numbers of either sign to small ones.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(value: u64, signed: i64) {
            let (bytes, len) = encode(value);
            prop_assert_eq!(decode(&bytes[..len]), Some((value, len)));
            prop_assert_eq!(decode(&bytes[..len - 1]), None);
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn lengths_and_refusals() {
        assert_eq!(encode(0).1, 1);
        assert_eq!(encode(127).1, 1);
        assert_eq!(encode(128).1, 2);
        assert_eq!(encode(u64::MAX).1, 10);
        assert_eq!(zigzag(-1), 1);
        assert_eq!(decode(&[0x80; 10]), None, "never ends");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
    }
}
