//! The reduction and the comparison themselves, on small lists.

use gnotify_changelog::{Birth, Change, Entry, Removal};
use gnotify_record::{Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Record, Renaming};

use super::{Told, compare, differ_in_order, effective, firsts, reduce};

const A: Gfid = Gfid([0xaa; 16]);
const B: Gfid = Gfid([0xbb; 16]);
const C: Gfid = Gfid([0xcc; 16]);

fn link(name: &'static [u8]) -> Link<'static> {
    Link { parent: Gfid::ROOT, name: name.into() }
}

/// A fop of a client that does not distribute.
fn fop(fop: Fop, gfid: Gfid) -> Record<'static> {
    Record {
        gfid: Some(gfid),
        caller: Some(Caller { uid: 5, gid: 6, pid: 7 }),
        client: Some(ClientId(1)),
        kind: Some(FileType::Regular),
        at: Some(link(b"f")),
        to: Some(Link { parent: A, name: b"g"[..].into() }),
        mode: Some(0o644),
        ..Record::new(fop, Origin::Client)
    }
}

fn born(gfid: Gfid, mode: u32, entry: fn(Birth<'static>) -> Entry<'static>) -> Told {
    let birth = Birth { mode, uid: 5, gid: 6, at: link(b"f") };
    Change::Entry { gfid, entry: entry(birth) }
}

fn moved(gfid: Gfid, from: &'static [u8], to: &'static [u8]) -> Told {
    Change::Entry { gfid, entry: Entry::Rename { old: link(from), new: link(to) } }
}

fn removed(gfid: Gfid) -> Told {
    let removal = Removal { at: link(b"f"), path: None };
    Change::Entry { gfid, entry: Entry::Unlink(removal) }
}

/// A small journal, and what stock makes of it.
fn example() -> (Vec<Record<'static>>, Vec<Told>) {
    let pipe = Link { parent: Gfid::ROOT, name: b"\xfe\x01\xff"[..].into() };
    let directory = Some(FileType::Directory);
    let hint = Renaming { from: link(b"f"), to: Link { parent: A, name: b"g"[..].into() } };
    let journal = [
        fop(Fop::CREATE, A),
        fop(Fop::WRITE, A),
        fop(Fop::SETXATTR, A),
        fop(Fop::REMOVEXATTR, A),
        fop(Fop::SETATTR, A),
        fop(Fop::TRUNCATE, A),
        fop(Fop::FALLOCATE, A),
        Record { kind: Some(FileType::Fifo), at: Some(pipe.clone()), ..fop(Fop::MKNOD, B) },
        Record { marked: true, ..fop(Fop::MKNOD, C) },
        Record { kind: directory, origin: Origin::Rebalance, ..fop(Fop::MKDIR, C) },
        fop(Fop::RENAME, A),
        Record { renaming: Some(Box::new(hint)), ..fop(Fop::RENAME, A) },
        Record { kind: directory, ..fop(Fop::RENAME, C) },
        fop(Fop::UNLINK, A),
    ];
    let to = Link { parent: A, name: b"g"[..].into() };
    let moved =
        |gfid| Change::Entry { gfid, entry: Entry::Rename { old: link(b"f"), new: to.clone() } };
    let birth = Birth { mode: 0o010_644, uid: 5, gid: 6, at: pipe };
    let stock = vec![
        // S3
        born(A, 0o644, Entry::Create),
        Change::Data { gfid: A },
        Change::Metadata { gfid: A, fop: Fop::SETXATTR },
        Change::Metadata { gfid: A, fop: Fop::SETATTR },
        Change::Entry { gfid: B, entry: Entry::Mknod(birth) },
        moved(A),
        moved(C),
        removed(A),
    ];
    (journal.into(), stock)
}

#[test]
fn the_rules_of_stock() {
    let (journal, stock) = example();
    let ours = reduce(&journal);
    assert_eq!(differ_in_order(&ours, &stock), None);
    assert_eq!(compare(&ours, &stock, |_| false).differences, [""; 0]);
}

/// The same with one thing wrong: a gfid, an owner, a name, a mode's permissions, a fop.
fn wrong(told: &Told) -> Vec<Told> {
    let longer = |link: &Link<'static>| {
        let name = [&link.name[..], b"x"].concat();
        Link { parent: link.parent, name: name.into() }
    };
    let births = |birth: &Birth<'static>| {
        [
            Birth { mode: birth.mode ^ 1, ..birth.clone() },
            Birth { uid: birth.uid ^ 1, ..birth.clone() },
            Birth { gid: birth.gid ^ 1, ..birth.clone() },
            Birth { at: longer(&birth.at), ..birth.clone() },
        ]
    };
    let (gfid, entry) = match told {
        Change::Data { .. } => return vec![Change::Data { gfid: B }],
        Change::Metadata { gfid, .. } => {
            return vec![Change::Metadata { gfid: *gfid, fop: Fop::FSETXATTR }];
        }
        Change::Entry { gfid, entry } => (*gfid, entry),
    };
    let entries: Vec<Entry<'static>> = match entry {
        Entry::Create(birth) => births(birth).map(Entry::Create).into(),
        Entry::Mknod(birth) => births(birth).map(Entry::Mknod).into(),
        Entry::Rename { old, new } => {
            vec![Entry::Rename { old: old.clone(), new: longer(new) }]
        }
        Entry::Unlink(removal) => {
            vec![
                Entry::Unlink(Removal { at: longer(&removal.at), path: None }),
                Entry::Rmdir(removal.clone()),
            ]
        }
        other => panic!("not in the example: {other:?}"),
    };
    let mut wrong: Vec<Told> =
        entries.into_iter().map(|entry| Change::Entry { gfid, entry }).collect();
    wrong.push(Change::Entry { gfid: Gfid::ROOT, entry: entry.clone() });
    wrong
}

