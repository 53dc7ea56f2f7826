//! The bytes of format version 1, pinned: files of `testdata/` decode to their texts, and encode back.
//!
//! When the format changes: `docs/format.md` first, then a file of the new version beside the old one,
//! which stays. `GNOTIFY_WRITE_GOLDEN=1 cargo test -p gnotify-journal --lib golden` writes the files anew.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};

use gnotify_record::{
    Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Record, SetAttr, Time, Xattr, codec,
    set_attr,
};

use crate::frame::{Draft, Kind};
use crate::segment::Header;
use crate::statement::Body;
use crate::{Cause, Gap, How, ReadError, Reader, Start, Statement, What};

const HEADER: Header = Header {
    epoch: *b"\x4e\x0d\x5a\xcc\x5e\x29\x4a\x1b\x9d\x6f\x30\x55\x83\xc1\x5b\x02",
    start_id: 7,
    first_seq: (1 << 40) - 3,
    created: 1_700_000_000_000_000_000,
    start_key: 0,
    home: crate::home::Home::UNKNOWN,
    salt: 0x1234_5678,
};

enum Content {
    Record(Box<Record<'static>>),
    Statement(Statement<'static>),
    Repeated(Statement<'static>),
}

/// One of each, from a number on at which the 40 bits that a frame has room for wrap around.
fn contents() -> Vec<(u64, Content)> {
    let gap = |to, cause, lost| Content::Statement(Statement::Gap(Gap { to, cause, lost }));
    let client = |id, uid| Statement::Client { id: ClientId(id), uid };
    let first = HEADER.first_seq;
    let mut contents = vec![(first, Content::Repeated(client(3, b"CTX_ID:repeated-PC_NAME:v-0")))];
    let mut next = first;
    let mut add = |content| {
        contents.push((next, content));
        next = match &contents[contents.len() - 1].1 {
            Content::Statement(Statement::Gap(Gap { to, .. }) | Statement::Void { to }) => to + 1,
            _ => next + 1,
        };
        next
    };
    add(Content::Statement(Statement::Start(Start {
        start_id: 7,
        previous: 6,
        how: How::Killed,
        boot_id: [0xb0; 16],
        last_time: 1_699_999_999_000_000_000,
        version: b"0.1.0",
    })));
    add(Content::Statement(client(4, b"CTX_ID:new\xff")));
    add(Content::Record(Box::new(create())));
    add(Content::Record(Box::new(write())));
    add(Content::Record(Box::new(rename())));
    add(Content::Record(Box::new(setattr())));
    let next = add(Content::Record(Box::new(setxattr())));
    let next = {
        let to = next + 9;
        add(gap(to, Cause::RingFull, Some(10)))
    };
    let next = add(gap(next + 4, Cause::Io, Some(5)));
    let next = add(gap(next + (1 << 30) - 1, Cause::PowerLoss, None));
    add(Content::Statement(Statement::Void { to: next + 1 }));
    add(Content::Statement(Statement::SliceEnd { slice: 12 }));
    add(Content::Statement(Statement::ClientGone { id: ClientId(4) }));
    add(Content::Statement(Statement::Off));
    add(Content::Statement(Statement::On));
    add(Content::Statement(Statement::Unknown(77)));
    add(Content::Statement(Statement::Stop));
    let next = add(Content::Record(Box::new(uncertain())));
    add(gap(next + 2, Cause::InFlight, Some(3)));
    contents
}

fn create() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        caller: Some(Caller { uid: 1000, gid: 1001, pid: 4242 }),
        client: Some(ClientId(4)),
        kind: Some(FileType::Regular),
        at: Some(Link { parent: Gfid::ROOT, name: b"caf\xe9".as_slice().into() }),
        mode: Some(0o644),
        ..Record::new(Fop::CREATE, Origin::Client)
    }
}

fn write() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        offset: Some(1 << 33),
        length: Some(4096),
        size: Some((1 << 33) + 4096),
        ..Record::new(Fop::WRITE, Origin::SelfHeal)
    }
}

