//! The rules of stock, row by row.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use gnotify_record::{ClientId, HOST_FOPS, Renaming, SHARD_SIZE, TIER_LINK, TRIGGER_SYNC, Xattr};

use super::*;

const FILE: Gfid = Gfid([7; 16]);
const OTHER: Gfid = Gfid([8; 16]);

fn link(name: &'static [u8]) -> Link<'static> {
    Link { parent: Gfid::ROOT, name: name.into() }
}

/// A fop with all that it may have.
fn record(fop: Fop) -> Record<'static> {
    let owner = Some(gnotify_record::Owner { uid: 9, gid: 9 });
    let xattrs = vec![Xattr { name: b"trusted.afr.dirty"[..].into(), value: None }];
    Record {
        gfid: Some(FILE),
        caller: Some(Caller { uid: 5, gid: 6, pid: 77 }),
        client: Some(ClientId(1)),
        kind: Some(FileType::Regular),
        at: Some(link(b"f")),
        to: Some(link(b"g")),
        mode: Some(0o644),
        owner,
        xattrs,
        ..Record::new(fop, Origin::Client)
    }
}

fn hint() -> Option<Box<Renaming<'static>>> {
    Some(Box::new(Renaming { from: link(b"old"), to: link(b"new") }))
}

fn birth(mode: u32) -> Birth<'static> {
    Birth { mode, uid: 5, gid: 6, at: link(b"f") }
}

fn removal() -> Removal<'static> {
    Removal { at: link(b"f"), path: None }
}

/// What stock makes of a client's plain fop.
fn of_a_client(fop: Fop) -> Option<Change<'static>> {
    let entry = |entry| Some(Change::Entry { gfid: FILE, entry });
    match fop {
        Fop::CREATE => entry(Entry::Create(birth(0o100_644))),
        Fop::MKDIR => entry(Entry::Mkdir(birth(0o100_644))),
        Fop::MKNOD => entry(Entry::Mknod(birth(0o100_644))),
        Fop::SYMLINK => entry(Entry::Symlink(link(b"f"))),
        Fop::LINK => entry(Entry::Link(link(b"f"))),
        Fop::UNLINK => entry(Entry::Unlink(removal())),
        Fop::RMDIR => entry(Entry::Rmdir(removal())),
        Fop::WRITE | Fop::TRUNCATE | Fop::FTRUNCATE => Some(Change::Data { gfid: FILE }),
        Fop::SETATTR
        | Fop::FSETATTR
        | Fop::SETXATTR
        | Fop::FSETXATTR
        | Fop::REMOVEXATTR
        | Fop::FREMOVEXATTR => Some(Change::Metadata { gfid: FILE, fop }),
        _ => None,
    }
}

#[test]
fn every_fop_of_a_client() {
    for row in HOST_FOPS {
        let record = record(row.fop);
        let want = of_a_client(row.fop);
        assert_eq!(
            changes(&record, Scope::Stock).to_vec(),
            Vec::from_iter(want.clone()),
            "{}",
            row.name
        );
        let more = [Fop::FALLOCATE, Fop::DISCARD, Fop::ZEROFILL, Fop::COPY_FILE_RANGE];
        let want = if more.contains(&row.fop) { Some(Change::Data { gfid: FILE }) } else { want };
        assert_eq!(
            changes(&record, Scope::Extended).to_vec(),
            Vec::from_iter(want),
            "{}",
            row.name
        );
    }
}

#[test]
fn who_is_passed_over() {
    let all = HOST_FOPS.iter().map(|row| row.fop).filter(|fop| of_a_client(*fop).is_some());
    for fop in all {
        let told = |pid: i32, marked: bool, client: Option<ClientId>| {
            let caller = Some(Caller { uid: 5, gid: 6, pid });
            let origin = Origin::decide(pid, marked, client.is_some(), None);
            let record = Record { caller, client, marked, origin, ..record(fop) };
            !changes(&record, Scope::Stock).is_empty()
        };
        let client = Some(ClientId(1));
        for pid in [-1, -5, -6, -8, -12, 0, 1] {
            assert!(told(pid, false, client), "{fop} of {pid}");
        }
        for pid in [-3, -10] {
            let any = told(pid, false, client) || told(pid, true, client);
            assert!(!any, "{fop} of {pid}");
        }
        let filtered = [Fop::MKNOD, Fop::LINK, Fop::UNLINK, Fop::SETATTR, Fop::FSETXATTR];
        // Of other services too, and of shards: the origin does not tell.
        for pid in [1, 0, -1, -7, -8] {
            assert_eq!(told(pid, true, client), !filtered.contains(&fop), "{fop}, marked, {pid}");
        }
        assert!(told(-6, true, client), "{fop}, self-heal");
        let metadata = matches!(of_a_client(fop), Some(Change::Metadata { .. }));
        assert_eq!(told(1, false, None), !metadata, "{fop} of the brick");
    }
}