#[test]
fn it_notices() {
    let (journal, stock) = example();
    let ours = firsts(&reduce(&journal));
    let differ = |ours: &[Told], stock: &[Told]| {
        let unordered = !compare(ours, stock, |_| false).differences.is_empty();
        assert!(!unordered || differ_in_order(ours, stock).is_some());
        unordered
    };
    // A record that only one of the two has.
    for at in 0..ours.len() {
        let without = |told: &[Told]| [&told[..at], &told[at + 1..]].concat();
        assert!(differ(&without(&ours), &stock), "{:?} is missing in gnotify", ours[at]);
        assert!(differ(&ours, &without(&stock)), "{:?} is missing in stock", stock[at]);
    }
    // An entry twice.
    assert!(differ(&[&ours[..], &ours[..1]].concat(), &stock));
    for (at, told) in ours.iter().enumerate() {
        for wrong in wrong(told) {
            let mut altered = ours.clone();
            altered[at] = wrong.clone();
            assert!(differ(&altered, &stock), "{wrong:?}");
        }
    }
    // Two in the wrong order: only where there is one.
    let mut swapped = stock.clone();
    swapped.swap(0, 4);
    assert!(!differ(&ours, &swapped));
    assert!(differ_in_order(&ours, &swapped).is_some());
}

#[test]
fn another_gfid_of_a_birth_is_excused_only_where_stock_asked_in_vain() {
    let create = |gfid| born(gfid, 0o644, Entry::Create);
    // Two clients make one file: stock has the gfid that the slower one asked for.
    let found = compare(&[create(A), create(A)], &[create(A), create(B)], |_| false);
    assert!(found.differences.is_empty() && found.asked_gfid == 1, "{found:?}");
    // Nobody else knows gnotify's gfid: it is wrong.
    assert_eq!(compare(&[create(A)], &[create(B)], |_| false).differences.len(), 2);
    assert_eq!(compare(&[create(A)], &[create(B)], |gfid| gfid == A).differences.len(), 0);
    // The other gfid is of an inode that exists.
    let used = Change::Data { gfid: B };
    let ours = [create(A), create(A), used.clone()];
    let stock = [create(A), create(B), used];
    assert_eq!(compare(&ours, &stock, |_| true).differences.len(), 2);
}

#[test]
fn another_gfid_of_a_name_is_excused_only_where_the_name_had_gnotifys() {
    let made = [born(B, 0o755, Entry::Mkdir), moved(A, b"a", b"f")];
    let with = |last: Told| [&made[..], &[last]].concat();
    let (right, stale) = (with(moved(A, b"f", b"g")), with(moved(B, b"f", b"g")));
    let found = compare(&right, &stale, |_| false);
    assert!(found.differences.is_empty() && found.remembered_gfid == 1, "{found:?}");
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
    let (right, stale) = (with(removed(A)), with(removed(B)));
    assert_eq!(compare(&right, &stale, |_| false).remembered_gfid, 1);
    assert_eq!(compare(&stale, &right, |_| true).differences.len(), 2);
}

#[test]
fn a_rename_onto_itself_is_left_out() {
    let stock = vec![moved(A, b"f", b"f"), moved(A, b"f", b"g")];
    assert_eq!(effective(stock), [moved(A, b"f", b"g")]);
}
