//! Going on with a journal: what the last start left on disk and in its ring.
//!
//! A kill may come between any two system calls, in the last start's or in this recovery itself. Why
//! each leaves something that the next recovery understands:
//!
//! - The ring of the last start is only read, until a new one takes its name. Until then recovery can
//!   begin again, and skips the numbers that it appended the first time.
//! - A torn frame at the end of the last segment is cut off, and what follows it comes from the ring again.
//! - A new start makes its segment first, then its ring. A segment without entries whose ring has
//!   another start id is of a start that never got its ring: it is removed. With the same start id it
//!   has entries, in the ring, which are appended to it.
//! - A ring with a later start id than the last segment with entries is of a start that appended
//!   nothing. It could only be made when the segment had been brought up to date. (Or somebody has
//!   removed its segment by hand: then its numbers are told as a gap.)
//! - A segment with a damaged header is set aside under a name that still tells its first number.
//! - Where the newest segment is packed (later ones held nothing, or were set aside or removed), it is unpacked
//!   first, under the name of a segment that is being made. Where a segment is there both packed and not, it counts,
//!   and what is packed is removed: packing ends with removing the segment, unpacking with removing what was packed.
//! - A clean stop writes STOP, syncs, and removes the ring last. It stays where fops are in flight: what they
//!   append behind STOP, or were about to change, comes from it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gnotify_record::codec;

use crate::disk::{
    SegmentFile, UNFINISHED, make, make_private_dir, remove, rename, sync, unfinished, write_whole,
};
use crate::frame::Kind;
use crate::home::Home;
use crate::packed;
use crate::reader::{Cursor, ReadError};
use crate::ring::file::Image;
use crate::ring::{Recovered, recover};
use crate::segment::{self, EXTENSION};
use crate::space::room;
use crate::statement::{self, Cause, Gap, How, Statement};
use crate::{Host, Level, OpenError, Reserve};

/// How many numbers are passed over where the last ones are not known, after a power loss or damage.
/// Consumers may have seen entries that were not on disk yet; their numbers must not come again. At
/// 100,000 records a second they last for three hours without an fsync.
const SKIP: u64 = 1 << 30;

/// The endings of segments that are set aside.
const ASIDE: [&str; 2] = ["gnj.damaged", "gnz.damaged"];

/// Where a new start begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// `None`: there is no journal yet.
    pub(crate) epoch: Option<[u8; 16]>,
    pub(crate) start_id: u64,
    pub(crate) previous: u64,
    pub(crate) how: How,
    pub(crate) next_seq: u64,
    pub(crate) last_time: u64,
    /// Where the journal was.
    pub(crate) home: Home,
}

impl Resumed {
    pub(crate) const FIRST: Resumed = Resumed {
        epoch: None,
        start_id: 1,
        previous: 0,
        how: How::First,
        next_seq: 1,
        last_time: 0,
        home: Home::UNKNOWN,
    };
}

/// What else recovery has to know.
pub(crate) struct Surroundings<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) image: Option<&'a Image>,
    pub(crate) boot_id: [u8; 16],
    pub(crate) now: u64,
    pub(crate) reserve: Reserve,
    pub(crate) host: &'a dyn Host,
}

/// Brings the last segment up to date. The caller holds the locks of the journal and of the ring.
pub(crate) fn resume(around: &Surroundings<'_>) -> Result<Resumed, OpenError> {
    remove_unfinished(around.dir)?;
    remove_packed_twins(around.dir)?;
    let listed = |error| OpenError::io("list the journal", around.dir, error);
    let mut segments = segment::numbers(around.dir).map_err(listed)?;
    let mut aside = Vec::new();
    for ending in ASIDE {
        aside.extend(segment::list(around.dir, ending).map_err(listed)?);
    }
    while let Some(first_seq) = segments.pop() {
        let path = segment::path(around.dir, first_seq);
        let tail = match open_tail(around, &path)? {
            Ok(cursor) => Tail::read(cursor).map_err(OpenError::Unreadable)?,
            Err(ReadError::DamagedHeader { path }) => {
                set_aside(&path, around.host)?;
                aside.push(first_seq);
                continue;
            }
            Err(error) => return Err(OpenError::Unreadable(error)),
        };
        if let Some(resumed) = bring_up_to_date(around, tail, &aside)? {
            return Ok(resumed);
        }
    }
    Ok(Resumed::FIRST)
}

