//! The virtual extended attribute by which geo-replication is told to look at an inode again.
//!
//! `setfattr -n glusterfs.geo-rep.trigger-sync -v 1 PATH` on a mount: nothing is stored, and the inode is recorded as if
//! it were new. FORMAT: facts of GlusterFS 10's features/changelog; the value is the text "1".

use std::ffi::CStr;

use gnotify_bindings::{Caller, Dict, Loc};
use gnotify_record::{Caller as Who, FileType, Gfid, Link, Origin, Record, TRIGGER_SYNC, Xattr};

use crate::deliver::write;
use crate::instance::Instance;

const KEY: &CStr = c"glusterfs.geo-rep.trigger-sync";

/// Serves a setxattr that has the key, and gives its answer: result and errno. `None`: it has not.
pub(crate) fn answer(
    instance: &Instance,
    caller: Caller<'_>,
    (loc, dict): (Option<Loc<'_>>, Option<Dict<'_>>),
) -> Option<(i32, i32)> {
    let value = dict?.text(KEY)?;
    let loc = loc?;
    let kind = loc.inode().and_then(|inode| FileType::from_host(inode.ia_type()));
    let asked = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let served = matches!(kind, Some(FileType::Regular | FileType::Directory));
    if asked != Some(1) || !served {
        return Some((-1, libc::ENOTSUP));
    }
    if let Some(journal) = instance.journal().filter(|_| instance.switches().journal()) {
        let record = Record {
            gfid: Gfid(loc.gfid()).known(),
            kind,
            at: place(loc),
            caller: Some(Who { uid: caller.uid, gid: caller.gid, pid: caller.pid }),
            xattrs: vec![Xattr { name: TRIGGER_SYNC.into(), value: None }],
            ..Record::new(
                gnotify_record::Fop::SETXATTR,
                Origin::decide(caller.pid, false, true, None),
            )
        };
        // What finds no room is told as a gap.
        let _ = write(instance, journal, &record);
    }
    Some((0, 0))
}

/// Where the inode stands: a setxattr names it by its path, or by its gfid alone.
fn place(loc: Loc<'_>) -> Option<Link<'static>> {
    let parent = Gfid(loc.pargfid()).known().or_else(|| {
        let parent = loc.inode()?.parent()?;
        Gfid(parent.get().gfid()).known()
    })?;
    let name = loc.name().or_else(|| loc.path()?.rsplit(|byte| *byte == b'/').next())?;
    (!name.is_empty()).then(|| Link { parent, name: name.to_vec().into() })
}
