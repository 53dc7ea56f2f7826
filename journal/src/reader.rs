//! Reading a journal, also while it is written: entries in the order of their numbers.
//!
//! A reader opens files for reading and nothing else: it never creates, locks, cuts or repairs, so any
//! number of them can stand beside the writer. It accounts for every number from its first entry on:
//! where bytes are damaged or a segment is gone, it says so with a gap of its own, and goes on behind.

mod bytes;
mod cursor;
mod error;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gnotify_record::{ClientId, Fop, codec};

use crate::Resume;
use crate::entry::{Entry, Place, What};
use crate::frame::Kind;
use crate::segment::{self, Header};
use crate::statement::{self, Cause, Gap, Statement};
pub(crate) use bytes::SegmentBytes;
pub(crate) use cursor::{Cursor, Found};
pub use error::ReadError;

/// Reads the entries of a journal or of one segment, in order.
#[derive(Debug)]
pub struct Reader {
    /// The directory, or the only segment.
    path: PathBuf,
    /// Whether there are other segments to go on with.
    whole: bool,
    cursor: Option<Cursor>,
    /// The number that the name of its segment says, which may have been renamed.
    named: Option<u64>,
    /// The lowest number that is not accounted for; 0 before the first segment.
    expected: u64,
    /// Time of the last entry.
    time: u64,
    /// Where entries are missing since the last entry, and why.
    missing: Option<(PathBuf, u64, Cause)>,
    /// A later segment was seen, so that this one does not grow any more.
    final_look: bool,
    /// The start in which the last entry was made, and its checksum: for a cursor.
    last: Option<(u64, u64, u32)>,
    clients: HashMap<ClientId, Vec<u8>>,
}

/// What the next step found; taken apart only when nothing has to be looked for any more.
enum Step {
    Entry(Found),
    Missing { to: u64 },
    Nothing,
}

impl Reader {
    /// Opens the journal in the directory `path`, at its first entry. A journal that has no segment
    /// yet is an empty one.
    ///
    /// # Errors
    ///
    /// Where there is no such directory, it is not a journal's, it may not be read, or its first
    /// segment cannot be understood.
    pub fn open(path: &Path) -> Result<Reader, ReadError> {
        let mut reader = Reader::at(path, true);
        if !reader.advance()? && !path.join(crate::LOCK_FILE).exists() {
            return Err(ReadError::NotAJournal { path: path.to_owned() });
        }
        Ok(reader)
    }

    /// Opens the journal in the directory `path` at the segment that begins with the number `first_seq`.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`]; also where there is no such segment.
    pub fn open_at(path: &Path, first_seq: u64) -> Result<Reader, ReadError> {
        let mut reader = Reader::at(path, true);
        reader.reenter(first_seq)?;
        Ok(reader)
    }

    /// Opens the segment `path` alone.
    ///
    /// # Errors
    ///
    /// Where there is no such file, it is not a segment, it may not be read, or it is of a later
    /// version of the format.
    pub fn open_segment(path: &Path) -> Result<Reader, ReadError> {
        let mut reader = Reader::at(path, false);
        reader.enter(Cursor::open(path)?, None);
        Ok(reader)
    }

    fn at(path: &Path, whole: bool) -> Reader {
        Reader {
            path: path.to_owned(),
            whole,
            cursor: None,
            named: None,
            expected: 0,
            time: 0,
            missing: None,
            final_look: false,
            last: None,
            clients: HashMap::new(),
        }
    }

