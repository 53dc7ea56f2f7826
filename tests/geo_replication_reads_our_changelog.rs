//! Debian's geo-replication, unmodified, keeps a volume equal to one with gnotify in the place of features/changelog:
//! from the slices that it is told of while it runs, and from those that were written while it was away, also by bricks
//! that were killed meanwhile. Equal is what a mount shows, down to the inode numbers, so hard links are hard links.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brick_changelog;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gnotify_changelog::layout::Layout;
use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{
    ADDRESS, Daemon, Glusterd, Mount, PATIENCE, Sandbox, host_test, plugin, run, statedump, tool,
    wait_for,
};

use brick_changelog::{indexed, stamp};

const PRIMARY: &str = "primary";
const SECONDARY: &str = "secondary";
/// Seconds. Geo-replication gives up on the history when it has no slice of the last 15.
const ROLLOVER: &str = "3";

// ---- the session

/// Both volumes, mounted, and a session between them that is not started yet.
struct Session {
    node: Glusterd,
    bricks: Vec<PathBuf>,
    primary: Mount,
    secondary: Mount,
    log: PathBuf,
    _sshd: Daemon,
}

impl Session {
    /// `prepare` makes what geo-replication finds when it comes.
    fn create(t: &Sandbox, replicas: usize, to: usize, prepare: impl FnOnce(&Path)) -> Session {
        let node = t.glusterd();
        node.install_as(&plugin(), &["features/changelog.so"]);
        let replica = replicas.to_string();
        let layout = if replicas > 1 { &["replica", &replica][..] } else { &[] };
        let bricks = node.create_with(PRIMARY, layout, 2 * replicas);
        node.create(SECONDARY, to);
        node.set(PRIMARY, "changelog.rollover-time", ROLLOVER);
        [PRIMARY, SECONDARY].iter().for_each(|volume| node.start_volume(volume));
        for brick in &bricks {
            let dump = statedump(node.brick_pid(PRIMARY, brick));
            assert!(dump.lines().any(|line| line == "persona=changelog"), "{}", brick.display());
        }
        let [primary, secondary] = [PRIMARY, SECONDARY].map(|volume| node.mount(volume, volume));
        prepare(primary.path());

        let log = t.log(&format!("geo-replication/{PRIMARY}_{ADDRESS}_{SECONDARY}/gsyncd"));
        let session = Session { node, bricks, primary, secondary, log, _sshd: t.sshd() };
        session.node.gluster(&["system::", "execute", "gsec_create"]);
        session.ask(&["create", "push-pem"]);
        // glusterd goes on in the background; this is its last step.
        wait_for("the keys to be where they belong", || {
            let info = session.node.gluster(&["volume", "info", SECONDARY]);
            info.contains("features.read-only: on")
        });
        // The rsync of Debian's security updates (3.5.0) writes nothing into a mount that was detached.
        session.ask(&["config", "secondary-access-mount", "true"]);
        // Of replicas, one is at work, the one that has a lock in there.
        let locks = "/run/gluster/shared_storage";
        fs::create_dir(locks).unwrap();
        run(tool("mount").args(["-t", "tmpfs", "tmpfs", locks]));
        session.ask(&["config", "use-meta-volume", "true"]);
        session
    }

    fn ask(&self, command: &[&str]) -> String {
        let secondary = format!("{ADDRESS}::{SECONDARY}");
        let session = ["volume", "geo-replication", PRIMARY, &secondary];
        self.node.gluster(&[&session, command].concat())
    }

