//! The harness without the plugin: what it starts serves, and nothing of it stays.

use std::fs;
use std::path::{Path, PathBuf};

use gnotify_harness::rustix::io::Errno;
use gnotify_harness::{Disk, host_test, isolated, run, statedump, tool};

host_test!(a_mount_serves_files_and_survives_kill9_of_the_brick, |t| {
    let mut brick = t.brick("b").plain().start();
    let mut one = brick.mount("one");
    let two = brick.mount("two");
    fs::write(one.path().join("file"), "first").unwrap();
    assert_eq!(fs::read_to_string(two.path().join("file")).unwrap(), "first");
    assert!(brick.dir().join("file").exists());
    assert!(brick.statedump().contains("[xlator.features.locks.locks"));

    let before = brick.pid();
    brick.kill9();
    assert!(!brick.is_alive());
    brick.start();
    assert_ne!(brick.pid(), before);
    one.wait_connected();
    assert_eq!(fs::read_to_string(one.path().join("file")).unwrap(), "first");
    brick.terminate();
    brick.start();
    one.wait_connected();
    one.unmount();
});

host_test!(a_plugin_is_loaded_from_where_it_was_built, |t| {
    // Any translator does: the path is what is looked at.
    let xlators =
        gnotify_harness::run(gnotify_harness::tool("glusterfsd").arg("--print-xlatordir"));
    let plugin = t.path("libany.so");
    fs::copy(format!("{}/debug/trace.so", xlators.trim()), &plugin).unwrap();
    let mut brick = t.brick("b").plugin(&plugin).option("log-history", "on").start();
    let mut mount = brick.mount("m");
    fs::write(mount.path().join("file"), "text").unwrap();
    let maps = fs::read_to_string(format!("/proc/{}/maps", brick.pid())).unwrap();
    assert!(maps.contains(&*plugin.to_string_lossy()), "{maps}");
    assert!(brick.log().contains("option log-history on"));
    brick.kill9();
    brick.set_option("log-history", "off");
    brick.start();
    mount.wait_connected();
    assert!(brick.log().contains("option log-history off"));
});

fn stock_trace() -> PathBuf {
    let xlators = run(tool("glusterfsd").arg("--print-xlatordir"));
    Path::new(xlators.trim()).join("debug/trace.so")
}

host_test!(bricks_live_on_file_systems_of_their_own, |t| {
    for (name, disk) in [("ext4", Disk::Ext4(64)), ("xfs", Disk::Xfs(300))] {
        let brick = t.brick(name).plain().disk(disk).start();
        let mount = brick.mount(name);
        fs::write(mount.path().join("file"), "text").unwrap();
        let kind = run(tool("stat").args(["-f", "-c", "%T"]).arg(brick.dir()));
        assert!(kind.contains(&name[..3]), "{kind}");
    }
});

host_test!(gfapi_sends_what_fuse_cannot, |t| {
    let brick = t.brick("b").plain().start();
    let answers = brick.gfapi().try_run(&[
        &["creat", "f", "/file", "2", "644"],
        &["write", "f", "0", "0123456789abcdef"],
        &["zerofill", "f", "4", "4"],
        &["discard", "f", "0", "2"],
        &["fallocate", "f", "0", "16", "16"],
        &["creat", "g", "/copy", "2", "600"],
        &["copy_file_range", "f", "0", "g", "4", "8"],
        &["fsetxattr", "f", "user.name", "value"],
        &["fremovexattr", "f", "user.name"],
        &["fchmod", "f", "600"],
        &["mknod", "/fifo", "10644", "0"],
        &["unlink", "/absent"],
        &["close", "f"],
    ]);
    assert_eq!(answers[1], Ok(16));
    assert_eq!(answers[6], Ok(8));
    assert_eq!(answers[11], Err(Errno::NOENT.raw_os_error()));
    let good = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(good, answers.len() - 1, "{answers:?}");
    let bytes = fs::read(brick.dir().join("file")).unwrap();
    assert_eq!(bytes.len(), 32);
    assert_eq!(&bytes[..16], b"\0\x0023\0\0\0\x0089abcdef");
    assert_eq!(fs::read(brick.dir().join("copy")).unwrap(), b"\0\0\0\0\0\x0023\0\0\0\0");
});

host_test!(glusterd_makes_starts_and_mounts_a_volume, |t| {
    let node = t.glusterd();
    let bricks = node.create("v", 1);
    node.start_volume("v");
    let mut mount = node.mount("v", "m");
    fs::write(mount.path().join("file"), "text").unwrap();
    assert_eq!(fs::read_to_string(bricks[0].join("file")).unwrap(), "text");
    assert!(node.brick_log(&bricks[0]).contains("Final graph:"));

    let before = node.brick_pid("v", &bricks[0]);
    node.kill9_brick("v", &bricks[0]);
    node.start_volume("v");
    assert_ne!(node.brick_pid("v", &bricks[0]), before);
    mount.wait_connected();
    assert_eq!(fs::read_to_string(mount.path().join("file")).unwrap(), "text");
    mount.unmount();
    node.stop_volume("v");
});

host_test!(glusterd_puts_an_installed_translator_into_a_volume, |t| {
    let node = t.glusterd();
    // Stock trace stands in for gnotify: it is the way into the graph that is looked at.
    node.install_as(&stock_trace(), &["user/gnotify.so"]);
    let bricks = node.create("v", 1);
    node.add_gnotify("v");
    node.set_gnotify("v", "log-history", "on");
    node.start_volume("v");
    let log = node.brick_log(&bricks[0]);
    assert!(log.contains("type user/gnotify"), "{log}");
    assert!(log.contains("option log-history on"), "{log}");
    let mount = node.mount("v", "m");
    fs::write(mount.path().join("file"), "text").unwrap();
});

host_test!(glusterd_puts_two_bricks_into_one_process, |t| {
    let node = t.glusterd();
    node.multiplex();
    let (one, two) = (node.create("one", 1), node.create("two", 1));
    node.start_volume("one");
    node.start_volume("two");
    let pid = node.brick_pid("one", &one[0]);
    assert_eq!(node.brick_pid("two", &two[0]), pid);
    assert!(statedump(pid).contains("DUMP-START-TIME"));
    node.stop_volume("two");
    node.start_volume("two");
    assert_eq!(node.brick_pid("two", &two[0]), pid);
});

/// Leaves everything running when it ends; looked at from outside.
#[test]
fn nothing_outlives_a_test() {
    isolated(concat!(module_path!(), "::nothing_outlives_a_test"), |t| {
        let brick = t.brick("left-behind").plain().start();
        let mount = brick.mount("left-behind");
        fs::write(mount.path().join("file"), "text").unwrap();
        std::mem::forget((brick, mount));
    });
    if std::env::var_os("GNOTIFY_SANDBOX").is_some() {
        return;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("mnt-left-behind"), "{mounts}");
    // Another run, in a directory of its own, may be at the same test now.
    let scratch = std::env::var_os("GNOTIFY_SCRATCH").map_or_else(
        || std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("tmp"),
        PathBuf::from,
    );
    let ours = scratch.join("nothing_outlives_a_test");
    let ours = ours.to_string_lossy();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        assert!(
            !(words.contains(&*ours) && words.contains("left-behind.vol")),
            "still runs: {words}"
        );
    }
}