    /// Passes over the segments that hold nothing from `time` (nanoseconds since 1970) on. Entries
    /// before that time may still come; none from it on is left out, unless the clock was set back.
    ///
    /// # Errors
    ///
    /// As [`Reader::next`].
    pub fn skip_to_time(&mut self, time: u64) -> Result<(), ReadError> {
        if !self.whole {
            return Ok(());
        }
        let mut best = None;
        for first_seq in self.list()?.into_iter().filter(|first_seq| *first_seq >= self.expected) {
            match Cursor::open(&segment::path(&self.path, first_seq)) {
                // What stands in the segments before was written before this one was made.
                Ok(cursor) if cursor.header.created <= time => best = Some((cursor, first_seq)),
                Ok(_) => break,
                // A damaged or removed one is told when it is reached.
                Err(ReadError::DamagedHeader { .. } | ReadError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some((cursor, named)) = best {
            self.expected = 0;
            self.enter(cursor, Some(named));
        }
        Ok(())
    }

    /// The next entry. `None`: there is nothing more now; what is written later comes out of later calls.
    ///
    /// # Errors
    ///
    /// Where the operating system cannot read, or a segment cannot be understood. After
    /// [`ReadError::BadRecord`] and [`ReadError::BadStatement`] the next call goes on behind the frame.
    #[expect(clippy::should_implement_trait, reason = "an entry borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        match self.step()? {
            Step::Nothing => Ok(None),
            Step::Entry(found) => self.take_apart(&found).map(Some),
            Step::Missing { to } => Ok(Some(self.gap(to))),
        }
    }

    /// The uid string of a client, as far as it was read by now (any bytes).
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<&[u8]> {
        self.clients.get(&id).map(Vec::as_slice)
    }

    /// What the header of the segment says that is being read; `None` while there is none.
    #[must_use]
    pub fn segment(&self) -> Option<&Header> {
        self.cursor.as_ref().map(|cursor| &cursor.header)
    }

    /// The file of the segment that is being read; `None` while there is none.
    #[must_use]
    pub fn segment_path(&self) -> Option<&Path> {
        self.cursor.as_ref().map(|cursor| cursor.path.as_path())
    }

    /// The place behind the last entry that was read, to go on from there with [`Reader::resume`]. `None`
    /// while there is no segment.
    #[must_use]
    pub fn cursor(&self) -> Option<crate::Cursor> {
        let Header { epoch, start_id, start_key, .. } = self.cursor.as_ref()?.header;
        let (start_id, start_key, check) = self.last.unwrap_or((start_id, start_key, 0));
        Some(crate::Cursor { epoch, start_id, start_key, seq: self.expected, check })
    }

    /// Opens the journal in the directory `path` where a cursor was taken, and says what became of the journal
    /// since. Reads at most what is in front of the cursor in its segment.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn resume(path: &Path, from: &crate::Cursor) -> Result<(Reader, Resume), ReadError> {
        let mut reader = Reader::open(path)?;
        let segments = reader.headers()?;
        let headers: Vec<Header> = segments.iter().map(|(_, header)| *header).collect();
        if headers.last().is_none_or(|newest| newest.epoch != from.epoch) {
            return Ok((reader, Resume::StartedAfresh));
        }
        // What the starts say, where no entry is left to be compared.
        let same = |header: &&Header| header.start_id == from.start_id;
        let fits = match headers.iter().find(same) {
            Some(header) => header.start_key == from.start_key,
            None => {
                headers.iter().all(|header| header.start_id != from.start_id)
                    && headers.last().is_some_and(|newest| newest.start_id > from.start_id)
            }
        };
        let before = segments.iter().rfind(|(_, header)| header.first_seq < from.seq);
        let resume = match before {
            Some((named, _)) => reader.go_behind(*named, from, fits)?,
            None if !fits => Resume::Rewound,
            None => {
                let (named, Header { first_seq: first, .. }) = segments[0];
                reader.reenter(named)?;
                if first == from.seq {
                    Resume::Continued
                } else {
                    reader.expected = from.seq;
                    reader.missing = Some((path.to_owned(), 0, Cause::Trimmed));
                    Resume::Trimmed { to: first - 1 }
                }
            }
        };
        if resume == Resume::Rewound {
            reader = Reader::open(path)?;
        } else {
            reader.last = Some((from.start_id, from.start_key, from.check));
        }
        Ok((reader, resume))
    }