/// Opens the newest segment, unpacked where it was packed: it is gone on with.
fn open_tail(
    around: &Surroundings<'_>,
    path: &Path,
) -> Result<Result<Cursor, ReadError>, OpenError> {
    let mut cursor = match Cursor::open(path) {
        Ok(cursor) if cursor.bytes.is_packed() => cursor,
        opened => return Ok(opened),
    };
    let failed = |error| OpenError::io("unpack the newest segment", path, error);
    let (packed, new) = (cursor.path.clone(), unfinished(path));
    let write = |cursor: &mut Cursor| -> io::Result<()> {
        let (mut bytes, mut at) = (vec![0; 1 << 20], 0);
        let len = cursor.bytes.len()?;
        room(around.dir, around.reserve, len)?;
        let file = make(&new)?;
        while at < len {
            let filled = cursor.bytes.fill_at(&mut bytes, at)?;
            if filled == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_whole(&file, &bytes[..filled], at).map_err(|error| error.source)?;
            at += filled as u64;
        }
        sync(&file)?;
        rename(&new, path)?;
        sync(&File::open(around.dir)?)?;
        remove(&packed)
    };
    write(&mut cursor).map_err(failed)?;
    Ok(Cursor::open(path))
}

/// Where a segment is there both packed and not, a kill came before one of them was removed.
fn remove_packed_twins(dir: &Path) -> Result<(), OpenError> {
    let listed = |error| OpenError::io("list the journal", dir, error);
    for first_seq in segment::list(dir, packed::EXTENSION).map_err(listed)? {
        let path = segment::path(dir, first_seq);
        let twin = path.with_extension(packed::EXTENSION);
        if path.exists() {
            // The segment's own name must not be lost with the one that is taken away.
            File::open(dir).and_then(|dir| sync(&dir)).and_then(|()| remove(&twin)).map_err(
                |error| OpenError::io("remove what is not packed to the end", &twin, error),
            )?;
        }
    }
    Ok(())
}

/// The end of a segment.
struct Tail {
    cursor: Cursor,
    /// The lowest number that is not accounted for.
    next: u64,
    last_time: u64,
    last: Last,
}

/// What the last entry of a segment is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    None,
    Stop,
    /// The GAP of a recovery that was itself cut off.
    Skipped,
    Other,
}

impl Tail {
    fn read(mut cursor: Cursor) -> Result<Tail, ReadError> {
        let (mut next, mut last_time, mut last) = (cursor.header.first_seq, 0, Last::None);
        while let Some(found) = cursor.find(next)? {
            cursor.pass(&found);
            let Some(frame) = cursor.frame(&found) else { continue };
            let statement = match frame.kind {
                Kind::Repeated => continue,
                Kind::Statement => statement::decode(frame.code, frame.body),
                Kind::Record => None,
            };
            next = found.seq.saturating_add(1);
            last = match statement {
                Some(Statement::Gap(Gap { to, .. }) | Statement::Void { to }) => {
                    next = next.max(to.saturating_add(1));
                    let skipped = matches!(
                        statement,
                        Some(Statement::Gap(Gap {
                            cause: Cause::PowerLoss | Cause::Damaged,
                            lost: None,
                            ..
                        }))
                    );
                    if skipped { Last::Skipped } else { Last::Other }
                }
                Some(Statement::Stop) => Last::Stop,
                _ => Last::Other,
            };
            // The time of what recovery says about what is missing is its own.
            let of_recovery = match statement {
                None => codec::is_uncertain(frame.tag, frame.body),
                Some(statement) => matches!(statement, Statement::Gap(_) | Statement::Void { .. }),
            };
            if !of_recovery {
                last_time = frame.time;
            }
        }
        Ok(Tail { cursor, next, last_time, last })
    }
}

