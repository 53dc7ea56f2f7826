//! detail=slice: a data or metadata fop is recorded once for each inode and slice, and again in the next.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use gnotify_harness::{host_test, wait_for};
use serde_json::Value;

host_test!(repetitions_are_left_out_until_the_slice_ends, |t| {
    // An hour: no slice ends by itself in the first part.
    let mut brick = t.brick("b").option("journal", "on").option("slice-time", "1h").start();
    let mount = brick.mount("m");
    let path = mount.path().join("f");
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    for round in 0..50 {
        file.write_all_at(b"x", round).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + (round as u32 & 7))).unwrap();
    }
    fs::write(mount.path().join("g"), "x").unwrap();
    fs::create_dir(mount.path().join("mark")).unwrap();
    let mut journal = Vec::new();
    wait_for("the mark", || {
        journal = brick.dump();
        journal.iter().any(|entry| entry["name"] == "mark")
    });
    let fops = |journal: &[Value]| -> Vec<String> {
        let fops = journal.iter().filter_map(|entry| entry["fop"].as_str());
        fops.map(str::to_owned).collect()
    };
    assert_eq!(fops(&journal), ["CREATE", "WRITE", "SETATTR", "CREATE", "WRITE", "MKDIR"]);
    let dump = brick.statedump();
    assert!(dump.lines().any(|line| line == "repeated-in-slice=98"), "{dump}");
    drop(file);

    // A restart begins a slice of its own; with slices of a second the same file is recorded again and again.
    brick.kill9();
    brick.set_option("slice-time", "1");
    brick.start();
    let mount = brick.mount("m2");
    let file = OpenOptions::new().write(true).open(mount.path().join("f")).unwrap();
    wait_for("a third record of the same write", || {
        file.write_all_at(b"y", 0).unwrap();
        fops(&brick.dump()).iter().filter(|fop| *fop == "WRITE").count() >= 5
    });
    // Between two records of it there is a slice end, and each slice has a number of its own.
    let journal = brick.dump();
    let start = journal.iter().rposition(|entry| entry["statement"] == "START").unwrap();
    let mut writes_in_slice = 0;
    let mut slice = 0;
    for entry in &journal[start..] {
        if entry["fop"] == "WRITE" {
            writes_in_slice += 1;
            assert!(
                writes_in_slice <= 2,
                "one, or two when a fop is under way at its end: {entry}"
            );
        } else if entry["statement"] == "SLICE-END" {
            assert!(entry["slice"].as_u64() > Some(slice), "{entry}");
            slice = entry["slice"].as_u64().unwrap();
            writes_in_slice = 0;
        }
    }
    assert!(slice >= 1);
});