    /// The headers of the segments that can be read, with the numbers of their names, oldest first.
    fn headers(&self) -> Result<Vec<(u64, Header)>, ReadError> {
        let mut headers = Vec::new();
        for first_seq in self.list()? {
            match Cursor::open(&segment::path(&self.path, first_seq)) {
                Ok(cursor) => headers.push((first_seq, cursor.header)),
                Err(ReadError::DamagedHeader { .. } | ReadError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(headers)
    }

    /// Begins anew with the segment of the name `named`.
    fn reenter(&mut self, named: u64) -> Result<(), ReadError> {
        let cursor = Cursor::open(&segment::path(&self.path, named))?;
        *self = Reader::at(&self.path, true);
        self.enter(cursor, Some(named));
        Ok(())
    }

    /// Reads the segment of the name `named`, and on, until the next entry is that of the cursor `to`. `fits` says what the starts
    /// tell of it.
    fn go_behind(
        &mut self,
        named: u64,
        to: &crate::Cursor,
        fits: bool,
    ) -> Result<Resume, ReadError> {
        self.reenter(named)?;
        while self.expected < to.seq {
            match self.next() {
                Ok(Some(_)) | Err(ReadError::BadRecord { .. } | ReadError::BadStatement { .. }) => {
                }
                // It ends before.
                Ok(None) => return Ok(Resume::Rewound),
                Err(error) => return Err(error),
            }
        }
        let check = self.last.map_or(0, |(_, _, check)| check);
        if check == 0 {
            // The reader made a gap over what was there when the cursor was taken.
            let (past, cause) = (self.expected, self.missing.as_ref().map(|(_, _, cause)| *cause));
            self.expected = to.seq;
            return Ok(match cause {
                _ if !fits => Resume::Rewound,
                Some(Cause::Trimmed) if past > to.seq => Resume::Trimmed { to: past - 1 },
                _ => Resume::Continued,
            });
        }
        let same = self.expected == to.seq && if to.check == 0 { fits } else { check == to.check };
        Ok(if same { Resume::Continued } else { Resume::Rewound })
    }

    fn step(&mut self) -> Result<Step, ReadError> {
        loop {
            let Some(cursor) = &mut self.cursor else {
                if self.advance()? {
                    continue;
                }
                return Ok(Step::Nothing);
            };
            let Some(found) = cursor.find(self.expected)? else {
                if self.advance()? {
                    continue;
                }
                return Ok(Step::Nothing);
            };
            if let Some(offset) = found.damage {
                self.missing = Some((cursor.path.clone(), offset, Cause::Damaged));
            }
            if found.kind == Kind::Repeated {
                self.learn(&found);
                continue;
            }
            if found.seq > self.expected {
                return Ok(Step::Missing { to: found.seq - 1 });
            }
            cursor.pass(&found);
            self.missing = None;
            return Ok(Step::Entry(found));
        }
    }

    /// Takes note of a statement that is repeated for this segment.
    fn learn(&mut self, found: &Found) {
        let Some(cursor) = &mut self.cursor else { return };
        cursor.pass(found);
        let Some(frame) = cursor.frame(found) else { return };
        if let Some(Statement::Client { id, uid }) = statement::decode(frame.code, frame.body) {
            self.clients.insert(id, uid.to_owned());
        }
    }

    fn take_apart(&mut self, found: &Found) -> Result<Entry<'_>, ReadError> {
        let Reader { cursor: Some(cursor), expected, time, clients, last, .. } = self else {
            unreachable!("a frame was found in a segment");
        };
        let (seq, offset) = (found.seq, found.offset);
        *expected = seq.saturating_add(1);
        let Some(frame) = cursor.frame(found) else {
            unreachable!("a frame that was found is still in the window");
        };
        *time = frame.time;
        let Header { start_id, start_key, .. } = cursor.header;
        *last = Some((start_id, start_key, cursor.sum(found).unwrap_or(0)));
        let path = cursor.path.as_path();
        let what = if frame.kind == Kind::Record {
            let decoded = codec::decode(Fop(frame.code), frame.tag, frame.time, frame.body);
            What::Record(decoded.map_err(|source| ReadError::BadRecord {
                path: path.to_owned(),
                offset,
                seq,
                source,
            })?)
        } else {
            let statement = statement::decode(frame.code, frame.body).ok_or_else(|| {
                ReadError::BadStatement { path: path.to_owned(), offset, seq, code: frame.code }
            })?;
            match statement {
                Statement::Gap(Gap { to, .. }) | Statement::Void { to } => {
                    *expected = seq.max(to).saturating_add(1);
                }
                Statement::Start(_) => clients.clear(),
                Statement::Client { id, uid } => {
                    clients.insert(id, uid.to_owned());
                }
                _ => {}
            }
            What::Statement(statement)
        };
        Ok(Entry { seq, time: *time, what, place: Place { path, offset } })
    }

    /// A gap over the numbers up to `to`, found by the reader itself.
    fn gap(&mut self, to: u64) -> Entry<'_> {
        let seq = self.expected;
        self.expected = to.saturating_add(1);
        if let Some(Cursor { header: Header { start_id, start_key, .. }, .. }) = &self.cursor {
            self.last = Some((*start_id, *start_key, 0));
        }
        if self.missing.is_none()
            && let Some(cursor) = &self.cursor
        {
            self.missing = Some((cursor.path.clone(), cursor.offset, Cause::Damaged));
        }
        let (path, offset, cause) = match &self.missing {
            Some((path, offset, cause)) => (path.as_path(), *offset, *cause),
            None => (self.path.as_path(), 0, Cause::Damaged),
        };
        let what = What::Statement(Statement::Gap(Gap { to, cause, lost: None }));
        Entry { seq, time: self.time, what, place: Place { path, offset } }
    }

    /// Goes on with the next segment, or looks once more at this one because it is final now. False
    /// where there is nothing more to read for now.
    fn advance(&mut self) -> Result<bool, ReadError> {
        if !self.whole {
            return Ok(false);
        }
        // By their names, each of which is come to once, whatever its header says.
        let current = self.named;
        let segments = self.list()?;
        let mut later = segments.iter().filter(|first_seq| Some(**first_seq) > current).peekable();
        if later.peek().is_none() {
            self.check_afresh(&segments)?;
            return Ok(false);
        }
        // The writer is done with a segment before the next one appears: what it wrote last may have
        // come after this one was read to its end.
        if current.is_some() && !self.final_look {
            self.final_look = true;
            return Ok(true);
        }
        while let Some(first_seq) = later.next() {
            let path = segment::path(&self.path, *first_seq);
            match Cursor::open(&path) {
                Ok(cursor) => {
                    let epoch = self.cursor.as_ref().map(|old| old.header.epoch);
                    if epoch.is_some_and(|epoch| epoch != cursor.header.epoch) {
                        return Err(ReadError::StartedAfresh { path: self.path.clone() });
                    }
                    self.enter(cursor, Some(*first_seq));
                    return Ok(true);
                }
                // Trimmed since it was listed.
                Err(ReadError::NotFound { .. }) => {}
                // What it held is told as a gap when the one behind it is entered.
                Err(ReadError::DamagedHeader { .. }) if later.peek().is_some() => {
                    self.missing = Some((path, 0, Cause::Damaged));
                    if self.expected == 0 {
                        self.expected = *first_seq;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn enter(&mut self, cursor: Cursor, named: Option<u64>) {
        let first_seq = cursor.header.first_seq;
        if let Some(old) = &mut self.cursor
            && self.missing.is_none()
            && first_seq > self.expected
        {
            // A rest that is no frame is a damaged one; without it, a whole segment is gone.
            let cause =
                if old.has_rest().unwrap_or(true) { Cause::Damaged } else { Cause::Trimmed };
            self.missing = Some((old.path.clone(), old.offset, cause));
        }
        if self.expected == 0 {
            self.expected = first_seq;
        }
        self.final_look = false;
        // A segment repeats what is needed to read it alone.
        self.clients.clear();
        self.cursor = Some(cursor);
        self.named = named;
    }

    fn list(&self) -> Result<Vec<u64>, ReadError> {
        segment::numbers(&self.path).map_err(|error| ReadError::io(&self.path, 0, error))
    }

    /// A segment that was removed, with no later one but others, is one of another journal.
    fn check_afresh(&self, segments: &[u64]) -> Result<(), ReadError> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        let here = fs::metadata(&cursor.path).map(|metadata| metadata.ino()).ok();
        // It may also have been packed, or moved away with the whole epoch.
        let removed =
            cursor.bytes.file().metadata().is_ok_and(|metadata| Some(metadata.ino()) != here);
        let Some(first_seq) = segments.first().filter(|_| removed) else { return Ok(()) };
        let other = SegmentBytes::open(&segment::path(&self.path, *first_seq));
        if other.is_ok_and(|(_, _, other)| other.epoch != cursor.header.epoch) {
            return Err(ReadError::StartedAfresh { path: self.path.clone() });
        }
        Ok(())
    }
}
