//! What an uncertain change of a name came to: a look at the brick tells.
//!
//! After a kill the journal names what may have changed. A consumer of the stock format replays what it reads, so the
//! export must say what is and not what may be. The name either stands for the inode now, or it does not.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use gnotify_record::{Caller, FileType, Fop, Gfid, Link, Record};

use crate::removed_path::handle;

/// The extended attribute in which the storage translator keeps an inode's gfid.
const GFID: &str = "trusted.gfid";

/// Gives `record`, a change of a name that is uncertain, back as a certain one if it was made on the brick at `brick`.
///
/// # Errors
/// Where the brick cannot be looked at.
pub(super) fn settle<'a>(record: &Record<'a>, brick: &Path) -> io::Result<Option<Record<'a>>> {
    let mut record = Record { uncertain: false, ..record.clone() };
    let Some(at) = &record.at else { return Ok(None) };
    let here = stands(brick, at)?;
    let is_made = match record.fop {
        Fop::UNLINK | Fop::RMDIR => {
            // The name may have been given anew since, but then its record follows.
            record.gfid.is_some() && here.as_ref().map(|(gfid, _)| *gfid) != record.gfid
        }
        Fop::RENAME => {
            let there = match &record.to {
                Some(to) => stands(brick, to)?,
                None => None,
            };
            let moved = there.map(|(gfid, _)| gfid);
            record.gfid = record.gfid.or(moved);
            moved.is_some() && moved == record.gfid
        }
        _ => match &here {
            Some((gfid, metadata)) if record.gfid.is_none_or(|asked| asked == *gfid) => {
                describe(&mut record, *gfid, metadata);
                true
            }
            _ => false,
        },
    };
    Ok(is_made.then_some(record))
}

/// What a note does not say of a new inode.
fn describe(record: &mut Record<'_>, gfid: Gfid, metadata: &Metadata) {
    record.gfid = Some(gfid);
    record.kind = file_type(metadata);
    record.mode = Some(metadata.mode() & 0o7777);
    record.caller.get_or_insert(Caller { uid: metadata.uid(), gid: metadata.gid(), pid: 0 });
}

fn file_type(metadata: &Metadata) -> Option<FileType> {
    let kind = metadata.file_type();
    Some(match () {
        () if kind.is_file() => FileType::Regular,
        () if kind.is_dir() => FileType::Directory,
        () if kind.is_symlink() => FileType::Symlink,
        () if kind.is_block_device() => FileType::Block,
        () if kind.is_char_device() => FileType::Character,
        () if kind.is_fifo() => FileType::Fifo,
        () if kind.is_socket() => FileType::Socket,
        () => return None,
    })
}

/// Which inode the name stands for.
fn stands(brick: &Path, link: &Link<'_>) -> io::Result<Option<(Gfid, Metadata)>> {
    let path = handle(brick, link.parent).join(std::ffi::OsStr::from_bytes(&link.name));
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut gfid = [0; 16];
    match rustix::fs::lgetxattr(&path, GFID, &mut gfid[..]) {
        Ok(16) => Ok(Some((Gfid(gfid), metadata))),
        // The storage translator gives the gfid with the birth; without one nobody has seen the inode.
        Ok(_) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ENAMETOOLONG)
}
