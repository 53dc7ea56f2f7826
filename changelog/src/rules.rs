//! What stock records of which fop, decided from gnotify's record alone.
//!
//! The rules are those of features/changelog in GlusterFS 10: which fops it sees, which of them it passes over because
//! another translator or service made them, and what it takes from a rename, of which only cluster/distribute on the
//! client can tell which brick is to record it. `docs/changelog.md` lists them.

use std::borrow::Cow;

use gnotify_record::{Caller, FileType, Fop, Gfid, Link, Origin, Record, effect};
use smallvec::{SmallVec, smallvec};

use crate::{Birth, Change, Entry, Removal};

/// How much is recorded (the option `changelog-records`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What stock records.
    Stock,
    /// Besides it, what stock loses: content that a fallocate, discard, zerofill, copy_file_range or truncating open
    /// changed, each fop on the metadata of an inode, and the removal of what a rename took the place of.
    Extended,
}

/// What the request itself said, as far as it decides.
#[derive(Debug, Clone, Default)]
pub struct Request<'r> {
    /// The hint of cluster/distribute that this brick is to record a rename: old and new name ([`read_rename_op`]).
    pub renaming: Option<(Link<'r>, Link<'r>)>,
    /// Where a removed name stood, from the root of the volume on (`capture-del-path`).
    pub path: Option<&'r [u8]>,
    /// The request is marked as another translator's (xdata `glusterfs-internal-fop`).
    pub internal: bool,
    /// It began in the brick, not at a client.
    pub of_the_brick: bool,
}

impl<'r> Request<'r> {
    /// As far as `record` tells.
    #[must_use]
    pub fn of(record: &'r Record<'_>) -> Request<'r> {
        let renaming = record.renaming.as_deref();
        Request {
            renaming: renaming.map(|renaming| (borrow(&renaming.from), borrow(&renaming.to))),
            path: record.path.as_deref(),
            internal: record.origin == Origin::Internal && record.client.is_some(),
            of_the_brick: record.client.is_none(),
        }
    }
}

/// The self-heal daemon, whose marked requests are recorded (stock: GF_CLIENT_PID_SELF_HEALD).
const SELF_HEAL_DAEMON: i32 = -6;

/// Rebalance and tiering (stock: GF_CLIENT_PID_DEFRAG, GF_CLIENT_PID_TIER_DEFRAG).
const REBALANCE: [i32; 2] = [-3, -10];

/// The size of a sharded file, and the mark of a file that tiering moved: extended attributes by their names.
const SHARD_SIZE: &[u8] = b"trusted.glusterfs.shard.file-size";
const TIER_LINK: &[u8] = b"trusted.tier.tier-dht.linkto";

/// The changes that `record` becomes, before repetitions in a slice are left out (`export::Exporter`).
///
/// An uncertain change of a name becomes nothing: geo-replication would replay what may never have been. Whoever reads the
/// journal looks at the brick first and hands in what it finds as certain.
#[must_use]
pub fn changes<'r>(record: &'r Record<'_>, scope: Scope) -> SmallVec<[Change<'r>; 2]> {
    changes_of(record, &Request::of(record), scope)
}

/// The same, by what `request` says in the place of what the record tells.
#[must_use]
pub fn changes_of<'r>(
    record: &'r Record<'_>,
    request: &Request<'r>,
    scope: Scope,
) -> SmallVec<[Change<'r>; 2]> {
    let pid = record.caller.map_or(0, |caller| caller.pid);
    let Some(gfid) = record.gfid.filter(|_| !REBALANCE.contains(&pid)) else {
        return SmallVec::new();
    };
    let rule =
        Rule { record, request, gfid, passed_over: request.internal && pid != SELF_HEAL_DAEMON };
    let content = match scope {
        Scope::Stock => matches!(record.fop, Fop::WRITE | Fop::TRUNCATE | Fop::FTRUNCATE),
        Scope::Extended => changes_content(record),
    };
    if content {
        return smallvec![Change::Data { gfid }];
    }
    if rule.is_metadata() {
        return smallvec![Change::Metadata { gfid, fop: record.fop }];
    }
    let Some(entry) = rule.entry() else { return SmallVec::new() };
    let mut changes = SmallVec::new();
    if scope == Scope::Extended {
        changes.extend(rule.removal_of_replaced());
    }
    changes.push(Change::Entry { gfid, entry });
    changes
}

fn changes_content(record: &Record<'_>) -> bool {
    let fops = [
        Fop::WRITE,
        Fop::TRUNCATE,
        Fop::FTRUNCATE,
        Fop::FALLOCATE,
        Fop::DISCARD,
        Fop::ZEROFILL,
        Fop::COPY_FILE_RANGE,
    ];
    fops.contains(&record.fop) || effect::truncates(record.fop, record.flags)
}

struct Rule<'q, 'r, 'a> {
    record: &'r Record<'a>,
    request: &'q Request<'r>,
    gfid: Gfid,
    /// As another translator's, where stock asks for that.
    passed_over: bool,
}

