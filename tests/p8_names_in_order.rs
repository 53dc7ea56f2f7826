//! P8: for one (parent, name) the order of records is the order in which the file system applied the fops.
//!
//! Many threads work on few names. The journal is then played from its first record: each name must be bound
//! only when it is free, and unbound only from the inode that it is bound to; what it ends with is the directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use gnotify_harness::rustix::fs::lgetxattr;
use gnotify_harness::{Mount, Sandbox, Volfile, assert_accounted, host_test, wait_for};
use serde_json::Value;

const NAMES: [&str; 5] = ["one/a", "one/b", "one/c", "two/a", "two/b"];
const THREADS: u64 = 8;

/// Which gfid each (parent, name) stands for.
type Tree = BTreeMap<(String, String), String>;

/// Works on the names until all threads have done their turns. Most calls fail, because another thread was there
/// first: that is the point.
fn storm(mounts: &[Mount], turns: u64) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mount = mounts[thread as usize % mounts.len()].path();
            scope.spawn(move || {
                let mut state = thread + 1;
                let mut random = |below: usize| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) as usize % below
                };
                for _ in 0..turns {
                    let (one, other) = (NAMES[random(NAMES.len())], NAMES[random(NAMES.len())]);
                    let (one, other) = (mount.join(one), mount.join(other));
                    let _ = match random(5) {
                        0 => File::create_new(one).map(drop),
                        1 => fs::hard_link(one, other),
                        2 | 3 => fs::rename(one, other),
                        _ => fs::remove_file(one),
                    };
                }
            });
        }
    });
}

/// Plays the journal, and fails at the first record that cannot be true.
fn play(journal: &[Value]) -> (Tree, usize) {
    let mut tree = Tree::new();
    let mut played = 0;
    for record in journal.iter().filter(|entry| entry["class"] == "entry") {
        let text = |key: &str| record[key].as_str().map(str::to_owned);
        let gfid = text("gfid").unwrap();
        let at = (text("parent").unwrap(), text("name").unwrap());
        let bound = tree.get(&at).cloned();
        match record["fop"].as_str().unwrap() {
            "CREATE" | "LINK" | "MKDIR" => {
                assert_eq!(bound, None, "bound already: {record}");
                tree.insert(at, gfid);
            }
            "UNLINK" => {
                assert_eq!(bound.as_ref(), Some(&gfid), "another inode: {record}");
                tree.remove(&at);
            }
            "RENAME" => {
                assert_eq!(bound.as_ref(), Some(&gfid), "another inode: {record}");
                let to = (text("new_parent").unwrap(), text("new_name").unwrap());
                assert_eq!(tree.get(&to).cloned(), text("replaced"), "replaced: {record}");
                tree.remove(&at);
                tree.insert(to, gfid);
            }
            other => panic!("{other} was not made here"),
        }
        played += 1;
    }
    (tree, played)
}

/// What is there.
fn found(brick: &Path) -> Tree {
    let gfid = |path: &PathBuf| {
        let mut raw = [0u8; 16];
        lgetxattr(path, "trusted.gfid", &mut raw[..]).unwrap();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let mut tree = Tree::new();
    let mut dirs = vec![brick.to_owned()];
    while let Some(dir) = dirs.pop() {
        let parent = gfid(&dir);
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name == ".glusterfs" {
                continue;
            }
            tree.insert((parent.clone(), name), gfid(&path));
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    tree
}

fn through(t: &Sandbox, mounts: usize) {
    let turns = std::env::var("GNOTIFY_TURNS").map_or(1_500, |text| text.parse().unwrap());
    // GlusterFS's storage translator (10.3, posix_link) replies that a LINK failed where the inode still has the extended
    // attribute of an earlier link at that name, and removes the name only afterwards: by then it may be another's, whose
    // end nobody is told of. Without gfid2path there is no such attribute.
    let graph = Volfile::named("brick.vol").fill("BRICK", "@BRICK@\n  option gfid2path off");
    let brick = t.brick("b").graph(graph).option("journal", "on").start();
    let mounts: Vec<Mount> = (0..mounts).map(|number| brick.mount(&format!("m{number}"))).collect();
    for dir in ["one", "two"] {
        fs::create_dir(mounts[0].path().join(dir)).unwrap();
    }
    storm(&mounts, turns);
    fs::create_dir(mounts[0].path().join("mark")).unwrap();
    let mut journal = Vec::new();
    wait_for("the mark to be in the journal", || {
        journal = brick.dump();
        journal.iter().any(|entry| entry["name"] == "mark")
    });
    assert_accounted(&journal);
    let (tree, played) = play(&journal);
    assert_eq!(tree, found(brick.dir()));
    assert!(played > 100, "only {played} records: the threads were in each other's way");
    println!("{played} records");
}

host_test!(through_one_mount, |t| through(t, 1));

host_test!(through_two_mounts, |t| through(t, 2));
