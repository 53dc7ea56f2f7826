//! The snapshot barrier of a volume whose bricks have gnotify in the place of features/changelog, as glusterd raises and
//! lifts it: under load, twice, by its timer, and with a fop that the disk does not answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gnotify_changelog::layout::Layout;
use gnotify_changelog::{Change, Entry, csnap};
use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{ADDRESS, Glusterd, Load, Sandbox, host_test, plugin, statedump, wait_for};
use gnotify_record::Gfid;

use brick_changelog::{dated, recorded, slice};

/// Threads that change names.
const THREADS: usize = 3;
/// How long it is looked on whether a name changes that must not.
const LOOK: Duration = Duration::from_secs(2);

/// A node with the object in the place of features/changelog.
fn node(t: &Sandbox, object: &Path) -> Glusterd {
    let node = t.glusterd();
    node.install_as(object, &["features/changelog.so"]);
    node
}

/// A started volume of one brick with the changelog on.
fn volume(node: &Glusterd, name: &str) -> (PathBuf, Layout) {
    let brick = node.create(name, 1).remove(0);
    node.set(name, "changelog.changelog", "on");
    node.set(name, "changelog.rollover-time", "86400");
    // What is written is written when the call returns.
    node.set(name, "performance.write-behind", "off");
    node.start_volume(name);
    let layout = Layout::new(brick.join(".glusterfs/changelogs"));
    (brick, layout)
}

fn barrier(node: &Glusterd, volume: &str, order: &str) -> Result<String, String> {
    node.try_gluster(&["volume", "barrier", volume, order])
}

