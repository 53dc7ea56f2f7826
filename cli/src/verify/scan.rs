//! One segment, from its header to its last byte.
//!
//! The journal's own reader gives the entries, as `gnotify dump` sees them; the bytes beneath are gone
//! through beside it, so that each of them belongs to something.

mod tail;
mod told;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gnotify_journal::{Entry, Gap, Header, How, ReadError, Reader, Statement, What};
use gnotify_record::ClientId;

use super::bytes::{self, Bytes, low};
use super::chain::{Chain, Past};
use super::packed::Wrong;
use super::report::{Finding, Level, Report};
use crate::exit::Error;

/// What is known of a segment from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The number that its name says.
    pub(super) named: Option<u64>,
    /// Whether there is a later one, so that it does not change any more.
    pub(super) sealed: bool,
}

/// An entry, as far as it is of interest.
struct Item {
    seq: u64,
    time: Option<u64>,
    offset: u64,
    told: Told,
}

enum Told {
    Record(Option<ClientId>),
    Start {
        start_id: u64,
        previous: u64,
        how: How,
    },
    Stop,
    SliceEnd(u64),
    Gap(Gap),
    Void {
        to: u64,
    },
    Client(ClientId, Vec<u8>),
    ClientGone(ClientId),
    Trimmed {
        to: u64,
    },
    Unknown,
    Other,
    /// Its checksum is right, and what it holds cannot be read.
    Bad(&'static str, String),
}

impl Item {
    fn new(entry: &Entry<'_>) -> Item {
        let told = match &entry.what {
            What::Record(record) => Told::Record(record.client),
            What::Statement(statement) => match statement {
                Statement::Start(start) => Told::Start {
                    start_id: start.start_id,
                    previous: start.previous,
                    how: start.how,
                },
                Statement::Stop => Told::Stop,
                Statement::SliceEnd { slice } => Told::SliceEnd(*slice),
                Statement::Gap(gap) => Told::Gap(*gap),
                Statement::Void { to } => Told::Void { to: *to },
                Statement::Client { id, uid } => Told::Client(*id, uid.to_vec()),
                Statement::ClientGone { id } => Told::ClientGone(*id),
                Statement::Trimmed { to, .. } => Told::Trimmed { to: *to },
                Statement::Unknown(_) => Told::Unknown,
                _ => Told::Other,
            },
        };
        Item { seq: entry.seq, time: Some(entry.time), offset: entry.place.offset, told }
    }
}

/// Bytes that are no entries; where they end is seen when the next entry is found.
struct Pending {
    offset: u64,
    entries: (u64, u64),
    text: String,
}

/// Times that cannot be right.
#[derive(Default)]
struct Times {
    back: u64,
    back_at: u64,
    most: u64,
    odd: u64,
    odd_at: u64,
}

struct Scan<'a> {
    report: &'a mut Report,
    chain: &'a mut Chain,
    path: &'a Path,
    place: Place,
    header: Header,
    reader: Reader,
    bytes: Bytes,
    /// Up to where each byte belongs to something.
    at: u64,
    /// The lowest number that is not accounted for.
    expected: u64,
    pending: Option<Pending>,
    entered: bool,
    stopped: bool,
    repeated: BTreeMap<ClientId, Vec<u8>>,
    /// Records whose client is not named: the first, and how many.
    nameless: Option<(u64, u64)>,
    unknown: Option<(u64, u64)>,
    times: Times,
    now: u64,
}