fn rename() -> Record<'static> {
    Record {
        gfid: Some(Gfid([7; 16])),
        at: Some(Link { parent: Gfid::ROOT, name: b"old".as_slice().into() }),
        to: Some(Link { parent: Gfid([8; 16]), name: b"new".as_slice().into() }),
        replaced: Some(Gfid([6; 16])),
        last_link: Some(true),
        ..Record::new(Fop::RENAME, Origin::Client)
    }
}

fn uncertain() -> Record<'static> {
    Record { last_link: None, uncertain: true, ..rename() }
}

fn setattr() -> Record<'static> {
    let mask = set_attr::MODE | set_attr::MTIME;
    let mtime = Time { sec: -1, nsec: 2 };
    Record {
        set: Some(SetAttr { mask, mode: 0o600, mtime, ..SetAttr::default() }),
        ..Record::new(Fop::SETATTR, Origin::Client)
    }
}

fn setxattr() -> Record<'static> {
    let value = Some(b"value".as_slice().into());
    Record {
        xattrs: vec![Xattr { name: b"user.a".as_slice().into(), value }],
        ..Record::new(Fop::SETXATTR, Origin::Client)
    }
}

fn encode(contents: &[(u64, Content)]) -> Vec<u8> {
    let mut bytes = HEADER.encode().to_vec();
    let (mut body, mut record_body) = (Body::default(), codec::Body::new());
    for (at, (seq, content)) in contents.iter().enumerate() {
        let time = HEADER.created + at as u64;
        let (kind, statement) = match content {
            Content::Record(record) => {
                let tag = codec::encode(record, time, &mut record_body);
                let code = record.fop.0;
                Draft::new(HEADER.salt, Kind::Record, code, tag, time, &record_body)
                    .put(*seq, &mut bytes);
                continue;
            }
            Content::Statement(statement) => (Kind::Statement, statement),
            Content::Repeated(statement) => (Kind::Repeated, statement),
        };
        body.draft(HEADER.salt, kind, time, statement).put(*seq, &mut bytes);
    }
    bytes
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

#[test]
fn golden_segment() {
    let (segment, text) = (testdata("segment-v1.gnj"), testdata("segment-v1.txt"));
    let contents = contents();
    let bytes = encode(&contents);
    if std::env::var_os("GNOTIFY_WRITE_GOLDEN").is_some() {
        fs::write(&segment, &bytes).unwrap();
        let mut later = bytes.clone();
        later[8] = 2;
        fs::write(testdata("segment-v2.gnj"), later).unwrap();
    }
    assert_eq!(fs::read(&segment).unwrap(), bytes, "the bytes of version 1 have changed");

    let mut reader = Reader::open_segment(&segment).unwrap();
    let mut lines = String::new();
    let mut expected =
        contents.iter().filter(|(_, content)| !matches!(content, Content::Repeated(_)));
    while let Some(entry) = reader.next().unwrap() {
        let (seq, content) = expected.next().unwrap();
        assert_eq!(entry.seq, *seq);
        match (&entry.what, content) {
            (What::Record(read), Content::Record(written)) => assert_eq!(read, &**written),
            (What::Statement(read), Content::Statement(written)) => assert_eq!(read, written),
            (what, _) => panic!("{what:?} at {seq}"),
        }
        let (offset, time, what) = (entry.place.offset, entry.time, &entry.what);
        lines.push_str(&format!("byte {offset}, entry {seq}, time {time}: {what:?}\n"));
    }
    assert!(expected.next().is_none());
    assert_eq!(reader.client(ClientId(3)), None, "numbers begin anew with a START");
    assert_eq!(reader.client(ClientId(4)), Some(b"CTX_ID:new\xff".as_slice()));
    if std::env::var_os("GNOTIFY_WRITE_GOLDEN").is_some() {
        fs::write(&text, &lines).unwrap();
    }
    assert_eq!(fs::read_to_string(&text).unwrap(), lines);
}

#[test]
fn golden_segment_of_a_later_version() {
    let path = testdata("segment-v2.gnj");
    let error = Reader::open_segment(&path).unwrap_err();
    assert!(matches!(error, ReadError::NewerVersion { found: 2, known: 1, .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{}: written in format version 2, this gnotify knows versions up to 1; read it with the \
             gnotify that wrote it or a later one",
            path.display()
        )
    );
}
