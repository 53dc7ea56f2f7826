//! What stock's `features/changelog` gets wrong, done to gnotify in its place on a real brick. The names of the tests are the
//! numbers of `docs/changelog.md`; where a defect lies in one of the pure crates, its test is there too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gnotify_changelog::layout::Layout;
use gnotify_changelog::storage::Disk as ChangelogDisk;
use gnotify_changelog::writer::{Settings, Since, Writer};
use gnotify_changelog::{Birth, Change, Encoding, Entry};
use gnotify_harness::{
    Brick, BrickSpec, Disk, GfEvents, Load, Sandbox, host_test, run, tool, wait_for,
};
use gnotify_record::{Fop, Gfid, Link};

use brick_changelog::{
    History, assert_created, assert_created_in, assert_whole, begun, created, created_in, dated,
    distributing_mount, gfid, history, indexed, indexes, layout, mark, name_of, now, our_history,
    recorded, stamp, touch, wait_for_creates, wait_for_slices,
};

/// A brick whose changelog is on.
fn spec(t: &Sandbox, name: &str, rollover: &str) -> BrickSpec {
    let spec = t.brick(name).as_changelog().option("changelog", "on");
    spec.option("rollover-time", rollover)
}

host_test!(d2_roll_overs_in_one_second, |t| {
    let brick = spec(t, "b", "1").start();
    let mount = brick.mount("m");
    let mut names = Vec::new();
    for round in 0..80 {
        names.extend(touch(mount.path(), round..round + 1));
        std::thread::sleep(Duration::from_millis(60));
    }
    wait_for_creates(&brick, names.len());
    wait_for_slices(&layout(&brick));
    assert_created(&brick, &names);
    assert!(dated(&layout(&brick)).len() > 2, "it rolled over");
});

