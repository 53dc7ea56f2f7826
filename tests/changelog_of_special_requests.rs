//! What clients ask of `features/changelog` beside ordinary fops, of gnotify and of the stock object: the same records
//! come of the virtual extended attribute of geo-replication, of removals whose path is captured, and of renames with
//! cluster/distribute's hint. In the binary encoding too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gnotify_changelog::{Change, text};
use gnotify_harness::{Brick, Sandbox, host_test, run, tool, try_run, wait_for};
use gnotify_record::Fop;

use brick_changelog::{distributing_mount, gfid, layout, name_of, slice};

const SYNC: &str = "glusterfs.geo-rep.trigger-sync";

/// gnotify and the stock object, with the same options.
fn both(t: &Sandbox, options: &[(&str, &str)]) -> [Brick; 2] {
    let with = |mut spec: gnotify_harness::BrickSpec| {
        for (key, value) in [&[("changelog", "on"), ("rollover-time", "1h")], options].concat() {
            spec = spec.option(key, value);
        }
        spec.start()
    };
    // A running brick keeps the object that it has.
    let stock = with(t.brick("stock").stock_changelog());
    [with(t.brick("gnotify").as_changelog()), stock]
}

/// Does `work` on a mount of the brick, and gives the lines of what is recorded, with gfids as paths.
fn lines(t: &Sandbox, brick: &Brick, work: impl Fn(&Path)) -> Vec<String> {
    let mount = distributing_mount(t, brick, &format!("of-{}", brick.pid().as_raw_nonzero()));
    fs::create_dir(mount.path().join("begin")).unwrap();
    work(mount.path());
    fs::create_dir(mount.path().join("end")).unwrap();
    let all = || slice(&layout(brick).live());
    let at = |all: &[Change<'_>], name: &str| {
        all.iter().position(|change| name_of(change) == Some((Fop::MKDIR, name.to_owned())))
    };
    wait_for("the last record", || at(&all(), "end").is_some());
    let all = all();
    let (from, to) = (at(&all, "begin").unwrap() + 1, at(&all, "end").unwrap());
    let mut out = Vec::new();
    all[from..to].iter().for_each(|change| text::write(change, &mut out));
    let mut lines = String::from_utf8(out).unwrap();
    // Gfids are other ones on each brick: those that are left have a path.
    for path in
        run(tool("find").arg(brick.dir()).args(["-path", "*/.glusterfs", "-prune", "-o", "-print"]))
            .lines()
    {
        let path = Path::new(path);
        let name = path.strip_prefix(brick.dir()).unwrap().display().to_string();
        lines = lines.replace(&gfid(path).to_string(), &format!("<{name}>"));
    }
    lines.lines().map(str::to_owned).collect()
}

/// The lines without gfids of inodes that are gone.
fn without_gfids(lines: Vec<String>) -> Vec<String> {
    let word = |word: &str| match word.get(..36) {
        Some(gfid) if gfid.as_bytes()[8] == b'-' => format!("GFID{}", &word[36..]),
        _ => word.to_owned(),
    };
    lines.iter().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
}

fn ask(path: &Path, value: &str) -> Result<String, String> {
    try_run(tool("setfattr").args(["-n", SYNC, "-v", value]).arg(path))
}

host_test!(geo_replication_asks_to_look_again, |t| {
    let bricks = both(t, &[]);
    let of = |brick: &Brick| {
        let work = |root: &Path| {
            fs::create_dir(root.join("dir")).unwrap();
            fs::write(root.join("dir/file"), "text").unwrap();
            symlink("file", root.join("dir/link")).unwrap();
            for path in ["dir/file", "dir", "dir/file"] {
                ask(&root.join(path), "1").unwrap();
            }
            for (path, value) in [("dir/file", "2"), ("dir/file", "x"), ("dir", "2"), ("dir", "")] {
                let told = ask(&root.join(path), value).unwrap_err();
                assert!(told.contains("not supported"), "{told}");
            }
        };
        let lines = lines(t, brick, work);
        for path in ["dir", "dir/file"] {
            let stored = run(tool("getfattr").args(["-d", "-m", "."]).arg(brick.dir().join(path)));
            assert!(!stored.contains("geo-rep"), "{stored}");
        }
        lines
    };
    let [gnotify, stock] = bricks.each_ref();
    let ours = of(gnotify);
    assert_eq!(ours, of(stock));
    let created = "E <dir/file> CREATE 33188 0 0 <dir>/file";
    assert_eq!(ours.iter().filter(|line| *line == created).count(), 3, "{ours:?}");
    assert_eq!(ours.iter().filter(|line| line.contains(" MKDIR 16877 ")).count(), 2, "{ours:?}");
});

host_test!(removed_names_have_their_paths, |t| {
    let bricks = both(t, &[("capture-del-path", "on")]);
    let work = |root: &Path| {
        let mut dirs = vec![root.to_owned()];
        for name in ["a", "b c", "d%", "e"] {
            let dir = dirs.last().unwrap().join(name);
            fs::create_dir(&dir).unwrap();
            dirs.push(dir);
        }
        for dir in dirs.iter().rev() {
            fs::write(dir.join("file"), "").unwrap();
            fs::remove_file(dir.join("file")).unwrap();
            if dir != root {
                fs::remove_dir(dir).unwrap();
            }
        }
    };
    let [ours, stocks] = bricks.each_ref().map(|brick| without_gfids(lines(t, brick, work)));
    assert_eq!(ours, stocks);
    for line in
        ["E GFID UNLINK GFID/file a/b%20c/d%25/e/file", "E GFID RMDIR GFID/e a/b%20c/d%25/e"]
    {
        assert!(ours.iter().any(|found| found == line), "{line}: {ours:?}");
    }
    assert_eq!(ours.iter().filter(|line| line.contains(" UNLINK ")).count(), 5);
    assert_eq!(ours.iter().filter(|line| line.contains(" RMDIR ")).count(), 4);
});

/// A file and a directory under other names, and a file in the place of another.
fn rename(root: &Path) {
    for name in ["one", "two", "three"] {
        fs::write(root.join(name), "text").unwrap();
    }
    fs::create_dir(root.join("dir")).unwrap();
    fs::rename(root.join("one"), root.join("dir/1")).unwrap();
    fs::rename(root.join("two"), root.join("three")).unwrap();
    fs::rename(root.join("dir"), root.join("moved")).unwrap();
}

host_test!(renames_are_recorded_by_the_clients_hint, |t| {
    let [ours, stocks] =
        both(t, &[]).each_ref().map(|brick| without_gfids(lines(t, brick, rename)));
    assert_eq!(ours, stocks);
    assert_eq!(ours.iter().filter(|line| line.contains(" RENAME ")).count(), 3, "{ours:?}");
});

host_test!(binary_slices_say_the_same, |t| {
    let bricks = both(t, &[("encoding", "binary")]);
    let [ours, stocks] = bricks.each_ref().map(|brick| without_gfids(lines(t, brick, rename)));
    assert_eq!(ours, stocks);
    let header = fs::read(layout(&bricks[0]).live()).unwrap();
    assert!(header.starts_with(b"GlusterFS Changelog | version: v1.2 | encoding : 1\n"));
});
