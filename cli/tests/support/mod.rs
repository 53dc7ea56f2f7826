//! A brick that is nothing but a journal, and the command that reads it.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gnotify_journal::{Appended, Config, Host, Journal, Level, Limits, RING_MIN};
use gnotify_record::{
    Caller, ClientId, FileType, Fop, Gfid, Link, Origin, Owner, Record, SetAttr, Source, Time,
    Xattr, set_attr,
};
use serde_json::Value;

/// No test waits longer than this for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The time of the first record, 2026-11-20 07:47:43.001 UTC; each later one comes a second after.
pub(crate) const TIME: u64 = 1_795_160_863_001_000_000;

/// A second, in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// The uid string of a client on `host`.
pub(crate) fn uid(host: &str) -> String {
    format!("CTX_ID:6a3c-GRAPH_ID:0-PID:42-HOST:{host}-PC_NAME:vol-client-0-RECON_NO:-0")
}

struct Silent;

impl Host for Silent {
    fn log(&self, _: Level, _: &str) {}
}

/// A brick in a temporary directory.
pub(crate) struct Brick {
    root: tempfile::TempDir,
}

impl Brick {
    /// A brick without a journal.
    pub(crate) fn new() -> Brick {
        let brick = Brick { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(brick.dir().join(".glusterfs")).unwrap();
        brick
    }

    /// A brick whose journal holds [`records`], and has been stopped.
    pub(crate) fn filled() -> Brick {
        let brick = Brick::new();
        let journal = brick.start();
        fill(&journal);
        assert!(journal.stop());
        brick
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("brick")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir().join(".glusterfs/gnotify")
    }

    /// The segments, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.journal()).unwrap().map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "gnj")).collect();
        segments.sort();
        segments
    }

    /// Starts writing its journal, with segments as small as they can be and one endless slice.
    pub(crate) fn start(&self) -> Journal {
        self.start_with(Limits::default())
    }

    /// As [`Brick::start`], with other limits.
    pub(crate) fn start_with(&self, limits: Limits) -> Journal {
        let limits = Limits { segment_size: 0, slice_time: Duration::from_secs(1 << 30), ..limits };
        Journal::open(Config {
            dir: self.journal(),
            ring: self.root.path().join("ring"),
            ring_size: RING_MIN,
            limits,
            host: Arc::new(Silent),
        })
        .unwrap()
    }
}

/// Appends a record, for which there must be room: after some hundred of them, [`flush`].
pub(crate) fn append(journal: &Journal, record: &Record<'_>, time: u64) -> u64 {
    match journal.append_record(record, time) {
        Appended::Yes(seq) => seq,
        Appended::Dropped(seq) => panic!("record {seq} was dropped"),
    }
}

/// Appends records of writes, until they are more than a pipe holds.
pub(crate) fn append_many(journal: &Journal) {
    for _ in 0..30 {
        append_100(journal);
    }
}

/// Appends 100 records of writes, and waits until they can be read.
pub(crate) fn append_100(journal: &Journal) {
    for _ in 0..100 {
        append(journal, &record(Fop::WRITE, 1, FileType::Regular), TIME);
    }
    flush(journal);
}

/// Waits until all that was appended can be read.
pub(crate) fn flush(journal: &Journal) {
    assert!(journal.flush(Instant::now() + DEADLINE), "the journal does not get on");
}

/// Two clients and [`records`].
pub(crate) fn fill(journal: &Journal) {
    assert!(journal.append_client(ClientId(1), uid("node1").as_bytes()));
    assert!(journal.append_client(ClientId(2), b"gfapi \x1b[2J\xff"));
    for (number, record) in records().iter().enumerate() {
        append(journal, record, TIME + number as u64 * SECOND);
    }
    flush(journal);
}

/// An inode's gfid, of one digit.
pub(crate) fn gfid(digit: u8) -> Gfid {
    Gfid([digit << 4 | digit; 16])
}

/// An entry of a directory.
pub(crate) fn link(parent: Gfid, name: &'static [u8]) -> Option<Link<'static>> {
    Some(Link { parent, name: Cow::Borrowed(name) })
}

/// A record by an application on the client node1.
pub(crate) fn record(fop: Fop, inode: u8, kind: FileType) -> Record<'static> {
    Record {
        gfid: Some(gfid(inode)),
        kind: Some(kind),
        caller: Some(Caller { uid: 1000, gid: 100, pid: 4321 }),
        client: Some(ClientId(1)),
        ..Record::new(fop, Origin::Client)
    }
}

