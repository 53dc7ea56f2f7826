//! A volume that glusterd runs: several bricks in one process, detached and attached, volumes stopped and
//! started, options changed, all of it under load. The journals stay complete and apart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::path::Path;

use gnotify_changelog::layout::Layout;
use gnotify_harness::{
    Glusterd, Load, Sandbox, assert_accounted, dump, host_test, plugin, statedump, wait_for,
};
use serde_json::Value;

use brick_changelog::{assert_created_in, assert_whole, created_in, indexes, touch};

fn volume(node: &Glusterd, name: &str) -> std::path::PathBuf {
    let brick = node.create(name, 1).remove(0);
    node.add_gnotify(name);
    node.set_gnotify(name, "journal", "on");
    node.start_volume(name);
    brick
}

fn node(t: &Sandbox) -> Glusterd {
    let node = t.glusterd();
    node.install_plugin();
    node
}

/// The journal of a brick, once it has `fop` of `name`: everything that was done before is in it.
fn journal_with(brick: &Path, name: &str) -> Vec<Value> {
    let mut journal = Vec::new();
    wait_for("a mark to be in the journal", || {
        journal = dump(brick);
        journal.iter().any(|entry| entry["name"] == *name)
    });
    journal
}

fn count(journal: &[Value], statement: &str) -> usize {
    journal.iter().filter(|entry| entry["statement"] == *statement).count()
}

/// Stops a volume whose brick shares the process of `beside`, and waits until its graph is gone: GlusterFS 10
/// brings a brick up that never serves when it is started again before that.
fn stop_and_wait(node: &Glusterd, volume: &str, beside: &Path) {
    let gone = |log: String| log.matches("io-stats translator unloaded").count();
    let before = gone(node.brick_log(beside));
    node.stop_volume(volume);
    wait_for("the graph to be taken down", || gone(node.brick_log(beside)) > before);
}

host_test!(two_bricks_in_one_process, |t| {
    let node = node(t);
    node.multiplex();
    let (stays, goes) = (volume(&node, "stays"), volume(&node, "goes"));
    let pid = node.brick_pid("stays", &stays);
    assert_eq!(pid, node.brick_pid("goes", &goes), "the bricks share a process");

    let mount = node.mount("stays", "stays");
    let load = Load::start(mount.path(), 3, "stays");
    for round in 1..=3 {
        let other = node.mount("goes", &format!("goes{round}"));
        let its_load = Load::start(other.path(), 2, &format!("goes-{round}"));
        its_load.wait_for_files(20);
        let ledger = its_load.stop();
        assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
        other.unmount();
        stop_and_wait(&node, "goes", &stays);
        let journal = dump(&goes);
        assert_accounted(&journal);
        ledger.assert_recorded(&journal);
        node.start_volume("goes");
        assert_eq!(pid, node.brick_pid("goes", &goes), "it is attached again, in the same process");
    }
    let ledger = load.stop();
    assert!(ledger.errors.is_empty(), "the brick that stays was disturbed: {:?}", ledger.errors);
    std::fs::create_dir(mount.path().join("mark")).unwrap();
    let journal = journal_with(&stays, "mark");
    assert_accounted(&journal);
    ledger.assert_recorded(&journal);
    assert_eq!(count(&journal, "START"), 1);
    assert!(
        !journal
            .iter()
            .any(|entry| { entry["name"].as_str().is_some_and(|name| name.starts_with("goes")) })
    );

    // A detach ends the instance in good order: its STOP stands before the next START.
    let journal = dump(&goes);
    assert_accounted(&journal);
    assert_eq!((count(&journal, "START"), count(&journal, "STOP")), (4, 3));
    let hows = journal.iter().filter(|entry| entry["statement"] == "START").map(|s| &s["how"]);
    assert_eq!(hows.collect::<Vec<_>>(), ["first", "clean", "clean", "clean"]);

    let dump = statedump(pid);
    for name in ["stays", "goes"] {
        assert!(dump.contains(&format!("[xlator.gnotify.{name}-gnotify]")), "{dump}");
    }
});