/// Fop and first name of each record of a name, and how often it is there.
fn names(changes: &[Change<'_>]) -> BTreeMap<(String, String), usize> {
    let mut names = BTreeMap::new();
    for change in changes {
        let Change::Entry { entry, .. } = change else { continue };
        let at = match entry {
            Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => &birth.at,
            Entry::Symlink(at) | Entry::Link(at) => at,
            Entry::Rename { old, .. } => old,
            Entry::Unlink(removal) | Entry::Rmdir(removal) => &removal.at,
        };
        let name = String::from_utf8_lossy(&at.name).into_owned();
        *names.entry((entry.fop().to_string(), name)).or_default() += 1;
    }
    names
}

fn listing(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn gfid(path: &Path) -> Gfid {
    let mut gfid = [0; 16];
    assert_eq!(unix::lgetxattr(path, "trusted.gfid", &mut gfid[..]), Ok(16), "{}", path.display());
    Gfid(gfid)
}

/// Files whose content is noted in the barrier's own file.
fn noted(layout: &Layout) -> BTreeSet<Gfid> {
    let mut reader = csnap::reader(File::open(layout.csnap()).unwrap()).unwrap();
    let mut noted = BTreeSet::new();
    while let Some(change) = reader.next().unwrap() {
        assert!(matches!(change, Change::Data { .. }), "{change:?}");
        noted.insert(change.gfid());
    }
    noted
}

/// Ends a thread when it is dropped.
struct Ends<'s>(&'s AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

host_test!(under_load_no_name_changes_and_nothing_is_lost, |t| {
    let node = node(t, &plugin());
    let (brick, layout) = volume(&node, "v");
    let mount = node.mount("v", "m");
    let written = File::create(mount.path().join("written")).unwrap();
    let untouched = mount.path().join("untouched");
    fs::write(&untouched, "before").unwrap();
    let (stop, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Also when the test fails: the scope waits for its threads.
        let _stop = Ends(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                written.write_at(b"again", 0).unwrap();
                writes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let load = Load::start(mount.path(), THREADS, "load");
        load.wait_for_files(20);
        node.gluster(&["volume", "barrier", "v", "enable"]);

        let there = listing(&brick);
        let finished: Vec<Change<'_>> =
            dated(&layout).iter().flat_map(|path| slice(path)).collect();
        let (begun, answered) = (writes.load(Ordering::Relaxed), load.answered().len());
        thread::sleep(LOOK);
        assert_eq!(listing(&brick), there, "no name changes");
        // What was answered before may have been on its way here.
        assert!(
            load.answered().len() <= answered + THREADS,
            "{answered}, then {}",
            load.answered().len()
        );
        wait_for("writes to go on", || writes.load(Ordering::Relaxed) > begun + 10);
        let noted = noted(&layout);
        assert!(noted.contains(&gfid(&brick.join("written"))), "{noted:?}");
        assert!(!noted.contains(&gfid(&brick.join("untouched"))));
        let answered = load.answered();

        node.gluster(&["volume", "barrier", "v", "disable"]);
        let lives = load.lives();
        load.wait_for_files(lives + 20);
        let ledger = load.stop();
        assert!(ledger.errors.is_empty(), "{:?}", ledger.errors);

        let in_slice = names(&finished);
        let is_in = |(fop, name): &&(&'static str, String)| {
            *fop == "WRITE" || in_slice.contains_key(&((*fop).to_owned(), name.clone()))
        };
        let late: Vec<_> = answered.iter().filter(|noted| !is_in(noted)).collect();
        assert!(
            late.is_empty(),
            "answered before the barrier, but not in a finished slice: {late:?}"
        );
        assert!(answered.len() > 20, "{answered:?}");

        fs::create_dir(mount.path().join("the end")).unwrap();
        let mut all = BTreeMap::new();
        wait_for("the last record", || {
            all = names(&recorded(&layout));
            all.contains_key(&("MKDIR".to_owned(), "the end".to_owned()))
        });
        for (fop, name, _) in ledger.done.iter().filter(|(fop, ..)| *fop != "WRITE") {
            let count = all.get(&((*fop).to_owned(), name.clone()));
            assert_eq!(count, Some(&1), "{fop} {name}");
        }
    });
});

/// What glusterd answers to these orders one after the other, with the object in the place of features/changelog.
fn answers(node: &Glusterd, object: &Path, orders: &[Order]) -> Vec<Result<String, String>> {
    node.install_as(object, &["features/changelog.so"]);
    let name = "v";
    let (brick, _) = volume(node, name);
    let mount = node.mount(name, "m");
    let ask = |order: &Order| match order {
        Order::Barrier(order) => Some(barrier(node, name, order)),
        Order::Timeout(seconds) => {
            node.set(name, "changelog.changelog-barrier-timeout", seconds);
            None
        }
        Order::Make(name) => {
            fs::create_dir(mount.path().join(name)).unwrap();
            None
        }
        Order::Log(text) => {
            wait_for(text, || node.brick_log(&brick).contains(text));
            None
        }
    };
    let answers = orders.iter().filter_map(ask).collect();
    mount.unmount();
    node.stop_volume(name);
    node.gluster(&["volume", "delete", name]);
    fs::remove_dir_all(brick).unwrap();
    answers
}

enum Order<'a> {
    Barrier(&'a str),
    Timeout(&'a str),
    Make(&'a str),
    Log(&'a str),
}

host_test!(it_answers_as_stock_does, |t| {
    let node = t.glusterd();
    let [enable, disable] = ["enable", "disable"].map(Order::Barrier);
    let orders = [
        enable,
        Order::Log("nabled changelog barrier"),
        Order::Barrier("enable"),
        disable,
        Order::Make("goes on"),
        Order::Barrier("disable"),
        Order::Timeout("3"),
        Order::Barrier("enable"),
        Order::Make("goes on by itself"),
        Order::Barrier("disable"),
        Order::Make("and on"),
    ];
    let stock = answers(&node, &t.stock_object("features/changelog.so"), &orders);
    let ours = answers(&node, &plugin(), &orders);
    assert_eq!(ours, stock);
    println!("{ours:#?}");
});

/// Puts a translator below the changelog on which each mkdir waits for ten minutes. glusterd hands out the file as it is.
fn slow_down(brick: &Path) {
    let dir = Path::new("/var/lib/glusterd/vols/v");
    let dashed = brick.to_str().unwrap().trim_start_matches('/').replace('/', "-");
    let path = dir.join(format!("v.{ADDRESS}.{dashed}.vol"));
    let graph = fs::read_to_string(&path).unwrap();
    let (below, changelog) = graph.split_once("volume v-changelog\n").unwrap();
    let changelog = changelog.replacen("subvolumes v-trash", "subvolumes v-slow", 1);
    let slow = "volume v-slow\n    type debug/delay-gen\n    option enable mkdir\n    option delay-percentage 100\n    \
                option delay-duration 600000000\n    subvolumes v-trash\nend-volume\n\n";
    fs::write(&path, format!("{below}{slow}volume v-changelog\n{changelog}")).unwrap();
}

host_test!(d34_a_fop_that_is_stuck_makes_it_fail_in_time, |t| {
    let node = node(t, &plugin());
    let (brick, _) = volume(&node, "v");
    node.set("v", "changelog.changelog-barrier-timeout", "3");
    node.stop_volume("v");
    slow_down(&brick);
    node.start_volume("v");
    let mount = node.mount("v", "m");
    thread::scope(|scope| {
        let stuck = scope.spawn(|| fs::create_dir(mount.path().join("stuck")));
        let pid = node.brick_pid("v", &brick);
        wait_for("a fop that the disk does not answer", || {
            statedump(pid).lines().any(|line| line == "fops-under-way=1")
        });
        let refused = barrier(&node, "v", "enable");
        let still_stuck = !stuck.is_finished();
        // Only then, or the thread would not end.
        node.kill9_brick("v", &brick);
        assert!(refused.is_err() && still_stuck, "{refused:?}");
        let why = "1 fops that began before it are not answered by the disk";
        assert!(node.brick_log(&brick).contains(why), "{}", node.brick_log(&brick));
        assert!(stuck.join().unwrap().is_err());
    });
});
