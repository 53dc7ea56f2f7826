//! What an entry says, beside what the entries and segments before it said.

use gnotify_journal::{Gap, Header, How};
use gnotify_record::ClientId;

use super::{Item, Scan, Times, Told};
use crate::exit::Error;
use crate::verify::report::Level;

/// Entries are stamped before they are numbered, by several threads: only more than this is a clock that
/// was set back, in nanoseconds.
const JITTER: u64 = 1_000_000_000;
/// How far ahead of this machine's clock a time may be.
const AHEAD: u64 = 86_400_000_000_000;

impl Scan<'_> {
    /// The first entry of the segment.
    pub(super) fn begin(&mut self, item: &Item) -> Result<(), Error> {
        let Header { start_id, first_seq, .. } = self.header;
        let is_new = self
            .chain
            .last
            .as_ref()
            .is_some_and(|last| last.start_id != start_id && last.next == first_seq);
        let told = matches!(item.told, Told::Start { .. } | Told::Gap(_) | Told::Bad(..));
        if is_new && item.seq == first_seq && !told {
            let text = format!("start {start_id} begins without a START");
            return self.damage("start", item.offset, item.seq, text);
        }
        Ok(())
    }

    /// Looks at what an entry says, and gives the last number that it accounts for.
    pub(super) fn told(&mut self, item: Item) -> Result<u64, Error> {
        let Item { seq, offset, .. } = item;
        match item.told {
            Told::Record(client) => {
                if let Some(id) = client {
                    self.client_of(seq, offset, id)?;
                }
            }
            Told::Start { start_id, previous, how } => {
                self.start(seq, offset, start_id, previous, how)?;
            }
            Told::SliceEnd(slice) => {
                if slice <= self.chain.slice {
                    let text =
                        format!("the end of slice {slice} behind that of {}", self.chain.slice);
                    self.damage("slice", offset, seq, text)?;
                }
                self.chain.slice = slice;
            }
            Told::Gap(gap) => return self.gap(seq, offset, gap),
            Told::Void { to } => {
                self.report.totals.voids += 1;
                self.chain.lose();
                if to < seq {
                    self.damage("statement", offset, seq, format!("a VOID that ends at {to}"))?;
                    return Ok(seq);
                }
                let text = "begun when the brick was killed, never answered";
                self.say(Level::Gap, "void", Some(offset), Some((seq, to)), text)?;
                return Ok(to);
            }
            Told::Client(id, uid) => {
                let known = self.chain.clients.get(&id);
                if self.chain.complete && known.is_some_and(|known| !known.gone && known.uid != uid)
                {
                    let text = format!("client {} is connected under another name", id.0);
                    self.damage("client", offset, seq, text)?;
                }
                self.chain.name(id, uid);
            }
            Told::ClientGone(id) => match self.chain.clients.get_mut(&id) {
                Some(known) => known.gone = true,
                None if self.chain.complete => {
                    let text = format!("client {} has gone, but was not named", id.0);
                    self.damage("client", offset, seq, text)?;
                }
                None => {}
            },
            Told::Trimmed { to } => {
                if to >= seq {
                    let text = format!("a TRIMMED up to {to}, which is not behind it");
                    self.damage("statement", offset, seq, text)?;
                }
                self.chain.trimmed = self.chain.trimmed.max(to);
            }
            Told::Unknown => count(&mut self.unknown, seq),
            Told::Stop | Told::Other => {}
            Told::Bad(problem, text) => {
                let text = format!("{text}; its checksum is right, so please report this as a bug");
                self.damage(problem, offset, seq, text)?;
                self.chain.lose();
            }
        }
        Ok(seq)
    }

    fn client_of(&mut self, seq: u64, offset: u64, id: ClientId) -> Result<(), Error> {
        // Of a client that has gone, records may still come, in a later segment too.
        if self.reader.client(id).is_some() || self.chain.clients.contains_key(&id) {
            return Ok(());
        }
        if self.chain.complete {
            let text = format!("a record of client {}, which no statement before it names", id.0);
            return self.damage("client", offset, seq, text);
        }
        count(&mut self.nameless, seq);
        Ok(())
    }

    fn start(
        &mut self,
        seq: u64,
        offset: u64,
        start_id: u64,
        previous: u64,
        how: How,
    ) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if seq != self.header.first_seq {
            wrong.push("a START that is not the first entry of its segment".to_owned());
        }
        if start_id != self.header.start_id {
            let of = self.header.start_id;
            wrong.push(format!("START {start_id} in a segment of start {of}"));
        }
        if how == How::First && (seq != 1 || previous != 0) {
            wrong.push("a first START that is not the first entry".to_owned());
        }
        if let Some(last) = self.chain.last.as_ref().filter(|last| last.next == seq) {
            if previous != last.start_id {
                let was = last.start_id;
                wrong.push(format!("START says that {previous} was before, but {was} was"));
            }
            if how == How::Clean && !last.stopped {
                wrong.push(
                    "START says that the one before ended clean, but it has no STOP".to_owned(),
                );
            }
        }
        self.chain.start();
        for text in wrong {
            self.damage("start", offset, seq, text)?;
        }
        Ok(())
    }

    /// A gap that the journal tells of itself.
    fn gap(&mut self, seq: u64, offset: u64, gap: Gap) -> Result<u64, Error> {
        self.report.totals.gaps += 1;
        self.chain.lose();
        if gap.to < seq || gap.lost.is_some_and(|lost| lost > gap.to - seq + 1) {
            let text = format!("a GAP of {} entries up to {}", gap.lost.unwrap_or(0), gap.to);
            self.damage("statement", offset, seq, text)?;
            return Ok(seq.max(gap.to));
        }
        let cause = gap.cause.to_string();
        let text = match gap.lost {
            Some(lost) => format!("{cause}, {lost} lost"),
            None => cause.clone(),
        };
        self.say(Level::Gap, &cause, Some(offset), Some((seq, gap.to)), text)?;
        Ok(gap.to)
    }

    pub(super) fn time(&mut self, seq: u64, time: u64) {
        let Times { back, back_at, most, odd, odd_at } = &mut self.times;
        let before = std::mem::replace(&mut self.chain.time, time);
        if time.saturating_add(JITTER) < before {
            if *back == 0 {
                *back_at = seq;
            }
            *back += 1;
            *most = (*most).max(before - time);
        }
        if time == 0 || time > self.now.saturating_add(AHEAD) {
            if *odd == 0 {
                *odd_at = seq;
            }
            *odd += 1;
        }
    }
}

fn count(seen: &mut Option<(u64, u64)>, seq: u64) {
    let (first, number) = seen.unwrap_or((seq, 0));
    *seen = Some((first, number + 1));
}
