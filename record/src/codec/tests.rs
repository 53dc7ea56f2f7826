//! The codec against itself (every field set), against its golden files, and against damage.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::{SHARD_SIZE, TIER_LINK, TRIGGER_SYNC};

fn gfid() -> impl Strategy<Value = Gfid> {
    any::<[u8; 16]>().prop_map(Gfid)
}

fn name() -> impl Strategy<Value = Cow<'static, [u8]>> {
    vec(any::<u8>(), 1..40).prop_map(Cow::Owned)
}

fn link() -> impl Strategy<Value = Link<'static>> {
    (gfid(), name()).prop_map(|(parent, name)| Link { parent, name })
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(sec, nsec)| Time { sec, nsec })
}

fn set() -> impl Strategy<Value = SetAttr> {
    (0u32..0x200, any::<(u32, u32, u32, u64)>(), time(), time(), time()).prop_map(
        |(mask, (mode, uid, gid, size), atime, mtime, ctime)| {
            let has = |bits: u32| mask & bits != 0;
            let time = |bits: u32, time: Time| if has(bits) { time } else { Time::default() };
            SetAttr {
                mask,
                mode: if has(set_attr::MODE) { mode } else { 0 },
                uid: if has(set_attr::UID) { uid } else { 0 },
                gid: if has(set_attr::GID) { gid } else { 0 },
                size: if has(set_attr::SIZE) { size } else { 0 },
                atime: time(set_attr::ATIME | set_attr::ATIME_NOW, atime),
                mtime: time(set_attr::MTIME | set_attr::MTIME_NOW, mtime),
                ctime: time(set_attr::CTIME, ctime),
            }
        },
    )
}

fn xattr() -> impl Strategy<Value = Xattr<'static>> {
    (name(), option::of(vec(any::<u8>(), 0..20).prop_map(Cow::Owned)))
        .prop_map(|(name, value)| Xattr { name, value })
}

fn origin() -> impl Strategy<Value = Origin> {
    proptest::sample::select(&Origin::ALL[..])
}

fn caller() -> impl Strategy<Value = Caller> {
    any::<(u32, u32, i32)>().prop_map(|(uid, gid, pid)| Caller { uid, gid, pid })
}

prop_compose! {
    fn record()(
        (fop, origin, gfid) in (any::<u8>().prop_map(Fop), origin(), option::of(gfid())),
        (caller, client) in (option::of(caller()), option::of(any::<u32>().prop_map(ClientId))),
        ctime in option::of(any::<i64>()),
        kind in option::of(proptest::sample::select(&FileType::ALL[..])),
        (at, to, replaced) in (option::of(link()), option::of(link()), option::of(self::gfid())),
        owner in option::of(any::<(u32, u32)>().prop_map(|(uid, gid)| Owner { uid, gid })),
        (mode, flags, nlink) in (option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>())),
        (rdev, target) in (option::of(any::<u64>()), option::of(name())),
        (offset, length, size) in (option::of(any::<u64>()), option::of(any::<u64>()), option::of(any::<u64>())),
        source in option::of((self::gfid(), any::<u64>()).prop_map(|(gfid, offset)| Source { gfid, offset })),
        set in option::of(set()),
        (xattrs, xattrs_cut) in (vec(xattr(), 0..4), any::<bool>()),
        last_link in option::of(any::<bool>()),
        (uncertain, marked) in any::<(bool, bool)>(),
        renaming in option::of((link(), link()).prop_map(|(from, to)| Box::new(Renaming { from, to }))),
        path in option::of(name()),
    ) -> Record<'static> {
        Record {
            fop, origin, gfid, caller, client, ctime, kind, at, to, replaced, owner, mode, rdev,
            target, flags, offset, length, size, source, set, xattrs, xattrs_cut, nlink, last_link,
            uncertain, renaming, path, marked,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_field_set_comes_back(record in record(), time: u64) {
        let mut body = Body::new();
        let tag = encode(&record, time, &mut body);
        prop_assert!(tag < 1 << TAG_BITS);
        prop_assert_eq!(is_uncertain(tag, &body), record.uncertain);
        prop_assert_eq!(decode(record.fop, tag, time, &body), Ok(record));
    }

    #[test]
    fn a_record_that_is_renewed_is_a_new_one(record in record()) {
        let mut renewed = record;
        renewed.renew(Fop::LINK, Origin::Quota);
        prop_assert_eq!(renewed, Record::new(Fop::LINK, Origin::Quota));
    }

    #[test]
    fn a_later_versions_fields_are_passed_over(record in record(), later in vec(any::<u8>(), 0..30)) {
        let mut body = Body::new();
        let tag = encode(&record, 0, &mut body);
        let body = [&body[..], &later].concat();
        prop_assert_eq!(decode(record.fop, tag, 0, &body), Ok(record));
    }

    #[test]
    fn a_cut_body_is_an_error_with_its_place(record in record()) {
        let mut body = Body::new();
        let tag = encode(&record, 0, &mut body);
        for len in 0..body.len() {
            let error = decode(record.fop, tag, 0, &body[..len]).expect_err("a part was taken for the whole");
            prop_assert!(error.offset <= len);
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(fop: u8, tag in 0u32..1 << TAG_BITS, body in vec(any::<u8>(), 0..200)) {
        let uncertain = is_uncertain(tag, &body);
        if let Ok(record) = decode(Fop(fop), tag, 1, &body) {
            prop_assert_eq!(record.uncertain, uncertain);
        }
    }
}

/// What a FUSE mount sends for `echo > file`, with large but ordinary numbers.
fn create() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        caller: Some(Caller { uid: 1000, gid: 1000, pid: 1_234_567 }),
        client: Some(ClientId(300)),
        ctime: Some(1_795_160_863_000_123_456),
        kind: Some(FileType::Regular),
        at: Some(Link { parent: Gfid([9; 16]), name: Cow::Borrowed(b"name") }),
        mode: Some(0o644),
        flags: Some(0o102_101),
        nlink: Some(1),
        size: Some(0),
        ..Record::new(Fop::CREATE, Origin::Client)
    }
}

