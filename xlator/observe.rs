//! From the host's arguments to a record: what each argument of a fop and of its reply says.
//!
//! A row of the fop table calls these by name, so that the table reads as a list of what is taken from
//! where. All that a record keeps is copied here: the host's arguments are gone when the reply comes.

use std::borrow::Cow;
use std::ffi::CStr;
use std::sync::atomic::Ordering;

use gnotify_bindings::log::{self, Level};
use gnotify_bindings::sys;
use gnotify_bindings::{Caller, Dict, Fd, FdRef, Iatt, Inode, InodeRef, Loc, OwnedDict};
use gnotify_journal::{InFlight, Turn};
use gnotify_record::codec::Body;
use gnotify_record::{
    Caller as Who, FileType, Fop, Gfid, Link, Origin, Owner, Record, Renaming, SetAttr, Source,
    Time, Xattr, set_attr,
};

use crate::changelog_role::ChangelogRole;
use crate::clients::KnownClient;
use crate::instance::Instance;
use crate::names::Names;
use crate::pendings::OnFrame;
use crate::removed_path;
use crate::unlinks::{ASK_LINK_COUNT, Unlink, Unlinks};

/// The longest value of an extended attribute that is recorded.
const XATTR_VALUE_MAX: usize = 4096;

/// The mark that GlusterFS's own translators set on their requests (stock: glusterfs.h).
const INTERNAL_FOP: &CStr = c"glusterfs-internal-fop";

/// With this cluster/distribute tells one brick of a rename (stock: dht-common.h).
const RENAME_HINT: &CStr = c"changelog.rename-op";

/// The storage translator's answer to [`ASK_LINK_COUNT`]; there is none where a rename found no inode to replace.
const LINK_COUNT: &CStr = c"gf_response_link_count";

/// A fop that was wound and whose reply is awaited. Its memory is used again by other fops.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) record: Record<'static>,
    /// What was changed, held until the reply.
    pub(crate) changed: Changed,
    /// We asked for the link count, and the caller did not: it must not see the answer.
    asked_link_count: bool,
    /// The inode that loses a name by this fop.
    unlink: Option<Unlink>,
    /// The names that no other fop gets until the reply.
    pub(crate) names: Option<Names>,
    /// The note of what is about to change, for the next start if this process is killed.
    pub(crate) in_flight: Option<InFlight>,
    /// It is to be recorded; otherwise it is only announced.
    pub(crate) recorded: bool,
    /// It is counted among the fops under way.
    pub(crate) turn: Option<Turn>,
    /// The client of the fop before, which most likely is this one's too.
    pub(crate) known_client: KnownClient,
    /// Room for the record's names, left by the fops before.
    spare: [Vec<u8>; 2],
    /// Memory for the record's bytes.
    pub(crate) body: Body,
}

impl Pending {
    /// Room for a fop.
    pub(crate) fn new() -> Pending {
        Pending {
            record: Record::new(Fop(0), Origin::Client),
            changed: Changed::Nothing,
            asked_link_count: false,
            unlink: None,
            names: None,
            in_flight: None,
            recorded: false,
            turn: None,
            known_client: KnownClient::default(),
            spare: Default::default(),
            body: Body::new(),
        }
    }

    /// Where the memory for names is.
    #[cfg(test)]
    pub(crate) fn spare_names(&self) -> [*const u8; 2] {
        self.spare.each_ref().map(Vec::as_ptr)
    }

    /// Lets go of what is held for a fop that has ended, and keeps the memory of its names.
    #[inline]
    pub(crate) fn release(&mut self) {
        let [at, to] = &mut self.spare;
        keep(self.record.at.take(), at);
        keep(self.record.to.take(), to);
        self.changed = Changed::Nothing;
    }
}

/// Keeps the memory of a name.
#[inline]
fn keep(link: Option<Link<'static>>, spare: &mut Vec<u8>) {
    if let Some(Link { name: Cow::Owned(name), .. }) = link {
        *spare = name;
    }
}

/// The inode that a fop changes, whose slice mark decides whether its record is a repetition.
#[derive(Debug)]
pub(crate) enum Changed {
    /// None whose mark counts.
    Nothing,
    /// By name.
    Inode(InodeRef),
    /// Through an open file, which holds it: a reference on that costs a fifth of one on the inode.
    File(FdRef),
}

