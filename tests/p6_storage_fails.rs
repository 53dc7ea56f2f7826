//! P6, P9: the brick's storage fails, by real means. Fops go on as the file system lets them, what is lost is told as a gap,
//! and recording resumes by itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gnotify_harness::{
    Brick, Disk, Volfile, assert_accounted, assert_numbered, host_test, run, tool, wait_for,
};
use serde_json::Value;

/// Fills the file system of `dir` to the last block.
fn fill(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("filler");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).and_then(|()| file.sync_data()).is_ok() {}
    }
    path
}

fn chmod(path: &Path, turn: u32) -> bool {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600 | (turn % 8))).is_ok()
}

fn gaps(journal: &[Value], cause: &str) -> u64 {
    let gaps =
        journal.iter().filter(|entry| entry["statement"] == "GAP" && entry["cause"] == cause);
    gaps.filter_map(|gap| gap["lost"].as_u64()).sum()
}

fn setattrs(journal: &[Value]) -> u64 {
    journal.iter().filter(|entry| entry["fop"] == "SETATTR").count() as u64
}

/// The graph of a brick that goes on when its storage fails: the host looks each half minute whether it can write a
/// file, and ends the brick if it cannot.
fn without_health_check() -> Volfile {
    Volfile::named("brick.vol").fill("BRICK", "@BRICK@\n  option health-check-interval 0")
}

/// A figure of the journal, from a statedump.
fn figure(brick: &Brick, key: &str) -> u64 {
    let dump = brick.statedump();
    let key = format!("journal.{key}=");
    let text = dump.lines().find_map(|line| line.strip_prefix(&key)).unwrap();
    text.parse().unwrap()
}

/// Changes a file until the journal has had to write entries off, which is when its ring is half full.
fn change_until_lost(brick: &Brick, file: &Path, done: &mut u64) {
    wait_for("the ring to be half full", || {
        for turn in 0..2000 {
            *done += u64::from(chmod(file, turn));
        }
        // In this order: the one never passes the other.
        let drained = figure(brick, "drained-sequence");
        let next = figure(brick, "next-sequence");
        next - drained < 13_000 && *done > 16_000
    });
}

fn full(t: &gnotify_harness::Sandbox, disk: Disk) {
    let brick = t
        .brick("b")
        .graph(without_health_check())
        .disk(disk)
        .option("journal", "on")
        .option("detail", "all")
        .option("ring-size", "1MB")
        // A slice end would be counted among what is lost.
        .option("slice-time", "1h")
        .start();
    let mount = brick.mount("m");
    let file = mount.path().join("f");
    fs::write(&file, "x").unwrap();
    wait_for("its record", || brick.dump().iter().any(|entry| entry["name"] == "f"));
    let filler = fill(brick.dir().parent().unwrap());
    let mut done = 0;
    wait_for("the journal to notice", || {
        done += u64::from(chmod(&file, done as u32));
        brick.log().contains("cannot write")
    });
    let log = brick.log();
    let line = log.lines().find(|line| line.contains("cannot write")).unwrap();
    assert!(line.contains("storage reserve") || line.contains("is full"), "{line}");
    change_until_lost(&brick, &file, &mut done);
    fs::remove_file(filler).unwrap();
    wait_for("the gap", || gaps(&brick.dump(), "no-space") > 0);
    // The storage translator looks at the free space only each few seconds.
    wait_for("the brick to take more", || fs::create_dir(mount.path().join("after")).is_ok());
    wait_for("recording to resume", || brick.dump().iter().any(|entry| entry["name"] == "after"));
    let journal = brick.dump();
    assert_accounted(&journal);
    assert_eq!(setattrs(&journal) + gaps(&journal, "no-space"), done, "each is there, or counted");
    assert!(brick.log().contains("can be written again"));
}

host_test!(a_full_ext4, |t| full(t, Disk::Ext4(64)));

host_test!(a_full_xfs, |t| full(t, Disk::Xfs(320)));

host_test!(a_file_system_that_is_read_only_for_a_while, |t| {
    let mut brick = t
        .brick("b")
        .graph(without_health_check())
        .disk(Disk::Ext4(64))
        .option("journal", "on")
        .start();
    let at = brick.dir().parent().unwrap().to_owned();
    let mount = brick.mount("m");
    fs::write(mount.path().join("before"), "x").unwrap();
    wait_for("its record", || brick.dump().iter().any(|entry| entry["name"] == "before"));
    brick.kill9();
    drop(mount);
    let remount = |how: &str| run(tool("mount").args(["-o", how]).arg(&at));
    remount("remount,ro");
    // The journal cannot be opened, and the brick serves what it can.
    brick.start();
    assert!(
        brick.log().contains("read-only") || brick.log().contains("Read-only"),
        "{}",
        brick.log()
    );
    remount("remount,rw");
    let mount = brick.mount("m2");
    // The kernel may still take it for read-only.
    wait_for("a change", || fs::write(mount.path().join("unrecorded"), "y").is_ok());
    brick.kill9();
    drop(mount);
    brick.start();
    wait_for("the start", || {
        brick.dump().iter().filter(|entry| entry["statement"] == "START").count() == 2
    });
    let journal = brick.dump();
    assert_accounted(&journal);
    let start = journal.iter().rposition(|entry| entry["statement"] == "START").unwrap();
    assert_eq!(journal[start]["how"], "killed");
    assert_eq!(
        (&journal[start + 1]["statement"], &journal[start + 1]["cause"]),
        (&"GAP".into(), &"io-error".into())
    );
    assert!(journal.iter().any(|entry| entry["name"] == "before"));
});

host_test!(a_disk_that_gives_errors, |t| {
    let mut brick = t
        .brick("b")
        .graph(without_health_check())
        .disk(Disk::Ext4InMemory(64))
        .option("journal", "on")
        .option("detail", "all")
        // A slice end would be among what is lost.
        .option("slice-time", "1h")
        .option("fsync-interval", "1")
        .start();
    let mount = brick.mount("m");
    let file = mount.path().join("f");
    fs::write(&file, "x").unwrap();
    wait_for("its records", || brick.dump().iter().any(|entry| entry["fop"] == "WRITE"));
    run(tool("sync").arg("-f").arg(brick.dir()));

    // From here on fops may fail: what the file system cannot do is its own affair.
    let exhausted = brick.exhaust_disk();
    let mut done = 0;
    wait_for("gnotify to notice", || {
        for turn in 0..200 {
            done += u64::from(chmod(&file, turn));
        }
        let log = brick.log();
        log.contains("journal: cannot sync") || log.contains("journal: cannot write")
    });
    for turn in 0..200 {
        done += u64::from(chmod(&file, turn));
    }
    assert!(done > 0);
    assert!(figure(&brick, "io-errors") > 0, "what failed is counted");
    assert!(brick.is_alive());

    // A new disk, so to speak: it has what the failed one had taken before.
    drop(exhausted);
    brick.kill9();
    drop(mount);
    brick.repair_disk();
    brick.start();
    let mount = brick.mount("m2");
    fs::create_dir(mount.path().join("after")).unwrap();
    wait_for("recording to resume", || brick.dump().iter().any(|entry| entry["name"] == "after"));
    let journal = brick.dump();
    // Of blocks that never came to the disk, the reader finds none, or damaged ones.
    assert_numbered(&journal);
    let lost = gaps(&journal, "io-error") + gaps(&journal, "damaged");
    assert!(lost > 0, "a gap is told: {journal:?}");
    assert_eq!(setattrs(&journal) + lost, done, "each is there, or counted");
});
