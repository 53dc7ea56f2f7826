//! The options of features/changelog in a volume whose bricks have gnotify in its place: `gluster volume set` takes and
//! refuses what it does with the stock object, `gluster volume get` shows the same, and each has its effect at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs::{self, File};
use std::path::Path;

use gnotify_changelog::codec::Reader;
use gnotify_changelog::layout::Layout;
use gnotify_changelog::{Change, Encoding, Entry};
use gnotify_harness::{Glusterd, host_test, plugin, statedump, wait_for};

use brick_changelog::{assert_whole, dated, indexed, indexes, mark, recorded, stamp};

/// A table of options, by what glusterd says of them.
fn told(node: &Glusterd, object: &Path) -> Vec<String> {
    node.install_as(object, &["features/changelog.so"]);
    let values = [
        ("changelog", &["on", "off", "banana"][..]),
        ("changelog.changelog", &["on", "maybe", "off"]),
        ("changelog.rollover-time", &["3", "1min", "0", "-1", "soon"]),
        ("changelog.encoding", &["binary", "ascii", "utf8"]),
        ("changelog.fsync-interval", &["0", "7", "-2", "never"]),
        ("changelog.capture-del-path", &["on", "2"]),
        ("changelog.changelog-dir", &["/somewhere", "here"]),
        ("changelog.changelog-barrier-timeout", &["9", "late"]),
    ];
    let mut told = Vec::new();
    let get = || node.gluster(&["volume", "get", "v", "all"]);
    let shown = |text: String| {
        let lines = text.lines().filter(|line| line.contains("changelog"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    told.extend(shown(get()));
    for (key, values) in values {
        for value in values {
            let answer = match node.try_gluster(&["volume", "set", "v", key, value]) {
                Ok(said) => said,
                // The command line comes first.
                Err(said) => said.lines().skip(1).collect(),
            };
            told.push(format!("{key} {value}: {answer}"));
        }
    }
    told.extend(shown(get()));
    node.gluster(&["volume", "reset", "v"]);
    told
}

host_test!(glusterd_takes_and_shows_what_it_does_with_stock, |t| {
    let node = t.glusterd();
    node.create("v", 1);
    let stock = told(&node, &t.stock_object("features/changelog.so"));
    let ours = told(&node, &plugin());
    // It has looked at our table: stock says it in other words.
    let help = node.gluster(&["volume", "set", "help"]);
    assert!(
        help.contains("After how many seconds a snapshot's barrier is lifted by itself"),
        "{help}"
    );
    assert!(
        stock.iter().any(|line| line.starts_with("changelog.rollover-time") && line.contains("15"))
    );
    assert_eq!(ours, stock);
});

/// How the live slice is written.
fn encoding(layout: &Layout) -> Option<Encoding> {
    let reader = Reader::new(File::open(layout.live()).ok()?).ok()?;
    Some(reader.header().encoding)
}

/// The path in the record of a removed name, once that is there.
fn path_of(layout: &Layout, removed: &str) -> Option<Vec<u8>> {
    let mut found = None;
    wait_for("the record of a removal", || {
        found = recorded(layout).into_iter().find_map(|change| match change {
            Change::Entry { entry: Entry::Unlink(removal), .. }
                if *removal.at.name == *removed.as_bytes() =>
            {
                Some(removal.path.map(|path| path.into_owned()))
            }
            _ => None,
        });
        found.is_some()
    });
    found.unwrap()
}

fn is_recorded(layout: &Layout, name: &str) -> bool {
    recorded(layout).iter().any(|change| {
        matches!(change, Change::Entry { entry: Entry::Create(birth), .. } if *birth.at.name == *name.as_bytes())
    })
}

host_test!(each_works_while_it_runs, |t| {
    let node = t.glusterd();
    node.install_as(&plugin(), &["features/changelog.so"]);
    let brick = node.create("v", 1).remove(0);
    node.start_volume("v");
    let mount = node.mount("v", "m");
    let touch = |name: &str| fs::write(mount.path().join(name), "x").unwrap();
    let layout = Layout::new(brick.join(".glusterfs/changelogs"));
    touch("before");
    assert!(!layout.live().exists());

    node.set("v", "changelog.rollover-time", "86400");
    node.set("v", "changelog.changelog", "on");
    // The command is done before the brick has heard of it.
    wait_for("a live changelog", || layout.live().exists());
    touch("recorded");
    wait_for("the first record", || is_recorded(&layout, "recorded"));
    assert!(!is_recorded(&layout, "before"));
    assert_eq!(indexes(&layout).len(), 1);

    node.set("v", "changelog.encoding", "binary");
    wait_for("a binary slice", || encoding(&layout) == Some(Encoding::Binary));
    touch("binary");
    wait_for("a record in it", || is_recorded(&layout, "binary"));
    node.set("v", "changelog.encoding", "ascii");
    wait_for("a slice of text", || encoding(&layout) == Some(Encoding::Ascii));

    touch("removed");
    fs::remove_file(mount.path().join("removed")).unwrap();
    assert_eq!(path_of(&layout, "removed"), None);
    node.set("v", "changelog.capture-del-path", "on");
    fs::create_dir(mount.path().join("d")).unwrap();
    let mut turn = 0;
    wait_for("a removal with its path", || {
        turn += 1;
        let name = format!("captured{turn}");
        touch(&format!("d/{name}"));
        fs::remove_file(mount.path().join("d").join(&name)).unwrap();
        let path = path_of(&layout, &name);
        assert!(path.is_none() || path == Some(format!("d/{name}").into()), "{path:?}");
        path.is_some()
    });

    node.set("v", "changelog.fsync-interval", "0");
    touch("durable");
    node.set("v", "changelog.rollover-time", "2");
    let slices = indexed(&layout).len();
    wait_for("slices that end by themselves", || indexed(&layout).len() > slices + 2);
    wait_for("the record of a durable change", || is_recorded(&layout, "durable"));

    // Off: the last slice is finished. On: another index, because something may lie between.
    touch("last");
    node.set("v", "changelog.changelog", "off");
    let pid = node.brick_pid("v", &brick);
    wait_for("the last slice", || {
        let runs = statedump(pid).contains("export.directory=");
        !runs && !layout.live().exists() && is_recorded(&layout, "last")
    });
    // A slice has its name a moment before it is in the index, and that counts it.
    wait_for("its place in the index", || {
        let (last, count) = mark(&indexes(&layout)[0]);
        let slices = indexed(&layout);
        count == slices.len() as u64 && dated(&layout).last().is_none_or(|path| stamp(path) <= last)
    });
    assert_whole(&layout);
    touch("between");
    node.set("v", "changelog.changelog", "on");
    wait_for("a live changelog", || layout.live().exists());
    touch("again");
    wait_for("the first record", || is_recorded(&layout, "again"));
    assert!(!is_recorded(&layout, "between"));
    let two = indexes(&layout);
    assert_eq!(two.len(), 2, "{two:?}");

    // A restart goes on in the same one.
    node.stop_volume("v");
    node.start_volume("v");
    let mount = node.mount("v", "restarted");
    fs::write(mount.path().join("restarted"), "x").unwrap();
    wait_for("a record after the restart", || is_recorded(&layout, "restarted"));
    assert_eq!(indexes(&layout), two);
    let there = dated(&layout);
    let told = indexed(&layout);
    let lost: Vec<_> = there.iter().filter(|slice| !told.contains(slice)).collect();
    assert!(lost.is_empty(), "not in an index: {lost:?}");

    // In another directory all of it begins anew.
    let other = t.path("elsewhere");
    node.set("v", "changelog.changelog-dir", other.to_str().unwrap());
    let elsewhere = Layout::new(&other);
    wait_for("the changelog in another directory", || elsewhere.live().exists());
    fs::write(mount.path().join("elsewhere"), "x").unwrap();
    wait_for("a record there", || is_recorded(&elsewhere, "elsewhere"));
    assert_eq!(indexes(&elsewhere).len(), 1);
    assert!(is_recorded(&layout, "restarted") && !is_recorded(&elsewhere, "restarted"));
});
