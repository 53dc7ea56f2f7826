//! What stands behind a segment's last entry.

use std::thread;
use std::time::Duration;

use super::Scan;
use crate::exit::Error;
use crate::verify::bytes::{self, Broken, low};
use crate::verify::report::Level;

/// A segment that a brick is writing is looked at so often again before its end counts as damaged.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

impl Scan<'_> {
    /// What stands behind the last entry.
    pub(super) fn tail(&mut self) -> Result<(), Error> {
        if let Some(pending) = self.pending.take() {
            let len = self.bytes.len()?;
            return self.settle(pending, len);
        }
        self.bytes.forget();
        loop {
            let at = self.at;
            let len = self.bytes.len()?;
            if at >= len {
                break;
            }
            let broken = match self.bytes.frame(at)? {
                Ok(frame) => {
                    let ahead = frame.head.low_seq.wrapping_sub(low(self.expected)) & low(u64::MAX);
                    let is_next = ahead >> 39 == 0 && frame.head.kind != bytes::REPEATED;
                    let next = at + frame.head.padded() as u64;
                    if is_next {
                        // It was written since the reader looked.
                        break;
                    }
                    self.between(next)?;
                    continue;
                }
                Err(broken) => broken,
            };
            self.rest(at, len, broken)?;
            break;
        }
        // Before the first entry, its repeated statements may still be on their way.
        if !self.entered && self.place.sealed {
            self.compare_repeated()?;
        }
        Ok(())
    }

    /// Bytes at the end that are no entry.
    fn rest(&mut self, at: u64, len: u64, broken: Broken) -> Result<(), Error> {
        let next = self.expected;
        let rest = len - at;
        let is_beginning = match broken {
            Broken::Cut(number) => number.is_none_or(|number| number == low(next)),
            _ => false,
        };
        if self.place.sealed {
            self.chain.lose();
            let text = format!("{}; the last {rest} bytes are lost", broken.text());
            return self.damage("tail", at, next, text);
        }
        if is_beginning {
            let text = format!(
                "unfinished, {rest} bytes of it are here: it is being written, or the brick was \
                 killed and its next start ends it"
            );
            return self.say(Level::Note, "unfinished", Some(at), Some((next, next)), text);
        }
        if self.is_moving(at, len)? {
            return Ok(());
        }
        let text = format!(
            "{}; the last {rest} bytes are no entry; what they held is not known, the next start \
             of the brick tells it",
            broken.text()
        );
        self.damage("tail", at, next, text)
    }

    /// Whether the end is being written right now.
    fn is_moving(&mut self, at: u64, len: u64) -> Result<bool, Error> {
        for _ in 0..LOOKS {
            thread::sleep(BETWEEN_LOOKS);
            self.bytes.forget();
            if self.bytes.len()? != len || self.bytes.frame(at)?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
