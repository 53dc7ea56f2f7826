//! What only glusterd can ask of gnotify in the place of `features/changelog`: the snapshot barrier, and options of a running
//! brick. The names of the tests are the numbers of `docs/changelog.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::fs;
use std::path::PathBuf;

use gnotify_changelog::layout::Layout;
use gnotify_harness::rustix::process::Pid;
use gnotify_harness::{Glusterd, Sandbox, host_test, plugin, wait_for};

use brick_changelog::{created_in, indexed, indexes, slice, touch};

const VOLUME: &str = "v";

/// A volume of one brick with its changelog on, which is not started yet.
fn node(t: &Sandbox) -> (Glusterd, PathBuf) {
    let node = t.glusterd();
    node.install_as(&plugin(), &["features/changelog.so"]);
    let brick = node.create(VOLUME, 1).remove(0);
    node.set(VOLUME, "changelog.changelog", "on");
    node.set(VOLUME, "changelog.rollover-time", "3600");
    (node, brick)
}

/// The open files of a process.
fn files(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap().count()
}

host_test!(d29_d34_the_barrier_leaves_nothing_behind, |t| {
    let (node, brick) = node(t);
    node.set(VOLUME, "changelog.changelog-barrier-timeout", "3");
    node.start_volume(VOLUME);
    let mount = node.mount(VOLUME, "m");
    let layout = Layout::new(brick.join(".glusterfs/changelogs"));
    let mut names = touch(mount.path(), 0..5);
    wait_for("all records", || created_in(&layout).len() == names.len());
    let pid = node.brick_pid(VOLUME, &brick);
    let barrier = |order: &str| node.try_gluster(&["volume", "barrier", VOLUME, order]);

    // Off without on: whether glusterd lets it through or not, the brick goes on.
    let _ = barrier("disable");
    barrier("enable").unwrap();
    // A roll-over was finished before the answer.
    assert!(slice(&layout.live()).is_empty() && !indexed(&layout).is_empty());
    barrier("disable").unwrap();
    let stdin = fs::read_link(format!("/proc/{}/fd/0", pid.as_raw_nonzero())).unwrap();
    let before = files(pid);
    for round in 1..=20 {
        names.extend(touch(mount.path(), round * 5..round * 5 + 5));
        // One that was slow may be lifted by its timer first, and glusterd then says so.
        barrier("enable").unwrap();
        let _ = barrier("disable");
    }
    wait_for("all records", || created_in(&layout).len() == names.len());
    wait_for("no more open files than before", || files(pid) <= before);
    assert_eq!(fs::read_link(format!("/proc/{}/fd/0", pid.as_raw_nonzero())).unwrap(), stdin);

    // D34: one that is forgotten is lifted by itself.
    barrier("enable").unwrap();
    wait_for("the timer", || node.brick_log(&brick).contains("lifted by itself"));
    names.extend(touch(mount.path(), 200..205));
    wait_for("all records", || created_in(&layout).len() == names.len());
    assert_eq!(created_in(&layout), names);
    assert_eq!(node.brick_pid(VOLUME, &brick), pid, "it is the same process");
});

host_test!(d17_another_directory_strands_no_slice, |t| {
    let (node, brick) = node(t);
    node.start_volume(VOLUME);
    let mount = node.mount(VOLUME, "m");
    let before = Layout::new(brick.join(".glusterfs/changelogs"));
    let after = Layout::new(t.path("elsewhere"));
    let old = touch(mount.path(), 0..10);
    wait_for("all records", || created_in(&before).len() == old.len());
    node.set(VOLUME, "changelog.changelog-dir", after.dir().to_str().unwrap());
    wait_for("an index there", || after.live().exists() && indexes(&after).len() == 1);
    let new = touch(mount.path(), 10..20);
    wait_for("all records", || created_in(&after).len() == new.len());
    assert_eq!((created_in(&before), created_in(&after)), (old, new));
    assert!(!before.live().exists(), "the last slice there is finished");
    assert!(indexed(&before).iter().any(|path| path.exists()), "and indexed");
});
