//! Prints a slice, an index, or all slices of a changelog directory in the order of the index.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind;
use gnotify_changelog::codec::ReadError;
use gnotify_changelog::htime::{Indexed, Item, Reader};
use gnotify_changelog::{Change, Entry};
use gnotify_record::Link;

use super::{Source, indexes, open, unreadable};
use crate::args;
use crate::escape;
use crate::exit::{Error, Status, complain};
use crate::json::{self, Object};

struct Dump {
    json: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    damage_found: bool,
}

/// Does what was asked for.
pub(crate) fn run(args: &args::Dump, source: &Source) -> Result<Status, Error> {
    refuse_filters(args);
    let out = BufWriter::new(io::stdout().lock());
    let mut dump = Dump { json: args.json, out, damage_found: false };
    match source {
        Source::Slice(path) => dump.slice(path)?,
        Source::Index(path) => dump.index(path, false)?,
        Source::Directory(dir) => {
            let (indexes, _) = indexes(dir).map_err(|error| unreadable(dir, &error))?;
            for index in indexes {
                dump.index(&index, true)?;
            }
            let live = dir.join("CHANGELOG");
            if live.exists() {
                dump.head(None, &live, false)?;
                dump.slice(&live)?;
            }
        }
    }
    dump.out.flush()?;
    Ok(if dump.damage_found { Status::Failed } else { Status::Done })
}

/// A changelog has no times, clients or origins to filter by, and nothing says when it grows.
fn refuse_filters(args: &args::Dump) {
    let args::Dump { follow, paths, since, until, fop, gfid, client, origin, .. } = args;
    let asked = *follow || *paths || since.is_some() || until.is_some();
    let filters = [fop.is_empty(), gfid.is_empty(), client.is_empty(), origin.is_empty()];
    if asked || filters.contains(&false) {
        let text = "of a changelog all is printed, once: only --json can be given";
        args::Cli::command().error(ErrorKind::ArgumentConflict, text).exit();
    }
}

impl Dump {
    /// The records of an index; where `whole` is asked for, with the slices themselves.
    fn index(&mut self, path: &Path, whole: bool) -> Result<(), Error> {
        let failed = |error: io::Error| unreadable(path, &error);
        let mut reader = Reader::new(File::open(path).map_err(failed)?);
        while let Some((offset, item)) = reader.next().map_err(failed)? {
            match item {
                Item::Torn(len) => {
                    let text = format!("at byte {offset}: {len} bytes that are no record");
                    self.damaged(path, &text)?;
                }
                Item::Slice(Indexed { path: slice, ts, empty }) => {
                    self.head(Some(ts), slice, empty)?;
                    if whole && !empty {
                        self.slice(slice)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The line of a slice.
    fn head(&mut self, ts: Option<u64>, path: &Path, empty: bool) -> Result<(), Error> {
        let line = if self.json {
            json::line(|object| {
                object.put("type", "slice");
                object.known("ts", ts);
                object.bytes("path", Some(path.as_os_str().as_bytes()));
                object.put("empty", empty);
            })
        } else {
            let ts = ts.map_or_else(|| "live".to_owned(), |ts| ts.to_string());
            let empty = if empty { " (empty)" } else { "" };
            format!("-- slice {ts} {}{empty}\n", escape::path(path)).into_bytes()
        };
        Ok(self.out.write_all(&line)?)
    }

    fn slice(&mut self, path: &Path) -> Result<(), Error> {
        let mut reader = match open(path) {
            Ok(reader) => reader,
            Err(ReadError::Io { source, .. }) => return Err(unreadable(path, &source)),
            Err(error) => return self.damaged(path, &error.to_string()),
        };
        loop {
            match reader.next() {
                Ok(None) => return Ok(()),
                Ok(Some(change)) => {
                    let line = if self.json { json_line(&change) } else { text_line(&change) };
                    self.out.write_all(&line)?;
                }
                Err(ReadError::Io { source, .. }) => return Err(unreadable(path, &source)),
                Err(error) => return self.damaged(path, &error.to_string()),
            }
        }
    }

    /// Says that something is damaged, behind what was printed before.
    fn damaged(&mut self, path: &Path, what: &str) -> Result<(), Error> {
        self.damage_found = true;
        self.out.flush()?;
        complain(&format!("{}: {what}", escape::path(path)));
        Ok(())
    }
}

/// As libgfchangelog has it, but fit for a terminal.
fn text_line(change: &Change<'_>) -> Vec<u8> {
    let kind = match change {
        Change::Data { .. } => 'D',
        Change::Metadata { .. } => 'M',
        Change::Entry { .. } => 'E',
    };
    let mut line = format!("{kind} {}", change.gfid());
    let mut add = |field: &str| {
        line.push(' ');
        line.push_str(field);
    };
    if let Some(fop) = change.fop() {
        add(&fop.to_string());
    }
    let link = |link: &Link<'_>| format!("{}/{}", link.parent, escape::quoted(&link.name));
    if let Change::Entry { entry, .. } = change {
        match entry {
            Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => {
                add(&format!("{} {} {}", birth.mode, birth.uid, birth.gid));
                add(&link(&birth.at));
            }
            Entry::Symlink(at) | Entry::Link(at) => add(&link(at)),
            Entry::Rename { old, new } => {
                add(&link(old));
                add(&link(new));
            }
            Entry::Unlink(removal) | Entry::Rmdir(removal) => {
                add(&link(&removal.at));
                if let Some(path) = &removal.path {
                    add(&escape::quoted(path));
                }
            }
        }
    }
    line.push('\n');
    line.into_bytes()
}

fn json_line(change: &Change<'_>) -> Vec<u8> {
    json::line(|object| {
        object.put("type", "change");
        let kind = match change {
            Change::Data { .. } => "data",
            Change::Metadata { .. } => "metadata",
            Change::Entry { .. } => "entry",
        };
        object.put("kind", kind);
        object.known("fop", change.fop().map(|fop| fop.to_string()));
        object.put("gfid", change.gfid().to_string());
        if let Change::Entry { entry, .. } = change {
            json_entry(object, entry);
        }
    })
}

fn json_entry(object: &mut Object<'_>, entry: &Entry<'_>) {
    let mut at = |parent: &str, name: &str, link: &Link<'_>| {
        object.put(parent, link.parent.to_string());
        object.bytes(name, Some(&link.name));
    };
    match entry {
        Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => {
            at("parent", "name", &birth.at);
            object.put("mode", birth.mode);
            object.put("uid", birth.uid);
            object.put("gid", birth.gid);
        }
        Entry::Symlink(link) | Entry::Link(link) => at("parent", "name", link),
        Entry::Rename { old, new } => {
            at("parent", "name", old);
            at("new_parent", "new_name", new);
        }
        Entry::Unlink(removal) | Entry::Rmdir(removal) => {
            at("parent", "name", &removal.at);
            object.bytes("path", removal.path.as_deref());
        }
    }
}