/// A record of each sort.
pub(crate) fn records() -> Vec<Record<'static>> {
    use FileType::{Block, Directory, Regular, Symlink};
    let xattr = |name: &'static [u8], value: Option<&'static [u8]>| Xattr {
        name: Cow::Borrowed(name),
        value: value.map(Cow::Borrowed),
    };
    let time = Time { sec: 1_000_000_000, nsec: 500_000_000 };
    vec![
        Record {
            at: link(Gfid::ROOT, b"box"),
            mode: Some(0o755),
            nlink: Some(2),
            ..record(Fop::MKDIR, 0xa, Directory)
        },
        Record {
            at: link(gfid(0xa), b"letter"),
            mode: Some(0o644),
            flags: Some(0o102_101),
            nlink: Some(1),
            ctime: Some(1_795_160_863_000_123_456),
            ..record(Fop::CREATE, 0xb, Regular)
        },
        Record {
            offset: Some(0),
            length: Some(6),
            size: Some(6),
            client: Some(ClientId(2)),
            ..record(Fop::WRITE, 0xb, Regular)
        },
        Record {
            set: Some(SetAttr {
                mask: set_attr::MODE | set_attr::UID | set_attr::ATIME | set_attr::MTIME_NOW,
                mode: 0o600,
                uid: 7,
                atime: time,
                mtime: time,
                ..SetAttr::default()
            }),
            ..record(Fop::SETATTR, 0xb, Regular)
        },
        Record {
            xattrs: vec![
                xattr(b"user.colour", Some(b"dark blue")),
                xattr(b"user.raw", Some(b"\x00\xff")),
                xattr(b"user.none", None),
            ],
            flags: Some(0),
            ..record(Fop::SETXATTR, 0xb, Regular)
        },
        Record {
            at: link(gfid(0xa), b"letter"),
            to: link(Gfid::ROOT, b"my \xe9t\xe9\n"),
            replaced: Some(gfid(0xc)),
            nlink: Some(1),
            last_link: Some(true),
            ..record(Fop::RENAME, 0xb, Regular)
        },
        Record {
            at: link(Gfid::ROOT, b"s"),
            target: Some(Cow::Borrowed(b"box/letter")),
            ..record(Fop::SYMLINK, 0xd, Symlink)
        },
        Record {
            at: link(Gfid::ROOT, b"sda1"),
            rdev: Some(0x801),
            mode: Some(0o660),
            owner: Some(Owner { uid: 0, gid: 6 }),
            ..record(Fop::MKNOD, 0xe, Block)
        },
        Record {
            source: Some(Source { gfid: gfid(0xc), offset: 1 << 60 }),
            offset: Some(u64::MAX - 10),
            length: Some(10),
            caller: None,
            client: None,
            ..Record { origin: Origin::SelfHeal, ..record(Fop::COPY_FILE_RANGE, 0xb, Regular) }
        },
        Record {
            at: link(Gfid::ROOT, "größe\u{202e}".as_bytes()),
            nlink: Some(0),
            last_link: Some(true),
            caller: Some(Caller { uid: 0, gid: 0, pid: -3 }),
            ..Record { origin: Origin::Rebalance, ..record(Fop::UNLINK, 0xb, Regular) }
        },
    ]
}

/// The command, with no argument yet.
pub(crate) fn gnotify() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gnotify"));
    // Not a zone with a name: the machine may have no zone files.
    command.env("TZ", "XXX-3");
    command
}

/// Runs `gnotify dump` with `args` on `path`.
pub(crate) fn dump(args: &[&str], path: &Path) -> Output {
    gnotify().arg("dump").args(args).arg(path).output().unwrap()
}

/// What `gnotify dump` prints, when all is well.
pub(crate) fn dumped(args: &[&str], path: &Path) -> String {
    let output = dump(args, path);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of `gnotify dump --json`, when all is well.
pub(crate) fn json(args: &[&str], path: &Path) -> Vec<Value> {
    let args = [&["--json"], args].concat();
    let text = dumped(&args, path);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fops of the records and the names of the statements, in order.
pub(crate) fn kinds(lines: &[Value]) -> Vec<&str> {
    let kind = ["fop", "statement"];
    lines.iter().map(|line| kind.iter().find_map(|key| line[*key].as_str()).unwrap()).collect()
}