/// Verifies a segment and adds it to `chain`.
pub(super) fn segment(
    report: &mut Report,
    chain: &mut Chain,
    path: &Path,
    place: Place,
) -> Result<(), Error> {
    let (reader, bytes) = match open(path) {
        // Packed between the two looks.
        Err(ReadError::NotFound { .. }) => open(path)?,
        opened => opened?,
    };
    let Some(header) = reader.segment().copied() else { return Ok(()) };
    let path = reader.segment_path().unwrap_or(path).to_owned();
    let path = path.as_path();
    // What a brick writes from now on is left to the next verification, or this one might never end.
    let end = bytes.len()?;
    report.totals.segments += 1;
    report.totals.bytes += bytes.file_len;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut scan = Scan {
        report,
        chain,
        path,
        place,
        header,
        reader,
        bytes,
        at: bytes::HEADER,
        expected: header.first_seq,
        pending: None,
        entered: false,
        stopped: false,
        repeated: BTreeMap::new(),
        nameless: None,
        unknown: None,
        times: Times::default(),
        now: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
    };
    scan.header()?;
    scan.blocks()?;
    let done = scan.entries(end);
    // What was read up to an error still holds for the next segment.
    scan.close(done.is_ok())?;
    done
}

/// Opens a segment for both readings of it.
fn open(path: &Path) -> Result<(Reader, Bytes), ReadError> {
    let reader = Reader::open_segment(path)?;
    let bytes = Bytes::open(reader.segment_path().unwrap_or(path))?;
    Ok((reader, bytes))
}

