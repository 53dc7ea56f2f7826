//! Which of the changes of a slice are repetitions, that are left out.
//!
//! Of each inode stock records the first change of content in a slice, the first of its attributes and the first of its
//! extended attributes. It remembers that in the inode; here it is a set for the slice, so that an exporter which begins
//! a slice again makes the same of it.

use std::collections::HashSet;

use gnotify_record::{Fop, Gfid, Record};

use crate::Change;
use crate::rules::{self, Scope};

/// Makes the changes of a slice out of records. The same records from a slice's beginning on give the same changes.
#[derive(Debug)]
pub struct Exporter {
    scope: Scope,
    seen: HashSet<(Gfid, Class)>,
    limit: usize,
}

/// What one record of an inode and slice is enough of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Its content changed.
    Content,
    /// Its attributes changed; so stock counts the size of a sharded file too, if it was changed by its path.
    Attributes,
    /// Its extended attributes changed.
    ExtendedAttributes,
    /// This fop was done to it: with [`Scope::Extended`].
    Each(Fop),
}

/// How many inodes and classes are remembered: some 32 MiB. Beyond it some are recorded once more, which does no harm.
const LIMIT: usize = 1 << 20;

impl Exporter {
    /// At the beginning of a slice.
    #[must_use]
    pub fn new(scope: Scope) -> Exporter {
        Exporter { scope, seen: HashSet::new(), limit: LIMIT }
    }

    /// Adds to `changes` what is to be written of `record`.
    pub fn record<'r>(&mut self, record: &'r Record<'_>, changes: &mut Vec<Change<'r>>) {
        let of_record = rules::changes(record, self.scope);
        changes.extend(of_record.into_iter().filter(|change| self.is_new(change)));
    }

    /// A new slice begins: nothing is a repetition.
    pub fn end_slice(&mut self) {
        self.seen.clear();
    }

    /// Whether `change` is no repetition; from now on the same one is.
    pub fn is_new(&mut self, change: &Change<'_>) -> bool {
        let Some(class) = class(change, self.scope) else { return true };
        let key = (change.gfid(), class);
        if self.seen.contains(&key) {
            return false;
        }
        if self.seen.len() >= self.limit {
            self.seen.clear();
        }
        self.seen.insert(key)
    }
}

/// What `change` may be a repetition of; `None` for a change of a name, which never is one.
#[must_use]
pub fn class(change: &Change<'_>, scope: Scope) -> Option<Class> {
    match (change, scope) {
        (Change::Entry { .. }, _) => None,
        (Change::Data { .. }, _) => Some(Class::Content),
        (Change::Metadata { fop, .. }, Scope::Extended) => Some(Class::Each(*fop)),
        (Change::Metadata { fop: Fop::SETATTR | Fop::FSETATTR | Fop::XATTROP, .. }, _) => {
            Some(Class::Attributes)
        }
        (Change::Metadata { .. }, _) => Some(Class::ExtendedAttributes),
    }
}

#[cfg(test)]
mod tests {
    use gnotify_record::{Caller, ClientId, FileType, Link, Origin, TRIGGER_SYNC, Xattr};

    use super::*;

    /// The fops of a slice on one inode, as far as they are written.
    fn written(exporter: &mut Exporter, fops: &[Fop]) -> Vec<Option<Fop>> {
        written_of(exporter, 1, fops)
    }

    fn written_of(exporter: &mut Exporter, inode: u8, fops: &[Fop]) -> Vec<Option<Fop>> {
        let record = |fop: &Fop| Record {
            gfid: Some(Gfid([inode; 16])),
            client: Some(ClientId(1)),
            ..Record::new(*fop, Origin::Client)
        };
        let records: Vec<_> = fops.iter().map(record).collect();
        let mut changes = Vec::new();
        records.iter().for_each(|record| exporter.record(record, &mut changes));
        changes.iter().map(Change::fop).collect()
    }

    const FOPS: [Fop; 7] = [
        Fop::WRITE,
        Fop::SETXATTR,
        Fop::REMOVEXATTR,
        Fop::FSETATTR,
        Fop::SETATTR,
        Fop::TRUNCATE,
        Fop::SETXATTR,
    ];

    #[test]
    fn of_each_class_the_first_is_written() {
        let mut exporter = Exporter::new(Scope::Stock);
        let want = [None, Some(Fop::SETXATTR), Some(Fop::FSETATTR)];
        assert_eq!(written(&mut exporter, &FOPS), want);
        assert_eq!(written(&mut exporter, &FOPS), []);
        assert_eq!(written_of(&mut exporter, 2, &FOPS), want);
        exporter.end_slice();
        assert_eq!(written(&mut exporter, &FOPS), want);
    }

    #[test]
    fn d14_of_each_fop_in_the_extended_scope() {
        let mut exporter = Exporter::new(Scope::Extended);
        let want = [Fop::SETXATTR, Fop::REMOVEXATTR, Fop::FSETATTR, Fop::SETATTR].map(Some);
        assert_eq!(written(&mut exporter, &FOPS), [&[None], &want[..]].concat());
        assert_eq!(written(&mut exporter, &FOPS), []);
    }

    #[test]
    fn what_asks_to_be_looked_at_again_is_written_each_time() {
        let sync = Record {
            gfid: Some(Gfid([1; 16])),
            kind: Some(FileType::Regular),
            caller: Some(Caller { uid: 0, gid: 0, pid: 1 }),
            at: Some(Link { parent: Gfid::ROOT, name: b"f"[..].into() }),
            xattrs: vec![Xattr { name: TRIGGER_SYNC.into(), value: None }],
            ..Record::new(Fop::SETXATTR, Origin::Client)
        };
        for scope in [Scope::Stock, Scope::Extended] {
            let mut exporter = Exporter::new(scope);
            let mut changes = Vec::new();
            for _ in 0..3 {
                exporter.record(&sync, &mut changes);
            }
            let fops: Vec<_> = changes.iter().map(Change::fop).collect();
            let create = Some(Fop::CREATE);
            assert_eq!(fops, [create, None, create, create]);
            // It is no change of the extended attributes.
            assert_eq!(written(&mut exporter, &[Fop::SETXATTR]), [Some(Fop::SETXATTR)]);
        }
    }

    #[test]
    fn beyond_the_limit_some_are_written_again_and_none_is_left_out() {
        let mut exporter = Exporter { limit: 4, ..Exporter::new(Scope::Stock) };
        for inode in 0..100 {
            assert_eq!(written_of(&mut exporter, inode, &[Fop::WRITE, Fop::WRITE]), [None]);
        }
        assert!(exporter.seen.len() <= 4);
    }
}
