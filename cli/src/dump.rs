//! `gnotify dump`: reads a journal, filters its entries and prints them.

use std::io::{self, BufWriter, StdoutLock, Write};

use gnotify_journal::{Cause, Entry, Gap, ReadError, Reader, Statement, What};

use crate::args;
use crate::escape;
use crate::exit::{Error, Status, complain};
use crate::filter::Filter;
use crate::follow::Follow;
use crate::json::Json;
use crate::line::Line;
use crate::moment::Clock;
use crate::paths::Resolver;
use crate::source::Source;
use crate::text::Text;

enum Format {
    Text(Text),
    Json(Json),
}

/// A dump that is under way.
struct Dump {
    source: Source,
    since: Option<u64>,
    filter: Filter,
    resolver: Option<Resolver>,
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    /// Entries that could not be read, though what is behind them can.
    damage_found: bool,
}

/// Does what was asked for.
pub(crate) fn run(args: args::Dump) -> Result<Status, Error> {
    let source = Source::at(&args.path)?;
    let resolver = if args.paths { Some(Resolver::new(&source.brick()?)) } else { None };
    let format = if args.json {
        Format::Json(Json::default())
    } else {
        Format::Text(Text::new(Clock::new(args.utc)))
    };
    let dump = Dump {
        source,
        since: args.since,
        filter: Filter::new(args.since, args.until, args.fop, args.gfid, args.client, args.origin),
        resolver,
        format,
        out: BufWriter::new(io::stdout().lock()),
        damage_found: false,
    };
    if args.follow { dump.follow() } else { dump.once() }
}

impl Dump {
    fn once(mut self) -> Result<Status, Error> {
        let mut reader = self.open()?.ok_or_else(|| self.source.has_none())?;
        while self.step(&mut reader)? {}
        self.out.flush()?;
        Ok(self.status())
    }

    fn follow(mut self) -> Result<Status, Error> {
        let follow = Follow::start().map_err(Error::Signals)?;
        while let Some(mut reader) = self.await_journal(&follow)? {
            match self.read_on(&mut reader, &follow) {
                Ok(()) => break,
                Err(Error::Read(error)) if self.source.was_removed(&error) => {
                    self.out.flush()?;
                    complain(&self.source.removed());
                }
                Err(error) => return Err(error),
            }
        }
        self.out.flush()?;
        Ok(self.status())
    }

    /// Opens the journal as soon as there is one. `None`: it is time to end.
    fn await_journal(&self, follow: &Follow) -> Result<Option<Reader>, Error> {
        let mut told = false;
        loop {
            if let Some(reader) = self.open()? {
                return Ok(Some(reader));
            }
            if !std::mem::replace(&mut told, true) {
                complain(&format!("{}; waiting for it", self.source.lacks_journal()));
            }
            if !follow.wait() {
                return Ok(None);
            }
        }
    }

    /// Prints what is there and what comes, until it is time to end.
    fn read_on(&mut self, reader: &mut Reader, follow: &Follow) -> Result<(), Error> {
        while follow.goes_on() {
            if !self.step(reader)? {
                // Nothing is held back while it waits.
                self.out.flush()?;
                follow.wait();
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Option<Reader>, Error> {
        let mut reader = self.source.open()?;
        if let (Some(reader), Some(since)) = (&mut reader, self.since) {
            reader.skip_to_time(since)?;
        }
        Ok(reader)
    }

    /// Reads one entry and prints it if it is wanted. False: there is no more now.
    fn step(&mut self, reader: &mut Reader) -> Result<bool, Error> {
        match self.print_next(reader) {
            Err(Error::Read(
                error @ (ReadError::BadRecord { .. } | ReadError::BadStatement { .. }),
            )) => {
                self.damaged(&error.to_string())?;
                Ok(true)
            }
            result => result,
        }
    }

    fn print_next(&mut self, reader: &mut Reader) -> Result<bool, Error> {
        let Some(Entry { seq, time, what, place }) = reader.next()? else { return Ok(false) };
        if let Some(resolver) = &mut self.resolver {
            resolver.heed(&what);
        }
        match what {
            What::Record(record) => {
                // The name of its client is the reader's, from whose bytes the record borrows.
                let record = record.into_owned();
                let client = record.client.and_then(|id| reader.client(id));
                if self.filter.wants_record(time, &record, client) {
                    let names = self.resolver.as_mut().map(|resolver| resolver.names(&record));
                    let what = What::Record(record);
                    self.print(&Line { seq, time, what: &what, place: None, client, names })?;
                }
            }
            What::Statement(statement) => {
                if let Statement::Gap(Gap { to, cause: Cause::Damaged, .. }) = statement {
                    let path = escape::path(place.path);
                    self.damaged(&format!(
                        "{path}: damaged at byte {}, entries {seq} to {to} are lost; what follows \
                         is whole",
                        place.offset
                    ))?;
                }
                if self.filter.wants_statement(time, &statement) {
                    let (client, place, statement) = match statement {
                        Statement::ClientGone { id } => {
                            (reader.client(id), None, Statement::ClientGone { id })
                        }
                        statement => (None, Some(place), statement),
                    };
                    let what = What::Statement(statement);
                    self.print(&Line { seq, time, what: &what, place, client, names: None })?;
                }
            }
        }
        Ok(true)
    }

    fn print(&mut self, line: &Line<'_>) -> Result<(), Error> {
        match &mut self.format {
            Format::Text(text) => text.write(&mut self.out, line)?,
            Format::Json(json) => json.write(&mut self.out, line)?,
        }
        Ok(())
    }

    /// Says that something is damaged, behind what was printed before.
    fn damaged(&mut self, message: &str) -> Result<(), Error> {
        self.damage_found = true;
        self.out.flush()?;
        complain(message);
        Ok(())
    }

    fn status(&self) -> Status {
        if self.damage_found { Status::Failed } else { Status::Done }
    }
}
