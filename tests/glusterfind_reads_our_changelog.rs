//! Debian's glusterfind, unmodified, tells of a volume with gnotify in the place of features/changelog what it tells of a
//! stock one: two volumes side by side in one node, the same work on both, the same lines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gnotify_changelog::htime::{self, Item};
use gnotify_changelog::layout::Layout;
use gnotify_harness::rustix::fs as unix;
use gnotify_harness::{Glusterd, Mount, Sandbox, host_test, plugin, tool, wait_for};

/// Seconds. glusterfind looks no closer to now than this. (With less, two slices of stock's may have one name.)
const ROLLOVER: u64 = 3;

/// Runs glusterfind to its end. Where it could not read a brick it says so, but does not fail.
fn glusterfind(args: &[&str]) -> Result<String, String> {
    finish(args, "600").unwrap_or_else(|| panic!("glusterfind {args:?} does not end"))
}

/// `None` when glusterfind takes more than so many seconds. GlusterFS's library (10.3) waits for ever when its history thread has read all slices
/// before the calling thread has noted that it began, which on one processor hardly happens.
fn finish(args: &[&str], seconds: &str) -> Option<Result<String, String>> {
    let mut command = tool("timeout");
    command.args(["-s", "KILL", seconds, "taskset", "-c", &processor(), "glusterfind"]).args(args);
    let output = command.output().unwrap();
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    if output.status.signal() == Some(9) {
        return None;
    }
    if output.status.success() && complained.is_empty() {
        return Some(Ok(said));
    }
    Some(Err(format!("glusterfind {args:?}: {}\n{said}{complained}", output.status)))
}

/// The first processor that this process may run on.
fn processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).next().unwrap().into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A started volume, mounted, with files that were there before glusterfind.
struct Volume {
    name: &'static str,
    bricks: Vec<PathBuf>,
    mount: Mount,
    out: PathBuf,
}

impl Volume {
    fn start(
        t: &Sandbox,
        node: &Glusterd,
        name: &'static str,
        layout: &[&str],
        bricks: usize,
    ) -> Volume {
        let bricks = node.create_with(name, layout, bricks);
        node.set(name, "changelog.rollover-time", &ROLLOVER.to_string());
        node.start_volume(name);
        let mount = node.mount(name, name);
        before(mount.path());
        Volume { name, bricks, mount, out: t.path(format!("{name}.out")) }
    }

    /// `pre` or `query`: the lines, sorted. Of a name that two bricks removed, there may be two. Replicas have a directory
    /// that is called by the volume's own id.
    fn ask(&self, command: &[&str], options: &[&str]) -> Vec<String> {
        let out = self.out.to_str().unwrap();
        let mut args = [command, &[self.name, out], options].concat();
        let said = (0..5).find_map(|_| {
            let said = finish(&args, "60");
            // What a killed `pre` left is not to be in the way of the next.
            args.extend(command.contains(&"pre").then_some("--regenerate-outfile"));
            said
        });
        let said = said.expect("one of five runs to end").unwrap();
        assert_eq!(said, format!("Generated output file {out}\n"));
        let mut lines: Vec<String> =
            fs::read_to_string(out).unwrap().lines().map(Into::into).collect();
        lines.retain(|line| !line.contains(".glusterfs-anonymous-inode-"));
        lines.sort();
        lines.dedup();
        lines
    }

    /// Waits until all that was done so far is in slices that glusterfind would read.
    fn wait_for_slices(&self) {
        let done = now();
        for brick in &self.bricks {
            wait_for("a slice with all that was done", || {
                stamps(brick).iter().any(|stamp| (done + 1..=now() - ROLLOVER).contains(stamp))
            });
        }
    }
}

/// The time stamps in a brick's index.
fn stamps(brick: &Path) -> Vec<u64> {
    let mut stamps = Vec::new();
    let layout = Layout::new(brick.join(".glusterfs/changelogs"));
    for index in fs::read_dir(layout.htime_dir()).unwrap() {
        let mut reader = htime::Reader::new(fs::File::open(index.unwrap().path()).unwrap());
        while let Some((_, item)) = reader.next().unwrap() {
            match item {
                Item::Slice(slice) => stamps.push(slice.ts),
                other => panic!("{other:?}"),
            }
        }
    }
    stamps
}

