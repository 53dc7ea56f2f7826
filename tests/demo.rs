//! The demo as a new user runs it: it ends well, shows what was done, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use gnotify_harness::{Sandbox, host_test, plugin, tool, try_run, wait_for};

/// Runs the demo of this build in a directory of the test's own.
fn demo(t: &Sandbox, target: &Path) -> Result<String, String> {
    let built = plugin();
    let profile = built.ancestors().find(|dir| dir.join("gnotify").is_file());
    let profile = profile.unwrap_or_else(|| panic!("cargo build -p gnotify-cli has not run"));
    // The demo takes both from one directory; cargo test leaves the plugin in another.
    let debug = target.join("debug");
    fs::create_dir_all(&debug).map_err(|error| error.to_string())?;
    symlink(&built, debug.join("libgnotify.so")).map_err(|error| error.to_string())?;
    symlink(profile.join("gnotify"), debug.join("gnotify")).map_err(|error| error.to_string())?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/demo.sh");
    try_run(tool("bash").arg(script).arg(target).env("ONCE", "1").current_dir(t.dir()))
}

fn processes() -> Vec<String> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // Empty for what has ended and is not yet reaped.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (!line.is_empty()).then_some(line)
    });
    numbers.collect()
}

host_test!(once, |t| {
    let before = processes();
    let run_before: Vec<_> = fs::read_dir("/run").unwrap().map(|e| e.unwrap().path()).collect();
    let target = t.path("target");
    let output = demo(t, &target).unwrap();
    for fop in [
        "CREATE", "WRITE", "MKDIR", "RENAME", "SETATTR", "SETXATTR", "LINK", "SYMLINK", "TRUNCATE",
        "UNLINK", "RMDIR",
    ] {
        assert!(output.contains(fop), "no {fop} in:\n{output}");
    }
    assert!(output.contains("box/mail"), "paths are resolved:\n{output}");
    for mount in ["one", "two"] {
        let mount = target.join("demo").join(mount);
        assert!(output.contains(&*mount.to_string_lossy()), "{output}");
        assert_eq!(fs::read_dir(&mount).unwrap().count(), 0, "{} is mounted", mount.display());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("fuse.glusterfs"), "{mounts}");
    // A process that was told to end may take a moment to.
    wait_for("every process of the demo to go", || processes() == before);
    let run_after: Vec<_> = fs::read_dir("/run").unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(run_after, run_before);
});

host_test!(a_second_demo_is_told, |t| {
    let target = t.path("target");
    fs::create_dir_all(&target).unwrap();
    let lock = fs::File::create(target.join("demo.lock")).unwrap();
    lock.lock().unwrap();
    let told = demo(t, &target).unwrap_err();
    assert!(told.contains("another demo runs"), "{told}");
});
