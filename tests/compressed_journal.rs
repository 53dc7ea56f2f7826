//! A brick that compresses its journal (`compress`): what is dumped is the same, also where the brick is killed
//! while it does so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use gnotify_harness::rustix::fs::{XattrFlags, setxattr};
use gnotify_harness::{Brick, Load, Random, assert_accounted, gnotify, host_test, seed, wait_for};
use serde_json::Value;

/// The segments that are compressed, or are not.
fn segments(brick: &Brick, ending: &str) -> Vec<PathBuf> {
    let dir = brick.dir().join(".glusterfs/gnotify");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|other| other == ending)).collect();
    found.sort();
    found
}

/// Changes whose records are long, so that segments are soon full.
fn change(dir: &Path, random: &mut Random, times: u64) {
    let file = dir.join("changed");
    std::fs::write(&file, "").unwrap();
    for _ in 0..times {
        let value: String = (0..150).map(|_| format!("{:016x}", random.below(1000))).collect();
        setxattr(&file, "user.value", value.as_bytes(), XattrFlags::empty()).unwrap();
    }
}

/// Those that were dumped before are still dumped so.
fn assert_goes_on(before: &[Value], after: &[Value]) {
    let differs = before.iter().zip(after).position(|(before, after)| before != after);
    assert_eq!(differs, None, "{:?}", differs.map(|at| (&before[at], &after[at])));
    assert!(after.len() >= before.len(), "{} of {}", after.len(), before.len());
}

host_test!(what_is_dumped_is_the_same_and_a_kill_changes_nothing, |t| {
    let mut random = Random::seeded(seed());
    let mut brick = t
        .brick("b")
        .option("journal", "on")
        .option("detail", "all")
        .option("xattr-values", "on")
        .option("segment-size", "1MB")
        .start();
    let mount = brick.mount("m0");
    change(mount.path(), &mut random, 2000);
    drop(mount);
    wait_for("several segments", || segments(&brick, "gnj").len() > 3);
    brick.kill9();
    let mut before = brick.dump();
    assert_accounted(&before);
    let plain = segments(&brick, "gnj");
    assert!(plain.len() > 3 && segments(&brick, "gnz").is_empty(), "{plain:?}");
    let bytes: u64 = plain.iter().map(|path| path.metadata().unwrap().len()).sum();

    brick.set_option("compress", "on");
    for round in 1..=4 {
        brick.start();
        let mount = brick.mount(&format!("m{round}"));
        let load = Load::start(mount.path(), 2, &format!("r{round}"));
        change(mount.path(), &mut random, 400);
        // The first of them is there; which step the kill meets is left to chance.
        wait_for("a compressed segment", || !segments(&brick, "gnz").is_empty());
        std::thread::sleep(std::time::Duration::from_millis(random.below(100)));
        brick.kill9();
        wait_for("the load to notice", || load.has_ended());
        let ledger = load.stop();
        drop(mount);
        let killed = brick.dump();
        assert_accounted(&killed);
        assert_goes_on(&before, &killed);
        brick.start();
        let mut after = Vec::new();
        wait_for("the start to be in the journal", || {
            after = brick.dump();
            let started = |entries: &[Value]| {
                entries.iter().filter(|entry| entry["statement"] == "START").count()
            };
            started(&after) > started(&killed)
        });
        assert_accounted(&after);
        assert_goes_on(&killed, &after);
        ledger.assert_recorded(&after);
        brick.kill9();
        before = brick.dump();
    }

    brick.start();
    wait_for("all but the last segment to be compressed", || {
        let plain = segments(&brick, "gnj");
        // One of a start that was killed at once may be too short.
        plain.iter().rev().skip(1).all(|path| path.metadata().is_ok_and(|file| file.len() <= 4096))
    });
    let dump = brick.dump();
    assert_accounted(&dump);
    assert_goes_on(&before, &dump);
    let packed: u64 = plain
        .iter()
        .map(|path| path.with_extension("gnz"))
        .filter_map(|path| path.metadata().ok())
        .map(|file| file.len())
        .sum();
    assert!(packed > 0 && packed < bytes, "{packed} of {bytes} bytes");
    let verified = gnotify().arg("verify").arg(brick.dir()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // A host that has served nothing divides by zero in its statedump.
    let mount = brick.mount("last");
    std::fs::write(mount.path().join("last"), "x").unwrap();
    wait_for("the figures in the statedump", || {
        let state = brick.statedump();
        assert!(state.contains("option.compress=on"), "{state}");
        let count =
            state.lines().find_map(|line| line.strip_prefix("journal.compressed-segments="));
        count.unwrap().parse() == Ok(segments(&brick, "gnz").len())
    });
});