fn write() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        caller: Some(Caller { uid: 1000, gid: 1000, pid: 1_234_567 }),
        client: Some(ClientId(300)),
        ctime: Some(1_795_160_863_000_123_456),
        kind: Some(FileType::Regular),
        offset: Some(3 << 30),
        length: Some(128 << 10),
        size: Some(9 << 30),
        ..Record::new(Fop::WRITE, Origin::Client)
    }
}

/// The time of the golden frames: 1.5 ms behind the client's stamp.
const TIME: u64 = 1_795_160_863_001_623_456;

#[test]
fn a_create_and_a_write_are_small() {
    // A frame's head is 24 bytes, and a frame is padded to 8 (docs/format.md).
    let frame = |record: &Record<'_>| {
        let mut body = Body::new();
        encode(record, TIME, &mut body);
        (24 + body.len()).next_multiple_of(8)
    };
    assert!(frame(&create()) - b"name".len() <= 96, "create: {}", frame(&create()));
    assert!(frame(&write()) <= 64, "write: {}", frame(&write()));
}

#[test]
fn too_many_xattrs_are_cut_and_said() {
    let xattrs = (0..400)
        .map(|i| Xattr { name: format!("user.{i:0>250}").into_bytes().into(), value: None })
        .collect();
    let path = Some(Cow::Owned(vec![b'p'; 4096]));
    let record = Record { xattrs, path, ..Record::new(Fop::SETXATTR, Origin::Client) };
    let mut body = Body::new();
    let tag = encode(&record, 0, &mut body);
    assert!(body.len() <= BODY_MAX);
    let read = decode(record.fop, tag, 0, &body).unwrap();
    assert!(read.xattrs_cut);
    assert_eq!(read.path, record.path);
    assert_eq!(read.xattrs[..], record.xattrs[..read.xattrs.len()]);
    assert!(read.xattrs.len() > 200);
}

#[test]
fn the_xattrs_that_decide_are_cut_last() {
    let xattr = |name: &[u8], value: usize| Xattr {
        name: name.to_vec().into(),
        value: Some(vec![b'v'; value].into()),
    };
    for (fop, name) in [
        (Fop::SETXATTR, TRIGGER_SYNC),
        (Fop::XATTROP, SHARD_SIZE),
        (Fop::FXATTROP, SHARD_SIZE),
        (Fop::MKNOD, TIER_LINK),
    ] {
        let others = (0..20).map(|i| xattr(format!("user.{i}").as_bytes(), 4096));
        for place in [0, 10, 20] {
            let mut xattrs: Vec<_> = others.clone().collect();
            xattrs.insert(place, xattr(name, 4096));
            let record = Record { xattrs, ..Record::new(fop, Origin::Client) };
            let mut body = Body::new();
            let tag = encode(&record, 0, &mut body);
            assert!(body.len() <= BODY_MAX);
            let read = decode(fop, tag, 0, &body).unwrap();
            assert!(read.xattrs_cut && read.has_deciding_xattr(), "{fop}, at {place}");
            // No more go than must.
            assert_eq!(read.xattrs.len(), BODY_MAX / 4096, "{fop}, at {place}");
            // Written again it is the same.
            let mut again = Body::new();
            assert_eq!(encode(&read, 0, &mut again), tag);
            assert_eq!(*again, *body);
        }
    }
}

fn rename() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        caller: Some(Caller { uid: 0, gid: 0, pid: -1 }),
        at: Some(Link { parent: Gfid([9; 16]), name: Cow::Borrowed(b"old") }),
        to: Some(Link { parent: Gfid([8; 16]), name: Cow::Borrowed(b"new") }),
        replaced: Some(Gfid([6; 16])),
        last_link: Some(true),
        ..Record::new(Fop::RENAME, Origin::GeoRep)
    }
}

