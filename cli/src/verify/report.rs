//! What is found, a line each, and the line that sums it up.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::escape;
use crate::json;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The journal is not what was written, or contradicts itself.
    Damage,
    /// The journal itself says that something is missing.
    Gap,
    /// Good to know.
    Note,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Damage => "damage",
            Level::Gap => "gap",
            Level::Note => "note",
        }
    }
}

/// One finding.
#[derive(Debug)]
pub(super) struct Finding<'a> {
    pub(super) level: Level,
    /// A word for programs; the manual lists them.
    pub(super) problem: &'a str,
    /// The segment, or the directory.
    pub(super) path: &'a Path,
    pub(super) offset: Option<u64>,
    /// The first and the last entry that it is about.
    pub(super) entries: Option<(u64, u64)>,
    pub(super) text: String,
}

/// The figures of one brick or segment.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) segments: u64,
    pub(super) records: u64,
    pub(super) statements: u64,
    pub(super) repeated: u64,
    pub(super) gaps: u64,
    pub(super) voids: u64,
    pub(super) bytes: u64,
    pub(super) damage: u64,
    pub(super) notes: u64,
    /// The first and the last number that is accounted for.
    pub(super) numbers: Option<(u64, u64)>,
}

impl Totals {
    pub(super) fn account(&mut self, from: u64, to: u64) {
        let (first, last) = self.numbers.unwrap_or((from, to));
        self.numbers = Some((first.min(from), last.max(to)));
    }
}

/// Where findings go.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    out: BufWriter<StdoutLock<'static>>,
    /// Whether anybody still reads it.
    heard: bool,
    pub(super) totals: Totals,
}

impl Report {
    pub(super) fn new(json: bool) -> Report {
        let out = BufWriter::new(io::stdout().lock());
        Report { json, out, heard: true, totals: Totals::default() }
    }

    pub(super) fn find(&mut self, finding: &Finding<'_>) -> io::Result<()> {
        match finding.level {
            Level::Damage => self.totals.damage += 1,
            Level::Gap => {}
            Level::Note => self.totals.notes += 1,
        }
        let line = if self.json { finding_json(finding) } else { finding_text(finding) };
        self.print(&line)
    }

    /// Prints what it all comes to, and begins anew. Whether there is no damage.
    pub(super) fn sum_up(&mut self, path: &Path, readable: bool) -> io::Result<bool> {
        let totals = std::mem::take(&mut self.totals);
        let line = if self.json {
            totals_json(&totals, path, readable)
        } else {
            totals_text(&totals, path, readable)
        };
        self.print(&line)?;
        self.flush()?;
        Ok(totals.damage == 0)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.unless_gone(done)
    }

    fn print(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.heard {
            return Ok(());
        }
        let done = self.out.write_all(line);
        self.unless_gone(done)
    }

    /// Where nobody reads the lines any more, the exit status still counts.
    fn unless_gone(&mut self, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.heard = false;
                Ok(())
            }
            done => done,
        }
    }
}

fn finding_text(finding: &Finding<'_>) -> Vec<u8> {
    let Finding { level, path, offset, entries, text, .. } = finding;
    let mut line = format!("{}: {}: ", level.name(), escape::path(path));
    if let Some(offset) = offset {
        line += &format!("byte {offset}: ");
    }
    match entries {
        Some((from, to)) if from == to => line += &format!("entry {from}: "),
        Some((from, to)) => line += &format!("entries {from} to {to}: "),
        None => {}
    }
    line += text;
    line.push('\n');
    line.into_bytes()
}

fn finding_json(finding: &Finding<'_>) -> Vec<u8> {
    json::line(|object| {
        object.put("level", finding.level.name());
        object.put("problem", finding.problem);
        object.bytes("path", Some(finding.path.as_os_str().as_bytes()));
        object.known("offset", finding.offset);
        object.known("seq", finding.entries.map(|(from, _)| from));
        object.known("to", finding.entries.map(|(_, to)| to));
        object.put("text", finding.text.as_str());
    })
}

/// A number of things; most are one or many by an s.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn verdict(totals: &Totals, readable: bool) -> &'static str {
    match (totals.damage, readable) {
        (0, true) => "whole",
        (0, false) => "not all of it could be read",
        _ => "damaged",
    }
}

fn totals_text(totals: &Totals, path: &Path, readable: bool) -> Vec<u8> {
    let Totals { segments, records, statements, repeated, gaps, voids, bytes, damage, .. } = totals;
    let mut line = format!("{}: {}", escape::path(path), verdict(totals, readable));
    if *damage > 0 {
        line += &format!(" in {}", count(*damage, "place", "places"));
    }
    line += &format!(": {}", count(*segments, "segment", "segments"));
    line += &format!(", {}", count(records + statements, "entry", "entries"));
    if let Some((first, last)) = totals.numbers {
        line += &format!(" with the numbers {first} to {last}");
    }
    line += &format!(
        " ({}, {}), {repeated} repeated, {}, {}, {}\n",
        count(*records, "record", "records"),
        count(*statements, "statement", "statements"),
        count(*gaps, "gap", "gaps"),
        count(*voids, "void", "voids"),
        count(*bytes, "byte", "bytes"),
    );
    line.into_bytes()
}

fn totals_json(totals: &Totals, path: &Path, readable: bool) -> Vec<u8> {
    json::line(|object| {
        object.put("level", "summary");
        object.bytes("path", Some(path.as_os_str().as_bytes()));
        object.put("whole", totals.damage == 0 && readable);
        object.put("damage", totals.damage);
        object.put("notes", totals.notes);
        object.put("segments", totals.segments);
        object.put("entries", totals.records + totals.statements);
        object.known("seq", totals.numbers.map(|(first, _)| first));
        object.known("to", totals.numbers.map(|(_, last)| last));
        object.put("records", totals.records);
        object.put("statements", totals.statements);
        object.put("repeated", totals.repeated);
        object.put("gaps", totals.gaps);
        object.put("voids", totals.voids);
        object.put("bytes", totals.bytes);
    })
}