impl Changed {
    pub(crate) fn inode(&self) -> Option<Inode<'_>> {
        match self {
            Changed::Nothing => None,
            Changed::Inode(inode) => Some(inode.get()),
            Changed::File(fd) => fd.get().inode(),
        }
    }
}

/// What is seen when a fop comes down. It is written where it stays until the reply: a record is large, and this
/// is the fop path.
#[derive(Debug)]
pub(crate) struct Before<'a> {
    pending: OnFrame,
    instance: &'a Instance,
    caller: Caller<'a>,
    xdata: Option<Dict<'a>>,
    loses_name: Option<Gfid>,
}

impl<'a> Before<'a> {
    // A row of the fop table calls it once: without this each call saves and restores all registers.
    #[inline(always)]
    pub(crate) fn new(
        instance: &'a Instance,
        fop: Fop,
        caller: Caller<'a>,
        xdata: Option<Dict<'a>>,
    ) -> Self {
        // SAFETY: [instance] it is freed when no fop is under way.
        let mut pending = unsafe { instance.pendings.take(instance.this()) };
        (pending.names, pending.unlink, pending.in_flight) = (None, None, None);
        let record = &mut pending.record;
        record.renew(fop, Origin::Client);
        record.caller = Some(Who { uid: caller.uid, gid: caller.gid, pid: caller.pid });
        record.ctime =
            caller.ctime.and_then(|(sec, nsec)| sec.checked_mul(1_000_000_000)?.checked_add(nsec));
        Before { pending, instance, caller, xdata, loses_name: None }
    }

