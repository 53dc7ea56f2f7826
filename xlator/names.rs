//! One order for each name: what promise P8 needs.
//!
//! Two fops on one name that run at the same time may be applied in one order and recorded in the other. So
//! a fop on a name that is in flight is parked, not blocked, and goes on from the reply of the one ahead of
//! it. A rename queues for both of its names in one step, so that no two can wait for each other.
//!
//! Because each name's fops now come one after the other, this place also knows what a name was bound to
//! last. That is wanted: the host resolved a fop's name before it came here, and by the time it is served the
//! name may mean another inode.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gnotify_record::effect::{Binding, bindings};
use gnotify_record::{Fop, Link, Record};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A lock serves so many names that two fops rarely want the same; the work under it is a few memory accesses.
const SHARDS: usize = 64;

/// Names whose last binding is remembered in each shard: far more than can be resolved and not yet served.
const REMEMBERED: usize = 256;

/// The rest of a fop that was parked.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// The number of a name: a hash of parent and name. Two names with one number wait for each other without
/// need; among the few in flight that does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(u64);

impl Name {
    pub(crate) fn of(link: &Link<'_>) -> Name {
        // A parent is as good as random; the root's and few others are small numbers.
        let parent = u128::from_le_bytes(link.parent.0);
        Name(xxh3_64_with_seed(&link.name, (parent >> 64) as u64 ^ (parent as u64).rotate_left(32)))
    }

    fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    fn place(self) -> usize {
        (self.0 / SHARDS as u64) as usize % REMEMBERED
    }
}

/// The names of one fop: one, or the two of a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    first: Name,
    second: Option<Name>,
}

impl Names {
    /// The names at `at` and `to`, those that are there. None when none is.
    pub(crate) fn of(at: Option<&Link<'_>>, to: Option<&Link<'_>>) -> Option<Names> {
        let (at, to) = (at.map(Name::of), to.map(Name::of));
        match (at, to) {
            (Some(at), Some(to)) if at != to => Some(Names { first: at, second: Some(to) }),
            (Some(name), _) | (None, Some(name)) => Some(Names { first: name, second: None }),
            (None, None) => None,
        }
    }

    #[inline]
    fn each(self) -> impl Iterator<Item = Name> {
        std::iter::once(self.first).chain(self.second)
    }

    /// That of the entry that a rename makes.
    fn last(self) -> Name {
        self.second.unwrap_or(self.first)
    }
}

/// A fop that waits for its names.
pub(crate) struct Waiter {
    /// Names it does not have yet, and one for the call that is not yet there.
    missing: AtomicU32,
    call: Mutex<Option<Call>>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Waiter {
    /// One thing less is missing. The call, if it was the last.
    fn got_one(&self) -> Option<Call> {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.call.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else {
            None
        }
    }

    /// Parks `call` until the names are free. Gives it back if they are by now: then it is to be run.
    pub(crate) fn park(&self, call: Call) -> Option<Call> {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self.got_one()
    }
}

/// The names in flight of a brick.
#[derive(Debug)]
pub(crate) struct Order {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug)]
struct Shard {
    /// The names that a fop has, with the fops that wait behind it, in the order they came. There are few at a
    /// time, so that looking through them costs less than a map, and a queue without a fop no allocation.
    held: Vec<(Name, VecDeque<Arc<Waiter>>)>,
    remembered: Vec<Option<(Name, Binding)>>,
}

impl Shard {
    /// Takes `name`, or queues for it.
    #[inline]
    fn enter(&mut self, name: Name, waiter: &mut Option<Arc<Waiter>>) {
        let Some((_, queue)) = self.held.iter_mut().find(|(held, _)| *held == name) else {
            self.held.push((name, VecDeque::new()));
            return;
        };
        let waiter = waiter.get_or_insert_with(|| {
            Arc::new(Waiter { missing: AtomicU32::new(1), call: Mutex::new(None) })
        });
        waiter.missing.fetch_add(1, Ordering::Relaxed);
        queue.push_back(Arc::clone(waiter));
    }

    /// Gives `name` to the first in its queue, or frees it.
    #[inline]
    fn leave(&mut self, name: Name) -> Option<Arc<Waiter>> {
        let at = self.held.iter().position(|(held, _)| *held == name)?;
        let next = self.held[at].1.pop_front();
        if next.is_none() {
            self.held.swap_remove(at);
        }
        next
    }

    #[inline]
    fn binding(&self, name: Name) -> Binding {
        match self.remembered[name.place()] {
            Some((known, binding)) if known == name => binding,
            _ => Binding::Unknown,
        }
    }
}

impl Order {
    pub(crate) fn new() -> Order {
        let shard = || Shard { held: Vec::with_capacity(16), remembered: vec![None; REMEMBERED] };
        Order { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect() }
    }