/// Appends to a segment what is missing. `None`: it holds nothing and is removed.
fn bring_up_to_date(
    around: &Surroundings<'_>,
    mut tail: Tail,
    aside: &[u64],
) -> Result<Option<Resumed>, OpenError> {
    let header = tail.cursor.header;
    // A ring of another journal or another boot says nothing about this segment.
    let ring = around.image.filter(|image| {
        image.identity.epoch == header.epoch
            && image.identity.boot_id == around.boot_id
            && image.identity.start_id >= header.start_id
    });
    let own = ring.filter(|image| image.identity.start_id == header.start_id);
    // Known by the name, so that a kill after it was set aside changes nothing.
    let damaged = aside.iter().any(|first_seq| *first_seq >= tail.next);
    let mut missing = match own {
        Some(image) => {
            let cause = if damaged { Cause::Damaged } else { Cause::Io };
            recover(image, header.salt, tail.next, around.now, cause)
        }
        None => Recovered::nothing(tail.next),
    };
    tail.last_time = missing.time.unwrap_or(tail.last_time);
    if tail.last == Last::None && missing.bytes.is_empty() {
        remove_empty(&tail.cursor.path)?;
        return Ok(None);
    }
    let stopped = tail.last == Last::Stop && missing.bytes.is_empty();
    if let (Some(image), None) = (ring, own)
        && image.next_seq() > missing.next
    {
        // A later start has appended, so its segment was there: somebody removed it.
        let next = image.next_seq();
        let gap = Gap { to: next - 1, cause: Cause::Trimmed, lost: None };
        missing.put_behind(&Statement::Gap(gap), header.salt, around.now, next);
    }
    let how = match (stopped, ring) {
        _ if damaged && own.is_none() => How::PowerLoss,
        (true, _) => How::Clean,
        (false, Some(_)) => How::Killed,
        (false, None) => How::PowerLoss,
    };
    if how == How::PowerLoss && tail.last != Last::Skipped {
        let next = missing.next.saturating_add(SKIP);
        let cause = if damaged { Cause::Damaged } else { Cause::PowerLoss };
        let gap = Gap { to: next - 1, cause, lost: None };
        missing.put_behind(&Statement::Gap(gap), header.salt, around.now, next);
    }
    append(&tail, &missing.bytes)?;
    let newest = ring.map_or(header.start_id, |image| image.identity.start_id);
    Ok(Some(Resumed {
        epoch: Some(header.epoch),
        start_id: newest + 1,
        previous: header.start_id,
        how,
        next_seq: missing.next,
        last_time: tail.last_time,
        home: header.home,
    }))
}

/// Cuts off what is torn, appends `bytes`, and makes all of it durable.
fn append(tail: &Tail, bytes: &[u8]) -> Result<(), OpenError> {
    let Cursor { path, header, offset, .. } = &tail.cursor;
    let failed = |doing| move |error| OpenError::io(doing, path, error);
    let mut segment =
        SegmentFile::resume(path, header, *offset).map_err(failed("cut off a torn entry"))?;
    segment
        .append(bytes)
        .map_err(|error| error.source)
        .map_err(failed("append what the last start left in the ring"))?;
    sync(&segment.file).map_err(failed("sync the segment"))
}

fn remove_unfinished(dir: &Path) -> Result<(), OpenError> {
    let entries =
        fs::read_dir(dir).map_err(|error| OpenError::io("list the journal", dir, error))?;
    for entry in entries {
        let path = entry.map_err(|error| OpenError::io("list the journal", dir, error))?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            remove_empty(&path)?;
        }
    }
    Ok(())
}

fn remove_empty(path: &Path) -> Result<(), OpenError> {
    remove(path).map_err(|error| OpenError::io("remove the empty segment", path, error))
}

/// A segment whose header is damaged cannot be gone on with, nor verified; it is kept for a person to see.
fn set_aside(path: &Path, host: &dyn Host) -> Result<(), OpenError> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    rename(path, &aside)
        .map_err(|error| OpenError::io("set the damaged segment aside", path, error))?;
    host.log(
        Level::Warning,
        &format!(
            "journal: the header of {} is damaged, so its entries are lost and told as a gap; the \
             file is kept as {}",
            path.display(),
            aside.display()
        ),
    );
    Ok(())
}

/// Moves the segments of an epoch that has ended to a directory of their own, oldest first: as long as
/// there is one left, the next start finds that there is something to be moved. What is there is known by `epoch`.
pub(crate) fn move_away(dir: &Path, epoch: [u8; 16], host: &dyn Host) -> Result<(), OpenError> {
    let former = dir.join(format!("{FORMER}{}", uuid::Uuid::from_bytes(epoch)));
    make_private_dir(&former)
        .map_err(|error| OpenError::io("make the directory", &former, error))?;
    // The newest one is never packed: it goes last.
    for ending in ASIDE.into_iter().chain([packed::EXTENSION, EXTENSION]) {
        let segments = segment::list(dir, ending)
            .map_err(|error| OpenError::io("list the journal", dir, error))?;
        for first_seq in segments {
            let path = segment::path(dir, first_seq).with_extension(ending);
            let to = former.join(path.file_name().unwrap_or_default());
            rename(&path, &to).map_err(|error| {
                OpenError::io("move a segment of the former epoch away", &path, error)
            })?;
        }
    }
    host.log(
        Level::Warning,
        &format!(
            "journal: it was written at another path or file system than {}: a new epoch begins, the \
             old segments are in {}",
            dir.display(),
            former.display()
        ),
    );
    Ok(())
}

/// How the name of a directory begins that holds the segments of an epoch that has ended.
pub(crate) const FORMER: &str = "former-";

/// Whether an epoch has ended in `dir`.
pub(crate) fn has_former(dir: &Path) -> bool {
    let is_former = |entry: fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(FORMER))
    };
    fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_former))
}