    fn record(&mut self) -> &mut Record<'static> {
        &mut self.pending.record
    }

    /// The entry that appears, disappears or moves.
    #[inline]
    pub(crate) fn at(&mut self, loc: Option<Loc<'_>>) {
        let Pending { record, spare: [spare, _], .. } = &mut *self.pending;
        record.at = link(loc, spare);
    }

    /// The entry that a rename makes, and the inode it may take the place of.
    pub(crate) fn to(&mut self, loc: Option<Loc<'_>>) {
        let Pending { record, spare: [_, spare], .. } = &mut *self.pending;
        record.to = link(loc, spare);
        record.replaced = loc.and_then(Loc::inode).and_then(|inode| Gfid(inode.gfid()).known());
    }

    /// The inode that is acted upon, by name.
    pub(crate) fn subject(&mut self, loc: Option<Loc<'_>>) {
        let Some(loc) = loc else { return };
        self.record().gfid = Gfid(loc.gfid()).known();
        self.record().kind = loc.inode().and_then(|inode| FileType::from_host(inode.ia_type()));
    }

    /// The inode that is changed, by name; its slice mark counts.
    pub(crate) fn change(&mut self, loc: Option<Loc<'_>>) {
        self.subject(loc);
        if let Some(inode) = loc.and_then(Loc::inode) {
            self.pending.changed = Changed::Inode(inode.hold());
        }
    }

    /// The inode that is changed, through an open file; its slice mark counts.
    pub(crate) fn change_fd(&mut self, fd: Option<Fd<'_>>) {
        let Some((fd, inode)) = fd.and_then(|fd| Some((fd, fd.inode()?))) else { return };
        self.record().gfid = Gfid(inode.gfid()).known();
        self.record().kind = FileType::from_host(inode.ia_type());
        self.pending.changed = Changed::File(fd.hold());
    }

    pub(crate) fn flags(&mut self, flags: i32) {
        self.record().flags = Some(flags.cast_unsigned());
    }

    /// The first byte that a write changes. A file that is open for appending is written at its end, wherever
    /// the client believes that to be.
    pub(crate) fn write_at(&mut self, fd: Option<Fd<'_>>, offset: i64) {
        if fd.is_none_or(|fd| fd.flags() & libc::O_APPEND == 0) {
            self.offset(offset);
        }
    }

    /// The first byte that changes; the host's offsets are never negative.
    pub(crate) fn offset(&mut self, offset: i64) {
        self.record().offset = u64::try_from(offset).ok();
    }

    pub(crate) fn range(&mut self, offset: i64, length: u64) {
        self.offset(offset);
        self.record().length = Some(length);
    }

    pub(crate) fn rdev(&mut self, rdev: u64) {
        self.record().rdev = Some(rdev);
    }

    pub(crate) fn target(&mut self, target: Option<&CStr>) {
        self.record().target = target.map(|target| Cow::Owned(target.to_bytes().to_vec()));
    }

    pub(crate) fn source(&mut self, fd: Option<Fd<'_>>, offset: i64) {
        let gfid = fd.and_then(Fd::inode).and_then(|inode| Gfid(inode.gfid()).known());
        self.record().source =
            gfid.zip(u64::try_from(offset).ok()).map(|(gfid, offset)| Source { gfid, offset });
    }

    /// What a setattr sets: the host's `valid` says which of `values` count.
    pub(crate) fn set(&mut self, values: Option<Iatt<'_>>, valid: i32) {
        let Some(values) = values else { return };
        let mask = valid.cast_unsigned();
        let has = |bit: u32| mask & bit != 0;
        let when = |bit: u32, (sec, nsec): (i64, u32)| {
            if has(bit) { Time { sec, nsec } } else { Time::default() }
        };
        let number = |bit: u32, number: u32| if has(bit) { number } else { 0 };
        self.record().set = Some(SetAttr {
            mask,
            mode: number(set_attr::MODE, values.mode() & 0o7777),
            uid: number(set_attr::UID, values.uid()),
            gid: number(set_attr::GID, values.gid()),
            size: if has(set_attr::SIZE) { values.size() } else { 0 },
            atime: when(set_attr::ATIME, values.atime()),
            mtime: when(set_attr::MTIME, values.mtime()),
            ctime: when(set_attr::CTIME, values.ctime()),
        });
    }

    /// The extended attributes in `dict`.
    pub(crate) fn xattrs(&mut self, dict: Option<Dict<'_>>) {
        self.xattrs_that(dict, |name| !name.is_empty());
    }

    #[inline]
    fn xattrs_that(&mut self, dict: Option<Dict<'_>>, are_meant: impl Fn(&[u8]) -> bool) {
        let Some(dict) = dict else { return };
        let values = self.instance.switches().xattr_values();
        let value = |value: &[u8]| {
            (values && value.len() <= XATTR_VALUE_MAX).then(|| Cow::Owned(value.to_vec()))
        };
        self.record().xattrs = dict
            .iter()
            .filter(|(name, _)| are_meant(name.to_bytes()))
            .map(|(name, bytes)| Xattr {
                name: Cow::Owned(name.to_bytes().to_vec()),
                value: value(bytes),
            })
            .collect();
    }

    /// The extended attribute that is removed. An empty name stands for all that are in the xdata.
    pub(crate) fn xattr_name(&mut self, name: Option<&CStr>) {
        match name.map(CStr::to_bytes) {
            None | Some([]) => {
                self.xattrs(self.xdata);
                self.record().xattrs.iter_mut().for_each(|xattr| xattr.value = None);
            }
            Some(name) => {
                self.record().xattrs = vec![Xattr { name: Cow::Owned(name.to_vec()), value: None }];
            }
        }
    }

    /// The extended attributes that a new inode gets with its birth: those in the xdata that are in one of the
    /// namespaces of extended attributes. The rest of an xdata is talk between translators.
    pub(crate) fn birth_xattrs(&mut self) {
        const NAMESPACES: [&[u8]; 4] = [b"user.", b"system.", b"security.", b"trusted."];
        self.xattrs_that(self.xdata, |name| NAMESPACES.iter().any(|space| name.starts_with(space)));
    }

    /// The rename that the fop stands for, if cluster/distribute said so.
    pub(crate) fn renaming(&mut self) {
        let Some(hint) = self.xdata.and_then(|xdata| xdata.bytes(RENAME_HINT)) else { return };
        self.record().renaming = Renaming::from_hint(hint).map(Box::new);
        if self.record().renaming.is_none() {
            self.ignored_hint(hint.len());
        }
    }

    /// Anybody may send one, and as often as they like: it is said once.
    #[cold]
    fn ignored_hint(&self, len: usize) {
        if self.instance.counters.ignored_hints.fetch_add(1, Ordering::Relaxed) == 0 {
            let said = format_args!(
                "a client sent {len} bytes as a rename hint (changelog.rename-op) that are none: \
                 such are ignored and counted in the statedump; look at the client's version"
            );
            log::log(self.instance.this(), Level::Warning, 0, said);
        }
    }

    /// The path of the name that goes, if it is to be recorded.
    pub(crate) fn removed_path(&mut self) {
        if !self.instance.switches().removed_paths() {
            return;
        }
        let brick = self.instance.role().and_then(ChangelogRole::brick);
        let record = &mut self.pending.record;
        record.path = brick
            .zip(record.at.as_ref())
            .and_then(|(brick, at)| removed_path::resolve(brick, at))
            .map(Cow::Owned);
    }

    /// The subject loses a name: the reply shall say how many it had.
    pub(crate) fn subject_loses_name(&mut self) {
        self.loses_name = self.record().gfid;
    }

    /// So does the inode that a rename may replace.
    pub(crate) fn replaced_loses_name(&mut self) {
        self.loses_name = self.record().replaced;
    }

    /// What is kept until the reply, and the xdata to wind with in the place of the caller's.
    // A row of the fop table calls it once: without this each call saves and restores all registers.
    #[inline(always)]
    pub(crate) fn finish(self, recorded: bool) -> (OnFrame, Option<OwnedDict>) {
        let unlinks = &self.instance.unlinks;
        let mut pending = self.pending;
        pending.recorded = recorded;
        let parent = pending.record.at.as_ref().map(|at| at.parent);
        let internal = self.xdata.is_some_and(|xdata| xdata.contains(INTERNAL_FOP));
        let sent = self.caller.client.is_some() || self.caller.is_fop();
        pending.record.origin = Origin::decide(self.caller.pid, internal, sent, parent);
        pending.record.marked = internal;
        let mut xdata = None;
        if self.loses_name.is_some()
            && !self.xdata.is_some_and(|xdata| xdata.contains(ASK_LINK_COUNT))
        {
            xdata = OwnedDict::copy_with_ref(self.xdata)
                .zip(unlinks.question())
                .and_then(|(mut dict, question)| dict.add(question).then_some(dict));
        }
        pending.asked_link_count = xdata.is_some();
        pending.unlink = self.loses_name.map(|gfid| unlinks.begin(gfid));
        (pending, xdata)
    }
}

