//! What gnotify writes is read by the installed libgfchangelog, and what stock writes by gnotify: each slice becomes the
//! same lines. The library's history call finds its way through an index of gnotify's, also in one that stock began.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gnotify_changelog::layout::{self, Layout};
use gnotify_changelog::storage::Disk;
use gnotify_changelog::writer::{Settings, Since, Started, Writer};
use gnotify_changelog::{Birth, Change, Encoding, Entry, Removal, retention, text};
use gnotify_harness::{Brick, Sandbox, Volfile, host_test, wait_for};
use gnotify_record::{Fop, Gfid, Link};

use brick_changelog::{History, distributing_mount, history_of, lines, our_history, our_lines};

/// A brick with the stock changelog and nothing of gnotify's.
const GRAPH: &str = "
volume posix
  type storage/posix
  option directory @BRICK@
end-volume

volume changelog
  type features/changelog
  option changelog-brick @BRICK@
  option changelog-dir @BRICK@/.glusterfs/changelogs
  option changelog on
  option encoding @ENCODING@
  option capture-del-path @CAPTURE@
  option rollover-time @ROLLOVER@
  subvolumes posix
end-volume

volume locks
  type features/locks
  subvolumes changelog
end-volume

volume brick
  type performance/io-threads
  subvolumes locks
end-volume

volume server
  type protocol/server
  option transport-type socket
  option transport.address-family unix
  option transport.socket.listen-path @SOCKET@
  option auth.addr.brick.allow *
  subvolumes brick
end-volume
";

fn stock(t: &Sandbox, name: &str, encoding: &str, rollover: u32) -> Brick {
    let graph = Volfile::from_text(GRAPH)
        .fill("ENCODING", encoding)
        .fill("CAPTURE", "on")
        .fill("ROLLOVER", rollover.to_string());
    t.brick(name).graph(graph).start()
}

fn changelogs(brick: &Brick) -> PathBuf {
    brick.dir().join(".glusterfs/changelogs")
}

/// 2026-11-20 07:07:28 UTC.
const T: u64 = 1_795_160_848;

/// A name of every byte that a name may have, and hard ones.
fn names() -> Vec<Vec<u8>> {
    let all = |range: std::ops::RangeInclusive<u8>| range.filter(|byte| *byte != b'/').collect();
    vec![
        b"plain".to_vec(),
        all(1..=127),
        all(128..=255),
        b"a b%c\nd%20%0A%25".to_vec(),
        b"%".to_vec(),
        b" ".to_vec(),
        b"\n".to_vec(),
        b"D".to_vec(),
        vec![b'x'; 255],
    ]
}

/// Every sort of change, with each of the names.
fn every_change() -> Vec<Change<'static>> {
    let (gfid, parent) = (Gfid([0xab; 16]), Gfid([0xcd; 16]));
    let mut changes = vec![Change::Data { gfid }];
    let metadata = [
        Fop::SETATTR,
        Fop::FSETATTR,
        Fop::SETXATTR,
        Fop::FSETXATTR,
        Fop::REMOVEXATTR,
        Fop::FREMOVEXATTR,
        Fop::XATTROP,
        Fop::FXATTROP,
    ];
    changes.extend(metadata.map(|fop| Change::Metadata { gfid, fop }));
    for name in names() {
        let at = || Link { parent, name: name.clone().into() };
        let birth = || Birth { mode: u32::MAX, uid: 0, gid: 4_294_967_294, at: at() };
        let path = || Some([b"some/where/", &name[..]].concat().into());
        let entries = [
            Entry::Create(birth()),
            Entry::Mkdir(birth()),
            Entry::Mknod(birth()),
            Entry::Symlink(at()),
            Entry::Link(at()),
            Entry::Rename { old: at(), new: Link { parent: gfid, ..at() } },
            Entry::Unlink(Removal { at: at(), path: None }),
            Entry::Unlink(Removal { at: at(), path: path() }),
            Entry::Rmdir(Removal { at: at(), path: None }),
            Entry::Rmdir(Removal { at: at(), path: path() }),
        ];
        changes.extend(entries.map(|entry| Change::Entry { gfid, entry }));
    }
    changes
}

fn start(dir: &Path, now: u64, since: Since) -> (Writer<Disk>, Started) {
    let settings = Settings { dir: dir.to_owned(), encoding: Encoding::Ascii, sync: false };
    Writer::start(Disk, settings, now, since).unwrap()
}

host_test!(what_gnotify_writes_is_read_by_stock, |t| {
    let registrar = stock(t, "registrar", "ascii", 3600);
    // A directory on the way is called as the slices are (D15).
    let dir = t.path("CHANGELOG/changelogs");
    let (mut writer, _) = start(&dir, T, Since::Broken);
    let all = every_change();
    let mut expected = Vec::new();
    for (number, some) in all.chunks(7).enumerate() {
        let ts = T + 15 * (number as u64 + 1);
        writer.append(some).unwrap();
        assert_eq!(writer.roll(ts).unwrap().ts, ts);
        // An empty slice between any two.
        assert_eq!(writer.roll(ts + 5).unwrap().path, None);
        let mut text = Vec::new();
        some.iter().for_each(|change| text::write(change, &mut text));
        expected.push((ts, lines(&text)));
    }
    let last = writer.next_ts(0) - 1;
    assert_eq!(our_history(&Layout::new(&dir)), expected);
    let read = |start, end| history_of(t, &registrar, &dir, start, end);
    let (whole, end) = (read(T, last), last);
    assert_eq!(whole, History { result: 0, actual_end: end, slices: expected.clone() });
    // Any part, by the library's own search.
    let (from, to) = (expected[3].0, expected[7].0);
    let part = read(from, to);
    assert_eq!((part.result, part.actual_end), (0, to));
    assert_eq!(part.slices, expected[3..=7]);
    // Beyond the end a part is told as one, before the beginning there is nothing.
    assert_eq!(read(T, last + 1000).result, 1);
    assert_eq!(read(T - 1, last).result, -2);
    // D31: what was trimmed is not claimed to be there.
    let limits = retention::Limits { age: Some(last - expected[5].0), bytes: None };
    assert_eq!(retention::trim(&mut writer, limits, last).unwrap().slices, 5);
    assert_eq!(read(T, last).result, -2);
    let kept = read(expected[5].0, last);
    assert_eq!((kept.result, &kept.slices[..]), (0, &expected[5..]));
});