    /// Takes `names` for the fop of `record`, and corrects what the host resolved before its turn came. Some: they
    /// are not free, and the rest of the fop is to be parked in what is returned.
    #[must_use]
    pub(crate) fn enter(&self, names: Names, record: &mut Record<'_>) -> Option<Arc<Waiter>> {
        let mut locked = self.lock(names);
        let mut waiter: Option<Arc<Waiter>> = None;
        for name in names.each() {
            locked.shard(name).enter(name, &mut waiter);
        }
        if waiter.is_none() {
            correct(record, || locked.shard(names.last()).binding(names.last()));
        }
        waiter
    }

    /// Corrects the record of a fop that was parked and has its names now.
    pub(crate) fn correct(&self, names: Names, record: &mut Record<'_>) {
        correct(record, || self.lock(names).shard(names.last()).binding(names.last()));
    }

    /// Forgets all that names mean: fops went by that were not seen.
    pub(crate) fn forget(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.remembered.fill(None);
        }
    }

    /// Gives `names` back, and remembers what they mean after the fop of `record`, if it succeeded. Returns what can
    /// go on now, to be run by the caller.
    #[must_use]
    pub(crate) fn leave(&self, names: Names, record: Option<&Record<'_>>) -> [Option<Call>; 2] {
        let mut next: [Option<Arc<Waiter>>; 2] = [None, None];
        {
            let mut locked = self.lock(names);
            let meant = record.map_or([None, None], bindings);
            for (name, meant) in [names.first, names.last()].into_iter().zip(meant) {
                if let Some((_, binding)) = meant {
                    locked.shard(name).remembered[name.place()] = Some((name, binding));
                }
            }
            for (name, next) in names.each().zip(&mut next) {
                *next = locked.shard(name).leave(name);
            }
        }
        next.map(|waiter| waiter?.got_one())
    }

    /// Locks the shards of all names at once, the lower one first, so that no two lock each other out.
    fn lock(&self, names: Names) -> Locked<'_> {
        let lock = |at: usize| (at, self.shards[at].lock().unwrap_or_else(PoisonError::into_inner));
        let first = names.first.shard();
        match names.second.map(Name::shard) {
            Some(second) if second < first => {
                let low = lock(second);
                Locked { one: lock(first), other: Some(low) }
            }
            Some(second) if second > first => {
                let low = lock(first);
                Locked { one: low, other: Some(lock(second)) }
            }
            _ => Locked { one: lock(first), other: None },
        }
    }
}

/// Corrects which inode an unlink takes the name from, and which one a rename takes the place of: `binding` is what the
/// name was bound to last.
#[inline]
fn correct(record: &mut Record<'_>, binding: impl FnOnce() -> Binding) {
    let (link, resolved) = match record.fop {
        Fop::UNLINK | Fop::RMDIR => (&record.at, &mut record.gfid),
        Fop::RENAME => (&record.to, &mut record.replaced),
        _ => return,
    };
    if link.is_none() {
        return;
    }
    match binding() {
        Binding::Inode(gfid) if *resolved != Some(gfid) => {
            *resolved = Some(gfid);
            if record.fop != Fop::RENAME {
                record.kind = None;
            }
        }
        // Where an unlink finds nothing it fails, and is no record.
        Binding::Nothing if record.fop == Fop::RENAME => *resolved = None,
        _ => {}
    }
}

