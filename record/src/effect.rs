//! What a fop means: the one place that decides whether, and how often, it becomes a record.
//!
//! Pure, and tested row by row: the plugin asks it in every reply, and so does everything that
//! simulates the plugin.

use crate::{Class, Fop, Gfid, Link, Record};

/// How much is recorded of repeated data and metadata changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Detail {
    /// One record for each inode, fop and slice: enough to know what changed in a slice.
    Slice,
    /// Every change.
    All,
}

/// What the administrator asked for, as far as it decides what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The option `detail`.
    pub detail: Detail,
    /// The option `journal-opens`.
    pub journal_opens: bool,
}

/// What becomes of a fop in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed, or nobody wants to know.
    Nothing,
    /// A record.
    Record,
    /// A record, unless the inode has one of this fop in the running slice. The number is the fop's
    /// place in the inode's slice mask, 0 to 15.
    RecordOncePerSlice(u8),
}

/// Decides what becomes of the fop that `record` describes, whose reply was `op_ret` (negative: it
/// failed).
///
/// A write or copy of no bytes changes nothing, and neither does a rename from one name of an inode to
/// another name of the same one (POSIX rename). All other fops change something whenever they succeed,
/// as far as the host tells.
#[must_use]
#[inline]
pub fn effect(record: &Record<'_>, op_ret: i32, policy: Policy) -> Effect {
    let fop = record.fop;
    let onto_itself =
        fop == Fop::RENAME && record.replaced.is_some() && record.replaced == record.gfid;
    let moved_no_bytes = op_ret == 0 && matches!(fop, Fop::WRITE | Fop::COPY_FILE_RANGE);
    if op_ret < 0 || moved_no_bytes || onto_itself {
        return Effect::Nothing;
    }
    match (fop.class(), fop.slice_bit(), policy.detail) {
        (None, ..) => Effect::Nothing,
        // It asks for a change to be told, and may not be taken for a repetition of another.
        _ if record.triggers_sync() => Effect::Record,
        // It changes the file, whether opens are recorded or not.
        _ if truncates(fop, record.flags) => Effect::Record,
        (Some(Class::OpenClose), ..) if policy.journal_opens => Effect::Record,
        (Some(Class::OpenClose), ..) => Effect::Nothing,
        (Some(_), Some(bit), Detail::Slice) => Effect::RecordOncePerSlice(bit),
        (Some(_), ..) => Effect::Record,
    }
}

