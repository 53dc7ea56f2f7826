//! The rules of stock, row by row.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use gnotify_record::{ClientId, HOST_FOPS, Renaming, Xattr};
use proptest::prelude::*;

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

fn hint() -> Option<(Link<'static>, Link<'static>)> {
    Some((link(b"old"), link(b"new")))
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
        let told = |pid: i32, request: &Request<'_>| {
            let caller = Some(Caller { uid: 5, gid: 6, pid });
            !changes_of(&Record { caller, ..record(fop) }, request, Scope::Stock).is_empty()
        };
        let plain = Request::default();
        let internal = Request { internal: true, ..Request::default() };
        let of_the_brick = Request { of_the_brick: true, ..Request::default() };
        for pid in [-1, -5, -6, -8, -12, 0, 1] {
            assert!(told(pid, &plain), "{fop} of {pid}");
        }
        for pid in [-3, -10] {
            assert!(!told(pid, &plain) && !told(pid, &internal), "{fop} of {pid}");
        }
        let filtered = [Fop::MKNOD, Fop::LINK, Fop::UNLINK, Fop::SETATTR, Fop::FSETXATTR];
        assert_eq!(told(1, &internal), !filtered.contains(&fop), "{fop}, internal");
        assert!(told(-6, &internal), "{fop}, self-heal");
        let metadata = matches!(of_a_client(fop), Some(Change::Metadata { .. }));
        assert_eq!(told(1, &of_the_brick), !metadata, "{fop} of the brick");
    }
}

#[test]
fn what_the_record_tells_of_the_request() {
    let request = |origin, client| {
        let record = Record { origin, client, ..record(Fop::LINK) };
        let Request { internal, of_the_brick, .. } = Request::of(&record);
        (internal, of_the_brick)
    };
    assert_eq!(request(Origin::Client, Some(ClientId(1))), (false, false));
    assert_eq!(request(Origin::Internal, Some(ClientId(1))), (true, false));
    assert_eq!(request(Origin::Internal, None), (false, true));

    let mut record = record(Fop::UNLINK);
    let (old, new) = hint().unwrap();
    record.renaming = Some(Box::new(Renaming { from: old.clone(), to: new.clone() }));
    record.path = Some(b"d/f".into());
    let Request { renaming, path, .. } = Request::of(&record);
    assert_eq!((renaming, path), (Some((old, new)), Some(&b"d/f"[..])));
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
    let mut moved = record(Fop::MKNOD);
    moved.xattrs.push(Xattr { name: TIER_LINK.into(), value: None });
    let internal = Request { internal: true, ..Request::default() };
    assert_eq!(changes_of(&moved, &internal, Scope::Stock).len(), 1);
}

#[test]
fn renames() {
    let mut file = record(Fop::RENAME);
    file.replaced = Some(OTHER);
    let directory = Record { kind: Some(FileType::Directory), ..file.clone() };
    let moved =
        Change::Entry { gfid: FILE, entry: Entry::Rename { old: link(b"f"), new: link(b"g") } };
    let hinted = Request { renaming: hint(), ..Request::default() };
    // Without the hint a file is recorded by another brick, or by none.
    assert!(changes(&file, Scope::Stock).is_empty() && changes(&file, Scope::Extended).is_empty());
    let as_told = std::slice::from_ref(&moved);
    assert_eq!(&changes_of(&file, &hinted, Scope::Stock)[..], as_told);
    assert_eq!(&changes(&directory, Scope::Stock)[..], as_told);
    let gone = |entry: fn(Removal<'static>) -> Entry<'static>| {
        let removal = Removal { at: link(b"g"), path: None };
        Change::Entry { gfid: OTHER, entry: entry(removal) }
    };
    let extended = changes_of(&file, &hinted, Scope::Extended);
    assert_eq!(extended[..], [gone(Entry::Unlink), moved.clone()]);
    assert_eq!(changes(&directory, Scope::Extended)[..], [gone(Entry::Rmdir), moved]);
}

#[test]
fn an_unlink_with_a_rename_hint_is_the_rename() {
    let record = record(Fop::UNLINK);
    let request = Request { renaming: hint(), internal: true, ..Request::default() };
    let (old, new) = hint().unwrap();
    let want = Change::Entry { gfid: FILE, entry: Entry::Rename { old, new } };
    assert_eq!(changes_of(&record, &request, Scope::Stock)[..], [want]);
}

#[test]
fn captured_paths() {
    for fop in [Fop::UNLINK, Fop::RMDIR] {
        let (record, request) = (record(fop), Request { path: Some(b"d/f"), ..Request::default() });
        match &changes_of(&record, &request, Scope::Stock)[..] {
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
        let record = Record { uncertain: true, ..record(row.fop) };
        let want = of_a_client(row.fop).filter(|change| !matches!(change, Change::Entry { .. }));
        assert_eq!(changes(&record, Scope::Stock).to_vec(), Vec::from_iter(want), "{}", row.name);
    }
}

#[test]
fn an_open_that_truncates_is_told_of_in_the_extended_scope() {
    let record = Record { flags: Some(0o1002), ..record(Fop::OPEN) };
    assert!(changes(&record, Scope::Stock).is_empty());
    assert_eq!(changes(&record, Scope::Extended)[..], [Change::Data { gfid: FILE }]);
}

/// As cluster/distribute makes it.
fn rename_op(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut blob = [FILE.0, OTHER.0].concat();
    blob.extend((old.len() as i32 + 1).to_le_bytes());
    blob.extend((new.len() as i32 + 1).to_le_bytes());
    blob.extend([old, b"\0", new, b"\0", &[0; 4]].concat());
    blob
}

#[test]
fn d24_a_rename_hint_is_read_by_checked_lengths() {
    let blob = rename_op(b"from", b"to");
    let old = Link { parent: FILE, name: b"from"[..].into() };
    let new = Link { parent: OTHER, name: b"to"[..].into() };
    assert_eq!(read_rename_op(&blob), Some((old, new)));
    for end in 0..blob.len() {
        assert_eq!(read_rename_op(&blob[..end]), None);
    }
    for lengths in [[0, 8], [-1, 9], [4, 4], [5, 4], [i32::MAX, 3], [5, i32::MIN], [8, 0], [6, 2]] {
        let mut wrong = blob.clone();
        wrong[32..36].copy_from_slice(&lengths[0].to_le_bytes());
        wrong[36..40].copy_from_slice(&lengths[1].to_le_bytes());
        assert_eq!(read_rename_op(&wrong), None, "{lengths:?}");
    }
    for wrong in [rename_op(b"", b"to"), rename_op(b"a/b", b"to"), rename_op(b"a\0b", b"to")] {
        assert_eq!(read_rename_op(&wrong), None);
    }
}

proptest! {
    #[test]
    fn any_blob_is_read_without_a_panic(mut blob in prop::collection::vec(any::<u8>(), 0..80), lengths in any::<[u8; 2]>()) {
        let _ = read_rename_op(&blob);
        if blob.len() > 40 {
            blob[32..40].copy_from_slice(&[lengths[0], 0, 0, 0, lengths[1], 0, 0, 0]);
            let _ = read_rename_op(&blob);
        }
    }
}