    /// Starts geo-replication, and waits until it reads the slices as they are finished.
    fn start(&self) {
        // GlusterFS's library (10.3) waits for ever when its history thread has read all slices before the calling
        // thread has noted that it began. So when nothing moves any more, geo-replication is started again, as an
        // administrator does. What moves slowly is given more time with each start.
        for seconds in [30, 60, 120, 240] {
            self.ask(&["start"]);
            let (mut since, mut logged) = (Instant::now(), 0);
            while since.elapsed() < Duration::from_secs(seconds) {
                if self.follows() {
                    return;
                }
                let log = self.log().len();
                if log != logged {
                    (since, logged) = (Instant::now(), log);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            println!("geo-replication does not go on:\n{}", self.ask(&["status"]));
            self.ask(&["stop"]);
        }
        panic!("no changelog crawl: {}", self.log());
    }

    /// Whether of each brick, or of one of its replicas, the slices are read as they are finished.
    fn follows(&self) -> bool {
        let status = self.ask(&["status"]);
        let rows: Vec<&str> = status.lines().filter(|row| row.starts_with(ADDRESS)).collect();
        let count = |told: [&str; 2]| {
            rows.iter().filter(|row| told.iter().all(|words| row.contains(words))).count()
        };
        let active = count([" Active ", " Changelog Crawl "]);
        active == 2 && active + count([" Passive ", " N/A "]) == self.bricks.len()
    }

    fn stop(&self) {
        // A replica that was idle must know from where to go on, in case that it is the one at work next time.
        wait_for("all bricks to note how far it is", || self.bricks.iter().all(|b| has_stime(b)));
        self.ask(&["stop"]);
    }

    /// Waits until both mounts show the same.
    fn wait_for_equality(&self) {
        let start = Instant::now();
        while let Err(why) = self.compare() {
            assert!(start.elapsed() < 3 * PATIENCE, "not equal: {why}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn compare(&self) -> Result<(), String> {
        let [ours, theirs] = [&self.primary, &self.secondary].map(|mount| tree(mount.path()));
        difference(&ours.map_err(|e| e.to_string())?, &theirs.map_err(|e| e.to_string())?)
    }

    /// What geo-replication has logged, the bricks' workers all in one.
    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until all that was done so far is in finished slices.
    fn wait_for_slices(&self) {
        let done = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for brick in &self.bricks {
            let layout = Layout::new(brick.join(".glusterfs/changelogs"));
            wait_for("a slice with all that was done", || {
                indexed(&layout).last().is_some_and(|last| stamp(last) > done)
            });
        }
    }

    /// SIGKILL to all bricks, and their restart.
    fn kill_bricks(&mut self) {
        self.bricks.iter().for_each(|brick| self.node.kill9_brick(PRIMARY, brick));
        self.node.start_volume(PRIMARY);
        self.primary.wait_connected();
        // With a brick missing the mount answers, too.
        let every = self.bricks.len();
        wait_for("the mount to have all bricks", || {
            let root = self.primary.path().join(".meta/graphs/active");
            let bricks = (0..every).map(|n| root.join(format!("{PRIMARY}-client-{n}/private")));
            let mut states = bricks.map(|state| fs::read_to_string(state).unwrap_or_default());
            states.all(|state| state.lines().any(|line| line == "connected = 1"))
        });
    }
}

/// Whether geo-replication has noted on this brick until when all is on the secondary volume.
fn has_stime(brick: &Path) -> bool {
    let mut names = vec![0; 4096];
    let length = unix::listxattr(brick, &mut names[..]).unwrap();
    let mut names = names[..length].split(|byte| *byte == 0);
    names.any(|name| name.starts_with(b"trusted.glusterfs.") && name.ends_with(b".stime"))
}

// ---- what a mount shows

/// All that is in a directory and below it, in words.
fn tree(root: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            // Replicas have a directory of their own, called by the volume's id.
            if path.to_string_lossy().contains("/.glusterfs-anonymous-inode-") {
                continue;
            }
            let meta = fs::symlink_metadata(&path)?;
            let kind = meta.file_type();
            let mut told = format!("inode {} {:o}", meta.ino(), meta.mode());
            told += &format!(" {}:{}", meta.uid(), meta.gid());
            if kind.is_symlink() {
                told += &format!(" to {:?}", fs::read_link(&path)?);
            } else {
                told += &format!(" {:?}", xattrs(&path)?);
            }
            if kind.is_file() {
                let bytes = fs::read(&path)?;
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                let size = meta.size();
                told += &format!(" names {} size {size} {:x}", meta.nlink(), hasher.finish());
                told += &format!(" {}", bytes[..bytes.len().min(40)].escape_ascii());
            }
            found.insert(path.strip_prefix(root).unwrap().to_path_buf(), told);
            if kind.is_dir() {
                dirs.push(path);
            }
        }
    }
    Ok(found)
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut names = vec![0; 4096];
    let length = unix::llistxattr(path, &mut names[..])?;
    let names = names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user."));
    let mut found = BTreeMap::new();
    for name in names {
        let mut value = vec![0; 4096];
        let length = unix::lgetxattr(path, name, &mut value[..])?;
        let [name, value] = [name, &value[..length]].map(|text| text.escape_ascii().to_string());
        found.insert(name, value);
    }
    Ok(found)
}

/// What the volumes do not have in common.
fn difference(
    primary: &BTreeMap<PathBuf, String>,
    secondary: &BTreeMap<PathBuf, String>,
) -> Result<(), String> {
    let mut told = String::new();
    for (sign, one, other) in [('+', primary, secondary), ('-', secondary, primary)] {
        for (path, what) in one.iter().filter(|(path, what)| other.get(*path) != Some(what)) {
            told += &format!("{sign} {path:?}: {what}\n");
        }
    }
    if told.is_empty() { Ok(()) } else { Err(format!("only on +primary, -secondary:\n{told}")) }
}

// ---- what is done

/// What the changes are made to.
fn begin(dir: &Path) {
    let at = |name: &str| dir.join(name);
    for sub in ["", "from", "to", "moves", "moves/deeper", "goes", "mode", "owner"] {
        fs::create_dir(at(sub)).unwrap();
    }
    for number in 0..6 {
        // Some of them are on the one brick, and some on the other.
        for name in ["append", "write", "cut", "mode", "owner", "xattr", "gone", "linked"] {
            fs::write(at(&format!("{name}{number}")), format!("old {name}")).unwrap();
        }
        for name in ["rename", "moves", "chain", "over"] {
            fs::write(at(&format!("from/{name}{number}")), format!("old {name}")).unwrap();
        }
        fs::write(at(&format!("to/over{number}")), "is covered").unwrap();
        fs::write(at(&format!("moves/deeper/{number}")), "moves along").unwrap();
    }
    for name in ["a b", "per%cent", "line\nbreak", "\u{e4}\u{20ac}", "100%20%0A"] {
        fs::write(at(name), name).unwrap();
        symlink(name, at(&format!("to {name}"))).unwrap();
    }
    fs::write(at("three names"), "three").unwrap();
    fs::hard_link(at("three names"), at("from/second name")).unwrap();
    fs::hard_link(at("three names"), at("to/third name")).unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("goes/gone"), "goes").unwrap();
    let read_only = at("mode/read only");
    fs::write(&read_only, "kept").unwrap();
    fs::set_permissions(&read_only, Permissions::from_mode(0o440)).unwrap();
    lchown(&read_only, Some(1234), Some(4321)).unwrap();
    fs::set_permissions(at("mode"), Permissions::from_mode(0o2750)).unwrap();
    lchown(at("owner"), Some(7), Some(8)).unwrap();
    set(&at("xattr0"), "user.kept", "since the beginning");
}

fn set(path: &Path, name: &str, value: &str) {
    unix::lsetxattr(path, name, value.as_bytes(), unix::XattrFlags::empty()).unwrap();
}

/// Changes of every kind.
fn change(dir: &Path) {
    let at = |name: &str| dir.join(name);
    for number in 0..6 {
        let at = |name: &str| dir.join(format!("{name}{number}"));
        let open = |name: &str| fs::File::options().append(true).open(at(name)).unwrap();
        fs::write(at("new"), format!("new {number}")).unwrap();
        open("append").write_at(b" and more", 0).unwrap();
        fs::write(at("write"), "something else").unwrap();
        fs::File::options().write(true).open(at("cut")).unwrap().set_len(3).unwrap();
        fs::set_permissions(at("mode"), Permissions::from_mode(0o4711)).unwrap();
        lchown(at("owner"), Some(1000 + number), Some(2000 + number)).unwrap();
        set(&at("xattr"), "user.colour", "blue");
        fs::remove_file(at("gone")).unwrap();
        fs::hard_link(at("linked"), at("to/link")).unwrap();
        symlink(format!("nowhere {number}"), at("symlink")).unwrap();

        fs::rename(at("from/rename"), at("from/renamed")).unwrap();
        fs::rename(at("from/moves"), at("to/moved")).unwrap();
        fs::rename(at("from/over"), at("to/over")).unwrap();
        fs::rename(at("from/chain"), at("chain")).unwrap();
        fs::write(at("chain"), "written on its way").unwrap();
        fs::rename(at("chain"), at("to/chain")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("dir").join("inside"), format!("new {number}")).unwrap();
        // Of this, nothing is left.
        fs::write(at("short"), "lived").unwrap();
        fs::remove_file(at("short")).unwrap();
    }
    for name in ["a b", "per%cent", "line\nbreak", "\u{e4}\u{20ac}", "100%20%0A"] {
        fs::write(at(&format!("new {name}")), name).unwrap();
        symlink(format!("/{name}"), at(&format!("new symlink {name}"))).unwrap();
        fs::create_dir(at(&format!("dir {name}"))).unwrap();
        fs::rename(at(name), at(&format!("dir {name}/{name}"))).unwrap();
        fs::remove_file(at(&format!("to {name}"))).unwrap();
    }
    // Larger than a request.
    let large: Vec<u8> = (0..1_500_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(at("large"), large).unwrap();
    fs::rename(at("moves"), at("moved")).unwrap();
    fs::write(at("moved/later"), "after the move").unwrap();
    fs::rename(at("moved/deeper"), at("moved/deep")).unwrap();
    fs::rename(at("moved/deep/0"), at("from deep")).unwrap();
    fs::create_dir_all(at("one/in/another")).unwrap();
    fs::write(at("one/in/another/file"), "deep").unwrap();
    fs::remove_file(at("goes/gone")).unwrap();
    fs::remove_dir(at("goes")).unwrap();
    fs::remove_file(at("three names")).unwrap();
    fs::write(at("to/third name"), "two").unwrap();
    fs::set_permissions(at("mode"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(at("mode/read only"), Permissions::from_mode(0o600)).unwrap();
    lchown(at("owner"), Some(70), Some(80)).unwrap();
    lchown(at("symlink0"), Some(90), Some(91)).unwrap();
    // Not on a directory: of those the rsync that geo-replication runs (3.5.0) carries none.
    set(&at("xattr0"), "user.kept", "changed");
}

/// Takes a session through its life: what was there, what happens while it runs, and while it is away.
fn follow(t: &Sandbox, replicas: usize, to: usize) {
    let dirs = ["live", "away", "after the kill"];
    let mut session =
        Session::create(t, replicas, to, |root| dirs.iter().for_each(|dir| begin(&root.join(dir))));
    session.start();
    session.wait_for_equality();
    let begun = session.log();
    assert!(begun.contains("starting hybrid crawl"), "{begun}");

    change(&session.primary.path().join(dirs[0]));
    session.wait_for_equality();
    let live = session.log().split_off(begun.len());
    // It went through the slices, and through nothing else.
    for crawl in ["hybrid crawl", "history crawl", "starting gsyncd worker", "mode=xsync"] {
        assert!(!live.contains(crawl), "{crawl}: {live}");
    }
    assert!(live.contains("mode=live_changelog"), "{live}");

    session.stop();
    let stopped = session.log().len();
    change(&session.primary.path().join(dirs[1]));
    session.kill_bricks();
    change(&session.primary.path().join(dirs[2]));
    session.wait_for_slices();
    session.start();
    session.wait_for_equality();
    let away = session.log().split_off(stopped);
    for crawl in ["hybrid crawl", "mode=xsync", "Partial history", "not available"] {
        assert!(!away.contains(crawl), "{crawl}: {away}");
    }
    for crawl in ["mode=history_changelog", "finished history crawl"] {
        assert!(away.contains(crawl), "{crawl}: {away}");
    }
    session.ask(&["stop"]);
    session.ask(&["delete"]);
}

host_test!(
    #[ignore = "long: make test-long"]
    of_two_distributed_bricks,
    |t| follow(t, 1, 1)
);

host_test!(
    #[ignore = "long: make test-long"]
    of_distributed_replicas,
    |t| follow(t, 2, 2)
);
