//! `gnotify verify`: whether a journal is what was written, and where it is not.
//!
//! It opens files for reading and nothing else: no lock, no repair.

mod bytes;
mod chain;
mod packed;
pub(crate) mod report;
mod scan;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gnotify_journal::ReadError;

use crate::args;
use crate::changelog;
use crate::exit::{Error, Status, complain};
use crate::source::{Source, journal_of};
use chain::Chain;
use report::{Finding, Level, Report};
use scan::Place;

/// Does what was asked for. Damage counts more than what could not be looked at.
pub(crate) fn run(args: args::Verify) -> Result<Status, Error> {
    let mut report = Report::new(args.json);
    let (mut whole, mut failed) = (true, None);
    for path in &args.paths {
        let verified = match changelog::Source::at(path) {
            Some(source) => changelog::verify(&source, &mut report),
            None => Source::at(path).and_then(|source| verify(&source, &mut report)),
        };
        let status = match verified {
            Ok(status) => status,
            Err(error @ (Error::Read(_) | Error::Path(..))) => {
                report.flush()?;
                Some(tell(&error))
            }
            Err(error) => return Err(error),
        };
        match status {
            Some(Status::Failed) => whole = false,
            status => failed = failed.or(status),
        }
    }
    Ok(if whole { failed.unwrap_or(Status::Done) } else { Status::Failed })
}

/// Says what cannot be read, and gives the status for it.
fn tell(error: &Error) -> Status {
    if let Some(message) = error.message() {
        complain(&message);
    }
    error.status()
}

/// The status where not all is well.
fn verify(source: &Source, report: &mut Report) -> Result<Option<Status>, Error> {
    let (path, failed) = match source {
        Source::Segment(path) => (path, segment(path, report)?),
        Source::Brick(path) => (path, brick(source, path, report)?),
    };
    let whole = report.sum_up(path, failed.is_none())?;
    Ok(if whole { failed } else { Some(Status::Failed) })
}

/// A segment without the others of its journal.
fn segment(path: &Path, report: &mut Report) -> Result<Option<Status>, Error> {
    let named = path.file_name().and_then(|name| name.to_str());
    let named = named.and_then(|name| number_of(name).or(packed_number_of(name)));
    let place = Place { named, sealed: false };
    match scan::segment(report, &mut Chain::default(), path, place) {
        Err(Error::Read(error)) if is_damage(&error) => {
            unreadable(report, path, &error)?;
            Ok(None)
        }
        result => result.map(|()| None),
    }
}

/// All of a journal.
fn brick(source: &Source, brick: &Path, report: &mut Report) -> Result<Option<Status>, Error> {
    let dir = journal_of(brick);
    let Listing { segments, aside, locked } = match Listing::read(&dir) {
        Ok(listing) => listing,
        Err(ReadError::NotFound { .. } | ReadError::NotAJournal { .. }) => {
            return Err(source.has_none());
        }
        Err(error) => return Err(error.into()),
    };
    if segments.is_empty() && !locked {
        return Err(source.has_none());
    }
    for path in &aside {
        let text = "set aside by a start of the brick, because its header is damaged";
        note(report, "set-aside", path, text.to_owned())?;
    }
    let mut chain = Chain::default();
    let mut failed = None;
    let mut foreign = None;
    for (at, (first_seq, path)) in segments.iter().enumerate() {
        let sealed = at + 1 < segments.len();
        let place = Place { named: Some(*first_seq), sealed };
        let Err(error) = scan::segment(report, &mut chain, path, place) else { continue };
        let Error::Read(error) = error else { return Err(error) };
        match error {
            ReadError::NotFound { .. } if !segments[0].1.exists() => {
                note(report, "trimmed", path, "removed while it was to be read".to_owned())?;
                chain.break_off();
            }
            ReadError::NotAJournal { .. } => foreign = Some((path, error)),
            error if is_damage(&error) => {
                unreadable(report, path, &error)?;
                chain.lose();
            }
            error => {
                report.flush()?;
                failed = failed.or(Some(tell(&Error::Read(error))));
                chain.break_off();
            }
        }
        // Among segments it is a damaged one; alone it is no journal.
        if let Some((path, error)) = foreign.take() {
            if segments.len() == 1 {
                return Err(error.into());
            }
            unreadable(report, path, &error)?;
            chain.lose();
        }
    }
    if let Some((first_seq, path)) = segments.first().filter(|(first_seq, _)| *first_seq > 1) {
        let last = first_seq - 1;
        let text = if chain.trimmed >= last {
            "not here any more, as the journal told"
        } else {
            "not here any more, and no statement that is here tells of it"
        };
        let (level, problem, entries) = (Level::Note, "trimmed", Some((1, last)));
        let text = text.to_owned();
        report.find(&Finding { level, problem, path, offset: None, entries, text })?;
    }
    Ok(failed)
}

