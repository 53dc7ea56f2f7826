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

/// The self-heal daemon, whose marked requests are recorded (stock: GF_CLIENT_PID_SELF_HEALD).
const SELF_HEAL_DAEMON: i32 = -6;

/// The changes that `record` becomes, before repetitions in a slice are left out (`export::Exporter`).
///
/// An uncertain change of a name becomes nothing: geo-replication would replay what may never have been. Whoever reads the
/// journal looks at the brick first and hands in what it finds as certain.
#[must_use]
pub fn changes<'r>(record: &'r Record<'_>, scope: Scope) -> SmallVec<[Change<'r>; 2]> {
    let Some(gfid) = record.gfid.filter(|_| record.origin != Origin::Rebalance) else {
        return SmallVec::new();
    };
    let of_self_heal = record.caller.is_some_and(|caller| caller.pid == SELF_HEAL_DAEMON);
    let rule = Rule { record, gfid, passed_over: record.marked && !of_self_heal };
    if record.triggers_sync() {
        return rule.as_if_new();
    }
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

/// Whether a certain `record` becomes a change, if not in [`Scope::Stock`] then in the other.
#[must_use]
pub fn is_told(record: &Record<'_>) -> bool {
    !changes(record, Scope::Extended).is_empty()
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

struct Rule<'r, 'a> {
    record: &'r Record<'a>,
    gfid: Gfid,
    /// As another translator's, where stock asks for that.
    passed_over: bool,
}

impl<'r> Rule<'r, '_> {
    fn is_metadata(&self) -> bool {
        let asked = match self.record.fop {
            Fop::SETATTR => !self.passed_over && self.gfid != Gfid::SHARD_ROOT,
            Fop::FSETXATTR => !self.passed_over,
            Fop::FSETATTR | Fop::SETXATTR | Fop::REMOVEXATTR | Fop::FREMOVEXATTR => true,
            Fop::XATTROP | Fop::FXATTROP => self.record.has_deciding_xattr(),
            _ => false,
        };
        // What has no client began in the brick. Of what a kill cut off it is not known who sent it.
        let of_the_brick = self.record.client.is_none() && !self.record.uncertain;
        asked && !of_the_brick
    }

    /// What the virtual extended attribute asks for: the inode is told of as a new one, whatever it is like.
    fn as_if_new(&self) -> SmallVec<[Change<'r>; 2]> {
        let gfid = self.gfid;
        let (entry, content) = match self.record.kind {
            Some(FileType::Directory) => (self.birth_of(0o040_755).map(Entry::Mkdir), None),
            Some(FileType::Regular) => {
                (self.birth_of(0o100_644).map(Entry::Create), Some(Change::Data { gfid }))
            }
            // Stock serves it for no other.
            _ => (None, None),
        };
        entry.map(|entry| Change::Entry { gfid, entry }).into_iter().chain(content).collect()
    }

    fn entry(&self) -> Option<Entry<'r>> {
        if self.record.uncertain {
            return None;
        }
        let removal = |at| Removal { at, path: self.record.path.as_deref().map(Cow::Borrowed) };
        Some(match self.record.fop {
            Fop::CREATE => Entry::Create(self.birth()?),
            Fop::MKDIR => Entry::Mkdir(self.birth()?),
            Fop::MKNOD if !self.passed_over || self.record.has_deciding_xattr() => {
                Entry::Mknod(self.birth()?)
            }
            Fop::SYMLINK => Entry::Symlink(self.at()?),
            Fop::LINK if !self.passed_over => Entry::Link(self.at()?),
            Fop::RENAME if self.is_directory() || self.record.renaming.is_some() => {
                Entry::Rename { old: self.at()?, new: self.to()? }
            }
            // The data lies here, and the name that moved lay elsewhere.
            Fop::UNLINK if self.record.renaming.is_some() => {
                let renaming = self.record.renaming.as_ref()?;
                Entry::Rename { old: borrow(&renaming.from), new: borrow(&renaming.to) }
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
        self.birth_of(self.record.mode? | self.record.kind.map_or(0, type_bits))
    }

    fn birth_of(&self, mode: u32) -> Option<Birth<'r>> {
        let Caller { uid, gid, .. } = self.record.caller?;
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

#[cfg(test)]
mod tests;