/// What is seen when the reply of a fop comes up.
#[derive(Debug)]
pub(crate) struct After<'a> {
    pub(crate) pending: &'a mut Pending,
    pub(crate) op_ret: i32,
    /// The file that was opened, if one was.
    pub(crate) opened: Option<Fd<'a>>,
    /// How many names an inode had before it lost one, as far as it is known.
    names_before: Option<NamesBefore>,
}

/// How many names an inode had before it lost one.
#[derive(Debug, Clone, Copy)]
struct NamesBefore {
    count: u32,
    /// No other name of it went at the same time.
    exact: bool,
}

impl NamesBefore {
    /// How many are left.
    fn left(self) -> Option<u32> {
        (self.exact || self.count <= 1).then(|| self.count.saturating_sub(1))
    }
}

impl<'a> After<'a> {
    /// Takes the answer to what we asked for out of the reply, which the caller does not get to see unless it
    /// asked too.
    #[inline]
    pub(crate) fn new(
        pending: &'a mut Pending,
        op_ret: i32,
        xdata: Option<Dict<'a>>,
        unlinks: &Unlinks,
    ) -> Self {
        // Only where a name goes was it asked for, and is an answer looked for.
        let names_before = pending.unlink.take().and_then(|unlink| {
            let exact = unlinks.end(unlink);
            let count = xdata?.u32(LINK_COUNT)?;
            if let (Some(xdata), true) = (xdata, pending.asked_link_count) {
                xdata.hold().del(LINK_COUNT);
            }
            Some(NamesBefore { count, exact })
        });
        After { pending, op_ret, opened: None, names_before }
    }

    /// A file was opened.
    pub(crate) fn opened(&mut self, fd: Option<Fd<'a>>) {
        self.opened = fd;
    }

