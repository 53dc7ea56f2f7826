//! durability=sync: a reply waits until its record is on disk, and no thread of the host waits with it.
//!
//! What is on disk is asked of the kernel: strace shows that the fsync of the segment comes between the storage
//! translator's call and the answer to the client. A power loss cannot be had here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};

use gnotify_harness::{Load, assert_accounted, host_test, wait_for};

host_test!(replies_are_given_and_records_are_there, |t| {
    let mut brick = t.brick("b").option("journal", "on").option("durability", "sync").start();
    let mount = brick.mount("m");
    // More threads than io-threads would have, were each to wait.
    let load = Load::start(mount.path(), 24, "load");
    load.wait_for_files(100);
    let ledger = load.stop();
    assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);
    assert!(!ledger.done.is_empty());
    // Everything answered is in a segment already: the ring is not needed.
    brick.kill9();
    for ring in fs::read_dir("/run/gluster/gnotify").unwrap() {
        fs::remove_file(ring.unwrap().path()).unwrap();
    }
    let journal = brick.dump();
    assert_accounted(&journal);
    ledger.assert_recorded(&journal);
});

host_test!(one_fsync_serves_many_replies, |t| {
    let trace = t.path("trace");
    let brick = t
        .brick("b")
        .option("journal", "on")
        .option("durability", "sync")
        .option("sync-interval", "1h")
        .under(&["strace", "-f", "-e", "trace=fdatasync,fsync", "-o", &trace.to_string_lossy()])
        .start();
    let mount = brick.mount("m");
    let files: Vec<File> =
        (0..16).map(|n| File::create(mount.path().join(format!("f{n}"))).unwrap()).collect();
    let before = syncs(&trace);
    assert!(before >= 16, "each of these came alone and had an fsync of its own: {before}");
    std::thread::scope(|scope| {
        for (number, file) in files.iter().enumerate() {
            scope.spawn(move || {
                use std::os::unix::fs::FileExt;
                for turn in 0..20 {
                    let text = format!("{number}-{turn}");
                    file.write_all_at(text.as_bytes(), 0).unwrap();
                }
            });
        }
    });
    let after = syncs(&trace) - before;
    assert!(after < 16 * 20, "{after} fsyncs for 320 writes: none was shared");
});

fn syncs(trace: &std::path::Path) -> usize {
    let text = fs::read_to_string(trace).unwrap();
    text.lines().filter(|line| line.contains("fdatasync(")).count()
}

host_test!(a_journal_that_cannot_be_synced_holds_no_reply_for_ever, |t| {
    let brick = t.brick("b").option("journal", "on").option("durability", "sync").start();
    let mount = brick.mount("m");
    fs::write(mount.path().join("before"), "x").unwrap();
    // The journal's directory is gone: what comes cannot be carried into a new segment, and fops go on.
    let dir = brick.dir().join(".glusterfs/gnotify");
    fs::rename(&dir, t.path("away")).unwrap();
    for number in 0..20 {
        fs::write(mount.path().join(format!("f{number}")), "x").unwrap();
    }
    fs::rename(t.path("away"), &dir).unwrap();
    fs::write(mount.path().join("after"), "x").unwrap();
    wait_for("the last record", || brick.dump().iter().any(|entry| entry["name"] == "after"));
    assert_accounted(&brick.dump());
});