struct Locked<'a> {
    one: (usize, MutexGuard<'a, Shard>),
    other: Option<(usize, MutexGuard<'a, Shard>)>,
}

impl Locked<'_> {
    fn shard(&mut self, name: Name) -> &mut Shard {
        match &mut self.other {
            Some((at, shard)) if *at == name.shard() => shard,
            _ => &mut self.one.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gnotify_record::{FileType, Gfid, Origin};
    use std::borrow::Cow;
    use std::sync::atomic::AtomicUsize;

    fn link(name: &'static str) -> Link<'static> {
        Link { parent: Gfid::ROOT, name: Cow::Borrowed(name.as_bytes()) }
    }

    fn one(name: &'static str) -> Names {
        Names::of(Some(&link(name)), None).unwrap()
    }

    fn two(from: &'static str, to: &'static str) -> Names {
        Names::of(Some(&link(from)), Some(&link(to))).unwrap()
    }

    /// Takes names for a fop that none of what the host resolved can be wrong of.
    fn enter(order: &Order, names: Names) -> Option<Arc<Waiter>> {
        order.enter(names, &mut Record::new(Fop::CREATE, Origin::Client))
    }

    /// Runs what can go on, and all that can go on then.
    fn run(calls: [Option<Call>; 2]) {
        calls.into_iter().flatten().for_each(|call| call());
    }

    #[test]
    fn a_second_fop_on_a_name_waits_for_the_first() {
        let order = Arc::new(Order::new());
        assert!(enter(&order, one("a")).is_none());
        assert!(enter(&order, one("b")).is_none(), "another name is free");
        let ran = Arc::new(AtomicUsize::new(0));
        let waiter = enter(&order, one("a")).unwrap();
        let count = Arc::clone(&ran);
        assert!(
            waiter
                .park(Box::new(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                }))
                .is_none()
        );
        run(order.leave(one("b"), None));
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        run(order.leave(one("a"), None));
        assert_eq!(ran.load(Ordering::Relaxed), 1);
        run(order.leave(one("a"), None));
        assert!(enter(&order, one("a")).is_none(), "free again");
    }

    #[test]
    fn a_call_that_is_parked_too_late_is_given_back() {
        let order = Order::new();
        assert!(enter(&order, one("a")).is_none());
        let waiter = enter(&order, one("a")).unwrap();
        run(order.leave(one("a"), None));
        assert!(waiter.park(Box::new(|| ())).is_some());
    }

    #[test]
    fn renames_both_ways_do_not_wait_for_each_other() {
        let order = Order::new();
        assert!(enter(&order, two("a", "b")).is_none());
        let back = enter(&order, two("b", "a")).unwrap();
        let create = enter(&order, one("b")).unwrap();
        assert!(back.park(Box::new(|| ())).is_none());
        assert!(create.park(Box::new(|| ())).is_none());
        let [first, second] = order.leave(two("a", "b"), None);
        assert_eq!(
            [first.is_some(), second.is_some()],
            [false, true],
            "the rename, and not the create"
        );
        let [first, second] = order.leave(two("b", "a"), None);
        assert_eq!([first.is_some(), second.is_some()], [true, false], "now the create");
        run(order.leave(one("b"), None));
        assert!(enter(&order, two("a", "b")).is_none());
    }

    #[test]
    fn a_rename_onto_its_own_name_has_one_name() {
        let order = Order::new();
        assert!(enter(&order, two("a", "a")).is_none());
        run(order.leave(two("a", "a"), None));
        assert!(enter(&order, one("a")).is_none());
    }

    #[test]
    fn what_the_host_resolved_too_early_is_corrected() {
        let order = Order::new();
        let inode = |number: u8| Some(Gfid([number; 16]));
        let record = |fop, gfid, to| Record {
            gfid,
            at: Some(link("a")),
            to,
            kind: Some(FileType::Regular),
            ..Record::new(fop, Origin::Client)
        };
        let names =
            |record: &Record<'_>| Names::of(record.at.as_ref(), record.to.as_ref()).unwrap();
        let enter = |record: &mut Record<'static>| {
            assert!(order.enter(names(record), record).is_none());
        };
        let leave = |record: &Record<'static>| run(order.leave(names(record), Some(record)));
        let give_up = |record: &Record<'static>| run(order.leave(names(record), None));

        let mut unlink = record(Fop::UNLINK, inode(1), None);
        enter(&mut unlink);
        assert_eq!(unlink.gfid, inode(1), "nothing is known of the name");
        give_up(&unlink);
        let mut create = record(Fop::CREATE, inode(2), None);
        enter(&mut create);
        leave(&create);
        enter(&mut unlink);
        assert_eq!((unlink.gfid, unlink.kind), (inode(2), None));
        leave(&unlink);

        let mut rename = record(Fop::RENAME, inode(3), Some(link("a")));
        rename.at = Some(link("b"));
        rename.replaced = inode(2);
        enter(&mut rename);
        assert_eq!((rename.gfid, rename.replaced), (inode(3), None));
        leave(&rename);
        rename.replaced = None;
        enter(&mut rename);
        assert_eq!(rename.replaced, inode(3));
        // One that was parked is corrected when its turn comes.
        rename.replaced = None;
        order.correct(names(&rename), &mut rename);
        assert_eq!(rename.replaced, inode(3));
        order.forget();
        rename.replaced = inode(9);
        order.correct(names(&rename), &mut rename);
        assert_eq!(rename.replaced, inode(9));
        give_up(&rename);
    }

    /// Threads on few names: at no time do two have the same one, and all get through.
    #[test]
    fn names_exclude_each_other_under_load() {
        const THREADS: usize = 4;
        const TURNS: usize = 5_000;
        let order = Order::new();
        let names = ["a", "b", "c"];
        let busy: [AtomicUsize; 3] = Default::default();
        let served = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (order, busy, served) = (&order, &busy, &served);
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        let (from, to) = ((thread + turn) % 3, (thread + turn * 7) % 3);
                        let held = two(names[from], names[to]);
                        let (told, tell) = std::sync::mpsc::channel();
                        if let Some(waiter) = enter(order, held) {
                            if let Some(call) =
                                waiter.park(Box::new(move || told.send(()).unwrap()))
                            {
                                call();
                            }
                            tell.recv().unwrap();
                        }
                        let both = if from == to { vec![from] } else { vec![from, to] };
                        for at in &both {
                            assert_eq!(busy[*at].fetch_add(1, Ordering::SeqCst), 0);
                        }
                        for at in &both {
                            busy[*at].fetch_sub(1, Ordering::SeqCst);
                        }
                        served.fetch_add(1, Ordering::Relaxed);
                        run(order.leave(held, None));
                    }
                });
            }
        });
        assert_eq!(served.load(Ordering::Relaxed), THREADS * TURNS);
    }
}
