//! The steps of the export. Each can fail, and be repeated later: nothing is read from the journal before what was read
//! is written.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use gnotify_bindings::log::Level;
use gnotify_changelog::export::Exporter;
use gnotify_changelog::layout::Layout;
use gnotify_changelog::storage::Disk;
use gnotify_changelog::writer::{self, Since, Slice, Started, Writer};
use gnotify_changelog::{codec, retention};
use gnotify_journal::{Cause, Gap, ReadError, Reader, Resume, Statement, What};
use gnotify_record::Class;

use super::place::Place;
use super::settle::settle;
use super::{Beginning, Settings};
use crate::injected;

/// Bytes that are written at once.
const BATCH: usize = 256 << 10;

/// Between two looks through the slices for what is not kept: all days are listed for it.
const TRIM_PAUSE: Duration = Duration::from_secs(20);

/// Why a step failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The changelog cannot be written.
    Write { dir: PathBuf, source: io::Error },
    /// The journal cannot be read.
    Read(ReadError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Write { dir, source } => {
                write!(f, "cannot write {}: {source}: make room, or repair the disk", dir.display())
            }
            Failure::Read(error) => error.fmt(f),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        Failure::Read(error)
    }
}

/// What follows when what was read is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The journal's slice ends with the entry of this number.
    EndSlice(u64),
    /// The time of a slice is up, and it is empty.
    EndEmpty,
    /// Changes may be missing from here on.
    Break,
}

/// The export, from one step to the next.
pub(super) struct Exporting {
    beginning: Beginning,
    settings: Settings,
    /// Settings that need another writer: they hold from the next slice on.
    coming: Option<Settings>,
    /// How the writer is to begin.
    since: Since,
    writer: Option<Writer<Disk>>,
    source: Option<Source>,
    /// Records that were read and are not written yet.
    pending: Vec<u8>,
    then: Option<Then>,
    /// The index is new, and nothing stands in it: it does not have to be broken off.
    untouched: bool,
    /// Recording is switched off, as far as the journal was read.
    off: bool,
    /// The journal's slice may have begun ahead of the index: what it leaves out as a repetition may have its record
    /// where nobody looks. So the index ends with that slice.
    unsure: bool,
    /// When the running slice began.
    began: Instant,
    /// When the slices were last looked through for what is not kept.
    trimmed: Option<Instant>,
    /// The journal was asked to end the slice.
    asked: bool,
    wanted: Option<u64>,
    finished: Option<u64>,
    slices: u64,
}

/// Where changes come from.
struct Source {
    reader: Reader,
    exporter: Exporter,
    /// Where the journal's slice began: `passed` counts what is in finished slices.
    place: Place,
    /// Changes that came since.
    made: u64,
    /// So many of them are written already.
    written: u64,
    /// The number behind the last entry that was read.
    next_seq: u64,
}

impl Source {
    fn new(reader: Reader, place: Place, written: u64) -> Source {
        let exporter = Exporter::new(place.scope);
        Source { reader, exporter, place, made: 0, written, next_seq: place.from }
    }

    /// A slice begins here, in which nothing is a repetition yet.
    fn begin_slice(&mut self, scope: gnotify_changelog::rules::Scope) {
        let cursor = self.reader.cursor().unwrap_or(self.place.cursor);
        let from = cursor.seq.max(self.place.from);
        self.place = Place { cursor, from, passed: 0, scope };
        self.exporter = Exporter::new(scope);
        (self.made, self.written) = (0, 0);
    }
}

impl Exporting {
    pub(super) fn new(beginning: Beginning, settings: Settings) -> Exporting {
        let (since, unsure) = (beginning.since, beginning.unsure);
        if unsure {
            beginning.journal.end_slice();
        }
        Exporting {
            beginning,
            settings,
            coming: None,
            since,
            writer: None,
            source: None,
            pending: Vec::new(),
            then: None,
            untouched: false,
            off: false,
            unsure,
            began: Instant::now(),
            trimmed: None,
            asked: false,
            wanted: None,
            finished: None,
            slices: 0,
        }
    }

    /// Takes over what is asked now.
    pub(super) fn set(&mut self, settings: Settings, wanted: Option<u64>) {
        if wanted.is_some() && wanted != self.wanted {
            // Asked for from here on: an end that was asked for ahead of this would be passed over unnoticed.
            self.beginning.journal.end_slice();
        }
        self.wanted = wanted;
        self.settings.rollover = settings.rollover;
        self.settings.retention = settings.retention;
        self.settings.scope = settings.scope;
        let other =
            settings.dir != self.settings.dir || settings.encoding != self.settings.encoding;
        if other && self.coming.as_ref() != Some(&settings) {
            // The journal's slice has to end first.
            self.beginning.journal.end_slice();
        }
        self.coming = other.then_some(settings);
    }