host_test!(changelogs_of_two_bricks_in_one_process, |t| {
    let node = t.glusterd();
    node.install_as(&plugin(), &["features/changelog.so"]);
    node.multiplex();
    let volume = |name: &str| {
        let brick = node.create(name, 1).remove(0);
        node.set(name, "changelog.changelog", "on");
        node.set(name, "changelog.rollover-time", "2");
        node.start_volume(name);
        brick
    };
    let (stays, goes) = (volume("stays"), volume("goes"));
    assert_eq!(node.brick_pid("stays", &stays), node.brick_pid("goes", &goes));
    let mount = node.mount("stays", "stays");
    let layout = |brick: &Path| Layout::new(brick.join(".glusterfs/changelogs"));
    let (mut its, mut others) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let other = node.mount("goes", &format!("goes{round}"));
        others.extend(touch(other.path(), round * 100..round * 100 + 20));
        its.extend(touch(mount.path(), round * 100..round * 100 + 20));
        // Once with records that are not yet exported, as far as that can be had.
        if round != 1 {
            wait_for("all records", || created_in(&layout(&goes)).len() == others.len());
        }
        other.unmount();
        stop_and_wait(&node, "goes", &stays);
        its.extend(touch(mount.path(), round * 100 + 50..round * 100 + 60));
        node.start_volume("goes");
        wait_for("all records", || created_in(&layout(&goes)).len() >= others.len());
    }
    wait_for("all records", || created_in(&layout(&stays)).len() >= its.len());
    for (brick, names) in [(&stays, &its), (&goes, &others)] {
        let layout = layout(brick);
        assert_created_in(&layout, names);
        assert_eq!(indexes(&layout).len(), 1, "one index");
        assert_whole(&layout);
    }
});

host_test!(options_change_under_load, |t| {
    let node = node(t);
    let brick = volume(&node, "v");
    let mount = node.mount("v", "m");
    let load = Load::start(mount.path(), 3, "load");
    let pid = node.brick_pid("v", &brick);
    let shows = |line: &str| {
        wait_for(line, || statedump(pid).lines().any(|at| at == line));
    };
    shows("option.detail=slice");
    node.set_gnotify("v", "detail", "all");
    shows("option.detail=all");
    node.set_gnotify("v", "slice-time", "1");
    shows("option.slice-time=1s");
    node.set_gnotify("v", "segment-size", "1MB");
    shows("option.segment-size=1048576");

    // A bad value is reported, and the default is in force.
    node.set_gnotify("v", "detail", "everything");
    shows("option.detail=slice");
    let complaint = "option detail: \"everything\" is not accepted, expected slice or all; using the \
                     default, \"slice\"";
    wait_for("the complaint", || node.brick_log(&brick).contains(complaint));

    // The journal keeps up with all of that.
    wait_for("a slice to end", || count(&dump(&brick), "SLICE-END") >= 1);
    let ledger = load.stop();
    assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
    std::fs::create_dir(mount.path().join("before-off")).unwrap();
    ledger.assert_recorded(&journal_with(&brick, "before-off"));

    // Off and on again while fops run: the stretch between is marked, and what is outside is complete.
    let load = Load::start(mount.path(), 3, "switched");
    node.set_gnotify("v", "journal", "off");
    shows("journal.state=off");
    std::fs::create_dir(mount.path().join("while-off")).unwrap();
    node.set_gnotify("v", "journal", "on");
    shows("journal.state=on");
    assert!(load.stop().errors.is_empty());
    let load = Load::start(mount.path(), 3, "again");
    load.wait_for_files(20);
    let ledger = load.stop();
    assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
    std::fs::create_dir(mount.path().join("after-on")).unwrap();
    let journal = journal_with(&brick, "after-on");
    assert_accounted(&journal);
    ledger.assert_recorded(&journal);
    assert_eq!((count(&journal, "OFF"), count(&journal, "ON")), (1, 1));
    assert!(!journal.iter().any(|entry| entry["name"] == "while-off"));
});

host_test!(a_volume_stops_and_starts, |t| {
    let node = node(t);
    let brick = volume(&node, "v");
    let mut ledgers = Vec::new();
    for round in 1..=3 {
        let mount = node.mount("v", &format!("m{round}"));
        let load = Load::start(mount.path(), 2, &format!("r{round}"));
        load.wait_for_files(20);
        ledgers.push(load.stop());
        mount.unmount();
        // Without multiplexing a stop is SIGTERM, and the host exits without fini.
        node.stop_volume("v");
        node.start_volume("v");
    }
    let mut journal = Vec::new();
    wait_for("the last start", || {
        journal = dump(&brick);
        count(&journal, "START") == 4
    });
    assert_accounted(&journal);
    for ledger in ledgers {
        assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
        ledger.assert_recorded(&journal);
    }
});
