//! P3: gnotify survives its own bugs. A build that panics on purpose, on the way down and on the way up,
//! serves I/O; the panics are in the log with their place and in the statedump with their number.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;

use gnotify_changelog::Change;
use gnotify_harness::{built_with, host_test, wait_for};

use brick_changelog::{created, gfid, indexes, layout, recorded, touch};

host_test!(a_panic_costs_a_record_and_nothing_else, |t| {
    let plugin = built_with("injected-panic");
    let brick = t.brick("b").option("journal", "on").plugin(&plugin).start();
    let mount = brick.mount("m");
    for name in ["gnotify-panic-before", "gnotify-panic-entered", "gnotify-panic-after"] {
        let at = mount.path().join(name);
        for _ in 0..10 {
            fs::write(&at, name).unwrap();
            assert_eq!(fs::read_to_string(&at).unwrap(), name);
            fs::remove_file(&at).unwrap();
            fs::create_dir(&at).unwrap();
            fs::remove_dir(&at).unwrap();
        }
    }
    fs::write(mount.path().join("afterwards"), "x").unwrap();
    wait_for("the record of another file", || {
        brick.dump().iter().any(|entry| entry["name"] == "afterwards")
    });
    let recorded = |name: &str| brick.dump().iter().filter(|entry| entry["name"] == name).count();
    assert_eq!(recorded("gnotify-panic-before"), 0);
    // The name was given back each time, and the reply has made the record.
    assert_eq!(recorded("gnotify-panic-entered"), 40);

    // Each of the three names: ten times create, unlink, mkdir, rmdir.
    let dump = brick.statedump();
    assert!(dump.lines().any(|line| line == "panics=120"), "{dump}");
    let log = brick.log();
    for name in ["gnotify-panic-before", "gnotify-panic-entered", "gnotify-panic-after"] {
        let line = log.lines().find(|line| line.contains(&format!("injected by the name {name}")));
        let line = line.unwrap_or_else(|| panic!("no word of {name} in the log:\n{log}"));
        assert!(line.contains("injected.rs:"), "{line}");
    }
});

host_test!(a_panic_of_the_export_begins_a_new_index, |t| {
    let spec = t.brick("b").as_changelog().option("changelog", "on").option("rollover-time", "1h");
    t.install_as(&built_with("injected-panic"), &["features/changelog.so"]);
    let brick = spec.start();
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..5);
    let file = mount.path().join(&names[0]);
    fs::write(&file, "content").unwrap();
    let changed = Change::Data { gfid: gfid(&brick.dir().join(&names[0])) };
    wait_for("all records", || {
        created(&brick) == names && recorded(&layout(&brick)).contains(&changed)
    });
    let known = recorded(&layout(&brick)).len();
    fs::write(mount.path().join("gnotify-panic-export"), "x").unwrap();
    wait_for("a new index", || indexes(&layout(&brick)).len() > 1);
    let log = brick.log();
    let line = log.lines().find(|line| line.contains("injected by the name gnotify-panic-export"));
    assert!(line.is_some_and(|line| line.contains("injected.rs:")), "{log}");

    // It goes on behind the panic, without what it panicked at.
    names.extend(touch(mount.path(), 100..105));
    wait_for("the records behind it", || created(&brick).len() >= names.len());
    assert_eq!(created(&brick), names);

    // The journal has had a record of this content in its running slice, and no index that is whole has it.
    wait_for("a change to be told that would be a repetition", || {
        fs::write(&file, "again").unwrap();
        recorded(&layout(&brick))[known..].contains(&changed)
    });
});