/// What glusterfind finds when it comes.
fn before(root: &Path) {
    for dir in ["old", "old/moves", "old/goes"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for file in [
        "old/append",
        "old/cut",
        "old/mode",
        "old/xattr",
        "old/linked",
        "old/one of 100%",
        "old/over",
        "old/gone",
        "old/gone too\n",
        "old/moves/inside",
        "old/goes/gone",
        "old/chain",
        "old/twice",
    ] {
        fs::write(root.join(file), "old").unwrap();
    }
    fs::hard_link(root.join("old/twice"), root.join("old/and again")).unwrap();
}

fn append(file: PathBuf) {
    use std::io::Write;
    fs::OpenOptions::new().append(true).open(file).unwrap().write_all(b"more").unwrap();
}

/// One change of each kind.
fn first_work(root: &Path) {
    let at = |name: &str| root.join(name);
    for name in ["new", "a b", "per%cent", "line\nbreak", "\u{e4}\u{20ac}", "old/new"] {
        fs::write(at(name), "new").unwrap();
    }
    fs::create_dir(at("dir")).unwrap();
    fs::create_dir(at("dir/a sub")).unwrap();
    fs::write(at("dir/a sub/file"), "new").unwrap();
    symlink("new", at("symlink")).unwrap();
    unix::mknodat(unix::CWD, at("fifo"), unix::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::hard_link(at("old/linked"), at("hard link")).unwrap();

    append(at("old/append"));
    fs::File::options().write(true).open(at("old/cut")).unwrap().set_len(1).unwrap();
    fs::set_permissions(at("old/mode"), fs::Permissions::from_mode(0o600)).unwrap();
    unix::setxattr(at("old/xattr"), "user.x", b"1", unix::XattrFlags::empty()).unwrap();

    fs::rename(at("old/one of 100%"), at("one\nof 100%")).unwrap();
    fs::rename(at("old/moves"), at("moved")).unwrap();
    fs::remove_file(at("old/gone")).unwrap();
    fs::remove_file(at("old/gone too\n")).unwrap();
    fs::remove_file(at("old/goes/gone")).unwrap();
    fs::remove_dir(at("old/goes")).unwrap();
    // Of this, nothing is left to tell.
    fs::write(at("short"), "lived").unwrap();
    fs::remove_file(at("short")).unwrap();
}

/// What glusterfind tells of the first work.
const FIRST: [&str; 22] = [
    "DELETE old/goes",
    "DELETE old/goes/gone",
    "DELETE old/gone",
    "DELETE old/gone%20too%0A",
    "MODIFY old/append",
    "MODIFY old/cut",
    "MODIFY old/mode",
    "MODIFY old/xattr",
    "NEW a%20b",
    "NEW dir",
    "NEW dir/a%20sub",
    "NEW dir/a%20sub/file",
    "NEW fifo",
    "NEW hard%20link",
    "NEW line%0Abreak",
    "NEW new",
    "NEW old/new",
    "NEW per%25cent",
    "NEW symlink",
    "NEW ä€",
    "RENAME old/moves moved",
    "RENAME old/one%20of%20100%25 one%0Aof%20100%25",
];

/// One thing upon another.
fn second_work(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::rename(at("old/chain"), at("old/chain 2")).unwrap();
    fs::rename(at("old/chain 2"), at("dir/chain 3")).unwrap();
    fs::rename(at("new"), at("old/over")).unwrap();
    fs::write(at("fresh"), "x").unwrap();
    fs::rename(at("fresh"), at("fresh\n%")).unwrap();
    fs::rename(at("dir/a sub"), at("sub")).unwrap();
    fs::write(at("sub/more"), "x").unwrap();
    fs::remove_file(at("old/and again")).unwrap();
    append(at("hard link"));
    append(at("line\nbreak"));
    fs::remove_file(at("per%cent")).unwrap();
    fs::remove_file(at("symlink")).unwrap();
    fs::remove_file(at("fifo")).unwrap();
}

/// What glusterfind tells of the second work.
const SECOND: [&str; 12] = [
    "DELETE fifo",
    "DELETE old/and%20again",
    "DELETE per%25cent",
    "DELETE symlink",
    "MODIFY hard%20link",
    "MODIFY line%0Abreak",
    "MODIFY old/linked",
    "NEW fresh%0A%25",
    "NEW sub/more",
    "RENAME dir/a%20sub sub",
    "RENAME new old/over",
    "RENAME old/chain dir/chain%203",
];

/// Takes both volumes, stock's first, through the life of a session.
fn compare(t: &Sandbox, layout: &[&str], bricks: usize) {
    let node = t.glusterd();
    // Debian's package forgets it.
    fs::create_dir_all("/var/lib/glusterd/glusterfind/.keys").unwrap();
    let stock = Volume::start(t, &node, "stock", layout, bricks);
    // The bricks that run keep what they have.
    node.install_as(&plugin(), &["features/changelog.so"]);
    let ours = Volume::start(t, &node, "ours", layout, bricks);
    let both = [&stock, &ours];
    let same = |command: &[&str], options: &[&str]| {
        // One after the other: a query is a transaction of glusterd's, of which it has one at a time.
        let [stock, ours] = both.map(|volume| volume.ask(command, options));
        assert_eq!(ours, stock, "glusterfind {command:?} {options:?}: gnotify's, stock's");
        ours
    };

    for volume in both {
        let said = glusterfind(&["create", "session", volume.name]).unwrap();
        assert_eq!(said, format!("Session session created with volume {}\n", volume.name));
        let again = glusterfind(&["create", "session", volume.name]).unwrap_err();
        assert!(again.contains("Session session already created"), "{again}");
    }
    // The sessions begin in the future.
    let begin = now() + ROLLOVER;
    wait_for("the sessions to begin", || now() > begin);

    both.iter().for_each(|volume| first_work(volume.mount.path()));
    both.iter().for_each(|volume| volume.wait_for_slices());
    assert_eq!(same(&["pre", "session"], &[]), FIRST);
    for volume in both {
        let early = glusterfind(&["pre", "session", volume.name, "/dev/null"]).unwrap_err();
        assert!(early.contains("Post command is not run after last pre"), "{early}");
        let said = glusterfind(&["post", "session", volume.name]).unwrap();
        assert_eq!(said, format!("Session session with volume {} updated\n", volume.name));
    }

    both.iter().for_each(|volume| second_work(volume.mount.path()));
    both.iter().for_each(|volume| volume.wait_for_slices());
    assert_eq!(same(&["pre", "session"], &[]), SECOND);

    let since = begin.to_string();
    let names = same(&["query"], &["--since-time", &since, "-N", "--output-prefix", "/v"]);
    assert!(names.iter().any(|line| line == "RENAME /v/old/moves /v/moved"), "{names:?}");
    assert!(!names.iter().any(|line| line.starts_with("MODIFY")), "{names:?}");
    let all = same(&["query"], &["--full"]);
    assert!(all.iter().any(|line| line == "NEW sub/more"), "{all:?}");

    for volume in both {
        let said = glusterfind(&["delete", "session", volume.name]).unwrap();
        assert_eq!(said, format!("Session session with volume {} deleted\n", volume.name));
    }
    let said = glusterfind(&["list"]).unwrap_or_else(|failed| failed);
    assert!(said.contains("No sessions found"), "{said}");
}

host_test!(
    #[ignore = "long: make test-long"]
    of_one_brick,
    |t| compare(t, &[], 1)
);

host_test!(
    #[ignore = "long: make test-long"]
    of_distributed_replicas,
    |t| compare(t, &["replica", "2"], 4)
);
