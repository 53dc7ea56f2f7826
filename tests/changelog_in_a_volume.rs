//! Volumes of glusterd's with gnotify in the place of features/changelog record what stock ones record.
//!
//! In one node there are two volumes of the same layout, one with the stock object in its bricks and one with ours, and
//! the same is done to both. Then, brick by brick, their changelogs say the same: each change of a name, in order
//! where one client alone worked, and for each inode the first change of content, of attributes and of extended
//! attributes. (Later ones are repetitions, which depend on where slices end.) Inodes are named by where they were born,
//! because each volume has gfids of its own.
//!
//! `GNOTIFY_SEED` repeats a run, `GNOTIFY_ROUNDS` makes the long ones longer.
//!
//! Known defects of stock that are allowed for, and nothing else:
//!
//! - S3: the mode of a create or mkdir is the one that was asked for.
//! - S9: with quota, the marker takes its extended attribute off a file that was renamed; that is recorded as a change of
//!   metadata, but with the number of the rename.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;
mod volume_pair;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{
    Gfapi, Random, Sandbox, host_test, make_directories, rounds, run, seed, tool, wait_for,
    work_on_mount, work_through_gfapi,
};
use volume_pair::{Order, Pair};

/// Every kind of change, as an administrator's day has them. Names are many enough that some renames cross bricks.
fn script(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("a/b/c")).unwrap();
    for number in 0..12 {
        let (old, new) = (at(&format!("a/f{number}")), at(&format!("a/b/g{number}")));
        fs::write(&old, "first").unwrap();
        fs::rename(&old, &new).unwrap();
        let file = OpenOptions::new().append(true).open(&new).unwrap();
        file.write_at(b"more", 5).unwrap();
    }
    let (one, two) = (at("a/b/g0"), at("a/b/g1"));
    fs::set_permissions(&one, fs::Permissions::from_mode(0o640)).unwrap();
    lchown(&one, Some(5), Some(6)).unwrap();
    unix::lsetxattr(&two, "user.colour", b"blue", unix::XattrFlags::empty()).unwrap();
    unix::lremovexattr(&two, "user.colour").unwrap();
    OpenOptions::new().write(true).open(&two).unwrap().set_len(3).unwrap();
    fs::hard_link(&one, at("a/another")).unwrap();
    symlink("b/g0", at("a/symbolic")).unwrap();
    let (fifo, mode) = (unix::FileType::Fifo, unix::Mode::from_raw_mode(0o600));
    unix::mknodat(unix::CWD, at("a/fifo"), fifo, mode, 0).unwrap();
    // One takes the place of another.
    fs::rename(at("a/b/g2"), at("a/b/g3")).unwrap();
    fs::rename(at("a/b"), at("moved")).unwrap();
    fs::write(at("moved/c/below"), "x").unwrap();
    fs::write(at("moved/g4"), "truncated and written").unwrap();
    for name in ["a/another", "a/symbolic", "a/fifo", "moved/g0", "moved/g5", "moved/c/below"] {
        fs::remove_file(at(name)).unwrap();
    }
    fs::remove_dir(at("moved/c")).unwrap();
    fs::remove_dir(at("a")).unwrap();
}

fn through_gfapi(gfapi: &Gfapi) {
    gfapi.run(&[
        &["mkdir", "/api", "2755"],
        &["creat", "fd", "/api/file", "2", "644"],
        &["write", "fd", "0", "text"],
        &["ftruncate", "fd", "2"],
        &["fchmod", "fd", "600"],
        &["fsetxattr", "fd", "trusted.shape", "round"],
        &["fremovexattr", "fd", "trusted.shape"],
        &["symlink", "file", "/api/symbolic"],
        &["link", "/api/file", "/api/second"],
        &["rename", "/api/second", "/api/third"],
        &["unlink", "/api/symbolic"],
        &["mkdir", "/api/deeper", "755"],
        &["rmdir", "/api/deeper"],
        &["truncate", "/api/file", "1"],
        &["close", "fd"],
    ]);
}