impl Scan<'_> {
    fn say(
        &mut self,
        level: Level,
        problem: &str,
        offset: Option<u64>,
        entries: Option<(u64, u64)>,
        text: impl Into<String>,
    ) -> Result<(), Error> {
        let (path, text) = (self.path, text.into());
        Ok(self.report.find(&Finding { level, problem, path, offset, entries, text })?)
    }

    fn damage(
        &mut self,
        problem: &str,
        offset: u64,
        entries: impl Into<Option<u64>>,
        text: impl Into<String>,
    ) -> Result<(), Error> {
        let entries = entries.into().map(|seq| (seq, seq));
        self.say(Level::Damage, problem, Some(offset), entries, text)
    }

    /// The header beside the name, and beside the segment before.
    fn header(&mut self) -> Result<(), Error> {
        let Header { epoch, start_id, first_seq, created, .. } = self.header;
        if let Some(named) = self.place.named.filter(|named| *named != first_seq) {
            self.chain.break_off();
            let text = format!("named after entry {named}, but its header begins with {first_seq}");
            return self.damage("name", 0, None, text);
        }
        let Some(last) = &self.chain.last else {
            return Ok(());
        };
        let Past { next, created: earlier, .. } = *last;
        if last.epoch != epoch {
            self.chain.break_off();
            let text = "it belongs to another journal than the segment before: another epoch";
            return self.damage("epoch", 0, None, text);
        }
        if start_id < last.start_id {
            let text = format!("of start {start_id}, behind a segment of start {}", last.start_id);
            self.damage("start", 0, None, text)?;
        } else if (start_id == last.start_id) != (self.bytes.salt == last.salt) {
            let text = if start_id == last.start_id {
                "another salt than that of the segment before, of the same start"
            } else {
                "the salt of the start before"
            };
            self.damage("salt", 0, None, text)?;
        }
        if created < earlier {
            let text = "made before the segment before it: the clock was set back";
            self.say(Level::Note, "time", None, None, text)?;
        }
        if first_seq > next {
            self.chain.lose();
            let text = "in no segment: what held them is gone or damaged";
            self.say(Level::Damage, "missing", None, Some((next, first_seq - 1)), text)?;
        } else if first_seq < next {
            let text = "also in the segment before";
            self.say(Level::Damage, "overlap", None, Some((first_seq, next - 1)), text)?;
        }
        Ok(())
    }

    /// What is wrong with the blocks of a packed segment.
    fn blocks(&mut self) -> Result<(), Error> {
        for Wrong { at, text } in std::mem::take(&mut self.bytes.wrong) {
            self.damage("block", at, None, text)?;
        }
        Ok(())
    }

    fn entries(&mut self, end: u64) -> Result<(), Error> {
        while let Some(item) = self.next()? {
            if item.offset >= end {
                return Ok(());
            }
            self.entry(item)?;
        }
        self.tail()
    }

    fn next(&mut self) -> Result<Option<Item>, Error> {
        let (seq, offset, told) = match self.reader.next() {
            Ok(entry) => return Ok(entry.as_ref().map(Item::new)),
            Err(ReadError::BadRecord { seq, offset, source, .. }) => {
                (seq, offset, Told::Bad("record", source.to_string()))
            }
            Err(ReadError::BadStatement { seq, offset, code, .. }) => {
                (seq, offset, Told::Bad("statement", format!("statement {code} is too short")))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Item { seq, time: None, offset, told }))
    }

    fn entry(&mut self, item: Item) -> Result<(), Error> {
        let Item { seq, offset, .. } = item;
        if let Told::Gap(Gap { to, .. }) = item.told
            && !self.is_announced(offset, seq)?
        {
            return self.missing(offset, seq, to);
        }
        match self.pending.take() {
            Some(pending) => self.settle(pending, offset)?,
            None => self.between(offset)?,
        }
        if !std::mem::replace(&mut self.entered, true) {
            self.compare_repeated()?;
            self.begin(&item)?;
        }
        let Some((head, filled)) = self.bytes.head(offset)? else {
            // The reader found one here.
            return self.damage("changed", offset, seq, "the segment changes while it is read");
        };
        if !filled {
            self.damage("filling", offset, seq, "the filling behind it is not zeros")?;
        }
        if head.kind == bytes::STATEMENT && head.tag != 0 {
            self.damage("statement", offset, seq, "a statement with a tag")?;
        }
        self.at = offset + head.padded() as u64;
        match head.kind {
            bytes::RECORD => self.report.totals.records += 1,
            _ => self.report.totals.statements += 1,
        }
        if let Some(time) = item.time {
            self.time(seq, time);
        }
        self.stopped = matches!(item.told, Told::Stop);
        let last = self.told(item)?;
        self.report.totals.account(seq, last);
        self.expected = last.saturating_add(1);
        Ok(())
    }

    /// Whether the GAP at `offset` is written there, or the reader's own.
    fn is_announced(&mut self, offset: u64, seq: u64) -> Result<bool, Error> {
        let frame = self.bytes.frame(offset)?;
        Ok(frame.is_ok_and(|frame| {
            let head = frame.head;
            head.kind == bytes::STATEMENT && head.code == bytes::GAP && head.low_seq == low(seq)
        }))
    }

    /// The reader found no entry with the numbers `from` to `to`, from `offset` on.
    fn missing(&mut self, offset: u64, from: u64, to: u64) -> Result<(), Error> {
        self.between(offset)?;
        self.at = offset;
        self.expected = to.saturating_add(1);
        self.stopped = false;
        self.chain.lose();
        match self.bytes.frame(offset)?.err() {
            None => {
                let text = "no entry and no statement accounts for these numbers, though no bytes \
                            are damaged";
                self.say(Level::Damage, "sequence", Some(offset), Some((from, to)), text)
            }
            Some(broken) => {
                let text = broken.text().to_owned();
                self.pending = Some(Pending { offset, entries: (from, to), text });
                Ok(())
            }
        }
    }

    fn settle(&mut self, pending: Pending, found: u64) -> Result<(), Error> {
        let Pending { offset, entries, text } = pending;
        self.at = found;
        let text = format!("{text}; {} bytes are lost", found - offset);
        self.say(Level::Damage, "bytes", Some(offset), Some(entries), text)
    }

    /// Looks at what the reader passed over without a word, up to `to`.
    fn between(&mut self, to: u64) -> Result<(), Error> {
        while self.at < to {
            let at = self.at;
            let broken = match self.bytes.frame(at)? {
                Ok(frame) => {
                    self.at += frame.head.padded() as u64;
                    if frame.head.kind == bytes::REPEATED {
                        let client = frame.client();
                        let client = client.map(|(id, uid)| (ClientId(id), uid.to_vec()));
                        let (head, filled) = (frame.head, frame.filled);
                        self.repeat(at, &head, filled, client)?;
                    } else {
                        self.damage(
                            "sequence",
                            at,
                            None,
                            "an entry whose number was there before",
                        )?;
                    }
                    continue;
                }
                Err(broken) => broken,
            };
            self.at = to;
            let text = format!("{}; {} bytes are lost, but no entry", broken.text(), to - at);
            self.chain.lose();
            return self.damage("bytes", at, None, text);
        }
        Ok(())
    }

    /// A statement that is repeated for this segment.
    fn repeat(
        &mut self,
        at: u64,
        head: &bytes::Head,
        filled: bool,
        client: Option<(ClientId, Vec<u8>)>,
    ) -> Result<(), Error> {
        self.report.totals.repeated += 1;
        if !filled {
            self.damage("filling", at, None, "the filling behind it is not zeros")?;
        }
        if self.entered {
            let text = "a repeated statement behind the segment's first entry";
            self.damage("repeated", at, None, text)?;
        }
        if head.low_seq != low(self.header.first_seq) {
            let text = "a repeated statement that does not carry the segment's first number";
            self.damage("repeated", at, None, text)?;
        }
        match client {
            Some((id, uid)) => {
                self.repeated.insert(id, uid);
                Ok(())
            }
            None => self.damage("repeated", at, None, "a repeated statement that names no client"),
        }
    }

    /// The clients that the segment repeats beside those that are known to be connected.
    fn compare_repeated(&mut self) -> Result<(), Error> {
        let start_id = self.header.start_id;
        let goes_on = self.chain.last.as_ref().is_some_and(|last| last.start_id == start_id);
        let mut wrong = Vec::new();
        if goes_on && self.chain.complete {
            for (id, known) in self.chain.clients.iter().filter(|(_, known)| !known.gone) {
                match self.repeated.get(id) {
                    None => wrong.push(format!("client {} is connected, but not repeated", id.0)),
                    Some(uid) if *uid != known.uid => {
                        wrong.push(format!("client {} is repeated under another name", id.0));
                    }
                    Some(_) => {}
                }
            }
            for id in self.repeated.keys() {
                match self.chain.clients.get(id) {
                    None => wrong.push(format!("client {} is repeated, but was not named", id.0)),
                    Some(known) if known.gone => {
                        wrong.push(format!("client {} is repeated, but has gone", id.0));
                    }
                    Some(_) => {}
                }
            }
        }
        if !goes_on {
            self.chain.clients.clear();
            self.chain.slice = 0;
            self.chain.complete = false;
        }
        for (id, uid) in &self.repeated {
            self.chain.name(*id, uid.clone());
        }
        for text in wrong {
            self.damage("repeated", bytes::HEADER, None, text)?;
        }
        Ok(())
    }

    /// Notes about the segment as a whole, and what the next one has to go on with.
    fn close(&mut self, complete: bool) -> Result<(), Error> {
        if let Some((first, number)) = self.nameless {
            let text = format!(
                "a record of a client that nothing before it names, {number} in this segment: what \
                 named it is not here"
            );
            self.say(Level::Note, "client", None, Some((first, first)), text)?;
        }
        if let Some((first, number)) = self.unknown {
            let text = format!("a statement of a later version, {number} in this segment");
            self.say(Level::Note, "unknown", None, Some((first, first)), text)?;
        }
        let Times { back, back_at, most, odd, odd_at } = self.times;
        if back > 0 {
            let text = format!(
                "the time goes back, {back} times in this segment, by up to {} seconds: the clock \
                 was set back",
                most / 1_000_000_000
            );
            self.say(Level::Note, "time", None, Some((back_at, back_at)), text)?;
        }
        if odd > 0 {
            let text = format!("no time, or one in the future, {odd} in this segment");
            self.say(Level::Note, "time", None, Some((odd_at, odd_at)), text)?;
        }
        if !complete {
            self.chain.lose();
        }
        let misnamed = self.place.named.is_some_and(|named| named != self.header.first_seq);
        let Header { epoch, start_id, created, .. } = self.header;
        let past = Past {
            epoch,
            start_id,
            salt: self.bytes.salt,
            created,
            next: self.expected,
            stopped: self.stopped,
        };
        self.chain.last = (!misnamed).then_some(past);
        Ok(())
    }
}