/// One of each sort that a mount can send.
fn work(root: &Path) {
    fs::create_dir_all(root.join("x/y z")).unwrap();
    for name in names() {
        let name = std::ffi::OsStr::from_bytes(&name);
        let file = root.join("x").join(name);
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(&file, root.join("x/y z").join(name)).unwrap();
        fs::rename(&file, root.join(name)).unwrap();
        fs::remove_file(root.join("x/y z").join(name)).unwrap();
        symlink("x", &file).unwrap();
        fs::create_dir(root.join("x/y z").join(name)).unwrap();
        fs::remove_dir(root.join("x/y z").join(name)).unwrap();
    }
    gnotify_harness::rustix::fs::mknodat(
        gnotify_harness::rustix::fs::CWD,
        root.join("pipe"),
        gnotify_harness::rustix::fs::FileType::Fifo,
        gnotify_harness::rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
}

/// Each sort of record that [`work`] makes is among the lines.
fn assert_varied(lines: &[String]) {
    for fop in ["CREATE", "MKDIR", "MKNOD", "SYMLINK", "LINK", "RENAME", "UNLINK", "RMDIR"] {
        assert!(lines.iter().any(|line| line.contains(&format!(" {fop} "))), "no {fop}");
    }
    for kind in ["D ", "M "] {
        assert!(lines.iter().any(|line| line.starts_with(kind)), "no {kind}");
    }
    assert!(lines.iter().any(|line| line.contains(" UNLINK ") && line.contains(" x/y%20z/plain")));
}

host_test!(what_stock_writes_is_read_by_gnotify_and_gone_on_with, |t| {
    let mut brick = stock(t, "b", "ascii", 4);
    let dir = changelogs(&brick);
    let mount = distributing_mount(t, &brick, "m");
    work(mount.path());
    // Several slices, and one that stays open.
    wait_for("slices of stock's", || {
        our_history(&Layout::new(&dir))
            .iter()
            .any(|(_, lines)| lines.iter().any(|line| line.contains("pipe")))
    });
    let htime = htime_of(&dir);
    let ours = our_history(&Layout::new(&dir));
    assert_varied(&ours.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>());
    let last = ours.last().unwrap().0;
    let stocks = history_of(t, &brick, &dir, htime + 1, last);
    assert_eq!((stocks.result, stocks.actual_end), (0, last));
    assert_eq!(stocks.slices, ours);

    // gnotify takes over where stock is killed: the live slice is not lost (D1), the index goes on.
    fs::write(mount.path().join("the last"), "").unwrap();
    brick.kill9();
    let left = our_lines(&dir.join("CHANGELOG"));
    let mut expected = our_history(&Layout::new(&dir));
    let now = expected.last().unwrap().0 + 1000;
    let (mut writer, started) = start(&dir, now, Since::Continued);
    // The live one, and before it perhaps one whose roll-over the kill came into.
    for path in &started.indexed {
        let (ts, _) = layout::slice_ts(path.file_name().unwrap()).unwrap();
        expected.push((ts, our_lines(path)));
    }
    if !left.is_empty() {
        assert_eq!(expected.last(), Some(&(now, left)));
    }
    writer.append(&every_change()).unwrap();
    let rolled = writer.roll(now + 15).unwrap();
    let ours = our_history(&Layout::new(&dir));
    expected.push((now + 15, our_lines(&rolled.path.unwrap())));
    assert!(expected.iter().any(|(_, lines)| lines.iter().any(|line| line.contains("the%20last"))));
    assert_eq!(ours, expected);
    assert_eq!(htime_of(&dir), htime, "one index");
    let registrar = stock(t, "registrar", "ascii", 3600);
    let read = history_of(t, &registrar, &dir, htime + 1, now + 15);
    assert_eq!(read, History { result: 0, actual_end: now + 15, slices: ours });
});

/// When the only index was begun.
fn htime_of(changelogs: &Path) -> u64 {
    let mut names =
        fs::read_dir(changelogs.join("htime")).unwrap().map(|entry| entry.unwrap().file_name());
    let name = names.next().unwrap();
    assert!(names.next().is_none(), "one index");
    layout::htime_ts(&name).unwrap()
}

host_test!(both_encodings_of_stock_are_read_alike, |t| {
    let of = |encoding: &str| {
        let mut brick = stock(t, encoding, encoding, 3600);
        let mount = distributing_mount(t, &brick, "m");
        work(mount.path());
        brick.kill9();
        drop(mount);
        let lines = our_lines(&Layout::new(changelogs(&brick)).live());
        assert_varied(&lines);
        // Gfids are other ones each time.
        let shape = |line: &String| {
            let fields = line.split(' ').map(|field| match field.get(36..) {
                Some(rest) if field.as_bytes()[8] == b'-' => format!("GFID{rest}"),
                _ => field.to_owned(),
            });
            fields.collect::<Vec<_>>().join(" ")
        };
        lines.iter().map(shape).collect::<Vec<_>>()
    };
    assert_eq!(of("binary"), of("ascii"));
});
