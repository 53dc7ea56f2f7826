//! Which segments are kept: bounded by bytes and by age, the oldest go first.
//!
//! The segment that is being written never goes. What goes is announced in the ring first, so that a kill
//! between the two leaves an announcement too many and never one too few.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use crate::Limits;
use crate::disk::{remove, step};
use crate::packed;
use crate::recovery::FORMER;
use crate::segment;
use crate::statement::TrimmedBy;

/// Between two tries where a segment cannot be removed, or its end cannot be announced.
const RETRY: Duration = Duration::from_secs(1);

/// A segment that is not written any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    /// The last number that it accounts for.
    pub(crate) to: u64,
    bytes: u64,
    /// When it was written last: not before its newest entry was made.
    newest: SystemTime,
}

/// The segments that are not written any more, oldest first.
#[derive(Debug)]
pub(crate) struct Retention {
    sealed: VecDeque<Sealed>,
    bytes: u64,
    /// The last number that is announced to go.
    announced: u64,
    /// Not before this moment, because the last try has failed.
    not_before: Option<Instant>,
}

impl Retention {
    /// Looks at what is in `dir` besides the segment that begins with `live`.
    pub(crate) fn look(dir: &Path, live: u64) -> io::Result<Retention> {
        let mut retention =
            Retention { sealed: VecDeque::new(), bytes: 0, announced: 0, not_before: None };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(FORMER)) {
                retention.former(entry.path())?;
            }
        }
        let mut numbers = segment::numbers(dir)?;
        numbers.retain(|first_seq| *first_seq < live);
        for (at, first_seq) in numbers.iter().enumerate() {
            let next = numbers.get(at + 1).copied().unwrap_or(live);
            let path = segment::path(dir, *first_seq);
            let packed = path.with_extension(packed::EXTENSION);
            match retention.seal(path, next).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => retention.seal(packed, next),
                _ => Err(error),
            }) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(retention)
    }

    /// Takes note of the segments of an epoch that has ended. They go together, ahead of all others.
    fn former(&mut self, path: PathBuf) -> io::Result<()> {
        let (mut bytes, mut newest) = (0, SystemTime::UNIX_EPOCH);
        for entry in fs::read_dir(&path)? {
            let metadata = entry?.metadata()?;
            bytes += metadata.len();
            newest = newest.max(metadata.modified()?);
        }
        self.bytes += bytes;
        self.sealed.push_front(Sealed { path, to: 0, bytes, newest });
        Ok(())
    }

    /// Takes note of a segment that is not written any more; the next one begins with `next`.
    pub(crate) fn seal(&mut self, path: PathBuf, next: u64) -> io::Result<()> {
        let metadata = fs::metadata(&path)?;
        let newest = metadata.modified()?;
        let sealed = Sealed { path, to: next - 1, bytes: metadata.len(), newest };
        self.bytes += sealed.bytes;
        self.sealed.push_back(sealed);
        Ok(())
    }

    /// Takes note that the segment of `dir` that begins with `first_seq` is packed, in so many bytes.
    pub(crate) fn pack(&mut self, dir: &Path, first_seq: u64, bytes: u64) {
        let path = segment::path(dir, first_seq);
        // It may have been removed since.
        if let Some(sealed) = self.sealed.iter_mut().find(|sealed| sealed.path == path) {
            self.bytes = self.bytes - sealed.bytes + bytes;
            sealed.bytes = bytes;
            sealed.path = path.with_extension(packed::EXTENSION);
        }
    }

    /// How many of these segments are packed, as far as is known.
    pub(crate) fn packed(&self) -> usize {
        let is_packed = |sealed: &&Sealed| {
            sealed.path.extension().is_some_and(|ending| ending == packed::EXTENSION)
        };
        self.sealed.iter().filter(is_packed).count()
    }

    /// Bytes of these segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len()
    }

    /// The last number that has to go now, and why. `live` is the length of the segment that is being written.
    pub(crate) fn surplus(
        &self,
        limits: &Limits,
        live: u64,
        now: SystemTime,
    ) -> Option<(u64, TrimmedBy)> {
        if self.sealed.is_empty() || self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return None;
        }
        let mut surplus = None;
        let mut total = self.bytes.saturating_add(live);
        for sealed in &self.sealed {
            if limits.retention_bytes.is_some_and(|most| total > most) {
                surplus = Some((sealed.to, TrimmedBy::Bytes));
            } else if limits.retention_age.is_some_and(|age| sealed.is_older(age, now)) {
                surplus = Some((sealed.to, TrimmedBy::Age));
            } else {
                break;
            }
            total -= sealed.bytes;
        }
        surplus
    }

    /// How long until the oldest one is too old, where nothing else happens.
    pub(crate) fn due_in(&self, limits: &Limits, now: SystemTime) -> Option<Duration> {
        let (age, oldest) = (limits.retention_age?, self.sealed.front()?);
        let left = (oldest.newest + age).duration_since(now).unwrap_or_default();
        // A clock that is set on while the thread sleeps shows within a minute.
        Some(left.clamp(RETRY, Duration::from_secs(60)))
    }

    /// The last number of the oldest one.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.sealed.front().map(|sealed| sealed.to)
    }

    /// Whether the end of what goes up to `to` still has to be announced.
    pub(crate) fn must_announce(&self, to: u64) -> bool {
        to > self.announced
    }

    pub(crate) fn announced(&mut self, to: u64) {
        self.announced = to;
    }

    pub(crate) fn try_later(&mut self) {
        self.not_before = Some(Instant::now() + RETRY);
    }

    /// Removes the segments up to the number `to`, oldest first. How many are gone.
    pub(crate) fn remove(&mut self, to: u64) -> Result<usize, (PathBuf, io::Error)> {
        let mut gone = 0;
        while let Some(sealed) = self.sealed.front().filter(|sealed| sealed.to <= to) {
            let removed = if sealed.to == 0 {
                step().and_then(|()| fs::remove_dir_all(&sealed.path))
            } else {
                sealed.remove()
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let path = sealed.path.clone();
                    self.try_later();
                    return Err((path, error));
                }
                _ => {}
            }
            self.bytes -= sealed.bytes;
            self.sealed.pop_front();
            gone += 1;
        }
        self.not_before = None;
        Ok(gone)
    }
}

impl Sealed {
    /// In this order: the segment may be packed right now, and its packed one goes when that finds it gone.
    fn remove(&self) -> io::Result<()> {
        let removed = remove(&self.path.with_extension(segment::EXTENSION));
        if let Err(error) = &removed
            && error.kind() != io::ErrorKind::NotFound
        {
            return removed;
        }
        let packed = self.path.with_extension(packed::EXTENSION);
        if packed.exists() { remove(&packed) } else { removed }
    }

    fn is_older(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.newest).is_ok_and(|since| since > age)
    }
}