/// That what was answered has its record once, and what was not, once at most.
fn assert_once(brick: &Brick, done: &[(&'static str, String, String)]) {
    let mut times: BTreeMap<(Fop, String), u32> = BTreeMap::new();
    for named in recorded(&layout(brick)).iter().filter_map(name_of) {
        *times.entry(named).or_default() += 1;
    }
    for (fop, name, _) in done {
        let fop = match *fop {
            "CREATE" => Fop::CREATE,
            "RENAME" => Fop::RENAME,
            "UNLINK" => Fop::UNLINK,
            _ => continue,
        };
        let found = times.get(&(fop, name.clone()));
        assert_eq!(found, Some(&1), "{fop:?} of {name}, which was answered");
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "recorded more than once: {twice:?}");
}

host_test!(d3_a_kill_loses_nothing_that_was_answered, |t| {
    let mut brick = spec(t, "b", "2").start();
    let mut done = Vec::new();
    for round in 0..3 {
        let mount = distributing_mount(t, &brick, &format!("m{round}"));
        let load = Load::start(mount.path(), 3, &format!("round{round}"));
        load.wait_for_files(100 * (round + 1));
        brick.kill9();
        done.extend(load.stop().done);
        drop(mount);
        brick.start();
    }
    let mount = brick.mount("last");
    fs::write(mount.path().join("the end"), "").unwrap();
    wait_for("the last record", || created(&brick).last().is_some_and(|name| name == "the end"));
    assert_once(&brick, &done);
    assert!(done.len() > 600, "the load did something: {}", done.len());
    wait_for_slices(&layout(&brick));
    assert_whole(&layout(&brick));
});

host_test!(d13_the_gfid_is_the_inodes_own, |t| {
    let brick = spec(t, "b", "1h").start();
    let mount = brick.mount("m");
    let late = brick.mount_spec("late").arg("--negative-timeout=3600").start();
    let mut names = Vec::new();
    for number in 0..10 {
        let name = format!("f{number}");
        // The second client does not look again: it asks the brick to create, with a gfid of its own choice.
        assert!(fs::metadata(late.path().join(&name)).is_err());
        fs::write(mount.path().join(&name), "").unwrap();
        fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(late.path().join(&name))
            .unwrap();
        names.extend([name.clone(), name]);
    }
    wait_for_creates(&brick, names.len());
    assert_created(&brick, &names);
    for change in recorded(&layout(&brick)) {
        if let Some((Fop::CREATE, name)) = name_of(&change) {
            assert_eq!(change.gfid(), gfid(&brick.dir().join(&name)), "{name}");
        }
    }
});

/// What is recorded of an inode: `D`, or the number of a fop on its metadata.
fn of_inode(brick: &Brick, name: &str) -> Vec<String> {
    let gfid = gfid(&brick.dir().join(name));
    let kind = |change: &Change<'_>| match change {
        Change::Data { .. } => Some("D".to_owned()),
        Change::Metadata { fop, .. } => Some(fop.0.to_string()),
        Change::Entry { .. } => None,
    };
    let changes = recorded(&layout(brick));
    changes.iter().filter(|change| change.gfid() == gfid).filter_map(kind).collect()
}

/// Changes content and metadata in all ways, and gives what is recorded of the files `content...` and `metadata`.
fn recorded_with(t: &Sandbox, scope: &str) -> (Vec<Vec<String>>, Vec<String>, Brick) {
    const FLAGS: &str = "66"; // O_CREAT | O_RDWR
    let brick = spec(t, scope, "1h").option("changelog-records", scope).start();
    brick.gfapi().run(&[
        &["creat", "source", "/source", FLAGS, "644"],
        &["write", "source", "0", "some-text-to-be-copied"],
        &["creat", "a", "/allocated", FLAGS, "644"],
        &["fallocate", "a", "0", "0", "100000"],
        &["creat", "d", "/discarded", FLAGS, "644"],
        &["discard", "d", "0", "4096"],
        &["creat", "z", "/zeroed", FLAGS, "644"],
        &["zerofill", "z", "0", "4096"],
        &["creat", "c", "/copied", FLAGS, "644"],
        &["copy_file_range", "source", "0", "c", "0", "10"],
        &["creat", "m", "/metadata", FLAGS, "644"],
        &["chmod", "/metadata", "600"],
        &["chmod", "/metadata", "640"],
        &["fchmod", "m", "600"],
        &["setxattr", "/metadata", "user.x", "1"],
        &["setxattr", "/metadata", "user.y", "1"],
        &["removexattr", "/metadata", "user.x"],
        &["fsetxattr", "m", "user.z", "1"],
        &["fremovexattr", "m", "user.z"],
        &["mkdir", "/end", "755"],
    ]);
    wait_for("the last record", || {
        let all = recorded(&layout(&brick));
        all.iter().filter_map(name_of).any(|(_, name)| name == "end")
    });
    let content = ["allocated", "discarded", "zeroed", "copied"];
    let content = content.map(|name| of_inode(&brick, name)).into();
    let metadata = of_inode(&brick, "metadata");
    (content, metadata, brick)
}

/// The UNLINKs after a rename onto a file that is there.
fn unlinks_of_a_replaced(t: &Sandbox, brick: &Brick, mount: &str) -> Vec<String> {
    let mount = distributing_mount(t, brick, mount);
    fs::write(mount.path().join("moved"), "").unwrap();
    fs::write(mount.path().join("replaced"), "").unwrap();
    fs::rename(mount.path().join("moved"), mount.path().join("replaced")).unwrap();
    let named = || recorded(&layout(brick)).iter().filter_map(name_of).collect::<Vec<_>>();
    wait_for("the rename", || named().contains(&(Fop::RENAME, "moved".to_owned())));
    named().into_iter().filter(|(fop, _)| *fop == Fop::UNLINK).map(|(_, name)| name).collect()
}

host_test!(d14_extended_records_what_stock_loses, |t| {
    let (content, metadata, brick) = recorded_with(t, "extended");
    assert_eq!(content, vec![vec!["D"]; 4], "allocated, discarded, zeroed, copied");
    // SETATTR, FSETATTR, SETXATTR, REMOVEXATTR, FSETXATTR, FREMOVEXATTR: each once.
    assert_eq!(metadata, ["38", "39", "17", "19", "36", "45"]);
    assert_eq!(unlinks_of_a_replaced(t, &brick, "extended"), ["replaced"]);
});

host_test!(d14_stock_records_what_stock_does, |t| {
    let (content, metadata, brick) = recorded_with(t, "stock");
    assert_eq!(content, vec![Vec::<String>::new(); 4], "allocated, discarded, zeroed, copied");
    assert_eq!(metadata, ["38", "17"]);
    assert_eq!(unlinks_of_a_replaced(t, &brick, "stock"), Vec::<String>::new());
});

host_test!(d15_a_brick_that_is_called_changelog, |t| {
    let brick = spec(t, "CHANGELOG", "1").start();
    let mount = brick.mount("m");
    let layout = layout(&brick);
    let mut names = touch(mount.path(), 0..3);
    wait_for("slices with records and without", || {
        let slices = indexed(&layout);
        slices.iter().any(|path| path.exists()) && slices.iter().any(|path| !path.exists())
    });
    names.extend(touch(mount.path(), 3..6));
    wait_for_creates(&brick, names.len());
    let last = wait_for_slices(&layout);
    assert_created(&brick, &names);
    for path in indexed(&layout) {
        assert!(path.starts_with(layout.dir()), "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name.starts_with("CHANGELOG."), path.exists(), "{}", path.display());
    }
    let first = begun(indexes(&layout)[0].file_name().unwrap()).unwrap();
    let ours: Vec<_> = our_history(&layout).into_iter().filter(|(ts, _)| *ts <= last).collect();
    let stocks = history(t, &brick, first, last);
    assert_eq!(stocks, History { result: 0, actual_end: last, slices: ours });
});

host_test!(d16_a_brick_that_was_moved, |t| {
    let mut brick = spec(t, "before", "2").start();
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..20);
    wait_for_creates(&brick, names.len());
    wait_for_slices(&layout(&brick));
    // One slice more, which is alive when the brick is stopped.
    names.extend(touch(mount.path(), 20..30));
    wait_for_creates(&brick, names.len());
    brick.terminate();
    drop(mount);
    fs::create_dir(t.path("after")).unwrap();
    fs::rename(brick.dir(), t.path("after/brick")).unwrap();
    let brick = spec(t, "after", "2").start();
    let mount = brick.mount("moved");
    names.extend(touch(mount.path(), 30..50));
    wait_for_creates(&brick, names.len());
    let layout = layout(&brick);
    let last = wait_for_slices(&layout);
    assert_created(&brick, &names);
    // The journal of another path is not gone on with, so an index ends here and another begins; both know their part
    // by the new paths.
    assert!(indexed(&layout).iter().all(|path| path.starts_with(brick.dir())));
    let [before, after] = &indexes(&layout)[..] else { panic!("{:?}", indexes(&layout)) };
    let ours = our_history(&layout);
    for (index, from, to) in [(before, 0, mark(before).0), (after, mark(before).0 + 1, last)] {
        let first = begun(index.file_name().unwrap()).unwrap();
        let slices = ours.iter().filter(|(ts, _)| (from..=to).contains(ts)).cloned().collect();
        assert_eq!(history(t, &brick, first, to), History { result: 0, actual_end: to, slices });
    }
});

host_test!(d17_a_spell_without_a_changelog_is_a_hole, |t| {
    let mut brick = spec(t, "b", "1").start();
    let mut names = Vec::new();
    for (round, on) in [true, false, true].into_iter().enumerate() {
        if round > 0 {
            brick.set_option("changelog", if on { "on" } else { "off" });
            brick.start();
        }
        let mount = brick.mount(&format!("m{round}"));
        let begin = u32::try_from(round).unwrap() * 10;
        let made = touch(mount.path(), begin..begin + 10);
        if on {
            names.extend(made);
            wait_for_creates(&brick, names.len());
            wait_for_slices(&layout(&brick));
        } else {
            // The next index is named after a later second than the last slice of the former one.
            std::thread::sleep(Duration::from_secs(3));
        }
        if round < 2 {
            brick.terminate();
        }
    }
    let layout = layout(&brick);
    assert_created(&brick, &names);
    let [before, after] = &indexes(&layout)[..] else { panic!("{:?}", indexes(&layout)) };
    let begin = |index: &Path| begun(index.file_name().unwrap()).unwrap();
    let hole = mark(before).0..begin(after);
    assert!(hole.start < hole.end, "{hole:?}");
    let last = mark(after).0;
    let result = |start, end| history(t, &brick, start, end).result;
    assert_eq!(result(begin(before), hole.start), 0, "before");
    // (The library lets an end that is not 20 s behind what is known pass for known.)
    let part = history(t, &brick, begin(before), last + 60);
    assert_eq!((part.result, part.actual_end), (1, hole.start), "a part");
    assert!(
        part.slices.iter().all(|(ts, _)| *ts <= hole.start),
        "and nothing from behind the hole"
    );
    assert_eq!(result(hole.end - 1, last), -2, "from within the hole");
    assert_eq!(result(hole.end, last), 0, "after");
});

host_test!(d18_a_stray_file_among_the_indexes, |t| {
    let mut brick = spec(t, "b", "1").start();
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..5);
    wait_for_creates(&brick, names.len());
    wait_for_slices(&layout(&brick));
    brick.terminate();
    drop(mount);
    let index = indexes(&layout(&brick)).remove(0);
    let stray = PathBuf::from(format!("{}.bak", index.display()));
    fs::copy(&index, &stray).unwrap();
    brick.start();
    let mount = brick.mount("n");
    names.extend(touch(mount.path(), 5..10));
    wait_for_creates(&brick, names.len());
    wait_for_slices(&layout(&brick));
    assert_created(&brick, &names);
    assert_eq!(indexes(&layout(&brick)), [index], "the index goes on");
    assert!(stray.exists(), "it is not ours to remove");
    let told = format!("{}: not an index", stray.display());
    assert!(brick.log().contains(&told), "the log says what is in stock's way");
});

