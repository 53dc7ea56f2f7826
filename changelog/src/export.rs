//! Which of the changes of a slice are repetitions, that are left out.
//!
//! Of each inode stock records the first change of content in a slice, the first of its attributes and the first of its
//! extended attributes. It remembers that in the inode; here it is a set for the slice, so that an exporter which begins
//! a slice again makes the same of it.

use std::collections::HashSet;

use gnotify_record::{Fop, Gfid, Record};
use smallvec::SmallVec;

use crate::Change;
use crate::rules::{self, Request, Scope};

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
        self.add(rules::changes(record, self.scope), changes);
    }

    /// The same, by what `request` says in the place of what the record tells.
    pub fn record_of<'r>(
        &mut self,
        record: &'r Record<'_>,
        request: &Request<'r>,
        changes: &mut Vec<Change<'r>>,
    ) {
        self.add(rules::changes_of(record, request, self.scope), changes);
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

    fn add<'r>(&mut self, of_record: SmallVec<[Change<'r>; 2]>, changes: &mut Vec<Change<'r>>) {
        changes.extend(of_record.into_iter().filter(|change| self.is_new(change)));
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
    use gnotify_record::{ClientId, Origin};

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
    fn beyond_the_limit_some_are_written_again_and_none_is_left_out() {
        let mut exporter = Exporter { limit: 4, ..Exporter::new(Scope::Stock) };
        for inode in 0..100 {
            assert_eq!(written_of(&mut exporter, inode, &[Fop::WRITE, Fop::WRITE]), [None]);
        }
        assert!(exporter.seen.len() <= 4);
    }
}