    /// Does a part of what there is to do. False: that was all. Who calls again sees to it that nothing waits for an end
    /// of the load.
    pub(super) fn run(&mut self) -> Result<bool, Failure> {
        if self.writer.is_none() {
            self.begin()?;
        }
        // What is left of a step that failed comes first.
        self.write()?;
        let more = self.read()?;
        self.write()?;
        if self.began.elapsed() >= self.settings.rollover {
            let live = self.writer.as_ref().map_or(0, Writer::live_len);
            if live == 0 {
                self.then = Some(Then::EndEmpty);
                self.write()?;
            } else if !self.asked {
                self.asked = true;
                self.beginning.journal.end_slice();
            }
        }
        Ok(more)
    }

    /// Finishes the last slice: the changelog is switched off.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if let Some(writer) = &mut self.writer {
            let rolled = writer.stop(now()).map_err(|error| unwritable(&self.settings, error))?;
            self.tell(rolled.path.as_deref());
            self.writer = None;
        }
        Ok(())
    }

    /// How long nothing is to be done, unless something is appended to the journal.
    pub(super) fn idle(&self) -> Duration {
        let left = self.settings.rollover.saturating_sub(self.began.elapsed());
        // Asked already: the journal says when.
        if left.is_zero() { Duration::from_secs(1) } else { left }
    }

    /// The number of the next entry, how many slices with records were finished, bytes of the live one.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let next_seq = self.source.as_ref().map_or(0, |source| source.next_seq);
        (next_seq, self.slices, self.writer.as_ref().map_or(0, Writer::live_len))
    }

    /// A slice was finished since the last time it was asked: all entries below this number are in it or before.
    pub(super) fn finished_below(&mut self) -> Option<u64> {
        self.finished.take()
    }

    /// Takes the changelog's directory over.
    fn begin(&mut self) -> Result<(), Failure> {
        let settings = writer::Settings {
            dir: self.settings.dir.clone(),
            encoding: self.settings.encoding,
            // What a power loss takes is made again from the journal.
            sync: false,
        };
        let (mut writer, started) = Writer::start(Disk, settings, now(), self.since)
            .map_err(|error| unwritable(&self.settings, error))?;
        for repair in &started.repairs {
            (self.beginning.log)(Level::Warning, &format!("changelog: {repair}"));
        }
        for path in &started.indexed {
            self.tell(Some(path));
        }
        if self.source.is_none() {
            let Some(source) = self.source_behind(&started)? else {
                // The slices cannot be gone on with.
                drop(writer);
                self.since = Since::Broken;
                return self.begin();
            };
            self.source = Some(source);
        }
        self.untouched = self.since == Since::Broken;
        self.since = Since::Continued;
        (self.began, self.asked) = (Instant::now(), false);
        if let Some(source) = &self.source
            && writer.live_len() == 0
        {
            let place = Place { passed: source.written, ..source.place };
            writer
                .set_cursor(place.encode().as_bytes())
                .map_err(|error| unwritable(&self.settings, error))?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// The journal behind what is in the slices; `None` where they do not fit together.
    fn source_behind(&self, started: &Started) -> Result<Option<Source>, Failure> {
        let Beginning { journal_dir, journal, from, .. } = &self.beginning;
        let fresh = || -> Result<Option<Source>, Failure> {
            let reader = Reader::open_at(journal_dir, from.0)?;
            let Some(cursor) = reader.cursor() else {
                unreachable!("the reader is in a segment");
            };
            let place = Place { cursor, from: from.1, passed: 0, scope: self.settings.scope };
            Ok(Some(Source::new(reader, place, 0)))
        };
        if self.since == Since::Broken {
            return fresh();
        }
        let Some(Slice { cursor: Some(text), ts, .. }) = &started.newest else {
            // Stock's slices, or none. An index of gnotify's that is empty tells nothing of what came before.
            let goes_on = started.newest.is_some() || journal.stats().start_id == 1;
            return if goes_on { fresh() } else { Ok(None) };
        };
        let Some(place) = Place::decode(text) else { return Ok(None) };
        let (reader, resume) = Reader::resume(journal_dir, &place.cursor)?;
        if resume != Resume::Continued {
            let text = "changelog: the journal does not go on where the newest slice ends: a new index begins";
            (self.beginning.log)(Level::Warning, text);
            return Ok(None);
        }
        let layout = Layout::new(&self.settings.dir);
        let path = ts.map_or_else(|| layout.live(), |ts| layout.slice(ts));
        let there = match count(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let text = format!("changelog: {}: {error}: a new index begins", path.display());
                (self.beginning.log)(Level::Warning, &text);
                return Ok(None);
            }
            Err(error) => return Err(unwritable(&self.settings, error)),
        };
        Ok(Some(Source::new(reader, place, place.passed + there)))
    }

    /// Reads until there is a batch, or something to do behind it. False: there was nothing.
    fn read(&mut self) -> Result<bool, Failure> {
        let (Some(source), Some(writer)) = (&mut self.source, &self.writer) else {
            return Ok(false);
        };
        let encoding = writer.encoding();
        while self.then.is_none() && self.pending.len() < BATCH {
            let entry = match source.reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                // One entry that cannot be understood; the next call goes on behind it.
                Err(error @ (ReadError::BadRecord { .. } | ReadError::BadStatement { .. })) => {
                    (self.beginning.log)(Level::Error, &format!("changelog: {error}"));
                    (self.then, self.unsure) = (Some(Then::Break), true);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let seq = entry.seq;
            let counts = seq >= source.place.from;
            source.next_seq = seq + 1;
            match entry.what {
                _ if !counts => {}
                What::Record(record) => {
                    injected::panic_on(injected::EXPORT, &record);
                    let is_name = record.fop.class() == Some(Class::Entry);
                    let settled = if record.uncertain && is_name {
                        settle(&record, &self.beginning.brick)
                    } else {
                        Ok(Some(record))
                    };
                    match settled {
                        Ok(Some(record)) => {
                            let Source { exporter, made, written, .. } = source;
                            let mut changes = Vec::new();
                            exporter.record(&record, &mut changes);
                            for change in &changes {
                                *made += 1;
                                if made > written {
                                    codec::encode(change, encoding, &mut self.pending);
                                }
                            }
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let text = format!("changelog: a look at the brick failed: {error}");
                            (self.beginning.log)(Level::Error, &text);
                            (self.then, self.unsure) = (Some(Then::Break), true);
                        }
                    }
                }
                What::Statement(Statement::Off) => self.off = true,
                // A start may take up the recording that was switched off before.
                What::Statement(Statement::Start(_)) if !self.off => {
                    self.then = Some(Then::EndSlice(seq));
                }
                What::Statement(Statement::SliceEnd { .. }) => {
                    self.then = Some(Then::EndSlice(seq));
                }
                What::Statement(
                    what @ (Statement::Gap(_) | Statement::On | Statement::Start(_)),
                ) => {
                    // These a reader says, and not the journal, which begins a slice with those that it says itself.
                    self.unsure |= matches!(
                        what,
                        Statement::Gap(Gap { cause: Cause::Damaged | Cause::Trimmed, .. })
                    );
                    self.off = false;
                    self.then = Some(Then::Break);
                }
                What::Statement(_) => {}
            }
        }
        Ok(!self.pending.is_empty() || self.then.is_some())
    }

    /// Writes what was read, and does what follows.
    fn write(&mut self) -> Result<(), Failure> {
        if !self.pending.is_empty()
            && let Some(writer) = &mut self.writer
        {
            writer
                .append_encoded(&self.pending)
                .map_err(|error| unwritable(&self.settings, error))?;
            self.pending.clear();
            self.untouched = false;
        }
        match self.then {
            None => return Ok(()),
            Some(Then::EndSlice(seq)) if self.unsure => {
                // From here on the journal leaves out nothing of which the next index has no record.
                self.unsure = false;
                if let Err(failure) = self.break_off() {
                    self.unsure = true;
                    return Err(failure);
                }
                self.finished = Some(seq);
            }
            Some(Then::EndSlice(seq)) => self.end_slice(seq)?,
            Some(Then::EndEmpty) => self.end_empty()?,
            Some(Then::Break) => self.break_off()?,
        }
        self.then = None;
        Ok(())
    }

    /// The journal's slice has ended with the entry `seq`.
    fn end_slice(&mut self, seq: u64) -> Result<(), Failure> {
        let wanted = self.wanted.is_some_and(|wanted| wanted <= seq);
        if self.wanted.is_some() && !wanted {
            // That one came before.
            self.beginning.journal.end_slice();
        }
        let live = self.writer.as_ref().map(Writer::live_len);
        let rolling = self.writer.as_ref().is_some_and(Writer::is_rolling);
        if let (Some(source), Some(_)) = (&mut self.source, live) {
            source.begin_slice(self.settings.scope);
        }
        match live {
            // A step of the last try failed.
            None => self.begin()?,
            Some(_) if self.coming.is_some() => {
                self.finish()?;
                if let Some(coming) = self.coming.take() {
                    if coming.dir != self.settings.dir {
                        // What the other directory has, if it has something, ended another day.
                        self.since = Since::Broken;
                    }
                    self.settings = coming;
                }
                self.begin()?;
            }
            Some(live) if live > 0 || wanted || rolling => self.roll()?,
            Some(_) => self.note_place()?,
        }
        self.finished = Some(seq);
        Ok(())
    }

    /// The time of an empty slice is up.
    fn end_empty(&mut self) -> Result<(), Failure> {
        if let Some(source) = self.source.as_mut().filter(|source| source.made == 0) {
            source.begin_slice(self.settings.scope);
        }
        self.roll()
    }

    /// Ends the slice and begins another.
    fn roll(&mut self) -> Result<(), Failure> {
        use io::ErrorKind::{InvalidData, NotFound};
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let rolled = match writer.roll(now()) {
            Err(error) if matches!(error.kind(), NotFound | InvalidData) => {
                let what = if error.kind() == NotFound {
                    "somebody has removed files of it"
                } else {
                    "an fsync of the live slice failed, and a part of it is lost"
                };
                (self.beginning.log)(Level::Warning, &format!("changelog: {what}: {error}"));
                self.untouched = false;
                return self.break_off();
            }
            rolled => rolled.map_err(|error| unwritable(&self.settings, error))?,
        };
        self.began = Instant::now();
        (self.asked, self.untouched) = (false, false);
        self.tell(rolled.path.as_deref());
        self.note_place()?;
        self.trim();
        Ok(())
    }

    /// Notes on the live slice, which is empty, where it begins.
    fn note_place(&mut self) -> Result<(), Failure> {
        let (Some(writer), Some(source)) = (&mut self.writer, &self.source) else { return Ok(()) };
        let place = Place { passed: source.made, ..source.place };
        writer
            .set_cursor(place.encode().as_bytes())
            .map_err(|error| unwritable(&self.settings, error))
    }

    /// Ends the index, because changes may be missing, and begins another.
    fn break_off(&mut self) -> Result<(), Failure> {
        if self.unsure {
            self.beginning.journal.end_slice();
        }
        if self.untouched && self.writer.is_some() {
            if let Some(source) = &mut self.source {
                source.begin_slice(self.settings.scope);
            }
            return self.note_place();
        }
        self.writer = None;
        self.since = Since::Broken;
        if let Some(source) = &mut self.source {
            source.begin_slice(self.settings.scope);
        }
        let text = "changelog: changes may be missing in the journal: a new index begins";
        (self.beginning.log)(Level::Warning, text);
        self.begin()
    }

    fn trim(&mut self) {
        let limits = self.settings.retention;
        let Some(writer) = &mut self.writer else { return };
        let is_due = self.trimmed.is_none_or(|last| last.elapsed() >= TRIM_PAUSE);
        if limits == retention::Limits::default() || !is_due {
            return;
        }
        self.trimmed = Some(Instant::now());
        if let Err(error) = retention::trim(writer, limits, now()) {
            let text = format!("changelog: slices that are due cannot be removed: {error}");
            (self.beginning.log)(Level::Warning, &text);
        }
    }

    /// Says that a slice is finished; an empty one is none.
    fn tell(&mut self, slice: Option<&Path>) {
        if let Some(path) = slice {
            self.slices += 1;
            (self.beginning.finished)(path);
        }
    }
}

/// How many records a slice has. [`io::ErrorKind::InvalidData`] where it is damaged.
fn count(path: &Path) -> io::Result<u64> {
    let mut reader = match codec::Reader::new(BufReader::new(File::open(path)?)) {
        Ok(reader) => reader,
        Err(error) if error.is_truncation() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut count = 0;
    loop {
        match reader.next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => return Ok(count),
            Err(error) if error.is_truncation() => return Ok(count),
            Err(error) => return Err(error.into()),
        }
    }
}

fn unwritable(settings: &Settings, source: io::Error) -> Failure {
    Failure::Write { dir: settings.dir.clone(), source }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
