//! The identity of an inode on a volume: 16 bytes that GlusterFS gives to it at birth.
//!
//! A newtype of our own and not a UUID type: the fop path copies and compares it, and prints it only
//! in tools.

use std::fmt;
use std::str::FromStr;

/// An inode's gfid, in the byte order in which GlusterFS stores it (`trusted.gfid`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Gfid(pub [u8; 16]);

impl Gfid {
    /// No inode: GlusterFS uses the null UUID where it has no gfid to give.
    pub const NULL: Gfid = Gfid([0; 16]);
    /// The root directory of every volume.
    pub const ROOT: Gfid = Gfid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// `/.shard`, where features/shard keeps the blocks of large files (stock: shard.h).
    pub const SHARD_ROOT: Gfid = Gfid([
        0xbe, 0x31, 0x86, 0x38, 0xe8, 0xa0, 0x4c, 0x6d, 0x97, 0x7d, 0x7a, 0x93, 0x7a, 0xa8, 0x48,
        0x06,
    ]);
    /// `/.shard/.remove_me`, the markers of files whose shards wait for deletion (stock: shard.h).
    pub const SHARD_REMOVE_ME: Gfid = Gfid([
        0x77, 0xdd, 0x5a, 0x45, 0xdb, 0xf5, 0x45, 0x92, 0xb3, 0x1b, 0xb4, 0x40, 0x38, 0x23, 0x02,
        0xe9,
    ]);

    /// Whether this is [`Gfid::NULL`].
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Gfid::NULL
    }

    /// The gfid, or `None` for the null one.
    #[must_use]
    pub fn known(self) -> Option<Gfid> {
        (!self.is_null()).then_some(self)
    }
}

impl fmt::Display for Gfid {
    /// The text form of RFC 9562: 36 lower-case characters, as in GlusterFS's own files and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            for nibble in [byte >> 4, byte & 0xf] {
                text[at] = b"0123456789abcdef"[usize::from(nibble)];
                at += 1;
            }
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a gfid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseGfidError(String);

impl fmt::Display for ParseGfidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not a gfid: expected 32 hexadecimal digits, in groups of 8-4-4-4-12",
            self.0
        )
    }
}

impl std::error::Error for ParseGfidError {}

impl FromStr for Gfid {
    type Err = ParseGfidError;

    /// Reads the 36-character form; the hyphens may be left out, letters may be upper case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseGfidError(text.to_owned());
        let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
        if !hyphens.is_empty() && hyphens != [8, 13, 18, 23] {
            return Err(wrong());
        }
        let digits: Vec<u8> = text
            .bytes()
            .filter(|b| *b != b'-')
            .map(|b| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let mut gfid = [0; 16];
        if digits.len() != 32 {
            return Err(wrong());
        }
        for (byte, pair) in gfid.iter_mut().zip(digits.chunks(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Gfid(gfid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let text = "be318638-e8a0-4c6d-977d-7a937aa84806";
        assert_eq!(text.parse(), Ok(Gfid::SHARD_ROOT));
        assert_eq!(Gfid::SHARD_ROOT.to_string(), text);
        assert_eq!("BE318638E8A04C6D977D7A937AA84806".parse(), Ok(Gfid::SHARD_ROOT));
        assert_eq!(Gfid::SHARD_REMOVE_ME.to_string(), "77dd5a45-dbf5-4592-b31b-b440382302e9");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "be318638", "be318638-e8a04c6d-977d-7a937aa84806-", "zz", "é"] {
            assert!(text.parse::<Gfid>().is_err(), "{text:?} was taken for a gfid");
        }
    }
}
