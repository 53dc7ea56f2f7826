//! A place between two entries that a consumer keeps, to go on from there another day.
//!
//! The number alone would not do: an older image of the brick may have been restored, and then the same
//! number means another entry. So a cursor also names the start of the brick, by its random key, and the
//! entry in front of it, by its checksum, which the start's salt goes into.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The next entry to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The journal's epoch.
    pub epoch: [u8; 16],
    /// The start of the brick in which the entry before was made.
    pub start_id: u64,
    /// The random key of that start: another start with the same id has another one.
    pub start_key: u64,
    /// The number of the next entry.
    pub seq: u64,
    /// The checksum of the entry before; 0 where there is none, or the reader made it.
    pub check: u32,
}

/// Its text: epoch, start id, start key, number and checksum, with colons between them.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { epoch, start_id, start_key, seq, check } = self;
        let epoch = Uuid::from_bytes(*epoch);
        write!(f, "{epoch}:{start_id}:{start_key:016x}:{seq}:{check:08x}")
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCursor;

impl fmt::Display for BadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a cursor: EPOCH:START:KEY:NUMBER:CHECKSUM is expected, as gnotify printed it",
        )
    }
}

impl std::error::Error for BadCursor {}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Cursor, BadCursor> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [epoch, start_id, start_key, seq, check] = parts[..] else { return Err(BadCursor) };
        let cursor = Cursor {
            epoch: Uuid::try_parse(epoch).map_err(|_| BadCursor)?.into_bytes(),
            start_id: start_id.parse().map_err(|_| BadCursor)?,
            start_key: u64::from_str_radix(start_key, 16).map_err(|_| BadCursor)?,
            seq: seq.parse().map_err(|_| BadCursor)?,
            check: u32::from_str_radix(check, 16).map_err(|_| BadCursor)?,
        };
        if cursor.seq == 0 { Err(BadCursor) } else { Ok(cursor) }
    }
}

/// What became of the journal since a cursor was taken. Where it is not [`Resume::Continued`], compare the
/// brick itself with what you know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// The next entry is the cursor's.
    Continued,
    /// The cursor's entry was removed, and others up to the number `to`: the next entry is a gap over them.
    Trimmed {
        /// The last number of the gap.
        to: u64,
    },
    /// The journal now holds another history: an older image or a snapshot of the brick was restored, or
    /// a power loss took back what was read already. The next entry is the oldest that there is.
    Rewound,
    /// The journal was begun afresh, or the brick was moved. The next entry is its first.
    StartedAfresh,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_from_its_text() {
        let cursor = Cursor {
            epoch: [0x4e; 16],
            start_id: 7,
            start_key: 0xab,
            seq: u64::MAX,
            check: 0x0c0f_fee0,
        };
        let text = cursor.to_string();
        assert_eq!(
            text,
            "4e4e4e4e-4e4e-4e4e-4e4e-4e4e4e4e4e4e:7:00000000000000ab:18446744073709551615:0c0ffee0"
        );
        assert_eq!(text.parse(), Ok(cursor));
        assert_eq!(format!("{text}\n").parse(), Ok(cursor));
        for bad in ["", "x", "1:2:3:4:5", &text[1..], &text[..text.len() - 9], &format!("{text}:1")]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad:?}");
        }
        let zero = Cursor { seq: 0, ..cursor }.to_string();
        assert_eq!(zero.parse::<Cursor>(), Err(BadCursor), "numbers count from 1");
    }
}