host_test!(d20b_a_torn_index_is_mended, |t| {
    let mut brick = spec(t, "b", "1").start();
    let mut names = Vec::new();
    for round in 0..2 {
        let mount = brick.mount(&format!("m{round}"));
        names.extend(touch(mount.path(), round * 10..round * 10 + 10));
        wait_for_creates(&brick, names.len());
        wait_for_slices(&layout(&brick));
        brick.kill9();
        drop(mount);
        let index = indexes(&layout(&brick)).remove(0);
        // As after a disk that was full.
        let len = fs::metadata(&index).unwrap().len();
        let torn = fs::OpenOptions::new().write(true).open(&index).unwrap();
        torn.write_all_at(&layout(&brick).dir().as_os_str().as_encoded_bytes()[..20], len).unwrap();
        brick.start();
        wait_for("the index to be mended", || fs::read(&index).unwrap().ends_with(b"\0"));
    }
    let mount = brick.mount("last");
    names.extend(touch(mount.path(), 20..30));
    wait_for_creates(&brick, names.len());
    wait_for_slices(&layout(&brick));
    assert_created(&brick, &names);
    assert_whole(&layout(&brick));
});

/// An event's native structure, as hexadecimal digits.
fn structure(kind: u32, len: usize) -> String {
    let mut bytes = vec![0x61; len];
    for (byte, of_kind) in bytes.iter_mut().zip(kind.to_le_bytes()) {
        *byte = of_kind;
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

host_test!(d23_an_ipc_is_checked, |t| {
    const WHOLE: usize = 4104;
    const BR_RELEASE: u32 = 16;
    let mut brick = spec(t, "b", "1h").option("changelog-notification", "on").start();
    let consumer = GfEvents::register(t, brick.dir().to_str().unwrap(), 0x1f, true);
    wait_for("the connection", || consumer.is_connected());
    let wrong = [
        (BR_RELEASE, WHOLE - 1),
        (BR_RELEASE, WHOLE + 1),
        (BR_RELEASE, 4),
        (BR_RELEASE, 1),
        (0, WHOLE),
        // Whoever could send these could have a consumer read any file as a slice.
        (1, WHOLE),
        (2, WHOLE),
        (4, WHOLE),
        (8, WHOLE),
        (3, WHOLE),
        (32, WHOLE),
        (u32::MAX, WHOLE),
    ];
    let mut commands: Vec<Vec<String>> = Vec::new();
    for (kind, len) in wrong.into_iter().chain([(BR_RELEASE, WHOLE)]) {
        let words = ["ipc", "0", "RELEASE-EVENT"].map(str::to_owned);
        commands.push(words.into_iter().chain([structure(kind, len)]).collect());
    }
    let commands: Vec<Vec<&str>> =
        commands.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    let answers = brick.gfapi().try_run(&commands);
    let (last, refused) = answers.split_last().unwrap();
    for (answer, what) in refused.iter().zip(wrong) {
        assert_eq!(*answer, Err(22), "EINVAL for type and length {what:?}");
    }
    assert_eq!(*last, Ok(0), "a good one");
    wait_for("the good one", || consumer.count() >= 1);
    // Something that comes behind it, so that all that was sent has come.
    let mount = brick.mount("m");
    fs::write(mount.path().join("file"), "").unwrap();
    wait_for("the file's events", || consumer.count() >= 3);
    let kinds: Vec<u8> = consumer.events().iter().map(|event| event.bytes[0]).collect();
    assert_eq!(&kinds[..3], [16, 4, 8], "BR_RELEASE by ipc, then CREATE and RELEASE");
    assert!(brick.is_alive());
});

/// Slices of hours ago, `len` bytes each, with their index. The time stamps.
fn seed_slices(dir: &Path, count: u64, len: usize) -> Vec<u64> {
    let settings = Settings { dir: dir.to_owned(), encoding: Encoding::Ascii, sync: false };
    let begin = now() - 4 * 3600;
    let (mut writer, _) = Writer::start(ChangelogDisk, settings, begin, Since::Broken).unwrap();
    let at = Link { parent: Gfid::ROOT, name: vec![b'x'; 200].into() };
    let birth = Birth { mode: 0o100_644, uid: 0, gid: 0, at };
    let change = Change::Entry { gfid: Gfid([7; 16]), entry: Entry::Create(birth) };
    let mut stamps = Vec::new();
    for number in 1..=count {
        while writer.live_len() < len as u64 {
            writer.append(&vec![change.clone(); 200.min(1 + len / 250)]).unwrap();
        }
        stamps.push(writer.roll(begin + number * 600).unwrap().ts);
    }
    stamps
}

/// That the library's history call knows the slices from `kept` on and says so, and that nothing before is left.
fn assert_trimmed(t: &Sandbox, brick: &Brick, old: u64, kept: impl Fn(&[u64]) -> bool) {
    let layout = layout(brick);
    let stamps = || dated(&layout).iter().map(|path| stamp(path)).collect::<Vec<_>>();
    wait_for("the old slices to go", || kept(&stamps()));
    let last = wait_for_slices(&layout);
    let index = indexes(&layout);
    assert_eq!(index.len(), 1, "{index:?}");
    let first = begun(index[0].file_name().unwrap()).unwrap();
    assert_eq!(history(t, brick, old, last).result, -2, "what is gone is not claimed");
    let read = history(t, brick, first, last);
    let ours: Vec<_> = our_history(&layout).into_iter().filter(|(ts, _)| *ts <= last).collect();
    assert_eq!((read.result, read.actual_end), (0, last));
    assert_eq!(read.slices, ours);
}

host_test!(d31_slices_go_by_age, |t| {
    let spec = spec(t, "b", "2").option("retention-age", "1h");
    let old = seed_slices(&t.path("b/brick/.glusterfs/changelogs"), 6, 500);
    let brick = spec.start();
    let mount = brick.mount("m");
    let names = touch(mount.path(), 0..10);
    wait_for_creates(&brick, names.len());
    assert_trimmed(t, &brick, old[0], |stamps| {
        stamps.first().is_some_and(|first| !old.contains(first))
    });
    assert_created(&brick, &names);
});

host_test!(d31_slices_go_by_size, |t| {
    const MAX: u64 = 4 << 20;
    let spec = spec(t, "b", "2").option("retention-bytes", "4MB");
    let old = seed_slices(&t.path("b/brick/.glusterfs/changelogs"), 6, 1 << 20);
    let brick = spec.start();
    let mount = brick.mount("m");
    let names = touch(mount.path(), 0..10);
    wait_for("all records", || created(&brick).ends_with(&names));
    let layout = layout(&brick);
    let size = || dated(&layout).iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).sum();
    assert_trimmed(t, &brick, old[0], |_| {
        let size: u64 = size();
        size <= MAX
    });
    assert!(dated(&layout).len() > 2, "no more than needed");
    assert!(created(&brick).ends_with(&names), "the newest are there");
});

/// A file system that waits with every change until this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn freeze(at: &Path) -> Frozen {
        run(tool("fsfreeze").arg("--freeze").arg(at));
        Frozen(at.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        run(tool("fsfreeze").arg("--unfreeze").arg(&self.0));
    }
}