/// The script and random calls, through a mount and gfapi, on both volumes.
fn work(pair: &Pair, calls: u64) {
    let seed = seed();
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        script(mount.path());
        make_directories(mount.path());
        drop(mount);
        through_gfapi(&pair.node.gfapi(volume));
        let mut random = Random::seeded(seed);
        for round in 0..2 {
            // One that lived on would for a second know names as they were before the other client's work.
            let mount = pair.mount(volume, volume);
            work_on_mount(mount.path(), &mut random, calls);
            drop(mount);
            let gfapi = pair.node.gfapi(volume);
            work_through_gfapi(&gfapi, &format!("api{round}"), &mut random, calls / 2);
        }
    }
}

fn layout(t: &Sandbox, layout: &[&str], bricks: usize, options: &[(&str, &str)], calls: u64) {
    let pair = Pair::start(t, layout, bricks, options);
    work(&pair, calls);
    pair.assert_alike(Order::Kept);
}

host_test!(two_distributed_bricks, |t| {
    layout(t, &[], 2, &[("changelog.capture-del-path", "on")], 400);
});
host_test!(two_times_two_replicas, |t| layout(t, &["replica", "2"], 4, &[], 200));
host_test!(dispersed_over_three, |t| layout(t, &["disperse", "3", "redundancy", "1"], 3, &[], 200));

host_test!(
    #[ignore = "long: make test-long"]
    each_layout_for_long,
    |t| {
        let pair = Pair::start(t, &["replica", "2"], 4, &[("changelog.capture-del-path", "on")]);
        work(&pair, 300 * rounds(5));
        pair.assert_alike(Order::Kept);
    }
);

host_test!(a_sharded_file_comes_and_goes, |t| {
    let options = [("features.shard", "on"), ("features.shard-block-size", "4MB")];
    let pair = Pair::start(t, &[], 2, &options);
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        let big = mount.path().join("big");
        run(tool("dd")
            .args(["if=/dev/zero", "bs=1M", "count=10", "status=none"])
            .arg(format!("of={}", big.display())));
        assert_eq!(fs::metadata(&big).unwrap().len(), 10 << 20);
        let shards = || {
            pair.bricks(volume).iter().map(|brick| files_in(&brick.join(".shard"))).sum::<usize>()
        };
        assert_eq!(shards(), 2, "what is behind the first 4 MiB");
        fs::rename(&big, mount.path().join("bigger")).unwrap();
        OpenOptions::new()
            .write(true)
            .open(mount.path().join("bigger"))
            .unwrap()
            .set_len(6 << 20)
            .unwrap();
        fs::remove_file(mount.path().join("bigger")).unwrap();
        wait_for("the shards to be removed in the background", || shards() == 0);
    }
    pair.assert_alike(Order::AnyBrick);
});

/// The size of a sharded file is kept in an extended attribute, and so is what replicas and fragments note of a write under
/// way. Both are changed by the same fop, and only the first is recorded.
fn a_sharded_file_grows(t: &Sandbox, layout: &[&str], bricks: usize) {
    let options = [("features.shard", "on"), ("features.shard-block-size", "4MB")];
    let pair = Pair::start(t, layout, bricks, &options);
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        let path = mount.path().join("grows");
        let mut file = File::create(&path).unwrap();
        for megabyte in 0..6 {
            file.write_all(&vec![megabyte; 1 << 20]).unwrap();
            file.sync_all().unwrap();
        }
    }
    pair.assert_alike(Order::Any);
}

host_test!(a_sharded_file_grows_on_replicas, |t| a_sharded_file_grows(t, &["replica", "2"], 2));
host_test!(a_sharded_file_grows_on_fragments, |t| {
    a_sharded_file_grows(t, &["disperse", "3", "redundancy", "1"], 3);
});

