//! How much may be written to the brick: nothing below its storage reserve.
//!
//! The storage translator refuses clients' data at the reserve, so that heal and rebalance have room to
//! work; the journal must not take that room away. The file system is asked at most every few MiB or
//! each second, not ahead of each write.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, io};

/// What is kept free on the brick: the storage translator's option `reserve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Nothing.
    Off,
    /// So many hundredths of a percent of the file system.
    Percent {
        /// 100 is one percent.
        hundredths: u32,
    },
    /// So many bytes.
    Bytes(u64),
}

impl Default for Reserve {
    /// One percent, as the storage translator's.
    fn default() -> Reserve {
        Reserve::Percent { hundredths: 100 }
    }
}

impl Reserve {
    /// Reads the option as the storage translator does: a number up to 100, or with a percent sign, is a
    /// percentage; a greater one, or one with a unit (KB to PB, of 1024), is a size. 0 switches it off.
    #[must_use]
    pub fn parse(text: &str) -> Option<Reserve> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        let number: f64 = digits.trim().parse().ok()?;
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" if number > 100.0 => 0,
            "" | "%" if number > 100.0 => return None,
            "" | "%" => {
                let hundredths = (number * 100.0).round() as u32;
                return Some(if hundredths == 0 {
                    Reserve::Off
                } else {
                    Reserve::Percent { hundredths }
                });
            }
            "b" => 0,
            "k" | "kb" => 10,
            "m" | "mb" => 20,
            "g" | "gb" => 30,
            "t" | "tb" => 40,
            "p" | "pb" => 50,
            _ => return None,
        };
        let bytes = (number * (1_u64 << unit) as f64) as u64;
        Some(if bytes == 0 { Reserve::Off } else { Reserve::Bytes(bytes) })
    }

    /// In bytes, on a file system of `total` bytes.
    fn bytes(self, total: u64) -> u64 {
        match self {
            Reserve::Off => 0,
            Reserve::Percent { hundredths } => {
                (u128::from(total) * u128::from(hundredths) / 10_000) as u64
            }
            Reserve::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reserve::Off => f.write_str("off"),
            Reserve::Percent { hundredths } => write!(f, "{}%", f64::from(*hundredths) / 100.0),
            Reserve::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

/// How much may be written until the file system is asked again.
const MOST: u64 = 8 << 20;

/// How long what it said holds.
const FRESH: Duration = Duration::from_secs(1);

/// What a block may take beyond the bytes that are in it.
const BLOCK: u64 = 4096;

/// What may still be written.
#[derive(Debug, Default)]
pub(crate) struct Space {
    asked: Option<(Instant, Reserve)>,
    left: u64,
}

impl Space {
    /// Takes room for `bytes` more on the file system of `dir`.
    pub(crate) fn take(&mut self, dir: &File, reserve: Reserve, bytes: u64) -> io::Result<()> {
        if reserve == Reserve::Off {
            return Ok(());
        }
        let wanted = bytes + BLOCK;
        let fresh = self.asked.is_some_and(|(asked, of)| asked.elapsed() < FRESH && of == reserve);
        if !fresh || self.left < wanted {
            // A file system that cannot say it fails the write too, which then says why.
            let Ok((total, free)) = ask(dir) else { return Ok(()) };
            self.asked = Some((Instant::now(), reserve));
            let kept = reserve.bytes(total);
            self.left = free.saturating_sub(kept).min(MOST.max(wanted));
            if self.left < wanted {
                return Err(io::Error::new(io::ErrorKind::StorageFull, AtReserve { free, kept }));
            }
        }
        self.left -= wanted;
        Ok(())
    }

    /// Has the file system asked ahead of the next write.
    pub(crate) fn ask_again(&mut self) {
        self.asked = None;
    }
}

/// Whether the brick's storage reserve leaves room for so many bytes.
pub(crate) fn room(dir: &Path, reserve: Reserve, bytes: u64) -> io::Result<()> {
    let Some(there) = dir.ancestors().find_map(|above| File::open(above).ok()) else {
        // What comes next will say why.
        return Ok(());
    };
    Space::default().take(&there, reserve, bytes)
}

/// Bytes of a file system, and those that are free for anybody.
fn ask(dir: &File) -> io::Result<(u64, u64)> {
    #[cfg(all(test, not(loom)))]
    if let Some(pretended) = tests::PRETENDED.get() {
        return Ok(pretended);
    }
    let all = rustix::fs::fstatvfs(dir)?;
    Ok((all.f_blocks.saturating_mul(all.f_frsize), all.f_bavail.saturating_mul(all.f_frsize)))
}

/// The brick is at its storage reserve.
#[derive(Debug)]
pub(crate) struct AtReserve {
    free: u64,
    kept: u64,
}

impl fmt::Display for AtReserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AtReserve { free, kept } = self;
        write!(f, "the brick is at its storage reserve: {free} bytes are free, {kept} are kept so")
    }
}

impl std::error::Error for AtReserve {}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// What the file system says on this thread: all bytes, and the free ones.
        pub(crate) static PRETENDED: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    }

    #[test]
    fn the_option_is_read_as_the_storage_translator_does() {
        let percent = |hundredths| Some(Reserve::Percent { hundredths });
        for (text, expected) in [
            ("1", percent(100)),
            ("1%", percent(100)),
            (" 0.5 ", percent(50)),
            ("100", percent(10_000)),
            ("0", Some(Reserve::Off)),
            ("0%", Some(Reserve::Off)),
            ("0GB", Some(Reserve::Off)),
            ("101", Some(Reserve::Bytes(101))),
            ("10GB", Some(Reserve::Bytes(10 << 30))),
            ("1.5MB", Some(Reserve::Bytes(3 << 19))),
            ("5kb", Some(Reserve::Bytes(5120))),
            ("5b", Some(Reserve::Bytes(5))),
            ("101%", None),
            ("-1", None),
            ("ten", None),
            ("", None),
            ("5XB", None),
        ] {
            assert_eq!(Reserve::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_file_system_is_asked_when_the_room_is_used_up() {
        let dir = tempfile::tempdir().unwrap();
        let dir = File::open(dir.path()).unwrap();
        let mut space = Space::default();
        let reserve = Reserve::default();
        PRETENDED.set(Some((1 << 30, 200 << 20)));
        space.take(&dir, reserve, 1 << 20).unwrap();
        // It is not asked again yet.
        PRETENDED.set(Some((1 << 30, 0)));
        space.take(&dir, reserve, 1 << 20).unwrap();
        let error = space.take(&dir, reserve, 7 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("0 bytes are free, 10737418 are kept"), "{error}");
        PRETENDED.set(Some((1 << 30, 10_737_418 + 4096 + 100)));
        assert!(space.take(&dir, reserve, 101).is_err());
        space.take(&dir, reserve, 100).unwrap();
        // Another reserve holds at once.
        PRETENDED.set(Some((1 << 30, 1 << 20)));
        assert!(space.take(&dir, Reserve::Bytes(1 << 20), 1).is_err());
        space.take(&dir, Reserve::Off, 1 << 40).unwrap();
        PRETENDED.set(None);
    }
}