impl<'r> Rule<'_, 'r, '_> {
    fn is_metadata(&self) -> bool {
        let asked = match self.record.fop {
            Fop::SETATTR => !self.passed_over && self.gfid != Gfid::SHARD_ROOT,
            Fop::FSETXATTR => !self.passed_over,
            Fop::FSETATTR | Fop::SETXATTR | Fop::REMOVEXATTR | Fop::FREMOVEXATTR => true,
            Fop::XATTROP | Fop::FXATTROP => self.has_xattr(SHARD_SIZE),
            _ => false,
        };
        asked && !self.request.of_the_brick
    }

    fn has_xattr(&self, name: &[u8]) -> bool {
        self.record.xattrs.iter().any(|xattr| *xattr.name == *name)
    }

    fn entry(&self) -> Option<Entry<'r>> {
        if self.record.uncertain {
            return None;
        }
        let removal = |at| Removal { at, path: self.request.path.map(Cow::Borrowed) };
        Some(match self.record.fop {
            Fop::CREATE => Entry::Create(self.birth()?),
            Fop::MKDIR => Entry::Mkdir(self.birth()?),
            Fop::MKNOD if !self.passed_over || self.has_xattr(TIER_LINK) => {
                Entry::Mknod(self.birth()?)
            }
            Fop::SYMLINK => Entry::Symlink(self.at()?),
            Fop::LINK if !self.passed_over => Entry::Link(self.at()?),
            Fop::RENAME if self.is_directory() || self.request.renaming.is_some() => {
                Entry::Rename { old: self.at()?, new: self.to()? }
            }
            // The data lies here, and the name that moved lay elsewhere.
            Fop::UNLINK if self.request.renaming.is_some() => {
                let (old, new) = self.request.renaming.clone()?;
                Entry::Rename { old, new }
            }
            Fop::UNLINK if !self.passed_over => Entry::Unlink(removal(self.at()?)),
            Fop::RMDIR => Entry::Rmdir(removal(self.at()?)),
            _ => return None,
        })
    }

    fn is_directory(&self) -> bool {
        self.record.kind == Some(FileType::Directory)
    }

    fn at(&self) -> Option<Link<'r>> {
        self.record.at.as_ref().map(borrow)
    }

    fn to(&self) -> Option<Link<'r>> {
        self.record.to.as_ref().map(borrow)
    }

    fn birth(&self) -> Option<Birth<'r>> {
        let Caller { uid, gid, .. } = self.record.caller?;
        let mode = self.record.mode? | self.record.kind.map_or(0, type_bits);
        Some(Birth { mode, uid, gid, at: self.at()? })
    }

    /// What stock leaves unsaid: the inode that had the new name lost it.
    fn removal_of_replaced(&self) -> Option<Change<'r>> {
        if self.record.fop != Fop::RENAME {
            return None;
        }
        let gfid = self.record.replaced.filter(|replaced| *replaced != self.gfid)?;
        let removal = Removal { at: self.to()?, path: None };
        // A directory takes the place of a directory only, and nothing else can.
        let entry =
            if self.is_directory() { Entry::Rmdir(removal) } else { Entry::Unlink(removal) };
        Some(Change::Entry { gfid, entry })
    }
}

fn borrow<'r>(link: &'r Link<'_>) -> Link<'r> {
    Link { parent: link.parent, name: Cow::Borrowed(&link.name) }
}

/// The bits of `st_mode` that say what an inode is.
fn type_bits(kind: FileType) -> u32 {
    match kind {
        FileType::Regular => 0o100_000,
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        FileType::Block => 0o060_000,
        FileType::Character => 0o020_000,
        FileType::Fifo => 0o010_000,
        FileType::Socket => 0o140_000,
    }
}

/// Where the names of a rename hint begin, and how long stock's structure is that they are said to lie behind.
const RENAME_OP_NAMES: usize = 40;
const RENAME_OP_SIZE: usize = 44;

/// The old and the new name in a rename hint of cluster/distribute (xdata `changelog.rename-op`): two gfids of 16 bytes,
/// two lengths of 4 bytes, both names with a NUL each, 4 bytes that mean nothing. A client chose all of it: `None` where
/// the lengths are not those of two names in it.
#[must_use]
pub fn read_rename_op(blob: &[u8]) -> Option<(Link<'_>, Link<'_>)> {
    let gfid = |at: usize| Some(Gfid(*blob.get(at..)?.first_chunk()?));
    let len = |at: usize| {
        let len = i32::from_le_bytes(*blob.get(at..)?.first_chunk()?);
        // A file's name and its NUL.
        usize::try_from(len).ok().filter(|len| (2..=256).contains(len))
    };
    let (old_len, new_len) = (len(32)?, len(36)?);
    if blob.len() != RENAME_OP_SIZE + old_len + new_len {
        return None;
    }
    let name = |at: usize, len: usize| {
        let name = blob.get(at..at + len)?.strip_suffix(b"\0")?;
        let is_name = !name.is_empty() && !name.contains(&0) && !name.contains(&b'/');
        is_name.then_some(Cow::Borrowed(name))
    };
    let old = Link { parent: gfid(0)?, name: name(RENAME_OP_NAMES, old_len)? };
    let new = Link { parent: gfid(16)?, name: name(RENAME_OP_NAMES + old_len, new_len)? };
    Some((old, new))
}

#[cfg(test)]
mod tests;