#[test]
fn shards() {
    let shard_size = |fop| {
        let mut record = record(fop);
        record.xattrs.push(Xattr { name: SHARD_SIZE.into(), value: None });
        record
    };
    for fop in [Fop::XATTROP, Fop::FXATTROP] {
        let record = shard_size(fop);
        assert_eq!(changes(&record, Scope::Stock)[..], [Change::Metadata { gfid: FILE, fop }]);
    }
    let root = Record { gfid: Some(Gfid::SHARD_ROOT), ..record(Fop::SETATTR) };
    assert!(changes(&root, Scope::Stock).is_empty());
    let mut moved = Record { marked: true, ..record(Fop::MKNOD) };
    moved.xattrs.push(Xattr { name: TIER_LINK.into(), value: None });
    assert_eq!(changes(&moved, Scope::Stock).len(), 1);
}

#[test]
fn renames() {
    let mut file = record(Fop::RENAME);
    file.replaced = Some(OTHER);
    let directory = Record { kind: Some(FileType::Directory), ..file.clone() };
    let moved =
        Change::Entry { gfid: FILE, entry: Entry::Rename { old: link(b"f"), new: link(b"g") } };
    // Without the hint a file is recorded by another brick, or by none.
    assert!(changes(&file, Scope::Stock).is_empty() && changes(&file, Scope::Extended).is_empty());
    file.renaming = hint();
    let as_told = std::slice::from_ref(&moved);
    assert_eq!(&changes(&file, Scope::Stock)[..], as_told);
    assert_eq!(&changes(&directory, Scope::Stock)[..], as_told);
    let gone = |entry: fn(Removal<'static>) -> Entry<'static>| {
        let removal = Removal { at: link(b"g"), path: None };
        Change::Entry { gfid: OTHER, entry: entry(removal) }
    };
    assert_eq!(changes(&file, Scope::Extended)[..], [gone(Entry::Unlink), moved.clone()]);
    assert_eq!(changes(&directory, Scope::Extended)[..], [gone(Entry::Rmdir), moved]);
}

#[test]
fn an_unlink_with_a_rename_hint_is_the_rename() {
    let record = Record { renaming: hint(), marked: true, ..record(Fop::UNLINK) };
    let entry = Entry::Rename { old: link(b"old"), new: link(b"new") };
    assert_eq!(changes(&record, Scope::Stock)[..], [Change::Entry { gfid: FILE, entry }]);
}

#[test]
fn captured_paths() {
    for fop in [Fop::UNLINK, Fop::RMDIR] {
        let record = Record { path: Some(b"d/f"[..].into()), ..record(fop) };
        match &changes(&record, Scope::Stock)[..] {
            [Change::Entry { entry: Entry::Unlink(removal) | Entry::Rmdir(removal), .. }] => {
                assert_eq!(removal.path.as_deref(), Some(&b"d/f"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_uncertain() {
    for row in HOST_FOPS {
        // As recovery makes it.
        let record = Record { uncertain: true, client: None, caller: None, ..record(row.fop) };
        let want = of_a_client(row.fop).filter(|change| !matches!(change, Change::Entry { .. }));
        assert_eq!(changes(&record, Scope::Stock).to_vec(), Vec::from_iter(want), "{}", row.name);
    }
}

#[test]
fn what_asks_to_be_looked_at_again_is_told_of_as_new() {
    // No client is asked for, nor the mark.
    let mut file = Record { client: None, marked: true, ..record(Fop::SETXATTR) };
    file.xattrs.push(Xattr { name: TRIGGER_SYNC.into(), value: None });
    let directory = Record { kind: Some(FileType::Directory), ..file.clone() };
    let fifo = Record { kind: Some(FileType::Fifo), ..file.clone() };
    let of_rebalance = Record { origin: Origin::Rebalance, ..file.clone() };
    let nowhere = |record: &Record<'static>| Record { at: None, ..record.clone() };
    let entry = |entry| Change::Entry { gfid: FILE, entry };
    let anew = [entry(Entry::Create(birth(33188))), Change::Data { gfid: FILE }];
    let made = [entry(Entry::Mkdir(birth(16877)))];
    for scope in [Scope::Stock, Scope::Extended] {
        assert_eq!(changes(&file, scope)[..], anew);
        assert_eq!(changes(&nowhere(&file), scope)[..], anew[1..]);
        assert_eq!(changes(&directory, scope)[..], made);
        for nothing in [&nowhere(&directory), &fifo, &of_rebalance] {
            assert_eq!(changes(nothing, scope)[..], []);
        }
    }
    // Through an open file it is an attribute like others.
    let opened = Record { fop: Fop::FSETXATTR, client: Some(ClientId(1)), marked: false, ..file };
    let metadata = Change::Metadata { gfid: FILE, fop: Fop::FSETXATTR };
    assert_eq!(changes(&opened, Scope::Stock)[..], [metadata]);
}

#[test]
fn an_open_that_truncates_is_told_of_in_the_extended_scope() {
    let record = Record { flags: Some(0o1002), ..record(Fop::OPEN) };
    assert!(changes(&record, Scope::Stock).is_empty());
    assert_eq!(changes(&record, Scope::Extended)[..], [Change::Data { gfid: FILE }]);
}