fn setattr() -> Record<'static> {
    let mask = set_attr::MODE | set_attr::MTIME;
    let mtime = Time { sec: 1, nsec: 2 };
    Record {
        gfid: Some(Gfid([7; 16])),
        set: Some(SetAttr { mask, mode: 0o600, mtime, ..SetAttr::default() }),
        ..Record::new(Fop::SETATTR, Origin::Client)
    }
}

fn setxattr() -> Record<'static> {
    let xattr = |name: &'static [u8], value: Option<&'static [u8]>| Xattr {
        name: Cow::Borrowed(name),
        value: value.map(Cow::Borrowed),
    };
    Record {
        gfid: Some(Gfid([7; 16])),
        xattrs: vec![xattr(b"user.a", None), xattr(b"user.b", Some(b"v"))],
        ..Record::new(Fop::SETXATTR, Origin::Client)
    }
}

/// What recovery makes of a rename that was under way when the brick was killed.
fn uncertain() -> Record<'static> {
    Record { caller: None, last_link: None, uncertain: true, ..rename() }
}

/// An unlink that is a rename's second half, of a file whose path was asked for.
fn renaming() -> Record<'static> {
    let link = |parent, name: &'static [u8]| Link { parent: Gfid([parent; 16]), name: name.into() };
    Record {
        at: Some(link(9, b"old")),
        renaming: Some(Box::new(Renaming { from: link(9, b"old"), to: link(8, b"new") })),
        path: Some(Cow::Borrowed(b"d/old")),
        ..Record::new(Fop::UNLINK, Origin::Client)
    }
}

/// A link file of cluster/distribute that a self-heal makes.
fn marked() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        at: Some(Link { parent: Gfid([9; 16]), name: Cow::Borrowed(b"name") }),
        marked: true,
        ..Record::new(Fop::MKNOD, Origin::SelfHeal)
    }
}

/// The bytes of version 1 in text, a line a record, so that a change of the format is seen in a diff.
/// Written by hand when the format changes: document first, then these, then the code.
#[test]
fn golden_bytes() {
    let golden = include_str!("../../testdata/records-v1.txt");
    let records =
        [create(), write(), rename(), setattr(), setxattr(), uncertain(), renaming(), marked()];
    let lines: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), records.len());
    for (record, line) in records.iter().zip(lines) {
        let mut body = Body::new();
        let tag = encode(record, TIME, &mut body);
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("{} {tag:07x} {hex}", record.fop), line);
    }
}

/// Every field, and every number at its longest: what is written fits in what was reserved, whatever comes last.
#[test]
fn the_longest_numbers_fit() {
    let link = || Link { parent: Gfid([0xff; 16]), name: Cow::Owned(vec![b'n'; 255]) };
    let time = || Time { sec: i64::MIN, nsec: u32::MAX };
    let mask = set_attr::MODE
        | set_attr::UID
        | set_attr::GID
        | set_attr::SIZE
        | set_attr::ATIME
        | set_attr::MTIME
        | set_attr::CTIME;
    let all = Record {
        gfid: Some(Gfid([0xff; 16])),
        kind: Some(FileType::Regular),
        caller: Some(Caller { uid: u32::MAX, gid: u32::MAX - 1, pid: -1 }),
        client: Some(ClientId(u32::MAX)),
        ctime: Some(i64::MIN),
        offset: Some(u64::MAX),
        length: Some(u64::MAX),
        size: Some(u64::MAX / 2),
        at: Some(link()),
        to: Some(Link { parent: Gfid([0xfe; 16]), ..link() }),
        mode: Some(u32::MAX),
        flags: Some(u32::MAX),
        nlink: Some(u32::MAX),
        last_link: Some(true),
        owner: Some(Owner { uid: u32::MAX, gid: u32::MAX }),
        set: Some(SetAttr {
            mask: mask | 0xffff_0000,
            mode: u32::MAX,
            uid: u32::MAX,
            gid: u32::MAX,
            size: u64::MAX,
            atime: time(),
            mtime: time(),
            ctime: time(),
        }),
        uncertain: true,
        marked: true,
        ..Record::new(Fop(u8::MAX), Origin::Client)
    };
    let rarer = Record {
        target: Some(Cow::Owned(vec![b't'; 4095])),
        rdev: Some(u64::MAX),
        replaced: Some(Gfid([0xff; 16])),
        source: Some(Source { gfid: Gfid([0xff; 16]), offset: u64::MAX }),
        ..all.clone()
    };
    let renaming = Some(Box::new(Renaming { from: link(), to: link() }));
    let path = Some(Cow::Owned(vec![b'p'; 4096]));
    let xattrs = vec![Xattr { name: Cow::Owned(vec![b'x'; 255]), value: None }];
    let mut body = Body::new();
    for record in [
        all,
        Record { renaming, ..rarer.clone() },
        Record { path, ..rarer.clone() },
        Record { xattrs, ..rarer.clone() },
        rarer,
    ] {
        let tag = encode(&record, u64::MAX, &mut body);
        assert_eq!(decode(record.fop, tag, u64::MAX, &body).as_ref(), Ok(&record));
    }
}