    /// An inode came to be, or got another name: who it is and what it is like.
    pub(crate) fn born(&mut self, iatt: Option<Iatt<'_>>) {
        let record = &mut self.pending.record;
        let Some((iatt, gfid)) = iatt.and_then(|iatt| Some((iatt, Gfid(iatt.gfid()).known()?)))
        else {
            return;
        };
        record.gfid = Some(gfid);
        record.kind = FileType::from_host(iatt.ia_type());
        record.mode = Some(iatt.mode() & 0o7777);
        record.nlink = Some(iatt.nlink());
        let owner = Owner { uid: iatt.uid(), gid: iatt.gid() };
        if record.caller.is_some_and(|caller| (caller.uid, caller.gid) != (owner.uid, owner.gid)) {
            record.owner = Some(owner);
        }
    }

    /// A new inode's device number is kept only where it is a device.
    pub(crate) fn device_only(&mut self) {
        let record = &mut self.pending.record;
        if !matches!(record.kind, Some(FileType::Block | FileType::Character)) {
            record.rdev = None;
        }
    }

    /// The inode after its content or attributes changed.
    pub(crate) fn changed(&mut self, iatt: Option<Iatt<'_>>) {
        let record = &mut self.pending.record;
        let Some(iatt) = iatt else { return };
        if let Some(gfid) = Gfid(iatt.gfid()).known() {
            record.gfid = Some(gfid);
        }
        record.kind = FileType::from_host(iatt.ia_type()).or(record.kind);
        if iatt.has(sys::IATT_SIZE) && record.kind == Some(FileType::Regular) {
            record.size = Some(iatt.size());
        }
        // What the server's clock gave is known only now.
        if let Some(set) = &mut record.set {
            if set.mask & set_attr::ATIME_NOW != 0 {
                let (sec, nsec) = iatt.atime();
                set.atime = Time { sec, nsec };
            }
            if set.mask & set_attr::MTIME_NOW != 0 {
                let (sec, nsec) = iatt.mtime();
                set.mtime = Time { sec, nsec };
            }
        }
    }

    /// As many bytes changed as the reply says.
    pub(crate) fn moved(&mut self) {
        self.pending.record.length = u64::try_from(self.op_ret).ok();
    }

    /// A name of the subject went.
    pub(crate) fn unlinked(&mut self) {
        let record = &mut self.pending.record;
        record.nlink = self.names_before.and_then(NamesBefore::left);
        record.last_link = record.nlink.map(|left| left == 0);
    }

    /// A directory went: it has one name only.
    pub(crate) fn directory_removed(&mut self) {
        self.pending.record.last_link = Some(true);
    }

    /// A name moved, and perhaps took the place of another inode's.
    pub(crate) fn renamed(&mut self, iatt: Option<Iatt<'_>>) {
        let record = &mut self.pending.record;
        if let Some(iatt) = iatt {
            record.gfid = Gfid(iatt.gfid()).known().or(record.gfid);
            record.kind = FileType::from_host(iatt.ia_type()).or(record.kind);
            record.nlink = Some(iatt.nlink());
        }
        if record.replaced.is_some() {
            match self.names_before {
                // It was gone when its turn came.
                None if self.pending.asked_link_count => record.replaced = None,
                names => {
                    let left = names.and_then(NamesBefore::left);
                    let directory = record.kind == Some(FileType::Directory);
                    record.last_link =
                        if directory { Some(true) } else { left.map(|left| left == 0) };
                }
            }
        }
    }
}

/// The number of bytes in an I/O vector.
pub(crate) fn length_of(vector: *const libc::iovec, count: i32) -> u64 {
    let count = usize::try_from(count).unwrap_or(0);
    if vector.is_null() {
        return 0;
    }
    // SAFETY: [host-args] the host gives `count` elements at `vector` with every fop that has them.
    let parts = unsafe { std::slice::from_raw_parts(vector, count) };
    parts.iter().map(|part| part.iov_len as u64).sum()
}

/// The entry that `loc` names, with its name in the memory of `spare`.
#[inline]
fn link(loc: Option<Loc<'_>>, spare: &mut Vec<u8>) -> Option<Link<'static>> {
    let loc = loc?;
    let parent = Gfid(loc.pargfid()).known()?;
    let name = loc.name().filter(|name| !name.is_empty())?;
    let mut owned = std::mem::take(spare);
    owned.clear();
    owned.extend_from_slice(name);
    Some(Link { parent, name: Cow::Owned(owned) })
}
