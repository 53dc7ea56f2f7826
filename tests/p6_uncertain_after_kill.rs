//! P6: what may have changed without a record is told. A kill between a change and its record leaves an
//! uncertain record of each object concerned, and of few others.
//!
//! strace holds the storage translator's system calls back when they have done their work: the changes are made,
//! and their replies are not yet there. A translator of the host's below gnotify holds fops back ahead of their
//! change, for as long as it takes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use gnotify_harness::rustix::process::{Pid, Signal, kill_process};
use gnotify_harness::{Brick, assert_accounted, host_test, wait_for};
use serde_json::Value;

const THREADS: usize = 6;

/// The names of what was made, by records that are, or are not, uncertain.
fn made(journal: &[Value], uncertain: bool) -> BTreeSet<String> {
    let made = journal.iter().filter(|entry| {
        let is_made = entry["fop"] == "SYMLINK" || entry["fop"] == "CREATE";
        is_made && entry["uncertain"].as_bool().unwrap_or(false) == uncertain
    });
    made.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

fn on_disk(brick: &Brick) -> BTreeSet<String> {
    let names = fs::read_dir(brick.dir()).unwrap().map(|e| e.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name != ".glusterfs").collect()
}

/// The brick itself, which strace is the parent of.
fn traced(strace: Pid) -> Pid {
    let strace = strace.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

host_test!(what_changed_without_a_record_is_named, |t| {
    // The storage translator makes a link of its own in a new brick: not while strace holds it back.
    drop(t.brick("b").plain().start());
    let trace = t.path("trace");
    let mut brick = t
        .brick("b")
        .option("journal", "on")
        .under(&[
            "strace",
            "-f",
            "-o",
            &trace.to_string_lossy(),
            "-e",
            "trace=symlink,symlinkat",
            "-e",
            // Two minutes: no machine is so slow that the kill below comes too late.
            "inject=symlink,symlinkat:delay_exit=120000000",
        ])
        .start();
    let mount = brick.mount("m");
    // Not a directory: the storage translator makes a link of its own for one.
    fs::File::create(mount.path().join("known")).unwrap();
    let workers: Vec<_> = (0..THREADS)
        .map(|number| {
            let at = mount.path().join(format!("d{number}"));
            std::thread::spawn(move || symlink("x", at))
        })
        .collect();
    // One is there, and its reply is far away.
    wait_for("a link to be on the disk", || on_disk(&brick).len() > 1);
    kill_process(traced(brick.pid()), Signal::KILL).unwrap();
    brick.kill9();
    let answered: usize = workers.into_iter().filter(|w| w.is_finished()).count();
    drop(mount);
    let changed = on_disk(&brick);

    brick.start();
    let mut journal = Vec::new();
    wait_for("the second start", || {
        journal = brick.dump();
        journal.iter().filter(|entry| entry["statement"] == "START").count() == 2
    });
    assert_accounted(&journal);
    let (certain, uncertain) = (made(&journal, false), made(&journal, true));
    println!(
        "on disk {changed:?}, recorded {certain:?}, uncertain {uncertain:?}, answered {answered}"
    );
    assert!(certain.contains("known"));
    let unrecorded: BTreeSet<String> = changed.difference(&certain).cloned().collect();
    assert!(!unrecorded.is_empty(), "the kill came too late: this run shows nothing");
    assert!(unrecorded.is_subset(&uncertain), "{unrecorded:?} changed without a word");
    assert!(uncertain.len() <= THREADS, "only what was under way is named: {uncertain:?}");
});

/// How many frames of a statedump are with the translator that holds fops back, and are to be answered to `parent`.
fn held_back(brick: &Brick, parent: &str) -> usize {
    let parent = format!("parent={parent}");
    let dump = brick.statedump();
    let frames = dump.split("\n[").filter(|section| section.contains(".frame."));
    let with = |frame: &&str, line: &str| frame.lines().any(|one| one == line);
    frames.filter(|frame| with(frame, "translator=slow") && with(frame, &parent)).count()
}

// An open that cuts its file to nothing changes it, whether opens are recorded or not; another one does not.
host_test!(an_open_that_truncates_is_named, |t| {
    // The host keeps it in microseconds, in 31 bits.
    let held = Duration::from_secs(1800);
    for (name, flags, named) in [("cut", "513", true), ("read", "0", false)] {
        let mut brick = t.brick(name).slowed("open", held).option("journal", "on").start();
        let gfapi = brick.gfapi();
        gfapi.run(&[&["mknod", "/f", "644", "0"]]);
        // What is not recorded is answered past gnotify.
        let parent = if named { "gnotify" } else { "brick" };
        let opening = std::thread::spawn(move || gfapi.try_run(&[&["open", "fd", "/f", flags]]));
        wait_for("the open to be in flight", || held_back(&brick, parent) == 1);
        brick.kill9();

        brick.start();
        let mut journal = Vec::new();
        wait_for("the second start", || {
            journal = brick.dump();
            journal.iter().filter(|entry| entry["statement"] == "START").count() == 2
        });
        assert_accounted(&journal);
        let made = journal.iter().find(|entry| entry["fop"] == "MKNOD").unwrap();
        let uncertain: Vec<_> = journal
            .iter()
            .filter(|e| e["uncertain"] == true)
            .map(|e| (&e["fop"], &e["gfid"]))
            .collect();
        let open = Value::from("OPEN");
        let want = if named { vec![(&open, &made["gfid"])] } else { Vec::new() };
        assert_eq!(uncertain, want, "{name}");
        brick.kill9();
        // It was cut off by the first kill, or hangs on the brick that came back and by the second.
        let _ = opening.join();
    }
});