host_test!(d32_no_fop_waits_for_a_roll_over, |t| {
    let disk = t.path("slow");
    Disk::Ext4(64).make(&disk);
    let dir = disk.join("changelogs");
    let brick = spec(t, "b", "1").option("changelog-dir", dir.to_str().unwrap()).start();
    let layout = Layout::new(&dir);
    let mount = brick.mount("m");
    let mut names = touch(mount.path(), 0..50);
    wait_for("all records", || created_in(&layout).len() == names.len());
    wait_for_slices(&layout);
    let rolled = indexed(&layout).len();
    {
        // No sync, rename or append of the changelog comes to an end now.
        let _frozen = Frozen::freeze(&disk);
        for round in 1..=40 {
            names.extend(touch(mount.path(), round * 50..round * 50 + 50));
            let path = mount.path().join(names.last().unwrap());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(indexed(&layout).len(), rolled, "the changelog stood still");
    }
    wait_for("all records", || created_in(&layout).len() >= names.len());
    assert_created_in(&layout, &names);
});

/// How often the threads of gnotify in a process have gone to sleep by themselves.
fn sleeps(brick: &Brick) -> BTreeMap<String, u64> {
    let tasks = format!("/proc/{}/task", brick.pid().as_raw_nonzero());
    let mut sleeps = BTreeMap::new();
    for task in fs::read_dir(tasks).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if name.starts_with("gnotify-") {
            *sleeps.entry(name.trim().to_owned()).or_default() +=
                count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sleeps
}

host_test!(d33_an_idle_brick_sleeps, |t| {
    const SECONDS: u64 = 10;
    let brick = spec(t, "b", "1h").start();
    let consumer = GfEvents::register(t, brick.dir().to_str().unwrap(), 0x1f, true);
    wait_for("the connection", || consumer.is_connected());
    // Nothing is under way any more: two looks at it are alike but for what is asked here.
    let mut before = sleeps(&brick);
    wait_for("the threads to rest", || {
        std::thread::sleep(Duration::from_secs(1));
        let (former, now) = (std::mem::replace(&mut before, sleeps(&brick)), sleeps(&brick));
        now.values().sum::<u64>() <= former.values().sum::<u64>() + 1
    });
    let before = sleeps(&brick);
    std::thread::sleep(Duration::from_secs(SECONDS));
    let after = sleeps(&brick);
    assert!(after.contains_key("gnotify-export"), "{after:?}");
    for (name, count) in &after {
        let times = count - before.get(name).unwrap_or(&0);
        assert!(times < SECONDS / 2, "{name} woke up {times} times in {SECONDS} s: {after:?}");
    }
});