/// Whether it is the journal that is wrong, not who reads it, or with what.
fn is_damage(error: &ReadError) -> bool {
    !matches!(
        error,
        ReadError::NotPermitted { .. }
            | ReadError::NewerVersion { .. }
            | ReadError::NotAJournal { .. }
    )
}

fn unreadable(report: &mut Report, path: &Path, error: &ReadError) -> Result<(), Error> {
    let (problem, offset, text) = match error {
        ReadError::DamagedHeader { .. } => {
            let text = "the header is damaged, so that nothing in the segment can be verified";
            ("header", 0, text.to_owned())
        }
        ReadError::NotAJournal { .. } => {
            ("header", 0, "it does not begin as a segment does".to_owned())
        }
        ReadError::NotFound { .. } => ("missing", 0, "it is gone".to_owned()),
        ReadError::Io { offset, source, .. } => {
            ("io", *offset, format!("cannot be read: {source}"))
        }
        error => ("io", 0, error.to_string()),
    };
    let (level, offset) = (Level::Damage, Some(offset));
    report.find(&Finding { level, problem, path, offset, entries: None, text })?;
    Ok(())
}

fn note(
    report: &mut Report,
    problem: &'static str,
    path: &Path,
    text: String,
) -> Result<(), Error> {
    let level = Level::Note;
    Ok(report.find(&Finding { level, problem, path, offset: None, entries: None, text })?)
}

/// The files of a journal.
struct Listing {
    segments: Vec<(u64, PathBuf)>,
    /// Those that a start could not read.
    aside: Vec<PathBuf>,
    locked: bool,
}

impl Listing {
    fn read(dir: &Path) -> Result<Listing, ReadError> {
        let failed = |source: io::Error| {
            let path = dir.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound => ReadError::NotFound { path },
                io::ErrorKind::NotADirectory => ReadError::NotAJournal { path },
                io::ErrorKind::PermissionDenied => ReadError::NotPermitted { path },
                _ => ReadError::Io { path, offset: 0, source },
            }
        };
        let mut listing = Listing { segments: Vec::new(), aside: Vec::new(), locked: false };
        let mut packed = Vec::new();
        // Twice, so that a segment that is packed meanwhile is seen under one of its names.
        for of_packed in [false, true] {
            for entry in fs::read_dir(dir).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let Some(text) = name.to_str() else { continue };
                let path = dir.join(text);
                if of_packed {
                    packed.extend(packed_number_of(text).map(|first_seq| (first_seq, path)));
                } else if let Some(first_seq) = number_of(text) {
                    listing.segments.push((first_seq, path));
                } else if text.strip_suffix(".damaged").is_some_and(is_segment) {
                    listing.aside.push(path);
                } else if text == "lock" {
                    listing.locked = true;
                }
            }
        }
        listing.segments.sort();
        // Where a segment is there both packed and not, it is the other one that counts.
        for (first_seq, path) in packed {
            let at = listing.segments.binary_search_by_key(&first_seq, |(first_seq, _)| *first_seq);
            if let Err(at) = at {
                listing.segments.insert(at, (first_seq, path));
            }
        }
        listing.aside.sort();
        Ok(listing)
    }
}

/// The number that a segment's name is made of.
fn number_of(name: &str) -> Option<u64> {
    number(name.strip_suffix(".gnj")?)
}

/// As [`number_of`], of a packed one.
fn packed_number_of(name: &str) -> Option<u64> {
    number(name.strip_suffix(".gnz")?)
}

fn is_segment(name: &str) -> bool {
    number_of(name).or(packed_number_of(name)).is_some()
}

fn number(digits: &str) -> Option<u64> {
    let numeric = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if numeric { digits.parse().ok() } else { None }
}