host_test!(a_brick_is_healed, |t| {
    let pair = Pair::start(t, &["replica", "2"], 2, &[]);
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        let at = |name: &str| mount.path().join(name);
        fs::create_dir(at("d")).unwrap();
        for name in ["d/changed", "d/removed", "d/chmod"] {
            fs::write(at(name), "before").unwrap();
        }
        pair.node.kill9_brick(volume, &pair.bricks(volume)[0]);
        fs::write(at("d/new"), "while it was away").unwrap();
        fs::create_dir(at("d/below")).unwrap();
        symlink("new", at("d/symbolic")).unwrap();
        fs::write(at("d/changed"), "while it was away").unwrap();
        fs::remove_file(at("d/removed")).unwrap();
        fs::set_permissions(at("d/chmod"), fs::Permissions::from_mode(0o600)).unwrap();
        pair.start_volume(volume);
        pair.node.wait_healed(volume);
        let healed = fs::read(pair.bricks(volume)[0].join("d/new")).unwrap();
        assert_eq!(healed, b"while it was away");
    }
    pair.assert_alike(Order::Any);
});

host_test!(a_brick_is_added_and_files_move_there, |t| {
    let mut pair = Pair::start(t, &[], 2, &[]);
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        let at = |name: String| mount.path().join(name);
        fs::create_dir(at("d".into())).unwrap();
        (0..30).for_each(|number| fs::write(at(format!("d/f{number}")), "content").unwrap());
        let added = t.path("bricks").join(format!("{volume}-3"));
        pair.add_bricks(volume, &[], std::slice::from_ref(&added));
        pair.node.rebalance(volume);
        assert!(files_in(&added.join("d")) > 0, "files have moved to the new brick");
        (0..30).for_each(|number| fs::remove_file(at(format!("d/f{number}"))).unwrap());
    }
    pair.assert_alike(Order::Any);
});

host_test!(with_quota, |t| {
    let pair = Pair::start(t, &[], 1, &[]);
    for volume in pair.volumes() {
        let mount = pair.mount(volume, volume);
        let at = |name: &str| mount.path().join(name);
        pair.install_for(volume);
        pair.node.gluster(&["volume", "quota", volume, "enable"]);
        fs::create_dir(at("limited")).unwrap();
        pair.node.gluster(&["volume", "quota", volume, "limit-usage", "/limited", "10MB"]);
        for number in 0..5 {
            fs::write(at(&format!("limited/f{number}")), "counted").unwrap();
        }
        fs::rename(at("limited/f0"), at("outside")).unwrap();
        fs::remove_file(at("limited/f1")).unwrap();
    }
    pair.assert_alike(Order::Any);
});

host_test!(with_bitrot_detection, |t| {
    let pair = Pair::start(t, &[], 1, &[]);
    // With stock, most of the times that bitd begins it never hears of anything.
    let [_, volume] = pair.volumes();
    let mount = pair.mount(volume, volume);
    pair.node.gluster(&["volume", "bitrot", volume, "enable"]);
    // Seconds after a file was closed, of which bitd hears by the brick's event channel.
    pair.node.gluster(&["volume", "bitrot", volume, "signing-time", "2"]);
    let brick = &pair.bricks(volume)[0];
    let signed = |name: &str| {
        let mut signature = [0; 512];
        let key = "trusted.bit-rot.signature";
        unix::lgetxattr(brick.join(name), key, &mut signature[..]).is_ok()
    };
    // One that was closed before bitd listened is not heard of.
    let mut turn = 0;
    wait_for("a file to be signed", || {
        turn += 1;
        fs::write(mount.path().join(format!("f{turn}")), "content").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(1));
        (1..=turn).any(|turn| signed(&format!("f{turn}")))
    });
});

/// Regular files in a directory and below it.
fn files_in(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let count = |path: &Path| match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => files_in(path),
        Ok(meta) => usize::from(meta.is_file() && meta.nlink() > 0),
        Err(_) => 0,
    };
    entries.map(|entry| count(&entry.path())).sum()
}