/// What names mean after a fop that succeeded: each with the inode it stands for from then on, or nothing. `None`
/// in place of a gfid where the host did not tell.
#[must_use]
pub fn bindings<'r, 'a>(record: &'r Record<'a>) -> [Option<(&'r Link<'a>, Binding)>; 2] {
    let now = record.gfid.map_or(Binding::Unknown, Binding::Inode);
    let at = |binding| record.at.as_ref().map(|at| (at, binding));
    match record.fop {
        Fop::RENAME if record.replaced.is_some() && record.replaced == record.gfid => [None, None],
        Fop::RENAME => [at(Binding::Nothing), record.to.as_ref().map(|to| (to, now))],
        Fop::UNLINK | Fop::RMDIR => [at(Binding::Nothing), None],
        _ if record.fop.class() == Some(Class::Entry) => [at(now), None],
        _ => [None, None],
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// An inode.
    Inode(Gfid),
    /// There is no such name.
    Nothing,
    /// One of the two.
    Unknown,
}

/// Whether an open cuts the file to nothing. The kernel's FUSE asks for that by itself, other clients by this flag.
#[must_use]
pub fn truncates(fop: Fop, flags: Option<u32>) -> bool {
    /// `O_TRUNC` of Linux, on all machines that GlusterFS runs on but MIPS, SPARC and Alpha.
    const O_TRUNC: u32 = 0o1000;
    fop == Fop::OPEN && flags.is_some_and(|flags| flags & O_TRUNC != 0)
}

/// Whether `fop` opens a file besides what it changes, so that an OPEN record follows its own.
#[must_use]
pub fn implies_open(fop: Fop, policy: Policy) -> bool {
    policy.journal_opens && fop == Fop::CREATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gfid, Origin, Record, TRIGGER_SYNC, Xattr};
    use Effect::{Nothing, RecordOncePerSlice};

    const SLICE: Policy = Policy { detail: Detail::Slice, journal_opens: false };
    const ALL: Policy = Policy { detail: Detail::All, journal_opens: false };
    const OPENS: Policy = Policy { detail: Detail::Slice, journal_opens: true };

    fn of(fop: Fop, op_ret: i32, policy: Policy) -> Effect {
        effect(&Record::new(fop, Origin::Client), op_ret, policy)
    }

    /// Every fop of the host: what it becomes with detail=slice, with detail=all, with
    /// journal-opens=on, each time after a success that moved a byte where it moves bytes.
    #[test]
    fn table() {
        let once = |fop: Fop| RecordOncePerSlice(fop.slice_bit().unwrap());
        let entry = [
            Fop::CREATE,
            Fop::MKDIR,
            Fop::MKNOD,
            Fop::SYMLINK,
            Fop::LINK,
            Fop::RENAME,
            Fop::UNLINK,
            Fop::RMDIR,
            Fop::PUT,
            Fop::ICREATE,
            Fop::NAMELINK,
        ];
        let sliced = [
            Fop::WRITE,
            Fop::TRUNCATE,
            Fop::FTRUNCATE,
            Fop::FALLOCATE,
            Fop::DISCARD,
            Fop::ZEROFILL,
            Fop::COPY_FILE_RANGE,
            Fop::SETATTR,
            Fop::FSETATTR,
            Fop::SETXATTR,
            Fop::FSETXATTR,
            Fop::REMOVEXATTR,
            Fop::FREMOVEXATTR,
            Fop::XATTROP,
            Fop::FXATTROP,
        ];
        let opens = [Fop::OPEN, Fop::OPENDIR, Fop::RELEASE, Fop::RELEASEDIR];
        for number in 0..=u8::MAX {
            let fop = Fop(number);
            let want = match fop {
                _ if entry.contains(&fop) => [Effect::Record; 3],
                _ if sliced.contains(&fop) => [once(fop), Effect::Record, once(fop)],
                _ if opens.contains(&fop) => [Nothing, Nothing, Effect::Record],
                _ => [Nothing; 3],
            };
            for (policy, want) in [SLICE, ALL, OPENS].into_iter().zip(want) {
                assert_eq!(of(fop, 1, policy), want, "{fop} {policy:?}");
                assert_eq!(of(fop, -1, policy), Nothing, "{fop} {policy:?} failed");
            }
        }
    }

    #[test]
    fn no_bytes_no_record() {
        assert_eq!(of(Fop::WRITE, 0, ALL), Nothing);
        assert_eq!(of(Fop::COPY_FILE_RANGE, 0, ALL), Nothing);
        assert_eq!(of(Fop::FALLOCATE, 0, ALL), Effect::Record);
        assert_eq!(of(Fop::CREATE, 0, ALL), Effect::Record);
    }

    #[test]
    fn a_rename_to_another_name_of_the_same_inode_does_nothing() {
        let rename = |gfid: u8, replaced: u8| Record {
            gfid: Some(Gfid([gfid; 16])),
            replaced: Some(Gfid([replaced; 16])),
            ..Record::new(Fop::RENAME, Origin::Client)
        };
        assert_eq!(effect(&rename(1, 1), 0, ALL), Nothing);
        assert_eq!(effect(&rename(1, 2), 0, ALL), Effect::Record);
    }

    #[test]
    fn names_after_a_fop() {
        let link = |name: &'static [u8]| Link { parent: Gfid::ROOT, name: name.into() };
        let of = |fop, to: Option<&'static [u8]>, replaced| {
            let record = Record {
                gfid: Some(Gfid([7; 16])),
                at: Some(link(b"at")),
                to: to.map(link),
                replaced,
                ..Record::new(fop, Origin::Client)
            };
            bindings(&record).map(|one| one.map(|(link, binding)| (link.name.to_vec(), binding)))
        };
        let at = |binding| Some((b"at".to_vec(), binding));
        let inode = Binding::Inode(Gfid([7; 16]));
        assert_eq!(of(Fop::CREATE, None, None), [at(inode), None]);
        assert_eq!(of(Fop::LINK, None, None), [at(inode), None]);
        assert_eq!(of(Fop::UNLINK, None, None), [at(Binding::Nothing), None]);
        assert_eq!(of(Fop::RMDIR, None, None), [at(Binding::Nothing), None]);
        let moved = [at(Binding::Nothing), Some((b"to".to_vec(), inode))];
        assert_eq!(of(Fop::RENAME, Some(b"to"), None), moved);
        assert_eq!(of(Fop::RENAME, Some(b"to"), Some(Gfid([8; 16]))), moved);
        assert_eq!(of(Fop::RENAME, Some(b"to"), Some(Gfid([7; 16]))), [None, None]);
        assert_eq!(of(Fop::WRITE, None, None), [None, None]);
    }

    #[test]
    fn an_open_that_truncates_is_a_change() {
        let open = |flags| Record { flags: Some(flags), ..Record::new(Fop::OPEN, Origin::Client) };
        assert_eq!(effect(&open(0o1002), 0, ALL), Effect::Record);
        assert_eq!(effect(&open(0o1002), -1, ALL), Nothing);
        assert_eq!(effect(&open(0o2), 0, ALL), Nothing);
    }

    #[test]
    fn the_virtual_xattr_is_no_repetition() {
        let set = |name: &'static [u8]| Record {
            xattrs: vec![Xattr { name: name.into(), value: None }],
            ..Record::new(Fop::SETXATTR, Origin::Client)
        };
        let once = RecordOncePerSlice(Fop::SETXATTR.slice_bit().unwrap());
        assert_eq!(effect(&set(TRIGGER_SYNC), 0, SLICE), Effect::Record);
        assert_eq!(effect(&set(TRIGGER_SYNC), -1, SLICE), Nothing);
        assert_eq!(effect(&set(b"user.a"), 0, SLICE), once);
    }

    #[test]
    fn only_a_create_implies_an_open() {
        assert!(implies_open(Fop::CREATE, OPENS));
        assert!(!implies_open(Fop::CREATE, ALL));
        assert!(!implies_open(Fop::MKNOD, OPENS));
    }
}
