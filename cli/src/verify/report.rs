//! What is found, a line each, and the line that sums it up.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::escape;
use crate::json;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
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
pub(crate) struct Finding<'a> {
    pub(crate) level: Level,
    /// A word for programs; the manual lists them.
    pub(crate) problem: &'a str,
    /// The segment, or the directory.
    pub(crate) path: &'a Path,
    pub(crate) offset: Option<u64>,
    /// The first and the last entry that it is about.
    pub(crate) entries: Option<(u64, u64)>,
    pub(crate) text: String,
}

/// The figures of one brick or segment.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) segments: u64,
    pub(crate) records: u64,
    pub(crate) statements: u64,
    pub(crate) repeated: u64,
    pub(crate) gaps: u64,
    pub(crate) voids: u64,
    pub(crate) bytes: u64,
    /// Of a changelog of GlusterFS's own.
    pub(crate) slices: u64,
    pub(crate) indexes: u64,
    pub(crate) damage: u64,
    pub(crate) notes: u64,
    /// The first and the last number that is accounted for.
    pub(crate) numbers: Option<(u64, u64)>,
}

impl Totals {
    pub(crate) fn account(&mut self, from: u64, to: u64) {
        let (first, last) = self.numbers.unwrap_or((from, to));
        self.numbers = Some((first.min(from), last.max(to)));
    }
}

/// Where findings go.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    out: BufWriter<StdoutLock<'static>>,
    /// Whether anybody still reads it.
    heard: bool,
    pub(crate) totals: Totals,
}

impl Report {
    pub(crate) fn new(json: bool) -> Report {
        let out = BufWriter::new(io::stdout().lock());
        Report { json, out, heard: true, totals: Totals::default() }
    }

    pub(crate) fn find(&mut self, finding: &Finding<'_>) -> io::Result<()> {
        match finding.level {
            Level::Damage => self.totals.damage += 1,
            Level::Gap => {}
            Level::Note => self.totals.notes += 1,
        }
        let line = if self.json { finding_json(finding) } else { finding_text(finding) };
        self.print(&line)
    }

    /// Prints what it all comes to, and begins anew. Whether there is no damage.
    pub(crate) fn sum_up(&mut self, path: &Path, readable: bool) -> io::Result<bool> {
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

    /// The same of a changelog of GlusterFS's own.
    pub(crate) fn sum_up_changelog(&mut self, path: &Path) -> io::Result<bool> {
        let totals = std::mem::take(&mut self.totals);
        let Totals { slices, indexes, records, bytes, damage, notes, .. } = totals;
        let line = if self.json {
            json::line(|object| {
                object.put("level", "summary");
                object.bytes("path", Some(path.as_os_str().as_bytes()));
                object.put("whole", damage == 0);
                object.put("damage", damage);
                object.put("notes", notes);
                object.put("indexes", indexes);
                object.put("slices", slices);
                object.put("records", records);
                object.put("bytes", bytes);
            })
        } else {
            let mut line = format!("{}: {}", escape::path(path), verdict(&totals, true));
            if damage > 0 {
                line += &format!(" in {}", count(damage, "place", "places"));
            }
            line += &format!(
                ": {}, {}, {}, {}\n",
                count(indexes, "index", "indexes"),
                count(slices, "slice", "slices"),
                count(records, "record", "records"),
                count(bytes, "byte", "bytes"),
            );
            line.into_bytes()
        };
        self.print(&line)?;
        self.flush()?;
        Ok(damage == 0)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
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
